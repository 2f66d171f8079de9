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
mod parallel;
mod piece;

pub use aggregate::AggregateQuery;
pub use anomaly::AnomalyQuery;
pub use asof::{AS_OF_TAGS_MAX, AsOfQuery, Held, as_of_fields};
pub use downsample::DownsampleQuery;
pub use each::TakePart;
pub use interval::{IntervalAnswers, IntervalPart, IntervalQuery};
pub use measure::{Measure, MeasureQuery};

pub(super) use aggregate::{aggregate_schema, run as run_aggregate};
pub(super) use anomaly::{anomaly_schema, run as run_anomalies};
pub(super) use asof::run as run_as_of;
pub(super) use downsample::{downsample_schema, run as run_downsample};
pub(super) use each::tag_by_tag;
pub(super) use interval::run as run_intervals;
pub(super) use measure::{measure_schema, run as run_measure};
pub(super) use neighbour::{before, from, look, nearest};
pub(super) use parallel::{Workers, in_order};
