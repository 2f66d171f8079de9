//! Samples in columns. The column types are those of the storage format, so that a run of samples is encoded without being copied or renamed.

pub use historian_format::{Bitmap, PushError, Sample, Samples, StringColumn, Value, ValueType, Values};

use super::TagId;

/// Samples of several tags on their way to the journal: one run of columns per tag.
///
/// A run may be unsorted and may repeat timestamps (the later one of a run wins). One tag may occur in several runs; runs apply in order.
#[derive(Clone, Debug, Default)]
pub struct SampleBatch {
    /// One run per tag. The value type of a run is that of its tag.
    pub runs: Vec<(TagId, Samples)>,
}

impl SampleBatch {
    /// Number of samples over all runs.
    pub fn len(&self) -> usize {
        self.runs.iter().map(|(_, run)| run.len()).sum()
    }

    /// True when no run holds a sample.
    pub fn is_empty(&self) -> bool {
        self.runs.iter().all(|(_, run)| run.is_empty())
    }
}
