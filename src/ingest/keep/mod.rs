//! Background work on stored chunks: small head chunks and late chunks become large, densely encoded ones, and rollups are kept current.
//!
//! One thread, with the lowest priority. It prepares each rewrite without a lock and commits it as one atomic change, unless a deletion has
//! been at the tag since; then it starts again. Sealing only adds chunks and never waits for it.

mod compact;
mod retain;
mod roll;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use retain::RetentionClock;

use super::{delete::TagLocks, seal::SealError};
use historian_model::{Clock, RetentionGroup, Tag, TagId};
use historian_store::{Catalog, ChunkFamily, Store, StoreError, StoredChunk};

/// Settings of the background work.
#[derive(Clone, Debug)]
pub struct KeeperOptions {
    /// Samples of a large chunk.
    pub chunk_samples: usize,
    /// Small chunks of a tag that are made into a larger one even where they hold fewer samples.
    pub chunks_max: usize,
    /// Late chunks of a tag at which they are merged.
    pub late_max: usize,
    /// How long a late chunk waits for more before it is merged.
    pub late_wait: Duration,
    /// A level of rollups is kept where its intervals hold so many samples on average; else its states would outweigh the samples.
    pub rollup_samples_min: u64,
    /// How long samples are kept; of several groups that match a tag the first. Tags of no group are kept for ever.
    pub retention: Vec<RetentionGroup>,
    /// How often retention is applied.
    pub retention_interval: Duration,
    /// Whether the thread works by itself, and not only when [`super::Ingest::compact`] asks.
    pub background: bool,
}

impl Default for KeeperOptions {
    fn default() -> KeeperOptions {
        KeeperOptions {
            chunk_samples: 8_192,
            chunks_max: 16,
            late_max: 8,
            late_wait: Duration::from_secs(10),
            rollup_samples_min: 600,
            retention: Vec::new(),
            retention_interval: Duration::from_hours(1),
            background: true,
        }
    }
}

/// What sealing has left to do, per tag.
#[derive(Default)]
pub struct Pending {
    tags: Mutex<HashMap<TagId, Work>>,
    arrived: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct Work {
    chunks: usize,
    samples: usize,
    late: usize,
    /// When the oldest of it arrived.
    since: Instant,
}

impl Pending {
    /// Chunks were sealed.
    pub(super) fn sealed(&self, chunks: &[(ChunkFamily, StoredChunk)]) {
        if chunks.is_empty() {
            return;
        }
        let mut tags = self.tags.lock();
        for (family, chunk) in chunks {
            let work =
                tags.entry(TagId(chunk.key.tag_id)).or_insert_with(|| Work { chunks: 0, samples: 0, late: 0, since: Instant::now() });
            match family {
                ChunkFamily::Late => work.late += 1,
                ChunkFamily::Chunks => {
                    work.chunks += 1;
                    work.samples += chunk.header().map_or(0, |header| header.statistics.count as usize);
                }
            }
        }
        drop(tags);
        self.arrived.notify_one();
    }

    /// Takes some tags with enough work. Empty when there are none.
    fn due(&self, options: &KeeperOptions, at_most: usize) -> Vec<TagId> {
        let mut tags = self.tags.lock();
        let due = |work: &Work| {
            work.samples >= options.chunk_samples
                || work.chunks >= options.chunks_max
                || work.late >= options.late_max
                || (work.late > 0 && work.since.elapsed() >= options.late_wait)
                || work.since.elapsed() >= UNTOUCHED_MAX
        };
        let mut found: Vec<TagId> = tags.iter().filter(|(_, work)| due(work)).map(|(tag, _)| *tag).take(at_most).collect();
        // Tags near each other share files.
        found.sort_unstable();
        for tag in &found {
            tags.remove(tag);
        }
        found
    }

    fn wait(&self, at_most: Duration) {
        let mut tags = self.tags.lock();
        self.arrived.wait_for(&mut tags, at_most);
    }
}

/// A tag that sealed anything is looked at after this time at the latest, for its rollups.
const UNTOUCHED_MAX: Duration = Duration::from_mins(15);
/// How long after the start the tags that sealed nothing since are looked at: those who waited for the start come first.
const EXAMINE_AFTER: Duration = Duration::from_secs(20);
/// How often the thread looks for tags whose time has come.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Tags taken at once.
const ROUND_TAGS: usize = 64;

/// Figures of the background work since start.
#[derive(Debug, Default)]
struct KeeperStatus {
    chunks_read: AtomicU64,
    chunks_written: AtomicU64,
    samples_superseded: AtomicU64,
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

pub struct Keeper {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    locks: Arc<TagLocks>,
    pending: Arc<Pending>,
    clock: Arc<dyn Clock>,
    options: KeeperOptions,
    retention_clock: Mutex<RetentionClock>,
    status: KeeperStatus,
    stopping: AtomicBool,
    /// Only one works on the store at a time: the thread, or who asked for all.
    working: Mutex<()>,
}

impl Keeper {
    pub(super) fn new(
        store: Arc<dyn Store>,
        catalog: Arc<Catalog>,
        locks: Arc<TagLocks>,
        pending: Arc<Pending>,
        clock: Arc<dyn Clock>,
        options: KeeperOptions,
    ) -> Result<Keeper, StoreError> {
        let retention_clock = Mutex::new(RetentionClock::new(store.retention_clock()?, clock.now()));
        Ok(Keeper {
            clock,
            retention_clock,
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

    /// Applies retention now and answers how many bytes went, about.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(super) fn counts(&self) -> KeptCounts {
        let KeeperStatus { chunks_read, chunks_written, samples_superseded, failures } = &self.status;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KeptCounts {
            chunks_read: read(chunks_read),
            chunks_written: read(chunks_written),
            samples_superseded: read(samples_superseded),
            failures: read(failures),
        }
    }

    pub(super) fn retain_now(&self) -> Result<u64, StoreError> {
        let _working = self.working.lock();
        self.retain().map_err(retain::store_error)
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.pending.arrived.notify_all();
    }

    fn stopped(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The body of the thread: first the tags that the last run left unfinished, then what sealing reports.
    pub(super) fn run(&self) {
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
    pub(super) fn keep_all(&self) -> Result<(), StoreError> {
        let _working = self.working.lock();
        let tags = self.catalog.ids();
        self.pending.tags.lock().clear();
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
