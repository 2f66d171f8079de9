//! A file with the keys of a provider, for a historian that reaches none.

use std::{fs::File, io::Read, path::Path};

use bytes::Bytes;

/// Largest file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The text of the file. Its keys are public, so anybody may read it.
///
/// # Errors
/// It cannot be read, or is too large; the message begins with its path.
pub fn keys(path: &Path) -> Result<Bytes, String> {
    let failed = |reason: String| format!("{}: {reason}", path.display());
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(failed("is larger than 1 MiB".to_owned()));
    }
    Ok(text.into())
}
