//! The 37 aggregates of OPC UA Part 13 (OPC 10000-13, 1.05), one tag at a time: samples or rollup states of intervals in, answers out.
//!
//! It stands between the plan, which brings samples in the order of time, and the doors; it knows neither store nor Arrow. What the
//! functions do is in `answer`, what an interval's samples come to in `members`, bounding values in `bound`.
//!
//! How a query of one tag goes:
//! 1. [`Intervals::new`], cut into parts with [`Intervals::part`] so that a part's answers fit in memory; backwards they run from the latest.
//! 2. For each part an [`Evaluator`], with the samples before it as [`Lookups::of`] asks for them (forwards those of [`Finished::before`]).
//! 3. For each interval with samples its state, put together in one way only, whether its parts are stored or made from samples with
//!    [`parts`]; the samples themselves where [`Evaluator::push_state`] answers [`Needs::Samples`].
//! 4. [`Evaluator::finish`] with the samples after the part.

mod answer;
mod bound;
mod configuration;
mod evaluator;
mod function;
mod interval;
mod members;
mod sample;
mod state;
mod status;
#[cfg(test)]
mod tests;

pub use answer::{After, AggregateValue, Before};
pub use configuration::{AggregateConfiguration, InvalidConfiguration};
pub use evaluator::{AggregateError, Evaluator, Finished, Lookups, Needs};
pub use function::{AggregateFunction, BoundingValues, UnknownFunction, ValueUnit};
pub use interval::{INTERVALS_MAX, Interval, Intervals, InvalidIntervals};
pub use sample::AggregateSample;
pub use state::{is_enough, parts};
pub use status::{BAD_AGGREGATE_INVALID_INPUTS, BAD_AGGREGATE_NOT_SUPPORTED, CALCULATED, INTERPOLATED, MULTIPLE_VALUES, PARTIAL};
