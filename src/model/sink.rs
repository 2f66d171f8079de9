//! The door through which samples enter: collectors and the API write batches to a [`SampleSink`] and learn when they are durable.

use std::collections::HashMap;

use async_trait::async_trait;

use crate::{SampleBatch, TagId, TagName, TimeRange, Timestamp, ValueType};

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Durable watermark: every write up to this sequence number is durable. Grows with each write, never reused.
    pub watermark: u64,
    /// Samples taken from this write (in `Insert` mode without those that existed).
    pub samples: u64,
    /// Samples deleted by a correction.
    pub deleted: u64,
    /// Samples that were not taken, each for a reason of its own; the others were.
    pub rejected: Rejected,
}

/// Samples of a batch that were not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    pub count: u64,
    /// The first of them, at most [`Rejected::SHOWN_MAX`].
    pub shown: Vec<Rejection>,
    /// All tags concerned, once per run of the batch.
    pub tags: Vec<RejectedTag>,
}

/// A tag of which samples were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedTag {
    pub tag: TagId,
    pub value_type: ValueType,
    /// Why the first of them was not.
    pub reason: String,
    /// Time of the newest sample that stands of the tag, as far as it is known; those of this write that were taken count.
    pub newest: Option<Timestamp>,
    /// The last sample of the run is one of them: what came last of the tag is not there.
    pub last: bool,
}

/// Time in which samples of a tag are missing: lost for good, or never there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub tag: TagId,
    pub start: Timestamp,
    /// Where samples are there again; `None` while they are not. It is told once more with the end then.
    pub end: Option<Timestamp>,
    pub reason: LossReason,
    pub detail: String,
}

/// Why samples are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// They waited for room, and there were more than can wait.
    SpoolOverflow,
    /// They were damaged while they waited.
    DataLoss,
    /// They cannot be taken as they are.
    Rejected,
    /// The device did not answer.
    DeviceDown,
    /// The device refuses the address or node.
    Refused,
    /// The collector of the device failed.
    CollectorDown,
    /// None are any more: they came from the history of the device. The gap that was filled is that of the tag with the same start.
    Backfilled,
}

impl LossReason {
    /// Whether the samples never came.
    pub fn is_of_device(self) -> bool {
        matches!(self, LossReason::DeviceDown | LossReason::Refused | LossReason::CollectorDown)
    }
}

impl Rejected {
    /// Rejections told one by one.
    pub const SHOWN_MAX: usize = 100;

    /// Counts one more, and keeps it when there is room.
    pub fn add(&mut self, rejection: impl FnOnce() -> Rejection) {
        self.count += 1;
        if self.shown.len() < Rejected::SHOWN_MAX {
            self.shown.push(rejection());
        }
    }

    /// Counts others, and keeps those for which there is room.
    pub fn extend(&mut self, others: Rejected) {
        self.count += others.count;
        self.shown.extend(others.shown);
        self.shown.truncate(Rejected::SHOWN_MAX);
    }

    /// True when every sample was taken.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// One sample that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Name of the tag.
    pub tag: String,
    pub timestamp: Timestamp,
    pub reason: String,
}

/// Who does something and from where, as the audit log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `token:ana`; `historian` for what it does by itself.
    pub principal: String,
    /// The address of the client; empty for what did not come over a connection.
    pub client: String,
}

impl Actor {
    /// Somebody without an address.
    pub fn new(principal: impl Into<String>) -> Actor {
        Actor { principal: principal.into(), client: String::new() }
    }
}

impl Default for Actor {
    /// The historian itself.
    fn default() -> Actor {
        Actor::new("historian")
    }
}

/// Deletes a range of some tags and writes samples, as one write: replace range, or with an empty batch delete range.
#[derive(Clone, Debug, Default)]
pub struct Correction {
    /// Tags and the range of source time that is emptied before `batch` is written.
    pub deletions: Vec<(TagId, TimeRange)>,
    pub batch: SampleBatch,
    /// Who does it, for the audit log.
    pub actor: Actor,
    /// Why, in the words of who does it.
    pub reason: String,
}

/// Why a batch was not taken. Nothing of it is stored, unless the variant says so.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    #[error("tag id {0} is not in the catalog; was the tag deleted while it was written?")]
    UnknownTag(u32),
    #[error("tag {tag} holds {expected} values, the batch brings {found}")]
    WrongType { tag: String, expected: String, found: String },
    #[error("the batch holds {found} samples, at most {limit} are taken at once; send smaller batches")]
    TooLarge { found: usize, limit: usize },
    /// A correction is taken whole or not at all.
    #[error(
        "{count} samples of the correction cannot be taken, and so nothing was changed; the first, of tag {tag} at {timestamp}, {reason}"
    )]
    Rejected { count: u64, tag: String, timestamp: Timestamp, reason: String },
    #[error("the store no longer acknowledges writes: {0}; look at the disk and restart the historian")]
    Stopped(String),
    /// Nothing was taken; the same write will be taken when there is room again, without a restart.
    #[error("no room: {0}; reading goes on, and writes are taken again as soon as there is room")]
    Full(String),
    #[error("the samples could not be encoded: {0}")]
    Encode(String),
}

/// A write that was not taken: nothing of it is stored, and who wrote it has it back, to write it again, whole or in parts.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RefusedWrite {
    pub error: WriteError,
    /// What was to be written. Without the samples in `rejected`; empty where it was lost with the thread that had it.
    pub batch: SampleBatch,
    /// Samples that would not have been taken in any case.
    pub rejected: Rejected,
}

impl RefusedWrite {
    /// A whole batch is handed back.
    pub fn whole(error: WriteError, batch: SampleBatch) -> Box<RefusedWrite> {
        Box::new(RefusedWrite { error, batch, rejected: Rejected::default() })
    }
}

/// Changes what was stored before. What it removes is kept as superseded versions, and the audit log tells of it.
#[async_trait]
pub trait CorrectionSink: Send + Sync + 'static {
    /// Applies one correction whole, durably. Returns after it is visible to queries.
    ///
    /// # Errors
    /// As [`SampleSink::write`].
    async fn correct(&self, correction: Correction) -> Result<Acknowledgement, WriteError>;
}

/// Takes samples and answers when they are durable.
#[async_trait]
pub trait SampleSink: Send + Sync + 'static {
    /// Writes one batch whole. Returns after the samples are as durable as asked and visible to queries. Batches of one caller that awaits
    /// each answer apply in order; where two callers write the same tag and timestamp, the one acknowledged with the higher watermark wins.
    ///
    /// # Errors
    /// See [`WriteError`]; the batch comes back with it. After [`WriteError::Stopped`] every further call fails in the same way until restart.
    async fn write(&self, batch: SampleBatch, mode: WriteMode, durability: Durability) -> Result<Acknowledgement, Box<RefusedWrite>>;

    /// Checks a batch before the tags that are new in it are made. `new` has their names by the ids that stand for them in the batch. Takes out
    /// of their runs the samples that a write would reject, and answers those.
    ///
    /// # Errors
    /// Why a write of this batch would be refused in any case.
    fn admit(&self, _batch: &mut SampleBatch, _new: &HashMap<TagId, &TagName>) -> Result<Rejected, WriteError> {
        Ok(Rejected::default())
    }

    /// Puts on record that samples are missing, for those who ask why they are absent.
    ///
    /// # Errors
    /// When it cannot be recorded now; it can be tried again.
    async fn record_losses(&self, losses: &[Loss]) -> Result<(), WriteError> {
        let _nobody_asks = losses;
        Ok(())
    }
}
