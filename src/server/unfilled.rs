//! Which gaps on record a device's own history may still fill.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::gap_record::each_gap;
use historian_collector::UnfilledGap;
use historian_model::{Tag, Timestamp, sink::LossReason};
use historian_store::{Gap, GapReason, StoreError};

/// Gaps of one tag at most, the newest of them.
const GAPS_MAX: usize = 64;

/// What is on record of one tag, or of none.
#[derive(Default)]
struct LedgerPart {
    /// Ends by start and reason; `None` where it has none.
    gaps: BTreeMap<(i64, &'static str), (LossReason, Option<i64>)>,
    /// Starts of gaps for which samples came from the device's history.
    filled: HashSet<i64>,
}

/// The gaps of each tag that end after `since` and for which no sample came from the device's history, oldest first. `gaps` answers those on record
/// from a number on, at most so many. What was absent before a tag was made is not its own. Blocks.
///
/// # Errors
/// When the ledger cannot be read.
pub fn of(
    tags: &[Arc<Tag>],
    since: Timestamp,
    gaps: impl Fn(u64, usize) -> Result<Vec<(u64, Gap)>, StoreError>,
) -> Result<Vec<Vec<UnfilledGap>>, StoreError> {
    let places: HashMap<&str, usize> = tags.iter().enumerate().map(|(place, tag)| (tag.name().as_str(), place)).collect();
    let mut parts: Vec<LedgerPart> = tags.iter().map(|_| LedgerPart::default()).collect();
    let mut of_any = LedgerPart::default();
    each_gap(gaps, |gap| {
        let Some(start) = gap.start else { return };
        let part = match gap.tag.as_deref().map(|tag| places.get(tag)) {
            None => &mut of_any,
            Some(Some(&place)) => &mut parts[place],
            Some(None) => return,
        };
        if gap.reason == GapReason::Backfilled {
            part.filled.insert(start);
        } else if let Some(reason) = absence(gap.reason) {
            part.gaps.insert((start, gap.reason.as_str()), (reason, gap.end));
        }
    })?;
    let all = |(tag, part): (&Arc<Tag>, &LedgerPart)| {
        let both = of_any.gaps.iter().chain(&part.gaps);
        let mut left: Vec<UnfilledGap> = both
            .filter_map(|(&(start, _), &(reason, end))| Some(UnfilledGap { start: Timestamp(start), end: Timestamp(end?), reason }))
            .filter(|gap| gap.start < gap.end && gap.end > since && gap.start >= tag.created && !part.filled.contains(&gap.start.0))
            .collect();
        left.sort_by_key(|gap| gap.start);
        left.drain(..left.len().saturating_sub(GAPS_MAX));
        left
    };
    Ok(tags.iter().zip(&parts).map(all).collect())
}

/// Samples that the device made, and that did not reach the store. Stored samples that were damaged are nobody's to fill, and those of a tag
/// that was not configured were not wanted.
fn absence(reason: GapReason) -> Option<LossReason> {
    match reason {
        GapReason::DeviceDown => Some(LossReason::DeviceDown),
        GapReason::Refused => Some(LossReason::Refused),
        GapReason::CollectorDown => Some(LossReason::CollectorDown),
        GapReason::SpoolOverflow => Some(LossReason::SpoolOverflow),
        GapReason::NotConfigured | GapReason::Rejected | GapReason::SourceBad | GapReason::DataLoss | GapReason::Backfilled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{TagDefinition, TagId, TagName, ValueType};

    #[test]
    fn what_is_open_filled_older_or_of_before_the_tag_is_left_out() {
        let tag = |name: &str, created: i64| {
            let definition = TagDefinition::new(TagName::new(name).unwrap(), ValueType::F64);
            Arc::new(Tag { id: TagId(1), definition, created: Timestamp(created), updated: Timestamp(created) })
        };
        let gap = |tag: Option<&str>, start: i64, end: Option<i64>, reason: GapReason| Gap {
            tag: tag.map(str::to_owned),
            start: Some(start),
            end,
            reason,
            ..Gap::default()
        };
        let record = [
            gap(Some("a"), 10, Some(20), GapReason::DeviceDown),
            gap(None, 100, Some(200), GapReason::CollectorDown),
            gap(Some("a"), 300, None, GapReason::DeviceDown),
            gap(Some("a"), 300, Some(310), GapReason::DeviceDown),
            gap(Some("a"), 300, Some(310), GapReason::Backfilled),
            gap(Some("b"), 400, Some(410), GapReason::Refused),
            gap(Some("b"), 500, None, GapReason::DeviceDown),
            gap(Some("b"), 600, Some(600), GapReason::DeviceDown),
            gap(Some("b"), 700, Some(710), GapReason::NotConfigured),
            gap(Some("b"), 800, Some(810), GapReason::SpoolOverflow),
            gap(Some("c"), 900, Some(910), GapReason::DeviceDown),
        ];
        let numbered: Vec<(u64, Gap)> = (1..).zip(record).collect();
        let page = |from: u64, limit: usize| Ok(numbered.iter().filter(|(number, _)| *number >= from).take(limit).cloned().collect());
        let found = of(&[tag("a", 0), tag("b", 150)], Timestamp(50), page).unwrap();
        let of_a: Vec<_> = found[0].iter().map(|gap| (gap.start.0, gap.end.0, gap.reason)).collect();
        assert_eq!(of_a, [(100, 200, LossReason::CollectorDown)]);
        let of_b: Vec<_> = found[1].iter().map(|gap| (gap.start.0, gap.end.0, gap.reason)).collect();
        assert_eq!(of_b, [(400, 410, LossReason::Refused), (800, 810, LossReason::SpoolOverflow)]);
    }
}
