//! What the operator watches: requests by method and code with their latency, and on each scrape the state of ingest and collectors.
//!
//! [`CountedService`] wraps a service of the gRPC port and reads the status that goes over the wire, so no method has to remember to count itself.

mod connections;
mod scrape;

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use http_body::Frame;
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, Service, http},
    server::NamedService,
};

use historian_sql::SqlEngine;

use connections::ConnectionFamilies;
pub use connections::ConnectionMetrics;

/// Full names of the services of the gRPC port, for health and as label values.
pub const SERVICES: [&str; 8] = [
    "",
    "historian.v1.TagService",
    "historian.v1.WriteService",
    "historian.v1.QueryService",
    "historian.v1.CollectorService",
    "historian.v1.AdminService",
    "historian.v1.AccessService",
    FLIGHT,
];
const FLIGHT: &str = "arrow.flight.protocol.FlightService";
const FLIGHT_METHODS: [&str; 10] =
    ["Handshake", "ListFlights", "GetFlightInfo", "PollFlightInfo", "GetSchema", "DoGet", "DoPut", "DoExchange", "DoAction", "ListActions"];

/// Those to which clients send a stream.
const FLIGHT_STREAMS: [&str; 3] = ["Handshake", "DoPut", "DoExchange"];

type Labels = [(&'static str, String); 2];
type Label = [(&'static str, String); 1];

/// Counters of the interface.
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<Label, Histogram, fn() -> Histogram>,
    connections: ConnectionFamilies,
    /// Methods that exist. Any other path is counted as `other`: a client must not be able to make label values.
    methods: BTreeSet<String>,
    /// Asked for the statements that run; set when the gRPC port begins to serve.
    sql: OnceLock<SqlEngine>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("historian");
        let requests = Family::<Labels, Counter>::default();
        registry.register("requests", "Requests of the gRPC and Flight port that ended, by method and gRPC code", requests.clone());
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_25, 4.0, 12));
        let seconds = Family::<Label, Histogram, fn() -> Histogram>::new_with_constructor(buckets);
        registry.register(
            "request_duration_seconds",
            "Seconds from the start of a request to the end of its answer; for streams their whole life",
            seconds.clone(),
        );
        let connections = ConnectionFamilies::register(&mut registry);
        Metrics { registry, requests, seconds, connections, methods: known_methods(), sql: OnceLock::new() }
    }

    /// From now on the statements of this engine are told.
    pub fn watch(&self, engine: SqlEngine) {
        // The first one stays: a process has one.
        let _ = self.sql.set(engine);
    }

    /// What counts the connections of a port.
    pub fn connections(&self, port: &'static str) -> ConnectionMetrics {
        self.connections.of(port)
    }

    /// Counts a request that came no further than the layer in front of the services.
    pub fn refused(&self, path: &str, code: tonic::Code) {
        self.count(path, code_name(code), Instant::now());
    }

    fn count(&self, path: &str, code: &str, started: Instant) {
        let path = path.trim_start_matches('/');
        let method = self.methods.get(path).map_or("other", String::as_str);
        self.requests.get_or_create(&[("method", method.to_owned()), ("code", code.to_owned())]).inc();
        self.seconds.get_or_create(&[("method", method.to_owned())]).observe(started.elapsed().as_secs_f64());
    }
}

/// The methods of our services and of Flight.
#[cfg(test)]
pub fn methods() -> BTreeSet<String> {
    known_methods()
}

fn known_methods() -> BTreeSet<String> {
    methods_of_ours(|_| true).chain(FLIGHT_METHODS.map(|method| format!("{FLIGHT}/{method}"))).collect()
}

/// Methods whose clients send one message.
pub fn single_message_methods() -> BTreeSet<String> {
    let flight = FLIGHT_METHODS.into_iter().filter(|method| !FLIGHT_STREAMS.contains(method)).map(|method| format!("{FLIGHT}/{method}"));
    let health = ["Check", "Watch"].map(|method| format!("grpc.health.v1.Health/{method}"));
    methods_of_ours(|method| !method.client_streaming()).chain(flight).chain(health).collect()
}

fn methods_of_ours(wanted: impl Fn(&MethodDescriptorProto) -> bool) -> impl Iterator<Item = String> {
    let descriptors = FileDescriptorSet::decode(historian_proto::DESCRIPTORS).unwrap_or_default();
    let mut methods = Vec::new();
    for file in &descriptors.file {
        for service in &file.service {
            let wanted = service.method.iter().filter(|method| wanted(method));
            methods.extend(wanted.map(|method| format!("{}.{}/{}", file.package(), service.name(), method.name())));
        }
    }
    methods.into_iter()
}

/// A gRPC service whose requests are counted.
#[derive(Clone)]
pub struct CountedService<S> {
    metrics: Arc<Metrics>,
    inner: S,
}

impl<S> CountedService<S> {
    pub fn new(metrics: Arc<Metrics>, inner: S) -> CountedService<S> {
        CountedService { metrics, inner }
    }
}

impl<S: NamedService> NamedService for CountedService<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for CountedService<S>
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
        let mut ending =
            Ending { metrics: self.metrics.clone(), path: request.uri().path().to_owned(), started: Instant::now(), code: None };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            ending.see(response.headers());
            Ok(response.map(|body| Body::new(CountedBody { inner: body, ending })))
        })
    }
}

/// Counts a request once, when its answer has ended or was abandoned.
struct Ending {
    metrics: Arc<Metrics>,
    path: String,
    started: Instant,
    code: Option<&'static str>,
}

impl Ending {
    fn see(&mut self, headers: &http::HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = Some(code_name(status.code()));
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Without a status on the wire the client went away first.
        self.metrics.count(&self.path, self.code.unwrap_or("CANCELLED"), self.started);
    }
}

struct CountedBody {
    inner: Body,
    ending: Ending,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.ending.see(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// Name of a code as gRPC writes it.
pub fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn only_methods_that_exist_become_label_values() {
        let metrics = Metrics::new();
        metrics.count("/historian.v1.QueryService/Range", "OK", Instant::now());
        metrics.count("/arrow.flight.protocol.FlightService/DoGet", "OK", Instant::now());
        metrics.count("/historian.v1.QueryService/Rnge", "UNIMPLEMENTED", Instant::now());
        let mut text = String::new();
        encode(&mut text, &metrics.registry).unwrap();
        assert!(text.contains(r#"historian_requests_total{method="historian.v1.QueryService/Range",code="OK"} 1"#), "{text}");
        assert!(text.contains(r#"method="arrow.flight.protocol.FlightService/DoGet""#), "{text}");
        assert!(text.contains(r#"method="other",code="UNIMPLEMENTED""#), "{text}");
    }

    #[test]
    fn methods_to_which_clients_send_streams_are_not_among_those_of_one_message() {
        let (known, single) = (known_methods(), single_message_methods());
        let streams: Vec<&str> = known.difference(&single).map(String::as_str).collect();
        let of_flight = FLIGHT_STREAMS.map(|method| format!("{FLIGHT}/{method}"));
        assert!(of_flight.iter().all(|method| streams.contains(&method.as_str())));
        assert!(streams.contains(&"historian.v1.WriteService/WriteSamplesStream"), "{streams:?}");
        assert!(single.contains("historian.v1.WriteService/WriteSamples") && single.contains("arrow.flight.protocol.FlightService/DoGet"));
    }
}
