//! One function of one interval, from what its samples come to and the samples around it.
//!
//! Clauses are those of OPC 10000-13 (1.05). Where the published vectors and the prose differ, the vectors win; each such place says so.

mod edge;
mod time;
mod value;

use super::configuration::AggregateConfiguration;
use super::function::AggregateFunction;
use super::interval::Interval;
use super::members::Members;
use super::sample::{AggregateSample, Class};
use super::status::{
    BAD_AGGREGATE_INVALID_INPUTS, BAD_AGGREGATE_NOT_SUPPORTED, BAD_NO_DATA, CALCULATED, GOOD, INTERPOLATED, PARTIAL, with_bits,
};

/// The answer of one function for one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AggregateValue {
    /// The function.
    pub function: AggregateFunction,
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
    pub last: Option<AggregateSample>,
    /// The last usable one and the usable one before that ([`AggregateConfiguration::is_usable`]).
    pub usable: [Option<AggregateSample>; 2],
}

/// The samples after an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct After {
    /// The first sample of any quality.
    pub first: Option<AggregateSample>,
    /// The first usable one.
    pub usable: Option<AggregateSample>,
}

/// An interval with its surroundings.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntervalContext<'a> {
    pub interval: Interval,
    pub before: &'a Before,
    pub members: Option<&'a Members>,
    pub after: &'a After,
    pub configuration: AggregateConfiguration,
    /// Times of annotations, ascending.
    pub annotations: &'a [i64],
}

/// An answer without the Partial bit; one that is Bad still has its value.
#[derive(Clone, Copy)]
struct AggregateDraft {
    timestamp: i64,
    value: Option<f64>,
    quality: u32,
}

impl IntervalContext<'_> {
    pub(super) fn answer(&self, function: AggregateFunction, is_text: bool) -> AggregateValue {
        let start = self.interval.start();
        if is_text && !function.takes_text() {
            return AggregateValue { function, timestamp: start, value: None, quality: BAD_AGGREGATE_NOT_SUPPORTED };
        }
        if function == AggregateFunction::Interpolative {
            let point = self.interpolated_bound(start, self.configuration.stepped);
            let bits = if point.raw || point.class == Class::Bad { 0 } else { INTERPOLATED };
            return Self::finish(
                function,
                AggregateDraft { timestamp: start, value: Some(point.number), quality: with_bits(point.quality, bits) },
                0,
            );
        }
        let is_annotated = function == AggregateFunction::AnnotationCount && self.annotations_within() > 0;
        if self.members.is_none() && !is_annotated && (self.before.last.is_none() || self.after.first.is_none()) {
            // Before the first sample, or after the last.
            return AggregateValue { function, timestamp: start, value: None, quality: BAD_NO_DATA };
        }
        let partial = if function == AggregateFunction::Average || !self.is_partial() { 0 } else { PARTIAL };
        let draft = self.draft(function).unwrap_or(AggregateDraft { timestamp: start, value: None, quality: BAD_NO_DATA });
        Self::finish(function, draft, partial)
    }

    fn finish(function: AggregateFunction, draft: AggregateDraft, bits: u32) -> AggregateValue {
        // A Bad answer has no value (3.1.7).
        let value = draft.value.filter(|_| Class::of_quality(draft.quality) != Class::Bad);
        if value.is_some_and(f64::is_nan) {
            return AggregateValue {
                function,
                timestamp: draft.timestamp,
                value: None,
                quality: with_bits(BAD_AGGREGATE_INVALID_INPUTS, bits),
            };
        }
        AggregateValue { function, timestamp: draft.timestamp, value, quality: with_bits(draft.quality, bits) }
    }

    /// Annotations whose time lies in the interval.
    fn annotations_within(&self) -> usize {
        let range = self.interval.sample_range();
        self.annotations.partition_point(|at| *at < range.end) - self.annotations.partition_point(|at| *at < range.start)
    }

    /// Cut by the end of the request, or reaching beyond the data (5.3.3.2).
    fn is_partial(&self) -> bool {
        let begins = self.before.last.is_none() && self.members.is_some_and(|members| members.first.timestamp > self.interval.early);
        let ends = self.after.first.is_none() && self.members.is_some_and(|members| members.last.timestamp < self.interval.late);
        self.interval.cut || begins || ends
    }

    fn at_start(&self, value: f64, quality: u32, bits: u32) -> AggregateDraft {
        AggregateDraft { timestamp: self.interval.start(), value: Some(value), quality: with_bits(quality, bits) }
    }

    /// `None` is `BadNoData`.
    fn draft(&self, function: AggregateFunction) -> Option<AggregateDraft> {
        match function {
            AggregateFunction::Interpolative | AggregateFunction::StartBound => self.start_bound(),
            AggregateFunction::EndBound => self.end_bound(),
            AggregateFunction::DeltaBounds => self.delta_bounds(),
            AggregateFunction::Average => self.average(),
            AggregateFunction::TimeAverage => self.joined(false, true),
            AggregateFunction::Total => self.joined(self.configuration.stepped, false),
            AggregateFunction::TimeAverage2 => self.time_weighted(true),
            AggregateFunction::Total2 => self.time_weighted(false),
            AggregateFunction::Minimum => self.extreme(|extremes| extremes.minimum, false),
            AggregateFunction::Maximum => self.extreme(|extremes| extremes.maximum, false),
            AggregateFunction::MinimumActualTime => self.extreme(|extremes| extremes.minimum, true),
            AggregateFunction::MaximumActualTime => self.extreme(|extremes| extremes.maximum, true),
            AggregateFunction::Range => self.range(),
            AggregateFunction::Minimum2 => self.extreme2(|extremes| extremes.minimum, f64::lt, false),
            AggregateFunction::Maximum2 => self.extreme2(|extremes| extremes.maximum, f64::gt, false),
            AggregateFunction::MinimumActualTime2 => self.extreme2(|extremes| extremes.minimum, f64::lt, true),
            AggregateFunction::MaximumActualTime2 => self.extreme2(|extremes| extremes.maximum, f64::gt, true),
            AggregateFunction::Range2 => self.range2(),
            AggregateFunction::AnnotationCount => Some(self.at_start(self.annotations_within() as f64, GOOD, CALCULATED)),
            AggregateFunction::Count => Some(self.counted(self.members.map_or(0, |members| members.taken.count))),
            AggregateFunction::NumberOfTransitions => Some(self.counted(self.transitions())),
            AggregateFunction::DurationInStateZero => Some(self.duration_in_state(|regions| regions.zero)),
            AggregateFunction::DurationInStateNonZero => Some(self.duration_in_state(|regions| regions.non_zero)),
            AggregateFunction::Start => self.members.map(|members| Self::sample(&members.first)),
            AggregateFunction::End => self.members.map(|members| Self::sample(&members.last)),
            AggregateFunction::Delta => self.delta(),
            AggregateFunction::DurationGood => Some(self.duration(|regions| regions.good, false)),
            AggregateFunction::DurationBad => Some(self.duration(|regions| regions.bad, false)),
            AggregateFunction::PercentGood => Some(self.duration(|regions| regions.good, true)),
            AggregateFunction::PercentBad => Some(self.duration(|regions| regions.bad, true)),
            AggregateFunction::WorstQuality => self.members.map(|members| self.worst(members.worst)),
            AggregateFunction::WorstQuality2 => Some(self.worst2()),
            AggregateFunction::StandardDeviationSample => self.variance(1, f64::sqrt),
            AggregateFunction::VarianceSample => self.variance(1, |variance| variance),
            AggregateFunction::StandardDeviationPopulation => self.variance(0, f64::sqrt),
            AggregateFunction::VariancePopulation => self.variance(0, |variance| variance),
        }
    }
}
