//! Range in the long layout: tag after tag, each in time order, decoded straight into the columns of the batch.

use std::{iter, ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, DictionaryArray, Int32Array, StringArray},
    datatypes::{Int32Type, SchemaRef},
    error::ArrowError,
    record_batch::RecordBatch,
};

use super::{
    BATCH_ROWS_MAX, Boundary, QueryError, QueryLimits, RangeQuery, Resume, arrow_column, boundary,
    common_type::{self, MoreColumns},
    plan::{Workers, in_order},
    schema::{self, LongColumns},
};
use historian_model::{Samples, Tag, TimeRange, Timestamp, Value, ValueType};
use historian_read::merge::TagReader;

/// Rows of an answer from which on several threads work on it.
const ALONE_ROWS: u64 = 4 * BATCH_ROWS_MAX as u64;
/// Rows of one part of an answer, about.
const PART_ROWS: u64 = 2 * BATCH_ROWS_MAX as u64;
const PARTS_MAX: usize = 65_536;

pub fn long(
    reader: &TagReader,
    threads: usize,
    query: &RangeQuery,
    limits: &QueryLimits,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), QueryError> {
    let columns = query.columns();
    let schema = schema::long(&query.tags, columns, Some(query.range));
    let mut batch = LongBatch::new(schema, &query.tags, columns);
    let mut rows = 0;
    let resume = query.resume.unwrap_or(Resume { tag: 0, after: None });
    for (index, tag) in query.tags.iter().enumerate().skip(resume.tag) {
        let after = resume.after.filter(|_| index == resume.tag);
        let mut source = boundary::Source::resume(reader, tag, query, after.map(|(after, _)| after))?;
        let mut left = query.limit.map_or(u64::MAX, |limit| limit.saturating_sub(after.map_or(0, |(_, given)| given)));
        while left > 0 {
            let appended = batch.append_from(index, &mut source, left)?;
            if appended == 0 {
                break;
            }
            left -= appended;
            rows += appended;
            limits.check(rows)?;
            if batch.rows() >= BATCH_ROWS_MAX && !batch.emit_full(emit)? {
                return Ok(());
            }
            if rows >= ALONE_ROWS
                && threads > 1
                && let Some(parts) = rest(query, index, rows, batch.last_timestamp())
            {
                drop(source);
                let (names, schema) = (batch.names.clone(), batch.schema.clone());
                if batch.rows() > 0 && !slices(&batch.take()?).all(&mut *emit) {
                    return Ok(());
                }
                let new = || LongBatch::of_names(schema.clone(), names.clone(), &query.tags, columns);
                return in_parts(reader, threads, query, &parts, rows, limits, &new, emit);
            }
        }
    }
    batch.emit_rest(emit)
}

/// What of a query is still to be answered: neighbouring tags, or a piece of the time of one.
struct Part {
    tags: Range<usize>,
    range: TimeRange,
}

/// The rest of a query behind so many rows, up to `reached` in the tag at `index`, in parts of about [`PART_ROWS`]. `None` where it is better
/// read in one go.
fn rest(query: &RangeQuery, index: usize, rows: u64, reached: Option<i64>) -> Option<Vec<Part>> {
    let reached = reached?;
    let in_time = query.boundary == Boundary::Inside && !query.range.reverse;
    let (start, end) = (i128::from(query.range.start.0), i128::from(query.range.end.0));
    let open = query.range.start == Timestamp::MIN || query.range.end == Timestamp::MAX;
    if query.limit.is_some() || query.resume.is_some() || !in_time || open {
        return None;
    }
    let mut parts = Vec::new();
    let mut cut = |tag: usize, from: i128, length: i128| {
        let mut from = from;
        while from < end {
            let to = (from + length.max(1)).min(end);
            // The rest in one part, should there be too many.
            let to = if parts.len() + 1 >= PARTS_MAX { end } else { to };
            let range = TimeRange { start: Timestamp(from as i64), end: Timestamp(to as i64), reverse: false };
            parts.push(Part { tags: tag..tag + 1, range });
            from = to;
        }
    };
    // What has been read tells how dense the samples of a tag are.
    let done = index as i128 * (end - start) + i128::from(reached) + 1 - start;
    let length = (done * i128::from(PART_ROWS) / i128::from(rows)).max(1);
    cut(index, i128::from(reached) + 1, length);
    let per_part = usize::try_from((length / (end - start)).clamp(1, i128::from(u16::MAX))).ok()?;
    if length < end - start {
        (index + 1..query.tags.len()).for_each(|tag| cut(tag, start, length));
    } else {
        let mut tag = index + 1;
        while tag < query.tags.len() {
            let next = (tag + per_part).min(query.tags.len());
            parts.push(Part { tags: tag..next, range: query.range });
            tag = next;
        }
    }
    (parts.len() > 1).then_some(parts)
}

/// Answers parts of a query on several threads, each of which forms batches of its own.
#[expect(clippy::too_many_arguments, reason = "it is the second half of `long`")]
fn in_parts(
    reader: &TagReader,
    threads: usize,
    query: &RangeQuery,
    parts: &[Part],
    rows_before: u64,
    limits: &QueryLimits,
    new: &(dyn Fn() -> LongBatch + Sync),
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), QueryError> {
    let mut rows = rows_before;
    in_order(
        Workers { threads, memory: &limits.memory },
        parts,
        |batch: &RecordBatch| batch.columns().iter().skip(1).map(|column| column.get_array_memory_size()).sum(),
        |part, put| {
            let of_part = RangeQuery { range: part.range, ..RangeQuery::new(Vec::new(), part.range) };
            let of_part = RangeQuery { quality: query.quality, ..of_part };
            let mut batch = new();
            for index in part.tags.clone() {
                let mut source = boundary::Source::open(reader, &query.tags[index], &of_part)?;
                while batch.append_from(index, &mut source, u64::MAX)? > 0 {
                    limits.check(0)?;
                    if batch.rows() >= BATCH_ROWS_MAX && !batch.emit_full(&mut *put)? {
                        return Ok(());
                    }
                }
            }
            batch.emit_rest(put)
        },
        |batch| {
            rows += batch.num_rows() as u64;
            limits.check(rows)?;
            Ok(emit(batch))
        },
    )
}

/// A batch of the long layout while it grows.
pub struct LongBatch {
    schema: SchemaRef,
    /// Names of all tags of the answer: the same array in every batch.
    names: ArrayRef,
    keys: Vec<i32>,
    samples: Samples,
    more: MoreColumns,
    types: Option<TypeColumn>,
    scratch: Samples,
}

impl LongBatch {
    pub fn new(schema: SchemaRef, tags: &[Arc<Tag>], columns: LongColumns) -> LongBatch {
        let names: StringArray = tags.iter().map(|tag| Some(tag.name().as_str())).collect();
        LongBatch::of_names(schema, Arc::new(names), tags, columns)
    }

    fn of_names(schema: SchemaRef, names: ArrayRef, tags: &[Arc<Tag>], columns: LongColumns) -> LongBatch {
        let LongColumns { values, types } = columns;
        let samples = || Samples::new(values.value);
        let types = types.then(|| TypeColumn::new(tags));
        LongBatch { schema, names, keys: Vec::new(), samples: samples(), more: MoreColumns::new(values), types, scratch: samples() }
    }

    /// Timestamp of the sample appended last.
    fn last_timestamp(&self) -> Option<i64> {
        self.samples.timestamps.last().copied()
    }

    pub fn rows(&self) -> usize {
        self.samples.len()
    }

    /// Appends one sample of the tag at `index`; false, and nothing is done, when its value is not of the type of `value`.
    pub fn push(&mut self, index: usize, timestamp: i64, value: Option<&Value>, quality: u32) -> bool {
        let pushed = self.samples.push(timestamp, value, quality).is_ok();
        if pushed {
            self.keys.push(index as i32);
        }
        pushed
    }

    /// Appends samples of the tag at `index`, each value to the columns it belongs in.
    pub fn append(&mut self, index: usize, samples: &Samples) {
        common_type::append(samples, &mut self.samples, &mut self.more);
        self.keys.resize(self.samples.len(), index as i32);
    }

    /// Appends the source's next portion, at most `limit` samples, and answers how many it took; 0 when nothing is left.
    fn append_from(&mut self, index: usize, source: &mut boundary::Source<'_>, limit: u64) -> Result<u64, QueryError> {
        let before = self.samples.len();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if source.value_type() == self.samples.value_type() {
            source.next_into(&mut self.samples)?;
            self.samples.truncate(before.saturating_add(limit).min(self.samples.len()));
            self.keys.resize(self.samples.len(), index as i32);
        } else {
            let mut portion = std::mem::replace(&mut self.scratch, Samples::new(source.value_type()));
            if portion.value_type() != source.value_type() {
                portion = Samples::new(source.value_type());
            }
            portion.clear();
            source.next_into(&mut portion)?;
            portion.truncate(limit.min(portion.len()));
            self.append(index, &portion);
            self.scratch = portion;
        }
        Ok((self.samples.len() - before) as u64)
    }

    /// Everything so far as one batch; starts anew.
    pub fn take(&mut self) -> Result<RecordBatch, QueryError> {
        let value_type = self.samples.value_type();
        let samples = std::mem::replace(&mut self.samples, Samples::new(value_type));
        let more = self.more.take(samples.len());
        let keys = Int32Array::from(std::mem::take(&mut self.keys));
        let types = self.types.as_ref().map(|types| types.of(&keys));
        let nulls = arrow_column::nulls(samples.validity);
        let columns = DictionaryArray::<Int32Type>::try_new(keys, self.names.clone()).and_then(|tags| {
            let mut columns = vec![
                Arc::new(tags) as ArrayRef,
                arrow_column::timestamps(samples.timestamps),
                arrow_column::values(samples.values, nulls)?,
                arrow_column::qualities(samples.qualities, None),
            ];
            columns.extend(more?);
            columns.extend(types.transpose()?);
            Ok(columns)
        });
        columns
            .and_then(|columns| RecordBatch::try_new(self.schema.clone(), columns))
            .map_err(|error| QueryError::Store(format!("a batch could not be formed: {error}")))
    }

    /// Emits what is complete; false when the receiver wants no more.
    fn emit_full(&mut self, emit: &mut dyn FnMut(RecordBatch) -> bool) -> Result<bool, QueryError> {
        let batch = self.take()?;
        let next_rows = BATCH_ROWS_MAX + historian_read::CHUNK_SAMPLES_MAX;
        self.keys.reserve(next_rows);
        self.samples.timestamps.reserve(next_rows);
        self.samples.values.reserve(next_rows);
        self.samples.qualities.reserve(next_rows);
        Ok(slices(&batch).all(emit))
    }

    fn emit_rest(&mut self, emit: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), QueryError> {
        let batch = self.take()?;
        let _ = slices(&batch).all(emit);
        Ok(())
    }
}

/// The column `type`.
struct TypeColumn {
    names: ArrayRef,
    /// Of each tag the place of its type among the names.
    of_tags: Vec<i32>,
}

impl TypeColumn {
    fn new(tags: &[Arc<Tag>]) -> TypeColumn {
        let place = |tag: &Arc<Tag>| ValueType::ALL.iter().position(|value_type| *value_type == tag.value_type()).unwrap_or(0) as i32;
        let names = StringArray::from_iter_values(ValueType::ALL.iter().map(|value_type| value_type.as_str()));
        TypeColumn { names: Arc::new(names), of_tags: tags.iter().map(place).collect() }
    }

    fn of(&self, keys: &Int32Array) -> Result<ArrayRef, ArrowError> {
        let places = keys.unary::<_, Int32Type>(|key| self.of_tags[key as usize]);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(places, self.names.clone())?))
    }
}

/// A batch in pieces of at most [`BATCH_ROWS_MAX`] rows; nothing for an empty one.
pub fn slices(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let starts = iter::successors(Some(0), |start| Some(start + BATCH_ROWS_MAX)).take_while(|&start| start < batch.num_rows());
    starts.map(|start| batch.slice(start, BATCH_ROWS_MAX.min(batch.num_rows() - start)))
}
