//! Entries as links of a chain.

use crate::{AuditEntry, AuditError, AuditHash, FaultKind};

/// An entry with its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainedEntry {
    /// From 1, in the order of writing.
    pub number: u64,
    pub hash: AuditHash,
    /// The entry as JSON, exactly as it was hashed.
    pub text: String,
}

impl ChainedEntry {
    /// Puts an entry behind the one with the hash `previous`.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn after(previous: &AuditHash, number: u64, entry: &AuditEntry) -> Result<ChainedEntry, AuditError> {
        let text = entry.text()?;
        Ok(ChainedEntry { number, hash: AuditHash::of(previous, number, &text), text })
    }

    /// What the store keeps under the number: the hash, then the text.
    pub fn stored(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(AuditHash::BYTES + self.text.len());
        bytes.extend_from_slice(self.hash.bytes());
        bytes.extend_from_slice(self.text.as_bytes());
        bytes
    }

    /// What [`ChainedEntry::stored`] has made. Whether it follows the entry before is for a [`ChainCheck`] to say.
    ///
    /// # Errors
    /// It has no hash, or its text is not UTF-8.
    pub fn from_stored(number: u64, bytes: &[u8]) -> Result<ChainedEntry, AuditError> {
        let unreadable = |reason: &str| AuditError::Unreadable { number, reason: reason.to_owned() };
        let (hash, text) = bytes.split_first_chunk().ok_or_else(|| unreadable("it has no hash"))?;
        let text = std::str::from_utf8(text).map_err(|_| unreadable("its text is not UTF-8"))?;
        Ok(ChainedEntry { number, hash: AuditHash::from_bytes(*hash), text: text.to_owned() })
    }

    /// What it tells.
    ///
    /// # Errors
    /// Its text is not that of an entry.
    pub fn entry(&self) -> Result<AuditEntry, AuditError> {
        serde_json::from_str(&self.text).map_err(|error| AuditError::Unreadable { number: self.number, reason: error.to_string() })
    }

    /// Whether it is what was written behind the entry with the hash `previous`.
    pub fn follows(&self, previous: &AuditHash) -> bool {
        self.hash == AuditHash::of(previous, self.number, &self.text)
    }
}

/// Goes along a chain, from its start or from an entry that is taken as it is.
#[derive(Clone, Debug)]
pub struct ChainCheck {
    /// Number and hash of the entry before; `None` where the first one that comes is taken as it is.
    last: Option<(u64, AuditHash)>,
}

impl ChainCheck {
    /// From the first entry on.
    pub fn from_start() -> ChainCheck {
        ChainCheck { last: Some((0, AuditHash::START)) }
    }

    /// Behind an entry with this number and this hash.
    pub fn behind(number: u64, hash: AuditHash) -> ChainCheck {
        ChainCheck { last: Some((number, hash)) }
    }

    /// From whatever comes first, whose hash is not checked.
    pub fn from_anywhere() -> ChainCheck {
        ChainCheck { last: None }
    }

    /// Number and hash of the last entry; zero and [`AuditHash::START`] before the first.
    pub fn last(&self) -> (u64, AuditHash) {
        self.last.unwrap_or((0, AuditHash::START))
    }

    /// Whether `entry` is the next one. It is the last one afterwards in any case, so that what follows is compared with what stands there.
    ///
    /// # Errors
    /// What is wrong between the last entry and this one.
    pub fn next(&mut self, entry: &ChainedEntry) -> Result<(), FaultKind> {
        let Some((number, hash)) = self.last.replace((entry.number, entry.hash)) else { return Ok(()) };
        if entry.number <= number {
            return Err(FaultKind::Order);
        }
        if entry.number != number + 1 {
            return Err(FaultKind::Missing);
        }
        if entry.follows(&hash) { Ok(()) } else { Err(FaultKind::Changed) }
    }
}
