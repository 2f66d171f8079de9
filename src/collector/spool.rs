//! Bounded queue between a protocol loop and the sample sink, so that a slow disk never blocks polling.
//!
//! Pushing never waits. When the bound is reached the oldest samples go, and are counted in the device's status; the bound is in samples.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{DeviceStatus, supervise::Backoff};
use crate::{
    ingest::sink::{Durability, SampleSink, WriteError, WriteMode},
    model::{SampleBatch, Samples, TagId},
};

/// Default bound of a device's spool in samples: some minutes of a large device.
pub const SPOOL_SAMPLES_MAX: usize = 1_000_000;
/// Samples written at once at most.
const WRITE_SAMPLES_MAX: usize = 100_000;
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
    runs: VecDeque<(TagId, Samples)>,
    samples: usize,
}

impl Spool {
    pub fn new(samples_max: usize, status: Arc<DeviceStatus>) -> Spool {
        Spool { shared: Arc::new(Shared { queue: Mutex::default(), filled: Notify::new(), samples_max, status }) }
    }

    /// Queues a run of one tag. Drops the oldest queued runs when the bound would be passed.
    pub fn push(&self, tag: TagId, run: Samples) {
        if run.is_empty() {
            return;
        }
        let mut dropped = 0;
        {
            let mut queue = self.shared.queue.lock();
            queue.samples += run.len();
            queue.runs.push_back((tag, run));
            while queue.samples > self.shared.samples_max {
                let Some((_, oldest)) = queue.runs.pop_front() else { break };
                queue.samples -= oldest.len();
                dropped += oldest.len();
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

    fn take(&self) -> SampleBatch {
        let mut queue = self.shared.queue.lock();
        let mut batch = SampleBatch::default();
        let mut samples = 0;
        while samples < WRITE_SAMPLES_MAX {
            let Some((tag, run)) = queue.runs.pop_front() else { break };
            samples += run.len();
            batch.runs.push((tag, run));
        }
        queue.samples -= samples;
        batch
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
    use crate::model::{Value, ValueType};

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
        let batch = spool.take();
        assert_eq!(batch.runs.iter().map(|(tag, _)| tag.0).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(spool.depth(), 0);
    }
}
