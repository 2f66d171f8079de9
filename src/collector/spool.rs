//! Bounded queue between a protocol loop and the sample sink, so that a slow disk never blocks polling.
//!
//! Pushing never waits. When the bound is reached the oldest samples go, and are counted in the device's status; the bound is in samples.
//!
//! Polling pushes runs of one sample. While the sink is slow they are joined, tag by tag, in segments, so that a long stall costs the memory
//! of its samples and not of as many little runs, and is written in few large ones.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use historian_format::PushError;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{DeviceStatus, supervise::Backoff};
use crate::{
    ingest::sink::{Durability, SampleSink, WriteError, WriteMode},
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
        Spool { shared: Arc::new(Shared { queue: Mutex::default(), filled: Notify::new(), samples_max, status }) }
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

    /// Writes what is queued to `sink` until `shutdown`, then what is left. A batch that the sink refuses for a reason that a repeat cannot
    /// mend is counted as dropped; a sink that does not answer holds the queue, which then fills up to its bound.
    pub async fn drain(self, sink: Arc<dyn SampleSink>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = self.shared.filled.notified() => self.write_queued(&*sink, &shutdown).await,
                () = shutdown.cancelled() => {
                    if tokio::time::timeout(DRAIN_AT_STOP, self.write_queued(&*sink, &shutdown)).await.is_err() {
                        tracing::warn!(device = self.shared.status.device, samples = self.depth(), "stopped with samples unwritten");
                    }
                    return;
                }
            }
        }
    }

    async fn write_queued(&self, sink: &dyn SampleSink, shutdown: &CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let batch = self.take();
            let samples = batch.len();
            if samples == 0 {
                return;
            }
            loop {
                match sink.write(batch.clone(), WriteMode::Upsert, Durability::Sync).await {
                    Ok(_) => {
                        self.shared.status.samples.fetch_add(samples as u64, Ordering::Relaxed);
                        break;
                    }
                    Err(error @ WriteError::Stopped(_)) if !shutdown.is_cancelled() => {
                        tracing::error!(device = self.shared.status.device, %error, "samples wait in the spool");
                        tokio::time::sleep(backoff.next_delay()).await;
                    }
                    Err(error) => {
                        tracing::error!(device = self.shared.status.device, %error, samples, "samples dropped");
                        self.shared.status.samples_dropped.fetch_add(samples as u64, Ordering::Relaxed);
                        break;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
