//! How long samples are kept: what a configuration says, maintenance applies, and the API shows.

use std::time::Duration;

use crate::TagSelection;

/// Tags whose samples are kept alike.
#[derive(Clone, Debug)]
pub struct RetentionGroup {
    /// Which tags: those of the first group that matches.
    pub selection: TagSelection,
    /// How long samples are kept at least; whole weeks go, so up to a week longer.
    pub age: Option<Duration>,
    /// Bytes the group's chunks, late chunks, rollups and superseded versions may have, about; the oldest weeks go, never the newest.
    pub bytes_max: Option<u64>,
}
