//! The stream side: takes the samples of one tag in the order of time and gives the answers of every interval.
//!
//! A query with many intervals is asked part after part ([`super::Intervals::part`]), so its memory is that of one part: an answer per
//! interval and function, and, while no usable sample comes, what the samples of the intervals that wait for one came to.

use std::collections::VecDeque;
use std::ops::Range;

use historian_format::rollup::RollupState;
use historian_format::{Samples, ValueType};

use super::answer::{After, AggregateValue, Before, IntervalContext};
use super::configuration::{AggregateConfiguration, InvalidConfiguration};
use super::function::{AggregateFunction, BoundingValues};
use super::interval::{Interval, Intervals};
use super::members::Members;
use super::sample::AggregateSample;
use super::state;

/// Why an evaluation cannot begin, or was fed wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AggregateError {
    #[error("functions is empty; name at least one aggregate function")]
    NoFunctions,
    #[error(transparent)]
    Configuration(#[from] InvalidConfiguration),
    #[error("samples of a {found} tag were given to aggregates of a {expected} tag")]
    ValueType { expected: ValueType, found: ValueType },
    #[error("a sample at {timestamp} ns came after a later one or lies outside the intervals")]
    Order { timestamp: i64 },
    #[error("the state of the interval that begins at {early} ns was not enough, and its samples did not follow")]
    SamplesMissing { early: i64 },
}

/// What a state leaves to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Needs {
    /// Nothing: every function is answered from the state.
    Nothing,
    /// The samples of the interval as well.
    Samples,
}

/// What an evaluation gives at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Interval by interval in the order asked for, in each the functions in the order asked for.
    pub answers: Vec<AggregateValue>,
    /// The samples before the next part, for intervals that run forwards.
    pub before: Before,
}

/// Which samples around the intervals the functions look at. What is not asked for may be left `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookups {
    /// The last sample before and the first one after, of any quality.
    pub neighbours: bool,
    /// How many usable samples before, 0 to 2.
    pub usable_before: usize,
    /// The first usable sample after.
    pub usable_after: bool,
}

impl Lookups {
    /// What these functions look at.
    pub fn of(functions: &[AggregateFunction], configuration: AggregateConfiguration) -> Self {
        let interpolated = functions.iter().any(|function| function.bounds() == BoundingValues::Interpolated);
        let one_before = interpolated || functions.contains(&AggregateFunction::NumberOfTransitions);
        Self {
            neighbours: functions.iter().any(|function| *function != AggregateFunction::Average),
            usable_before: if interpolated && configuration.use_sloped_extrapolation { 2 } else { usize::from(one_before) },
            usable_after: interpolated,
        }
    }
}

/// Evaluates aggregate functions of one tag over intervals.
///
/// For each interval that has samples, in the order of time, either
/// - `push_state` with the state of all its samples, then `push` with the samples themselves if that asks for them, or
/// - `push` alone.
///
/// An answer that a state is enough for is made from the state, also where the samples are there: so it does not depend on what else was
/// asked, nor on whether the state was stored. `finish` ends it.
#[derive(Clone, Debug)]
pub struct Evaluator {
    functions: Vec<AggregateFunction>,
    configuration: AggregateConfiguration,
    intervals: Intervals,
    value_type: ValueType,
    /// A function takes interpolated bounding values: an interval waits for the next usable sample.
    waits: bool,
    /// Place of the open interval, in the order of time.
    open: usize,
    open_range: Range<i64>,
    state: Option<RollupState>,
    members: Option<Members>,
    /// Before the open interval.
    before: Before,
    /// Up to the last sample pushed.
    latest: Before,
    waiting: VecDeque<Waiting>,
    answers: Vec<AggregateValue>,
    /// Times of the tag's annotations, ascending.
    annotations: Vec<i64>,
}

/// An interval that has ended and whose next usable sample is not known yet.
#[derive(Clone, Debug)]
struct Waiting {
    place: usize,
    before: Before,
    state: Option<RollupState>,
    members: Option<Members>,
    next: AggregateSample,
}

impl Evaluator {
    /// `before` holds what lies before [`Intervals::sample_range`].
    ///
    /// # Errors
    /// When no function is asked for or the configuration contradicts itself.
    ///
    /// # Panics
    /// When there are no intervals.
    pub fn new(
        functions: &[AggregateFunction],
        configuration: AggregateConfiguration,
        intervals: Intervals,
        value_type: ValueType,
        before: Before,
    ) -> Result<Self, AggregateError> {
        configuration.check()?;
        if functions.is_empty() {
            return Err(AggregateError::NoFunctions);
        }
        let rows = intervals.len() * functions.len();
        Ok(Self {
            functions: functions.to_vec(),
            configuration,
            value_type,
            waits: functions.iter().any(|function| function.bounds() == BoundingValues::Interpolated),
            open: 0,
            open_range: intervals.in_time_order(0).sample_range(),
            intervals,
            state: None,
            members: None,
            before,
            latest: before,
            waiting: VecDeque::new(),
            answers: Vec::with_capacity(rows.min(1 << 16)),
            annotations: Vec::new(),
        })
    }

    /// With the tag's annotations: their times, ascending, ns since 1970.
    #[must_use]
    pub fn with_annotations(self, annotations: Vec<i64>) -> Self {
        Self { annotations, ..self }
    }

    /// Whether the samples are needed of an interval with this state, which holds all of them.
    pub fn needs(&self, state: &RollupState) -> Needs {
        let enough = |function: &AggregateFunction| state::is_enough(*function, state, self.value_type, self.configuration);
        if self.functions.iter().all(enough) { Needs::Nothing } else { Needs::Samples }
    }

    /// Takes the state of all samples of one interval, before the samples themselves, if these are needed.
    ///
    /// # Errors
    /// [`AggregateError::Order`] when something of this or a later interval came before.
    pub fn push_state(&mut self, state: &RollupState) -> Result<Needs, AggregateError> {
        let first = AggregateSample::of_edge(&state.first, self.value_type);
        self.arrive(&first)?;
        if self.state.is_some() || self.members.is_some() || !self.open_range.contains(&state.last.timestamp) {
            return Err(AggregateError::Order { timestamp: state.first.timestamp });
        }
        let needs = self.needs(state);
        if needs == Needs::Nothing {
            // Where usable neighbours matter all samples were counted, or the state would not have been enough.
            let last = AggregateSample::of_edge(&state.last, self.value_type);
            if self.configuration.usable(first.class()) {
                self.settle(&first)?;
            }
            self.latest.last = Some(last);
            if self.configuration.usable(last.class()) {
                self.latest.usable = [Some(last), None];
            }
        }
        self.state = Some(*state);
        Ok(needs)
    }

    /// Takes the samples in `range` (row numbers) of a run in the order of time; they may reach over several intervals.
    ///
    /// # Errors
    /// [`AggregateError::ValueType`], and [`AggregateError::Order`] when a sample lies outside the intervals or before an earlier one.
    ///
    /// # Panics
    /// When `range` reaches beyond `samples`, as slices do.
    pub fn push(&mut self, samples: &Samples, range: Range<usize>) -> Result<(), AggregateError> {
        if samples.value_type() != self.value_type {
            return Err(AggregateError::ValueType { expected: self.value_type, found: samples.value_type() });
        }
        let mut at = range.start;
        while at < range.end {
            self.arrive(&AggregateSample::at(samples, at))?;
            let end = self.open_range.end;
            let to = at + samples.timestamps[at..range.end].partition_point(|timestamp| *timestamp < end);
            self.take(samples, at..to)?;
            at = to;
        }
        Ok(())
    }

    /// Ends with what lies after [`Intervals::sample_range`].
    ///
    /// # Errors
    /// [`AggregateError::SamplesMissing`].
    pub fn finish(mut self, after: After) -> Result<Finished, AggregateError> {
        let mut settled = std::mem::take(&mut self.waiting);
        for waiting in settled.drain(..) {
            let after = After { first: Some(waiting.next), usable: after.usable };
            self.evaluate(waiting.place, &waiting.before, waiting.state.as_ref(), waiting.members.as_ref(), &after)?;
        }
        while self.open < self.intervals.len() {
            self.evaluate_open(&after)?;
            self.advance();
        }
        if self.intervals.is_reverse() {
            // By interval, the functions of each in their order.
            let count = self.functions.len();
            let answers = std::mem::take(&mut self.answers);
            self.answers = answers.chunks(count).rev().flatten().copied().collect();
        }
        Ok(Finished { answers: self.answers, before: self.latest })
    }

    /// A sample arrives: intervals that end before it are answered, or wait for a usable one.
    fn arrive(&mut self, sample: &AggregateSample) -> Result<(), AggregateError> {
        let out_of_order = AggregateError::Order { timestamp: sample.timestamp };
        let inside = (self.open_range.start..self.intervals.sample_range().end).contains(&sample.timestamp);
        if !inside || self.latest.last.is_some_and(|latest| sample.timestamp <= latest.timestamp) {
            return Err(out_of_order);
        }
        let usable = self.configuration.usable(sample.class());
        if usable {
            self.settle(sample)?;
        }
        while sample.timestamp >= self.open_range.end {
            if usable || !self.waits {
                self.evaluate_open(&After { first: Some(*sample), usable: usable.then_some(*sample) })?;
            } else {
                let (state, members) = (self.state.take(), self.members.take());
                self.waiting.push_back(Waiting { place: self.open, before: self.before, state, members, next: *sample });
            }
            self.advance();
        }
        Ok(())
    }

    /// A usable sample has come: all that waits is answered.
    fn settle(&mut self, usable: &AggregateSample) -> Result<(), AggregateError> {
        let mut settled = std::mem::take(&mut self.waiting);
        for waiting in settled.drain(..) {
            let after = After { first: Some(waiting.next), usable: Some(*usable) };
            self.evaluate(waiting.place, &waiting.before, waiting.state.as_ref(), waiting.members.as_ref(), &after)?;
        }
        Ok(())
    }

    /// Takes samples of the open interval.
    fn take(&mut self, samples: &Samples, rows: Range<usize>) -> Result<(), AggregateError> {
        let configuration = self.configuration;
        let usable = |index: &usize| configuration.usable(AggregateSample::at(samples, *index).class());
        if !self.waiting.is_empty()
            && let Some(first) = rows.clone().find(usable)
        {
            self.settle(&AggregateSample::at(samples, first))?;
        }
        Members::gather(&mut self.members, samples, rows.clone(), configuration);
        self.latest.last = Some(AggregateSample::at(samples, rows.end - 1));
        let mut found = rows.rev().filter(usable).map(|index| AggregateSample::at(samples, index));
        if let Some(last) = found.next() {
            self.latest.usable = [Some(last), found.next().or(self.latest.usable[0])];
        }
        Ok(())
    }

    fn evaluate_open(&mut self, after: &After) -> Result<(), AggregateError> {
        let (state, members, before) = (self.state.take(), self.members.take(), self.before);
        self.evaluate(self.open, &before, state.as_ref(), members.as_ref(), after)
    }

    fn advance(&mut self) {
        self.open += 1;
        self.before = self.latest;
        if self.open < self.intervals.len() {
            self.open_range = self.interval(self.open).sample_range();
        }
    }

    fn interval(&self, place: usize) -> Interval {
        self.intervals.in_time_order(place)
    }

    fn evaluate(
        &mut self,
        place: usize,
        before: &Before,
        state: Option<&RollupState>,
        members: Option<&Members>,
        after: &After,
    ) -> Result<(), AggregateError> {
        let (interval, configuration) = (self.interval(place), self.configuration);
        let of_state = state.map(|state| Members::of_state(state, self.value_type, configuration));
        for function in &self.functions {
            let by_state = state.is_some_and(|state| state::is_enough(*function, state, self.value_type, configuration));
            let members = if by_state { of_state.as_ref() } else { members };
            if state.is_some() && members.is_none() {
                return Err(AggregateError::SamplesMissing { early: interval.early });
            }
            let frame = IntervalContext { interval, before, members, after, configuration, annotations: &self.annotations };
            self.answers.push(frame.answer(*function, self.value_type == ValueType::String));
        }
        Ok(())
    }
}
