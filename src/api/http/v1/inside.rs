//! Requests of the HTTP API as calls within the process: with who sends them and how long they may take, behind the layers of every other call.

use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use axum::http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use tonic::{
    Request,
    metadata::{Ascii, MetadataKey, MetadataValue},
};

use crate::{connection::Peer, routes::InProcess};

/// Headers that go with a call: who it is of, its id, and the trace that it belongs to.
const HEADERS: [HeaderName; 4] =
    [AUTHORIZATION, HeaderName::from_static("x-request-id"), HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

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
        let mut request = Request::new(message);
        for name in HEADERS {
            let value = self.headers.get(&name).and_then(|value| MetadataValue::<Ascii>::try_from(value.as_bytes()).ok());
            if let (Some(value), Ok(key)) = (value, MetadataKey::from_bytes(name.as_str().as_bytes())) {
                request.metadata_mut().insert(key, value);
            }
        }
        if let Some(timeout) = self.timeout {
            let text = format!("{}m", timeout.as_millis().min(TIMEOUT_MS_MAX));
            if let Ok(value) = MetadataValue::try_from(text) {
                request.metadata_mut().insert("grpc-timeout", value);
            }
        }
        request.extensions_mut().insert(self.peer.clone());
        request
    }

    /// Arrow Flight within the process.
    pub fn flight(&self) -> FlightServiceClient<InProcess> {
        FlightServiceClient::new(self.services.clone()).max_decoding_message_size(usize::MAX)
    }
}
