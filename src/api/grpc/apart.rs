//! Answers over several tags, tag by tag: every tag keeps its own value type, and one that cannot be served does not take the others along.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use historian_proto::v1::TagFailure;
use prost::Message;
use tonic::{Code, Status};

pub use crate::answer::unknown;
use crate::{answer::MESSAGE_BYTES_MAX, status, stream::Emitter};
use historian_model::Tag;
use historian_query::{QueryEngine, QueryError, QueryLimits, TakePart};

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

impl<T: Message> Apart<'_, T> {
    /// Runs a query of one tag for each tag, several at the same time, and emits their batches as messages in the order of the tags. All see
    /// the same moment.
    ///
    /// # Errors
    /// Of any query, but damage of a single tag, which is a message.
    pub fn stream(
        self,
        engine: &QueryEngine,
        limits: &QueryLimits,
        emitter: &Emitter<T>,
        run: impl Fn(&QueryEngine, &Arc<Tag>, Take<'_>) -> Result<(), QueryError> + Sync,
        message: impl Fn(&Tag, &RecordBatch) -> Result<Vec<T>, String>,
    ) -> Result<(), Status> {
        let tags = self.tags;
        let run = |take: TakePart<'_>| engine.tag_by_tag(tags, limits, run, take).map(|()| None);
        self.stream_with(emitter, run, message, None)
    }

    /// As [`Apart::stream`], with what runs all queries; what that answers becomes the last message.
    ///
    /// # Errors
    /// As [`Apart::stream`].
    pub fn stream_with(
        self,
        emitter: &Emitter<T>,
        run: impl FnOnce(TakePart<'_>) -> Result<Option<String>, QueryError>,
        message: impl Fn(&Tag, &RecordBatch) -> Result<Vec<T>, String>,
        last: Option<fn(String) -> T>,
    ) -> Result<(), Status> {
        let Apart { first, missing, failed, .. } = self;
        if !emitter.emit(first) || !missing.into_iter().all(|name| emitter.emit(failed(unknown(name)))) {
            return Ok(());
        }
        let mut broken = None;
        let ended = run(&mut |tag, part| {
            let messages = match part {
                Ok(batch) => short(tag, &batch, &message),
                Err(error) => Ok(vec![failed(damaged(tag, &error))]),
            };
            match messages {
                Ok(messages) => messages.into_iter().all(|message| emitter.emit(message)),
                Err(error) => {
                    broken = Some(status::internal(error));
                    false
                }
            }
        });
        if let Some(error) = broken {
            return Err(error);
        }
        if let (Some(token), Some(last)) = (ended.map_err(|error| status::from_query(&error))?, last) {
            emitter.emit(last(token));
        }
        Ok(())
    }
}

/// The messages of a batch, made of halves of it where they would be longer than a client takes.
fn short<T: Message>(
    tag: &Tag,
    batch: &RecordBatch,
    message: &impl Fn(&Tag, &RecordBatch) -> Result<Vec<T>, String>,
) -> Result<Vec<T>, String> {
    let messages = message(tag, batch)?;
    let rows = batch.num_rows();
    if rows <= 1 || messages.iter().all(|message| message.encoded_len() <= MESSAGE_BYTES_MAX) {
        return Ok(messages);
    }
    let mut halves = short(tag, &batch.slice(0, rows / 2), message)?;
    halves.extend(short(tag, &batch.slice(rows / 2, rows - rows / 2), message)?);
    Ok(halves)
}

/// A row for a tag that cannot be read.
pub fn damaged(tag: &Tag, error: &QueryError) -> TagFailure {
    TagFailure { tag: tag.name().to_string(), code: Code::DataLoss.into(), message: error.to_string() }
}
