//! Answers of gRPC over several tags, tag by tag: every tag keeps its own value type, and one that cannot be served does not take the others
//! along.

use std::sync::Arc;

use historian_proto::v1::TagFailure;
use prost::Message;
use tonic::Status;

use super::{
    asker::Asker,
    contract::{QueryKind, UnknownNames},
};
use crate::{
    answer::{MESSAGE_BYTES_MAX, damaged, unknown},
    status,
    stream::Emitter,
};
use historian_model::Tag;
use historian_query::{Portion, QueryEngine, QueryError, QueryLimits, TakePart};

/// A kind whose method of gRPC answers so: its answer as proto.
pub trait TagByTag: QueryKind {
    /// Some rows of the answer for one tag, as the engine gives them.
    type Portion: Portion;
    type Message: Message + 'static;

    /// As [`QueryKind::resolve`], for this form of the answer.
    ///
    /// # Errors
    /// As there.
    fn resolve_for_tags(asker: &Asker<'_>, request: Self::Request) -> Result<(Self, UnknownNames), Status> {
        Self::resolve(asker, request)
    }

    fn tags(&self) -> &[Arc<Tag>];

    /// The first message, with the bounds as resolved.
    fn first(&self) -> Self::Message;

    fn failed(failure: TagFailure) -> Self::Message;

    /// Runs the query of one of its tags.
    ///
    /// # Errors
    /// See [`QueryError`]; portions handed out before stand.
    fn run(
        &self,
        engine: &QueryEngine,
        tag: &Arc<Tag>,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(Self::Portion) -> bool,
    ) -> Result<(), QueryError>;

    /// A portion of a tag as messages.
    ///
    /// # Errors
    /// Names what is not as documented, which is a bug of ours.
    fn messages(&self, tag: &Tag, portion: &Self::Portion) -> Result<Vec<Self::Message>, String>;

    /// Runs the query of each tag, and answers what becomes the last message.
    ///
    /// # Errors
    /// Of any query, but damage of a single tag, which is a part.
    fn run_all(
        &self,
        engine: &QueryEngine,
        limits: &QueryLimits,
        take: TakePart<'_, Self::Portion>,
    ) -> Result<Option<Self::Message>, QueryError> {
        self.run_each(engine, limits, take)
    }

    /// Runs the query of each tag, several at the same time, and hands on their portions in the order of the tags. All see the same moment.
    ///
    /// # Errors
    /// As [`TagByTag::run_all`].
    fn run_each(
        &self,
        engine: &QueryEngine,
        limits: &QueryLimits,
        take: TakePart<'_, Self::Portion>,
    ) -> Result<Option<Self::Message>, QueryError> {
        engine.tag_by_tag(self.tags(), limits, |engine, tag, emit| self.run(engine, tag, limits, emit), take).map(|()| None)
    }
}

/// Emits the answer of a query as messages: the first one, failures of exact names that no tag has, and those of the tags. Blocks.
///
/// # Errors
/// Of any query, but damage of a single tag, which is a message.
pub fn answer<K: TagByTag>(
    query: &K,
    missing: UnknownNames,
    engine: &QueryEngine,
    limits: &QueryLimits,
    emitter: &Emitter<K::Message>,
) -> Result<(), Status> {
    if !emitter.emit(query.first()) || !missing.into_iter().all(|name| emitter.emit(K::failed(unknown(name)))) {
        return Ok(());
    }
    let mut broken = None;
    let ended = query.run_all(engine, limits, &mut |tag, part| {
        let messages = match part {
            Ok(portion) => {
                emitter.count_rows(portion.rows());
                short(query, tag, &portion)
            }
            Err(error) => Ok(vec![K::failed(damaged(tag, &error))]),
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
    if let Some(last) = ended.map_err(|error| status::from_query(&error))? {
        emitter.emit(last);
    }
    Ok(())
}

/// The messages of a portion, made of halves of it where they would be longer than a client takes.
fn short<K: TagByTag>(query: &K, tag: &Tag, portion: &K::Portion) -> Result<Vec<K::Message>, String> {
    let messages = query.messages(tag, portion)?;
    let rows = portion.rows();
    if rows <= 1 || messages.iter().all(|message| message.encoded_len() <= MESSAGE_BYTES_MAX) {
        return Ok(messages);
    }
    let mut halves = short(query, tag, &portion.slice(0, rows / 2))?;
    halves.extend(short(query, tag, &portion.slice(rows / 2, rows - rows / 2))?);
    Ok(halves)
}
