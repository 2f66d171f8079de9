//! Bounded queue between a protocol loop and the sample sink, so that a slow disk never blocks polling.
//!
//! Pushing never waits. When the bound is reached the oldest samples go, and are counted in the device's status; the bound is in samples. What
//! could not be kept is told in the data and on record (`lost.rs`). Before the queue stand the filters of tags that have one (`filtering.rs`).
//!
//! Polling pushes runs of one sample. While the sink is slow they are joined, tag by tag, in segments, so that a long stall costs the memory
//! of its samples and not of as many little runs, and is written in few large ones.

mod filtering;
mod historical;
mod lost;
mod outage;
mod segment;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::outage::{Absence, BackfilledGap};

use self::{
    filtering::{LOOK_INTERVAL, TagFilters},
    historical::HistoryQueue,
    lost::{Ledger, Overflow},
    segment::{Ends, SpoolSegment, SpooledBatch, SpooledKind},
};
use super::{DeviceStatus, status::DeviceBacklog, supervise::Backoff};
use historian_model::{
    PushError, Quality, Sample, SampleBatch, Samples, TagDefinition, TagId, Timestamp, Value, ValueType,
    sink::{Acknowledgement, Durability, RefusedWrite, Rejected, RejectedTag, SampleSink, WriteError, WriteMode},
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
/// Losses that are put on record in one write.
const TELL_AT_ONCE: usize = 8_192;
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
    /// Samples that were taken out of the queue and are not written yet.
    held: AtomicUsize,
    /// When the first of them came, or [`NONE_HELD`].
    held_since: AtomicI64,
    /// When the first sample came that was given up with the store, or [`NONE_HELD`].
    gone_since: AtomicI64,
    /// Nothing of the first so many segments waits any longer.
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
    pub fn new(samples_max: usize, status: Arc<DeviceStatus>) -> Spool {
        let (queue, held, refused) = (Mutex::default(), AtomicUsize::default(), Mutex::default());
        let (filled, ledger, routes) = (Notify::new(), Mutex::default(), Mutex::default());
        let (history_waiting, history_done) = (AtomicUsize::default(), Notify::new());
        let (held_since, gone_since) = (AtomicI64::new(NONE_HELD), AtomicI64::new(NONE_HELD));
        let written = AtomicU64::default();
        let state = SpoolState {
            filters: TagFilters::default(),
            queue,
            filled,
            history_waiting,
            history_done,
            samples_max,
            held,
            held_since,
            gone_since,
            written,
            ledger,
            refused,
            routes,
            status,
        };
        let spool = Spool { shared: Arc::new(state) };
        // The status must not keep the spool: it is shown for longer.
        let shared = Arc::downgrade(&spool.shared);
        spool.shared.status.set_backlog(move || {
            let Some(spool) = shared.upgrade().map(|shared| Spool { shared }) else { return DeviceBacklog::default() };
            let samples = (spool.depth() + spool.shared.held.load(Ordering::Relaxed)) as u64;
            DeviceBacklog { samples, since: spool.unwritten_since() }
        });
        let shared = Arc::downgrade(&spool.shared);
        spool.shared.status.set_left_out(move || shared.upgrade().map(|shared| shared.filters.left_out()).unwrap_or_default());
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

    /// Leaves samples of a tag out as its definition says (`historian_model::filter`), before its first sample is pushed.
    pub fn set_filter(&self, tag: TagId, definition: &TagDefinition) {
        self.shared.filters.set(tag, definition);
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
        {
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

    /// The place up to which nothing waits any longer: it is durable, or was told to be rejected or lost.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Acquire)
    }

    /// When the oldest sample came that is neither written nor told to be lost; `None` where there is none.
    pub fn unwritten_since(&self) -> Option<Timestamp> {
        let queue = self.shared.queue.lock();
        let waiting = queue.segments.front().map(|segment| segment.since);
        let told = |since: &AtomicI64| Some(since.load(Ordering::Relaxed)).filter(|&since| since != NONE_HELD).map(Timestamp);
        [waiting, queue.overflow.since, told(&self.shared.held_since), told(&self.shared.gone_since)].into_iter().flatten().min()
    }

    /// Takes the oldest segment out, so that it is written by nobody; empty when nothing waits. For tests of collectors: what runs hands the
    /// spool to its drain task.
    pub fn take(&self) -> SampleBatch {
        self.take_part().batch
    }

    /// What is to be written next: in the place of what went, else the oldest segment, else what came from a history; empty when nothing waits.
    fn take_part(&self) -> SpooledBatch {
        let mut queue = self.shared.queue.lock();
        let next = if let Some(since) = queue.overflow.since {
            let (batch, losses) = queue.overflow.take();
            self.shared.ledger.lock().overflowed(losses);
            SpooledBatch { batch, since, kind: SpooledKind::Live }
        } else {
            // Whoever takes a segment is done with those before it.
            let done = queue.begun - queue.segments.len() as u64;
            self.shared.written.store(done, Ordering::Release);
            let segment = queue.segments.pop_front();
            queue.samples -= segment.as_ref().map_or(0, |segment| segment.samples);
            let history = if segment.is_none() { queue.history.take(self.shared.status.now(), SEGMENT_SAMPLES_MAX) } else { None };
            let SpoolSegment { runs, since, .. } = segment.unwrap_or_default();
            history.unwrap_or(SpooledBatch { batch: SampleBatch { runs }, since, kind: SpooledKind::Live })
        };
        // Still under the lock, so that whoever asks since when samples wait sees them in one place or the other.
        let is_held = !next.batch.is_empty() && next.kind == SpooledKind::Live;
        self.shared.held_since.store(if is_held { next.since.0 } else { NONE_HELD }, Ordering::Relaxed);
        next
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

    /// Writes what is queued to `sink` until `shutdown`, then what is left. What a repeat can mend is repeated, for as long as it takes: the
    /// queue then fills up to its bound. What it cannot mend is counted as rejected and named in the status, and everything else is written.
    pub async fn drain(self, sink: Arc<dyn SampleSink>, shutdown: CancellationToken) {
        let late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_AT_STOP).await;
        };
        tokio::pin!(late);
        loop {
            let (waits, outages) = {
                let ledger = self.shared.ledger.lock();
                (ledger.waits(), ledger.outages.are_pending())
            };
            tokio::select! {
                () = self.shared.filled.notified() => {}
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(if outages { OUTAGE_INTERVAL } else { TELL_INTERVAL }), if waits || outages => {}
            }
            let last = shutdown.is_cancelled();
            tokio::select! {
                () = async {
                    self.write_queued(&*sink, &shutdown).await;
                    self.put_on_record(&*sink, last).await;
                } => {}
                // What waits for room may wait for ever, but a stop does not.
                () = &mut late => {
                    self.give_up();
                    return;
                }
            }
            if last {
                return;
            }
        }
    }

    async fn write_queued(&self, sink: &dyn SampleSink, shutdown: &CancellationToken) {
        loop {
            let SpooledBatch { batch, since, kind } = self.take_part();
            if batch.is_empty() {
                return;
            }
            let taken = batch.len();
            let mut parts = vec![SpooledBatch { batch: self.without_refused(batch), since, kind }];
            while let Some(part) = parts.pop() {
                let waiting: usize = parts.iter().map(|part| part.batch.len()).sum();
                self.shared.held.store(part.batch.len() + waiting, Ordering::Relaxed);
                self.write_part(part, sink, shutdown, &mut parts).await;
            }
            self.shared.held.store(0, Ordering::Relaxed);
            self.shared.held_since.store(NONE_HELD, Ordering::Relaxed);
            if kind == SpooledKind::Historical {
                self.shared.history_waiting.fetch_sub(taken, Ordering::AcqRel);
                self.shared.history_done.notify_waiters();
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
    async fn write_part(&self, part: SpooledBatch, sink: &dyn SampleSink, shutdown: &CancellationToken, parts: &mut Vec<SpooledBatch>) {
        let status = &self.shared.status;
        let SpooledBatch { mut batch, since, kind } = part;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut waiting = false;
        while !batch.is_empty() {
            let samples = batch.len();
            let ends = if kind == SpooledKind::Live { self.ends(&batch) } else { Vec::new() };
            let refused = match sink.write(self.outward(batch), WriteMode::Upsert, Durability::Sync).await {
                Ok(Acknowledgement { samples, mut rejected, .. }) => {
                    self.inward(&mut SampleBatch::default(), &mut rejected);
                    match kind {
                        SpooledKind::Live => _ = status.samples.fetch_add(samples, Ordering::Relaxed),
                        SpooledKind::Historical => _ = status.samples_backfilled.fetch_add(samples, Ordering::Relaxed),
                        SpooledKind::Mark => {}
                    }
                    self.tell(&ends, &rejected);
                    parts.extend(self.mark_rejected(kind, &ends, &rejected, since));
                    break;
                }
                Err(refused) => *refused,
            };
            let RefusedWrite { error, batch: mut back, mut rejected } = refused;
            self.inward(&mut back, &mut rejected);
            self.tell(&[], &rejected);
            parts.extend(self.mark_rejected(kind, &[], &rejected, since));
            let lost = samples.saturating_sub(back.len()).saturating_sub(usize::try_from(rejected.count).unwrap_or(usize::MAX));
            status.samples_dropped.fetch_add(lost as u64, Ordering::Relaxed);
            batch = back;
            match error {
                WriteError::Full(_) | WriteError::Stopped(_) => {
                    if matches!(error, WriteError::Stopped(_)) && shutdown.is_cancelled() {
                        tracing::error!(device = status.device, %error, samples = batch.len(), "samples dropped");
                        status.samples_dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                        self.shared.gone_since.fetch_min(since.0, Ordering::Relaxed);
                        return;
                    }
                    if !std::mem::replace(&mut waiting, true) {
                        tracing::error!(device = status.device, %error, "samples wait in the spool");
                        status.record_error(status.now(), format!("samples wait in the spool: {error}"));
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                error => {
                    self.split(SpooledBatch { batch, since, kind }, &error, parts);
                    return;
                }
            }
        }
        if waiting {
            tracing::info!(device = status.device, samples = self.depth(), "samples are taken again");
        }
    }

    /// Halves a batch that was refused for what is in it; a single sample is rejected.
    fn split(&self, part: SpooledBatch, error: &WriteError, parts: &mut Vec<SpooledBatch>) {
        let SpooledBatch { mut batch, since, kind } = part;
        batch.runs.retain(|(_, run)| !run.is_empty());
        // An end of the whole tag: no later sample of it will be taken either.
        let of_tag = matches!(error, WriteError::UnknownTag(_) | WriteError::WrongType { .. });
        match batch.runs.as_mut_slice() {
            [] => {}
            // There is no better one, and the gap tells.
            [(tag, run)] if kind == SpooledKind::Mark && (of_tag || run.len() == 1) => {
                tracing::error!(device = self.shared.status.device, tag = tag.0, %error, "the sample that marks a loss is not taken");
            }
            [(tag, run)] if of_tag || run.len() == 1 => {
                self.shared.status.samples_rejected.fetch_add(run.len() as u64, Ordering::Relaxed);
                let reason = match error {
                    WriteError::UnknownTag(_) => {
                        "the tag was deleted while it was collected; it is collected again after a restart".to_owned()
                    }
                    error => error.to_string(),
                };
                if of_tag {
                    self.refuse(*tag, &reason);
                } else {
                    let (device, name) = (&self.shared.status.device, self.shared.status.tag_name(*tag));
                    tracing::warn!(device, tag = name, "a sample is not taken: {reason}");
                    self.shared.status.record_refused(&name, &reason);
                    if let Some(&at) = run.timestamps.first() {
                        let value_type = run.value_type();
                        let newest = Some(Timestamp(at.saturating_sub(1)));
                        let rejected = RejectedTag { tag: *tag, value_type, reason, newest, last: true };
                        let rejected = Rejected { count: 0, shown: Vec::new(), tags: vec![rejected] };
                        parts.extend(self.mark_rejected(kind, &[], &rejected, Timestamp(at)));
                    }
                }
            }
            [(tag, run)] => {
                let rows: Vec<u32> = (0..run.len() as u32).collect();
                let (first, second) = rows.split_at(rows.len() / 2);
                for half in [second, first] {
                    parts.push(SpooledBatch { batch: SampleBatch { runs: vec![(*tag, run.take(half))] }, since, kind });
                }
            }
            runs => {
                let later = runs.len() / 2;
                let second = batch.runs.split_off(later);
                parts.push(SpooledBatch { batch: SampleBatch { runs: second }, since, kind });
                parts.push(SpooledBatch { batch, since, kind });
            }
        }
    }

    /// Takes out the tags whose samples are not taken.
    fn without_refused(&self, mut batch: SampleBatch) -> SampleBatch {
        let refused = self.shared.refused.lock();
        if !refused.is_empty() {
            let before = batch.len();
            batch.runs.retain(|(tag, _)| !refused.contains(tag));
            self.shared.status.samples_rejected.fetch_add((before - batch.len()) as u64, Ordering::Relaxed);
        }
        batch
    }

    /// How the runs of a batch begin and end: of those that end Bad, and while some tag does not deliver, of all.
    fn ends(&self, batch: &SampleBatch) -> Vec<Ends> {
        let all = self.shared.status.has_troubles() || self.shared.ledger.lock().is_rejecting();
        let ends = batch.runs.iter().filter_map(|(tag, run)| {
            let (&first, &last) = run.timestamps.first().zip(run.timestamps.last())?;
            let quality = Quality(*run.qualities.last()?);
            (all || quality.is_bad()).then_some(Ends { tag: *tag, quality, first: Timestamp(first), last: Timestamp(last) })
        });
        ends.collect()
    }

    /// Brings the status up to date after a write. What is rejected is logged by who rejects it.
    fn tell(&self, ends: &[Ends], rejected: &Rejected) {
        let status = &self.shared.status;
        let refused: HashSet<TagId> = rejected.tags.iter().filter(|tag| tag.last).map(|tag| tag.tag).collect();
        for end in ends {
            if end.quality.is_bad() || !refused.contains(&end.tag) {
                status.record_quality(end.tag, end.quality, end.last);
            }
        }
        status.samples_rejected.fetch_add(rejected.count, Ordering::Relaxed);
        let shown: BTreeMap<&str, _> = rejected.shown.iter().map(|rejection| (&*rejection.tag, rejection)).collect();
        for tag in &rejected.tags {
            let name = status.tag_name(tag.tag);
            let told = match shown.get(&*name) {
                Some(rejection) => format!("the sample of {} {}", rejection.timestamp, rejection.reason),
                None => format!("its sample {}", tag.reason),
            };
            if tag.last {
                status.record_refused(&name, &told);
            } else {
                status.record_error(status.now(), format!("tag {name}: {told}"));
            }
        }
    }

    /// After a write: ends the last values of tags whose samples were not taken, and notes which are taken again. A sample of its history ends
    /// no value of now.
    fn mark_rejected(&self, kind: SpooledKind, ends: &[Ends], rejected: &Rejected, since: Timestamp) -> Option<SpooledBatch> {
        let mut ledger = self.shared.ledger.lock();
        if kind == SpooledKind::Historical || (rejected.tags.is_empty() && !ledger.is_rejecting()) {
            return None;
        }
        let now = self.shared.status.now();
        let mut runs = Vec::new();
        for tag in &rejected.tags {
            if let Some(at) = ledger.rejected(tag, since, now) {
                runs.extend(lost::bad(tag.tag, tag.value_type, at.0).map(|run| (tag.tag, run)));
            }
        }
        let refused: HashSet<TagId> = rejected.tags.iter().map(|tag| tag.tag).collect();
        for end in ends.iter().filter(|end| !refused.contains(&end.tag)) {
            ledger.taken(end.tag, end.first, now);
        }
        (!runs.is_empty()).then_some(SpooledBatch { batch: SampleBatch { runs }, since, kind: SpooledKind::Mark })
    }

    /// The time to write what is left is over.
    fn give_up(&self) {
        let samples = self.depth() + self.shared.held.load(Ordering::Relaxed);
        tracing::error!(device = self.shared.status.device, samples, "stopped with samples unwritten");
        self.shared.status.samples_dropped.fetch_add(samples as u64, Ordering::Relaxed);
    }
}
