//! Reading: one plan (tags × range) decoded straight into Arrow arrays. Arrow begins here.

mod arrow_column;
mod boundary;
mod common_type;
mod current;
mod range;
mod schema;
pub mod sql;
mod superseded;
#[cfg(test)]
mod tests;
mod wide;

pub use superseded::SupersededQuery;

use std::{sync::Arc, time::Instant};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use tokio_util::sync::CancellationToken;

use crate::{
    ingest::merge::{ReadError, TagReader},
    model::{Tag, TimeRange},
    store::{ChunkFamily, Direction, StoreError},
};

/// Rows of one batch at most.
pub const BATCH_ROWS_MAX: usize = 65_536;
/// Tags of one wide answer at most: each is two columns.
pub const WIDE_TAGS_MAX: usize = 1_000;

/// How a range treats its edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Boundary {
    /// Samples with `start <= timestamp < end`.
    #[default]
    Inside,
    /// And the nearest sample before `start` and at or after `end`.
    Outside,
    /// And a value at each edge that no sample falls on, interpolated (or held, for stepped tags) and marked in its quality.
    Interpolated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Layout {
    /// Columns tag, timestamp, value, quality; tag after tag.
    #[default]
    Long,
    /// A timestamp column, then per tag a value column of its name and a quality column `<name>#quality`; null where the tag has no sample.
    Wide,
}

/// A range query whose tags and times are resolved.
#[derive(Clone, Debug)]
pub struct RangeQuery {
    pub tags: Vec<Arc<Tag>>,
    pub range: TimeRange,
    pub boundary: Boundary,
    /// Samples per tag at most (rows at most, in the wide layout); `None` no limit.
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

impl QueryLimits {
    /// Called between portions.
    fn check(&self, rows: u64) -> Result<(), QueryError> {
        if self.cancel.is_cancelled() {
            return Err(QueryError::Cancelled);
        }
        if Instant::now() >= self.deadline {
            return Err(QueryError::Deadline);
        }
        if rows > self.rows_max {
            return Err(QueryError::TooManyRows(self.rows_max));
        }
        Ok(())
    }
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

impl QueryError {
    fn reading(tag: &Tag, error: &ReadError) -> QueryError {
        match error {
            ReadError::Store(StoreError::Io(message)) => QueryError::Store(message.clone()),
            damaged => QueryError::DataLoss { tag: tag.name().to_string(), reason: damaged.to_string() },
        }
    }
}

/// Answers queries over store and heads. Cheap to clone; all methods block, call them from a blocking thread.
#[derive(Clone)]
pub struct QueryEngine {
    reader: TagReader,
}

impl QueryEngine {
    pub fn new(reader: TagReader) -> QueryEngine {
        QueryEngine { reader }
    }

    /// Schema of the answer: LONG is tag `Dictionary(Int32, Utf8)`, timestamp `Timestamp(ns, "UTC")`, value by common type, quality
    /// `UInt32`, with metadata. The dictionary of the tag column is the same array in every batch of an answer.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] for a wide answer of too many tags.
    pub fn range_schema(&self, query: &RangeQuery) -> Result<SchemaRef, QueryError> {
        match query.layout {
            Layout::Long => Ok(schema::long(&query.tags, Some(query.range))),
            Layout::Wide => wide::schema(query),
        }
    }

    /// Runs the query, handing batches of at most [`BATCH_ROWS_MAX`] rows to `emit` in order; `emit` returning false stops it.
    ///
    /// # Errors
    /// See [`QueryError`]; batches handed out before stand.
    pub fn range(&self, query: &RangeQuery, limits: &QueryLimits, emit: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), QueryError> {
        match query.layout {
            Layout::Long => range::long(&self.reader, query, limits, emit),
            Layout::Wide => wide::run(&self.reader, query, limits, emit),
        }
    }

    /// Latest sample by source time of each tag that has one, in the given order; schema as LONG range.
    ///
    /// # Errors
    /// [`QueryError::DataLoss`] when a tag's last chunk cannot be read.
    pub fn current(&self, tags: &[Arc<Tag>]) -> Result<RecordBatch, QueryError> {
        current::run(&self.reader, tags)
    }

    pub fn current_schema(&self, tags: &[Arc<Tag>]) -> SchemaRef {
        schema::long(tags, None)
    }

    /// Runs a query of versions that no longer count, as [`QueryEngine::range`] does.
    ///
    /// # Errors
    /// See [`QueryError`]; batches handed out before stand.
    pub fn superseded(
        &self,
        query: &SupersededQuery,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<(), QueryError> {
        superseded::run(&self.reader, query, limits, emit)
    }

    pub fn superseded_schema(&self, query: &SupersededQuery) -> SchemaRef {
        superseded::schema(query)
    }

    /// Upper estimate of samples and encoded bytes in the range, from chunk statistics. Chunks that the range cuts count whole.
    ///
    /// # Errors
    /// When a chunk header cannot be read.
    pub fn estimate(&self, tags: &[Arc<Tag>], range: TimeRange) -> Result<(u64, u64), QueryError> {
        let (mut samples, mut bytes) = (0, 0);
        if range.is_empty() {
            return Ok((0, 0));
        }
        for tag in tags {
            let failed = |error: StoreError| QueryError::reading(tag, &error.into());
            let to = range.end.0.saturating_sub(1);
            if let Some(head) = self.reader.heads.read(tag.id, range.start.0, to) {
                samples += head.len() as u64;
                bytes += head.heap_bytes() as u64;
            }
            for family in [ChunkFamily::Chunks, ChunkFamily::Late] {
                let mut from = range.start.0;
                loop {
                    let chunks = self.reader.store.chunks(family, tag.id, from, to, Direction::Forward, 4 << 20).map_err(failed)?;
                    let mut last = i64::MAX;
                    for chunk in &chunks {
                        let header = chunk
                            .header()
                            .map_err(|error| QueryError::DataLoss { tag: tag.name().to_string(), reason: error.to_string() })?;
                        samples += u64::from(header.statistics.count);
                        bytes += chunk.bytes.len() as u64;
                        last = header.statistics.last_timestamp;
                    }
                    if chunks.is_empty() || family == ChunkFamily::Late || last >= to {
                        break;
                    }
                    from = last + 1;
                }
            }
        }
        Ok((samples, bytes))
    }
}
