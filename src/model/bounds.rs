//! First and last timestamp, both inclusive: what a chunk, a week or a key of the store has, and what the store is asked for.

use std::ops::Range;

use historian_format::{Statistics, keys::week_bounds};

use super::{TimeRange, Timestamp};

/// First and last timestamp of samples, chunks or keys, both inclusive. `first > last` holds nothing.
///
/// Requests and deletions name a half-open [`TimeRange`]. The store is asked for bounds, since maintenance must be able to name the last
/// nanosecond of all, which no half-open range holds. [`TimeRange::bounds`] is the one way from the former to the latter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeBounds {
    pub first: i64,
    pub last: i64,
}

impl TimeBounds {
    /// Every timestamp there is.
    pub const ALL: TimeBounds = TimeBounds { first: i64::MIN, last: i64::MAX };

    /// A timestamp and all behind it.
    pub const fn since(first: i64) -> TimeBounds {
        TimeBounds { first, ..TimeBounds::ALL }
    }

    /// Those of a chunk.
    pub const fn of(statistics: &Statistics) -> TimeBounds {
        TimeBounds { first: statistics.first_timestamp, last: statistics.last_timestamp }
    }

    /// Those of a week as it stands in keys; the first and the last week are cut by the range of i64.
    pub fn of_week(week: i32) -> TimeBounds {
        let (first, last) = week_bounds(week);
        TimeBounds { first, last }
    }

    /// True when no timestamp lies within.
    pub const fn is_empty(self) -> bool {
        self.first > self.last
    }

    /// True when `at` lies within.
    pub const fn contains(self, at: i64) -> bool {
        self.first <= at && at <= self.last
    }

    /// True when all of `other`, which holds something, lies within.
    pub const fn covers(self, other: TimeBounds) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// True when both, neither of which is empty, have a timestamp in common.
    pub const fn overlaps(self, other: TimeBounds) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What lies in both.
    #[must_use]
    pub fn intersect(self, other: TimeBounds) -> TimeBounds {
        TimeBounds { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    /// What of it lies behind `at`; `None` for nothing.
    pub fn after(self, at: i64) -> Option<TimeBounds> {
        let rest = TimeBounds { first: self.first.max(at.checked_add(1)?), ..self };
        (!rest.is_empty()).then_some(rest)
    }

    /// What of it lies before `at`; `None` for nothing.
    pub fn before(self, at: i64) -> Option<TimeBounds> {
        let rest = TimeBounds { last: self.last.min(at.checked_sub(1)?), ..self };
        (!rest.is_empty()).then_some(rest)
    }

    /// Rows of sorted timestamps that lie within.
    pub fn rows(self, timestamps: &[i64]) -> Range<usize> {
        let start = timestamps.partition_point(|timestamp| *timestamp < self.first);
        let end = timestamps.partition_point(|timestamp| *timestamp <= self.last);
        start..end.max(start)
    }

    /// The same as a range; without the last nanosecond of all, which a range cannot hold.
    pub const fn to_range(self) -> TimeRange {
        let end = if self.is_empty() { self.first } else { self.last.saturating_add(1) };
        TimeRange { start: Timestamp(self.first), end: Timestamp(end), reverse: false }
    }
}

impl TimeRange {
    /// First and last timestamp that lie in the range, whatever its direction; `None` when none does.
    pub const fn bounds(&self) -> Option<TimeBounds> {
        if self.start.0 < self.end.0 { Some(TimeBounds { first: self.start.0, last: self.end.0 - 1 }) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Around zero, and both ends of i64.
    const TIMES: [i64; 13] = [i64::MIN, i64::MIN + 1, i64::MIN + 2, -3, -2, -1, 0, 1, 2, 3, i64::MAX - 2, i64::MAX - 1, i64::MAX];

    fn pairs() -> impl Iterator<Item = (i64, i64)> {
        TIMES.into_iter().flat_map(|first| TIMES.map(|last| (first, last)))
    }

    fn held(within: impl Fn(i64) -> bool) -> Vec<i64> {
        TIMES.into_iter().filter(|at| within(*at)).collect()
    }

    #[test]
    fn the_bounds_of_a_range_hold_what_the_range_holds() {
        for (start, end) in pairs() {
            let range = TimeRange::new(Timestamp(start), Timestamp(end));
            let expected = held(|at| (start <= at && at < end) || (end <= at && at < start));
            assert_eq!(held(|at| range.bounds().is_some_and(|bounds| bounds.contains(at))), expected, "{start}..{end}");
            assert_eq!(range.bounds().is_none(), start == end, "{start}..{end}");
            assert!(!range.bounds().is_some_and(TimeBounds::is_empty), "{start}..{end}");
            if let Some(bounds) = range.bounds() {
                assert_eq!(bounds.to_range(), TimeRange { reverse: false, ..range }, "there and back");
            }
        }
        let literal = TimeRange { start: Timestamp(2), end: Timestamp(-1), reverse: false };
        assert_eq!(literal.bounds(), None, "a range that ends before it starts holds nothing");
    }

    #[test]
    fn a_range_made_of_bounds_lacks_the_last_nanosecond_of_all_only() {
        for (first, last) in pairs() {
            let bounds = TimeBounds { first, last };
            let range = bounds.to_range();
            let expected = held(|at| first <= at && at <= last && at != i64::MAX);
            assert_eq!(held(|at| range.contains(Timestamp(at))), expected, "{first}..={last}");
            assert!(!range.reverse && range.start <= range.end, "{first}..={last}");
            assert_eq!(bounds.is_empty(), held(|at| first <= at && at <= last).is_empty(), "{first}..={last}");
        }
        assert_eq!(TimeBounds::ALL.to_range(), TimeRange::ALL);
    }

    #[test]
    fn what_lies_behind_and_before_a_time_is_what_plain_comparison_says() {
        for (first, last) in pairs() {
            let bounds = TimeBounds { first, last };
            for at in TIMES {
                let behind = held(|other| first <= other && other <= last && other > at);
                assert_eq!(held(|other| bounds.after(at).is_some_and(|rest| rest.contains(other))), behind, "{bounds:?} after {at}");
                let before = held(|other| first <= other && other <= last && other < at);
                assert_eq!(held(|other| bounds.before(at).is_some_and(|rest| rest.contains(other))), before, "{bounds:?} before {at}");
                assert!(bounds.after(at).is_none_or(|rest| !rest.is_empty()) && bounds.before(at).is_none_or(|rest| !rest.is_empty()));
            }
            assert_eq!(held(|at| TimeBounds::since(first).contains(at)), held(|at| at >= first));
            assert_eq!(TIMES[bounds.rows(&TIMES)].to_vec(), held(|at| first <= at && at <= last), "{bounds:?}");
        }
    }

    #[test]
    fn two_bounds_share_what_lies_in_both() {
        for (first, last) in pairs() {
            for (other_first, other_last) in pairs() {
                let (one, other) = (TimeBounds { first, last }, TimeBounds { first: other_first, last: other_last });
                let shared = held(|at| first <= at && at <= last && other_first <= at && at <= other_last);
                assert_eq!(held(|at| one.intersect(other).contains(at)), shared, "{one:?} {other:?}");
                if !one.is_empty() && !other.is_empty() {
                    assert_eq!(one.overlaps(other), !shared.is_empty(), "{one:?} {other:?}");
                    assert_eq!(one.covers(other), shared == held(|at| other.contains(at)), "{one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn weeks_lie_end_to_end_and_the_outer_ones_are_cut() {
        use historian_format::keys::week_of;
        for week in [week_of(i64::MIN), -1, 0, 1, 2_922, week_of(i64::MAX)] {
            let bounds = TimeBounds::of_week(week);
            assert_eq!((week_of(bounds.first), week_of(bounds.last)), (week, week));
            assert_eq!(bounds.first.checked_sub(1).map(week_of), (bounds.first != i64::MIN).then_some(week - 1));
            assert_eq!(bounds.last.checked_add(1).map(week_of), (bounds.last != i64::MAX).then_some(week + 1));
        }
    }
}
