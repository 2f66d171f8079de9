//! `superseded`: versions of samples that no longer count.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use historian_proto::v1::{self, TagFailure};
use tonic::Status;

use super::{
    asker::Asker,
    contract::{Door, Emit, Endpoints, QueryKind, Resolved, UnknownNames, boxed},
    tag_by_tag::TagByTag,
};
use crate::{
    Services,
    resolve::{Bounds, SelectedTags},
    sample, status,
    ticket::TicketMaker,
};
use historian_model::Tag;
use historian_query::{QueryEngine, QueryError, QueryLimits, Slice, SupersededQuery, SupersededRows};

/// A resolved query for superseded versions.
pub struct SupersededKind {
    query: SupersededQuery,
    /// Names and globs that select its tags.
    patterns: Vec<String>,
}

impl QueryKind for SupersededKind {
    const NAME: &'static str = "superseded";
    const METHOD: &'static str = "Superseded";
    const DOOR: Door = Door::Get;
    const SQL: Option<&'static str> = None;
    type Request = v1::SupersededRequest;

    fn resolve(asker: &Asker<'_>, request: v1::SupersededRequest) -> Result<(SupersededKind, UnknownNames), Status> {
        let (query, missing) = query(asker, &request)?;
        Ok((SupersededKind { query, patterns: request.tags }, missing))
    }

    fn plan(asker: &Asker<'_>, request: v1::SupersededRequest) -> Result<(Box<dyn Resolved>, UnknownNames), Status> {
        SupersededKind::resolve(asker, request).map(boxed)
    }
}

impl Resolved for SupersededKind {
    fn schema(&self, engine: &QueryEngine) -> Result<SchemaRef, Status> {
        Ok(engine.superseded_schema(&self.query))
    }

    fn endpoints(&self, _services: &Services, _limits: &QueryLimits) -> Result<Endpoints, Status> {
        let ticket = TicketMaker::new(&self.patterns, &self.query.tags).ticket(&self.query.tags, |tags| to_request(tags, &self.query));
        Ok(Endpoints::whole(Some(self.query.range), ticket))
    }

    fn batches(&self, engine: &QueryEngine, limits: &QueryLimits, emit: Emit<'_>) -> Result<(), QueryError> {
        engine.superseded(&self.query, limits, emit)
    }
}

impl TagByTag for SupersededKind {
    type Portion = Slice<SupersededRows>;
    type Message = v1::SupersededResponse;

    fn tags(&self) -> &[Arc<Tag>] {
        &self.query.tags
    }

    fn first(&self) -> v1::SupersededResponse {
        let (start, end) = (self.query.range.start, self.query.range.end);
        v1::SupersededResponse { start: start.0, end: end.0, ..v1::SupersededResponse::default() }
    }

    fn failed(failure: TagFailure) -> v1::SupersededResponse {
        v1::SupersededResponse { failure: Some(failure), ..v1::SupersededResponse::default() }
    }

    fn run(
        &self,
        engine: &QueryEngine,
        tag: &Arc<Tag>,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(Slice<SupersededRows>) -> bool,
    ) -> Result<(), QueryError> {
        engine.superseded_rows(&self.query.of_tag(tag), limits, emit)
    }

    fn messages(&self, tag: &Tag, portion: &Slice<SupersededRows>) -> Result<Vec<v1::SupersededResponse>, String> {
        let Some((_, samples)) = portion.all().tags.first() else { return Ok(Vec::new()) };
        let samples = sample::of_rows(tag.name().as_str(), samples, portion.range());
        let replaced_by = portion.all().replaced_by[portion.range()].to_vec();
        Ok(vec![v1::SupersededResponse { samples: Some(samples), replaced_by, ..v1::SupersededResponse::default() }])
    }
}

/// The query of a request.
fn query(asker: &Asker<'_>, request: &v1::SupersededRequest) -> Result<(SupersededQuery, UnknownNames), Status> {
    let v1::SupersededRequest { tags: patterns, start, end, zone, limit } = request;
    let range = Bounds::new(start, end, zone).resolve(asker.now)?;
    if range.reverse {
        return Err(status::invalid("end", format!("{} lies before the start; versions are told in the order of time", range.start)));
    }
    let limit = u64::try_from(*limit).map_err(|_| status::invalid("limit", format!("{limit} is negative; 0 means no limit")))?;
    let SelectedTags { tags, missing } = asker.tags(patterns)?;
    Ok((SupersededQuery { tags, range, limit: (limit > 0).then_some(limit) }, missing))
}

/// The resolved query as a request of its own, of absolute times, for names and globs.
fn to_request(tags: Vec<String>, query: &SupersededQuery) -> v1::SupersededRequest {
    v1::SupersededRequest {
        tags,
        start: query.range.start.to_string(),
        end: query.range.end.to_string(),
        zone: String::new(),
        limit: query.limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(0),
    }
}
