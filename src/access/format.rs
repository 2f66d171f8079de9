//! The access file as text: JSON, with a version. An unknown field is an error: what a program does not understand may be what limits a token.

use std::{collections::HashSet, path::Path};

use serde::{Deserialize, Serialize};

use crate::{AccessError, GrantEntry, TokenEntry};

/// The newest version that is read: 1 has tokens only, 2 also grants of principals without one.
const VERSION: u64 = 2;

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRecord {
    version: u64,
    /// Number of the next token. A number is never given twice.
    pub next_id: u64,
    pub tokens: Vec<TokenEntry>,
    /// Of principals without a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantEntry>,
}

/// Read first, for a newer file has fields that this program does not know.
#[derive(Deserialize)]
struct FormatVersion {
    version: u64,
}

impl Default for AccessRecord {
    fn default() -> AccessRecord {
        AccessRecord { version: 1, next_id: 1, tokens: Vec::new(), grants: Vec::new() }
    }
}

impl AccessRecord {
    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// It is damaged, or of a newer version.
    pub fn parse(path: &Path, text: &str) -> Result<AccessRecord, AccessError> {
        let damaged = |reason: String| AccessError::Damaged { path: path.to_owned(), reason };
        let FormatVersion { version: found } = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        if !(1..=VERSION).contains(&found) {
            return Err(AccessError::Version { path: path.to_owned(), found, known: VERSION });
        }
        let record: AccessRecord = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        let (mut ids, mut hashes) = (HashSet::new(), HashSet::new());
        for token in &record.tokens {
            if !ids.insert(token.id) || !hashes.insert(token.hash) {
                return Err(damaged(format!("token {} ({}) has the number or the secret of another one", token.id, token.name)));
            }
            if token.id >= record.next_id {
                return Err(damaged(format!("token {} ({}) has a number that is not given yet", token.id, token.name)));
            }
        }
        let mut principals = HashSet::new();
        for entry in &record.grants {
            if !principals.insert(&entry.principal) {
                return Err(damaged(format!("{} has its grants in two places", entry.principal)));
            }
        }
        Ok(record)
    }

    /// The text of the file, in the oldest version that can say it: programs of before read what they know.
    pub fn written(&mut self) -> String {
        self.version = if self.grants.is_empty() { 1 } else { 2 };
        // A struct of numbers and texts can always be written.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}
