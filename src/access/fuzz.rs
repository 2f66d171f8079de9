//! The file of tokens and grants, for the fuzz targets (`tests/fuzz`): any bytes in, whether they were taken.

use std::path::Path;

use crate::{file::ACCESS_FILE, format::AccessRecord, secret::SecretHash};

/// The text of the file. What is taken is written and read again as the same.
///
/// # Panics
/// It is read as another one.
pub fn file(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(mut record) = AccessRecord::parse(Path::new(ACCESS_FILE), text) else { return false };
    let written = record.written();
    let again = AccessRecord::parse(Path::new(ACCESS_FILE), &written).map(|mut again| again.written());
    assert_eq!(again.ok().as_deref(), Some(written.as_str()));
    true
}

/// A secret that somebody shows.
pub fn secret(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| SecretHash::of(text).is_some())
}
