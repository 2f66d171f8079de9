//! The HTTP port: `/metrics` for Prometheus, `/livez`, `/readyz` and `/healthz` for supervisors and load balancers. It answers from the first
//! moment on, while the store is still being opened: opening may take long, and whoever watches the process must be able to tell that from a
//! process that hangs.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use futures::StreamExt as _;
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, transport::server::Connected as _};
use tower_layer::Layer as _;

use super::{
    ApiLimits, Metrics, Services,
    access::require,
    connection::{ConnectionAcceptor, ConnectionGate, ConnectionTimes, Peer, Port, PortListener, PortStream, WatchedConnection},
};
use historian_access::Right;

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

/// Connections that are taken at the same time, at the least and at the most.
const CONNECTIONS_MAX: (usize, usize) = (4, 64);

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
pub async fn serve_http(listener: impl Into<PortListener>, services: Services, shutdown: CancellationToken) {
    let (limits, metrics) = (services.limits.clone(), services.metrics.clone());
    serve_http_from_the_start(listener.into(), Arc::new(Starting(OnceLock::from(services))), &limits, &metrics, shutdown).await;
}

/// As [`serve_http`], before there is anything to tell of.
pub async fn serve_http_from_the_start(
    listener: PortListener,
    starting: Arc<Starting>,
    limits: &ApiLimits,
    metrics: &Metrics,
    shutdown: CancellationToken,
) {
    let routes = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(health))
        .with_state(HealthState { starting, shutdown: shutdown.clone() });
    let connections_max = (limits.connections_max / 8).clamp(CONNECTIONS_MAX.0, CONNECTIONS_MAX.1);
    let gate = ConnectionGate::new(Port::Http, connections_max, connections_max, metrics);
    let mut incoming = ConnectionAcceptor::connections(listener, &gate, ConnectionTimes::from(limits));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(Ok(connection)) = incoming.next() => {
                // Who is at the other end of a connection goes with each of its requests.
                let routes = TowerToHyperService::new(Extension(connection.connect_info()).layer(routes.clone()));
                connections.spawn(serve_connection(connection, routes, limits.first_request_timeout, shutdown.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(incoming);
    let ended = async { while connections.join_next().await.is_some() {} };
    // What does not end is cut with the set.
    let _ = tokio::time::timeout(limits.shutdown_grace, ended).await;
}

/// Serves one connection. A request must come within the time, the first one and each further one.
async fn serve_connection<S>(connection: WatchedConnection<PortStream>, routes: S, within: Duration, shutdown: CancellationToken)
where
    S: Service<axum::http::Request<Incoming>, Response = Response, Error = Infallible>,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(within);
    let mut serving = pin!(http.serve_connection(TokioIo::new(connection), routes));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!("a connection of HTTP ended: {error}");
    }
}

/// Metrics name devices and tell of everything that is stored: they are for who runs the historian.
async fn metrics_text(State(told): State<HealthState>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    let Some(services) = told.services() else { return unavailable(STARTING) };
    let principal = services.access.principal(&headers, Some(&peer), &*services.clock).await;
    if let Err(refused) = principal.and_then(|principal| require(&principal, Right::Administer)) {
        let code = match refused.code() {
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        };
        return (code, [(WWW_AUTHENTICATE, "Bearer realm=\"historian\"")], format!("{}\n", refused.message())).into_response();
    }
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
