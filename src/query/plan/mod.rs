//! From a query to work: what is read for an operator, in pieces and in parallel. Operators know samples and states, doors know batches;
//! this is between them.

mod aggregate;
mod anomaly;
mod asof;
mod downsample;
mod each;
mod interval;
mod measure;
mod meter;
mod neighbour;
mod operator;
mod parallel;
mod piece;

pub use aggregate::{AggregateQuery, AggregateRows};
pub use anomaly::{AnomalyQuery, AnomalyRows};
pub use asof::{AS_OF_TAGS_MAX, AsOfQuery, AsOfSamples, as_of_fields};
pub use downsample::{DownsampleQuery, DownsampleRows};
pub use each::TakePart;
pub use interval::{IntervalAnswers, IntervalPart, IntervalQuery};
pub use measure::{MeasureQuery, MeasureRows};
pub use meter::{Figure, Measure};
pub use operator::Operator;

pub(super) use asof::run as run_as_of;
pub(super) use each::tag_by_tag;
pub(super) use interval::run as run_intervals;
pub(super) use neighbour::{before, from, look, nearest};
pub(super) use operator::{batches, rows};
pub(super) use parallel::{Workers, in_order};
