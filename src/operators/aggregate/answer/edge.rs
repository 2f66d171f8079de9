//! The edges of an interval: which samples stand around them, and the functions that ask for nothing else.

use super::{AggregateDraft, IntervalContext};
use crate::aggregate::bound::{self, Bracket};
use crate::aggregate::sample::{AggregateSample, Class, Point};
use crate::aggregate::status::{CALCULATED, GOOD, INTERPOLATED, SUB_NORMAL, code};

impl IntervalContext<'_> {
    /// The sample on the earlier edge, inside the interval or, backwards, just outside.
    pub(super) fn sample_at_early(&self) -> Option<&AggregateSample> {
        let at = if self.interval.reverse { self.before.last.as_ref() } else { self.members.map(|members| &members.first) };
        at.filter(|at| at.timestamp == self.interval.early)
    }

    pub(super) fn sample_at_late(&self) -> Option<&AggregateSample> {
        let at = if self.interval.reverse { self.members.map(|members| &members.last) } else { self.after.first.as_ref() };
        at.filter(|at| at.timestamp == self.interval.late)
    }

    pub(super) fn simple_bound_early(&self) -> Point {
        let next = self.members.map_or(self.after.first.as_ref(), |members| Some(&members.first));
        bound::simple(self.interval.early, self.sample_at_early(), self.before.last.as_ref(), next, self.configuration)
    }

    pub(super) fn simple_bound_late(&self) -> Point {
        let previous = self.members.map_or(self.before.last.as_ref(), |members| Some(&members.last));
        bound::simple(self.interval.late, self.sample_at_late(), previous, self.after.first.as_ref(), self.configuration)
    }

    pub(super) fn interpolated_bound(&self, timestamp: i64, stepped: bool) -> Point {
        let usable = |at: &&AggregateSample| self.configuration.usable(at.class());
        let (before, after) = (self.before, self.after);
        // A sample on the edge that is not usable is skipped, on whichever side of the edge it is kept.
        let skipped_before = before.last.map(|last| last.timestamp) != before.usable[0].map(|usable| usable.timestamp);
        let skipped_after = after.first.map(|first| first.timestamp) != after.usable.map(|usable| usable.timestamp);
        let first_usable = self.members.and_then(|members| members.first_usable.as_ref());
        let last_usable = self.members.and_then(|members| members.last_usable.as_ref());
        let around = if timestamp == self.interval.early {
            let at = self.sample_at_early();
            Bracket {
                at: at.filter(usable),
                before: before.usable[0].as_ref(),
                before_that: before.usable[1].as_ref(),
                after: first_usable.or(after.usable.as_ref()),
                skipped_before: skipped_before || at.is_some(),
                skipped_after: match self.members {
                    Some(members) => first_usable.map(|first| first.timestamp) != Some(members.first.timestamp),
                    None => skipped_after,
                },
                beyond_data: self.members.is_none() && after.first.is_none(),
            }
        } else {
            let at = self.sample_at_late();
            let before_that = match self.members {
                Some(members) if last_usable.is_some() => members.before_last_usable.as_ref().or(before.usable[0].as_ref()),
                _ => before.usable[1].as_ref(),
            };
            Bracket {
                at: at.filter(usable),
                before: last_usable.or(before.usable[0].as_ref()),
                before_that,
                after: after.usable.as_ref(),
                skipped_before: at.is_some()
                    || match self.members {
                        Some(members) => last_usable.map(|last| last.timestamp) != Some(members.last.timestamp),
                        None => skipped_before,
                    },
                skipped_after,
                beyond_data: after.first.is_none(),
            }
        };
        bound::interpolated(timestamp, &around, stepped, self.configuration)
    }

    /// 5.4.3.28
    pub(super) fn start_bound(&self) -> Option<AggregateDraft> {
        let bound = if self.interval.reverse { self.simple_bound_late() } else { self.simple_bound_early() };
        self.configuration.usable(bound.class).then(|| self.at_start(bound.number, bound.quality, if bound.raw { 0 } else { INTERPOLATED }))
    }

    /// 5.4.3.29: at the timestamp of the start, and always Calculated.
    pub(super) fn end_bound(&self) -> Option<AggregateDraft> {
        let bound = if self.interval.reverse { self.simple_bound_early() } else { self.simple_bound_late() };
        self.configuration.usable(bound.class).then(|| self.at_start(bound.number, code(bound.quality), CALCULATED))
    }

    /// 5.4.3.30: later less earlier, in either direction of the request.
    pub(super) fn delta_bounds(&self) -> Option<AggregateDraft> {
        let (early, late) = (self.simple_bound_early(), self.simple_bound_late());
        if !self.configuration.usable(early.class) || !self.configuration.usable(late.class) {
            return None;
        }
        let status = if early.class == Class::Good && late.class == Class::Good { GOOD } else { SUB_NORMAL };
        Some(self.at_start(late.number - early.number, status, CALCULATED))
    }
}
