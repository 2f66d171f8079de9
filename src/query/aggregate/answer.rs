//! One function of one interval, from what its samples come to and the samples around it.
//!
//! Clauses are those of OPC 10000-13 (1.05). Where the published vectors and the prose differ, the vectors win; each such place says so.

use super::bound::{self, Around};
use super::configuration::Configuration;
use super::function::Function;
use super::interval::Interval;
use super::members::{Extreme, Extremes, Members, Regions, Worst};
use super::sample::{Class, Neighbour, Point};
use super::status::{
    BAD, BAD_AGGREGATE_INVALID_INPUTS, BAD_AGGREGATE_NOT_SUPPORTED, BAD_NO_DATA, CALCULATED, GOOD, INTERPOLATED, MULTIPLE_VALUES, PARTIAL,
    SUB_NORMAL, code, with_bits,
};

/// How long the last sample of all stands: nobody knows whether it still holds after that.
const LAST_SAMPLE_NS: i64 = 1_000_000;

/// What lies before the end of an interval by this much is still in it, where an edge's value needs a time of its own.
const EDGE_NS: i64 = 1_000_000;

/// The answer of one function for one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The function.
    pub function: Function,
    /// The interval's start, or the sample's own timestamp; ns since 1970, UTC.
    pub timestamp: i64,
    /// `None` when there is none; its unit is that of the function.
    pub value: Option<f64>,
    /// OPC UA status code with the aggregate's information bits.
    pub quality: u32,
}

/// The samples before an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Before {
    /// The last sample of any quality.
    pub last: Option<Neighbour>,
    /// The last usable one and the usable one before that ([`Configuration::is_usable`]).
    pub usable: [Option<Neighbour>; 2],
}

/// The samples after an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct After {
    /// The first sample of any quality.
    pub first: Option<Neighbour>,
    /// The first usable one.
    pub usable: Option<Neighbour>,
}

/// An interval with its surroundings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub interval: Interval,
    pub before: &'a Before,
    pub members: Option<&'a Members>,
    pub after: &'a After,
    pub configuration: Configuration,
}

/// An answer without the Partial bit; one that is Bad still has its value.
#[derive(Clone, Copy)]
struct Draft {
    timestamp: i64,
    value: Option<f64>,
    quality: u32,
}

impl Frame<'_> {
    pub(super) fn answer(&self, function: Function, is_text: bool) -> Answer {
        let start = self.interval.start();
        if is_text && !function.takes_text() {
            return Answer { function, timestamp: start, value: None, quality: BAD_AGGREGATE_NOT_SUPPORTED };
        }
        if function == Function::Interpolative {
            let point = self.interpolated_bound(start, self.configuration.stepped);
            let bits = if point.raw || point.class == Class::Bad { 0 } else { INTERPOLATED };
            return Self::finish(
                function,
                Draft { timestamp: start, value: Some(point.number), quality: with_bits(point.quality, bits) },
                0,
            );
        }
        if self.members.is_none() && (self.before.last.is_none() || self.after.first.is_none()) {
            // Before the first sample, or after the last.
            return Answer { function, timestamp: start, value: None, quality: BAD_NO_DATA };
        }
        let partial = if function == Function::Average || !self.is_partial() { 0 } else { PARTIAL };
        let draft = self.draft(function).unwrap_or(Draft { timestamp: start, value: None, quality: BAD_NO_DATA });
        Self::finish(function, draft, partial)
    }

    fn finish(function: Function, draft: Draft, bits: u32) -> Answer {
        // A Bad answer has no value (3.1.7).
        let value = draft.value.filter(|_| Class::of_quality(draft.quality) != Class::Bad);
        if value.is_some_and(f64::is_nan) {
            return Answer { function, timestamp: draft.timestamp, value: None, quality: with_bits(BAD_AGGREGATE_INVALID_INPUTS, bits) };
        }
        Answer { function, timestamp: draft.timestamp, value, quality: with_bits(draft.quality, bits) }
    }

    /// Cut by the end of the request, or reaching beyond the data (5.3.3.2).
    fn is_partial(&self) -> bool {
        let begins = self.before.last.is_none() && self.members.is_some_and(|members| members.first.timestamp > self.interval.early);
        let ends = self.after.first.is_none() && self.members.is_some_and(|members| members.last.timestamp < self.interval.late);
        self.interval.cut || begins || ends
    }

    fn at_start(&self, value: f64, quality: u32, bits: u32) -> Draft {
        Draft { timestamp: self.interval.start(), value: Some(value), quality: with_bits(quality, bits) }
    }

    /// `None` is `BadNoData`.
    fn draft(&self, function: Function) -> Option<Draft> {
        match function {
            Function::Interpolative | Function::StartBound => self.start_bound(),
            Function::EndBound => self.end_bound(),
            Function::DeltaBounds => self.delta_bounds(),
            Function::Average => self.average(),
            Function::TimeAverage => self.joined(false, true),
            Function::Total => self.joined(self.configuration.stepped, false),
            Function::TimeAverage2 => self.time_weighted(true),
            Function::Total2 => self.time_weighted(false),
            Function::Minimum => self.extreme(|extremes| extremes.minimum, false),
            Function::Maximum => self.extreme(|extremes| extremes.maximum, false),
            Function::MinimumActualTime => self.extreme(|extremes| extremes.minimum, true),
            Function::MaximumActualTime => self.extreme(|extremes| extremes.maximum, true),
            Function::Range => self.range(),
            Function::Minimum2 => self.extreme2(|extremes| extremes.minimum, f64::lt, false),
            Function::Maximum2 => self.extreme2(|extremes| extremes.maximum, f64::gt, false),
            Function::MinimumActualTime2 => self.extreme2(|extremes| extremes.minimum, f64::lt, true),
            Function::MaximumActualTime2 => self.extreme2(|extremes| extremes.maximum, f64::gt, true),
            Function::Range2 => self.range2(),
            Function::AnnotationCount => Some(self.at_start(self.members.map_or(0, Members::count) as f64, GOOD, CALCULATED)),
            Function::Count => Some(self.counted(self.members.map_or(0, |members| members.taken.count))),
            Function::NumberOfTransitions => Some(self.counted(self.transitions())),
            Function::DurationInStateZero => Some(self.duration_in_state(|regions| regions.zero)),
            Function::DurationInStateNonZero => Some(self.duration_in_state(|regions| regions.non_zero)),
            Function::Start => self.members.map(|members| Self::sample(&members.first)),
            Function::End => self.members.map(|members| Self::sample(&members.last)),
            Function::Delta => self.delta(),
            Function::DurationGood => Some(self.duration(|regions| regions.good, false)),
            Function::DurationBad => Some(self.duration(|regions| regions.bad, false)),
            Function::PercentGood => Some(self.duration(|regions| regions.good, true)),
            Function::PercentBad => Some(self.duration(|regions| regions.bad, true)),
            Function::WorstQuality => self.members.map(|members| self.worst(members.worst)),
            Function::WorstQuality2 => Some(self.worst2()),
            Function::StandardDeviationSample => self.variance(1, f64::sqrt),
            Function::VarianceSample => self.variance(1, |variance| variance),
            Function::StandardDeviationPopulation => self.variance(0, f64::sqrt),
            Function::VariancePopulation => self.variance(0, |variance| variance),
        }
    }

    // --- bounding values ---------------------------------------------------------------------------------------------------------

    /// The sample on the earlier edge, inside the interval or, backwards, just outside.
    fn sample_at_early(&self) -> Option<&Neighbour> {
        let at = if self.interval.reverse { self.before.last.as_ref() } else { self.members.map(|members| &members.first) };
        at.filter(|at| at.timestamp == self.interval.early)
    }

    fn sample_at_late(&self) -> Option<&Neighbour> {
        let at = if self.interval.reverse { self.members.map(|members| &members.last) } else { self.after.first.as_ref() };
        at.filter(|at| at.timestamp == self.interval.late)
    }

    fn simple_bound_early(&self) -> Point {
        let next = self.members.map_or(self.after.first.as_ref(), |members| Some(&members.first));
        bound::simple(self.interval.early, self.sample_at_early(), self.before.last.as_ref(), next, self.configuration)
    }

    fn simple_bound_late(&self) -> Point {
        let previous = self.members.map_or(self.before.last.as_ref(), |members| Some(&members.last));
        bound::simple(self.interval.late, self.sample_at_late(), previous, self.after.first.as_ref(), self.configuration)
    }

    fn interpolated_bound(&self, timestamp: i64, stepped: bool) -> Point {
        let usable = |at: &&Neighbour| self.configuration.usable(at.class());
        let (before, after) = (self.before, self.after);
        // A sample on the edge that is not usable is skipped, on whichever side of the edge it is kept.
        let skipped_before = before.last.map(|last| last.timestamp) != before.usable[0].map(|usable| usable.timestamp);
        let skipped_after = after.first.map(|first| first.timestamp) != after.usable.map(|usable| usable.timestamp);
        let first_usable = self.members.and_then(|members| members.first_usable.as_ref());
        let last_usable = self.members.and_then(|members| members.last_usable.as_ref());
        let around = if timestamp == self.interval.early {
            let at = self.sample_at_early();
            Around {
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
            Around {
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
    fn start_bound(&self) -> Option<Draft> {
        let bound = if self.interval.reverse { self.simple_bound_late() } else { self.simple_bound_early() };
        self.configuration.usable(bound.class).then(|| self.at_start(bound.number, bound.quality, if bound.raw { 0 } else { INTERPOLATED }))
    }

    /// 5.4.3.29: at the timestamp of the start, and always Calculated.
    fn end_bound(&self) -> Option<Draft> {
        let bound = if self.interval.reverse { self.simple_bound_early() } else { self.simple_bound_late() };
        self.configuration.usable(bound.class).then(|| self.at_start(bound.number, code(bound.quality), CALCULATED))
    }

    /// 5.4.3.30: later less earlier, in either direction of the request.
    fn delta_bounds(&self) -> Option<Draft> {
        let (early, late) = (self.simple_bound_early(), self.simple_bound_late());
        if !self.configuration.usable(early.class) || !self.configuration.usable(late.class) {
            return None;
        }
        let status = if early.class == Class::Good && late.class == Class::Good { GOOD } else { SUB_NORMAL };
        Some(self.at_start(late.number - early.number, status, CALCULATED))
    }

    // --- time ----------------------------------------------------------------------------------------------------------------

    /// The regions of the interval between its simple bounding values. After the last sample of all there is none but a moment of it.
    fn regions(&self) -> Regions {
        let configuration = self.configuration;
        let (early, late) = (self.simple_bound_early(), self.simple_bound_late());
        let mut regions = Regions::default();
        let mut from = early;
        if let Some(members) = self.members {
            regions = members.regions;
            let first = members.first.point();
            regions.add(&early, Some(&first), first.timestamp.saturating_sub(early.timestamp), configuration);
            from = members.last.point();
        }
        let rest = late.timestamp.saturating_sub(from.timestamp);
        if self.after.first.is_some() {
            regions.add(&from, Some(&late), rest, configuration);
        } else {
            regions.add(&from, None, rest.min(LAST_SAMPLE_NS), configuration);
        }
        regions
    }

    /// Time that makes an answer Good: where lines are drawn, both ends of a region count.
    fn good_time(&self, regions: &Regions, stepped: bool) -> i64 {
        if !stepped && self.configuration.uncertain_is_bad() { regions.firm } else { regions.usable }
    }

    /// 5.4.3.2, by time.
    fn time_status(&self, regions: &Regions, stepped: bool) -> u32 {
        let good = self.good_time(regions, stepped);
        let bad = if self.configuration.uncertain_is_bad() { regions.total - good } else { regions.dead };
        self.status(good as f64, bad as f64, regions.total as f64)
    }

    /// 5.4.3.2. Good is asked first, as in the vectors.
    fn status(&self, good: f64, bad: f64, total: f64) -> u32 {
        if total == 0.0 || good / total * 100.0 >= f64::from(self.configuration.percent_data_good) {
            GOOD
        } else if bad / total * 100.0 >= f64::from(self.configuration.percent_data_bad) {
            BAD
        } else {
            SUB_NORMAL
        }
    }

    /// `TimeAverage2` and Total2 (5.4.3.7, 5.4.3.9).
    fn time_weighted(&self, mean: bool) -> Option<Draft> {
        let stepped = self.configuration.stepped;
        let regions = self.regions();
        if regions.dead == regions.total {
            return None;
        }
        let good = self.good_time(&regions, stepped);
        // In the vectors these two are Bad only where nothing at all is Good, also where `percent_data_bad` is 50 and 60 % are Bad.
        let status = match self.status(good as f64, 0.0, regions.total as f64) {
            _ if regions.usable == 0 => BAD,
            GOOD => GOOD,
            _ if good == 0 => BAD,
            _ => SUB_NORMAL,
        };
        let area = if stepped { regions.area.stepped } else { regions.area.sloped };
        let value = if mean { area / (regions.usable as f64 * 1e-9) } else { area };
        Some(self.at_start(value, status, CALCULATED))
    }

    /// `TimeAverage` and Total (5.4.3.6, 5.4.3.8). The vectors draw `TimeAverage` in straight lines also where the tag is stepped.
    fn joined(&self, stepped: bool, mean: bool) -> Option<Draft> {
        let early = self.interpolated_bound(self.interval.early, stepped);
        let late = self.interpolated_bound(self.interval.late, stepped);
        let mut certain = early.class == Class::Good;
        let mut from = (early.class != Class::Bad).then_some((early.timestamp, early.number));
        let mut area = super::members::Area::default();
        let begin;
        if let Some(members) = self.members {
            certain &= members.good == members.count();
            if let (Some(first), Some(last)) = (members.first_usable, members.last_usable) {
                area = members.joined;
                if let Some((timestamp, number)) = from {
                    area.add(number, first.number, seconds(timestamp, first.timestamp));
                }
                begin = from.map_or(first.timestamp, |(timestamp, _)| timestamp);
                from = Some((last.timestamp, last.number));
            } else {
                begin = early.timestamp;
            }
        } else {
            begin = early.timestamp;
        }
        let (timestamp, number) = from?;
        area.add(number, late.number, seconds(timestamp, late.timestamp));
        // A step ends where it ends: the value after it matters only where none is known.
        certain &= if stepped { self.after.first.is_some() } else { late.class == Class::Good };
        let area = if stepped { area.stepped } else { area.sloped };
        let value = if mean { area / seconds(begin, late.timestamp) } else { area };
        (begin < late.timestamp).then(|| self.at_start(value, if certain { GOOD } else { SUB_NORMAL }, CALCULATED))
    }

    /// 5.4.3.22 and 5.4.3.23: held values, in ms.
    fn duration_in_state(&self, which: fn(&Regions) -> f64) -> Draft {
        let regions = self.regions();
        self.at_start(which(&regions) * 1e-6, self.time_status(&regions, true), CALCULATED)
    }

    /// 5.4.3.31 to 5.4.3.34.
    fn duration(&self, which: fn(&Regions) -> i64, percent: bool) -> Draft {
        let regions = self.regions();
        let time = which(&regions) as f64;
        self.at_start(if percent { time / regions.total as f64 * 100.0 } else { time * 1e-6 }, GOOD, CALCULATED)
    }

    // --- samples ---------------------------------------------------------------------------------------------------------------

    /// 5.4.3.2, by samples.
    fn value_status(&self) -> u32 {
        let Some(members) = self.members else { return GOOD };
        let bad = members.bad + if self.configuration.uncertain_is_bad() { members.uncertain } else { 0 };
        self.status(members.good as f64, bad as f64, members.count() as f64)
    }

    /// A number with the status by samples; a Bad one has no bits.
    fn by_value(&self, value: f64) -> Draft {
        let status = self.value_status();
        self.at_start(value, status, if status == BAD { 0 } else { CALCULATED })
    }

    /// 5.4.3.5
    fn average(&self) -> Option<Draft> {
        let taken = &self.members?.taken;
        (taken.count > 0).then(|| self.by_value((taken.sum + taken.sum_low) / taken.count as f64))
    }

    fn counted(&self, count: u64) -> Draft {
        self.by_value(count as f64)
    }

    /// 5.4.3.24: the first usable sample counts when the usable one before it differs or there is none.
    fn transitions(&self) -> u64 {
        let Some(members) = self.members else { return 0 };
        let into = members.first_usable.is_some_and(|first| self.before.usable[0].is_none_or(|before| before.bits != first.bits));
        members.transitions + u64::from(into)
    }

    /// Whether a sample was left out of the extremes, or taken although it is Uncertain.
    fn extremes_status(&self, members: &Members) -> u32 {
        let configuration = self.configuration;
        let uncertain = members.uncertain > 0 && (configuration.treat_uncertain_as_bad || configuration.use_uncertain_values);
        if members.bad > 0 || uncertain { SUB_NORMAL } else { GOOD }
    }

    /// 5.4.3.10 to 5.4.3.13
    fn extreme(&self, which: fn(&Extremes) -> Extreme, actual_time: bool) -> Option<Draft> {
        let members = self.members?;
        let extreme = which(members.taken.extremes.as_ref()?);
        let start = self.interval.start();
        let calculated = !actual_time && extreme.timestamp != start;
        let bits = if calculated { CALCULATED } else { 0 } | if extreme.repeated { MULTIPLE_VALUES } else { 0 };
        let timestamp = if actual_time { extreme.timestamp } else { start };
        Some(Draft { timestamp, value: Some(extreme.number), quality: with_bits(self.extremes_status(members), bits) })
    }

    /// 5.4.3.14
    fn range(&self) -> Option<Draft> {
        let members = self.members?;
        let extremes = members.taken.extremes?;
        Some(self.at_start(extremes.maximum.number - extremes.minimum.number, self.extremes_status(members), CALCULATED))
    }

    /// The extreme of samples and simple bounding values, and whether it was made from samples on both sides of an edge.
    fn extreme_with_bounds(&self, which: fn(&Extremes) -> Extreme, wins: fn(&f64, &f64) -> bool) -> Option<(Extreme, bool)> {
        let (early, late) = (self.simple_bound_early(), self.simple_bound_late());
        let reverse = self.interval.reverse;
        let candidate = |point: &Point| {
            let extreme = Extreme { number: point.number, bits: 0, timestamp: point.timestamp, repeated: false };
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
                (Extreme { repeated: true, ..best.0 }, best.1)
            }
        })
    }

    /// 5.4.3.15 to 5.4.3.18
    fn extreme2(&self, which: fn(&Extremes) -> Extreme, wins: fn(&f64, &f64) -> bool, actual_time: bool) -> Option<Draft> {
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
        Some(Draft { timestamp, value: Some(extreme.number), quality: with_bits(status, bits) })
    }

    /// 5.4.3.19
    fn range2(&self) -> Option<Draft> {
        let (minimum, _) = self.extreme_with_bounds(|extremes| extremes.minimum, f64::lt)?;
        let (maximum, _) = self.extreme_with_bounds(|extremes| extremes.maximum, f64::gt)?;
        let status = self.time_status(&self.regions(), self.configuration.stepped);
        Some(self.at_start(maximum.number - minimum.number, status, if status == BAD { 0 } else { CALCULATED }))
    }

    /// 5.4.3.25 and 5.4.3.26: the sample as it is, earliest and latest in either direction of the request.
    fn sample(sample: &Neighbour) -> Draft {
        Draft { timestamp: sample.timestamp, value: sample.present.then_some(sample.number), quality: sample.quality }
    }

    /// 5.4.3.27
    fn delta(&self) -> Option<Draft> {
        let members = self.members?;
        let ends_good = members.first.class() == Class::Good && members.last.class() == Class::Good;
        let status = if ends_good { GOOD } else { SUB_NORMAL };
        (members.taken.count > 0).then(|| self.at_start(members.taken.last - members.taken.first, status, CALCULATED))
    }

    /// 5.4.3.35
    fn worst(&self, worst: Worst) -> Draft {
        self.at_start(f64::from(worst.code), GOOD, CALCULATED | if worst.repeated { MULTIPLE_VALUES } else { 0 })
    }

    /// 5.4.3.36: and the bounding values.
    fn worst2(&self) -> Draft {
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
    fn variance(&self, less: u64, last: fn(f64) -> f64) -> Option<Draft> {
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

fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from) as f64 * 1e-9
}
