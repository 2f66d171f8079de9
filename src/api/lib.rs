//! The public interface: gRPC, Arrow Flight, health and reflection on one port; metrics and health over HTTP on another.
//!
//! Proto types begin here and nothing is computed here: requests become queries and batches of the layers below, answers become messages.
//! Blocking calls (catalog, query engine) run on blocking threads; every stream between them and the wire is bounded ([`stream`]).

mod answer;
pub mod command;
mod connection;
pub mod convert;
pub mod filter;
pub mod flight;
pub mod grpc;
pub mod http;
pub mod kind;
pub mod metrics;
mod principal;
mod request;
pub mod resolve;
pub mod sample;
pub mod status;
pub mod stream;
mod ticket;
pub mod write;

use std::{sync::Arc, time::Duration};

use historian_proto::v1;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    codec::CompressionEncoding,
    transport::{Server, server::TcpIncoming},
};

pub use http::{Starting, serve_http, serve_http_from_the_start};
pub use metrics::Metrics;

use historian_collector::DeviceStatus;
use historian_model::{
    Clock, RetentionGroup, Tag, Timestamp,
    sink::{CorrectionSink, SampleSink, WriteError},
};
use historian_query::QueryEngine;
use historian_sql::TableOptions;
use historian_store::{Catalog, Maintenance};

/// What the interface serves from. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub catalog: Arc<Catalog>,
    pub sink: Arc<dyn SampleSink>,
    pub corrections: Arc<dyn CorrectionSink>,
    pub query: QueryEngine,
    /// What SQL shows beside the tags.
    pub tables: TableOptions,
    pub clock: Arc<dyn Clock>,
    /// Status of every configured device, in the order of the configuration.
    pub devices: Arc<dyn Fn() -> Vec<Arc<DeviceStatus>> + Send + Sync>,
    pub admin: Arc<dyn Admin>,
    pub limits: ApiLimits,
    /// Counts what the gRPC port serves; the HTTP port shows it.
    pub metrics: Arc<Metrics>,
}

/// Running the service: what [`v1::admin_service_server::AdminService`], `/healthz` and `/metrics` ask.
pub trait Admin: Send + Sync + 'static {
    /// State of ingest now. Does not block.
    fn status(&self) -> AdminStatus;

    /// Seals the heads and lets the store compact; returns the chunks sealed. Blocks until done.
    ///
    /// # Errors
    /// When the store no longer takes writes.
    fn compact(&self) -> Result<u64, WriteError>;

    /// Upkeep of the store; `None` where the store has no files.
    fn maintenance(&self) -> Option<Arc<Maintenance>> {
        None
    }

    /// A tag of this name was put in the place of another one: a device that is configured for it writes to it from now on. Answers whether
    /// one is. Blocks.
    fn collect_into(&self, _tag: &Tag) -> bool {
        false
    }

    /// Which samples go when they are old.
    fn retention(&self) -> Vec<RetentionGroup> {
        Vec::new()
    }
}

/// State of ingest at one moment.
#[derive(Clone, Debug, Default)]
pub struct AdminStatus {
    /// When the process started.
    pub start_time: Timestamp,
    /// Every write up to this number is durable.
    pub watermark: u64,
    pub samples_written: u64,
    /// Samples in heads, not yet sealed.
    pub head_samples: u64,
    /// Chunks made of heads.
    pub chunks_sealed: u64,
    /// Chunks that background work merged into larger ones, and those that it made of others.
    pub chunks_merged: u64,
    pub chunks_written: u64,
    /// Samples that lost against another one at the same timestamp, found by background work.
    pub samples_superseded: u64,
    /// Rounds of background work that ended with an error.
    pub upkeep_failures: u64,
    /// False after a failure of the disk: writes are refused until restart.
    pub accepting_writes: bool,
    /// Why writes are refused; empty while they are accepted.
    pub stopped_reason: String,
    /// Why writes are refused for now, until there is room; empty while there is.
    pub full_reason: String,
    /// Samples not taken since the start, because they lie too far in the future.
    pub samples_rejected: u64,
}

/// Bounds of the interface. Every one has a clear status when it is reached.
#[derive(Clone, Debug)]
pub struct ApiLimits {
    /// Longest message taken, in bytes.
    pub message_bytes_max: usize,
    /// Longest Flight command or ticket, in bytes.
    pub ticket_bytes_max: usize,
    /// Most names and globs in one request.
    pub patterns_max: usize,
    /// Most tags one query may select.
    pub query_tags_max: usize,
    /// Most rows one query may answer.
    pub query_rows_max: u64,
    /// Most bytes one query may answer, as messages.
    pub query_bytes_max: u64,
    /// Threads that work on one query beside the one that answers it; 0 for one per core.
    pub query_threads: usize,
    /// Memory of one query for what it gathers.
    pub query_memory_bytes_max: usize,
    /// Queries at the same time.
    pub queries_max: usize,
    /// Deadline of a query whose client sets none (`grpc-timeout`).
    pub query_deadline_default: Duration,
    /// Longest deadline a client may set.
    pub query_deadline_max: Duration,
    /// How long a query waits for a client that does not read.
    pub stalled_reader_timeout: Duration,
    /// Messages between a query and the wire.
    pub query_messages_in_flight: usize,
    /// Batches of one write stream that wait for the journal at the same time, so that one fsync serves many.
    pub write_batches_in_flight: usize,
    /// Bytes of those batches together.
    pub write_bytes_in_flight: usize,
    /// Acknowledgements kept for a writer that does not read them.
    pub acknowledgements_unread_max: usize,
    /// Subscriptions at the same time.
    pub subscriptions_max: usize,
    /// Endpoints into which one `GetFlightInfo` splits a query.
    pub endpoints_max: usize,
    /// Streams at the same time on one connection.
    pub connection_streams_max: u32,
    /// Threads that work on SQL statements; 0 for one per core.
    pub sql_threads: usize,
    /// Memory of one SQL statement for sorting, grouping and joining.
    pub sql_memory_bytes_max: usize,
    /// Memory of all SQL statements together.
    pub sql_memory_total_bytes_max: usize,
    /// SQL statements at the same time.
    pub sql_statements_max: usize,
    /// Longest text of an SQL statement, in bytes.
    pub sql_text_bytes_max: usize,
    /// Prepared statements that are kept.
    pub prepared_statements_max: usize,
    /// How long a prepared statement is kept that is not used.
    pub prepared_statement_idle: Duration,
    /// How long open requests may run after shutdown was asked.
    pub shutdown_grace: Duration,
}

impl Default for ApiLimits {
    fn default() -> ApiLimits {
        ApiLimits {
            message_bytes_max: 64 << 20,
            ticket_bytes_max: 64 << 10,
            patterns_max: 10_000,
            query_tags_max: 1_000_000,
            query_rows_max: 10_000_000_000,
            query_bytes_max: 1 << 40,
            query_threads: 0,
            query_memory_bytes_max: 512 << 20,
            queries_max: 128,
            query_deadline_default: Duration::from_mins(10),
            query_deadline_max: Duration::from_hours(24),
            stalled_reader_timeout: Duration::from_secs(30),
            query_messages_in_flight: 4,
            write_batches_in_flight: 64,
            write_bytes_in_flight: 24 << 20,
            acknowledgements_unread_max: 16_384,
            subscriptions_max: 256,
            endpoints_max: 16,
            connection_streams_max: 256,
            sql_threads: 0,
            sql_memory_bytes_max: 512 << 20,
            sql_memory_total_bytes_max: 1 << 30,
            sql_statements_max: 32,
            sql_text_bytes_max: 1 << 20,
            prepared_statements_max: 1_000,
            prepared_statement_idle: Duration::from_mins(30),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// State shared by all services of the gRPC port.
pub struct Api {
    pub services: Services,
    /// One permit per running query.
    queries: Arc<Semaphore>,
    /// One permit per subscription.
    subscriptions: Arc<Semaphore>,
    /// The engine of SQL and its prepared statements.
    sql: flight::sql::Sql,
    /// Cancelled when shutdown begins: write streams acknowledge what they took and end.
    draining: CancellationToken,
}

impl Api {
    pub fn new(services: Services, draining: CancellationToken) -> Arc<Api> {
        let queries = Arc::new(Semaphore::new(services.limits.queries_max));
        let subscriptions = Arc::new(Semaphore::new(services.limits.subscriptions_max));
        let sql = flight::sql::Sql::new(&services);
        Arc::new(Api { services, queries, subscriptions, sql, draining })
    }

    fn limits(&self) -> &ApiLimits {
        &self.services.limits
    }
}

/// Runs a blocking call of the layers below on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Status> + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|error| status::from_join(&error))?
}

/// Why the interface does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the gRPC server failed: {0}")]
    Grpc(#[from] tonic::transport::Error),
    #[error("the HTTP server failed: {0}")]
    Http(#[from] std::io::Error),
    #[error("server reflection cannot be built: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves gRPC, Arrow Flight, health and reflection on a bound listener until `shutdown`.
///
/// After `shutdown` no new connection is taken; open requests may end within [`ApiLimits::shutdown_grace`], then the call returns and what is
/// still running is cut when its connection drops.
///
/// # Errors
/// When the transport fails.
pub async fn serve(listener: TcpListener, services: Services, shutdown: CancellationToken) -> Result<(), ServeError> {
    let limits = services.limits.clone();
    let metrics = services.metrics.clone();
    let admin = services.admin.clone();
    let api = Api::new(services, shutdown.clone());

    let (health, health_service) = tonic_health::server::health_reporter();
    for service in metrics::SERVICES {
        health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
    }
    let health_service = health_service.accept_compressed(CompressionEncoding::Gzip);
    let reflected = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(historian_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that the details of errors are shown in words.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };

    let message_max = limits.message_bytes_max;
    // Each service takes messages of any length that is documented, also compressed: the bound is of what they hold then.
    macro_rules! service {
        ($server:expr) => {
            metrics::Counted::new(
                metrics.clone(),
                $server
                    .max_decoding_message_size(message_max)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .send_compressed(CompressionEncoding::Gzip),
            )
        };
    }
    let router = Server::builder()
        // A dead peer is noticed within a minute, so that its streams and their buffers go.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(limits.connection_streams_max)
        .http2_max_pending_accept_reset_streams(Some(connection::PENDING_RESETS_MAX))
        // Windows of the size of some batches: the 64 KiB of the standard would make every DoPut wait for the round trip.
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .add_service(health_service)
        .add_service(reflected().build_v1()?.accept_compressed(CompressionEncoding::Gzip))
        // What tools of past years ask by: grpcui, Postman, Kreya.
        .add_service(reflected().build_v1alpha()?.accept_compressed(CompressionEncoding::Gzip))
        .add_service(service!(v1::tag_service_server::TagServiceServer::new(grpc::tag::Tags(api.clone()))))
        .add_service(service!(v1::write_service_server::WriteServiceServer::new(grpc::write::Writes(api.clone()))))
        .add_service(service!(v1::query_service_server::QueryServiceServer::new(grpc::query::Queries(api.clone()))))
        .add_service(service!(v1::collector_service_server::CollectorServiceServer::new(grpc::collector::Collectors(api.clone()))))
        .add_service(service!(v1::admin_service_server::AdminServiceServer::new(grpc::admin::Administration(api.clone()))))
        .add_service(service!(arrow_flight::flight_service_server::FlightServiceServer::new(flight::Flight(api.clone()))));

    // Set on the sockets themselves: the builder's setting is for listeners it binds itself, and without it every small answer waits for
    // the client's delayed acknowledgement.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).map(|connection| connection.map(connection::Watched::new));
    let watching = tokio::spawn(grpc::admin::watch_health(admin, health, shutdown.clone()));
    let serving = router.serve_with_incoming_shutdown(incoming, {
        let shutdown = shutdown.clone();
        async move { shutdown.cancelled().await }
    });
    let grace = async {
        shutdown.cancelled().await;
        tokio::time::sleep(limits.shutdown_grace).await;
    };
    let served = tokio::select! {
        served = serving => served.map_err(ServeError::from),
        () = grace => {
            tracing::warn!("open requests did not end within {:?} of the shutdown and were cut", limits.shutdown_grace);
            Ok(())
        }
    };
    watching.abort();
    served
}
