//! Reading: one plan (tags × range) decoded straight into Arrow arrays. Arrow begins here.

pub mod arrow_column;
mod boundary;
mod common_type;
mod current;
mod moment;
mod plan;
mod range;
mod schema;
mod superseded;
#[cfg(test)]
mod tests;
mod wide;
mod wide_filled;

pub use common_type::{INTEGER_DIGITS, widened};
pub use historian_read::estimate::Extent;
pub use historian_read::memory::MemoryBudget;
pub use moment::Moment;
pub use plan::{
    AS_OF_TAGS_MAX, AggregateQuery, AggregateRows, AnomalyQuery, AnomalyRows, AsOfQuery, DownsampleQuery, DownsampleRows, Figure, Held,
    IntervalAnswers, IntervalPart, IntervalQuery, Measure, MeasureQuery, MeasureRows, Operator, Portion, Rows, Slice, TakePart,
    as_of_fields,
};
pub use range::slices;
pub use schema::{check_names, tells_states};
pub use superseded::SupersededQuery;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use tokio_util::sync::CancellationToken;

use self::{common_type::ValueColumns, schema::LongColumns};
use historian_model::{Quality, Samples, Tag, TimeRange, Timestamp, ValueType};
use historian_read::{ReadError, estimate, feed::Feed, memory::OutOfMemory, merge::TagReader};
use historian_store::{Gap, StoreError};

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
    /// Columns tag, timestamp, value, quality, and more for the values of tags of several types; tag after tag.
    #[default]
    Long,
    /// A timestamp column, then per tag a value column of its name and a quality column `<name>#quality`; null where the tag has no sample.
    Wide,
}

/// Samples of which qualities count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum QualityFilter {
    #[default]
    Any,
    NotBad,
    Good,
}

impl QualityFilter {
    /// Whether a sample of this quality counts.
    pub fn passes(self, quality: u32) -> bool {
        match self {
            QualityFilter::Any => true,
            QualityFilter::NotBad => !Quality(quality).is_bad(),
            QualityFilter::Good => Quality(quality).is_good(),
        }
    }
}

/// How the wide layout fills rows in which a tag has no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fill {
    /// With null.
    #[default]
    None,
    /// With the last sample before that is not Bad; Uncertain where a Bad one has been since.
    AsOf,
    /// With the value that the time has at an edge that is interpolated: a straight line between the neighbours that are not Bad, inside the
    /// range or not; held for stepped tags and values that are no floats.
    Linear,
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
    /// Filters samples of the range and its neighbours, before edges and fills are made of them.
    pub quality: QualityFilter,
    /// Wide layout, forward only.
    pub fill: Fill,
    /// With a fill: rows at the start and every so many ns, instead of where samples are.
    pub step: Option<i64>,
    /// LONG layout: where the answer begins, for what comes before it has been answered.
    pub resume: Option<Resume>,
    /// LONG layout: a last column `type` with the value type of each row's tag.
    pub types: bool,
    /// LONG layout: value types that count as selected when the columns are chosen, for a part of an answer of more tags.
    pub among: Vec<ValueType>,
}

/// A place within an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Index of the tag.
    pub tag: usize,
    /// Timestamp of its last row that has been answered, and how many there were. `None`: none.
    pub after: Option<(i64, u64)>,
}

impl RangeQuery {
    /// All samples of a range, in the long layout.
    pub fn new(tags: Vec<Arc<Tag>>, range: TimeRange) -> RangeQuery {
        RangeQuery {
            tags,
            range,
            boundary: Boundary::Inside,
            limit: None,
            layout: Layout::Long,
            quality: QualityFilter::Any,
            fill: Fill::None,
            step: None,
            resume: None,
            types: false,
            among: Vec::new(),
        }
    }

    /// The value types of the tags, each once, where there are several: what a part of the answer needs to be told in `among`.
    pub fn types_apart(&self) -> Vec<ValueType> {
        let selected =
            |value_type: &ValueType| self.among.contains(value_type) || self.tags.iter().any(|tag| tag.value_type() == *value_type);
        let types: Vec<ValueType> = ValueType::ALL.into_iter().filter(selected).collect();
        if types.len() > 1 { types } else { Vec::new() }
    }

    /// Columns of the long layout.
    fn columns(&self) -> LongColumns {
        let types = self.tags.iter().map(|tag| tag.value_type()).chain(self.among.iter().copied());
        LongColumns { values: ValueColumns::of_types(types), types: self.types }
    }
}

/// Bounds of one query.
#[derive(Clone, Debug)]
pub struct QueryLimits {
    pub deadline: Instant,
    pub rows_max: u64,
    pub cancel: CancellationToken,
    /// Memory for what the query gathers: late samples it merges, answers that wait for their turn.
    pub memory: MemoryBudget,
    /// The moment that all its parts see.
    pub moment: Moment,
}

impl QueryLimits {
    /// What is left of the time.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn left(&self) -> Result<Duration, QueryError> {
        self.deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or(QueryError::Deadline)
    }

    /// Limits without one of memory.
    pub fn new(deadline: Instant, rows_max: u64, cancel: CancellationToken) -> QueryLimits {
        QueryLimits { deadline, rows_max, cancel, memory: MemoryBudget::default(), moment: Moment::default() }
    }

    /// Called between portions.
    ///
    /// # Errors
    /// When the query is cancelled, its time is over, or it gave more rows than it may.
    pub fn check(&self, rows: u64) -> Result<(), QueryError> {
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
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// Would succeed now.
    #[error("{0}")]
    Repeat(String),
    #[error("a bug stopped this query; please report it with the lines of the log at this time")]
    Bug,
}

impl QueryError {
    fn viewing(error: &ReadError) -> QueryError {
        match error {
            ReadError::Waited => QueryError::Deadline,
            error => QueryError::Store(error.to_string()),
        }
    }

    /// What a failure to read a tag is to the query.
    pub fn reading(tag: &Tag, error: &ReadError) -> QueryError {
        match error {
            ReadError::Store(StoreError::Io(message)) => QueryError::Store(message.clone()),
            ReadError::Store(reopened @ StoreError::Reopened) => QueryError::Repeat(reopened.to_string()),
            ReadError::Memory(error) => QueryError::Memory(*error),
            ReadError::Waited => QueryError::Deadline,
            ReadError::NotInView(_) => QueryError::Bug,
            damaged => QueryError::DataLoss { tag: tag.name().to_string(), reason: damaged.to_string() },
        }
    }
}

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

    /// How the query sees these tags.
    ///
    /// # Errors
    /// When it cannot see them within its time.
    pub fn view(&self, tags: &[Arc<Tag>], limits: &QueryLimits) -> Result<TagReader, QueryError> {
        limits.moment.view(&self.reader, tags, limits)
    }

    /// Recorded gaps with their numbers, from the number `from` on, ascending, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn gaps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Gap)>, StoreError> {
        self.reader.gaps(from, limit)
    }

    /// The writes of this historian, for those who follow them.
    pub fn feed(&self) -> Arc<Feed> {
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
    pub fn as_of(&self, query: &AsOfQuery, limits: &QueryLimits) -> Result<Vec<Result<Held, QueryError>>, QueryError> {
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

    pub fn superseded_schema(&self, query: &SupersededQuery) -> SchemaRef {
        superseded::schema(query)
    }

    /// Upper estimate of samples and encoded bytes in the range, from chunk statistics. Chunks that the range cuts count whole.
    ///
    /// # Errors
    /// When a chunk header cannot be read.
    pub fn estimate(&self, tags: &[Arc<Tag>], range: TimeRange) -> Result<(u64, u64), QueryError> {
        tags.iter().try_fold((0, 0), |(samples, bytes), tag| {
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
