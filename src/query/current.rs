//! Current values: the latest sample by source time of each tag.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::{QueryError, common_type, range::LongBatch, schema};
use crate::{
    ingest::merge::TagReader,
    model::{Samples, Tag},
};

pub fn run(reader: &TagReader, tags: &[Arc<Tag>]) -> Result<RecordBatch, QueryError> {
    let schema = schema::long(tags, None);
    let mut batch = LongBatch::new(schema, tags);
    let mut one = Samples::new(common_type::of(tags));
    for (index, tag) in tags.iter().enumerate() {
        let Some(current) = reader.current(tag).map_err(|error| QueryError::reading(tag, &error))? else { continue };
        if batch.push(index, current.timestamp, current.value.as_ref(), current.quality) {
            continue;
        }
        if one.value_type() != tag.value_type() {
            one = Samples::new(tag.value_type());
        }
        one.clear();
        one.push(current.timestamp, current.value.as_ref(), current.quality)
            .map_err(|error| QueryError::DataLoss { tag: tag.name().to_string(), reason: error.to_string() })?;
        batch.append(index, &one);
    }
    batch.take()
}

/// The latest sample of each tag that has one, as a run of one.
pub fn samples(reader: &TagReader, tags: &[Arc<Tag>]) -> Result<Vec<(Arc<Tag>, Samples)>, QueryError> {
    let mut found = Vec::with_capacity(tags.len());
    for tag in tags {
        let Some(current) = reader.current(tag).map_err(|error| QueryError::reading(tag, &error))? else { continue };
        let mut run = Samples::new(tag.value_type());
        run.push(current.timestamp, current.value.as_ref(), current.quality)
            .map_err(|error| QueryError::DataLoss { tag: tag.name().to_string(), reason: error.to_string() })?;
        found.push((tag.clone(), run));
    }
    Ok(found)
}
