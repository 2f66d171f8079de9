//! Errors of RocksDB, in the store's words.

use rocksdb::ErrorKind;

use crate::StoreError;

#[expect(clippy::needless_pass_by_value, reason = "shape of map_err")]
pub(crate) fn io(error: rocksdb::Error) -> StoreError {
    let message = error.to_string();
    // A sync that failed is another thing: what became of the bytes is unknown then.
    let no_room = ["No space left", "Disk quota exceeded", "Space limit reached"].iter().any(|text| message.contains(text));
    if no_room && !message.contains("sync") { StoreError::Full(format!("the disk is full: {message}")) } else { StoreError::Io(message) }
}

pub(crate) fn classified(error: &rocksdb::Error, family: &'static str) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt { family, key: "unknown key".into(), message: error.to_string() },
        _ => StoreError::Io(error.to_string()),
    }
}
