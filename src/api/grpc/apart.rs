//! Answers over several tags, tag by tag: every tag keeps its own value type, and one that cannot be served does not take the others along.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use historian_proto::v1::TagFailure;
use tonic::{Code, Status};

use crate::{
    api::{status, stream::Emitter},
    model::Tag,
    query::{QueryError, QueryLimits},
};

/// What makes the messages of one kind of answer.
pub struct Apart<'a, T> {
    /// The first message, with the bounds as resolved.
    pub first: T,
    pub tags: &'a [Arc<Tag>],
    /// Exact names of the request that no tag has.
    pub missing: Vec<String>,
    pub failed: fn(TagFailure) -> T,
}

/// Receives batches; answers false to stop.
pub type Take<'a> = &'a mut dyn FnMut(RecordBatch) -> bool;

impl<T> Apart<'_, T> {
    /// Runs a query of one tag for each tag and emits its batches as messages.
    ///
    /// # Errors
    /// Of any query, but damage of a single tag, which is a message.
    pub fn stream(
        self,
        limits: &QueryLimits,
        emitter: &Emitter<T>,
        run: impl Fn(&Arc<Tag>, &QueryLimits, Take<'_>) -> Result<(), QueryError>,
        message: impl Fn(&Tag, &RecordBatch) -> Result<Vec<T>, String>,
    ) -> Result<(), Status> {
        let Apart { first, tags, missing, failed } = self;
        if !emitter.emit(first) || !missing.into_iter().all(|name| emitter.emit(failed(unknown(name)))) {
            return Ok(());
        }
        let rows_max = limits.rows_max;
        let mut rows_left = rows_max;
        for tag in tags {
            let limits = QueryLimits { rows_max: rows_left, ..limits.clone() };
            let (mut broken, mut reading) = (None, true);
            let ended = run(tag, &limits, &mut |batch| {
                rows_left = rows_left.saturating_sub(batch.num_rows() as u64);
                match message(tag, &batch) {
                    Ok(messages) => reading = messages.into_iter().all(|message| emitter.emit(message)),
                    Err(error) => broken = Some(status::internal(error)),
                }
                reading && broken.is_none()
            });
            match (broken, ended) {
                (Some(error), _) => return Err(error),
                _ if !reading => return Ok(()),
                (None, Ok(())) => {}
                (None, Err(error @ QueryError::DataLoss { .. })) => {
                    if !emitter.emit(failed(damaged(tag, &error))) {
                        return Ok(());
                    }
                }
                (None, Err(QueryError::TooManyRows(_))) => return Err(status::from_query(&QueryError::TooManyRows(rows_max))),
                (None, Err(error)) => return Err(status::from_query(&error)),
            }
        }
        Ok(())
    }
}

/// A row for an exact name that no tag has.
pub fn unknown(tag: String) -> TagFailure {
    TagFailure { tag, code: Code::NotFound.into(), message: "there is no tag of this name".into() }
}

/// A row for a tag that cannot be read.
pub fn damaged(tag: &Tag, error: &QueryError) -> TagFailure {
    TagFailure { tag: tag.name().to_string(), code: Code::DataLoss.into(), message: error.to_string() }
}
