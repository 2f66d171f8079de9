//! Until when a historian ran: a file of one line beside the database, written anew every second.
//!
//! A process that is killed cannot say that it ends. The next one reads here when that was, to within a second, so that the time in between
//! does not pass for one in which the last values held. Losing the file costs precision and nothing else. Layout: `storage-format/keys.md`.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::StoreError;
use historian_model::Timestamp;

/// Name of the file in the data directory.
pub const RUN_MARK_FILE: &str = "RUN_MARK";

/// The mark of the running process.
pub struct RunMark {
    path: PathBuf,
    file: File,
}

impl RunMark {
    /// Opens or makes the file in a data directory; returns it with the time until which the run before lasted, where that is known.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(directory: &Path) -> Result<(RunMark, Option<Timestamp>), StoreError> {
        let path = directory.join(RUN_MARK_FILE);
        let fail = |error: std::io::Error| StoreError::Open { path: path.display().to_string(), message: error.to_string() };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
        let mut text = String::new();
        // Anything but a line of ours is as good as none.
        let before = file.read_to_string(&mut text).ok().and_then(|_| decode(&text));
        if before.is_none() && !text.is_empty() {
            tracing::warn!(file = %path.display(), "is damaged: when the last run ended is taken from the newest sample");
        }
        Ok((RunMark { path, file }, before))
    }

    /// The mark in a data directory, whoever writes there; `None` where there is none that can be read.
    pub fn read(directory: &Path) -> Option<Timestamp> {
        decode(&std::fs::read_to_string(directory.join(RUN_MARK_FILE)).ok()?)
    }

    /// Writes that the historian runs at `now`. Survives the end of the process; that of the machine once it is synced.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, now: Timestamp) -> Result<(), StoreError> {
        self.file.write_all_at(encode(now).as_bytes(), 0).map_err(|error| self.failed(&error))
    }

    /// Makes the mark durable.
    ///
    /// # Errors
    /// When the file cannot be synced.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> StoreError {
        StoreError::Io(format!("{}: {error}", self.path.display()))
    }
}

/// Nanoseconds in 20 columns and the CRC-32C of those; always of one length, so that a new mark covers the old one.
fn encode(at: Timestamp) -> String {
    let time = format!("{:>20}", at.0);
    format!("{time} {:08x}\n", crc32c::crc32c(time.as_bytes()))
}

fn decode(text: &str) -> Option<Timestamp> {
    let at = Timestamp(text.get(..20)?.trim_start().parse().ok()?);
    (encode(at) == text).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_the_run_before_is_read_and_a_damaged_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(RunMark::open(directory.path()).unwrap().1, None);
        for at in [1_767_225_600_123_456_789, 5, i64::MIN, i64::MAX] {
            let (mark, _) = RunMark::open(directory.path()).unwrap();
            mark.write(Timestamp(at)).unwrap();
            mark.sync().unwrap();
            assert_eq!(RunMark::read(directory.path()), Some(Timestamp(at)));
            assert_eq!(RunMark::open(directory.path()).unwrap().1, Some(Timestamp(at)));
        }
        let path = directory.path().join(RUN_MARK_FILE);
        let sound = std::fs::read(&path).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(RunMark::open(directory.path()).unwrap().1, None, "bit {bit}");
        }
    }
}
