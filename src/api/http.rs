//! The HTTP port: `/metrics` for Prometheus, `/livez`, `/readyz` and `/healthz` for supervisors and load balancers. It answers from the first
//! moment on, while the store is still being opened: opening may take long, and whoever watches the process must be able to tell that from a
//! process that hangs.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{ServeError, Services};

/// What the port tells until it is [done](Starting::done): that the historian starts.
#[derive(Default)]
pub struct Starting(OnceLock<Services>);

impl Starting {
    /// The store is open and its journal replayed: from now on the port tells of these.
    pub fn done(&self, services: Services) {
        let _ = self.0.set(services);
    }
}

const STARTING: &str = "starting: the store is being opened and its journal replayed";

#[derive(Clone)]
struct HealthState {
    starting: Arc<Starting>,
    shutdown: CancellationToken,
}

impl HealthState {
    /// `None` while the store is opened.
    fn services(&self) -> Option<&Services> {
        self.starting.0.get()
    }
}

/// Serves HTTP on a bound listener until `shutdown`; open requests may end within the grace of the limits.
///
/// # Errors
/// When the listener fails.
pub async fn serve_http(listener: TcpListener, services: Services, shutdown: CancellationToken) -> Result<(), ServeError> {
    let grace = services.limits.shutdown_grace;
    serve_http_from_the_start(listener, Arc::new(Starting(OnceLock::from(services))), grace, shutdown).await
}

/// As [`serve_http`], before there is anything to tell of.
///
/// # Errors
/// As [`serve_http`].
pub async fn serve_http_from_the_start(
    listener: TcpListener,
    starting: Arc<Starting>,
    grace: Duration,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(health))
        .with_state(HealthState { starting, shutdown: shutdown.clone() });
    let stop = shutdown.clone();
    let serving = axum::serve(listener, routes).with_graceful_shutdown(async move { stop.cancelled().await });
    tokio::select! {
        served = async { serving.await } => Ok(served?),
        () = async { shutdown.cancelled().await; tokio::time::sleep(grace).await } => Ok(()),
    }
}

async fn metrics(State(told): State<HealthState>) -> Response {
    let Some(services) = told.services() else { return unavailable(STARTING) };
    match services.metrics.render(services) {
        Ok(text) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Whether requests are answered.
async fn ready(State(told): State<HealthState>) -> Response {
    match told.services() {
        Some(_) if told.shutdown.is_cancelled() => unavailable("stopping"),
        Some(_) => "ok\n".into_response(),
        None => unavailable(STARTING),
    }
}

/// Whether writes are taken.
async fn health(State(told): State<HealthState>) -> Response {
    let Some(services) = told.services() else { return unavailable(&format!("not accepting writes: {STARTING}")) };
    let status = services.admin.status();
    if status.accepting_writes {
        "ok\n".into_response()
    } else {
        let reason = if status.stopped_reason.is_empty() { "the store no longer takes writes" } else { &status.stopped_reason };
        unavailable(&format!("not accepting writes: {reason}"))
    }
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}
