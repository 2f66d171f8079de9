//! Bounded queue between a protocol loop and the sample sink, so that a slow disk never blocks polling.
//!
//! Pushing never waits. When the bound is reached the oldest samples go, and are counted in the device's status; the bound is in samples. What
//! could not be kept is told in the data and on record (`lost.rs`). Before the queue stand the filters of tags that have one (`filtering.rs`).
//!
//! What waits for longer than a second, because the store takes nothing or takes it slowly, moves to disk, where it outlasts the process
//! (`spill.rs`, `disk.rs`); so does what fills half of the memory. Only where the disk has no room either, or fails, samples go.
//!
//! Polling pushes runs of one sample. While the sink is slow they are joined, tag by tag, in segments, so that a long stall costs the memory
//! of its samples and not of as many little runs, and is written in few large ones.

mod backing;
mod directory;
mod disk;
mod filtering;
mod historical;
mod lost;
mod outage;
mod refusal;
mod segment;
mod share;
mod spill;
#[cfg(test)]
mod tests;
mod writing;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use self::{
    directory::SpoolDirectory,
    disk::SpoolDisk,
    outage::{Absence, BackfilledGap},
    share::{RoomProbe, SpoolLimits},
};

use self::{
    backing::SpoolBacking,
    filtering::{LOOK_INTERVAL, TagFilters},
    historical::HistoryQueue,
    lost::{Ledger, Overflow},
    segment::{SpoolSegment, SpooledBatch, SpooledKind},
};
use super::{DeviceStatus, status::DeviceBacklog};
use historian_model::{
    PushError, Quality, Sample, SampleBatch, Samples, TagDefinition, TagId, Timestamp, Value, ValueType, sink::Rejected,
};

/// Default bound of a device's spool in samples: some minutes of a large device.
pub const SPOOL_SAMPLES_MAX: usize = 1_000_000;
/// Samples of a segment, and so of one write, at most (and at most a sixteenth of the spool, which drops whole segments).
const SEGMENT_SAMPLES_MAX: usize = 65_536;
/// No sample is held.
const NONE_HELD: i64 = i64::MAX;

#[derive(Clone)]
pub struct Spool {
    shared: Arc<SpoolState>,
}

struct SpoolState {
    filters: TagFilters,
    queue: Mutex<SpoolQueue>,
    filled: Notify,
    /// Samples of history that are not written yet, those that are being written included.
    history_waiting: AtomicUsize,
    /// Some of them were written.
    history_done: Notify,
    samples_max: usize,
    /// Samples that were taken out of the queue and are not written yet; none of a history, which is read again where it is not written.
    held: AtomicUsize,
    /// When the first of them came, or [`NONE_HELD`].
    held_since: AtomicI64,
    /// When the first sample came that was given up with the store, or [`NONE_HELD`].
    gone_since: AtomicI64,
    /// When the first sample came that is on its way to the disk, or [`NONE_HELD`].
    moving_since: AtomicI64,
    /// Where it has a disk.
    backing: Option<SpoolBacking>,
    /// Nothing of the first so many segments waits in memory any longer.
    written: AtomicU64,
    ledger: Mutex<Ledger>,
    /// Tags whose samples are never taken.
    refused: Mutex<HashSet<TagId>>,
    /// Tags whose samples go to another one: by the tag that the collector knows, the one of the catalog.
    routes: Mutex<HashMap<TagId, TagId>>,
    status: Arc<DeviceStatus>,
}

#[derive(Default)]
struct SpoolQueue {
    segments: VecDeque<SpoolSegment>,
    history: HistoryQueue,
    samples: usize,
    /// How many segments there were so far, those of the queue included.
    begun: u64,
    /// What went before the oldest segment.
    overflow: Overflow,
}

impl Spool {
    /// A spool in memory only.
    pub fn new(samples_max: usize, status: Arc<DeviceStatus>) -> Spool {
        Spool::backed(samples_max, status, None)
    }

    /// A spool that goes on on disk where memory would not do, and has there what an earlier run left.
    pub fn on_disk(samples_max: usize, status: Arc<DeviceStatus>, disk: SpoolDisk) -> Spool {
        if disk.samples() > 0 {
            tracing::info!(
                device = status.device,
                samples = disk.samples(),
                "samples of an earlier run wait on disk and are written first"
            );
        }
        Spool::backed(samples_max, status, Some(SpoolBacking::new(disk)))
    }

    fn backed(samples_max: usize, status: Arc<DeviceStatus>, backing: Option<SpoolBacking>) -> Spool {
        let none = || AtomicI64::new(NONE_HELD);
        let state = SpoolState {
            filters: TagFilters::default(),
            queue: Mutex::default(),
            filled: Notify::new(),
            history_waiting: AtomicUsize::default(),
            history_done: Notify::new(),
            samples_max,
            held: AtomicUsize::default(),
            held_since: none(),
            gone_since: none(),
            moving_since: none(),
            backing,
            written: AtomicU64::default(),
            ledger: Mutex::default(),
            refused: Mutex::default(),
            routes: Mutex::default(),
            status,
        };
        let spool = Spool { shared: Arc::new(state) };
        // The status must not keep the spool: it is shown for longer.
        let shared = Arc::downgrade(&spool.shared);
        spool.shared.status.set_backlog(move || {
            let Some(spool) = shared.upgrade().map(|shared| Spool { shared }) else { return DeviceBacklog::default() };
            spool.backlog()
        });
        let shared = Arc::downgrade(&spool.shared);
        spool.shared.status.set_left_out(move || shared.upgrade().map(|shared| shared.filters.left_out()).unwrap_or_default());
        if spool.shared.backing.is_some() {
            // What an earlier run left waits for nobody.
            spool.shared.filled.notify_one();
        }
        spool
    }

    /// Queues a run of one tag. Drops the oldest queued segments when the bound would be passed.
    pub fn push(&self, tag: TagId, run: Samples) {
        if !self.filtered(tag, (0..run.len()).map(|row| run.sample(row))) {
            self.queue_run(tag, run);
        }
    }

    fn queue_run(&self, tag: TagId, run: Samples) {
        if !run.is_empty() {
            self.queue(run.len(), |segment| segment.push(tag, run));
        }
    }

    /// Leaves samples of a tag out as its definition says (`historian_model::filter`), from now on: set it before the first sample is
    /// pushed. What an earlier filter of the tag holds back is queued.
    pub fn set_filter(&self, tag: TagId, definition: &TagDefinition) {
        self.shared.filters.set(tag, definition, || self.shared.status.now(), |run| self.queue_run(tag, run));
    }

    /// Hands samples to the filter of their tag; false where it has none.
    fn filtered(&self, tag: TagId, samples: impl Iterator<Item = Sample>) -> bool {
        self.shared.filters.take(tag, samples, || self.shared.status.now(), |run| self.queue_run(tag, run))
    }

    /// Queues what filters have held back for as long as they may, or all that they hold back, when nothing follows it.
    pub fn release(&self, all: bool) {
        self.shared.filters.release(|| self.shared.status.now(), all, |tag, run| self.queue_run(tag, run));
    }

    /// Queues in time what filters hold back, for ever.
    pub async fn release_in_time(&self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            self.release(false);
        }
    }

    /// Queues one sample without making a run of its own.
    ///
    /// # Errors
    /// When the value is not of the type; nothing is queued then.
    pub fn push_sample(
        &self,
        tag: TagId,
        value_type: ValueType,
        timestamp: Timestamp,
        value: Option<&Value>,
        quality: Quality,
    ) -> Result<(), PushError> {
        if let Some(value) = value
            && value.value_type() != value_type
        {
            return Err(PushError::TypeMismatch { expected: value_type, found: value.value_type() });
        }
        let sample = || Sample { timestamp: timestamp.0, value: value.cloned(), quality: quality.0 };
        if self.filtered(tag, std::iter::once_with(sample)) {
            return Ok(());
        }
        let mut result = Ok(());
        self.queue(1, |segment| {
            result = segment.run_of(tag, value_type).push(timestamp.0, value, quality.0);
            segment.samples += usize::from(result.is_ok());
        });
        result
    }

    /// Queues a run of the device's own history. It is written when nothing else waits, and is not dropped: whoever brings it waits for
    /// [`Spool::history_written`].
    pub fn push_history(&self, tag: TagId, run: Samples) {
        if !run.is_empty() {
            self.shared.history_waiting.fetch_add(run.len(), Ordering::AcqRel);
            self.shared.queue.lock().history.push(tag, run);
            self.shared.filled.notify_one();
        }
    }

    /// Waits until no more than `left` samples of history wait: with 0, until all of them are durable, or were told to be rejected.
    pub async fn history_written(&self, left: usize) {
        loop {
            let written = self.shared.history_done.notified();
            if self.shared.history_waiting.load(Ordering::Acquire) <= left {
                return;
            }
            written.await;
        }
    }

    /// Adds `samples` to the last segment, or to a new one when that is full, and keeps the bound.
    fn queue(&self, samples: usize, add: impl FnOnce(&mut SpoolSegment)) {
        let segment_samples = SEGMENT_SAMPLES_MAX.min(self.shared.samples_max / 16);
        let mut dropped = 0;
        let pressed = {
            let mut queue = self.shared.queue.lock();
            if queue.segments.back().is_none_or(|segment| segment.samples + samples > segment_samples) {
                queue.segments.push_back(SpoolSegment::beginning(self.shared.status.now()));
                queue.begun += 1;
            }
            if let Some(segment) = queue.segments.back_mut() {
                let before = segment.samples;
                add(segment);
                let added = segment.samples - before;
                queue.samples += added;
            }
            while queue.samples > self.shared.samples_max {
                let Some(oldest) = queue.segments.pop_front() else { break };
                queue.samples -= oldest.samples;
                dropped += queue.overflow.drop_runs(&oldest.runs, oldest.since);
            }
            queue.samples > self.shared.samples_max / 2
        };
        if let (true, Some(backing)) = (pressed, &self.shared.backing) {
            backing.pressed.notify_one();
        }
        if dropped > 0 {
            self.shared.status.samples_dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        self.shared.filled.notify_one();
    }

    /// Samples waiting to be written.
    pub fn depth(&self) -> usize {
        self.shared.queue.lock().samples
    }

    /// Where the samples are that were pushed so far: they are written once [`Spool::written`] is there.
    pub fn place(&self) -> u64 {
        self.shared.queue.lock().begun
    }

    /// The place up to which nothing waits in memory any longer: it is durable, in the store or on the disk of the spool, or was told to be
    /// rejected or lost.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Acquire)
    }

    /// When the oldest sample came that a kill would take: neither written nor on disk nor told to be lost; `None` where there is none.
    pub fn unwritten_since(&self) -> Option<Timestamp> {
        let queue = self.shared.queue.lock();
        let waiting = queue.segments.front().map(|segment| segment.since);
        // What the disk had to give up is not told yet.
        let given_up = self.shared.backing.as_ref().and_then(|backing| backing.overflow.lock().since);
        let told = |since: &AtomicI64| Some(since.load(Ordering::Relaxed)).filter(|&since| since != NONE_HELD).map(Timestamp);
        [
            waiting,
            given_up,
            queue.overflow.since,
            told(&self.shared.held_since),
            told(&self.shared.gone_since),
            told(&self.shared.moving_since),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Takes the oldest segment out, so that it is written by nobody; empty when nothing waits. For tests of collectors: what runs hands the
    /// spool to its drain task.
    pub fn take(&self) -> SampleBatch {
        self.take_part().0.batch
    }

    /// What is to be written next of what is in memory: in the place of what went, else the oldest segment, with when that came, else what came
    /// from a history; empty when nothing waits.
    fn take_part(&self) -> (SpooledBatch, Option<Instant>) {
        let mut queue = self.shared.queue.lock();
        let (next, came) = if let Some(since) = queue.overflow.since {
            let (batch, losses) = queue.overflow.take();
            self.shared.ledger.lock().overflowed(losses);
            (SpooledBatch { batch, since, kind: SpooledKind::Live }, None)
        } else {
            // Whoever takes a segment is done with those before it.
            let done = queue.begun - queue.segments.len() as u64;
            self.shared.written.fetch_max(done, Ordering::Release);
            if let Some(SpoolSegment { runs, samples, since, came, .. }) = queue.segments.pop_front() {
                queue.samples -= samples;
                (SpooledBatch { batch: SampleBatch { runs }, since, kind: SpooledKind::Live }, Some(came))
            } else {
                let nothing = SpooledBatch { batch: SampleBatch::default(), since: Timestamp(0), kind: SpooledKind::Live };
                (queue.history.take(self.shared.status.now(), SEGMENT_SAMPLES_MAX).unwrap_or(nothing), None)
            }
        };
        // Still under the lock, so that whoever asks since when samples wait sees them in one place or the other.
        let is_held = !next.batch.is_empty() && next.kind == SpooledKind::Live;
        self.shared.held_since.store(if is_held { next.since.0 } else { NONE_HELD }, Ordering::Relaxed);
        (next, came)
    }

    /// Samples of this tag will not be taken, with the reason: they are counted as rejected, and nothing of them is written.
    pub fn refuse(&self, tag: TagId, reason: &str) {
        let status = &self.shared.status;
        let name = status.tag_name(tag);
        if self.shared.refused.lock().insert(tag) {
            tracing::warn!(device = status.device, tag = name, "its samples are not taken: {reason}");
        }
        status.record_refused(&name, reason);
    }

    /// Samples of this tag go to another one from now on, which takes them: one of its name and another value type.
    pub fn redirect(&self, tag: TagId, to: TagId) {
        self.shared.routes.lock().insert(tag, to);
        if self.shared.refused.lock().remove(&tag) {
            let status = &self.shared.status;
            status.record_quality(tag, Quality::GOOD, status.now());
        }
    }

    /// A tag does not deliver from now on. It may be told again and again; the first reason stands until samples come, but that a device which
    /// answers again refuses the tag, and that a collector which failed finds the device down. Answers where the gap begins that is on record
    /// for it, or will be.
    pub fn absent(&self, tag: TagId, absence: Absence) -> Timestamp {
        let now = self.shared.status.now();
        let start = self.shared.ledger.lock().outages.absent(tag, absence, now);
        self.shared.filled.notify_one();
        start
    }

    /// A sample of the tag came, of this source time. Does nothing where none was missing.
    pub fn present(&self, tag: TagId, at: Timestamp) {
        let now = self.shared.status.now();
        self.shared.ledger.lock().outages.present(tag, at, now);
    }

    /// All that the tag did meanwhile is known after all: the device kept it and sent it late.
    pub fn nothing_missed(&self, tag: TagId) {
        let now = self.shared.status.now();
        self.shared.ledger.lock().outages.nothing_missed(tag, now);
        self.shared.filled.notify_one();
    }

    /// Samples of the device's own history were stored for a time in which samples of the tag were absent.
    pub fn backfilled(&self, tag: TagId, gap: BackfilledGap) {
        self.shared.ledger.lock().outages.backfilled(tag, gap);
        self.shared.filled.notify_one();
    }

    /// As the catalog has the tags.
    fn outward(&self, mut batch: SampleBatch) -> SampleBatch {
        let routes = self.shared.routes.lock();
        if !routes.is_empty() {
            batch.runs.iter_mut().for_each(|(tag, _)| *tag = routes.get(tag).copied().unwrap_or(*tag));
        }
        batch
    }

    /// As the collector knows them.
    fn inward(&self, batch: &mut SampleBatch, rejected: &mut Rejected) {
        let routes = self.shared.routes.lock();
        if routes.is_empty() {
            return;
        }
        let tags = batch.runs.iter_mut().map(|(tag, _)| tag).chain(rejected.tags.iter_mut().map(|rejected| &mut rejected.tag));
        for tag in tags {
            *tag = routes.iter().find(|(_, to)| *to == tag).map_or(*tag, |(own, _)| *own);
        }
    }
}
