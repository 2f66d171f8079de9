//! Bounded queue between a protocol loop and the sample sink, so that a slow disk never blocks polling.
//!
//! Pushing never waits. When the bound is reached the oldest samples go, and are counted in the device's status; the bound is in samples.
//!
//! Polling pushes runs of one sample. While the sink is slow they are joined, tag by tag, in segments, so that a long stall costs the memory
//! of its samples and not of as many little runs, and is written in few large ones.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use historian_format::PushError;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{DeviceStatus, supervise::Backoff};
use crate::{
    ingest::sink::{Acknowledgement, Durability, RefusedWrite, Rejected, SampleSink, WriteError, WriteMode},
    model::{Quality, SampleBatch, Samples, TagId, Timestamp, Value, ValueType},
};

/// Default bound of a device's spool in samples: some minutes of a large device.
pub const SPOOL_SAMPLES_MAX: usize = 1_000_000;
/// Samples of a segment, and so of one write, at most (and at most a sixteenth of the spool, which drops whole segments).
const SEGMENT_SAMPLES_MAX: usize = 65_536;
/// How long a stopping drain may go on.
const DRAIN_AT_STOP: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Notify,
    samples_max: usize,
    /// Samples that were taken out of the queue and are not written yet.
    held: AtomicUsize,
    /// Tags whose samples are never taken.
    refused: Mutex<HashSet<TagId>>,
    status: Arc<DeviceStatus>,
}

#[derive(Default)]
struct Queue {
    segments: VecDeque<Segment>,
    samples: usize,
}

/// Samples that go to the sink in one batch: a run per tag (more where a run could not be joined).
#[derive(Default)]
struct Segment {
    runs: Vec<(TagId, Samples)>,
    /// Place in `runs` of the last run of each tag.
    places: HashMap<TagId, usize>,
    samples: usize,
}

impl Segment {
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
    pub fn new(samples_max: usize, status: Arc<DeviceStatus>) -> Spool {
        let (queue, held, refused) = (Mutex::default(), AtomicUsize::default(), Mutex::default());
        Spool { shared: Arc::new(Shared { queue, filled: Notify::new(), samples_max, held, refused, status }) }
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
    fn queue(&self, samples: usize, add: impl FnOnce(&mut Segment)) {
        let segment_samples = SEGMENT_SAMPLES_MAX.min(self.shared.samples_max / 16);
        let mut dropped = 0;
        {
            let mut queue = self.shared.queue.lock();
            if queue.segments.back().is_none_or(|segment| segment.samples + samples > segment_samples) {
                queue.segments.push_back(Segment::default());
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
                dropped += oldest.samples;
            }
        }
        if dropped > 0 {
            self.shared.status.samples_dropped.fetch_add(dropped as u64, Ordering::Relaxed);
        }
        self.shared.filled.notify_one();
    }

    /// Samples waiting to be written.
    pub fn depth(&self) -> usize {
        self.shared.queue.lock().samples
    }

    /// The oldest segment; empty when nothing waits.
    pub(super) fn take(&self) -> SampleBatch {
        let mut queue = self.shared.queue.lock();
        let segment = queue.segments.pop_front().unwrap_or_default();
        queue.samples -= segment.samples;
        SampleBatch { runs: segment.runs }
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

    /// Writes what is queued to `sink` until `shutdown`, then what is left. What a repeat can mend is repeated, for as long as it takes: the
    /// queue then fills up to its bound. What it cannot mend is counted as rejected and named in the status, and everything else is written.
    pub async fn drain(self, sink: Arc<dyn SampleSink>, shutdown: CancellationToken) {
        let late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_AT_STOP).await;
        };
        tokio::pin!(late);
        loop {
            tokio::select! {
                () = self.shared.filled.notified() => {}
                () = shutdown.cancelled() => {}
            }
            let last = shutdown.is_cancelled();
            tokio::select! {
                () = self.write_queued(&*sink, &shutdown) => {}
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
            let batch = self.take();
            if batch.is_empty() {
                return;
            }
            let mut parts = vec![self.without_refused(batch)];
            while let Some(part) = parts.pop() {
                let waiting: usize = parts.iter().map(SampleBatch::len).sum();
                self.shared.held.store(part.len() + waiting, Ordering::Relaxed);
                self.write_part(part, sink, shutdown, &mut parts).await;
            }
            self.shared.held.store(0, Ordering::Relaxed);
        }
    }

    /// Writes one batch; what is refused for what is in it goes back to `parts` as two halves, the later one first, until it is one sample.
    async fn write_part(&self, mut batch: SampleBatch, sink: &dyn SampleSink, shutdown: &CancellationToken, parts: &mut Vec<SampleBatch>) {
        let status = &self.shared.status;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut waiting = false;
        while !batch.is_empty() {
            let samples = batch.len();
            let ends = self.ends(&batch);
            let refused = match sink.write(batch, WriteMode::Upsert, Durability::Sync).await {
                Ok(Acknowledgement { samples, rejected, .. }) => {
                    status.samples.fetch_add(samples, Ordering::Relaxed);
                    self.tell(&ends, &rejected);
                    break;
                }
                Err(refused) => *refused,
            };
            let RefusedWrite { error, batch: back, rejected } = refused;
            self.tell(&[], &rejected);
            let lost = samples.saturating_sub(back.len()).saturating_sub(usize::try_from(rejected.count).unwrap_or(usize::MAX));
            status.samples_dropped.fetch_add(lost as u64, Ordering::Relaxed);
            batch = back;
            match error {
                WriteError::Full(_) | WriteError::Stopped(_) => {
                    if matches!(error, WriteError::Stopped(_)) && shutdown.is_cancelled() {
                        tracing::error!(device = status.device, %error, samples = batch.len(), "samples dropped");
                        status.samples_dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                        return;
                    }
                    if !std::mem::replace(&mut waiting, true) {
                        tracing::error!(device = status.device, %error, "samples wait in the spool");
                        status.record_error(status.now(), format!("samples wait in the spool: {error}"));
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                error => {
                    self.split(batch, &error, parts);
                    return;
                }
            }
        }
        if waiting {
            tracing::info!(device = status.device, samples = self.depth(), "samples are taken again");
        }
    }

    /// Halves a batch that was refused for what is in it; a single sample is rejected.
    fn split(&self, mut batch: SampleBatch, error: &WriteError, parts: &mut Vec<SampleBatch>) {
        batch.runs.retain(|(_, run)| !run.is_empty());
        // An end of the whole tag: no later sample of it will be taken either.
        let of_tag = matches!(error, WriteError::UnknownTag(_) | WriteError::WrongType { .. });
        match batch.runs.as_mut_slice() {
            [] => {}
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
                }
            }
            [(tag, run)] => {
                let rows: Vec<u32> = (0..run.len() as u32).collect();
                let (first, second) = rows.split_at(rows.len() / 2);
                for half in [second, first] {
                    parts.push(SampleBatch { runs: vec![(*tag, run.take(half))] });
                }
            }
            runs => {
                let later = runs.len() / 2;
                let second = batch.runs.split_off(later);
                parts.push(SampleBatch { runs: second });
                parts.push(batch);
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

    /// With which quality and when the runs of a batch end: of those that end Bad, and while some tag does not deliver, of all.
    fn ends(&self, batch: &SampleBatch) -> Vec<(TagId, Quality, Timestamp)> {
        let all = self.shared.status.has_troubles();
        let ends = batch.runs.iter().filter_map(|(tag, run)| {
            let (&quality, &at) = run.qualities.last().zip(run.timestamps.last())?;
            let quality = Quality(quality);
            (all || quality.is_bad()).then_some((*tag, quality, Timestamp(at)))
        });
        ends.collect()
    }

    /// Brings the status up to date after a write. What is rejected is logged by who rejects it.
    fn tell(&self, ends: &[(TagId, Quality, Timestamp)], rejected: &Rejected) {
        let status = &self.shared.status;
        let mut refused = BTreeMap::new();
        for rejection in &rejected.shown {
            refused.insert(&*rejection.tag, rejection);
        }
        // Not all of the tags concerned are known then.
        let unsure = rejected.count > rejected.shown.len() as u64;
        for &(tag, quality, at) in ends {
            if quality.is_bad() || refused.is_empty() || !unsure && !refused.contains_key(&*status.tag_name(tag)) {
                status.record_quality(tag, quality, at);
            }
        }
        status.samples_rejected.fetch_add(rejected.count, Ordering::Relaxed);
        for (tag, rejection) in refused {
            status.record_refused(tag, &format!("the sample of {} {}", rejection.timestamp, rejection.reason));
        }
    }

    /// The time to write what is left is over.
    fn give_up(&self) {
        let samples = self.depth() + self.shared.held.load(Ordering::Relaxed);
        tracing::error!(device = self.shared.status.device, samples, "stopped with samples unwritten");
        self.shared.status.samples_dropped.fetch_add(samples as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ingest::sink::Rejection,
        model::{ManualClock, TagName},
    };

    fn run(timestamps: &[i64]) -> Samples {
        let mut samples = Samples::new(ValueType::F64);
        for &timestamp in timestamps {
            samples.push(timestamp, Some(&Value::F64(0.0)), 0).unwrap();
        }
        samples
    }

    #[test]
    fn a_full_spool_drops_the_oldest_and_counts_them() {
        let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
        let spool = Spool::new(5, status.clone());
        spool.push(TagId(1), run(&[1, 2]));
        spool.push(TagId(2), run(&[3, 4]));
        spool.push(TagId(3), run(&[5, 6]));
        assert_eq!(status.samples_dropped.load(Ordering::Relaxed), 2);
        assert_eq!(spool.depth(), 4);
        for tag in [2, 3] {
            assert_eq!(spool.take().runs.iter().map(|(tag, _)| tag.0).collect::<Vec<_>>(), [tag]);
        }
        assert_eq!(spool.depth(), 0);
    }

    /// A sink that refuses as it is told, and keeps what it takes.
    #[derive(Default)]
    struct Choosy {
        taken: Mutex<Vec<(TagId, i64)>>,
        /// How many writes find no room.
        full: AtomicUsize,
        deleted: Option<TagId>,
        /// Samples later than this are rejected.
        latest: Option<i64>,
        /// A sample that cannot be written.
        poison: Option<i64>,
    }

    #[async_trait::async_trait]
    impl SampleSink for Choosy {
        async fn write(&self, mut batch: SampleBatch, _: WriteMode, _: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
            if self.full.load(Ordering::Relaxed) > 0 {
                self.full.fetch_sub(1, Ordering::Relaxed);
                return Err(RefusedWrite::whole(WriteError::Full("no room".into()), batch));
            }
            if let Some(gone) = batch.runs.iter().find(|(tag, _)| Some(*tag) == self.deleted) {
                return Err(RefusedWrite::whole(WriteError::UnknownTag(gone.0.0), batch));
            }
            if batch.runs.iter().any(|(_, run)| run.timestamps.iter().any(|&at| Some(at) == self.poison)) {
                return Err(RefusedWrite::whole(WriteError::Encode("cannot be".into()), batch));
            }
            let mut rejected = Rejected::default();
            for (tag, run) in &mut batch.runs {
                for &at in &run.timestamps {
                    if self.latest.is_some_and(|latest| at > latest) {
                        let reason = "lies in the future".to_owned();
                        rejected.add(|| Rejection { tag: format!("t{}", tag.0), timestamp: Timestamp(at), reason });
                    } else {
                        self.taken.lock().push((*tag, at));
                    }
                }
            }
            let samples = batch.len() as u64 - rejected.count;
            Ok(Acknowledgement { samples, rejected, ..Acknowledgement::default() })
        }
    }

    /// Writes runs of tags 1, 2, … to a sink, to the end.
    async fn written(sink: Choosy, runs: &[&[i64]]) -> (Vec<(u32, i64)>, Arc<DeviceStatus>) {
        let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
        let names = (1..=runs.len() as u32).map(|id| (TagId(id), TagName::new(format!("t{id}")).unwrap())).collect();
        status.set_scene(Arc::new(ManualClock::at(Timestamp(77))), names);
        status.items_delivering.store(runs.len() as u64, Ordering::Relaxed);
        let spool = Spool::new(1000, status.clone());
        for (tag, timestamps) in (1..).zip(runs) {
            spool.push(TagId(tag), run(timestamps));
        }
        let (sink, stop) = (Arc::new(sink), CancellationToken::new());
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), spool.drain(sink.clone(), stop)).await.unwrap();
        let mut taken: Vec<(u32, i64)> = sink.taken.lock().iter().map(|(tag, at)| (tag.0, *at)).collect();
        taken.sort_unstable();
        (taken, status)
    }

    fn counts(status: &DeviceStatus) -> (u64, u64, u64) {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        (read(&status.samples), read(&status.samples_rejected), read(&status.samples_dropped))
    }

    #[tokio::test]
    async fn a_store_without_room_for_a_while_loses_no_sample() {
        let (taken, status) = written(Choosy { full: AtomicUsize::new(3), ..Choosy::default() }, &[&[1, 2], &[3]]).await;
        assert_eq!(taken, [(1, 1), (1, 2), (2, 3)]);
        assert_eq!(counts(&status), (3, 0, 0));
        let view = status.view();
        assert!(view.last_error.contains("no room") && view.last_error_at == Timestamp(77), "{}", view.last_error);
    }

    #[tokio::test]
    async fn a_store_without_room_does_not_hold_up_a_stop_and_what_is_lost_is_counted() {
        let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
        let (spool, stop) = (Spool::new(1000, status.clone()), CancellationToken::new());
        spool.push(TagId(1), run(&[1, 2, 3]));
        let sink = Arc::new(Choosy { full: AtomicUsize::new(usize::MAX), ..Choosy::default() });
        let draining = tokio::spawn(spool.drain(sink, stop.clone()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), draining).await.unwrap().unwrap();
        assert_eq!(counts(&status), (0, 0, 3));
    }

    #[tokio::test]
    async fn a_deleted_tag_takes_nothing_of_the_other_tags_with_it() {
        let runs: [&[i64]; 5] = [&[1], &[2], &[3, 4], &[5], &[6]];
        let (taken, status) = written(Choosy { deleted: Some(TagId(3)), ..Choosy::default() }, &runs).await;
        assert_eq!(taken, [(1, 1), (2, 2), (4, 5), (5, 6)]);
        assert_eq!(counts(&status), (4, 2, 0));
        assert_eq!(status.delivering(), 4);
        let (count, told) = status.undelivered(10);
        assert_eq!((count, told[0].tag.as_str(), told[0].since), (1, "t3", Timestamp(77)));
        assert!(status.view().last_error.starts_with("tag t3: the tag was deleted"), "{}", status.view().last_error);
    }

    #[tokio::test]
    async fn samples_that_are_rejected_are_not_counted_as_stored_and_are_named() {
        let (taken, status) = written(Choosy { latest: Some(9), ..Choosy::default() }, &[&[1, 20], &[2]]).await;
        assert_eq!(taken, [(1, 1), (2, 2)]);
        assert_eq!(counts(&status), (2, 1, 0));
        assert_eq!(status.delivering(), 1);
        assert!(status.undelivered(10).1[0].reason.contains("lies in the future"));
        assert!(status.view().last_error.starts_with("tag t1: the sample of "), "{}", status.view().last_error);
    }

    #[tokio::test]
    async fn one_sample_that_cannot_be_written_costs_no_other() {
        let (taken, status) = written(Choosy { poison: Some(4), ..Choosy::default() }, &[&[1], &[2, 3, 4, 5, 6], &[7]]).await;
        assert_eq!(taken, [(1, 1), (2, 2), (2, 3), (2, 5), (2, 6), (3, 7)]);
        assert_eq!(counts(&status), (6, 1, 0));
    }

    #[tokio::test]
    async fn a_tag_whose_last_sample_is_bad_is_told_until_it_is_good_again() {
        let (status, stop) = (Arc::new(DeviceStatus::new("d", "opcua", "e")), CancellationToken::new());
        let spool = Spool::new(1000, status.clone());
        stop.cancel();
        let sink = Arc::new(Choosy::default());
        spool.push_sample(TagId(1), ValueType::F64, Timestamp(5), None, Quality::BAD_NODE_ID_UNKNOWN).unwrap();
        spool.clone().drain(sink.clone(), stop.clone()).await;
        let (count, told) = status.undelivered(10);
        assert_eq!((count, told[0].reason.as_str(), told[0].since), (1, "BadNodeIdUnknown", Timestamp(5)));
        assert!(status.view().last_error.contains("BadNodeIdUnknown"));
        spool.push(TagId(1), run(&[6]));
        spool.drain(sink, stop).await;
        assert_eq!(status.undelivered(10).0, 0);
    }

    #[test]
    fn runs_that_wait_are_joined_tag_by_tag_in_their_order() {
        let spool = Spool::new(1000, Arc::new(DeviceStatus::new("d", "modbus", "e")));
        for timestamp in 0..60 {
            spool.push(TagId(timestamp as u32 % 2), run(&[timestamp]));
        }
        let batch = spool.take();
        assert_eq!((batch.runs.len(), batch.len(), spool.depth()), (2, 60, 0), "1000 / 16 = 62 samples make a segment");
        assert_eq!(batch.runs[1].1.timestamps[..3], [1, 3, 5]);
    }
}
