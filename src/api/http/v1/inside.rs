//! Requests of the HTTP API as calls within the process: with who sends them and how long they may take, behind the layers of every other call.

use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Request, metadata::MetadataMap};

use crate::{access::CREDENTIALS, connection::Peer, routes::InProcess};

/// Headers that go with a call beside those that say who it is of: its id, and the trace that it belongs to.
const HEADERS: [&str; 3] = ["x-request-id", "traceparent", "tracestate"];

/// Longest that gRPC has digits for, in milliseconds.
const TIMEOUT_MS_MAX: u128 = 99_999_999;

/// From where the calls of one request are made.
#[derive(Clone)]
pub struct InsideCalls {
    pub services: InProcess,
    headers: HeaderMap,
    peer: Peer,
    timeout: Option<Duration>,
}

impl InsideCalls {
    pub fn new(services: InProcess, headers: HeaderMap, peer: Peer, timeout: Option<Duration>) -> InsideCalls {
        InsideCalls { services, headers, peer, timeout }
    }

    /// A message as the request of a call.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut headers = HeaderMap::new();
        for name in CREDENTIALS.into_iter().chain(HEADERS) {
            headers.extend(self.headers.get(name).map(|value| (HeaderName::from_static(name), value.clone())));
        }
        let timeout = self.timeout.map(|timeout| format!("{}m", timeout.as_millis().min(TIMEOUT_MS_MAX)));
        headers
            .extend(timeout.and_then(|text| HeaderValue::try_from(text).ok()).map(|text| (HeaderName::from_static("grpc-timeout"), text)));
        let mut request = Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        request.extensions_mut().insert(self.peer.clone());
        request
    }

    /// Arrow Flight within the process.
    pub fn flight(&self) -> FlightServiceClient<InProcess> {
        FlightServiceClient::new(self.services.clone()).max_decoding_message_size(usize::MAX)
    }
}
