//! How long a request waits for what its client still has to send. A call of one message that never comes would be held for ever, and a
//! write stream on which nothing comes as well.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, Service, http},
};
use tower_layer::{Layer, layer_fn};

use crate::{metrics::single_message_methods, status};

/// What holds for the requests of a port.
#[derive(Debug)]
struct RequestTimes {
    /// Methods that take one message, as paths.
    single: BTreeSet<String>,
    /// For a message of these, and the next message of any other.
    message: Duration,
    stream: Duration,
}

/// Puts [`TimedRequests`] around all services of a port: `message` is how long a call waits for more of its one message, `stream` how long a
/// stream waits for its next one.
pub fn timed_requests<S>(message: Duration, stream: Duration) -> impl Layer<S, Service = TimedRequests<S>> + Clone {
    let times = Arc::new(RequestTimes { single: single_message_methods(), message, stream });
    layer_fn(move |inner| TimedRequests { inner, times: times.clone() })
}

/// A service whose requests end with an error when their clients leave them unfinished.
#[derive(Clone)]
pub struct TimedRequests<S> {
    inner: S,
    times: Arc<RequestTimes>,
}

impl<S: Service<http::Request<Body>>> Service<http::Request<Body>> for TimedRequests<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> S::Future {
        let is_single = self.times.single.contains(request.uri().path().trim_start_matches('/'));
        let patience = if is_single { self.times.message } else { self.times.stream };
        self.inner.call(request.map(|body| Body::new(TimedBody { inner: body, patience, alarm: None, waits: false })))
    }
}

/// What a client sends, awaited for a time. Only the waiting counts: a client that is not read, because its writes wait for the journal,
/// has all the time it needs.
struct TimedBody {
    inner: Body,
    patience: Duration,
    /// Made when something is waited for the first time.
    alarm: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            this.waits = false;
            return Poll::Ready(frame);
        }
        let until = Instant::now() + this.patience;
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
        if !this.waits {
            this.waits = true;
            alarm.as_mut().reset(until.into());
        }
        ready!(alarm.as_mut().poll(context));
        let seconds = this.patience.as_secs();
        Poll::Ready(Some(Err(status::deadline(format!(
            "the client sent nothing for {seconds} s; open a stream when there is something to send"
        )))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
