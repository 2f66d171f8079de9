//! What a configuration says of ingest, and its figures at a moment.

use std::time::Duration;

use historian_format::journal::JOURNAL_RECORD_SAMPLES_MAX;

use historian_maintenance::{KeeperOptions, KeptCounts};

/// Settings of ingest.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Samples of a head at which it is sealed.
    pub head_samples_max: usize,
    /// Bytes of the journal at which it is retired: also what a restart replays at most.
    pub journal_bytes_max: u64,
    /// How long a group of writes is gathered beyond what arrived during the fsync before.
    pub group_commit: Duration,
    /// How often writes of [`Durability::Interval`](historian_model::sink::Durability::Interval) are fsynced.
    pub interval: Duration,
    /// Bytes of writes that are not yet answered; further writers wait.
    pub in_flight_bytes_max: usize,
    /// Samples of one write.
    pub batch_samples_max: usize,
    /// Memory of all heads together, about; above it the largest are sealed.
    pub heads_bytes_max: usize,
    /// How far source time may be ahead of the clock; samples further ahead are rejected. `None`: no bound.
    pub future_max: Option<Duration>,
    pub keeper: KeeperOptions,
}

/// What a sample takes in a head: timestamp, value, quality, and the room vectors keep free.
pub(crate) const SAMPLE_HEAD_BYTES: usize = 26;

impl Default for IngestOptions {
    fn default() -> IngestOptions {
        IngestOptions {
            head_samples_max: 1_024,
            journal_bytes_max: 256 << 20,
            group_commit: Duration::ZERO,
            interval: Duration::from_millis(100),
            in_flight_bytes_max: 256 << 20,
            batch_samples_max: JOURNAL_RECORD_SAMPLES_MAX,
            heads_bytes_max: 192 << 20,
            future_max: None,
            keeper: KeeperOptions::default(),
        }
    }
}

/// Figures of ingest at a moment.
#[derive(Clone, Debug, Default)]
pub struct IngestStatus {
    /// Every write up to this sequence number is durable.
    pub watermark: u64,
    /// Samples acknowledged since start.
    pub samples_written: u64,
    /// Samples not taken since start, because they lie too far in the future.
    pub samples_rejected: u64,
    /// Samples in heads.
    pub head_samples: u64,
    /// Chunks made since start.
    pub chunks_sealed: u64,
    /// Groups committed since start.
    pub groups: u64,
    /// What the journal holds, about.
    pub journal_bytes: u64,
    /// Times that the journal was made durable since start, and how long that took together.
    pub journal_syncs: u64,
    pub journal_sync_time: Duration,
    /// Background work since start.
    pub kept: KeptCounts,
    /// False after a failure of the disk: writes are refused until restart.
    pub accepting_writes: bool,
    /// Why writes are refused; empty while they are accepted.
    pub stopped: String,
    /// Why writes are refused for now; empty while there is room.
    pub full: String,
}
