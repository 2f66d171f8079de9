//! One entry of the log.

use historian_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::AuditError;

/// One entry of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditEntry {
    /// When it was done, by the clock of the historian.
    pub time: Timestamp,
    /// What was done, in snake case; `docs/security.md` has the list.
    pub action: String,
    /// Who did it; `historian` for what it does by itself.
    pub principal: String,
    /// From where: the address of the client. Empty for what did not come over a connection.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// Names of the tags it was done to, as they were called then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The range `[start, end)` of source time it was done to, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// Samples removed or replaced.
    pub samples: u64,
    /// What else there is to say: the reason given, what was before and what is now, the file, the sequence numbers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl AuditEntry {
    /// The text of the entry as it is kept and hashed: JSON on one line.
    ///
    /// # Errors
    /// [`AuditError::Unwritable`].
    pub fn text(&self) -> Result<String, AuditError> {
        serde_json::to_string(self).map_err(|error| AuditError::Unwritable(error.to_string()))
    }
}
