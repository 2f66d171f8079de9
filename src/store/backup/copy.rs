//! Reads and copies whole files with their CRC32C, and makes files and directories durable.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    path::Path,
};

use super::{BackupError, PhaseMeter};

/// Bytes read at once, and between two looks at whether to go on.
const PIECE_BYTES: usize = 1 << 20;

/// Length and CRC32C of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub bytes: u64,
    pub crc32c: u32,
}

/// Hands the file to `each` in pieces and answers its sum.
fn pieces(path: &Path, meter: &mut PhaseMeter<'_, '_>, mut each: impl FnMut(&[u8]) -> Result<(), BackupError>) -> Result<Sum, BackupError> {
    let mut file = File::open(path).map_err(|error| BackupError::io(path, error))?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut sum = Sum { bytes: 0, crc32c: 0 };
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => return Ok(sum),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(BackupError::io(path, error)),
        };
        sum.crc32c = crc32c::crc32c_append(sum.crc32c, &piece[..read]);
        sum.bytes += read as u64;
        each(&piece[..read])?;
        meter.add(read as u64)?;
    }
}

/// Sum of a file as it is on the disk.
pub(super) fn sum(path: &Path, meter: &mut PhaseMeter<'_, '_>) -> Result<Sum, BackupError> {
    pieces(path, meter, |_| Ok(()))
}

/// Copies a file to a name that is free, and makes the copy durable. A copy that failed is removed.
pub(super) fn copy(from: &Path, to: &Path, meter: &mut PhaseMeter<'_, '_>) -> Result<Sum, BackupError> {
    let mut target = File::create_new(to).map_err(|error| BackupError::io(to, error))?;
    let copied = pieces(from, meter, |piece| target.write_all(piece).map_err(|error| BackupError::io(to, error)));
    let durable = copied.and_then(|sum| {
        target.sync_all().map_err(|error| BackupError::io(to, error))?;
        // What is read back must come from the disk, not from memory; and a backup must not push the store's files out of memory. Where the
        // system cannot, nothing is lost but that.
        let _ = rustix::fs::fadvise(&target, 0, None, rustix::fs::Advice::DontNeed);
        Ok(sum)
    });
    durable.inspect_err(|_| {
        let _ = std::fs::remove_file(to);
    })
}

/// Writes a small file durably.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let fail = |error| BackupError::io(path, error);
    let mut file = File::create_new(path).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.sync_all().map_err(fail)
}

/// Makes names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| BackupError::io(path, error))
}

/// A file whose bytes should have `expected`; else how they differ.
pub(super) fn check(path: &Path, expected: Sum, meter: &mut PhaseMeter<'_, '_>) -> Result<(), BackupError> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(BackupError::damaged(path, "it is missing")),
        Err(error) => return Err(BackupError::io(path, error)),
        Ok(_) => {}
    }
    difference(expected, sum(path, meter)?).map_or(Ok(()), |message| Err(BackupError::damaged(path, message)))
}

pub(super) fn difference(expected: Sum, found: Sum) -> Option<String> {
    if found.bytes != expected.bytes {
        Some(format!("it has {} bytes instead of {}", found.bytes, expected.bytes))
    } else if found.crc32c != expected.crc32c {
        Some(format!("its checksum is {:08x} instead of {:08x}", found.crc32c, expected.crc32c))
    } else {
        None
    }
}
