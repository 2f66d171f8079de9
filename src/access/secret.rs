//! The secret of a token: how it is made, and what is kept of it.
//!
//! It has 256 random bits. So its SHA-256 is enough to keep: the slow hashes of passwords make guessing dear where there is little to guess,
//! and nobody guesses 256 bits. The hash would also cost each request its time.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

use crate::AccessError;

/// What every secret begins with, so that people and scanners of repositories know one when they see it.
pub const TOKEN_PREFIX: &str = "hst_";
const RANDOM_BYTES: usize = 32;
/// Longest text that is hashed to see whether it is a secret. Ours have 47 characters.
const SECRET_BYTES_MAX: usize = 256;

/// A new secret.
///
/// # Errors
/// The system has no random numbers.
pub fn new_secret() -> Result<String, AccessError> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| AccessError::NoRandomNumbers { reason: error.to_string() })?;
    Ok(format!("{TOKEN_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random)))
}

/// SHA-256 of a secret, 64 hexadecimal digits where it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Of what a client sent; `None` where that is too long for a secret.
    pub fn of(secret: &str) -> Option<SecretHash> {
        (secret.len() <= SECRET_BYTES_MAX).then(|| SecretHash(Sha256::digest(secret.as_bytes()).into()))
    }

    fn parse(text: &str) -> Option<SecretHash> {
        let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| (pair[0] << 4) | pair.get(1).copied().unwrap_or(0)).collect();
        (digits.len() == 64).then(|| bytes.try_into().ok().map(SecretHash))?
    }
}

/// Nothing of it, so that it is in no log. It is of no use to a thief, but nobody should have to think about that.
impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
        serializer.serialize_str(&digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        SecretHash::parse(&text).ok_or_else(|| D::Error::custom("sha256 must be 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_256_bits_and_differ() {
        let secrets: std::collections::HashSet<String> = (0..100).map(|_| new_secret().unwrap()).collect();
        assert_eq!(secrets.len(), 100);
        for secret in secrets {
            let random = BASE64_URL_SAFE_NO_PAD.decode(secret.strip_prefix("hst_").unwrap()).unwrap();
            assert_eq!(random.len(), 32);
            assert_eq!(secret.len(), 47);
        }
    }

    /// The value is that of `printf %s abc | sha256sum`, and of FIPS 180-2.
    #[test]
    fn the_hash_is_sha_256_in_hexadecimal_and_is_read_again() {
        let hash = SecretHash::of("abc").unwrap();
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(text, "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"");
        assert!(serde_json::from_str::<SecretHash>(&text).unwrap() == hash);
        assert_eq!(format!("{hash:?}"), "SecretHash");
        for wrong in
            ["\"\"", "\"ba78\"", &text.replace("ba", "b"), &text.replace("ba", "+a"), &text.replace("ba", "ä"), &text.replace("ba", "baba")]
        {
            assert!(serde_json::from_str::<SecretHash>(wrong).is_err(), "{wrong}");
        }
        assert!(SecretHash::of(&"x".repeat(257)).is_none());
    }
}
