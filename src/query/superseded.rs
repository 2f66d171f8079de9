//! Versions of samples that no longer count: the LONG layout with one more column, the sequence number of the write that replaced or deleted
//! each of them.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, UInt64Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use historian_format::keys::week_bounds;

use super::{
    BATCH_ROWS_MAX, QueryError, QueryLimits,
    long_batch::LongBatch,
    schema::{self, LongColumns},
};
use historian_model::{Samples, Tag, TimeRange, Timestamp};
use historian_read::merge::{SupersededSample, TagReader};

/// A query whose tags and times are resolved; the range is in ascending order.
#[derive(Clone, Debug)]
pub struct SupersededQuery {
    pub tags: Vec<Arc<Tag>>,
    pub range: TimeRange,
    /// Versions per tag at most; `None` no limit.
    pub limit: Option<u64>,
}

/// Schema of the answer: the columns of a range, and `replaced_by` `UInt64`.
pub fn schema(query: &SupersededQuery) -> SchemaRef {
    with_replaced_by(&schema::long(&query.tags, LongColumns::of(&query.tags), Some(query.range)))
}

fn with_replaced_by(long: &Schema) -> SchemaRef {
    let replaced_by = Arc::new(Field::new("replaced_by", DataType::UInt64, false));
    let fields: Vec<_> = long.fields().iter().cloned().chain([replaced_by]).collect();
    Arc::new(Schema::new(fields).with_metadata(long.metadata().clone()))
}

/// Runs the query week by week, so that memory holds the versions of one week and one batch.
pub fn run(
    reader: &TagReader,
    query: &SupersededQuery,
    limits: &QueryLimits,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), QueryError> {
    let columns = LongColumns::of(&query.tags);
    let mut answer = Answer {
        schema: schema(query),
        batch: LongBatch::new(schema::long(&query.tags, columns, Some(query.range)), &query.tags, columns),
        replaced_by: Vec::new(),
    };
    let mut rows = 0;
    for (index, tag) in query.tags.iter().enumerate() {
        let mut left = query.limit.unwrap_or(u64::MAX);
        for week in reader.superseded_weeks(tag).map_err(|error| QueryError::reading(tag, &error))? {
            let Some(range) = within(query.range, week).filter(|_| left > 0) else { continue };
            let mut versions = reader.superseded(tag, range).map_err(|error| QueryError::reading(tag, &error))?;
            versions.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= versions.len() as u64;
            rows += versions.len() as u64;
            limits.check(rows)?;
            for portion in versions.chunks(BATCH_ROWS_MAX) {
                if answer.batch.rows() + portion.len() > BATCH_ROWS_MAX && !emit(answer.take()?) {
                    return Ok(());
                }
                answer.append(index, tag, portion)?;
            }
        }
    }
    if answer.batch.rows() > 0 {
        emit(answer.take()?);
    }
    Ok(())
}

/// The part of a range that lies in a week.
fn within(range: TimeRange, week: i32) -> Option<TimeRange> {
    let (first, last) = week_bounds(week);
    let range = TimeRange::new(range.start.max(Timestamp(first)), range.end.min(Timestamp(last.saturating_add(1))));
    (!range.reverse && !range.is_empty()).then_some(range)
}

/// The batch that grows.
struct Answer {
    schema: SchemaRef,
    batch: LongBatch,
    replaced_by: Vec<u64>,
}

impl Answer {
    fn append(&mut self, index: usize, tag: &Tag, versions: &[SupersededSample]) -> Result<(), QueryError> {
        let mut samples = Samples::with_capacity(tag.value_type(), versions.len());
        for version in versions {
            let damaged = |reason: String| QueryError::DataLoss { tag: tag.name().to_string(), reason };
            samples.push(version.timestamp, version.value.as_ref(), version.quality).map_err(|error| damaged(error.to_string()))?;
            self.replaced_by.push(version.replaced_by);
        }
        self.batch.append(index, &samples);
        Ok(())
    }

    fn take(&mut self) -> Result<RecordBatch, QueryError> {
        let long = self.batch.take()?;
        let replaced_by: ArrayRef = Arc::new(UInt64Array::from(std::mem::take(&mut self.replaced_by)));
        let columns = long.columns().iter().cloned().chain([replaced_by]).collect();
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| QueryError::Store(format!("a batch could not be formed: {error}")))
    }
}
