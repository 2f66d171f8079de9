//! The intervals of an aggregate query (OPC 10000-13, 5.4.2.2).

use std::ops::Range;
use std::sync::Arc;

/// Intervals of one query at most; a query that needs more is asked in parts.
pub const INTERVALS_MAX: usize = 100_000_000;

/// One interval: the time from `early` to `late`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Earlier edge, ns.
    pub early: i64,
    /// Later edge, ns.
    pub late: i64,
    /// The end of the request cuts it short.
    pub cut: bool,
    /// It runs backwards: it starts at its later edge.
    pub reverse: bool,
}

impl Interval {
    /// The edge at which it starts; the timestamp of most answers.
    pub const fn start(&self) -> i64 {
        if self.reverse { self.late } else { self.early }
    }

    /// Timestamps of its samples, half-open: a start belongs to an interval, an end does not.
    pub const fn sample_range(&self) -> Range<i64> {
        if self.reverse { self.early.saturating_add(1)..self.late.saturating_add(1) } else { self.early..self.late }
    }
}

/// The intervals of a query or of a part of one, in the order in which they were asked for.
#[derive(Clone, Debug)]
pub struct Intervals {
    kind: IntervalsKind,
    range: Range<usize>,
}

#[derive(Clone, Debug)]
enum IntervalsKind {
    /// From `start` towards `end` in steps of `step` ns; the last one is cut by `end`.
    Steps { start: i64, end: i64, step: u64 },
    /// Between neighbouring edges, ascending.
    Edges { edges: Arc<[i64]>, reverse: bool, cut: (bool, bool) },
}

/// Bounds of intervals that make none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum InvalidIntervals {
    #[error("start and end are the same time; end must differ from start")]
    Empty,
    #[error("interval is {interval} ns; allowed is 0 (the whole range) or more")]
    Negative { interval: i64 },
    #[error("interval makes {count} intervals; allowed are {INTERVALS_MAX}: take a longer interval or a shorter range")]
    TooMany { count: u128 },
    #[error("the edges of calendar intervals must be two or more, each later than the one before")]
    Edges,
}

impl Intervals {
    /// Intervals of `interval` ns from `start` to `end` (ns since 1970); 0 makes one of the whole range. With `end` before `start` they run
    /// backwards. The last one is cut by `end`.
    ///
    /// # Errors
    /// When there are none, too many, or the interval is negative.
    pub fn new(start: i64, end: i64, interval: i64) -> Result<Self, InvalidIntervals> {
        let span = start.abs_diff(end);
        if span == 0 {
            return Err(InvalidIntervals::Empty);
        }
        let step = u64::try_from(interval).map_err(|_| InvalidIntervals::Negative { interval })?;
        let step = if step == 0 { span } else { step.min(span) };
        let count = span.div_ceil(step);
        match usize::try_from(count) {
            Ok(count) if count <= INTERVALS_MAX => Ok(Self { kind: IntervalsKind::Steps { start, end, step }, range: 0..count }),
            _ => Err(InvalidIntervals::TooMany { count: u128::from(count) }),
        }
    }

    /// Intervals between neighbouring `edges` (ns, ascending), as a calendar makes them; backwards if `reverse`.
    ///
    /// # Errors
    /// When there are fewer than two edges, too many, or they do not ascend.
    pub fn between(edges: Vec<i64>, reverse: bool) -> Result<Self, InvalidIntervals> {
        if edges.len() < 2 || edges.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(InvalidIntervals::Edges);
        }
        let count = edges.len() - 1;
        if count > INTERVALS_MAX {
            return Err(InvalidIntervals::TooMany { count: count as u128 });
        }
        Ok(Self { kind: IntervalsKind::Edges { edges: edges.into(), reverse, cut: (false, false) }, range: 0..count })
    }

    /// Tells that the bounds of the request cut the earliest interval between edges, or the latest one: a day that is not over yet.
    #[must_use]
    pub fn cut_at(mut self, earliest: bool, latest: bool) -> Self {
        if let IntervalsKind::Edges { cut, .. } = &mut self.kind {
            *cut = (earliest, latest);
        }
        self
    }

    /// Number of intervals.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Never true of a query's intervals; true of an empty part.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Whether they run backwards in time.
    pub fn is_reverse(&self) -> bool {
        match &self.kind {
            IntervalsKind::Steps { start, end, .. } => end < start,
            IntervalsKind::Edges { reverse, .. } => *reverse,
        }
    }

    /// The interval with this number, from 0, in the order asked for.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, index: usize) -> Interval {
        assert!(index < self.len(), "interval {index} of {}", self.len());
        let index = self.range.start + index;
        match &self.kind {
            IntervalsKind::Steps { start, end, step } => {
                // Both edges lie between start and end, so they fit.
                let (begin, reach) = (u128::from(*step) * index as u128, u128::from(*step) * (index as u128 + 1));
                let span = u128::from(start.abs_diff(*end));
                let at = |offset: u128| if end < start { i128::from(*start) - offset as i128 } else { i128::from(*start) + offset as i128 } as i64;
                let (near, far, cut) = (at(begin), at(reach.min(span)), reach > span);
                let reverse = end < start;
                Interval { early: near.min(far), late: near.max(far), cut, reverse }
            }
            IntervalsKind::Edges { edges, reverse, cut } => {
                let index = if *reverse { edges.len() - 2 - index } else { index };
                let cut = (index == 0 && cut.0) || (index + 2 == edges.len() && cut.1);
                Interval { early: edges[index], late: edges[index + 1], cut, reverse: *reverse }
            }
        }
    }

    /// A part of them: a query is answered part after part, so that its memory is bounded.
    ///
    /// # Panics
    /// When `range` reaches beyond `len()`.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        assert!(range.end <= self.len(), "intervals {range:?} of {}", self.len());
        Self { kind: self.kind.clone(), range: self.range.start + range.start..self.range.start + range.end }
    }

    /// Timestamps of all their samples, half-open.
    ///
    /// # Panics
    /// When there are no intervals.
    pub fn sample_range(&self) -> Range<i64> {
        let (first, last) = (self.get(0).sample_range(), self.get(self.len() - 1).sample_range());
        first.start.min(last.start)..first.end.max(last.end)
    }

    /// The interval at this place in the order of time.
    pub(super) fn in_time_order(&self, place: usize) -> Interval {
        self.get(if self.is_reverse() { self.len() - 1 - place } else { place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(intervals: &Intervals) -> Vec<(i64, i64, bool)> {
        (0..intervals.len()).map(|index| intervals.get(index)).map(|interval| (interval.early, interval.late, interval.cut)).collect()
    }

    #[test]
    fn the_last_interval_is_cut_by_the_end() {
        assert_eq!(edges(&Intervals::new(0, 10, 4).unwrap()), [(0, 4, false), (4, 8, false), (8, 10, true)]);
        assert_eq!(edges(&Intervals::new(0, 8, 4).unwrap()), [(0, 4, false), (4, 8, false)]);
        assert_eq!(edges(&Intervals::new(0, 8, 0).unwrap()), [(0, 8, false)]);
        assert_eq!(edges(&Intervals::new(0, 8, 9).unwrap()), [(0, 8, false)]);
    }

    #[test]
    fn backwards_the_later_edge_is_the_start_and_belongs_to_the_interval() {
        let intervals = Intervals::new(10, 0, 4).unwrap();
        assert_eq!(edges(&intervals), [(6, 10, false), (2, 6, false), (0, 2, true)]);
        assert_eq!((intervals.get(0).start(), intervals.get(0).sample_range()), (10, 7..11));
        assert_eq!(intervals.sample_range(), 1..11);
        assert_eq!(edges(&intervals.part(1..3)), [(2, 6, false), (0, 2, true)]);
        assert_eq!(intervals.part(1..2).in_time_order(0).early, 2);
        assert_eq!([intervals.is_empty(), intervals.part(2..3).is_empty(), intervals.part(1..1).is_empty()], [false, false, true]);
    }

    #[test]
    fn calendars_give_intervals_of_any_length() {
        let intervals = Intervals::between(vec![0, 23, 48], true).unwrap();
        assert_eq!(edges(&intervals), [(23, 48, false), (0, 23, false)]);
        assert_eq!(edges(&intervals.clone().cut_at(false, true)), [(23, 48, true), (0, 23, false)]);
        assert_eq!(edges(&intervals.cut_at(true, false).part(1..2)), [(0, 23, true)]);
        assert_eq!(edges(&Intervals::between(vec![0, 23], false).unwrap()), [(0, 23, false)]);
        assert_eq!(Intervals::between(vec![1], false).unwrap_err(), InvalidIntervals::Edges);
        assert_eq!(Intervals::between(vec![1, 1], false).unwrap_err(), InvalidIntervals::Edges);
    }

    #[test]
    fn what_makes_no_intervals_is_told() {
        assert_eq!(Intervals::new(5, 5, 1).unwrap_err(), InvalidIntervals::Empty);
        assert_eq!(Intervals::new(0, 5, -1).unwrap_err(), InvalidIntervals::Negative { interval: -1 });
        assert!(matches!(Intervals::new(i64::MIN, i64::MAX, 1).unwrap_err(), InvalidIntervals::TooMany { .. }));
        assert_eq!(Intervals::new(0, 700_000_000, 7).unwrap().len(), INTERVALS_MAX);
        assert_eq!(Intervals::new(0, 700_000_001, 7).unwrap_err(), InvalidIntervals::TooMany { count: 100_000_001 });
        assert_eq!(edges(&Intervals::new(i64::MIN, i64::MAX, 0).unwrap()), [(i64::MIN, i64::MAX, false)]);
        assert_eq!(
            Intervals::new(i64::MAX, i64::MIN, i64::MAX).unwrap().get(2),
            Interval { early: i64::MIN, late: i64::MIN + 1, cut: true, reverse: true }
        );
    }
}
