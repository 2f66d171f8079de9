//! What the spools of all devices have together on disk: bytes that they may take, and who has which folder.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

/// Bounds of the spools of all devices together.
#[derive(Clone, Copy, Debug)]
pub struct SpoolLimits {
    /// Bytes on disk. A device whose part is smaller than an equal one is never made to give up of it.
    pub bytes_max: u64,
    /// What came earlier is given up.
    pub age_max: Option<Duration>,
}

/// Asks how many bytes of the file system of a folder may still be taken.
pub type RoomProbe = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// Longest segment, and so about what is given up at once.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;
const SEGMENT_BYTES_MIN: u64 = 16 << 10;

pub(super) struct SpoolShare {
    root: PathBuf,
    limits: SpoolLimits,
    room: RoomProbe,
    bytes: AtomicU64,
    folders: Mutex<HashSet<PathBuf>>,
}

impl SpoolShare {
    pub(super) fn new(root: PathBuf, limits: SpoolLimits, room: RoomProbe) -> SpoolShare {
        SpoolShare { root, limits, room, bytes: AtomicU64::new(0), folders: Mutex::default() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn age_max(&self) -> Option<Duration> {
        self.limits.age_max
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        (self.part() / 4).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
    }

    /// Bytes that may still be written.
    pub(super) fn room(&self) -> io::Result<u64> {
        (self.room)(&self.root)
    }

    pub(super) fn taken(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn given(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// An equal part of all bytes.
    fn part(&self) -> u64 {
        self.limits.bytes_max / self.folders.lock().len().max(1) as u64
    }

    /// Whether one that has `own` bytes and wants more has to give up of them first.
    pub(super) fn is_over(&self, more: u64, own: u64) -> bool {
        self.bytes.load(Ordering::Relaxed) + more > self.limits.bytes_max && own + more > self.part()
    }

    /// Whether it has no place for so much even where it gives up all of its own.
    pub(super) fn is_too_much(&self, more: u64, own: u64) -> bool {
        self.bytes.load(Ordering::Relaxed).saturating_sub(own) + more > self.limits.bytes_max && more > self.part()
    }

    /// Takes a folder for one; false where another has it.
    pub(super) fn enter(&self, folder: &Path) -> bool {
        self.folders.lock().insert(folder.to_owned())
    }

    pub(super) fn leave(&self, folder: &Path) {
        self.folders.lock().remove(folder);
    }
}
