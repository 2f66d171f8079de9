//! `range`: samples of tags in a range of time, whole or a page at a time.

use std::sync::Arc;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use historian_proto::v1::{self, TagFailure, range_request};
use tonic::Status;

use super::{
    asker::Asker,
    contract::{Door, Emit, Endpoints, QueryKind, Resolved, UnknownNames, boxed},
    page::{self, Page},
    tag_by_tag::TagByTag,
};
use crate::{
    Services, convert, request,
    resolve::{Bounds, SelectedTags, bounds_as_asked, duration},
    sample, status,
    ticket::TicketMaker,
};
use historian_model::{Samples, Tag, TimeRange, Timestamp, ValueType};
use historian_query::{Boundary, Fill, Layout, QualityFilter, QueryEngine, QueryError, QueryLimits, RangeQuery, Slice, TakePart};

/// A resolved range.
pub struct RangeKind {
    query: RangeQuery,
    /// Names and globs that select its tags.
    patterns: Vec<String>,
    /// The page that is asked for, with the request as it came: tokens are bound to it.
    page: Option<Box<(Page, v1::RangeRequest)>>,
}

impl QueryKind for RangeKind {
    const NAME: &'static str = "range";
    const METHOD: &'static str = "Range";
    const DOOR: Door = Door::Get;
    const SQL: Option<&'static str> = Some("range");
    type Request = v1::RangeRequest;

    fn resolve(asker: &Asker<'_>, request: v1::RangeRequest) -> Result<(RangeKind, UnknownNames), Status> {
        let (query, missing) = query(asker, &request)?;
        Ok((RangeKind::of(query, request)?, missing))
    }

    fn plan(asker: &Asker<'_>, request: v1::RangeRequest) -> Result<(Box<dyn Resolved>, UnknownNames), Status> {
        RangeKind::resolve(asker, request).map(boxed)
    }
}

impl RangeKind {
    fn of(mut query: RangeQuery, request: v1::RangeRequest) -> Result<RangeKind, Status> {
        Ok(match Page::of(&request, &mut query)? {
            Some(page) => RangeKind { query, patterns: Vec::new(), page: Some(Box::new((page, request))) },
            None => RangeKind { query, patterns: request.tags, page: None },
        })
    }

    /// The whole history of some tags, which the patterns select.
    pub fn everything(tags: Vec<Arc<Tag>>, patterns: Vec<String>) -> RangeKind {
        RangeKind { query: RangeQuery::new(tags, TimeRange::ALL), patterns, page: None }
    }

    /// A ticket that names the tags.
    pub fn ticket(&self) -> Vec<u8> {
        let names = self.query.tags.iter().map(|tag| tag.name().to_string()).collect();
        request::any(&to_request(names, &self.query))
    }
}

impl Resolved for RangeKind {
    fn schema(&self, engine: &QueryEngine) -> Result<SchemaRef, Status> {
        engine.range_schema(&self.query).map_err(|error| status::from_query(&error))
    }

    fn endpoints(&self, services: &Services, limits: &QueryLimits) -> Result<Endpoints, Status> {
        let query = &self.query;
        if let Some((_, request)) = self.page.as_deref() {
            return Ok(Endpoints::whole(Some(query.range), request::any(request)));
        }
        let (rows, bytes) = services.query.estimate(&query.tags, query.range, limits).map_err(|error| status::from_query(&error))?;
        // An upper bound of what is stored; boundary samples come on top, limits cut it.
        let exact_upper = query.boundary == Boundary::Inside && query.layout == Layout::Long;
        Ok(Endpoints {
            range: Some(query.range),
            rows: exact_upper.then_some(rows),
            bytes: Some(bytes),
            tickets: tickets(services, query, &self.patterns, rows, limits)?,
        })
    }

    fn begin(&self, engine: &QueryEngine, limits: &QueryLimits) -> Result<(SchemaRef, Vec<RecordBatch>), Status> {
        let schema = self.schema(engine)?;
        let Some((page, _)) = self.page.as_deref() else { return Ok((schema, Vec::new())) };
        // A page is there before its schema, which tells of the next one.
        let answered = page.run(engine, &self.query, limits).map_err(|error| status::from_query(&error))?;
        Ok((page::with_token(&schema, answered.next), answered.batches))
    }

    fn batches(&self, engine: &QueryEngine, limits: &QueryLimits, emit: Emit<'_>) -> Result<(), QueryError> {
        if self.page.is_some() { Ok(()) } else { engine.range(&self.query, limits, emit) }
    }
}

impl TagByTag for RangeKind {
    type Portion = Slice<Samples>;
    type Message = v1::RangeResponse;

    fn resolve_for_tags(asker: &Asker<'_>, request: v1::RangeRequest) -> Result<(RangeKind, UnknownNames), Status> {
        let (query, missing) = query(asker, &request)?;
        if query.layout == Layout::Wide {
            return Err(status::invalid("layout", "WIDE is a form of Arrow Flight; gRPC answers LONG, tag after tag"));
        }
        // What is missing is told once.
        let missing = if request.page_token.is_empty() { missing } else { Vec::new() };
        Ok((RangeKind::of(query, request)?, missing))
    }

    fn tags(&self) -> &[Arc<Tag>] {
        &self.query.tags
    }

    fn first(&self) -> v1::RangeResponse {
        let (start, end) = bounds_as_asked(self.query.range);
        v1::RangeResponse { start: start.0, end: end.0, ..v1::RangeResponse::default() }
    }

    fn failed(failure: TagFailure) -> v1::RangeResponse {
        v1::RangeResponse { failure: Some(failure), ..v1::RangeResponse::default() }
    }

    fn run(
        &self,
        engine: &QueryEngine,
        tag: &Arc<Tag>,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(Slice<Samples>) -> bool,
    ) -> Result<(), QueryError> {
        engine.samples(&self.query.of_tag(tag, None), limits, emit)
    }

    fn messages(&self, tag: &Tag, portion: &Slice<Samples>) -> Result<Vec<v1::RangeResponse>, String> {
        let samples = sample::of_rows(tag.name().as_str(), portion.all(), portion.range());
        Ok(vec![v1::RangeResponse { samples: Some(samples), ..v1::RangeResponse::default() }])
    }

    fn run_all(
        &self,
        engine: &QueryEngine,
        limits: &QueryLimits,
        take: TakePart<'_, Slice<Samples>>,
    ) -> Result<Option<v1::RangeResponse>, QueryError> {
        let Some((page, _)) = self.page.as_deref() else { return self.run_each(engine, limits, take) };
        let next = page.run_tags(engine, &self.query, limits, take)?;
        Ok(next.map(|next| v1::RangeResponse { next_page_token: next, ..v1::RangeResponse::default() }))
    }
}

/// The query of a request, whole.
fn query(asker: &Asker<'_>, request: &v1::RangeRequest) -> Result<(RangeQuery, UnknownNames), Status> {
    let range = Bounds::new(&request.start, &request.end, &request.zone).resolve(asker.now)?;
    let boundary = match request.boundary.try_into() {
        Ok(range_request::Boundary::Unspecified | range_request::Boundary::Inside) => Boundary::Inside,
        Ok(range_request::Boundary::Outside) => Boundary::Outside,
        Ok(range_request::Boundary::Interpolated) => Boundary::Interpolated,
        Err(_) => return Err(status::invalid("boundary", format!("{} is none of INSIDE, OUTSIDE, INTERPOLATED", request.boundary))),
    };
    let layout = match request.layout.try_into() {
        Ok(range_request::Layout::Unspecified | range_request::Layout::Long) => Layout::Long,
        Ok(range_request::Layout::Wide) => Layout::Wide,
        Err(_) => return Err(status::invalid("layout", format!("{} is none of LONG, WIDE", request.layout))),
    };
    let limit =
        u64::try_from(request.limit).map_err(|_| status::invalid("limit", format!("{} is negative; 0 means no limit", request.limit)))?;
    let quality = quality(request.quality)?;
    let fill = match request.fill.try_into() {
        Ok(range_request::Fill::Unspecified | range_request::Fill::None) => Fill::None,
        Ok(range_request::Fill::AsOf) => Fill::AsOf,
        Ok(range_request::Fill::Linear) => Fill::Linear,
        Err(_) => return Err(status::invalid("fill", format!("{} is none of NONE, AS_OF, LINEAR", request.fill))),
    };
    let step = duration("step", &request.step)?;
    if fill != Fill::None && (layout != Layout::Wide || range.reverse || boundary != Boundary::Inside) {
        return Err(status::invalid("fill", "is for the WIDE layout, forwards and INSIDE the range"));
    }
    if step > 0 && fill == Fill::None {
        return Err(status::invalid("step", "needs a fill, AS_OF or LINEAR"));
    }
    if layout != Layout::Long && (request.types || !request.among.is_empty()) {
        return Err(status::invalid(
            if request.types { "types" } else { "among" },
            "is for the LONG layout; in WIDE each tag has its own type",
        ));
    }
    let SelectedTags { tags, missing } = asker.tags(&request.tags)?;
    let limit = (limit > 0).then_some(limit);
    let step = (step > 0).then_some(step);
    let (types, among) = (request.types, among(&request.among)?);
    Ok((RangeQuery { tags, range, boundary, limit, layout, quality, fill, step, resume: None, types, among }, missing))
}

/// The value types that count as selected.
fn among(asked: &[i32]) -> Result<Vec<ValueType>, Status> {
    let refused = |number: i32| status::invalid("among", format!("{number} is no value type such as F64 or STRING"));
    let known = |number: &i32| convert::type_from_wire(*number).ok_or_else(|| refused(*number));
    let mut types = asked.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    types.sort_unstable_by_key(|value_type| *value_type as u8);
    types.dedup();
    Ok(types)
}

/// A filter by quality as a request has it.
fn quality(asked: i32) -> Result<QualityFilter, Status> {
    match asked.try_into() {
        Ok(v1::QualityFilter::Unspecified | v1::QualityFilter::Any) => Ok(QualityFilter::Any),
        Ok(v1::QualityFilter::NotBad) => Ok(QualityFilter::NotBad),
        Ok(v1::QualityFilter::Good) => Ok(QualityFilter::Good),
        Err(_) => Err(status::invalid("quality", format!("{asked} is none of ANY, NOT_BAD, GOOD"))),
    }
}

/// The resolved query as a request of its own, of absolute times, for names and globs.
fn to_request(tags: Vec<String>, query: &RangeQuery) -> v1::RangeRequest {
    let (start, end) = bounds_as_asked(query.range);
    v1::RangeRequest {
        tags,
        start: start.to_string(),
        end: end.to_string(),
        boundary: match query.boundary {
            Boundary::Inside => range_request::Boundary::Inside,
            Boundary::Outside => range_request::Boundary::Outside,
            Boundary::Interpolated => range_request::Boundary::Interpolated,
        }
        .into(),
        limit: query.limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(0),
        layout: match query.layout {
            Layout::Long => range_request::Layout::Long,
            Layout::Wide => range_request::Layout::Wide,
        }
        .into(),
        quality: match query.quality {
            QualityFilter::Any => v1::QualityFilter::Any,
            QualityFilter::NotBad => v1::QualityFilter::NotBad,
            QualityFilter::Good => v1::QualityFilter::Good,
        }
        .into(),
        fill: match query.fill {
            Fill::None => range_request::Fill::None,
            Fill::AsOf => range_request::Fill::AsOf,
            Fill::Linear => range_request::Fill::Linear,
        }
        .into(),
        step: query.step.map(|step| step.to_string()).unwrap_or_default(),
        types: query.types,
        among: query.among.iter().map(|value_type| convert::type_to_wire(*value_type).into()).collect(),
        ..v1::RangeRequest::default()
    }
}

/// Rows below which another endpoint costs more than it gains.
const ENDPOINT_ROWS_MIN: u64 = 262_144;
/// Tags for which sizes are asked one by one; beyond, groups get equal numbers of tags.
const ESTIMATED_TAGS_MAX: usize = 4096;

/// One ticket per group of neighbouring tags of about equal size. In the order of the tickets the answers join to the answer of the whole.
fn tickets(services: &Services, query: &RangeQuery, patterns: &[String], rows: u64, limits: &QueryLimits) -> Result<Vec<Vec<u8>>, Status> {
    let tickets = TicketMaker::new(patterns, &query.tags);
    let ticket = |tags: &[Arc<Tag>], query: &RangeQuery| tickets.ticket(tags, |names| to_request(names, query));
    let by_size = usize::try_from(rows / ENDPOINT_ROWS_MIN).unwrap_or(usize::MAX).clamp(1, services.limits.endpoints_max.max(1));
    // The wide form has one column per tag, so its parts do not join.
    if by_size <= 1 || query.layout == Layout::Wide {
        return Ok(vec![ticket(&query.tags, query)]);
    }
    let mut sizes = vec![1_u64; query.tags.len()];
    if sizes.len() <= ESTIMATED_TAGS_MAX {
        for (size, tag) in sizes.iter_mut().zip(&query.tags) {
            let estimated = services.query.estimate(std::slice::from_ref(tag), query.range, limits);
            *size = 1 + estimated.map_err(|error| status::from_query(&error))?.0;
        }
    }
    let mut made = Vec::with_capacity(by_size);
    // All endpoints of an info share its schema, also those of tags whose own types would need fewer columns.
    let query = &RangeQuery { among: query.types_apart(), ..query.clone() };
    let aim = sizes.iter().sum::<u64>().div_ceil(by_size as u64).max(ENDPOINT_ROWS_MIN);
    for part in balanced(&sizes, by_size.min(query.tags.len()).max(1)) {
        let at = part.start;
        let tags = &query.tags[part];
        // A tag that is as large as several groups is split by time as well. Its parts in order are the whole, but for values at the edges.
        let parts = match tags {
            [tag] if query.boundary == Boundary::Inside && query.limit.is_none() && !query.range.reverse => {
                let parts = sizes[at] / aim;
                if parts > 1 {
                    services.query.cuts(tag, query.range, parts).map_err(|error| status::from_query(&error))?
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        };
        let mut start = query.range.start;
        for end in parts.into_iter().map(Timestamp).chain([query.range.end]) {
            made.push(ticket(tags, &RangeQuery { range: TimeRange { start, end, ..query.range }, ..query.clone() }));
            start = end;
        }
    }
    Ok(made)
}

/// Cuts neighbours into groups of about equal total size.
fn balanced(sizes: &[u64], groups: usize) -> Vec<std::ops::Range<usize>> {
    let aim = sizes.iter().sum::<u64>().div_ceil(groups as u64).max(1);
    let mut parts = Vec::with_capacity(groups);
    let (mut from, mut size) = (0, 0);
    for (index, &next) in sizes.iter().enumerate() {
        if index > from && (size >= aim || size + next / 2 > aim) {
            parts.push(from..index);
            (from, size) = (index, 0);
        }
        size += next;
    }
    if from < sizes.len() {
        parts.push(from..sizes.len());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolved_bounds_mean_the_same_when_they_are_asked_again() {
        for (start, end) in [(i64::MIN, i64::MAX), (0, 1), (-7, 1_000_000_000), (5, 3)] {
            let query = RangeQuery::new(Vec::new(), TimeRange::new(Timestamp(start), Timestamp(end)));
            let again = to_request(Vec::new(), &query);
            let again = Bounds::new(&again.start, &again.end, &again.zone).resolve(Timestamp(0)).unwrap();
            assert_eq!(again, query.range);
        }
    }

    #[test]
    fn groups_are_balanced_and_cover_every_tag_once() {
        for (sizes, groups) in [(vec![1; 100], 7), (vec![1000, 1, 1, 1, 1000, 500, 500], 3), (vec![5], 4), ((1..200).collect(), 16)] {
            let parts = balanced(&sizes, groups);
            assert_eq!(parts.iter().cloned().flatten().collect::<Vec<_>>(), (0..sizes.len()).collect::<Vec<_>>());
            assert!(parts.len() <= groups + 2, "{parts:?}");
            let largest = parts.iter().map(|part| sizes[part.clone()].iter().sum::<u64>()).max().unwrap();
            let aim = sizes.iter().sum::<u64>().div_ceil(groups as u64).max(*sizes.iter().max().unwrap());
            assert!(largest <= aim * 2, "{sizes:?}: {parts:?}");
        }
    }
}
