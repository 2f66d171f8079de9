//! Range in the wide layout: one row per timestamp that any tag has, a value and a quality column per tag.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use arrow::{
    array::ArrayRef,
    buffer::NullBuffer,
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};

use super::{BATCH_ROWS_MAX, QueryError, QueryLimits, RangeQuery, arrow_column, boundary, schema};
use historian_model::{Samples, Values};
use historian_read::merge::TagReader;

/// Tags of one wide answer at most: each is two columns.
pub const WIDE_TAGS_MAX: usize = 1_000;
/// Cells of one batch at most, so that wide batches have fewer rows.
pub const BATCH_CELLS_MAX: usize = 1 << 18;

pub fn schema(query: &RangeQuery) -> Result<SchemaRef, QueryError> {
    if query.tags.len() > WIDE_TAGS_MAX {
        return Err(QueryError::Invalid(format!(
            "{} tags are too many for the WIDE layout, at most {WIDE_TAGS_MAX}; ask for LONG",
            query.tags.len()
        )));
    }
    let states = schema::tells_states(&query.tags);
    let mut fields = vec![Field::new("timestamp", arrow_column::timestamp_type(), false)];
    for tag in &query.tags {
        fields.push(
            Field::new(tag.name().as_str(), arrow_column::data_type(tag.value_type()), true)
                .with_metadata(schema::tag_metadata(tag, states)),
        );
        fields.push(Field::new(format!("{}#quality", tag.name()), DataType::UInt32, true));
    }
    schema::check_names(&fields)?;
    Ok(Arc::new(Schema::new(fields).with_metadata(schema::metadata(&query.tags, Some(query.range)))))
}

/// One tag's samples waiting for their rows.
struct WideColumn<'a> {
    source: boundary::BoundedCursor<'a>,
    portion: Samples,
    at: usize,
    values: Values,
    qualities: Vec<u32>,
    present: Vec<bool>,
    valid: Vec<bool>,
}

impl WideColumn<'_> {
    /// Timestamp of the next sample; fetches a portion when the one before is used up.
    fn peek(&mut self) -> Result<Option<i64>, QueryError> {
        while self.at == self.portion.len() {
            self.portion.clear();
            self.at = 0;
            if !self.source.next_into(&mut self.portion)? {
                return Ok(None);
            }
        }
        Ok(Some(self.portion.timestamps[self.at]))
    }

    fn pad(&mut self, rows: usize) {
        while self.present.len() < rows {
            self.values.push_default();
            self.qualities.push(0);
            self.present.push(false);
            self.valid.push(false);
        }
    }

    fn take(&mut self) -> Result<(), QueryError> {
        let copied = self.values.extend_from(&self.portion.values, self.at..self.at + 1);
        copied.map_err(|error| QueryError::Store(error.to_string()))?;
        self.qualities.push(self.portion.qualities[self.at]);
        self.present.push(true);
        self.valid.push(self.portion.is_valid(self.at));
        self.at += 1;
        Ok(())
    }
}

pub fn run(
    reader: &TagReader,
    query: &RangeQuery,
    limits: &QueryLimits,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), QueryError> {
    let schema = schema(query)?;
    let rows_max = (BATCH_CELLS_MAX / query.tags.len().max(1)).clamp(1, BATCH_ROWS_MAX);
    let direction = if query.range.reverse { -1 } else { 1 };
    let mut lanes = Vec::with_capacity(query.tags.len());
    // Next timestamp of each lane, in the query's direction; i128 so that negating the least timestamp does not overflow.
    let mut next = BinaryHeap::new();
    for (index, tag) in query.tags.iter().enumerate() {
        let source = boundary::BoundedCursor::open(reader, tag, query)?;
        let mut lane = WideColumn {
            source,
            portion: Samples::new(tag.value_type()),
            at: 0,
            values: Values::new(tag.value_type()),
            qualities: Vec::new(),
            present: Vec::new(),
            valid: Vec::new(),
        };
        if let Some(timestamp) = lane.peek()? {
            next.push(Reverse((i128::from(timestamp) * direction, index)));
        }
        lanes.push(lane);
    }

    let mut timestamps: Vec<i64> = Vec::new();
    let (mut rows, mut left) = (0, query.limit.unwrap_or(u64::MAX));
    while let Some(&Reverse((at, _))) = next.peek() {
        if left == 0 {
            break;
        }
        while let Some(&Reverse((same, index))) = next.peek()
            && same == at
        {
            next.pop();
            let lane = &mut lanes[index];
            lane.pad(timestamps.len());
            lane.take()?;
            if let Some(timestamp) = lane.peek()? {
                next.push(Reverse((i128::from(timestamp) * direction, index)));
            }
        }
        timestamps.push((at * direction) as i64);
        (rows, left) = (rows + 1, left - 1);
        if timestamps.len() >= rows_max {
            limits.check(rows)?;
            if !emit(batch(&schema, &mut timestamps, &mut lanes)?) {
                return Ok(());
            }
        }
    }
    limits.check(rows)?;
    if !timestamps.is_empty() {
        emit(batch(&schema, &mut timestamps, &mut lanes)?);
    }
    Ok(())
}

fn batch(schema: &SchemaRef, timestamps: &mut Vec<i64>, lanes: &mut [WideColumn<'_>]) -> Result<RecordBatch, QueryError> {
    let rows = timestamps.len();
    let failed = |error| QueryError::Store(format!("a batch could not be formed: {error}"));
    let mut columns: Vec<ArrayRef> = vec![arrow_column::timestamps(std::mem::take(timestamps))];
    for lane in lanes {
        lane.pad(rows);
        let value_type = lane.values.value_type();
        let values = std::mem::replace(&mut lane.values, Values::new(value_type));
        columns.push(arrow_column::values(values, Some(NullBuffer::from(std::mem::take(&mut lane.valid)))).map_err(failed)?);
        columns
            .push(arrow_column::qualities(std::mem::take(&mut lane.qualities), Some(NullBuffer::from(std::mem::take(&mut lane.present)))));
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(failed)
}
