//! The outermost layer of the gRPC port. It gives each call its id and its span, reads the status that goes over the wire, and counts and tells of
//! the end, so no method has to remember to.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http_body::{Frame, SizeHint};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        Bytes, Service,
        http::{self, HeaderMap, HeaderValue},
    },
};
use tonic_types::StatusExt;
use tower_layer::Layer;
use tracing::{Instrument, Span, field};

use super::{CallLog, CallRecord, end::EndedCall, id};
use crate::{Metrics, caller::address_of, kind, metrics::single_message_methods, status};

const DETAILS: &str = "grpc-status-details-bin";

/// What calls of a port are counted and told with.
struct CallParts {
    metrics: Arc<Metrics>,
    log: CallLog,
    /// Methods whose clients send one message.
    single: BTreeSet<String>,
}

/// Puts [`CalledService`] around all services, as the outermost layer.
#[derive(Clone)]
pub struct CalledLayer(Arc<CallParts>);

impl CalledLayer {
    pub fn new(metrics: Arc<Metrics>, log: CallLog) -> CalledLayer {
        CalledLayer(Arc::new(CallParts { metrics, log, single: single_message_methods() }))
    }
}

impl<S> Layer<S> for CalledLayer {
    type Service = CalledService<S>;

    fn layer(&self, inner: S) -> CalledService<S> {
        CalledService { inner, parts: self.0.clone() }
    }
}

/// A service whose calls have an id, are counted, and are told in the log.
#[derive(Clone)]
pub struct CalledService<S> {
    inner: S,
    parts: Arc<CallParts>,
}

impl<S> Service<http::Request<Body>> for CalledService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // Every client says that it takes compressed answers. Those who compress what they send want them.
        if request.headers().get("grpc-encoding").is_none_or(|encoding| encoding == "identity") {
            request.headers_mut().remove("grpc-accept-encoding");
        }
        let record = Arc::new(CallRecord::new(id::of(request.headers())));
        let path = request.uri().path().to_owned();
        let client = address_of(request.extensions()).map_or_else(|| "local".to_owned(), |address| address.to_string());
        let span = tracing::error_span!(
            "call",
            request_id = record.id,
            method = status::shortened(path.trim_start_matches('/')),
            client,
            principal = field::Empty
        );
        historian_trace::follow(&span, request.headers());
        if let Some(kind) = kind::of_method(&path) {
            record.is_of(kind);
        }
        request.extensions_mut().insert(record.clone());
        let received = Arc::new(AtomicU64::new(0));
        let request = request.map(|body| Body::new(MeasuredBody { inner: body, bytes: received.clone() }));
        let mut ending = CallEnding {
            parts: self.parts.clone(),
            record,
            path,
            span: span.clone(),
            started: Instant::now(),
            code: None,
            received,
            sent: 0,
        };
        let answer = span.in_scope(|| self.inner.call(request)).instrument(span);
        Box::pin(async move {
            let mut response = answer.await?;
            id::put(response.headers_mut(), &ending.record.id);
            ending.see(response.headers_mut());
            Ok(response.map(|body| Body::new(CalledBody { inner: body, ending })))
        })
    }
}

/// Counts and tells of a call once, when its answer has ended or was abandoned.
struct CallEnding {
    parts: Arc<CallParts>,
    record: Arc<CallRecord>,
    path: String,
    span: Span,
    started: Instant,
    /// Without one on the wire the client went away first.
    code: Option<Code>,
    received: Arc<AtomicU64>,
    sent: u64,
}

impl CallEnding {
    /// Reads the status in headers or trailers, and tells the client in its details of which call it is.
    fn see(&mut self, headers: &mut HeaderMap) {
        let Some(told) = Status::from_header_map(headers) else { return };
        self.code = Some(told.code());
        if told.code() == Code::Ok {
            return;
        }
        let mut details = told.get_error_details();
        details.set_request_info(self.record.id.clone(), "");
        let told = Status::with_error_details(told.code(), told.message(), details);
        if let Ok(value) = HeaderValue::from_str(&STANDARD_NO_PAD.encode(told.details())) {
            headers.insert(DETAILS, value);
        }
    }
}

impl Drop for CallEnding {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        let is_endless = self.record.kind() == Some(kind::WITHOUT_END);
        let ended = EndedCall {
            code,
            kind: self.record.kind(),
            rows: self.record.rows(),
            bytes_received: self.received.load(Ordering::Relaxed),
            bytes_sent: self.sent,
            took: self.started.elapsed(),
            is_stream: is_endless || !self.parts.single.contains(self.path.trim_start_matches('/')),
        };
        self.parts.metrics.ended(&self.path, code, &self.record, (ended.bytes_received, ended.bytes_sent), (ended.took, !is_endless));
        let (parts, span) = (self.parts.clone(), mem::replace(&mut self.span, Span::none()));
        span.in_scope(|| parts.log.tell(&ended));
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let facts = [
            ("historian.rows", count(ended.rows)),
            ("historian.bytes_received", count(ended.bytes_received)),
            ("historian.bytes_sent", count(ended.bytes_sent)),
        ];
        historian_trace::ended(&span, code, &facts, ended.kind);
    }
}

/// The body of an answer, until the call has ended.
struct CalledBody {
    inner: Body,
    ending: CallEnding,
}

impl http_body::Body for CalledBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let CalledBody { inner, ending } = &mut *self;
        let frame = ready!({
            let _within = ending.span.enter();
            Pin::new(inner).poll_frame(context)
        });
        let Some(Ok(mut frame)) = frame else { return Poll::Ready(frame) };
        if let Some(data) = frame.data_ref() {
            ending.sent += data.len() as u64;
        } else if let Some(trailers) = frame.trailers_mut() {
            ending.see(trailers);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What a client sends, measured as it comes.
struct MeasuredBody {
    inner: Body,
    bytes: Arc<AtomicU64>,
}

impl http_body::Body for MeasuredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
