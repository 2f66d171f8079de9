//! What a descriptor stands for: schema, estimates, and endpoints split by tag and time so that clients export in parallel.

use arrow::{datatypes::Schema, ipc::writer::IpcWriteOptions};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, SchemaAsIpc, Ticket};
use tonic::Status;

use crate::{
    Services,
    command::Command,
    kind::{Asker, RangeKind, Resolved},
    resolve, status,
    ticket::TicketTags,
};
use historian_model::TimeRange;
use historian_query::QueryLimits;

/// Resolves a command, or the part of it that a ticket is about. Blocks on the catalog.
///
/// # Errors
/// `NOT_FOUND` for exact names that no tag has: unlike a glob, they are a mistake of the asker.
pub fn resolve(
    services: &Services,
    command: Command,
    part: Option<&TicketTags>,
    limits: &QueryLimits,
) -> Result<Box<dyn Resolved>, Status> {
    match command {
        Command::Query(asked) => match asked.plan(&Asker::of_part(services, limits, part))? {
            (query, missing) if missing.is_empty() => Ok(query),
            (_, missing) => Err(status::tags_not_found(&missing)),
        },
        Command::Write(_) => Err(status::invalid("write", "is a command of DoPut, not a query")),
    }
}

/// The tag that a path names, split by level or whole, with or without a first element `tags`; the path `["tags"]` is the catalog.
///
/// # Errors
/// `NOT_FOUND` when there is no such tag.
pub fn resolve_path(services: &Services, path: &[String], limits: &QueryLimits) -> Result<Box<dyn Resolved>, Status> {
    let whole = path.join("/");
    let below = path.split_first().filter(|(first, _)| first.as_str() == "tags").map(|(_, rest)| rest.join("/"));
    let all = ["**".to_owned()];
    let catalog = services.catalog.within(&limits.scope);
    let tags = match (catalog.get(&whole), &below) {
        (Some(tag), _) => vec![tag],
        (None, Some(below)) if below.is_empty() => Asker::new(services, limits).tags(&all)?.tags,
        (None, Some(below)) => vec![catalog.get(below).ok_or_else(|| status::tags_not_found(std::slice::from_ref(below)))?],
        (None, None) if whole.is_empty() => return Err(status::invalid("descriptor", "the path is empty; name a tag, or use a command")),
        (None, None) => return Err(status::tags_not_found(&[whole])),
    };
    // One tag is named in its ticket, whatever the pattern.
    Ok(Box::new(RangeKind::everything(tags, all.into())))
}

/// The answer to `GetFlightInfo`. Blocks on the store for the estimates.
pub fn flight_info(
    services: &Services,
    query: &dyn Resolved,
    descriptor: FlightDescriptor,
    limits: &QueryLimits,
) -> Result<FlightInfo, Status> {
    let mut info = described(query.schema(&services.query)?.as_ref(), descriptor)?;
    let endpoints = query.endpoints(services, limits)?;
    let size = |known: Option<u64>| known.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX));
    (info.total_records, info.total_bytes) = (size(endpoints.rows), size(endpoints.bytes));
    info.app_metadata = endpoints.range.map(bounds).unwrap_or_default().into();
    let endpoint = |ticket| FlightEndpoint { ticket: Some(Ticket::new(ticket)), ..FlightEndpoint::default() };
    info.endpoint = endpoints.tickets.into_iter().map(endpoint).collect();
    Ok(info)
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
