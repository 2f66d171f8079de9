//! Bounded queue between a protocol loop and the sample sink, so that a slow disk never blocks polling.
//!
//! Pushing never waits. When the bound is reached the oldest samples go, and are counted in the device's status; the bound is in samples. What
//! could not be kept is told in the data and on record (`lost.rs`).
//!
//! What waits for longer than a second, because the store takes nothing or takes it slowly, moves to disk, where it outlasts the process
//! (`spill.rs`, `disk.rs`); so does what fills half of the memory. Only where the disk has no room either, or fails, samples go.
//!
//! Polling pushes runs of one sample. While the sink is slow they are joined, tag by tag, in segments, so that a long stall costs the memory
//! of its samples and not of as many little runs, and is written in few large ones.

mod backing;
mod directory;
mod disk;
mod lost;
mod outage;
mod refusal;
mod share;
mod spill;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::{
    directory::SpoolDirectory,
    disk::SpoolDisk,
    outage::Absence,
    share::{RoomProbe, SpoolLimits},
};

use self::{
    backing::SpoolBacking,
    lost::{Ledger, Overflow},
};
use super::{DeviceStatus, status::DeviceBacklog, supervise::Backoff};
use historian_model::{
    PushError, Quality, SampleBatch, Samples, TagId, Timestamp, Value, ValueType,
    sink::{Acknowledgement, Durability, RefusedWrite, Rejected, SampleSink, WriteError, WriteMode},
};

/// Default bound of a device's spool in samples: some minutes of a large device.
pub const SPOOL_SAMPLES_MAX: usize = 1_000_000;
/// Samples of a segment, and so of one write, at most (and at most a sixteenth of the spool, which drops whole segments).
const SEGMENT_SAMPLES_MAX: usize = 65_536;
/// How long a stopping drain may go on.
const DRAIN_AT_STOP: Duration = Duration::from_secs(5);
/// How often what waits to be put on record is tried, where no sample comes.
const TELL_INTERVAL: Duration = Duration::from_secs(5);
/// The same, while tags cease or begin to deliver.
const OUTAGE_INTERVAL: Duration = Duration::from_millis(500);
/// How long is written before what was lost is put on record.
const WRITE_FOR: Duration = Duration::from_secs(1);
/// Losses that are put on record in one write.
const TELL_AT_ONCE: usize = 8_192;
/// No sample is held.
const NONE_HELD: i64 = i64::MAX;

#[derive(Clone)]
pub struct Spool {
    shared: Arc<SpoolState>,
}

struct SpoolState {
    queue: Mutex<SpoolQueue>,
    filled: Notify,
    samples_max: usize,
    /// Samples that were taken out of the queue and are not written yet.
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
    samples: usize,
    /// How many segments there were so far, those of the queue included.
    begun: u64,
    /// What went before the oldest segment.
    overflow: Overflow,
}

/// Samples that go to the sink in one batch: a run per tag (more where a run could not be joined).
struct SpoolSegment {
    runs: Vec<(TagId, Samples)>,
    /// Place in `runs` of the last run of each tag.
    places: HashMap<TagId, usize>,
    samples: usize,
    /// When its first sample came.
    since: Timestamp,
    /// The same by a clock that nobody sets.
    came: Instant,
}

/// How a run begins and ends.
struct Ends {
    tag: TagId,
    /// Of the last sample.
    quality: Quality,
    first: Timestamp,
    last: Timestamp,
}

/// What is written at once.
struct SpooledBatch {
    batch: SampleBatch,
    /// When its first sample came.
    since: Timestamp,
    /// Marks the loss of samples: no sample of the device.
    mark: bool,
}

/// Whether something waits after a round of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteRound {
    Nothing,
    More,
    /// The store takes nothing before a restart.
    StoreGone,
}

impl SpoolSegment {
    fn beginning(since: Timestamp) -> SpoolSegment {
        SpoolSegment { runs: Vec::new(), places: HashMap::new(), samples: 0, since, came: Instant::now() }
    }

    fn push(&mut self, tag: TagId, run: Samples) {
        self.samples += run.len();
        if let Some(&place) = self.places.get(&tag)
            && self.runs[place].1.append(&run).is_ok()
        {
            return;
        }
        self.places.insert(tag, self.runs.len());
        self.runs.push((tag, run));
    }

    /// The run that a sample of a tag joins; a new one where the tag has none of this type.
    fn run_of(&mut self, tag: TagId, value_type: ValueType) -> &mut Samples {
        let place = match self.places.get(&tag) {
            Some(&place) if self.runs[place].1.value_type() == value_type => place,
            _ => {
                self.places.insert(tag, self.runs.len());
                self.runs.push((tag, Samples::new(value_type)));
                self.runs.len() - 1
            }
        };
        &mut self.runs[place].1
    }
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
            queue: Mutex::default(),
            filled: Notify::new(),
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
        if spool.shared.backing.is_some() {
            // What an earlier run left waits for nobody.
            spool.shared.filled.notify_one();
        }
        spool
    }

    /// Queues a run of one tag. Drops the oldest queued segments when the bound would be passed.
    pub fn push(&self, tag: TagId, run: Samples) {
        if !run.is_empty() {
            self.queue(run.len(), |segment| segment.push(tag, run));
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
        let mut result = Ok(());
        self.queue(1, |segment| {
            result = segment.run_of(tag, value_type).push(timestamp.0, value, quality.0);
            segment.samples += usize::from(result.is_ok());
        });
        result
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

    /// What is to be written next of what is in memory: in the place of what went, else the oldest segment, with when that came; empty when
    /// nothing waits.
    fn take_part(&self) -> (SpooledBatch, Option<Instant>) {
        let mut queue = self.shared.queue.lock();
        let (batch, since, came) = if let Some(since) = queue.overflow.since {
            let (batch, losses) = queue.overflow.take();
            self.shared.ledger.lock().overflowed(losses);
            (batch, since, None)
        } else {
            // Whoever takes a segment is done with those before it.
            let done = queue.begun - queue.segments.len() as u64;
            self.shared.written.fetch_max(done, Ordering::Release);
            let segment = queue.segments.pop_front();
            queue.samples -= segment.as_ref().map_or(0, |segment| segment.samples);
            segment.map_or((SampleBatch::default(), Timestamp(0), None), |segment| {
                (SampleBatch { runs: segment.runs }, segment.since, Some(segment.came))
            })
        };
        // Still under the lock, so that whoever asks since when samples wait sees them in one place or the other.
        self.shared.held_since.store(if batch.is_empty() { NONE_HELD } else { since.0 }, Ordering::Relaxed);
        (SpooledBatch { batch, since, mark: false }, came)
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
    /// answers again refuses the tag, and that a collector which failed finds the device down.
    pub fn absent(&self, tag: TagId, absence: Absence) {
        let now = self.shared.status.now();
        self.shared.ledger.lock().outages.absent(tag, absence, now);
        self.shared.filled.notify_one();
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

    /// Writes what is queued to `sink` until `shutdown`, then what is left. What a repeat can mend is repeated, for as long as it takes: the
    /// queue then goes to disk, or fills up to its bound. What it cannot mend is counted as rejected and named in the status, and everything else
    /// is written.
    pub async fn drain(self, sink: Arc<dyn SampleSink>, shutdown: CancellationToken) {
        // Goes on to its end where the writer is cut short, and ends where this does.
        let ended = CancellationToken::new();
        let _ended = ended.clone().drop_guard();
        let spilling = self.shared.backing.is_some().then(|| tokio::spawn(self.clone().spill_until(ended.clone())));
        let left = self.write_until(&*sink, &shutdown).await;
        ended.cancel();
        if let Some(spilling) = spilling {
            // A disk that hangs does not hold up a stop.
            let _ = tokio::time::timeout(DRAIN_AT_STOP, spilling).await;
        }
        if left != WriteRound::Nothing {
            self.give_up().await;
        }
    }

    async fn write_until(&self, sink: &dyn SampleSink, shutdown: &CancellationToken) -> WriteRound {
        let late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_AT_STOP).await;
        };
        tokio::pin!(late);
        let mut waiting = WriteRound::Nothing;
        loop {
            if waiting == WriteRound::Nothing {
                let (waits, outages) = {
                    let ledger = self.shared.ledger.lock();
                    (ledger.waits(), ledger.outages.are_pending())
                };
                tokio::select! {
                    () = self.shared.filled.notified() => {}
                    () = shutdown.cancelled() => {}
                    () = tokio::time::sleep(if outages { OUTAGE_INTERVAL } else { TELL_INTERVAL }), if waits || outages => {}
                }
            }
            let last = shutdown.is_cancelled();
            waiting = tokio::select! {
                waiting = async {
                    let waiting = self.write_queued(sink, shutdown).await;
                    self.put_on_record(sink, last && waiting != WriteRound::More).await;
                    waiting
                } => waiting,
                // What waits for room may wait for ever, but a stop does not.
                () = &mut late => return WriteRound::More,
            };
            if waiting == WriteRound::StoreGone || (last && waiting == WriteRound::Nothing) {
                return waiting;
            }
        }
    }

    async fn write_queued(&self, sink: &dyn SampleSink, shutdown: &CancellationToken) -> WriteRound {
        let begun = Instant::now();
        loop {
            let SpooledBatch { batch, since, mark } = self.next_part().await;
            if batch.is_empty() {
                return WriteRound::Nothing;
            }
            let mut parts = vec![SpooledBatch { batch: self.without_refused(batch), since, mark }];
            while let Some(part) = parts.pop() {
                let waiting: usize = parts.iter().map(|part| part.batch.len()).sum();
                self.shared.held.store(part.batch.len() + waiting, Ordering::Relaxed);
                if self.write_part(part, sink, shutdown, &mut parts).await == WriteRound::StoreGone && self.shared.backing.is_some() {
                    if shutdown.is_cancelled() {
                        return WriteRound::StoreGone;
                    }
                    let held = self.shared.held.swap(0, Ordering::Relaxed);
                    if !self.take_again().await {
                        self.shared.status.samples_dropped.fetch_add(held as u64, Ordering::Relaxed);
                    }
                    self.shared.held_since.store(NONE_HELD, Ordering::Relaxed);
                    return WriteRound::More;
                }
            }
            self.part_is_done().await;
            self.shared.held.store(0, Ordering::Relaxed);
            self.shared.held_since.store(NONE_HELD, Ordering::Relaxed);
            if begun.elapsed() >= WRITE_FOR {
                return WriteRound::More;
            }
        }
    }

    /// Puts on record what was lost. What finds no room is tried again.
    async fn put_on_record(&self, sink: &dyn SampleSink, last: bool) {
        let mut losses = self.shared.ledger.lock().due(self.shared.status.now(), last);
        if !losses.is_empty() {
            // Of a tag that is not collected at all, that is the reason.
            let refused = self.shared.refused.lock();
            losses.retain(|loss| !loss.reason.is_of_device() || !refused.contains(&loss.tag));
        }
        {
            let routes = self.shared.routes.lock();
            for loss in &mut losses {
                loss.tag = routes.get(&loss.tag).copied().unwrap_or(loss.tag);
            }
        }
        let mut left = losses.as_slice();
        while !left.is_empty() {
            let some = &left[..left.len().min(TELL_AT_ONCE)];
            if let Err(error) = sink.record_losses(some).await {
                tracing::error!(device = self.shared.status.device, %error, gaps = left.len(), "gaps cannot be recorded yet");
                self.shared.ledger.lock().again(left.to_vec(), TELL_INTERVAL);
                return;
            }
            left = &left[some.len()..];
        }
    }

    /// Writes one batch; what is refused for what is in it goes back to `parts` as two halves, the later one first, until it is one sample.
    async fn write_part(
        &self,
        part: SpooledBatch,
        sink: &dyn SampleSink,
        shutdown: &CancellationToken,
        parts: &mut Vec<SpooledBatch>,
    ) -> WriteRound {
        let status = &self.shared.status;
        let SpooledBatch { mut batch, since, mark } = part;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut waiting = false;
        while !batch.is_empty() {
            let samples = batch.len();
            let ends = if mark { Vec::new() } else { self.ends(&batch) };
            let refused = match sink.write(self.outward(batch), WriteMode::Upsert, Durability::Sync).await {
                Ok(Acknowledgement { samples, mut rejected, .. }) => {
                    self.inward(&mut SampleBatch::default(), &mut rejected);
                    status.samples.fetch_add(if mark { 0 } else { samples }, Ordering::Relaxed);
                    self.tell(&ends, &rejected);
                    parts.extend(self.mark_rejected(&ends, &rejected, since));
                    break;
                }
                Err(refused) => *refused,
            };
            let RefusedWrite { error, batch: mut back, mut rejected } = refused;
            self.inward(&mut back, &mut rejected);
            self.tell(&[], &rejected);
            parts.extend(self.mark_rejected(&[], &rejected, since));
            let lost = samples.saturating_sub(back.len()).saturating_sub(usize::try_from(rejected.count).unwrap_or(usize::MAX));
            if lost > 0 && self.shared.backing.is_some() {
                // Whether it is stored nobody knows; what is on disk still is written once more.
                tokio::time::sleep(backoff.next_delay()).await;
                return WriteRound::StoreGone;
            }
            status.samples_dropped.fetch_add(lost as u64, Ordering::Relaxed);
            batch = back;
            match error {
                WriteError::Full(_) | WriteError::Stopped(_) => {
                    if matches!(error, WriteError::Stopped(_)) && shutdown.is_cancelled() {
                        if self.shared.backing.is_some() {
                            self.shared
                                .held
                                .store(batch.len() + parts.iter().map(|part| part.batch.len()).sum::<usize>(), Ordering::Relaxed);
                            return WriteRound::StoreGone;
                        }
                        tracing::error!(device = status.device, %error, samples = batch.len(), "samples dropped");
                        status.samples_dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                        self.shared.gone_since.fetch_min(since.0, Ordering::Relaxed);
                        return WriteRound::StoreGone;
                    }
                    if !std::mem::replace(&mut waiting, true) {
                        tracing::error!(device = status.device, %error, "samples wait in the spool");
                        status.record_error(status.now(), format!("samples wait in the spool: {error}"));
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                error => {
                    self.split(SpooledBatch { batch, since, mark }, &error, parts);
                    return WriteRound::Nothing;
                }
            }
        }
        if waiting {
            tracing::info!(device = status.device, samples = self.depth(), "samples are taken again");
        }
        WriteRound::Nothing
    }
}
