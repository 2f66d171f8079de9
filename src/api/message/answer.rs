//! Answers whose status says that the server failed where the client's message cannot be read.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Frame;
use tonic::{Code, Status, body::Body, codegen::http};

use crate::status;

const STATUS: &str = "grpc-status";
const DETAILS: &str = "grpc-status-details-bin";
/// INTERNAL.
const INTERNAL: &str = "13";

/// The body of an answer.
pub struct Answer(pub Body);

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.0).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            reword(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

/// Whose fault a status tells. Each INTERNAL of the historian has details (`status::internal`); one without is of the library, which says so of
/// requests that it cannot read.
pub fn reword(headers: &mut http::HeaderMap) {
    if headers.get(STATUS).is_none_or(|code| code != INTERNAL) || headers.contains_key(DETAILS) {
        return;
    }
    let Some(told) = Status::from_header_map(headers).filter(|status| status.code() == Code::Internal) else { return };
    let told = unreadable(told.message());
    for name in [STATUS, "grpc-message"] {
        headers.remove(name);
    }
    // A status of our own always fits into headers; were it not so, what is left says UNKNOWN.
    let _ = told.add_header(headers);
}

/// `INVALID_ARGUMENT` for a request that cannot be read.
pub fn unreadable(reason: &str) -> Status {
    status::invalid("", format!("the request cannot be read: {reason}"))
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn reworded(status: &Status) -> Status {
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        reword(&mut headers);
        Status::from_header_map(&headers).unwrap()
    }

    #[test]
    fn what_the_library_cannot_read_is_the_clients_fault_and_what_we_say_stays() {
        let told = reworded(&Status::internal("failed to decode Protobuf message: invalid varint"));
        assert_eq!(told.code(), Code::InvalidArgument);
        assert!(told.message().contains("invalid varint"), "{}", told.message());
        assert_eq!(told.get_error_details().error_info().unwrap().reason, "INVALID_REQUEST");
        for ours in [status::internal("a bug"), status::busy("many"), Status::unimplemented("no such method"), Status::ok("")] {
            let told = reworded(&ours);
            assert_eq!((told.code(), told.message(), told.details()), (ours.code(), ours.message(), ours.details()));
        }
    }
}
