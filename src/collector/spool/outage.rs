//! Time in which a tag has no samples although some were expected, so that it is on record with its reason.
//!
//! A collector says when a tag ceases to deliver (`Spool::absent`) and when its samples come again (`Spool::present`). Each tag has a
//! gap of its own: tags of one device cease and come again at times of their own, and who may see one tag need not see its neighbours.
//!
//! A gap goes on record without an end once it lasted for longer than is tolerated, and again with its end when the tag has delivered for a
//! minute: one that comes and goes has one gap, and not one per return. What is shorter is no gap, its Bad sample tells it; unless it comes
//! again before that minute is over. When collecting stops, what is open ends with it. Bounded by the number of tags.
//!
//! A sample that is Bad because the device says so is not absent.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use historian_model::{
    TagId, Timestamp,
    sink::{Loss, LossReason},
};

/// How long a tag must deliver again before its gap is over: one that comes and goes has one gap, and not one per sample.
pub(super) const SETTLED_NS: i64 = 60_000_000_000;
/// How often it is looked at who has to be put on record.
const LOOK_NS: i64 = 200_000_000;

/// What is said of a gap that was recorded and turns out to be none.
const NOTHING_MISSED: &str = "the device kept what changed meanwhile and sent it late: nothing is missing";

/// A tag does not deliver.
#[derive(Clone, Debug)]
pub struct Absence {
    /// Source time from which on a sample is missing.
    pub start: Timestamp,
    pub reason: LossReason,
    /// Why, in words.
    pub detail: Arc<str>,
    /// What does not last for longer is no gap.
    pub tolerated: Duration,
}

/// Samples of a device's own history, stored for a time in which samples of a tag were absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackfilledGap {
    /// Where the gap on record begins that they fill.
    pub start: Timestamp,
    /// Where it ends, as far as it was read.
    pub end: Timestamp,
    /// Why it is one.
    pub reason: LossReason,
    /// How many of them lie in it; more than none.
    pub samples: u64,
    /// The latest of these.
    pub newest: Timestamp,
}

/// The tags of a device that do not deliver now, or have only just begun to again.
#[derive(Default)]
pub(super) struct Outages {
    tags: BTreeMap<TagId, Outage>,
    /// Of those that ended with another reason.
    ended: Vec<Loss>,
    looked: Timestamp,
    /// Something will have to be put on record after a while.
    pending: bool,
}

struct Outage {
    absence: Absence,
    /// When it was told.
    noticed: Timestamp,
    /// Source time of the first sample that came again, and when it did.
    again: Option<(Timestamp, Timestamp)>,
    /// It came again, and was absent once more before it had delivered for a minute.
    repeated: bool,
    recorded: bool,
    /// What came from the device's history since it began, and whether it covers all of it so far.
    filled: Option<(BackfilledGap, bool)>,
}

impl Outages {
    /// Answers where the gap begins that is on record, or will be.
    pub(super) fn absent(&mut self, tag: TagId, absence: Absence, now: Timestamp) -> Timestamp {
        let fresh = |absence| Outage { absence, noticed: now, again: None, repeated: false, recorded: false, filled: None };
        let Some(known) = self.tags.get_mut(&tag) else {
            let start = absence.start;
            self.tags.insert(tag, fresh(absence));
            self.pending = true;
            return start;
        };
        let before = known.absence.reason;
        let replaces = match absence.reason {
            LossReason::Refused => before != LossReason::Refused,
            LossReason::DeviceDown => before == LossReason::CollectorDown,
            _ => false,
        };
        if !replaces {
            if known.again.take().is_some() {
                known.repeated = true;
                known.filled.iter_mut().for_each(|(_, whole)| *whole = false);
                self.pending = true;
            }
            return known.absence.start;
        }
        let end = known.again.map_or(absence.start, |(at, _)| at);
        let lasted = now.0.saturating_sub(known.noticed.0) >= nanoseconds(known.absence.tolerated);
        if known.recorded || known.repeated || lasted {
            self.ended.push(known.loss(tag, Some(end)));
        }
        self.ended.extend(known.filling(tag, end));
        let start = absence.start.max(known.absence.start);
        *known = fresh(Absence { start, ..absence });
        self.pending = true;
        start
    }

    pub(super) fn present(&mut self, tag: TagId, at: Timestamp, now: Timestamp) {
        if let Some(known) = self.tags.get_mut(&tag).filter(|known| known.again.is_none()) {
            known.again = Some((at.max(known.absence.start), now));
            self.pending = true;
        }
    }

    pub(super) fn nothing_missed(&mut self, tag: TagId, now: Timestamp) {
        let Some(known) = self.tags.get_mut(&tag) else { return };
        if known.repeated || known.again.is_some() {
            // What was missed before that is not known any more.
            known.again = known.again.or(Some((now.max(known.absence.start), now)));
        } else {
            if known.recorded {
                known.absence.detail = NOTHING_MISSED.into();
                self.ended.push(known.loss(tag, Some(known.absence.start)));
            }
            self.tags.remove(&tag);
        }
        self.pending = true;
    }

    /// What a gap is filled with goes on record behind the gap itself.
    pub(super) fn backfilled(&mut self, tag: TagId, gap: BackfilledGap) {
        let of_this = |known: &&mut Outage| known.again.is_some() && (known.absence.start, known.absence.reason) == (gap.start, gap.reason);
        let Some(known) = self.tags.get_mut(&tag).filter(of_this) else {
            self.ended.push(gap.loss(tag));
            return;
        };
        let before = known.filled.map_or(0, |(before, _)| before.samples);
        known.filled = Some((BackfilledGap { samples: before + gap.samples, ..gap }, true));
        self.pending = true;
    }

    /// What is to be put on record now. At the `end` of all nothing waits any longer.
    pub(super) fn due(&mut self, now: Timestamp, end: bool) -> Vec<Loss> {
        let mut losses = std::mem::take(&mut self.ended);
        let looked = now.0.saturating_sub(self.looked.0);
        if !end && (!self.pending || (0..LOOK_NS).contains(&looked)) {
            return losses;
        }
        self.looked = now;
        self.pending = false;
        let pending = &mut self.pending;
        self.tags.retain(|&tag, known| {
            let until = known.again.map_or(now, |(_, since)| since);
            // It began before it was told, by the time that a silent device was waited for.
            let missed = known.again.map_or(0, |(at, _)| at.0.saturating_sub(known.absence.start.0));
            let lasted = until.0.saturating_sub(known.noticed.0).max(missed) >= nanoseconds(known.absence.tolerated);
            let counts = known.recorded || known.repeated || lasted;
            match known.again {
                None if end => {
                    losses.push(known.loss(tag, Some(now.max(known.absence.start))));
                    return false;
                }
                Some((at, since)) if end || now.0.saturating_sub(since.0) >= SETTLED_NS => {
                    if counts {
                        losses.push(known.loss(tag, Some(at)));
                    }
                    losses.extend(known.filling(tag, at));
                    return false;
                }
                _ => {}
            }
            if counts && !std::mem::replace(&mut known.recorded, counts) {
                losses.push(known.loss(tag, None));
            }
            *pending |= known.again.is_some() || !known.recorded;
            true
        });
        losses
    }

    /// Whether something will have to be put on record without a further word of the collector.
    pub(super) fn are_pending(&self) -> bool {
        self.pending || !self.ended.is_empty()
    }
}

impl Outage {
    /// What is on record once it is over at `end`, where it came from the device's history as a whole.
    fn filling(&self, tag: TagId, end: Timestamp) -> Option<Loss> {
        let (gap, _) = self.filled.filter(|(_, whole)| *whole)?;
        Some(BackfilledGap { end: end.max(gap.start), ..gap }.loss(tag))
    }

    fn loss(&self, tag: TagId, end: Option<Timestamp>) -> Loss {
        let Absence { start, reason, detail, .. } = &self.absence;
        Loss { tag, start: *start, end: end.map(|end| end.max(*start)), reason: *reason, detail: detail.to_string() }
    }
}

impl BackfilledGap {
    fn loss(&self, tag: TagId) -> Loss {
        let BackfilledGap { start, end, samples, newest, .. } = *self;
        let detail = format!("{samples} samples came from the device's own history, up to that of {newest}");
        Loss { tag, start, end: Some(end), reason: LossReason::Backfilled, detail }
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const TAG: TagId = TagId(1);

    fn down(start: i64) -> Absence {
        because(LossReason::DeviceDown, start)
    }

    fn because(reason: LossReason, start: i64) -> Absence {
        Absence { start: Timestamp(start), reason, detail: "why".into(), tolerated: Duration::from_secs(1) }
    }

    /// A device over time, by its seconds.
    #[derive(Default)]
    struct OutageLog {
        outages: Outages,
        losses: Vec<(i64, Option<i64>, LossReason)>,
    }

    impl OutageLog {
        fn due(&mut self, now: i64, end: bool) {
            let due = self.outages.due(Timestamp(now * SECOND), end);
            self.losses.extend(due.into_iter().map(|loss| (loss.start.0 / SECOND, loss.end.map(|end| end.0 / SECOND), loss.reason)));
        }

        fn absent(&mut self, reason: LossReason, now: i64) {
            self.outages.absent(TAG, because(reason, now * SECOND), Timestamp(now * SECOND));
            self.due(now, false);
        }

        fn present(&mut self, now: i64) {
            self.outages.present(TAG, Timestamp(now * SECOND), Timestamp(now * SECOND));
            self.due(now, false);
        }
    }

    use LossReason::{Backfilled, CollectorDown, DeviceDown, Refused};

    #[test]
    fn an_outage_is_told_when_it_lasts_and_again_when_the_tag_has_delivered_for_a_minute() {
        let mut told = OutageLog::default();
        told.absent(DeviceDown, 10);
        assert_eq!((told.losses.len(), told.outages.are_pending()), (0, true));
        told.due(11, false);
        told.absent(DeviceDown, 12);
        told.due(500, false);
        assert_eq!(told.losses, [(10, None, DeviceDown)]);
        assert!(!told.outages.are_pending(), "nothing is to be done until samples come");
        told.present(600);
        told.present(601);
        told.due(659, false);
        assert_eq!(told.losses.len(), 1);
        told.due(660, false);
        told.due(1_000, true);
        assert_eq!(told.losses[1..], [(10, Some(600), DeviceDown)]);
        assert!(!told.outages.are_pending() && told.outages.tags.is_empty());
    }

    #[test]
    fn one_that_comes_and_goes_has_one_gap() {
        let mut told = OutageLog::default();
        for turn in 0..100 {
            told.absent(DeviceDown, 10 * turn);
            told.due(10 * turn + 5, false);
            told.present(10 * turn + 6);
        }
        assert_eq!(told.losses, [(0, None, DeviceDown)]);
        told.due(2_000, false);
        assert_eq!(told.losses[1..], [(0, Some(996), DeviceDown)]);
    }

    #[test]
    fn what_is_short_is_a_gap_only_when_it_comes_again() {
        let mut told = OutageLog::default();
        let short = |told: &mut OutageLog, at: i64| {
            told.outages.absent(TAG, down(at), Timestamp(at));
            told.outages.present(TAG, Timestamp(at + SECOND / 2), Timestamp(at + SECOND / 2));
        };
        short(&mut told, 0);
        told.due(100, false);
        assert_eq!(told.losses, []);
        short(&mut told, 200 * SECOND);
        short(&mut told, 210 * SECOND);
        told.due(211, false);
        assert_eq!(told.losses, [(200, None, DeviceDown)]);
    }

    #[test]
    fn what_is_open_ends_with_the_collecting_and_what_is_short_counts_then() {
        let mut told = OutageLog::default();
        told.absent(DeviceDown, 10);
        told.due(10, true);
        assert_eq!(told.losses, [(10, Some(10), DeviceDown)]);
        told.absent(DeviceDown, 20);
        told.due(30, false);
        told.present(40);
        told.due(50, true);
        assert_eq!(told.losses[1..], [(20, None, DeviceDown), (20, Some(40), DeviceDown)]);
    }

    #[test]
    fn a_device_that_is_back_and_refuses_the_tag_ends_one_gap_and_begins_another_and_goes_without_a_word() {
        let mut told = OutageLog::default();
        told.absent(CollectorDown, 1);
        told.absent(DeviceDown, 10);
        told.due(15, false);
        told.absent(Refused, 20);
        told.absent(DeviceDown, 30);
        told.absent(Refused, 40);
        told.due(50, false);
        let until_refused = [(1, Some(10), CollectorDown), (10, None, DeviceDown), (10, Some(20), DeviceDown), (20, None, Refused)];
        assert_eq!(told.losses, until_refused);
        told.present(60);
        told.due(200, false);
        assert_eq!(told.losses[4..], [(20, Some(60), Refused)]);
    }

    fn fill(told: &mut OutageLog, start: i64, samples: u64) {
        let (start, newest) = (Timestamp(start * SECOND), Timestamp((start + 1) * SECOND));
        let gap = BackfilledGap { start, end: Timestamp(start.0 + 3 * SECOND), reason: DeviceDown, samples, newest };
        told.outages.backfilled(TAG, gap);
    }

    #[test]
    fn what_fills_a_gap_is_told_behind_it_with_its_end_and_as_a_whole() {
        let mut told = OutageLog::default();
        told.absent(DeviceDown, 10);
        told.due(12, false);
        told.present(13);
        fill(&mut told, 10, 5);
        told.due(20, false);
        assert_eq!(told.losses, [(10, None, DeviceDown)]);
        // It goes once more before it has delivered for a minute.
        told.absent(DeviceDown, 20);
        told.present(25);
        told.due(40, false);
        fill(&mut told, 10, 7);
        let due = told.outages.due(Timestamp(100 * SECOND), false);
        let ends: Vec<_> = due.iter().map(|loss| (loss.start.0 / SECOND, loss.end.unwrap().0 / SECOND, loss.reason)).collect();
        assert_eq!(ends, [(10, 25, DeviceDown), (10, 25, Backfilled)]);
        assert!(due[1].detail.starts_with("12 samples"), "{}", due[1].detail);
        // Later than that it is told by itself.
        fill(&mut told, 10, 1);
        assert!(told.outages.tags.is_empty() && !told.outages.ended.is_empty());
        told.due(101, false);
        assert_eq!(told.losses[1..], [(10, Some(13), Backfilled)]);
    }

    #[test]
    fn a_gap_of_which_a_part_is_not_filled_is_not() {
        let mut told = OutageLog::default();
        told.absent(DeviceDown, 10);
        told.due(12, false);
        told.present(13);
        fill(&mut told, 10, 5);
        told.absent(DeviceDown, 20);
        told.present(25);
        told.due(100, false);
        assert_eq!(told.losses[1..], [(10, Some(25), DeviceDown)]);
    }

    #[test]
    fn a_gap_in_which_nothing_was_missed_is_empty() {
        let mut told = OutageLog::default();
        told.absent(DeviceDown, 10);
        told.outages.nothing_missed(TAG, Timestamp(10 * SECOND));
        told.due(20, false);
        assert_eq!(told.losses, []);
        told.absent(DeviceDown, 30);
        told.due(40, false);
        told.outages.nothing_missed(TAG, Timestamp(41 * SECOND));
        told.due(41, false);
        assert_eq!(told.losses, [(30, None, DeviceDown), (30, Some(30), DeviceDown)]);
    }
}
