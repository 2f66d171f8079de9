//! `subscribe`: the change feed as server-sent events.

use std::time::Duration;

use arrow::{array::AsArray as _, datatypes::UInt64Type, record_batch::RecordBatch};
use arrow_flight::{Ticket, decode::FlightRecordBatchStream};
use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::{answer, asked::HttpAsked, cell::CellForm, inside::InsideCalls, problem::Problem, rows};
use crate::status;

/// The header by which a browser says what it has had.
const LAST_EVENT_ID: &str = "last-event-id";
/// So often a client hears that the feed goes on, where nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a browser has had counts as the position, so that it goes on there by itself.
///
/// # Errors
/// When it is none of our ids.
pub fn resume(asked: &mut HttpAsked) -> Result<(), Problem> {
    if let Some(id) = last_event_id(&asked.headers)? {
        asked.fields.insert("position".into(), id.into());
        // It has them from its first connection.
        asked.fields.remove("current");
    }
    Ok(())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(id) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let id = id.to_str().ok().filter(|id| id.parse::<u64>().is_ok());
    id.map(|id| Some(id.to_owned())).ok_or_else(|| Problem::invalid(LAST_EVENT_ID, "is no position of this historian"))
}

/// The feed of a ticket.
///
/// # Errors
/// When it does not begin.
pub async fn of_ticket(calls: &InsideCalls, ticket: Vec<u8>, form: CellForm) -> Result<Response, Problem> {
    let mut messages = calls.flight().do_get(calls.request(Ticket { ticket: ticket.into() })).await?.into_inner();
    let first = messages.message().await?.ok_or_else(|| status::internal("a feed without a schema"))?;
    let batches = answer::batches(first, messages);
    // A browser tells of the connection when something has come.
    let begin = stream::once(async { Ok(Bytes::from_static(b": connected\n\n")) });
    let events = stream::unfold(Some(batches), move |batches| next(batches, form));
    let mut response = Body::from_stream(begin.chain(events)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// The next event. The last one is an error, or there is none where the historian stops.
async fn next(
    batches: Option<FlightRecordBatchStream>,
    form: CellForm,
) -> Option<(Result<Bytes, std::convert::Infallible>, Option<FlightRecordBatchStream>)> {
    let mut batches = batches?;
    let text = match tokio::time::timeout(HEARTBEAT, batches.next()).await {
        Err(_) => return Some((Ok(Bytes::from_static(b": still here\n\n")), Some(batches))),
        Ok(None) => return None,
        Ok(Some(Ok(batch))) => event(&batch, form).map_err(Problem::from),
        Ok(Some(Err(error))) => Err(Problem::from(answer::told(error))),
    };
    Some(match text {
        Ok(text) => (Ok(text), Some(batches)),
        Err(problem) => (Ok(Bytes::from(format!("event: error\ndata: {}\n\n", problem.document()))), None),
    })
}

/// A delivery as an event. Its id is the position behind which a client goes on; the current values have none.
fn event(batch: &RecordBatch, form: CellForm) -> Result<Bytes, tonic::Status> {
    let mut out = b"event: samples\n".to_vec();
    let positions = batch.column_by_name("position").and_then(|column| column.as_primitive_opt::<UInt64Type>());
    if let Some(position) = positions.and_then(|positions| positions.values().iter().max()).filter(|position| **position > 0) {
        out.extend_from_slice(format!("id: {position}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    // JSON has no line breaks of its own.
    out.extend(rows::in_columns(batch, form)?);
    out.extend_from_slice(b"\n\n");
    Ok(out.into())
}
