//! The hash of the chain.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

/// SHA-256 of an entry and of all before it; 64 hexadecimal digits where it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditHash([u8; AuditHash::BYTES]);

impl AuditHash {
    pub const BYTES: usize = 32;
    /// What the first entry follows.
    pub const START: AuditHash = AuditHash([0; AuditHash::BYTES]);

    /// Of the entry `number` with this text, behind the entry with the hash `previous`: SHA-256 of the 32 bytes of `previous`, the number as eight
    /// bytes with the greatest first, and the text in UTF-8.
    pub fn of(previous: &AuditHash, number: u64, text: &str) -> AuditHash {
        let mut hash = Sha256::new();
        hash.update(previous.0);
        hash.update(number.to_be_bytes());
        hash.update(text.as_bytes());
        AuditHash(hash.finalize().into())
    }

    pub fn bytes(&self) -> &[u8; AuditHash::BYTES] {
        &self.0
    }

    pub fn from_bytes(bytes: [u8; AuditHash::BYTES]) -> AuditHash {
        AuditHash(bytes)
    }

    /// From its 64 digits.
    pub fn parse(digits: &str) -> Option<AuditHash> {
        let mut bytes = [0; AuditHash::BYTES];
        hex::decode_to_slice(digits, &mut bytes).ok().map(|()| AuditHash(bytes))
    }
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditHash({self})")
    }
}

impl Serialize for AuditHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AuditHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AuditHash, D::Error> {
        let digits = String::deserialize(deserializer)?;
        AuditHash::parse(&digits).ok_or_else(|| D::Error::custom("a hash has 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_sha256sum_says() {
        // printf '\0%.0s' {1..32}; printf '\0\0\0\0\0\0\0\1{}' — piped to sha256sum.
        let first = AuditHash::of(&AuditHash::START, 1, "{}");
        let mut bytes = vec![0; 39];
        bytes.extend_from_slice(b"\x01{}");
        assert_eq!(first.to_string(), hex::encode(Sha256::digest(&bytes)));
        assert_eq!(AuditHash::parse(&first.to_string()), Some(first));
        for digits in ["", "00", &"g".repeat(64), &"0".repeat(65)] {
            assert_eq!(AuditHash::parse(digits), None, "{digits}");
        }
    }
}
