//! The door through which samples enter: collectors and the API write batches to a [`SampleSink`] and learn when they are durable.

use async_trait::async_trait;

use crate::model::SampleBatch;

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// After the journal holding the samples was fsynced (group commit).
    #[default]
    Sync,
    /// After the samples were handed to the operating system; the fsync follows within the configured interval. A power loss may take
    /// what was acknowledged in that interval, a crash of the process takes nothing.
    Interval,
}

/// What happens where a sample of the same tag and timestamp exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WriteMode {
    /// The written sample takes its place.
    #[default]
    Upsert,
    /// The existing sample stays and the written one is dropped.
    Insert,
}

/// Answer to a write: everything in it is as durable as was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Durable watermark: every write up to this sequence number is durable. Grows with each write, never reused.
    pub watermark: u64,
    /// Samples taken from this write (in `Insert` mode without those that existed).
    pub samples: u64,
}

/// Why a batch was not taken. Nothing of it is stored, unless the variant says so.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    #[error("tag id {0} is not in the catalog; was the tag deleted while it was written?")]
    UnknownTag(u32),
    #[error("tag {tag} holds {expected} values, the batch brings {found}")]
    WrongType { tag: String, expected: String, found: String },
    #[error("the batch holds {found} samples, at most {limit} are taken at once; send smaller batches")]
    TooLarge { found: usize, limit: usize },
    #[error("the store no longer acknowledges writes: {0}; look at the disk and restart the historian")]
    Stopped(String),
    #[error("the samples could not be encoded: {0}")]
    Encode(String),
}

/// Takes samples and answers when they are durable.
#[async_trait]
pub trait SampleSink: Send + Sync + 'static {
    /// Writes one batch whole. Returns after the samples are as durable as asked and visible to queries. Batches of one caller that awaits
    /// each answer apply in order; where two callers write the same tag and timestamp, the one acknowledged with the higher watermark wins.
    ///
    /// # Errors
    /// See [`WriteError`]. After [`WriteError::Stopped`] every further call fails in the same way until restart.
    async fn write(&self, batch: SampleBatch, mode: WriteMode, durability: Durability) -> Result<Acknowledgement, WriteError>;
}
