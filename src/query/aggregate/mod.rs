//! The 37 aggregates of OPC UA Part 13 (OPC 10000-13, 1.05), one tag at a time: samples or rollup states of intervals in, answers out.
//!
//! It stands between the plan, which brings samples in the order of time, and the doors; it knows neither store nor Arrow. What the
//! functions do is in `answer`, what an interval's samples come to in `members`, bounding values in `bound`.

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

pub use answer::{After, Answer, Before};
pub use configuration::{Configuration, InvalidConfiguration};
pub use evaluator::{AggregateError, Evaluator, Finished, Needs};
pub use function::{Bounds, Function, Unit, UnknownFunction};
pub use interval::{INTERVALS_MAX, Interval, Intervals, InvalidIntervals};
pub use sample::Neighbour;
pub use state::{is_enough, parts};
pub use status::{BAD_AGGREGATE_NOT_SUPPORTED, CALCULATED, INTERPOLATED, MULTIPLE_VALUES, PARTIAL};
