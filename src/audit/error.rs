//! What goes wrong with an audit log and its key.

use std::path::PathBuf;

/// Why an entry, a head or a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("an audit entry cannot be written as JSON: {0}")]
    Unwritable(String),
    #[error("entry {number} of the audit log is not readable: {reason}")]
    Unreadable { number: u64, reason: String },
    #[error("this is no line of an exported audit log: {0}")]
    NoLine(String),
    #[error("the key of the audit log {} cannot be {action}: {reason}", path.display())]
    Key { path: PathBuf, action: &'static str, reason: String },
    #[error(
        "the key of the audit log {} may be read by others than its owner (mode {mode:o}): whoever has it can sign a log of their own; \
         run chmod 600 on it, and think of it as known if somebody else could read it", path.display()
    )]
    ExposedKey { path: PathBuf, mode: u32 },
}
