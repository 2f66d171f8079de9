//! Readers that read nothing: each asks for everything over Flight and then takes no byte more than its windows hold.

use std::{ops::Range, time::Duration};

use arrow_flight::{FlightData, Ticket, flight_service_client::FlightServiceClient};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::stock::ALL_GLOB;

/// Windows of a reader: the smallest that HTTP/2 begins with.
const WINDOW: u32 = 65_535;
/// Whoever was cut finds no more than this on the way; all that is stored is far more.
const LEFT_MAX: usize = 16 << 20;

/// How such a reader connects.
pub fn with_small_windows(endpoint: Endpoint) -> Endpoint {
    endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW)
}

/// What became of a reader.
pub enum Left {
    /// It was refused before it had anything to read.
    Refused(Status),
    /// It was cut, and found so many bytes on the way.
    Cut(Status),
    /// It got more than a server keeps for a reader, or everything.
    Served(usize),
}

/// Asks for everything, takes nothing until it must have been cut, which is after a time from the beginning of its answer, and looks then what
/// there is.
pub async fn read_nothing(channel: Channel, times: Range<i64>, silence: Duration) -> Left {
    let ticket = serde_json::json!({ "range": {
        "tags": [ALL_GLOB],
        "start": format!("{}ns", times.start),
        "end": format!("{}ns", times.end),
    } });
    let ticket = Ticket { ticket: ticket.to_string().into() };
    let mut client = FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX);
    let stream = match client.do_get(ticket).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Left::Refused(status),
    };
    tokio::time::sleep(silence).await;
    match left(stream).await {
        (0, Some(status)) if status.code() == Code::ResourceExhausted => Left::Refused(status),
        (_, Some(status)) => Left::Cut(status),
        (bytes, None) => Left::Served(bytes),
    }
}

/// What is left of an answer: its bytes, and the error with which it ended.
async fn left(mut stream: Streaming<FlightData>) -> (usize, Option<Status>) {
    let mut bytes = 0;
    loop {
        match stream.message().await {
            Ok(Some(data)) => bytes += data.data_body.len(),
            Ok(None) => return (bytes, None),
            Err(status) => return (bytes, Some(status)),
        }
        if bytes > LEFT_MAX {
            return (bytes, None);
        }
    }
}
