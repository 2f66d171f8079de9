//! Functions that look at samples one by one: means, counts, extremes.

use super::{AggregateDraft, IntervalContext};
use crate::aggregate::interval::Interval;
use crate::aggregate::members::{Extremes, IntervalExtreme, Members, Worst};
use crate::aggregate::sample::{AggregateSample, Class, Point};
use crate::aggregate::status::{BAD, CALCULATED, GOOD, INTERPOLATED, MULTIPLE_VALUES, SUB_NORMAL, with_bits};

/// What lies before the end of an interval by this much is still in it, where an edge's value needs a time of its own.
const EDGE_NS: i64 = 1_000_000;

impl IntervalContext<'_> {
    /// 5.4.3.2, by samples.
    pub(super) fn value_status(&self) -> u32 {
        let Some(members) = self.members else { return GOOD };
        let bad = members.bad + if self.configuration.uncertain_is_bad() { members.uncertain } else { 0 };
        self.status(members.good as f64, bad as f64, members.count() as f64)
    }

    /// A number with the status by samples; a Bad one has no bits.
    pub(super) fn by_value(&self, value: f64) -> AggregateDraft {
        let status = self.value_status();
        self.at_start(value, status, if status == BAD { 0 } else { CALCULATED })
    }

    /// 5.4.3.5
    pub(super) fn average(&self) -> Option<AggregateDraft> {
        let taken = &self.members?.taken;
        (taken.count > 0).then(|| self.by_value((taken.sum + taken.sum_low) / taken.count as f64))
    }

    pub(super) fn counted(&self, count: u64) -> AggregateDraft {
        self.by_value(count as f64)
    }

    /// 5.4.3.24: the first usable sample counts when the usable one before it differs or there is none.
    pub(super) fn transitions(&self) -> u64 {
        let Some(members) = self.members else { return 0 };
        let into = members.first_usable.is_some_and(|first| self.before.usable[0].is_none_or(|before| before.bits != first.bits));
        members.transitions + u64::from(into)
    }

    /// Whether a sample was left out of the extremes, or taken although it is Uncertain.
    pub(super) fn extremes_status(&self, members: &Members) -> u32 {
        let configuration = self.configuration;
        let uncertain = members.uncertain > 0 && (configuration.treat_uncertain_as_bad || configuration.use_uncertain_values);
        if members.bad > 0 || uncertain { SUB_NORMAL } else { GOOD }
    }

    /// 5.4.3.10 to 5.4.3.13
    pub(super) fn extreme(&self, which: fn(&Extremes) -> IntervalExtreme, actual_time: bool) -> Option<AggregateDraft> {
        let members = self.members?;
        let extreme = which(members.taken.extremes.as_ref()?);
        let start = self.interval.start();
        let calculated = !actual_time && extreme.timestamp != start;
        let bits = if calculated { CALCULATED } else { 0 } | if extreme.repeated { MULTIPLE_VALUES } else { 0 };
        let timestamp = if actual_time { extreme.timestamp } else { start };
        Some(AggregateDraft { timestamp, value: Some(extreme.number), quality: with_bits(self.extremes_status(members), bits) })
    }

    /// 5.4.3.14
    pub(super) fn range(&self) -> Option<AggregateDraft> {
        let members = self.members?;
        let extremes = members.taken.extremes?;
        Some(self.at_start(extremes.maximum.number - extremes.minimum.number, self.extremes_status(members), CALCULATED))
    }

    /// The extreme of samples and simple bounding values, and whether it was made from samples on both sides of an edge.
    pub(super) fn extreme_with_bounds(
        &self,
        which: fn(&Extremes) -> IntervalExtreme,
        wins: fn(&f64, &f64) -> bool,
    ) -> Option<(IntervalExtreme, bool)> {
        let (early, late) = (self.simple_bound_early(), self.simple_bound_late());
        let reverse = self.interval.reverse;
        let candidate = |point: &Point| {
            let extreme = IntervalExtreme { number: point.number, bits: 0, timestamp: point.timestamp, repeated: false };
            self.configuration.usable(point.class).then_some((extreme, !point.raw))
        };
        // A sample on the edge that belongs to the interval is among its members already.
        let first = if early.raw && !reverse { None } else { candidate(&early) };
        let inner = self.members.and_then(|members| members.usable_extremes.as_ref()).map(|extremes| (which(extremes), false));
        // A held value ends before the next one begins.
        let end = if (late.raw && reverse) || self.configuration.stepped { None } else { candidate(&late) };
        [first, inner, end].into_iter().flatten().reduce(|best, next| {
            if wins(&next.0.number, &best.0.number) {
                next
            } else if wins(&best.0.number, &next.0.number) {
                best
            } else {
                (IntervalExtreme { repeated: true, ..best.0 }, best.1)
            }
        })
    }

    /// 5.4.3.15 to 5.4.3.18
    pub(super) fn extreme2(
        &self,
        which: fn(&Extremes) -> IntervalExtreme,
        wins: fn(&f64, &f64) -> bool,
        actual_time: bool,
    ) -> Option<AggregateDraft> {
        let (extreme, interpolated) = self.extreme_with_bounds(which, wins)?;
        let status = self.time_status(&self.regions(), self.configuration.stepped);
        let (start, Interval { early, late, reverse, .. }) = (self.interval.start(), self.interval);
        let mut bits = if interpolated { INTERPOLATED } else { 0 } | if extreme.repeated { MULTIPLE_VALUES } else { 0 };
        let mut timestamp = start;
        if actual_time {
            timestamp = extreme.timestamp;
            // The end is not in the interval: the time just before stands for it (3.1.3).
            if timestamp == if reverse { early } else { late } {
                timestamp = if reverse { (early.saturating_add(EDGE_NS)).min(start) } else { (late.saturating_sub(EDGE_NS)).max(start) };
                bits |= INTERPOLATED;
            }
        } else if !interpolated && extreme.timestamp != start {
            bits |= CALCULATED;
        }
        let bits = if status == BAD { 0 } else { bits };
        Some(AggregateDraft { timestamp, value: Some(extreme.number), quality: with_bits(status, bits) })
    }

    /// 5.4.3.19
    pub(super) fn range2(&self) -> Option<AggregateDraft> {
        let (minimum, _) = self.extreme_with_bounds(|extremes| extremes.minimum, f64::lt)?;
        let (maximum, _) = self.extreme_with_bounds(|extremes| extremes.maximum, f64::gt)?;
        let status = self.time_status(&self.regions(), self.configuration.stepped);
        Some(self.at_start(maximum.number - minimum.number, status, if status == BAD { 0 } else { CALCULATED }))
    }

    /// 5.4.3.25 and 5.4.3.26: the sample as it is, earliest and latest in either direction of the request.
    pub(super) fn sample(sample: &AggregateSample) -> AggregateDraft {
        AggregateDraft { timestamp: sample.timestamp, value: sample.present.then_some(sample.number), quality: sample.quality }
    }

    /// 5.4.3.27
    pub(super) fn delta(&self) -> Option<AggregateDraft> {
        let members = self.members?;
        let ends_good = members.first.class() == Class::Good && members.last.class() == Class::Good;
        let status = if ends_good { GOOD } else { SUB_NORMAL };
        (members.taken.count > 0).then(|| self.at_start(members.taken.last - members.taken.first, status, CALCULATED))
    }

    /// 5.4.3.35
    pub(super) fn worst(&self, worst: Worst) -> AggregateDraft {
        self.at_start(f64::from(worst.code), GOOD, CALCULATED | if worst.repeated { MULTIPLE_VALUES } else { 0 })
    }

    /// 5.4.3.36: and the bounding values.
    pub(super) fn worst2(&self) -> AggregateDraft {
        let (early, late) = (self.simple_bound_early(), self.simple_bound_late());
        let reverse = self.interval.reverse;
        let mut worst: Option<Worst> = None;
        let mut add = |next: Worst| match &mut worst {
            Some(worst) => {
                let repeated = next.repeated;
                let same = worst.class == next.class;
                worst.add(next);
                worst.repeated |= same && repeated;
            }
            None => worst = Some(next),
        };
        if !early.raw || reverse {
            add(Worst::of(early.quality));
        }
        if let Some(members) = self.members {
            add(members.worst);
        }
        if !late.raw || !reverse {
            add(Worst::of(late.quality));
        }
        self.worst(worst.unwrap_or(Worst::of(GOOD)))
    }

    /// 5.4.3.37 to 5.4.3.40; `less` is taken from the count. One sample does not vary.
    pub(super) fn variance(&self, less: u64, last: fn(f64) -> f64) -> Option<AggregateDraft> {
        let members = self.members?;
        let taken = &members.taken;
        let variance = match taken.count {
            0 => return None,
            1 => 0.0,
            count => taken.m2 / (count - less) as f64,
        };
        let status = if members.good == members.count() { GOOD } else { SUB_NORMAL };
        Some(self.at_start(last(variance), status, CALCULATED))
    }
}
