//! The public interface from outside: pyarrow and grpcio against a historian that serves from memory.

use std::{net::SocketAddr, process::Command, sync::Arc, thread::JoinHandle};

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

use crate::support::peer;

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
            kept: status.kept,
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

/// Runs a Python script of `tests/peers` to its end and shows what it says when it fails.
pub fn python(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(peer::python())
        .arg(peer::root().join("tests/peers").join(script))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{script}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} failed:\n{text}");
    text
}

#[test]
fn pyarrow_writes_and_reads_every_type_bit_for_bit() {
    let historian = Historian::start(ApiLimits::default());
    python("flight_roundtrip.py", &[&historian.grpc.to_string()]);
}

#[test]
fn pyarrow_exports_in_parallel_what_it_exports_at_once() {
    let historian = Historian::start(ApiLimits::default());
    python("flight_export.py", &[&historian.grpc.to_string()]);
}

#[test]
fn grpcio_uses_every_service() {
    let historian = Historian::start(ApiLimits::default());
    python("grpc_services.py", &[&historian.grpc.to_string(), peer::root().join("proto").to_str().unwrap()]);

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
}

#[test]
fn a_reader_that_does_not_read_is_cut_and_the_historian_lives() {
    let limits = ApiLimits { stalled_reader_timeout: std::time::Duration::from_millis(300), queries_max: 2, ..ApiLimits::default() };
    let historian = Historian::start(limits);
    python("flight_stall.py", &[&historian.grpc.to_string()]);
}
