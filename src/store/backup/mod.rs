//! Backups: taken online, incremental, verified after writing, and restored with every byte checked.
//!
//! A repository is a directory of ours, not RocksDB's backup engine: through its C interface that engine compares sizes only, so a flipped
//! byte would pass for a good backup. Here every file has a checksum, which is compared when a backup is written, verified and restored.
//!
//! ```text
//! DIR/LOCK                      held by whoever changes the directory
//! DIR/files/<identity>          table files, shared between backups; they never change
//! DIR/000007/manifest.json      what backup 7 consists of, with size and CRC32C of each file
//! DIR/000007/manifest.crc32c    CRC32C of the manifest
//! DIR/000007/<name>             files of this backup alone: the log, RocksDB's manifest, its options
//! ```
//!
//! A number appears by one rename when all its files are durable and compared. What is not finished is called `*.partial` and removed by the
//! next run.

mod copy;
mod create;
mod manifest;
mod repository;
mod restore;
#[cfg(test)]
mod tests;

use std::{ops::ControlFlow, path::Path};

pub use create::{BackupSource, Created, create};
pub use manifest::{Manifest, ManifestFile};
pub use repository::{Damage, ListedBackup, Repository};
pub use restore::{Restored, restore};

use super::StoreError;

pub(super) use create::remove_checkpoint;

/// Why a backup or a restore did not come about.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{path}: {message}")]
    Io { path: String, message: String },
    #[error("{file} is damaged: {message}")]
    Damaged { file: String, message: String },
    #[error("{0} holds no backup; make one with `historian backup`")]
    Empty(String),
    #[error("there is no backup {number} in {directory}; it has {known}")]
    Unknown { directory: String, number: u64, known: String },
    #[error("{0} is in use by another backup, verification or restore; try again when that has ended")]
    Busy(String),
    #[error("{0} is not empty; name a directory that is not there yet, nothing was changed")]
    NotEmpty(String),
    #[error("cancelled; nothing of it is left behind")]
    Cancelled,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    fn io(path: &Path, error: impl std::fmt::Display) -> BackupError {
        BackupError::Io { path: path.display().to_string(), message: error.to_string() }
    }

    fn damaged(file: &Path, message: impl Into<String>) -> BackupError {
        BackupError::Damaged { file: file.display().to_string(), message: message.into() }
    }
}

/// What a long run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Checkpoint,
    Copy,
    Verify,
    Prune,
    Open,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Checkpoint => "checkpoint",
            Phase::Copy => "copy",
            Phase::Verify => "verify",
            Phase::Prune => "prune",
            Phase::Open => "open",
        }
    }
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseProgress {
    pub phase: Phase,
    pub bytes_done: u64,
    pub bytes_total: u64,
}

/// Hears of progress about once per mebibyte; says whether to go on.
pub type Watch<'a> = &'a mut dyn FnMut(PhaseProgress) -> ControlFlow<()>;

/// Counts the bytes of a phase and tells the watch.
struct PhaseMeter<'a, 'b> {
    watch: &'a mut Watch<'b>,
    progress: PhaseProgress,
}

impl<'a, 'b> PhaseMeter<'a, 'b> {
    fn begin(watch: &'a mut Watch<'b>, phase: Phase, bytes_total: u64) -> Result<PhaseMeter<'a, 'b>, BackupError> {
        let mut meter = PhaseMeter { watch, progress: PhaseProgress { phase, bytes_done: 0, bytes_total } };
        meter.add(0)?;
        Ok(meter)
    }

    fn add(&mut self, bytes: u64) -> Result<(), BackupError> {
        self.progress.bytes_done += bytes;
        match (self.watch)(self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackupError::Cancelled),
        }
    }
}
