//! The durable watermark beside the database: the highest acknowledged sequence number, in a file of its own.
//!
//! RocksDB cannot tell a tail of its log that was never acknowledged from one that was and is lost. This file can: it is written after each
//! durable append and before the acknowledgement. Its own fsync follows in the background, so after a power loss it may be up to a second
//! behind, never ahead: a lower bound of what must be found. Layout: `storage-format/journal.md`.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use historian_format::journal::{WATERMARK_BYTES, WATERMARK_FILE, decode_watermark, encode_watermark};

use crate::error::{REMEDY, StoreError};

pub struct WatermarkFile {
    path: PathBuf,
    file: File,
}

/// What the file in a directory says, without making it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WatermarkRead {
    Held(u64),
    /// Not there, or empty.
    Missing,
    Damaged(String),
}

impl WatermarkRead {
    /// The watermark, as far as it is known.
    pub(crate) fn held(&self) -> u64 {
        match self {
            WatermarkRead::Held(watermark) => *watermark,
            WatermarkRead::Missing | WatermarkRead::Damaged(_) => 0,
        }
    }
}

impl WatermarkFile {
    /// Looks at the file in `directory`.
    pub(crate) fn look(directory: &Path) -> WatermarkRead {
        let path = directory.join(WATERMARK_FILE);
        match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => WatermarkRead::Missing,
            Err(error) => WatermarkRead::Damaged(format!("{}: {error}", path.display())),
            Ok(file) if file.metadata().is_ok_and(|metadata| metadata.len() == 0) => WatermarkRead::Missing,
            Ok(file) => {
                held(&file).map_or_else(|message| WatermarkRead::Damaged(format!("{}: {message}", path.display())), WatermarkRead::Held)
            }
        }
    }

    /// Opens or makes the file in `directory`; returns it with the watermark it holds, 0 when new.
    ///
    /// # Errors
    /// When the file cannot be opened or its CRC does not match.
    pub fn open(directory: &Path) -> Result<(WatermarkFile, u64), StoreError> {
        let path = directory.join(WATERMARK_FILE);
        let fail = |message: String| StoreError::Open { path: path.display().to_string(), message };
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(|error| fail(error.to_string()))?;
        let watermark = held(&file).map_err(&fail)?;
        Ok((WatermarkFile { path: path.clone(), file }, watermark))
    }

    /// Opens the file in `directory` without being able to change it.
    ///
    /// # Errors
    /// When it is not there, which means that no historian has kept its data in this directory, or is damaged.
    pub fn open_read_only(directory: &Path) -> Result<(WatermarkFile, u64), StoreError> {
        let path = directory.join(WATERMARK_FILE);
        let fail = |message: String| StoreError::Open { path: path.display().to_string(), message };
        let file =
            File::open(&path).map_err(|error| fail(format!("{error}; is {} the data directory of a historian?", directory.display())))?;
        let watermark = held(&file).map_err(&fail)?;
        Ok((WatermarkFile { path: path.clone(), file }, watermark))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the watermark; not yet fsynced.
    pub fn write(&self, watermark: u64) -> Result<(), StoreError> {
        self.file.write_all_at(&encode_watermark(watermark), 0).map_err(|error| StoreError::Io(format!("{}: {error}", self.path.display())))
    }

    /// Makes a new file durable, its name with it.
    pub(crate) fn sync_with_directory(&self) -> Result<(), StoreError> {
        self.sync()?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| StoreError::Io(format!("{}: {error}", directory.display())))
    }

    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|error| StoreError::Io(format!("{}: {error}", self.path.display())))
    }
}

/// The watermark in a file; 0 when it is empty.
fn held(file: &File) -> Result<u64, String> {
    if file.metadata().map_err(|error| error.to_string())?.len() == 0 {
        return Ok(0);
    }
    let mut bytes = [0; WATERMARK_BYTES];
    file.read_exact_at(&mut bytes, 0).map_err(|error| format!("the file is damaged: {error}; {REMEDY}"))?;
    decode_watermark(&bytes).map_err(|error| format!("the file is damaged: {error}; {REMEDY}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_keeps_the_last_watermark_and_notices_damage() {
        let directory = tempfile::tempdir().unwrap();
        let (file, start) = WatermarkFile::open(directory.path()).unwrap();
        assert_eq!(start, 0);
        file.write(7).unwrap();
        file.write(1 << 40).unwrap();
        file.sync().unwrap();
        drop(file);
        assert_eq!(WatermarkFile::open(directory.path()).unwrap().1, 1 << 40);
        for bit in 0..128 {
            let path = directory.path().join(WATERMARK_FILE);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert!(WatermarkFile::open(directory.path()).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
        }
    }
}
