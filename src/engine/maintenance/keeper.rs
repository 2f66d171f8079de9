//! The keeper: the thread that does the work, and what it is asked to do at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{lock::TagLocks, options::KeeperOptions, pending::PendingMaintenance, retention_clock::RetentionClock, rewrite::SealError};
use historian_model::{Clock, RetentionGroup, Tag};
use historian_store::{Catalog, Store, StoreError};

/// How long after the start the tags that sealed nothing since are looked at: those who waited for the start come first.
const EXAMINE_AFTER: Duration = Duration::from_secs(20);
/// How often the thread looks for tags whose time has come.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Tags taken at once.
const ROUND_TAGS: usize = 64;

/// Figures of the background work since start.
#[derive(Debug, Default)]
pub(crate) struct KeeperStatus {
    pub(crate) chunks_read: AtomicU64,
    pub(crate) chunks_written: AtomicU64,
    pub(crate) samples_superseded: AtomicU64,
    failures: AtomicU64,
}

/// What background work has done since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptCounts {
    /// Chunks merged into larger ones, and the chunks they became.
    pub chunks_read: u64,
    pub chunks_written: u64,
    /// Samples that lost against another one at the same timestamp.
    pub samples_superseded: u64,
    /// Rounds that ended with an error of the store.
    pub failures: u64,
}

/// Works on stored chunks, beside the write path.
pub struct Keeper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) locks: Arc<TagLocks>,
    pending: Arc<PendingMaintenance>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: KeeperOptions,
    /// What is kept for how long; it can change.
    retention: Mutex<Arc<Vec<RetentionGroup>>>,
    pub(crate) retention_clock: Mutex<RetentionClock>,
    pub(crate) status: KeeperStatus,
    stopping: AtomicBool,
    /// Only one works on the store at a time: the thread, or who asked for all.
    pub(crate) working: Mutex<()>,
}

impl Keeper {
    /// A keeper that does nothing yet.
    ///
    /// # Errors
    /// When the retention clock cannot be read.
    pub fn new(
        store: Arc<dyn Store>,
        catalog: Arc<Catalog>,
        locks: Arc<TagLocks>,
        pending: Arc<PendingMaintenance>,
        clock: Arc<dyn Clock>,
        options: KeeperOptions,
    ) -> Result<Keeper, StoreError> {
        let retention_clock = Mutex::new(RetentionClock::new(store.retention_clock()?, clock.now()));
        Ok(Keeper {
            clock,
            retention_clock,
            retention: Mutex::new(Arc::new(options.retention.clone())),
            store,
            catalog,
            locks,
            pending,
            options,
            status: KeeperStatus::default(),
            stopping: AtomicBool::new(false),
            working: Mutex::new(()),
        })
    }

    /// What was done since start.
    pub fn counts(&self) -> KeptCounts {
        let KeeperStatus { chunks_read, chunks_written, samples_superseded, failures } = &self.status;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KeptCounts {
            chunks_read: read(chunks_read),
            chunks_written: read(chunks_written),
            samples_superseded: read(samples_superseded),
            failures: read(failures),
        }
    }

    /// What is kept for how long.
    pub(crate) fn retention(&self) -> Arc<Vec<RetentionGroup>> {
        self.retention.lock().clone()
    }

    /// Keeps samples as these groups say, from the next time on that retention is applied.
    pub fn set_retention(&self, groups: Vec<RetentionGroup>) {
        *self.retention.lock() = Arc::new(groups);
    }

    /// Ends the thread, and what else is under way, at the next tag.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.pending.wake();
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The body of the thread: first the tags that the last run left unfinished, then what sealing reports.
    pub fn run(&self) {
        lower_priority();
        if !self.options.background {
            return;
        }
        let mut unexamined = self.catalog.ids();
        unexamined.reverse();
        let started = Instant::now();
        let mut retained = started;
        while !self.stopped() {
            if retained.elapsed() >= self.options.retention_interval {
                if let Err(error) = self.retain_now() {
                    tracing::warn!(%error, "retention was not applied");
                }
                retained = Instant::now();
            }
            // Rewriting needs room before it gives any back.
            if self.store.room().is_err() {
                self.pending.wait(LOOK_INTERVAL);
                std::thread::sleep(LOOK_INTERVAL);
                continue;
            }
            let mut tags = self.pending.due(&self.options, ROUND_TAGS);
            if tags.is_empty() && started.elapsed() >= EXAMINE_AFTER {
                tags = unexamined.split_off(unexamined.len().saturating_sub(ROUND_TAGS));
            }
            if tags.is_empty() {
                self.pending.wait(LOOK_INTERVAL);
                // Sealing reports chunk by chunk; looking at each report would cost more than the work.
                std::thread::sleep(LOOK_INTERVAL.min(Duration::from_millis(100)));
                continue;
            }
            for tag in tags {
                if self.stopped() {
                    return;
                }
                let Some(tag) = self.catalog.by_id(tag) else { continue };
                let _working = self.working.lock();
                if let Err(error) = self.keep(&tag, false) {
                    self.failures(&tag, &error);
                }
            }
        }
    }

    fn failures(&self, tag: &Tag, error: &SealError) {
        self.status.failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(tag = %tag.name(), %error, "background compaction leaves this tag as it is");
    }

    /// Works off everything of every tag now, on all cores.
    ///
    /// # Errors
    /// The first failure of the store; tags whose stored bytes are damaged are left as they are.
    pub fn keep_all(&self) -> Result<(), StoreError> {
        let _working = self.working.lock();
        let tags = self.catalog.ids();
        self.pending.clear();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(tag) = tags.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if self.stopped() || failed.lock().is_some() {
                            return;
                        }
                        let Some(tag) = self.catalog.by_id(*tag) else { continue };
                        match self.keep(&tag, true) {
                            Ok(()) => {}
                            Err(SealError::Store(error @ (StoreError::Full(_) | StoreError::Io(_)))) => *failed.lock() = Some(error),
                            Err(error) => self.failures(&tag, &error),
                        }
                    }
                });
            }
        });
        failed.into_inner().map_or(Ok(()), Err)
    }

    /// Merges late chunks, makes large chunks, brings rollups up to date. With `all` also small remainders.
    fn keep(&self, tag: &Tag, all: bool) -> Result<(), SealError> {
        self.merge_late(tag)?;
        self.enlarge(tag, all)?;
        self.roll(tag)
    }
}

/// Background work takes what others leave.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10) {
        tracing::debug!(%error, "the priority of background work stays as it is");
    }
}
