//! Reading: one plan (tags × range) decoded straight into Arrow arrays. Arrow begins here.

pub mod arrow_column;
mod boundary;
mod common_type;
mod current;
mod error;
mod gather;
mod limits;
mod long_batch;
mod moment;
mod plan;
mod portion;
mod range;
mod range_query;
mod schema;
mod superseded;
#[cfg(test)]
mod tests;
mod wide;
mod wide_filled;

pub use common_type::{INTEGER_DIGITS, widened};
pub use error::QueryError;
pub use historian_read::estimate::Extent;
pub use historian_read::{
    memory::{MemoryBudget, MemoryPool, OutOfMemory, PoolPart},
    turn::{ClientKey, TurnGuard, TurnMeter, Turns},
};
pub use limits::{BATCH_ROWS_MAX, QueryLimits};
pub use moment::Moment;
pub use plan::{
    AS_OF_TAGS_MAX, AggregateQuery, AggregateRows, AnomalyQuery, AnomalyRows, AsOfQuery, AsOfSamples, DownsampleQuery, DownsampleRows,
    Figure, IntervalAnswers, IntervalPart, IntervalQuery, Measure, MeasureQuery, MeasureRows, Operator, TakePart, as_of_fields,
};
pub use portion::{Portion, Rows, Slice, slices};
pub use range_query::{Boundary, Fill, Layout, QualityFilter, RangeQuery, Resume};
pub use schema::{check_names, tells_states};
pub use superseded::{SupersededQuery, SupersededRows};
pub use wide::WIDE_TAGS_MAX;

use std::sync::Arc;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};

use self::schema::LongColumns;
use historian_model::{Samples, Tag, TimeRange, Timestamp};
use historian_read::{estimate, feed::ChangeFeed, merge::TagReader};
use historian_store::{Annotations, Gap, StoreError};

/// Answers queries over store and heads. Cheap to clone; all methods block, call them from a blocking thread.
#[derive(Clone)]
pub struct QueryEngine {
    reader: TagReader,
    /// Threads that one query works on at most.
    threads: usize,
}

impl QueryEngine {
    /// An engine that works on as many threads per query as there are cores.
    pub fn new(reader: TagReader) -> QueryEngine {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        QueryEngine { reader, threads }
    }

    /// As it is, with another number of threads per query; 0 leaves it.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> QueryEngine {
        if threads == 0 { self } else { QueryEngine { threads, ..self } }
    }

    /// As it is, counting these annotations.
    #[must_use]
    pub fn with_annotations(self, annotations: Arc<Annotations>) -> QueryEngine {
        QueryEngine { reader: self.reader.with_annotations(annotations), ..self }
    }

    /// The annotations of the historian, where it keeps some.
    pub fn annotations(&self) -> Option<&Arc<Annotations>> {
        self.reader.annotations()
    }

    /// How the query sees these tags.
    ///
    /// # Errors
    /// When it cannot see them within its time.
    pub fn view(&self, tags: &[Arc<Tag>], limits: &QueryLimits) -> Result<TagReader, QueryError> {
        limits.moment.view(&self.reader, tags, limits.deadline, &limits.memory)
    }

    /// Recorded gaps with their numbers, from the number `from` on, ascending, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn gaps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Gap)>, StoreError> {
        self.reader.gaps(from, limit)
    }

    /// The writes of this historian, for those who follow them.
    pub fn feed(&self) -> Arc<ChangeFeed> {
        self.reader.feed()
    }

    /// As [`QueryEngine::current`], each tag in its own type as a run of one.
    ///
    /// # Errors
    /// As [`QueryEngine::current`].
    pub fn current_samples(&self, tags: &[Arc<Tag>], limits: &QueryLimits) -> Result<Vec<(Arc<Tag>, Samples)>, QueryError> {
        current::samples(&self.reader, tags, limits)
    }

    /// Runs an operator and hands its answer on as batches of its schema: tag after tag, of each in the order of its intervals or samples.
    /// `emit` returning false stops it.
    ///
    /// # Errors
    /// See [`QueryError`]; batches handed out before stand.
    pub fn operate<O: Operator>(
        &self,
        query: &O,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<(), QueryError> {
        plan::batches(&self.view(query.tags(), limits)?, self.threads, query, limits, emit)
    }

    /// As [`QueryEngine::operate`], the answer in rows as the operator makes them, in slices as long as batches.
    ///
    /// # Errors
    /// As there.
    pub fn rows<O: Operator>(
        &self,
        query: &O,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(Slice<O::Rows>) -> bool,
    ) -> Result<(), QueryError> {
        let mut take = |rows| Ok(Slice::of(rows).all(&mut *emit));
        plan::rows(&self.view(query.tags(), limits)?, self.threads, query, limits, &mut take)
    }

    /// Evaluates aggregates of parts, in their order, as numbers; `take` answers false to stop.
    ///
    /// # Errors
    /// See [`QueryError`]; what was handed out before stands.
    pub fn intervals(
        &self,
        query: &IntervalQuery,
        parts: &[IntervalPart],
        limits: &QueryLimits,
        take: &mut dyn FnMut(IntervalAnswers) -> Result<bool, QueryError>,
    ) -> Result<(), QueryError> {
        plan::run_intervals(&self.view(&query.tags, limits)?, self.threads, query, parts, limits, take)
    }

    /// The first timestamp of all samples of these tags.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn first(&self, tags: &[Arc<Tag>], limits: &QueryLimits) -> Result<Option<i64>, QueryError> {
        let reader = self.view(tags, limits)?;
        let mut first: Option<i64> = None;
        for tag in tags {
            limits.check(0)?;
            // What lies behind the first one found so far is not looked at.
            let range = TimeRange { start: Timestamp::MIN, end: first.map_or(Timestamp::MAX, Timestamp), reverse: false };
            plan::look(&reader, tag, range, |samples, index| {
                first = Some(samples.timestamps[index]);
                false
            })?;
        }
        Ok(first)
    }

    /// The latest timestamp of all samples of these tags.
    ///
    /// # Errors
    /// When the current value of one of them cannot be read.
    pub fn latest(&self, tags: &[Arc<Tag>], limits: &QueryLimits) -> Result<Option<i64>, QueryError> {
        current::latest(&self.reader, tags, limits)
    }

    /// Joins times with the samples that held then, tag by tag; one that is damaged is its own error.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn as_of(&self, query: &AsOfQuery, limits: &QueryLimits) -> Result<Vec<Result<AsOfSamples, QueryError>>, QueryError> {
        plan::run_as_of(&self.view(&query.tags, limits)?, self.threads, query, limits)
    }

    /// Runs a query of one tag for each tag, several at the same time, and hands their portions on in the order of the tags. All see the same
    /// moment. A tag that cannot be read ends its own query only.
    ///
    /// # Errors
    /// See [`QueryError`]; portions handed out before stand.
    pub fn tag_by_tag<P: Portion>(
        &self,
        tags: &[Arc<Tag>],
        limits: &QueryLimits,
        run: impl Fn(&QueryEngine, &Arc<Tag>, &mut dyn FnMut(P) -> bool) -> Result<(), QueryError> + Sync,
        take: TakePart<'_, P>,
    ) -> Result<(), QueryError> {
        limits.moment.want(tags);
        // Where there is one tag only, its own query may use all threads.
        let engine = if tags.len() > 1 { self.clone().with_threads(1) } else { self.clone() };
        plan::tag_by_tag(self.threads, tags, limits, |tag, put| run(&engine, tag, put), take)
    }

    /// Schema of the answer: LONG is tag `Dictionary(Int32, Utf8)`, timestamp `Timestamp(ns, "UTC")`, value in the type of the tags, quality
    /// `UInt32`, with metadata. Tags of several types: value `Float64`, and behind quality `text` where a string is among them, and `integer`
    /// `Decimal128(20, 0)` where an i64 or u64 is. The dictionary of the tag column is the same array in every batch of an answer.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] for a wide answer of too many tags.
    pub fn range_schema(&self, query: &RangeQuery) -> Result<SchemaRef, QueryError> {
        match query.layout {
            Layout::Long => Ok(schema::long(&query.tags, query.columns(), Some(query.range))),
            Layout::Wide => wide::schema(query),
        }
    }

    /// Runs the query, handing batches of at most [`BATCH_ROWS_MAX`] rows to `emit` in order; `emit` returning false stops it.
    ///
    /// # Errors
    /// See [`QueryError`]; batches handed out before stand.
    pub fn range(&self, query: &RangeQuery, limits: &QueryLimits, emit: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), QueryError> {
        let reader = self.view(&query.tags, limits)?;
        match query.layout {
            Layout::Long => range::long(&reader, self.threads, query, limits, emit),
            Layout::Wide if query.fill != Fill::None => wide_filled::run(&reader, query, limits, emit),
            Layout::Wide => wide::run(&reader, query, limits, emit),
        }
    }

    /// As [`QueryEngine::range`], of a query of one tag in the long layout: its samples in its own type, in slices as long as batches.
    ///
    /// # Errors
    /// As there; [`QueryError::Bug`] for a query of several tags.
    pub fn samples(
        &self,
        query: &RangeQuery,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(Slice<Samples>) -> bool,
    ) -> Result<(), QueryError> {
        range::samples(&self.view(&query.tags, limits)?, self.threads, query, limits, emit)
    }

    /// Latest sample by source time of each tag that has one, in the given order; schema as LONG range.
    ///
    /// # Errors
    /// [`QueryError::DataLoss`] when a tag's last chunk cannot be read, and when a limit is reached.
    pub fn current(&self, tags: &[Arc<Tag>], types: bool, limits: &QueryLimits) -> Result<RecordBatch, QueryError> {
        current::run(&self.reader, tags, LongColumns { types, ..LongColumns::of(tags) }, limits)
    }

    /// Schema of current values; `types` adds the column `type`.
    pub fn current_schema(&self, tags: &[Arc<Tag>], types: bool) -> SchemaRef {
        schema::long(tags, LongColumns { types, ..LongColumns::of(tags) }, None)
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
        superseded::run(&self.view(&query.tags, limits)?, query, limits, emit)
    }

    /// As [`QueryEngine::superseded`], each tag's versions in its own type.
    ///
    /// # Errors
    /// As there.
    pub fn superseded_rows(
        &self,
        query: &SupersededQuery,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(Slice<SupersededRows>) -> bool,
    ) -> Result<(), QueryError> {
        let mut take = |rows| Ok(Slice::of(rows).all(&mut *emit));
        superseded::rows(&self.view(&query.tags, limits)?, query, limits, &mut take)
    }

    pub fn superseded_schema(&self, query: &SupersededQuery) -> SchemaRef {
        superseded::schema(query)
    }

    /// Upper estimate of samples and encoded bytes in the range, from chunk statistics. Chunks that the range cuts count whole.
    ///
    /// # Errors
    /// When a chunk header cannot be read.
    pub fn estimate(&self, tags: &[Arc<Tag>], range: TimeRange, limits: &QueryLimits) -> Result<(u64, u64), QueryError> {
        tags.iter().try_fold((0, 0), |(samples, bytes), tag| {
            limits.check(0)?;
            let (more, size) = estimate::sizes(&self.reader, tag, range).map_err(|error| QueryError::reading(tag, &error))?;
            Ok((samples + more, bytes + size))
        })
    }

    /// How many samples a tag holds, and from when to when.
    ///
    /// # Errors
    /// When something of the tag cannot be read.
    pub fn extent(&self, tag: &Tag) -> Result<Extent, QueryError> {
        estimate::extent(&self.reader, tag).map_err(|error| QueryError::reading(tag, &error))
    }

    /// Times that cut a range of a tag into parts of about equal numbers of samples: at most `parts - 1`, ascending, within the range.
    ///
    /// # Errors
    /// When a chunk header cannot be read.
    pub fn cuts(&self, tag: &Tag, range: TimeRange, parts: u64) -> Result<Vec<i64>, QueryError> {
        estimate::cuts(&self.reader, tag, range, parts).map_err(|error| QueryError::reading(tag, &error))
    }
}
