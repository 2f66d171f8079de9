//! The audit log: who changed or removed what is stored, when and why. Entries are numbered from 1 in the order of writing and never changed.
//!
//! Written by ingest and the server beside the change they tell of, read by the API.

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::model::Timestamp;

/// One entry of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditEntry {
    /// When it was done, by the clock of the historian.
    pub time: Timestamp,
    /// What was done, in snake case: `delete_range`, `replace_range`, `retention`, `accept_loss`, `restore`, …
    pub action: String,
    /// Who did it; `historian` for what it does by itself.
    pub principal: String,
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
    /// What else there is to say: the reason given, the file, the sequence numbers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl AuditEntry {
    /// The entry as it is kept: UTF-8 JSON.
    pub(super) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|error| StoreError::Io(format!("an audit entry cannot be written as JSON: {error}")))
    }

    pub(super) fn decode(number: u64, bytes: &[u8]) -> Result<AuditEntry, StoreError> {
        serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt {
            family: historian_format::keys::FAMILY_AUDIT,
            key: format!("entry {number}"),
            message: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, RocksStore, Store, rocks::StoreOptions};

    fn entry(action: &str) -> AuditEntry {
        AuditEntry {
            time: Timestamp(-7),
            action: action.into(),
            principal: "historian".into(),
            tags: vec!["a/b".into()],
            start: Some(i64::MIN),
            end: None,
            samples: u64::MAX,
            detail: "\"quoted\"".into(),
        }
    }

    fn numbers_go_on(store: &dyn Store, after: u64) {
        assert_eq!(store.audit(after + 1, 10).unwrap(), []);
        store.append_audit(&[entry("first"), entry("second")]).unwrap();
        store.append_audit(&[]).unwrap();
        store.append_audit(&[entry("third")]).unwrap();
        let all = store.audit(after, 10).unwrap();
        let told: Vec<_> = all.iter().map(|(number, entry)| (*number, entry.action.as_str())).filter(|(n, _)| *n > after).collect();
        assert_eq!(told, [(after + 1, "first"), (after + 2, "second"), (after + 3, "third")]);
        assert_eq!(all.last().unwrap().1, entry("third"));
        assert_eq!(store.audit(after + 2, 1).unwrap(), [(after + 2, entry("second"))]);
    }

    #[test]
    fn entries_are_numbered_in_order_on_both_twins_and_over_a_restart() {
        numbers_go_on(&MemoryStore::default(), 0);
        let directory = tempfile::tempdir().unwrap();
        numbers_go_on(&RocksStore::open(directory.path(), &StoreOptions::default()).unwrap(), 0);
        numbers_go_on(&RocksStore::open(directory.path(), &StoreOptions::default()).unwrap(), 3);
    }
}
