//! Range in the long layout: tag after tag, each in time order, decoded straight into the columns of the batch.

use std::{iter, sync::Arc};

use arrow::{
    array::{ArrayRef, DictionaryArray, Int32Array, StringArray},
    datatypes::{Int32Type, SchemaRef},
    record_batch::RecordBatch,
};

use super::{BATCH_ROWS_MAX, QueryError, QueryLimits, RangeQuery, arrow_column, boundary, common_type, schema};
use crate::{
    ingest::merge::TagReader,
    model::{Samples, Tag, Value},
};

pub fn long(
    reader: &TagReader,
    query: &RangeQuery,
    limits: &QueryLimits,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), QueryError> {
    let mut batch = LongBatch::new(schema::long(&query.tags, Some(query.range)), &query.tags);
    let mut rows = 0;
    for (index, tag) in query.tags.iter().enumerate() {
        let mut source = boundary::Source::open(reader, tag, query)?;
        let mut left = query.limit.unwrap_or(u64::MAX);
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
        }
    }
    batch.emit_rest(emit)
}

/// A batch of the long layout while it grows.
pub struct LongBatch {
    schema: SchemaRef,
    /// Names of all tags of the answer: the same array in every batch.
    names: ArrayRef,
    keys: Vec<i32>,
    samples: Samples,
    scratch: Samples,
}

impl LongBatch {
    pub fn new(schema: SchemaRef, tags: &[Arc<Tag>]) -> LongBatch {
        let names: StringArray = tags.iter().map(|tag| Some(tag.name().as_str())).collect();
        let common = common_type::of(tags);
        LongBatch { schema, names: Arc::new(names), keys: Vec::new(), samples: Samples::new(common), scratch: Samples::new(common) }
    }

    pub fn rows(&self) -> usize {
        self.samples.len()
    }

    /// Appends one sample of the tag at `index`; false, and nothing is done, when its value is not of the common type.
    pub fn push(&mut self, index: usize, timestamp: i64, value: Option<&Value>, quality: u32) -> bool {
        let pushed = self.samples.push(timestamp, value, quality).is_ok();
        if pushed {
            self.keys.push(index as i32);
        }
        pushed
    }

    /// Appends samples of the tag at `index`, converted to the common type.
    pub fn append(&mut self, index: usize, samples: &Samples) {
        common_type::append_converted(samples, &mut self.samples);
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
        let keys = Int32Array::from(std::mem::take(&mut self.keys));
        let nulls = arrow_column::nulls(samples.validity);
        let columns = DictionaryArray::<Int32Type>::try_new(keys, self.names.clone()).and_then(|tags| {
            Ok(vec![
                Arc::new(tags) as ArrayRef,
                arrow_column::timestamps(samples.timestamps),
                arrow_column::values(samples.values, nulls)?,
                arrow_column::qualities(samples.qualities, None),
            ])
        });
        columns
            .and_then(|columns| RecordBatch::try_new(self.schema.clone(), columns))
            .map_err(|error| QueryError::Store(format!("a batch could not be formed: {error}")))
    }

    /// Emits what is complete; false when the receiver wants no more.
    fn emit_full(&mut self, emit: &mut dyn FnMut(RecordBatch) -> bool) -> Result<bool, QueryError> {
        let batch = self.take()?;
        let next_rows = BATCH_ROWS_MAX + crate::ingest::seal::CHUNK_SAMPLES_MAX;
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

/// A batch in pieces of at most [`BATCH_ROWS_MAX`] rows; nothing for an empty one.
pub fn slices(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let starts = iter::successors(Some(0), |start| Some(start + BATCH_ROWS_MAX)).take_while(|&start| start < batch.num_rows());
    starts.map(|start| batch.slice(start, BATCH_ROWS_MAX.min(batch.num_rows() - start)))
}
