//! Current values: the latest sample by source time of each tag.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::{
    QueryError, QueryLimits,
    gather::Gather,
    long_batch::LongBatch,
    schema::{self, LongColumns},
};
use historian_model::{Sample, Samples, Tag};
use historian_read::merge::TagReader;

/// Current values of one moment, in the order of the tags.
fn at_once(reader: &TagReader, tags: &[Arc<Tag>], limits: &QueryLimits) -> Result<Vec<Option<Sample>>, QueryError> {
    let mut found = Vec::with_capacity(tags.len());
    loop {
        let unknown = {
            let _still = reader.between_writes(limits.deadline).map_err(|error| QueryError::viewing(&error))?;
            found.clear();
            for known in tags.iter().map_while(|tag| reader.known_current(tag)) {
                // Writes wait meanwhile, and queries behind them: who waited here for a turn would have them wait as well.
                if found.len() % 4_096 == 0 {
                    limits.check_in_turn(0)?;
                }
                found.push(known);
            }
            found.len()
        };
        if unknown == tags.len() {
            return Ok(found);
        }
        // What lies in the store is looked up while writes go on, and once.
        for (number, tag) in tags[unknown..].iter().enumerate() {
            if number % 256 == 0 {
                limits.check(0)?;
            }
            reader.current(tag).map_err(|error| QueryError::reading(tag, &error))?;
        }
    }
}

pub fn run(reader: &TagReader, tags: &[Arc<Tag>], columns: LongColumns, limits: &QueryLimits) -> Result<RecordBatch, QueryError> {
    let mut batch = LongBatch::new(schema::long(tags, columns, None), tags, columns);
    let mut one = Samples::new(columns.values.value);
    let found = at_once(reader, tags, limits)?;
    for ((index, tag), current) in tags.iter().enumerate().zip(found) {
        let Some(current) = current else { continue };
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
    limits.check(batch.rows() as u64)?;
    batch.take()
}

/// The latest sample of each tag that has one, as a run of one.
pub fn samples(reader: &TagReader, tags: &[Arc<Tag>], limits: &QueryLimits) -> Result<Vec<(Arc<Tag>, Samples)>, QueryError> {
    let mut found = Vec::with_capacity(tags.len());
    for (tag, current) in tags.iter().zip(at_once(reader, tags, limits)?) {
        let Some(current) = current else { continue };
        let mut run = Samples::new(tag.value_type());
        run.push(current.timestamp, current.value.as_ref(), current.quality)
            .map_err(|error| QueryError::DataLoss { tag: tag.name().to_string(), reason: error.to_string() })?;
        found.push((tag.clone(), run));
    }
    Ok(found)
}

/// The latest timestamp of all.
pub fn latest(reader: &TagReader, tags: &[Arc<Tag>], limits: &QueryLimits) -> Result<Option<i64>, QueryError> {
    Ok(at_once(reader, tags, limits)?.into_iter().flatten().map(|current| current.timestamp).max())
}
