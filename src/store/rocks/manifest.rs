//! A look at the manifest before RocksDB opens it.
//!
//! RocksDB 11.8 turns for ever inside `DB::Open` when a record of the manifest claims a type that only recycled logs have: one flipped bit
//! makes a 5 of a 1 (found by the torture test R3). A manifest is a log of records, each with checksum (4 bytes), length (2) and type (1), in
//! blocks of 32 KiB whose last six bytes or fewer stay empty; its records have the types 1 to 4. Checksums are left to RocksDB.

use std::path::Path;

use crate::store::StoreError;

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;
/// Full, first, middle, last.
const TYPES: std::ops::RangeInclusive<u8> = 1..=4;

/// Refuses a manifest with a record of a type it cannot have. What cannot be read at all is left to RocksDB to report.
///
/// # Errors
/// [`StoreError::Open`] with the name of the file.
pub(in crate::store) fn check(database: &Path) -> Result<(), StoreError> {
    let Ok(current) = std::fs::read_to_string(database.join("CURRENT")) else { return Ok(()) };
    let path = database.join(current.trim_end());
    let Ok(bytes) = std::fs::read(&path) else { return Ok(()) };
    match foreign_record(&bytes) {
        None => Ok(()),
        Some((at, kind)) => Err(StoreError::Open {
            path: path.display().to_string(),
            message: format!(
                "the manifest is damaged at byte {at} (a record of type {kind}), the database was not opened and nothing was changed; restore it from a backup"
            ),
        }),
    }
}

/// Offset and type of the first whole record whose type no manifest has.
fn foreign_record(bytes: &[u8]) -> Option<(usize, u8)> {
    let mut at = 0;
    while at + HEADER_BYTES <= bytes.len() {
        let left = BLOCK_BYTES - at % BLOCK_BYTES;
        if left < HEADER_BYTES {
            at += left;
            continue;
        }
        let (length, kind) = (usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]])), bytes[at + 6]);
        if length == 0 && kind == 0 {
            // Space that was set aside and not written.
            return None;
        }
        if !TYPES.contains(&kind) {
            return Some((at, kind));
        }
        at += HEADER_BYTES + length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![1, 2, 3, 4];
        bytes.extend_from_slice(&u16::try_from(length).unwrap().to_le_bytes());
        bytes.push(kind);
        bytes.resize(HEADER_BYTES + length, 9);
        bytes
    }

    #[test]
    fn records_of_other_types_are_found_across_blocks() {
        let mut bytes = [record(1, 100), record(2, BLOCK_BYTES - 107 - 7 - 5)].concat();
        bytes.resize(BLOCK_BYTES, 0);
        bytes.extend(record(4, 50));
        assert_eq!(foreign_record(&bytes), None);
        assert_eq!(foreign_record(&[bytes.clone(), vec![0; 40]].concat()), None, "space set aside");
        assert_eq!(foreign_record(&bytes[..bytes.len() - 3]), None, "a torn tail is RocksDB's to judge");
        assert_eq!(foreign_record(&[&bytes[..], &record(5, 3)].concat()), Some((bytes.len(), 5)));
        let end = bytes.len();
        bytes[BLOCK_BYTES + 6] ^= 4;
        assert_eq!(foreign_record(&bytes[..end]), Some((BLOCK_BYTES, 0)));
    }

    #[test]
    fn a_damaged_manifest_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        assert!(check(directory.path()).is_ok(), "no database yet");
        std::fs::write(directory.path().join("CURRENT"), "MANIFEST-000005\n").unwrap();
        assert!(check(directory.path()).is_ok(), "RocksDB says that it is missing");
        std::fs::write(directory.path().join("MANIFEST-000005"), record(5, 13)).unwrap();
        let error = check(directory.path()).unwrap_err().to_string();
        assert!(error.contains("MANIFEST-000005: ") && error.contains("byte 0"), "{error}");
    }
}
