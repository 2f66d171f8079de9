//! The HTTP port: `/metrics` for Prometheus, `/healthz` for load balancers and supervisors.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{ServeError, Services};

/// Serves HTTP on a bound listener until `shutdown`; open requests may end within the grace of the limits.
///
/// # Errors
/// When the listener fails.
pub async fn serve_http(listener: TcpListener, services: Services, shutdown: CancellationToken) -> Result<(), ServeError> {
    let grace = services.limits.shutdown_grace;
    let routes = Router::new().route("/metrics", get(metrics)).route("/healthz", get(health)).with_state(services);
    let stop = shutdown.clone();
    let serving = axum::serve(listener, routes).with_graceful_shutdown(async move { stop.cancelled().await });
    tokio::select! {
        served = async { serving.await } => Ok(served?),
        () = async { shutdown.cancelled().await; tokio::time::sleep(grace).await } => Ok(()),
    }
}

async fn metrics(State(services): State<Services>) -> impl IntoResponse {
    match services.metrics.render(&services) {
        Ok(text) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn health(State(services): State<Services>) -> impl IntoResponse {
    let status = services.admin.status();
    if status.accepting_writes {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let reason = if status.stopped_reason.is_empty() { "the store no longer takes writes" } else { &status.stopped_reason };
        (StatusCode::SERVICE_UNAVAILABLE, format!("not accepting writes: {reason}\n"))
    }
}
