//! One function of one interval, from what its samples come to and the samples around it.
//!
//! Clauses are those of OPC 10000-13 (1.05). Where the published vectors and the prose differ, the vectors win; each such place says so.

mod edge;
mod time;
mod value;

use super::configuration::Configuration;
use super::function::Function;
use super::interval::Interval;
use super::members::Members;
use super::sample::{Class, Neighbour};
use super::status::{
    BAD_AGGREGATE_INVALID_INPUTS, BAD_AGGREGATE_NOT_SUPPORTED, BAD_NO_DATA, CALCULATED, GOOD, INTERPOLATED, PARTIAL, with_bits,
};

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
}
