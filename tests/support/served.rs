//! The interface of a historian in this process, on loopback: every door, with limits of the test, and neither disk nor collectors needed.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle};

use historian_api::{
    self as api, Access, Admin, AdminStatus, ApiLimits, ApiRoutes, AuditTrail, CallLog, ClientMemory, Metrics, Services, WorkThreads,
};
use historian_collector::DeviceStatus;
use historian_ingest::Ingest;
use historian_model::{Timestamp, sink::WriteError};
use historian_query::QueryEngine;
use historian_sql::TableOptions;
use historian_store::{Annotations, AuditLog, SavedViews};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{engine::TestHistorian, http};

/// A historian that serves on a thread of its own; stops when dropped.
pub struct Served {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What `historian status` and `/metrics` ask, of the ingest alone.
struct Administration {
    ingest: Arc<Ingest>,
    start_time: Timestamp,
}

impl Admin for Administration {
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
            ..AdminStatus::default()
        }
    }

    fn compact(&self) -> Result<u64, WriteError> {
        self.ingest.compact()
    }
}

/// What the API of a historian serves; for those who serve it themselves.
pub fn services(historian: &TestHistorian, limits: ApiLimits, devices: Vec<Arc<DeviceStatus>>) -> Services {
    let ingest = historian.ingest.clone();
    let (store, clock) = (&historian.store, &historian.clock);
    let annotations = Arc::new(Annotations::open(store.clone(), clock.clone()).expect("a store has annotations"));
    Services {
        catalog: historian.catalog.clone(),
        sink: ingest.clone(),
        corrections: ingest.clone(),
        query: QueryEngine::new(ingest.reader()).with_annotations(annotations.clone()),
        annotations,
        views: Arc::new(SavedViews::open(store.clone(), clock.clone()).expect("a store has views")),
        tables: TableOptions::default(),
        clock: historian.clock.clone(),
        access: Access::default(),
        audit: AuditTrail::new(Arc::new(
            AuditLog::with_new_key(historian.store.clone(), historian.clock.clone()).expect("there are random numbers"),
        )),
        devices: Arc::new(move || devices.clone()),
        admin: Arc::new(Administration { ingest, start_time: historian.clock.now() }),
        memory: ClientMemory::new(limits.memory_bytes_max),
        work: WorkThreads::new(|| ()).expect("threads start"),
        limits,
        metrics: Arc::new(Metrics::new()),
        calls: CallLog::default(),
    }
}

impl Served {
    pub fn start(historian: TestHistorian, limits: ApiLimits, devices: Vec<Arc<DeviceStatus>>) -> Served {
        let shutdown = CancellationToken::new();
        let (ready, addresses) = std::sync::mpsc::channel();
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let services = services(&historian, limits, devices);
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads start");
            runtime.block_on(async move {
                let grpc = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
                let http = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
                let address = |listener: &TcpListener| listener.local_addr().expect("a bound listener has an address");
                ready.send((address(&grpc), address(&http))).expect("the test waits");
                let routes = ApiRoutes::new(services, stop).await.expect("the services have their descriptors");
                let (grpc, ()) = tokio::join!(api::serve(grpc, routes.clone()), api::serve_http(http, routes));
                grpc.expect("gRPC is served to the end");
            });
            historian.ingest.close();
        });
        let (grpc, http) = addresses.recv().expect("the historian starts");
        Served { grpc, http, shutdown, thread: Some(thread) }
    }

    /// Code and body of a GET of the HTTP port.
    pub fn get(&self, path: &str) -> (u16, String) {
        http::get(self.http, path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the historian ends well");
            }
        }
    }
}
