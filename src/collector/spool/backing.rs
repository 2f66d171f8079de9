//! The half of a spool that is on disk, and what its writer has in hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    disk::{DiskFigures, DiskPlace, SpoolDisk},
    lost::Overflow,
};
use historian_model::{SampleBatch, Timestamp};

/// How long a disk that failed is left alone.
const FAILED_FOR: Duration = Duration::from_secs(2);

/// Disk of a spool. Whoever has it decides what is older: the writer takes nothing while samples move from memory to disk.
pub(super) struct SpoolBacking {
    pub(super) disk: Arc<tokio::sync::Mutex<SpoolDisk>>,
    pub(super) figures: Arc<DiskFigures>,
    /// What the writer has in hand.
    pub(super) held: Mutex<Option<HeldBatch>>,
    /// Told when memory fills.
    pub(super) pressed: Notify,
    /// What was given up on disk: older than all else.
    pub(super) overflow: Mutex<Overflow>,
    retry_at: Mutex<Option<Instant>>,
    failing: AtomicBool,
}

/// A batch that is being written.
pub(super) struct HeldBatch {
    pub(super) batch: Arc<SampleBatch>,
    pub(super) since: Timestamp,
    pub(super) came: Instant,
    pub(super) place: HeldPlace,
}

/// Where a batch in hand is beside that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldPlace {
    /// Nowhere: it came from memory.
    Memory,
    /// On disk, up to this end.
    Disk(DiskPlace),
    /// Appended to the disk while it was being written.
    Spilled(DiskPlace),
    /// Nowhere: it was on disk, which had to give it up. It stays in hand, before all that came later.
    GivenUp,
}

impl SpoolBacking {
    pub(super) fn new(mut disk: SpoolDisk) -> SpoolBacking {
        disk.forget_newest();
        SpoolBacking {
            figures: disk.figures(),
            disk: Arc::new(tokio::sync::Mutex::new(disk)),
            held: Mutex::default(),
            pressed: Notify::new(),
            overflow: Mutex::default(),
            retry_at: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// Whether the batch in hand is on disk as well.
    pub(super) fn has_held(&self) -> bool {
        self.held.lock().as_ref().is_some_and(|held| matches!(held.place, HeldPlace::Disk(_) | HeldPlace::Spilled(_)))
    }

    /// Whether the disk failed a moment ago.
    pub(super) fn rests(&self) -> bool {
        self.retry_at.lock().is_some_and(|at| Instant::now() < at)
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Notes how the disk did; true where that is news.
    pub(super) fn note(&self, failed: bool) -> bool {
        *self.retry_at.lock() = failed.then(|| Instant::now() + FAILED_FOR);
        self.failing.swap(failed, Ordering::Relaxed) != failed
    }
}
