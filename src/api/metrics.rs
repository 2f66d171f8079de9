//! What the operator watches: requests by method and code with their latency, queries by kind, use by principal, and on each scrape the state of
//! ingest and collectors. The layer around all calls ([`crate::call`]) counts them, so no method has to remember to.

mod classic;
mod connections;
mod principals;
mod scrape;

use std::{collections::BTreeSet, fmt, sync::OnceLock, time::Duration};

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

use historian_sql::SqlEngine;

use crate::call::CallRecord;
use connections::ConnectionFamilies;
pub use connections::ConnectionMetrics;
use principals::PrincipalFamilies;
pub use scrape::MetricsFormat;

/// Full names of the services of the gRPC port, for health and as label values.
pub const SERVICES: [&str; 10] = [
    "",
    "historian.v1.TagService",
    "historian.v1.WriteService",
    "historian.v1.QueryService",
    "historian.v1.CollectorService",
    "historian.v1.AdminService",
    "historian.v1.AccessService",
    "historian.v1.AnnotationService",
    "historian.v1.ViewService",
    FLIGHT,
];
const FLIGHT: &str = "arrow.flight.protocol.FlightService";
const FLIGHT_METHODS: [&str; 10] =
    ["Handshake", "ListFlights", "GetFlightInfo", "PollFlightInfo", "GetSchema", "DoGet", "DoPut", "DoExchange", "DoAction", "ListActions"];

/// Methods that tell of a query and do not run it.
const PLANNING_METHODS: [&str; 3] = ["/GetFlightInfo", "/GetSchema", "/PollFlightInfo"];

/// Those to which clients send a stream.
const FLIGHT_STREAMS: [&str; 3] = ["Handshake", "DoPut", "DoExchange"];

type Labels = [(&'static str, String); 2];
type Label = [(&'static str, String); 1];

/// Counters of the interface.
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<Label, Histogram, fn() -> Histogram>,
    queries: Family<Label, Histogram, fn() -> Histogram>,
    principals: PrincipalFamilies,
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
        let queries = Family::<Label, Histogram, fn() -> Histogram>::new_with_constructor(buckets);
        registry.register(
            "query_duration_seconds",
            "Seconds from the start of a query or write to the end of its answer, by kind, at every door; without subscriptions",
            queries.clone(),
        );
        let principals = PrincipalFamilies::register(&mut registry);
        let connections = ConnectionFamilies::register(&mut registry);
        Metrics { registry, requests, seconds, queries, principals, connections, methods: known_methods(), sql: OnceLock::new() }
    }

    /// Queries of these kinds may come: they are told from the beginning on, so that the first one is an increase.
    pub fn expect_kinds(&self, kinds: impl IntoIterator<Item = &'static str>) {
        for kind in kinds {
            drop(self.queries.get_or_create(&[("kind", kind.to_owned())]));
        }
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

    /// Counts a call that has ended: bytes that were received and sent, how long it took, and whether that depended on what was asked and not on
    /// how long the client liked to listen.
    pub(crate) fn ended(&self, path: &str, code: tonic::Code, call: &CallRecord, bytes: (u64, u64), (took, is_timed): (Duration, bool)) {
        let path = path.trim_start_matches('/');
        // Supervisors and tools ask these all the time.
        if ["grpc.health.", "grpc.reflection."].iter().any(|service| path.starts_with(service)) {
            return;
        }
        self.count(path, code_name(code), took);
        if let Some(principal) = call.principal() {
            self.principals.add(principal, call.rows(), bytes, call.computed());
        }
        let plans = PLANNING_METHODS.iter().any(|method| path.ends_with(method));
        if let Some(kind) = call.kind().filter(|_| is_timed && !plans) {
            self.queries.get_or_create(&[("kind", kind.to_owned())]).observe(took.as_secs_f64());
        }
    }

    fn count(&self, path: &str, code: &str, took: Duration) {
        let method = self.methods.get(path).map_or("other", String::as_str);
        self.requests.get_or_create(&[("method", method.to_owned()), ("code", code.to_owned())]).inc();
        self.seconds.get_or_create(&[("method", method.to_owned())]).observe(took.as_secs_f64());
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
        metrics.count("historian.v1.QueryService/Range", "OK", Duration::ZERO);
        metrics.count("arrow.flight.protocol.FlightService/DoGet", "OK", Duration::ZERO);
        metrics.count("historian.v1.QueryService/Rnge", "UNIMPLEMENTED", Duration::ZERO);
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
