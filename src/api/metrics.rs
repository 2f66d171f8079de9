//! What the operator watches: requests by method and code with their latency, and on each scrape the state of ingest and collectors.
//!
//! [`Counted`] wraps a service of the gRPC port and reads the status that goes over the wire, so no method has to remember to count itself.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Instant,
};

use http_body::Frame;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use prost::Message as _;
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, Service, http},
    server::NamedService,
};

use super::Services;
use historian_collector::DeviceStatus;
use historian_sql::SqlEngine;

/// Full names of the services of the gRPC port, for health and as label values.
pub const SERVICES: [&str; 7] = [
    "",
    "historian.v1.TagService",
    "historian.v1.WriteService",
    "historian.v1.QueryService",
    "historian.v1.CollectorService",
    "historian.v1.AdminService",
    FLIGHT,
];
const FLIGHT: &str = "arrow.flight.protocol.FlightService";
const FLIGHT_METHODS: [&str; 10] =
    ["Handshake", "ListFlights", "GetFlightInfo", "PollFlightInfo", "GetSchema", "DoGet", "DoPut", "DoExchange", "DoAction", "ListActions"];

type Labels = [(&'static str, String); 2];
type MethodLabel = [(&'static str, String); 1];

/// Counters of the gRPC port.
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<MethodLabel, Histogram, fn() -> Histogram>,
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
        let seconds = Family::<MethodLabel, Histogram, fn() -> Histogram>::new_with_constructor(buckets);
        registry.register(
            "request_duration_seconds",
            "Seconds from the start of a request to the end of its answer; for streams their whole life",
            seconds.clone(),
        );
        Metrics { registry, requests, seconds, methods: known_methods(), sql: OnceLock::new() }
    }

    /// From now on the statements of this engine are told.
    pub fn watch(&self, engine: SqlEngine) {
        // The first one stays: a process has one.
        let _ = self.sql.set(engine);
    }

    /// The metrics in Prometheus' text form, with the state of `services` at this moment.
    ///
    /// # Errors
    /// When the text cannot be written, which does not happen to a string.
    pub fn render(&self, services: &Services) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(8192);
        encode(&mut text, &self.registry)?;
        // The end mark of the first part would hide the second.
        text.truncate(text.trim_end().trim_end_matches("# EOF").len());
        let mut state = Registry::default();
        state.register_collector(Box::new(State::of(services)));
        encode(&mut text, &state)?;
        Ok(text)
    }

    fn count(&self, path: &str, code: &str, started: Instant) {
        let path = path.trim_start_matches('/');
        let method = self.methods.get(path).map_or("other", String::as_str);
        self.requests.get_or_create(&[("method", method.to_owned()), ("code", code.to_owned())]).inc();
        self.seconds.get_or_create(&[("method", method.to_owned())]).observe(started.elapsed().as_secs_f64());
    }
}

fn known_methods() -> BTreeSet<String> {
    let descriptors = prost_types::FileDescriptorSet::decode(historian_proto::DESCRIPTORS).unwrap_or_default();
    let ours = descriptors.file.iter().flat_map(|file| {
        file.service.iter().flat_map(move |service| {
            service.method.iter().map(move |method| format!("{}.{}/{}", file.package(), service.name(), method.name()))
        })
    });
    ours.chain(FLIGHT_METHODS.map(|method| format!("{FLIGHT}/{method}"))).collect()
}

/// State at the moment of a scrape.
#[derive(Debug)]
struct State {
    start_seconds: f64,
    counters: [(&'static str, &'static str, u64); 10],
    gauges: [(&'static str, &'static str, u64); 8],
    devices: Vec<Arc<DeviceStatus>>,
}

impl State {
    fn of(services: &Services) -> State {
        let status = services.admin.status();
        let scrub = services.admin.maintenance().map(|maintenance| maintenance.scrub_status()).unwrap_or_default();
        let last_scrub = scrub.last.as_ref();
        State {
            start_seconds: status.start_time.0 as f64 / 1e9,
            counters: [
                ("historian_samples_written", "Samples acknowledged since the start of the process", status.samples_written),
                (
                    "historian_samples_rejected",
                    "Samples not taken since the start of the process because they lie too far in the future",
                    status.samples_rejected,
                ),
                ("historian_chunks_sealed", "Chunks made of heads since the start of the process", status.chunks_sealed),
                ("historian_chunks_merged", "Chunks that background work merged into larger ones", status.chunks_merged),
                ("historian_chunks_written", "Chunks that background work made of others", status.chunks_written),
                (
                    "historian_samples_superseded",
                    "Samples that lost against another one at the same timestamp, found by background work",
                    status.samples_superseded,
                ),
                ("historian_upkeep_failures", "Rounds of background work that ended with an error", status.upkeep_failures),
                (
                    "historian_inexact_columns",
                    "Columns that did not come back from their codec as they went in and were stored plainly: report it",
                    historian_format::inexact_columns(),
                ),
                ("historian_scrub_damage", "Damaged entries and blocks found by scrubs since the start of the process", scrub.damaged),
                ("historian_scrub_read_bytes", "Bytes read by scrubs that reached their end", scrub.bytes),
            ],
            gauges: [
                ("historian_watermark", "Every write up to this number is durable", status.watermark),
                ("historian_head_samples", "Samples in heads, not yet sealed into chunks", status.head_samples),
                ("historian_tags", "Tags in the catalog", services.catalog.len() as u64),
                (
                    "historian_sql_statements_running",
                    "SQL statements that run now, until their last thread has ended",
                    services.metrics.sql.get().map_or(0, |engine| engine.running() as u64),
                ),
                (
                    "historian_accepting_writes",
                    "1 while writes are accepted, 0 after a failure of the disk",
                    status.accepting_writes.into(),
                ),
                (
                    "historian_no_room",
                    "1 while writes are refused for want of room on the disk or in memory, else 0",
                    u64::from(!status.full_reason.is_empty()),
                ),
                (
                    "historian_scrub_last_end_seconds",
                    "When the last scrub reached its end, seconds since 1970; 0 when none did",
                    last_scrub.map_or(0, |report| u64::try_from(report.ended.0 / 1_000_000_000).unwrap_or(0)),
                ),
                (
                    "historian_scrub_last_damage",
                    "Damaged entries and blocks that the last scrub found",
                    last_scrub.map_or(0, |report| report.damaged),
                ),
            ],
            devices: (services.devices)(),
        }
    }
}

/// One value of a device: its name, help and how to read it.
type DeviceValue = (&'static str, &'static str, fn(&DeviceStatus) -> u64);

const DEVICE_COUNTERS: [DeviceValue; 8] = [
    ("historian_device_connects", "Connections made", |device| device.connects.load(Ordering::Relaxed)),
    ("historian_device_requests", "Requests sent", |device| device.requests.load(Ordering::Relaxed)),
    ("historian_device_timeouts", "Requests without an answer in time", |device| device.timeouts.load(Ordering::Relaxed)),
    ("historian_device_exceptions", "Exception replies and service faults", |device| device.exceptions.load(Ordering::Relaxed)),
    ("historian_device_polls_missed", "Polls not made because the one before had not ended", |device| {
        device.polls_missed.load(Ordering::Relaxed)
    }),
    ("historian_device_samples", "Samples taken", |device| device.samples.load(Ordering::Relaxed)),
    ("historian_device_samples_dropped", "Samples dropped because the spool was full", |device| {
        device.samples_dropped.load(Ordering::Relaxed)
    }),
    ("historian_device_samples_rejected", "Samples that the historian did not take", |device| {
        device.samples_rejected.load(Ordering::Relaxed)
    }),
];

const DEVICE_GAUGES: [DeviceValue; 3] = [
    ("historian_device_tags_wanted", "Tags configured", |device| device.items_wanted.load(Ordering::Relaxed)),
    ("historian_device_tags_created", "Tags the device accepted", |device| device.items_created.load(Ordering::Relaxed)),
    ("historian_device_tags_delivering", "Tags that deliver good samples now", DeviceStatus::delivering),
];

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let start = ConstGauge::new(self.start_seconds);
        start.encode(encoder.encode_descriptor(
            "process_start_time_seconds",
            "Start of the process in seconds since 1970",
            None,
            start.metric_type(),
        )?)?;
        for (name, help, value) in self.counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        for (name, help, value) in self.gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        if self.devices.is_empty() {
            return Ok(());
        }
        for (name, help, read) in DEVICE_COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, ConstCounter::new(0_u64).metric_type())?;
            for device in &self.devices {
                ConstCounter::new(read(device)).encode(family.encode_family(&device_label(device))?)?;
            }
        }
        for (name, help, read) in DEVICE_GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, ConstGauge::new(0_u64).metric_type())?;
            for device in &self.devices {
                ConstGauge::new(read(device)).encode(family.encode_family(&device_label(device))?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "historian_device_state",
            "1 for the state the device is in: connecting, running, degraded, backoff, stopped",
            None,
            ConstGauge::new(0_u64).metric_type(),
        )?;
        for device in &self.devices {
            let labels = [
                ("device", device.device.clone()),
                ("protocol", device.protocol.to_owned()),
                ("state", device.state().as_str().to_owned()),
            ];
            ConstGauge::new(1_u64).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn device_label(device: &DeviceStatus) -> Labels {
    [("device", device.device.clone()), ("protocol", device.protocol.to_owned())]
}

/// A gRPC service whose requests are counted.
#[derive(Clone)]
pub struct Counted<S> {
    metrics: Arc<Metrics>,
    inner: S,
}

impl<S> Counted<S> {
    pub fn new(metrics: Arc<Metrics>, inner: S) -> Counted<S> {
        Counted { metrics, inner }
    }
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Counted<S>
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
}
