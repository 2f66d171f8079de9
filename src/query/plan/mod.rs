//! From a query to work: what is read for an operator, in pieces and in parallel. Operators know samples and states, doors know batches;
//! this is between them.

mod aggregate;
mod anomaly;
mod downsample;
mod neighbour;
mod parallel;
mod piece;

pub use aggregate::AggregateQuery;
pub use anomaly::AnomalyQuery;
pub use downsample::DownsampleQuery;

pub(super) use aggregate::{aggregate_schema, run as run_aggregate};
pub(super) use anomaly::{anomaly_schema, run as run_anomalies};
pub(super) use downsample::{downsample_schema, run as run_downsample};
pub(super) use neighbour::{before, from, nearest};
