//! Heads: how far a log went at a moment, signed.

use historian_model::Timestamp;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::AuditHash;

/// How far the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// Of the last entry; 0 where there is none.
    pub number: u64,
    /// Of the last entry; [`AuditHash::START`] where there is none.
    pub hash: AuditHash,
}

/// A head with the time at which the historian signed it. Keep it where nobody who can write to the data directory can change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    pub number: u64,
    pub hash: AuditHash,
    /// When it was signed, by the clock of the historian: nanoseconds since 1970, UTC.
    pub time: i64,
    /// Of the historian: the 32 bytes of an Ed25519 key (RFC 8032), as 64 hexadecimal digits.
    pub public_key: String,
    /// Ed25519, 128 hexadecimal digits, of [`SignedHead::message`].
    pub signature: String,
}

impl SignedHead {
    /// What is signed, in ASCII: four lines, each with its end.
    pub fn message(number: u64, hash: &AuditHash, time: i64) -> String {
        format!("historian audit head 1\n{number}\n{hash}\n{time}\n")
    }

    pub fn head(&self) -> AuditHead {
        AuditHead { number: self.number, hash: self.hash }
    }

    pub fn signed_at(&self) -> Timestamp {
        Timestamp(self.time)
    }

    /// Whether the signature is of the key that the head names. Whose key that is, is for the reader to compare.
    pub fn is_signed(&self) -> bool {
        let (Ok(key), Ok(signature)) = (hex::decode(&self.public_key), hex::decode(&self.signature)) else { return false };
        let message = SignedHead::message(self.number, &self.hash, self.time);
        UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &signature).is_ok()
    }
}
