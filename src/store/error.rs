//! Why the store failed, in words for an operator.

use historian_format::{CorruptChunk, keys::ChunkKey};

/// What an operator who reads of damage can do.
pub(crate) const REMEDY: &str = "restore it from a backup, or start once with --accept-loss, which sets the damaged files aside, keeps all that can be read, and records what is lost as gaps";

/// Why the store failed. None of these is mended by a repeat of the same call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {message}")]
    Open { path: String, message: String },
    #[error("the disk refused: {0}")]
    Io(String),
    /// Nothing was written, or read. Ends when there is room again on the disk, or the system has descriptors and memory again.
    #[error("{0}")]
    Full(String),
    /// A view of the store is no more. Another one can be had.
    #[error("the database was opened anew after it had no room or no file descriptors; repeat the query")]
    Reopened,
    #[error(
        "stored bytes are damaged in family {family} at {key}: {message}; restore this part from a backup, or start once with --accept-loss to go on without it"
    )]
    Corrupt { family: &'static str, key: String, message: String },
    #[error(
        "{file}: the journal ends at write {found}, but write {acknowledged} was acknowledged: the tail of the log is lost; restore the missing files or a backup, or start once with --accept-loss, which keeps all that can be read and records what is lost as a gap"
    )]
    LostTail { file: String, acknowledged: u64, found: u64 },
}

pub fn corrupt(family: &'static str, key: ChunkKey, error: &CorruptChunk) -> StoreError {
    StoreError::Corrupt {
        family,
        key: format!("tag {} start {} generation {}", key.tag_id, key.start, key.generation),
        message: error.to_string(),
    }
}
