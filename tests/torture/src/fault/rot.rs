//! Bytes that are no longer what was written: flipped bits, zeroed pages, cut and missing files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::oracle::Dice;

/// Copies the files and directories of a directory; a socket that a killed process left is none.
///
/// # Errors
/// A file cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// All files below a directory, sorted.
///
/// # Errors
/// A directory cannot be read.
pub fn files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else if entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// What was done to a file.
#[derive(Clone, Debug)]
pub struct Damage {
    pub file: PathBuf,
    pub what: String,
}

/// Damages one of these files in a way that the dice choose.
///
/// # Errors
/// The file cannot be read or written.
pub fn damage(files: &[&PathBuf], dice: &mut Dice) -> std::io::Result<Damage> {
    let file = files[dice.below(files.len() as u64) as usize].clone();
    let mut bytes = fs::read(&file)?;
    let length = bytes.len() as u64;
    let what = match dice.below(20) {
        0 => {
            fs::remove_file(&file)?;
            return Ok(Damage { file, what: "removed".into() });
        }
        1..=3 if length > 0 => {
            let keep = dice.below(length);
            bytes.truncate(keep as usize);
            format!("cut to {keep} of {length} bytes")
        }
        4..=5 if length > 0 => {
            let from = dice.below(length) as usize / 4_096 * 4_096;
            let to = (from + 4_096).min(bytes.len());
            bytes[from..to].fill(0);
            format!("bytes {from}..{to} zeroed")
        }
        6..=9 if is_log(&file) && length > 0 => {
            // A header is a small part of its record, and the part on which everything else hangs.
            let headers = record_headers(&bytes);
            let at = headers.get(dice.below(headers.len() as u64) as usize).copied().unwrap_or(0);
            let bit = dice.below((LOG_HEADER_BYTES * 8) as u64) as usize;
            let Some(byte) = bytes.get_mut(at + bit / 8) else { return Ok(Damage { file, what: "left as it is".into() }) };
            *byte ^= 1 << (bit % 8);
            format!("bit {bit} of the header of the record at byte {at} flipped")
        }
        _ if length > 0 => {
            let bit = dice.below(length * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            format!("bit {bit} of {} flipped", length * 8)
        }
        _ => "left empty".into(),
    };
    fs::write(&file, bytes)?;
    Ok(Damage { file, what })
}

const LOG_HEADER_BYTES: usize = 7;
const LOG_BLOCK_BYTES: usize = 32 << 10;

/// Whether a file is a log of RocksDB: its manifest is one, too.
fn is_log(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with("MANIFEST") || file.extension().is_some_and(|extension| extension == "log")
}

/// Where the records of a log begin: checksum (4 bytes), length (2), type (1), in blocks of 32 KiB.
fn record_headers(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut found) = (0, Vec::new());
    while at + LOG_HEADER_BYTES <= bytes.len() {
        let left = LOG_BLOCK_BYTES - at % LOG_BLOCK_BYTES;
        if left < LOG_HEADER_BYTES {
            at += left;
            continue;
        }
        found.push(at);
        at += LOG_HEADER_BYTES + usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
    }
    found
}
