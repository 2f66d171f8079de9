//! What a descriptor stands for: schema, estimates, and endpoints split by tag and time so that clients export in parallel.

use std::sync::Arc;

use arrow::{
    datatypes::{Schema, SchemaRef},
    ipc::writer::IpcWriteOptions,
};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, SchemaAsIpc, Ticket};
use historian_proto::v1;
use tonic::Status;

use super::ticket::{Part, Tickets};
use crate::{Services, command::Command, measure, page::Page, resolve, status};
use historian_model::{Tag, TimeRange, Timestamp};
use historian_operators::anomaly::Output;
use historian_query::{AggregateQuery, AnomalyQuery, Boundary, DownsampleQuery, Layout, MeasureQuery, RangeQuery, SupersededQuery};

/// A query of Flight, resolved against catalog and clock.
pub enum Query {
    /// With the names and globs that select its tags.
    Range(RangeQuery, Vec<String>),
    /// A page of a range, with the request as it came: tokens are bound to it.
    Page(RangeQuery, Page, Box<v1::RangeRequest>),
    Current {
        tags: Vec<Arc<Tag>>,
        /// As it came: the ticket of its answer.
        request: v1::CurrentValuesRequest,
    },
    Superseded(SupersededQuery, Vec<String>),
    /// With the request it came of, but exact: the ticket of its answer.
    Aggregate(AggregateQuery, Box<v1::AggregateRequest>),
    Downsample(DownsampleQuery, Box<v1::DownsampleRequest>),
    Anomalies(AnomalyQuery, Box<v1::AnomaliesRequest>),
    Measure(MeasureQuery, Box<v1::MeasureRequest>),
}

/// Resolves a command, or the part of it that a ticket is about. Blocks on the catalog.
///
/// # Errors
/// `NOT_FOUND` for exact names that no tag has: unlike a glob, they are a mistake of the asker.
pub fn resolve(services: &Services, command: Command, part: Option<&Part>) -> Result<Query, Status> {
    let meant = |tag: &Arc<Tag>| part.is_none_or(|part| part.has(tag));
    let (query, missing) = match command {
        Command::Range(request) => {
            let (mut query, missing) = resolve::range(services, &request)?;
            query.tags.retain(meant);
            match Page::of(&request, &mut query)? {
                Some(page) => (Query::Page(query, page, Box::new(request)), missing),
                None => (Query::Range(query, request.tags), missing),
            }
        }
        Command::Current(request) => {
            if request.page_size != 0 || !request.page_token.is_empty() {
                return Err(status::invalid("page_size", "is of gRPC; Flight streams all current values"));
            }
            let selected = resolve::tags(services, &request.tags)?;
            (Query::Current { tags: selected.tags, request }, selected.missing)
        }
        Command::Superseded(request) => {
            let (mut query, missing) = resolve::superseded(services, &request)?;
            query.tags.retain(meant);
            (Query::Superseded(query, request.tags), missing)
        }
        Command::Aggregate(request) => {
            let (query, missing) = resolve::aggregate(services, &request)?;
            let (start, end) = texts(query.range());
            (Query::Aggregate(query, Box::new(v1::AggregateRequest { start, end, ..request })), missing)
        }
        Command::Downsample(request) => {
            let (query, missing) = resolve::downsample(services, &request)?;
            let (start, end) = texts(query.range);
            (Query::Downsample(query, Box::new(v1::DownsampleRequest { start, end, ..request })), missing)
        }
        Command::Anomalies(request) => {
            let (query, missing) = resolve::anomalies(services, &request)?;
            let (start, end) = texts(query.range);
            (Query::Anomalies(query, Box::new(v1::AnomaliesRequest { start, end, ..request })), missing)
        }
        Command::Measure(request) => {
            let (query, missing) = measure::measure(services, &request)?;
            let (start, end) = texts(query.range());
            (Query::Measure(query, Box::new(v1::MeasureRequest { start, end, ..request })), missing)
        }
        Command::AsOf(_) => {
            return Err(status::invalid(
                "asof",
                "is a command of DoExchange, which takes the rows to join; or use the method AsOf of gRPC",
            ));
        }
        Command::Subscribe(_) => {
            return Err(status::invalid("subscribe", "has no end, so there is nothing to plan; use it as a ticket of DoGet"));
        }
        Command::Write(_) => return Err(status::invalid("write", "is a command of DoPut, not a query")),
    };
    if missing.is_empty() { Ok(query) } else { Err(status::tags_not_found(&missing)) }
}

/// The bounds as a request has them.
fn texts(range: TimeRange) -> (String, String) {
    let (start, end) = resolve::bounds_as_asked(range);
    (start.to_string(), end.to_string())
}

/// The tag that a path names, split by level or whole, with or without a first element `tags`; the path `["tags"]` is the catalog.
///
/// # Errors
/// `NOT_FOUND` when there is no such tag.
pub fn resolve_path(services: &Services, path: &[String]) -> Result<Query, Status> {
    let whole = path.join("/");
    let below = path.split_first().filter(|(first, _)| first.as_str() == "tags").map(|(_, rest)| rest.join("/"));
    let all = ["**".to_owned()];
    let tags = match (services.catalog.get(&whole), &below) {
        (Some(tag), _) => vec![tag],
        (None, Some(below)) if below.is_empty() => resolve::tags(services, &all)?.tags,
        (None, Some(below)) => vec![services.catalog.get(below).ok_or_else(|| status::tags_not_found(std::slice::from_ref(below)))?],
        (None, None) if whole.is_empty() => return Err(status::invalid("descriptor", "the path is empty; name a tag, or use a command")),
        (None, None) => return Err(status::tags_not_found(&[whole])),
    };
    // One tag is named in its ticket, whatever the pattern.
    Ok(Query::Range(everything(tags), all.into()))
}

/// The whole history of some tags.
pub fn everything(tags: Vec<Arc<Tag>>) -> RangeQuery {
    RangeQuery::new(tags, TimeRange::ALL)
}

/// Schema of the answer; its metadata has the bounds as resolved.
pub fn schema(services: &Services, query: &Query) -> Result<SchemaRef, Status> {
    match query {
        Query::Range(query, _) | Query::Page(query, ..) => services.query.range_schema(query).map_err(|error| status::from_query(&error)),
        Query::Current { tags, request } => Ok(services.query.current_schema(tags, request.types)),
        Query::Superseded(query, _) => Ok(services.query.superseded_schema(query)),
        Query::Aggregate(query, _) => Ok(services.query.aggregate_schema(query)),
        Query::Downsample(query, _) => Ok(services.query.downsample_schema(query)),
        Query::Anomalies(query, _) => Ok(services.query.anomaly_schema(query)),
        Query::Measure(query, _) => Ok(services.query.measure_schema(query)),
    }
}

/// The answer to `GetFlightInfo`. Blocks on the store for the estimates.
pub fn flight_info(services: &Services, query: &Query, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
    let schema = schema(services, query)?;
    let mut info = described(&schema, descriptor)?;
    match query {
        Query::Range(query, patterns) => {
            let (rows, bytes) = services.query.estimate(&query.tags, query.range).map_err(|error| status::from_query(&error))?;
            // An upper bound of what is stored; boundary samples come on top, limits cut it.
            let exact_upper = query.boundary == Boundary::Inside && query.layout == Layout::Long;
            info.total_records = if exact_upper { i64::try_from(rows).unwrap_or(i64::MAX) } else { -1 };
            info.total_bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            info.app_metadata = bounds(query.range).into();
            for ticket in range_tickets(services, query, patterns, rows)? {
                info.endpoint.push(FlightEndpoint { ticket: Some(Ticket::new(ticket)), ..FlightEndpoint::default() });
            }
        }
        Query::Page(query, _, request) => {
            info.total_records = -1;
            single(&mut info, query.range, &Command::Range((**request).clone()));
        }
        Query::Current { tags, request } => {
            info.total_records = i64::try_from(tags.len()).unwrap_or(i64::MAX);
            let ticket = Ticket::new(Command::Current(request.clone()).to_ticket());
            info.endpoint.push(FlightEndpoint { ticket: Some(ticket), ..FlightEndpoint::default() });
        }
        Query::Superseded(query, patterns) => {
            let command = |tags| Command::Superseded(resolve::to_superseded_request(tags, query));
            let ticket = Ticket::new(Tickets::new(patterns, &query.tags).ticket(&query.tags, command));
            info.app_metadata = bounds(query.range).into();
            info.endpoint.push(FlightEndpoint { ticket: Some(ticket), ..FlightEndpoint::default() });
        }
        Query::Aggregate(query, request) => {
            let rows = query.intervals.len().saturating_mul(query.functions.len()).saturating_mul(query.tags.len());
            info.total_records = i64::try_from(rows).unwrap_or(i64::MAX);
            single(&mut info, query.range(), &Command::Aggregate((**request).clone()));
        }
        Query::Downsample(query, request) => single(&mut info, query.range, &Command::Downsample((**request).clone())),
        Query::Anomalies(query, request) => {
            if query.output == Output::Counts {
                info.total_records = i64::try_from(query.tags.len()).unwrap_or(i64::MAX);
            }
            single(&mut info, query.range, &Command::Anomalies((**request).clone()));
        }
        Query::Measure(query, request) => {
            info.total_records = query.rows().and_then(|rows| i64::try_from(rows).ok()).unwrap_or(-1);
            single(&mut info, query.range(), &Command::Measure((**request).clone()));
        }
    }
    Ok(info)
}

/// One endpoint for the whole answer.
fn single(info: &mut FlightInfo, range: TimeRange, command: &Command) {
    info.app_metadata = bounds(range).into();
    info.endpoint.push(FlightEndpoint { ticket: Some(Ticket::new(command.to_ticket())), ..FlightEndpoint::default() });
}

/// The bounds as resolved and as asked. Integers of 64 bits are text, as in all JSON of proto3.
fn bounds(range: TimeRange) -> String {
    let (start, end) = resolve::bounds_as_asked(range);
    serde_json::json!({"start": start.to_string(), "end": end.to_string(), "start_ns": start.0.to_string(), "end_ns": end.0.to_string()})
        .to_string()
}

/// An info with schema and descriptor and nothing known of its size.
pub fn described(schema: &Schema, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
    let info = FlightInfo::new().try_with_schema(schema).map_err(|error| status::internal(error.to_string()))?;
    Ok(info.with_descriptor(descriptor).with_total_records(-1).with_total_bytes(-1))
}

/// The schema as `GetSchema` answers it.
pub fn schema_result(schema: &Schema) -> Result<arrow_flight::SchemaResult, Status> {
    SchemaAsIpc::new(schema, &IpcWriteOptions::default())
        .try_into()
        .map_err(|error: arrow::error::ArrowError| status::internal(error.to_string()))
}

/// Rows below which another endpoint costs more than it gains.
const ENDPOINT_ROWS_MIN: u64 = 262_144;
/// Tags for which sizes are asked one by one; beyond, groups get equal numbers of tags.
const ESTIMATED_TAGS_MAX: usize = 4096;

/// One ticket per group of neighbouring tags of about equal size. In the order of the tickets the answers join to the answer of the whole.
fn range_tickets(services: &Services, query: &RangeQuery, patterns: &[String], rows: u64) -> Result<Vec<Vec<u8>>, Status> {
    let tickets = Tickets::new(patterns, &query.tags);
    let ticket = |tags: &[Arc<Tag>], query: &RangeQuery| tickets.ticket(tags, |names| Command::Range(resolve::to_request(names, query)));
    let by_size = usize::try_from(rows / ENDPOINT_ROWS_MIN).unwrap_or(usize::MAX).clamp(1, services.limits.endpoints_max.max(1));
    // The wide form has one column per tag, so its parts do not join.
    if by_size <= 1 || query.layout == Layout::Wide {
        return Ok(vec![ticket(&query.tags, query)]);
    }
    let mut sizes = vec![1_u64; query.tags.len()];
    if sizes.len() <= ESTIMATED_TAGS_MAX {
        for (size, tag) in sizes.iter_mut().zip(&query.tags) {
            *size = 1 + services.query.estimate(std::slice::from_ref(tag), query.range).map_err(|error| status::from_query(&error))?.0;
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
