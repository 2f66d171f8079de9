//! The gRPC port.

use std::time::Duration;

use tonic::transport::Server;

use super::{
    ApiRoutes, ServeError,
    connection::{ConnectionAcceptor, ConnectionGate, ConnectionTimes, PENDING_RESETS_MAX, Port, PortListener, timed_requests},
    grpc,
};

/// Serves gRPC, Arrow Flight, health and reflection on a bound listener until `draining` of the routes is cancelled.
///
/// After that no new connection is taken; open requests may end within [`ApiLimits::shutdown_grace`](super::ApiLimits::shutdown_grace), then the call
/// returns and what is still running is cut when its connection drops.
///
/// # Errors
/// When the transport fails.
pub async fn serve(listener: impl Into<PortListener>, routes: ApiRoutes) -> Result<(), ServeError> {
    let ApiRoutes { api, routes, called, authenticated, health } = routes;
    let (services, shutdown) = (&api.services, api.draining.clone());
    let limits = services.limits.clone();
    let router = Server::builder()
        .layer(called)
        .layer(timed_requests(limits.first_request_timeout, limits.write_stream_idle_timeout))
        .layer(authenticated)
        // A dead peer is noticed within a minute, so that its streams and their buffers go.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(limits.connection_streams_max)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        // Windows of the size of some batches: the 64 KiB of the standard would make every DoPut wait for the round trip.
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .add_routes(routes);

    let gate = ConnectionGate::new(Port::Grpc, limits.connections_max, limits.connections_per_address_max, &services.metrics);
    let incoming = ConnectionAcceptor::connections(listener.into(), &gate, ConnectionTimes::from(&limits));
    let watching = tokio::spawn(grpc::admin::watch_health(services.admin.clone(), health, shutdown.clone()));
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
    api.cut.cancel();
    served
}
