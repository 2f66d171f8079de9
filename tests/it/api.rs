//! The public interface from outside: pyarrow and grpcio against a historian that serves from memory.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle};

use historian::{
    api::{self, Admin, AdminStatus, ApiLimits, Metrics, Services},
    collector::DeviceStatus,
    ingest::{Ingest, IngestOptions},
    model::{Clock, SystemClock, Timestamp, sink::WriteError},
    query::QueryEngine,
    sql::TableOptions,
    store::{Catalog, MemoryStore, Store, catalog::TAGS_MAX},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::pytest::{Run, suite};

/// A historian in this process with everything but disk and collectors; stops when dropped.
pub struct Historian {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

struct IngestAdmin {
    ingest: Arc<Ingest>,
    start_time: Timestamp,
}

impl Admin for IngestAdmin {
    fn status(&self) -> AdminStatus {
        let status = self.ingest.status();
        AdminStatus {
            start_time: self.start_time,
            watermark: status.watermark,
            samples_written: status.samples_written,
            head_samples: status.head_samples,
            chunks_sealed: status.chunks_sealed,
            chunks_merged: status.kept.chunks_read,
            chunks_written: status.kept.chunks_written,
            samples_superseded: status.kept.samples_superseded,
            upkeep_failures: status.kept.failures,
            accepting_writes: status.accepting_writes,
            stopped_reason: status.stopped,
            full_reason: status.full,
            samples_rejected: status.samples_rejected,
        }
    }

    fn compact(&self) -> Result<u64, WriteError> {
        self.ingest.compact()
    }
}

impl Historian {
    pub fn start(limits: ApiLimits) -> Historian {
        Historian::start_with(limits, IngestOptions::default())
    }

    pub fn start_with(limits: ApiLimits, options: IngestOptions) -> Historian {
        let shutdown = CancellationToken::new();
        let (ready, addresses) = std::sync::mpsc::channel();
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let catalog = Arc::new(Catalog::open(store.clone(), clock.clone(), TAGS_MAX).unwrap());
            let ingest = Arc::new(Ingest::open(store, catalog.clone(), clock.clone(), options).unwrap());
            let device = Arc::new(DeviceStatus::new("boiler-plc", "modbus", "127.0.0.1:502"));
            let services = Services {
                catalog,
                sink: ingest.clone(),
                corrections: ingest.clone(),
                query: QueryEngine::new(ingest.reader()),
                tables: TableOptions::default(),
                admin: Arc::new(IngestAdmin { ingest: ingest.clone(), start_time: clock.now() }),
                clock,
                devices: Arc::new(move || vec![device.clone()]),
                limits,
                metrics: Arc::new(Metrics::new()),
            };
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send((grpc.local_addr().unwrap(), http.local_addr().unwrap())).unwrap();
                let (grpc, http) = tokio::join!(api::serve(grpc, services.clone(), stop.clone()), api::serve_http(http, services, stop));
                grpc.unwrap();
                http.unwrap();
            });
            ingest.close();
        });
        let (grpc, http) = addresses.recv().unwrap();
        Historian { grpc, http, shutdown, thread: Some(thread) }
    }

    /// Body of a GET of the HTTP port, after its status line.
    pub fn get(&self, path: &str) -> (u16, String) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

impl Drop for Historian {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

/// The cases against a historian of their own with everything by default.
pub fn in_memory(run: &mut Run) {
    let historian = Historian::start(ApiLimits::default());
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string())]);
}

suite!(
    ROUNDTRIP,
    "flight_roundtrip",
    in_memory,
    [
        floats_come_back_bit_for_bit,
        the_schema_of_a_range_is_the_documented_one,
        every_other_type_comes_back_as_it_was,
        modes_write_what_they_say,
        a_range_backward_with_a_limit_and_current_values,
        commands_and_tickets_are_taken_as_protobuf_too,
        each_batch_of_a_stream_is_acknowledged,
        a_glob_that_matches_nothing_is_an_empty_answer,
        flights_paths_and_schemas_tell_the_catalog,
        compressed_batches_are_read,
    ]
);

suite!(
    EXPORT,
    "flight_export",
    in_memory,
    [
        a_plan_has_several_endpoints_and_tells_the_range_resolved,
        the_parts_joined_are_the_whole_and_of_like_size,
        the_dictionary_of_tag_names_comes_once,
    ]
);

suite!(
    SERVICES,
    "grpc_services",
    services,
    [
        health_and_reflection_answer_by_their_bytes,
        a_tag_is_there_once_and_a_missing_one_is_not_found,
        tags_are_listed_in_pages_with_a_filter,
        a_tag_is_changed_where_the_mask_says_and_its_type_never,
        a_tag_is_deleted_once,
        what_fits_is_taken_and_what_does_not_is_a_row,
        tags_are_made_of_what_fits,
        each_message_of_a_stream_is_acknowledged,
        a_range_tells_samples_failures_and_its_bounds,
        a_long_range_and_current_values,
        the_service_tells_its_devices_and_its_state,
    ]
);

fn services(run: &mut Run) {
    let historian = Historian::start(ApiLimits::default());
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string())]);
    run.also("the_http_port_tells_health_and_metrics_of_what_was_called", || {
        let (code, text) = historian.get("/healthz");
        assert_eq!((code, text.as_str()), (200, "ok\n"));
        let (code, text) = historian.get("/metrics");
        assert_eq!(code, 200);
        for line in [
            r#"historian_requests_total{method="historian.v1.TagService/CreateTag",code="OK"}"#,
            r#"historian_requests_total{method="historian.v1.TagService/GetTag",code="NOT_FOUND"}"#,
            r#"historian_requests_total{method="historian.v1.QueryService/Range",code="OK"}"#,
            r#"historian_request_duration_seconds_count{method="historian.v1.WriteService/WriteSamples"}"#,
            "historian_samples_written_total ",
            "historian_watermark ",
            "historian_accepting_writes 1",
            r#"historian_device_state{device="boiler-plc",protocol="modbus",state="connecting"} 1"#,
            "process_start_time_seconds ",
        ] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{line} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
    });
}

#[test]
fn the_http_port_tells_health_and_metrics_of_what_was_called() {
    SERVICES.judge("the_http_port_tells_health_and_metrics_of_what_was_called");
}

suite!(STALLED_READER, "flight_stall", short_of_patience, [a_stalled_reader_is_cut_and_its_permit_goes_to_others,]);

fn short_of_patience(run: &mut Run) {
    let limits = ApiLimits { stalled_reader_timeout: std::time::Duration::from_millis(300), queries_max: 2, ..ApiLimits::default() };
    let historian = Historian::start(limits);
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string())]);
}
