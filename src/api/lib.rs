//! The public interface: gRPC, Arrow Flight, health and reflection on one port; metrics and health over HTTP on another; both with TLS or
//! without. What comes by the local socket is served as what comes by the first of them.
//!
//! Proto types begin here and nothing is computed here: requests become queries and batches of the layers below, answers become messages.
//! What a client asks to be read or computed goes through one entry ([`stream`], [`Api::bounded`]): it has a place among the others, a deadline, a
//! share of memory and of the processors, and a thread that ingest and collectors do not use. Every stream between it and the wire is bounded.

mod access;
mod allowance;
mod answer;
mod audit;
mod call;
mod caller;
pub mod command;
mod connection;
pub mod convert;
mod error;
pub mod filter;
pub mod flight;
#[doc(hidden)]
pub mod fuzz;
pub mod grpc;
pub mod http;
pub mod kind;
mod limits;
mod memory;
mod message;
pub mod metrics;
mod page_token;
mod places;
mod reload;
mod request;
pub mod resolve;
pub mod sample;
mod services;
mod shared;
pub mod status;
pub mod stream;
mod ticket;
mod timestamps;
mod unary;
mod work;
pub mod write;

use std::time::Duration;

use historian_proto::v1;
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding, transport::Server};

pub use access::Access;
use access::authenticated;
pub use allowance::DecodeAllowance;
pub use audit::AuditTrail;
use call::called;
pub use call::{CallLog, CallRecord};
pub use caller::Caller;
use connection::{ConnectionAcceptor, ConnectionGate, ConnectionTimes, Port, timed_requests};
pub use connection::{NetworkZone, PortListener};
pub use error::ServeError;
pub use http::{HttpEnd, Starting, serve_http, serve_http_from_the_start};
pub use limits::ApiLimits;
pub use memory::{ClientMemory, MEMORY_BYTES_MIN};
use message::CheckedService;
pub use metrics::{Metrics, MetricsFormat};
pub use reload::{ReloadCounts, ReloadError, ReloadReport};
pub use services::{Admin, AdminStatus, DiskStatus, ProcessStatus, Services};
pub use shared::Api;
use stream::blocking;
pub use work::WorkThreads;

/// Serves gRPC, Arrow Flight, health and reflection on a bound listener until `shutdown`.
///
/// After `shutdown` no new connection is taken; open requests may end within [`ApiLimits::shutdown_grace`], then the call returns and what is
/// still running is cut when its connection drops.
///
/// # Errors
/// When the transport fails.
pub async fn serve(listener: impl Into<PortListener>, services: Services, shutdown: CancellationToken) -> Result<(), ServeError> {
    let limits = services.limits.clone();
    let metrics = services.metrics.clone();
    metrics.expect_kinds(kind::timed());
    let admin = services.admin.clone();
    let memory = services.memory.clone();
    let (access, clock, audit, calls) = (services.access.clone(), services.clock.clone(), services.audit.clone(), services.calls.clone());
    let api = Api::new(services, shutdown.clone());
    let cut = api.cut.clone();

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
    // Each service takes messages of any length that is documented, also compressed: the bound is of what they hold then, and of what they take
    // when they are decoded.
    macro_rules! checked {
        ($server:expr) => {
            CheckedService::new($server, limits.decode_allowance(), memory.clone())
        };
    }
    macro_rules! service {
        ($server:expr) => {
            checked!(
                $server
                    .max_decoding_message_size(message_max)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .send_compressed(CompressionEncoding::Gzip)
            )
        };
    }
    let router = Server::builder()
        .layer(called(metrics.clone(), calls))
        .layer(timed_requests(limits.first_request_timeout, limits.write_stream_idle_timeout))
        .layer(authenticated(access, clock, audit, limits.requests_per_client_s_max))
        // A dead peer is noticed within a minute, so that its streams and their buffers go.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(limits.connection_streams_max)
        .http2_max_pending_accept_reset_streams(Some(connection::PENDING_RESETS_MAX))
        // Windows of the size of some batches: the 64 KiB of the standard would make every DoPut wait for the round trip.
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .add_service(checked!(health_service))
        .add_service(checked!(reflected().build_v1()?.accept_compressed(CompressionEncoding::Gzip)))
        // What tools of past years ask by: grpcui, Postman, Kreya.
        .add_service(checked!(reflected().build_v1alpha()?.accept_compressed(CompressionEncoding::Gzip)))
        .add_service(service!(v1::tag_service_server::TagServiceServer::new(grpc::tag::TagRpc(api.clone()))))
        .add_service(service!(v1::write_service_server::WriteServiceServer::new(grpc::write::Writes(api.clone()))))
        .add_service(service!(v1::query_service_server::QueryServiceServer::new(grpc::query::Queries(api.clone()))))
        .add_service(service!(v1::collector_service_server::CollectorServiceServer::new(grpc::collector::CollectorRpc(api.clone()))))
        .add_service(service!(v1::admin_service_server::AdminServiceServer::new(grpc::admin::AdminRpc(api.clone()))))
        .add_service(service!(v1::access_service_server::AccessServiceServer::new(grpc::access::AccessRpc)))
        .add_service(service!(arrow_flight::flight_service_server::FlightServiceServer::new(flight::Flight(api.clone()))));

    let gate = ConnectionGate::new(Port::Grpc, limits.connections_max, limits.connections_per_address_max, &metrics);
    let incoming = ConnectionAcceptor::connections(listener.into(), &gate, ConnectionTimes::from(&limits));
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
    // Connections are cut by who drops the runtime; what works for them is not to wait for that.
    cut.cancel();
    served
}
