//! Samples of a device's own history on their way through its spool: behind everything that the device delivers now, and never dropped for it.
//!
//! Whoever brings them waits for room (`Spool::history_written`), so that what waits is bounded by what is brought at once. They are counted by
//! themselves, and say nothing of whether a tag delivers. They wait in memory only: what a stop or a kill takes of them is on record as a gap that
//! is not filled, and is read again.

use std::collections::VecDeque;

use historian_model::{SampleBatch, Samples, TagId, Timestamp};

use super::segment::{SpoolSegment, SpooledBatch, SpooledKind};

/// Runs of history that wait.
#[derive(Default)]
pub(super) struct HistoryQueue(VecDeque<(TagId, Samples)>);

impl HistoryQueue {
    pub(super) fn push(&mut self, tag: TagId, run: Samples) {
        self.0.push_back((tag, run));
    }

    /// Puts back what was taken last and is not written.
    pub(super) fn put_back(&mut self, batch: SampleBatch) {
        for run in batch.runs.into_iter().rev() {
            self.0.push_front(run);
        }
    }

    /// The oldest runs, of about so many samples at most; `None` where nothing waits.
    pub(super) fn take(&mut self, now: Timestamp, samples_max: usize) -> Option<SpooledBatch> {
        let mut segment = SpoolSegment::beginning(now);
        while self.0.front().is_some_and(|(_, run)| segment.samples == 0 || segment.samples + run.len() <= samples_max) {
            let Some((tag, run)) = self.0.pop_front() else { break };
            segment.push(tag, run);
        }
        (segment.samples > 0).then_some(SpooledBatch {
            batch: SampleBatch { runs: segment.runs },
            since: now,
            kind: SpooledKind::Historical,
        })
    }
}
