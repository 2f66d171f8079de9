//! Versions of samples that no longer count: the LONG layout with one more column, the sequence number of the write that replaced or deleted
//! each of them.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, UInt64Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};

use super::{
    BATCH_ROWS_MAX, QueryError, QueryLimits,
    long_batch::LongBatch,
    portion::Rows,
    schema::{self, LongColumns},
};
use historian_model::{Samples, Tag, TimeBounds, TimeRange};
use historian_read::{merge::TagReader, superseded::SupersededSample};

/// A query whose tags and times are resolved; the range is in ascending order.
#[derive(Clone, Debug)]
pub struct SupersededQuery {
    pub tags: Vec<Arc<Tag>>,
    pub range: TimeRange,
    /// Versions per tag at most; `None` no limit.
    pub limit: Option<u64>,
}

impl SupersededQuery {
    /// The same query of one of its tags.
    #[must_use]
    pub fn of_tag(&self, tag: &Arc<Tag>) -> SupersededQuery {
        SupersededQuery { tags: vec![tag.clone()], range: self.range, limit: self.limit }
    }
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

/// Versions of one tag after another, each tag's in its own type.
#[derive(Debug, Default)]
pub struct SupersededRows {
    /// Of the tag at this place, with all its versions.
    pub tags: Vec<(usize, Samples)>,
    /// Of each version the sequence number of the write that replaced or deleted it.
    pub replaced_by: Vec<u64>,
}

impl Rows for SupersededRows {
    fn len(&self) -> usize {
        self.replaced_by.len()
    }

    fn row_bytes(&self) -> usize {
        let samples: usize = self.tags.iter().map(|(_, samples)| samples.heap_bytes()).sum();
        samples / self.len().max(1) + size_of::<u64>()
    }
}

impl SupersededRows {
    /// Appends versions; what is as long as a batch is taken. False when nobody takes it.
    fn extend(
        &mut self,
        index: usize,
        tag: &Tag,
        versions: &[SupersededSample],
        take: &mut dyn FnMut(SupersededRows) -> Result<bool, QueryError>,
    ) -> Result<bool, QueryError> {
        for portion in versions.chunks(BATCH_ROWS_MAX) {
            if self.len() + portion.len() > BATCH_ROWS_MAX && !take(std::mem::take(self))? {
                return Ok(false);
            }
            self.append(index, tag, portion)?;
        }
        Ok(true)
    }

    fn append(&mut self, index: usize, tag: &Tag, versions: &[SupersededSample]) -> Result<(), QueryError> {
        if self.tags.last().is_none_or(|(last, _)| *last != index) {
            self.tags.push((index, Samples::with_capacity(tag.value_type(), versions.len())));
        }
        let Some((_, samples)) = self.tags.last_mut() else { return Ok(()) };
        for version in versions {
            samples
                .push(version.sample.timestamp, version.sample.value.as_ref(), version.sample.quality)
                .map_err(|error| QueryError::DataLoss { tag: tag.name().to_string(), reason: error.to_string() })?;
            self.replaced_by.push(version.replaced_by);
        }
        Ok(())
    }
}

/// Runs the query week by week, so that memory holds one week as it is stored, and of its versions one part and one batch. `take` gets as many
/// rows as a batch has at most, and answers false to stop.
pub fn rows(
    reader: &TagReader,
    query: &SupersededQuery,
    limits: &QueryLimits,
    take: &mut dyn FnMut(SupersededRows) -> Result<bool, QueryError>,
) -> Result<(), QueryError> {
    let mut gathered = SupersededRows::default();
    let mut rows = 0;
    for (index, tag) in query.tags.iter().enumerate() {
        let mut left = query.limit.unwrap_or(u64::MAX);
        for week in reader.superseded_weeks(tag).map_err(|error| QueryError::reading(tag, &error))? {
            let Some(bounds) = within(query.range, week).filter(|_| left > 0) else { continue };
            let mut reading = Ok(true);
            let read = reader.superseded(tag, bounds, &mut |mut versions| {
                versions.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                left -= versions.len() as u64;
                rows += versions.len() as u64;
                reading = limits.check(rows).and_then(|()| gathered.extend(index, tag, &versions, take));
                matches!(reading, Ok(true)) && left > 0
            });
            read.map_err(|error| QueryError::reading(tag, &error))?;
            if !reading? {
                return Ok(());
            }
        }
    }
    if !gathered.is_empty() {
        take(gathered)?;
    }
    Ok(())
}

/// As [`rows`], in batches.
pub fn run(
    reader: &TagReader,
    query: &SupersededQuery,
    limits: &QueryLimits,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), QueryError> {
    let columns = LongColumns::of(&query.tags);
    let schema = schema(query);
    let mut batch = LongBatch::new(schema::long(&query.tags, columns, Some(query.range)), &query.tags, columns);
    rows(reader, query, limits, &mut |rows| {
        for (index, samples) in &rows.tags {
            batch.append(*index, samples);
        }
        let replaced_by: ArrayRef = Arc::new(UInt64Array::from(rows.replaced_by));
        let columns = batch.take()?.columns().iter().cloned().chain([replaced_by]).collect();
        let batch = RecordBatch::try_new(schema.clone(), columns)
            .map_err(|error| QueryError::Store(format!("a batch could not be formed: {error}")))?;
        Ok(emit(batch))
    })
}

/// The part of a range that lies in a week.
fn within(range: TimeRange, week: i32) -> Option<TimeBounds> {
    Some(range.bounds()?.intersect(TimeBounds::of_week(week))).filter(|part| !part.is_empty())
}
