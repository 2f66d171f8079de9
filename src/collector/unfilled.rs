//! Gaps on record that a device's own history may fill.

use historian_model::{Timestamp, sink::LossReason};

/// Time in which samples of a tag are absent, as it is on record, and for which none came from the device's history yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfilledGap {
    pub start: Timestamp,
    /// Behind the start.
    pub end: Timestamp,
    pub reason: LossReason,
}
