//! `ListFlights`: the catalog as flights, one per tag, read page by page while the client reads.

use arrow_flight::{Criteria, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use serde::Deserialize;
use tonic::Status;

use super::info;
use crate::{
    Services,
    kind::{RangeKind, Resolved},
    resolve, status,
    stream::Emitter,
};
use historian_model::TagSelection;
use historian_query::QueryLimits;

/// Tags per look into the catalog.
const PAGE: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonCriteria {
    tags: Vec<String>,
}

/// Tags that the criteria select: nothing for all, a glob or name as plain text, or JSON `{"tags": [...]}`. Blocks while globs are read.
///
/// # Errors
/// `INVALID_ARGUMENT` when it is none of these.
pub fn selection(criteria: &Criteria, services: &Services, query: &QueryLimits) -> Result<TagSelection, Status> {
    let limits = &services.limits;
    if criteria.expression.len() > limits.ticket_bytes_max {
        let message = format!("has {} bytes, at most {} are taken", criteria.expression.len(), limits.ticket_bytes_max);
        return Err(status::invalid("criteria", message));
    }
    let text = std::str::from_utf8(&criteria.expression).map_err(|_| status::invalid("criteria", "is no UTF-8 text"))?.trim();
    if text.is_empty() {
        return Ok(TagSelection::all());
    }
    if text.starts_with('{') && text.contains('"') {
        let JsonCriteria { tags } = serde_json::from_str(text).map_err(|error| status::invalid("criteria", error.to_string()))?;
        return resolve::selection(&tags, limits, query);
    }
    resolve::selection(&[text.to_owned()], limits, query)
}

/// Streams the flights of the selected tags in the order of their names. Blocks on the catalog.
pub fn list(services: &Services, selection: &TagSelection, limits: &QueryLimits, emitter: &Emitter<FlightInfo>) -> Result<(), Status> {
    let mut after: Option<String> = None;
    loop {
        resolve::go_on(limits)?;
        let page = services.catalog.within(&limits.scope).page(selection, after.as_deref(), PAGE, &|_| true, &|| resolve::go_on(limits))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.name().as_str().to_owned());
        for tag in &page {
            let path = tag.name().as_str().split('/').map(str::to_owned).collect();
            let query = RangeKind::everything(vec![tag.clone()], Vec::new());
            let ticket = Ticket::new(query.ticket());
            let mut flight = info::described(query.schema(&services.query)?.as_ref(), FlightDescriptor::new_path(path))?;
            flight.endpoint.push(FlightEndpoint { ticket: Some(ticket), ..FlightEndpoint::default() });
            if limits.cancel.is_cancelled() || !emitter.emit(flight) {
                return Ok(());
            }
        }
        if page.len() < PAGE {
            return Ok(());
        }
    }
}
