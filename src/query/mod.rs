//! Reading: one plan (tags × range) decoded straight into Arrow arrays. Arrow begins here.

use std::{sync::Arc, time::Instant};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use tokio_util::sync::CancellationToken;

use crate::model::{Tag, TimeRange};

/// How a range treats its edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Boundary {
    #[default]
    Inside,
    Outside,
    Interpolated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Layout {
    #[default]
    Long,
    Wide,
}

/// A range query whose tags and times are resolved.
#[derive(Clone, Debug)]
pub struct RangeQuery {
    pub tags: Vec<Arc<Tag>>,
    pub range: TimeRange,
    pub boundary: Boundary,
    /// Samples per tag at most; `None` no limit.
    pub limit: Option<u64>,
    pub layout: Layout,
}

/// Bounds of one query.
#[derive(Clone, Debug)]
pub struct QueryLimits {
    pub deadline: Instant,
    pub rows_max: u64,
    pub cancel: CancellationToken,
}

/// Why a query gave no (further) answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    #[error("{0}")]
    Invalid(String),
    #[error("the query took longer than its deadline; ask for less, or with a longer deadline")]
    Deadline,
    #[error("the answer has more than {0} rows; narrow the range or set a limit")]
    TooManyRows(u64),
    #[error("cancelled")]
    Cancelled,
    #[error("stored data of tag {tag} cannot be read: {reason}")]
    DataLoss { tag: String, reason: String },
    #[error("the store failed: {0}")]
    Store(String),
}

/// Answers queries over store and heads. Cheap to clone; all methods block, call them from a blocking thread.
#[derive(Clone)]
pub struct QueryEngine {}

impl QueryEngine {
    /// Schema of the answer: LONG is tag Dictionary(Int32, Utf8), timestamp Timestamp(ns, "UTC"), value by common type, quality UInt32,
    /// with metadata. The dictionary of the tag column is the same array in every batch of an answer.
    pub fn range_schema(&self, _query: &RangeQuery) -> Result<SchemaRef, QueryError> {
        todo!()
    }

    /// Runs the query, handing batches of at most 65,536 rows to `emit` in order; `emit` returning false stops it.
    pub fn range(&self, _query: &RangeQuery, _limits: &QueryLimits, _emit: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), QueryError> {
        todo!()
    }

    /// Latest sample by source time of each tag that has one, in the given order; schema as LONG range.
    pub fn current(&self, _tags: &[Arc<Tag>]) -> Result<RecordBatch, QueryError> {
        todo!()
    }

    pub fn current_schema(&self, _tags: &[Arc<Tag>]) -> SchemaRef {
        todo!()
    }

    /// Upper estimate of samples and encoded bytes in the range, from chunk statistics.
    pub fn estimate(&self, _tags: &[Arc<Tag>], _range: TimeRange) -> Result<(u64, u64), QueryError> {
        todo!()
    }
}
