//! Pages of a range: where each begins, and the token of the next one.

use std::sync::Arc;

use arrow::{
    array::AsArray,
    datatypes::{Int32Type, Schema, SchemaRef, TimestampNanosecondType},
    record_batch::RecordBatch,
};
use historian_proto::v1::RangeRequest;
use tonic::Status;

use crate::{
    page_token::{PageToken, WrongToken, request_sum},
    status,
};
use historian_model::{Samples, Tag, TimeRange, Timestamp};
use historian_query::{Boundary, Layout, Portion, QueryEngine, QueryError, QueryLimits, RangeQuery, Resume, Slice};

/// Rows of one page at most.
const PAGE_ROWS_MAX: i32 = 1_000_000;
/// Key of the token in the metadata of a schema.
pub const NEXT_PAGE_TOKEN: &str = "next_page_token";

/// A page that is asked for.
#[derive(Clone, Debug)]
pub struct Page {
    rows: usize,
    request: u32,
    /// Bounds of the whole answer.
    range: TimeRange,
    /// WIDE: rows of the pages before.
    before: u64,
}

/// A page of an answer.
pub struct Answered {
    pub batches: Vec<RecordBatch>,
    /// For the next page; `None`: there is none.
    pub next: Option<String>,
}

impl Page {
    /// The page that a request asks for; sets the query to begin where the page does. `None` when the answer is wanted at once.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a size out of bounds, a token that is none or of another request, and what cannot be had in pages.
    pub fn of(request: &RangeRequest, query: &mut RangeQuery) -> Result<Option<Page>, Status> {
        let size = request.page_size;
        if !(0..=PAGE_ROWS_MAX).contains(&size) {
            return Err(status::invalid("page_size", format!("{size} is not within 0 to {PAGE_ROWS_MAX}")));
        }
        if size == 0 {
            let alone = request.page_token.is_empty();
            return if alone { Ok(None) } else { Err(status::invalid("page_token", "comes with a page_size")) };
        }
        if query.layout == Layout::Wide && query.boundary != Boundary::Inside {
            return Err(status::invalid("page_size", "the WIDE layout is answered in pages INSIDE the range only"));
        }
        let bare = RangeRequest { page_size: 0, page_token: String::new(), ..request.clone() };
        let sum = request_sum(&bare);
        if !request.page_token.is_empty() {
            let token = PageToken::read(&request.page_token, sum).map_err(|wrong| {
                let what = match wrong {
                    WrongToken::None => "is none; take the next_page_token of the page before as it is",
                    WrongToken::OfAnotherRequest => "is of another request; all but page_size and page_token must stay as it was",
                };
                status::invalid("page_token", what)
            })?;
            query.range = TimeRange { start: Timestamp(token.start), end: Timestamp(token.end), reverse: token.reverse };
            let page = Page { rows: size as usize, request: sum, range: query.range, before: token.given };
            resume(query, &token);
            return Ok(Some(page));
        }
        Ok(Some(Page { rows: size as usize, request: sum, range: query.range, before: 0 }))
    }

    /// Runs the query as far as the page goes.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn run(&self, engine: &QueryEngine, query: &RangeQuery, limits: &QueryLimits) -> Result<Answered, QueryError> {
        let bounded = RangeQuery { limit: Some(enough(query, self.rows)), ..query.clone() };
        let (batches, more) = take::<RecordBatch>(self.rows, limits, |emit| engine.range(&bounded, limits, emit))?;
        let next = if more { batches.last().and_then(|last| self.token_behind(query, &batches, last)) } else { None };
        Ok(Answered { batches, next: next.map(|token| token.text()) })
    }

    /// Runs the query tag by tag, each in its own type, as far as the page goes; answers the token of the next page. `emit` takes the portions
    /// of a tag, or how it failed for damage, and answers false to stop.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn run_tags(
        &self,
        engine: &QueryEngine,
        query: &RangeQuery,
        limits: &QueryLimits,
        emit: &mut TagPortionSink<'_>,
    ) -> Result<Option<String>, QueryError> {
        limits.moment.want(&query.tags);
        let begin = query.resume.unwrap_or(Resume { tag: 0, after: None });
        let mut left = self.rows;
        for (index, tag) in query.tags.iter().enumerate().skip(begin.tag) {
            if left == 0 {
                return Ok(Some(self.token(tag, None).text()));
            }
            let after = begin.after.filter(|_| index == begin.tag);
            let mut one = query.of_tag(tag, after);
            one.limit = Some(enough(&one, left));
            let (portions, more) = match take::<Slice<Samples>>(left, limits, |emit| engine.samples(&one, limits, emit)) {
                Ok(taken) => taken,
                Err(error @ QueryError::DataLoss { .. }) => {
                    if !emit(tag, Err(error)) {
                        return Ok(None);
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            let rows: usize = portions.iter().map(Portion::rows).sum();
            let last = portions.last().and_then(|last| last.all().timestamps.get(last.range().end.checked_sub(1)?)).copied();
            left -= rows;
            if !portions.into_iter().all(|portion| emit(tag, Ok(portion))) {
                return Ok(None);
            }
            if let Some(last) = last.filter(|_| more) {
                let before = after.map_or(0, |(_, given)| given);
                return Ok(Some(self.token(tag, Some((last, before + rows as u64))).text()));
            }
        }
        Ok(None)
    }

    /// The token behind the last row of a page.
    fn token_behind(&self, query: &RangeQuery, batches: &[RecordBatch], last: &RecordBatch) -> Option<PageToken> {
        let row = last.num_rows().checked_sub(1)?;
        if query.layout == Layout::Wide {
            let after = last.column(0).as_primitive::<TimestampNanosecondType>().value(row);
            let given = self.before + batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
            return Some(PageToken { after: Some(after), given, ..self.token_of("") });
        }
        let key = last.column(0).as_dictionary::<Int32Type>().keys().value(row);
        let tag = query.tags.get(usize::try_from(key).ok()?)?;
        let keys =
            |batch: &RecordBatch| batch.column(0).as_dictionary::<Int32Type>().keys().values().iter().filter(|at| **at == key).count();
        let before = query.resume.filter(|resume| resume.tag == key as usize).and_then(|resume| resume.after).map_or(0, |(_, given)| given);
        let given = before + batches.iter().map(keys).sum::<usize>() as u64;
        let after = last.column(1).as_primitive::<TimestampNanosecondType>().value(row);
        Some(self.token(tag, Some((after, given))))
    }

    fn token(&self, tag: &Arc<Tag>, after: Option<(i64, u64)>) -> PageToken {
        let given = after.map_or(0, |(_, given)| given);
        PageToken { after: after.map(|(after, _)| after), given, ..self.token_of(tag.name().as_str()) }
    }

    fn token_of(&self, tag: &str) -> PageToken {
        let TimeRange { start, end, reverse } = self.range;
        PageToken { request: self.request, start: start.0, end: end.0, reverse, tag: tag.to_owned(), after: None, given: 0 }
    }
}

/// Takes a portion of a tag, or how the tag failed; answers false to stop.
type TagPortionSink<'a> = dyn FnMut(&Tag, Result<Slice<Samples>, QueryError>) -> bool + 'a;

/// Rows of each tag, or of a wide answer, that have to be read for so many of a page: none further than the page goes. One more tells whether
/// there is more.
fn enough(query: &RangeQuery, rows: usize) -> u64 {
    let given = query.resume.and_then(|resume| resume.after).map_or(0, |(_, given)| given);
    let enough = given.saturating_add(rows as u64 + 1);
    query.limit.map_or(enough, |limit| limit.min(enough))
}

/// At most so many rows of what `run` gives, and whether it gave more.
fn take<P: Portion>(
    rows: usize,
    limits: &QueryLimits,
    run: impl FnOnce(&mut dyn FnMut(P) -> bool) -> Result<(), QueryError>,
) -> Result<(Vec<P>, bool), QueryError> {
    let mut portions = Vec::new();
    let (mut held, mut more, mut taken) = (0, false, Vec::new());
    let mut full = Ok(());
    run(&mut |portion: P| {
        let room = rows - held;
        more = portion.rows() > room;
        let portion = portion.slice(0, portion.rows().min(room));
        held += portion.rows();
        if portion.rows() > 0 {
            full = limits.memory.take(portion.bytes() as u64).map(|part| taken.push(part));
            portions.push(portion);
        }
        !more && full.is_ok()
    })?;
    full?;
    Ok((portions, more))
}

/// Sets a query to begin where a token says.
fn resume(query: &mut RangeQuery, token: &PageToken) {
    if query.layout == Layout::Wide {
        if let Some(after) = token.after {
            let next = Timestamp(if token.reverse { after } else { after.saturating_add(query.step.unwrap_or(1)) });
            let range = &mut query.range;
            let next = next.clamp(range.start, range.end);
            if token.reverse { range.end = next } else { range.start = next }
        }
        query.limit = query.limit.map(|limit| limit.saturating_sub(token.given));
        return;
    }
    // A tag that is gone was the first of what is left; the one behind it is answered whole.
    let tag = query.tags.partition_point(|tag| tag.name().as_str() < token.tag.as_str());
    let same = query.tags.get(tag).is_some_and(|found| found.name().as_str() == token.tag);
    query.resume = Some(Resume { tag, after: token.after.filter(|_| same).map(|after| (after, token.given)) });
}

/// The schema with the token of the next page.
pub fn with_token(schema: &SchemaRef, next: Option<String>) -> SchemaRef {
    let mut metadata = schema.metadata().clone();
    metadata.extend(next.map(|token| (NEXT_PAGE_TOKEN.to_owned(), token)));
    Arc::new(Schema::new(schema.fields().clone()).with_metadata(metadata))
}
