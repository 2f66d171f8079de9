//! Recorded gaps: samples that were expected and are absent, when that was noticed and why. Entries are numbered from 1 in the order of
//! writing and never changed.
//!
//! A gap is told by whoever knows of it, so that a hole in the data can be told from a plant that stood: recovery from damage does, a start
//! of the time in which the historian did not run or a tag was not configured, ingest of samples that it was brought and could not keep, and a
//! collector of the time in which a device did not answer or refused a tag.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::StoreError;
use historian_model::{TagScope, Timestamp};

/// Why samples are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The device did not answer.
    DeviceDown,
    /// The device answered, and refuses the address or node.
    Refused,
    /// The collector was not running, nor was the historian.
    CollectorDown,
    /// The tag was not collected: taken out of the configuration, or configured in a way that contradicts the catalog.
    NotConfigured,
    /// The spool was full and its oldest samples went.
    SpoolOverflow,
    /// Samples came and were not taken: their time lies too far in the future, or they cannot be written.
    Rejected,
    /// The source answered, with values it calls bad. Nobody records it: these samples are there, and tell it themselves.
    SourceBad,
    /// Stored samples were damaged or lost.
    #[default]
    DataLoss,
    /// No absence of its own: samples of the device's history were stored for the gap that begins where this one does, of this tag or of any.
    Backfilled,
}

impl Gap {
    /// Whether somebody may know of it who sees the tags of a scope. A gap of no tag may be in any.
    pub fn is_within(&self, scope: &TagScope) -> bool {
        self.tag.as_deref().map_or(scope.is_everything(), |tag| scope.has(tag))
    }
}

impl GapReason {
    /// The word in which it is kept and told.
    pub const fn as_str(self) -> &'static str {
        match self {
            GapReason::DeviceDown => "device_down",
            GapReason::Refused => "refused",
            GapReason::CollectorDown => "collector_down",
            GapReason::NotConfigured => "not_configured",
            GapReason::SpoolOverflow => "spool_overflow",
            GapReason::Rejected => "rejected",
            GapReason::SourceBad => "source_bad",
            GapReason::DataLoss => "data_loss",
            GapReason::Backfilled => "backfilled",
        }
    }
}

/// One recorded gap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// When it was recorded, by the clock of the historian.
    pub time: Timestamp,
    /// Name of the tag, as it was called then; `None` when any tag may be concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The range `[start, end)` of source time in which samples may be absent; `None` where a bound is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    pub reason: GapReason,
    /// What else is known: the file, the sequence numbers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Gap {
    /// The gap as it is kept: UTF-8 JSON.
    pub(super) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|error| StoreError::Io(format!("a gap cannot be written as JSON: {error}")))
    }

    pub(super) fn decode(number: u64, bytes: &[u8]) -> Result<Gap, StoreError> {
        serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt {
            family: historian_format::keys::FAMILY_GAPS,
            key: format!("gap {number}"),
            message: error.to_string(),
        })
    }
}

/// Which of the gaps on record without an end have none to this day. The others are on record again, with their end.
#[derive(Debug, Default)]
pub struct OpenGapIndex {
    /// The last number that was looked at.
    read: u64,
    open: HashMap<(GapReason, Option<String>, i64), u64>,
}

impl OpenGapIndex {
    /// Gaps of one look into the ledger.
    const PAGE: usize = 4_096;

    /// Looks at what was recorded since the last time; `gaps` are those from a number on, at most so many.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn catch_up(&mut self, gaps: impl Fn(u64, usize) -> Result<Vec<(u64, Gap)>, StoreError>) -> Result<(), StoreError> {
        loop {
            let page = gaps(self.read + 1, Self::PAGE)?;
            let Some(&(last, _)) = page.last() else { return Ok(()) };
            self.read = last;
            for (number, gap) in page {
                // A loss of stored samples is told once.
                let (Some(start), false) = (gap.start, gap.reason == GapReason::DataLoss) else { continue };
                let key = (gap.reason, gap.tag, start);
                match gap.end {
                    None => drop(self.open.insert(key, number)),
                    Some(_) => drop(self.open.remove(&key)),
                }
            }
        }
    }

    /// Whether a gap without an end is on record once more.
    pub fn is_superseded(&self, number: u64, gap: &Gap) -> bool {
        let (Some(start), None, true) = (gap.start, gap.end, number <= self.read) else { return false };
        gap.reason != GapReason::DataLoss && self.open.get(&(gap.reason, gap.tag.clone(), start)) != Some(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStore, ReadStore, RocksStore, Store, rocks::StoreOptions};

    fn gap(detail: &str) -> Gap {
        Gap {
            time: Timestamp(-7),
            tag: Some("a/b".into()),
            start: Some(i64::MIN),
            end: None,
            reason: GapReason::DeviceDown,
            detail: detail.into(),
        }
    }

    fn numbers_go_on(store: &dyn Store, after: u64) {
        assert_eq!(store.gaps(after + 1, 10).unwrap(), []);
        store.append_gaps(&[gap("first"), gap("second")]).unwrap();
        store.append_gaps(&[]).unwrap();
        store.append_gaps(&[gap("third")]).unwrap();
        let told = store.gaps(after + 1, 10).unwrap();
        assert_eq!(told, [(after + 1, gap("first")), (after + 2, gap("second")), (after + 3, gap("third"))]);
        assert_eq!(store.gaps(after + 2, 1).unwrap(), [(after + 2, gap("second"))]);
    }

    #[test]
    fn gaps_are_numbered_in_order_on_both_twins_and_over_a_restart() {
        numbers_go_on(&MemoryStore::default(), 0);
        let directory = tempfile::tempdir().unwrap();
        numbers_go_on(&RocksStore::open(directory.path(), &StoreOptions::default()).unwrap(), 0);
        numbers_go_on(&RocksStore::open(directory.path(), &StoreOptions::default()).unwrap(), 3);
    }

    #[test]
    fn a_gap_without_an_end_is_superseded_by_the_same_one_with_its_end_and_by_no_other() {
        let store = MemoryStore::default();
        let mut index = OpenGapIndex::default();
        let gap = |tag: &str, start: i64, end: Option<i64>| Gap { tag: Some(tag.into()), start: Some(start), end, ..gap("") };
        let mut superseded = |record: &[Gap]| -> Vec<u64> {
            store.append_gaps(record).unwrap();
            index.catch_up(|from, limit| store.gaps(from, limit)).unwrap();
            let all = store.gaps(1, 100).unwrap();
            all.iter().filter(|(number, gap)| index.is_superseded(*number, gap)).map(|(number, _)| *number).collect()
        };
        assert_eq!(superseded(&[gap("a", 1, None), gap("b", 1, None), gap("a", 1, Some(5)), gap("b", 2, Some(5))]), [1]);
        let lost = Gap { reason: GapReason::DataLoss, ..gap("c", 1, None) };
        assert_eq!(superseded(&[gap("a", 9, None), lost.clone(), lost]), [1]);
        assert_eq!(superseded(&[gap("b", 1, Some(7)), gap("a", 9, Some(9))]), [1, 2, 5]);
    }

    #[test]
    fn the_words_of_reasons_are_those_of_their_json() {
        for reason in [
            GapReason::DeviceDown,
            GapReason::Refused,
            GapReason::CollectorDown,
            GapReason::NotConfigured,
            GapReason::SpoolOverflow,
            GapReason::Rejected,
            GapReason::SourceBad,
            GapReason::DataLoss,
            GapReason::Backfilled,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
