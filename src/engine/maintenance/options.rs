//! What a configuration says of maintenance.

use std::time::Duration;

use historian_model::RetentionGroup;

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
    /// What holds at the start: [`Keeper::set_retention`](crate::Keeper::set_retention) changes it.
    pub retention: Vec<RetentionGroup>,
    /// How often retention is applied.
    pub retention_interval: Duration,
    /// Whether the thread works by itself, and not only when it is asked to.
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
