//! `current`: the latest sample by source time of each tag. Over Flight all in one answer; over gRPC too, where a client takes that, else a
//! page at a time.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use historian_proto::v1::{CurrentValuesRequest, CurrentValuesResponse, TagFailure, TagSamples};
use tonic::Status;

use super::{
    asker::Asker,
    contract::{Door, Emit, Endpoints, QueryKind, Resolved, UnknownNames, boxed},
};
use crate::{
    Services,
    answer::{self, unknown},
    page_token::{self, request_sum},
    request,
    resolve::SelectedTags,
    sample, status,
};
use historian_model::Tag;
use historian_query::{QueryEngine, QueryError, QueryLimits};

/// Tags of one page at most.
const PAGE_MAX: i32 = 100_000;
const INSTEAD: &str = "name fewer tags, ask in pages (page_size, then page_token), or use the command `current` of Arrow Flight";

/// A resolved query of current values.
pub struct CurrentKind {
    tags: Vec<Arc<Tag>>,
    /// As it came: the ticket of its answer.
    request: CurrentValuesRequest,
}

impl QueryKind for CurrentKind {
    const NAME: &'static str = "current";
    const METHOD: &'static str = "CurrentValues";
    const DOOR: Door = Door::Get;
    const SQL: Option<&'static str> = Some("current");
    type Request = CurrentValuesRequest;

    fn resolve(asker: &Asker<'_>, request: CurrentValuesRequest) -> Result<(CurrentKind, UnknownNames), Status> {
        if request.page_size != 0 || !request.page_token.is_empty() {
            return Err(status::invalid("page_size", "is of gRPC; Flight streams all current values"));
        }
        let SelectedTags { tags, missing } = asker.tags(&request.tags)?;
        Ok((CurrentKind { tags, request }, missing))
    }

    fn plan(asker: &Asker<'_>, request: CurrentValuesRequest) -> Result<(Box<dyn Resolved>, UnknownNames), Status> {
        CurrentKind::resolve(asker, request).map(boxed)
    }
}

impl Resolved for CurrentKind {
    fn schema(&self, engine: &QueryEngine) -> Result<SchemaRef, Status> {
        Ok(engine.current_schema(&self.tags, self.request.types))
    }

    fn endpoints(&self, _services: &Services, _limits: &QueryLimits) -> Result<Endpoints, Status> {
        Ok(Endpoints { rows: Some(self.tags.len() as u64), ..Endpoints::whole(None, request::any(&self.request)) })
    }

    fn batches(&self, engine: &QueryEngine, limits: &QueryLimits, emit: Emit<'_>) -> Result<(), QueryError> {
        engine.current(&self.tags, self.request.types, limits).map(|batch| _ = emit(batch))
    }
}

/// A page of current values, resolved: what gRPC answers.
pub struct PageOfCurrent {
    /// Those of the page and, where [`PageOfCurrent::more`] is false, no others are left.
    tags: Vec<Arc<Tag>>,
    more: bool,
    failures: Vec<TagFailure>,
    request: CurrentValuesRequest,
}

impl PageOfCurrent {
    /// Resolves a request; a page size of 0 is all at once. Blocks on the catalog.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for patterns, size or token.
    pub fn resolve(asker: &Asker<'_>, request: CurrentValuesRequest) -> Result<PageOfCurrent, Status> {
        let size = request.page_size;
        if !(0..=PAGE_MAX).contains(&size) {
            return Err(status::invalid("page_size", format!("{size} is not within 0 (all at once) to {PAGE_MAX}")));
        }
        if size == 0 && !request.page_token.is_empty() {
            return Err(status::invalid("page_token", "comes with a page_size"));
        }
        let after = match request.page_token.as_str() {
            "" => None,
            token => page_token::start_of_list(sum(&request), token)?,
        };
        let SelectedTags { mut tags, missing } = asker.tags(&request.tags)?;
        // What is missing is told once.
        let failures = if after.is_none() { answer::failures(missing.into_iter().map(unknown).collect(), 0) } else { Vec::new() };
        if let Some(after) = after {
            tags.drain(..tags.partition_point(|tag| tag.name().as_str() <= after.as_str()));
        }
        let more = size > 0 && tags.len() > size as usize;
        if more {
            tags.truncate(size as usize);
        }
        Ok(PageOfCurrent { tags, more, failures, request })
    }

    /// The answer in one message. Blocks on the store.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` where all values together are more than a client takes.
    pub fn answer(self, engine: &QueryEngine, limits: &QueryLimits) -> Result<CurrentValuesResponse, Status> {
        let PageOfCurrent { tags, mut more, failures, request } = self;
        let found = engine.current_samples(&tags, limits).map_err(|error| status::from_query(&error))?;
        let mut samples: Vec<TagSamples> = found.iter().map(|(tag, run)| sample::of_columns(tag.name().as_str(), run)).collect();
        samples.sort_by(|a, b| a.tag.cmp(&b.tag));
        if request.page_size == 0 {
            return answer::whole(CurrentValuesResponse { samples, failures, next_page_token: String::new() }, INSTEAD);
        }
        let mut last = tags.last().map(|tag| tag.name().to_string());
        // Failures and values share the page; the first value is always on it.
        let told: usize = failures.iter().map(answer::bytes_within).sum();
        let first = samples.first().map_or(0, answer::bytes_within);
        let fitting = answer::fitting([told + first].into_iter().chain(samples.iter().skip(1).map(answer::bytes_within)));
        if fitting < samples.len() {
            samples.truncate(fitting);
            last = samples.last().map(|samples| samples.tag.clone());
            more = true;
        }
        let next_page_token = last.filter(|_| more).map_or_else(String::new, |last| page_token::behind_tag(sum(&request), &last));
        Ok(CurrentValuesResponse { samples, failures, next_page_token })
    }
}

/// What a token knows the request by: its tags.
fn sum(request: &CurrentValuesRequest) -> u32 {
    request_sum(&CurrentValuesRequest { tags: request.tags.clone(), ..CurrentValuesRequest::default() })
}
