//! The access file as text: JSON, with a version. An unknown field is an error: what a program does not understand may be what limits a token.

use std::{collections::HashSet, path::Path};

use serde::{Deserialize, Serialize};

use crate::{AccessError, TokenEntry};

/// Version that is written, and the newest that is read.
const VERSION: u64 = 1;

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRecord {
    version: u64,
    /// Number of the next token. A number is never given twice.
    pub next_id: u64,
    pub tokens: Vec<TokenEntry>,
}

/// Read first, for a newer file has fields that this program does not know.
#[derive(Deserialize)]
struct FormatVersion {
    version: u64,
}

impl Default for AccessRecord {
    fn default() -> AccessRecord {
        AccessRecord { version: VERSION, next_id: 1, tokens: Vec::new() }
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
        if found != VERSION {
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
        Ok(record)
    }

    /// The text of the file.
    pub fn written(&self) -> String {
        // A struct of numbers and texts can always be written.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}
