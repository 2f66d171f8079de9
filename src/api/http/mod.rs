//! The HTTP port: the [page], the [API](v1) under `/api/`, `/metrics` for Prometheus, `/livez`, `/readyz` and `/healthz` for supervisors and load
//! balancers. It answers from the first moment on, while the store is still being opened: opening may take long, and whoever watches the process
//! must be able to tell that from a process that hangs.

mod page;
mod state;
mod v1;

use std::{convert::Infallible, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode, Uri, Version,
        header::{CONTENT_TYPE, HOST, TRANSFER_ENCODING, WWW_AUTHENTICATE},
    },
    middleware::{self, Next},
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
    ApiLimits, ApiRoutes, Metrics, MetricsFormat,
    access::require,
    blocking,
    call::called_web,
    connection::{ConnectionAcceptor, ConnectionGate, ConnectionTimes, Peer, Port, PortListener, PortStream, WatchedConnection},
};
use historian_access::{Principal, Right};

pub use state::Starting;
use state::{HealthState, STARTING};

/// Connections that are taken at the same time, at the least and at the most: a page keeps one for what is live, and has some for questions.
const CONNECTIONS_MAX: (usize, usize) = (4, 1_024);

/// Paths of the API and of the page that stand in lists, as their routes have them. Whoever tests what each takes must know of all.
pub fn listed_paths() -> impl Iterator<Item = String> {
    v1::listed_paths().chain(page::listed_paths().map(str::to_owned))
}

/// When the port tells of a stop, and when it ends itself: a stop takes a while, and whoever watches is told so.
pub struct HttpEnd {
    pub stopping: CancellationToken,
    pub end: CancellationToken,
}

/// Serves HTTP on a bound listener until `draining` of the routes is cancelled; open requests may end within the grace of the limits.
pub async fn serve_http(listener: impl Into<PortListener>, routes: ApiRoutes) {
    let (limits, metrics) = (routes.api.services.limits.clone(), routes.api.services.metrics.clone());
    let shutdown = routes.api.draining.clone();
    let end = HttpEnd { stopping: shutdown.clone(), end: shutdown };
    serve_http_from_the_start(listener.into(), Arc::new(Starting::from(routes)), &limits, &metrics, end).await;
}

/// As [`serve_http`], before there is anything to tell of.
pub async fn serve_http_from_the_start(
    listener: PortListener,
    starting: Arc<Starting>,
    limits: &ApiLimits,
    metrics: &Metrics,
    HttpEnd { stopping, end: shutdown }: HttpEnd,
) {
    let state = HealthState { starting, stopping };
    let routes = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(health))
        .with_state(state.clone())
        .merge(v1::routes(state))
        .merge(page::routes())
        .layer(middleware::from_fn_with_state(listener.tls.is_some(), sound))
        .layer(middleware::from_fn(called_web));
    let connections_max = (limits.connections_max / 4).clamp(CONNECTIONS_MAX.0, CONNECTIONS_MAX.1);
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

/// Refuses what no honest client sends. A body in parts is for nothing that is served here, and where a message says its length as well, two programs
/// may read it differently (request smuggling). Without TLS a name in `Host` is one that somebody has made lead to this machine, so that a page of
/// theirs may read what is here (DNS rebinding): addresses and `localhost` are what it is called by then.
async fn sound(State(is_secured): State<bool>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(TRANSFER_ENCODING) {
        return (StatusCode::BAD_REQUEST, "no request here has a body in parts\n").into_response();
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let is_one = more.is_none() && (host.is_some() || request.version() == Version::HTTP_10);
    if !is_one {
        return (StatusCode::BAD_REQUEST, "a request has one header Host\n").into_response();
    }
    if !is_secured && !host.is_none_or(|host| host.to_str().is_ok_and(is_of_this_machine)) {
        let told = "this port has no TLS, and is called by an address or as localhost\n";
        return (StatusCode::MISDIRECTED_REQUEST, told).into_response();
    }
    next.run(request).await
}

/// Whether a `Host` is an address or `localhost`, with a port or without.
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // Not the colons within an address of IPv6.
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// Metrics name devices and tell of everything that is stored: they are for who runs the historian.
async fn metrics_text(State(told): State<HealthState>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    let Some(services) = told.services() else { return unavailable(STARTING) };
    let known = services.access.principal(&headers, Some(&peer), &*services.clock).await;
    let principal = known.as_ref().map_or_else(|_| Principal::nobody(), Principal::clone);
    if let Err(refused) = known.and_then(|principal| require(&principal, Right::Administer)) {
        services.audit.denied(&principal, Some(peer.address.ip()), "GET /metrics", &refused).await;
        let code = match refused.code() {
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        };
        return (code, [(WWW_AUTHENTICATE, "Bearer realm=\"historian\"")], format!("{}\n", refused.message())).into_response();
    }
    let (services, format) = (services.clone(), MetricsFormat::asked(&headers));
    // The disk and the database are asked.
    let text = blocking(move || services.metrics.render(&services, format).map_err(|error| tonic::Status::internal(error.to_string())));
    match text.await {
        Ok(text) => ([(CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", error.message())).into_response(),
    }
}

/// One thing that must hold, and why it does not.
struct HealthCheck {
    name: &'static str,
    failed: Option<String>,
}

/// What holds of a historian now, in the order in which it is told.
async fn checks(told: &HealthState) -> Vec<HealthCheck> {
    let Some(services) = told.services() else { return vec![HealthCheck { name: "started", failed: Some(STARTING.to_owned()) }] };
    let status = services.admin.status();
    let stopped = match (status.accepting_writes, status.stopped_reason) {
        (true, _) => None,
        (false, reason) if reason.is_empty() => Some("the store no longer takes writes".to_owned()),
        (false, reason) => Some(reason),
    };
    let admin = services.admin.clone();
    // Asked of the disk itself: what the last write met may be long ago.
    let room = blocking(move || Ok(admin.room())).await.unwrap_or_else(|error| Err(error.message().to_owned()));
    vec![
        HealthCheck { name: "started", failed: None },
        HealthCheck { name: "running", failed: told.stopping.is_cancelled().then(|| "stopping".to_owned()) },
        HealthCheck { name: "journal", failed: stopped },
        HealthCheck { name: "room", failed: room.err() },
    ]
}

/// Whether requests are answered and writes are taken now.
async fn ready(State(told): State<HealthState>, uri: Uri) -> Response {
    let checks = checks(&told).await;
    answer(&checks, &uri, |check| match check.name {
        "journal" => Some("not accepting writes: "),
        "room" => Some("not accepting writes, no room: "),
        _ => Some(""),
    })
}

/// Whether writes are taken, or will be without anybody's help: a full disk ends by itself.
async fn health(State(told): State<HealthState>, uri: Uri) -> Response {
    let checks = checks(&told).await;
    answer(&checks, &uri, |check| (check.name != "room").then_some("not accepting writes: "))
}

/// 200 where nothing that counts has failed. `counts` says what stands before a reason, of those that do.
fn answer(checks: &[HealthCheck], uri: &Uri, counts: impl Fn(&HealthCheck) -> Option<&'static str>) -> Response {
    let mut failures = checks.iter().filter_map(|check| Some(format!("{}{}", counts(check)?, check.failed.as_ref()?)));
    let failure = failures.next();
    let code = if failure.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = uri.query().is_some_and(|query| query.split('&').any(|part| part == "verbose" || part == "verbose=true"));
    if !verbose {
        return (code, format!("{}\n", failure.as_deref().unwrap_or("ok"))).into_response();
    }
    let one = |check: &HealthCheck| serde_json::json!({ "name": check.name, "ok": check.failed.is_none(), "reason": check.failed });
    let all = serde_json::json!({ "ok": failure.is_none(), "reason": failure, "checks": checks.iter().map(one).collect::<Vec<_>>() });
    (code, [(CONTENT_TYPE, "application/json")], format!("{all}\n")).into_response()
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_a_machine_is_called_by_address_or_as_localhost() {
        for own in ["127.0.0.1", "127.0.0.1:8080", "localhost", "LocalHost:1", "[::1]", "[::1]:8080", "::1", "192.0.2.7:80"] {
            assert!(is_of_this_machine(own), "{own}");
        }
        for foreign in
            ["", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example:80", "127.0.0.1:x", "[::1"]
        {
            assert!(!is_of_this_machine(foreign), "{foreign}");
        }
    }
}
