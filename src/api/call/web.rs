//! The same for the HTTP port: each request has an id, which comes back with its answer, and a line in the log.

use std::time::Instant;

use axum::{extract::Request, http::StatusCode, middleware::Next, response::Response};
use tracing::Instrument;

use super::id;

/// Paths as they are told. A client must not be able to make others.
const PATHS: [&str; 4] = ["/metrics", "/livez", "/readyz", "/healthz"];
/// As paths of the API are told: the calls that they become tell the rest themselves.
const API: &str = "/api/";

/// Around all routes.
pub async fn called_web(mut request: Request, next: Next) -> Response {
    let (request_id, started) = (id::of(request.headers()), Instant::now());
    let is_api = request.uri().path().starts_with(API);
    let known = PATHS.into_iter().find(|path| *path == request.uri().path());
    let path = known.unwrap_or(if is_api { API } else { "other" });
    // Calls within have the same id.
    id::put(request.headers_mut(), &request_id);
    let span = tracing::error_span!("call", request_id, method = path);
    let mut response = next.run(request).instrument(span.clone()).await;
    id::put(response.headers_mut(), &request_id);
    let (status, duration_ms) = (response.status(), (started.elapsed().as_secs_f64() * 1e6).round() / 1e3);
    let code = status.as_str();
    span.in_scope(|| match status {
        // Health has lines of its own where it changes, and a scanner finds as many paths as it likes.
        StatusCode::FORBIDDEN | StatusCode::INTERNAL_SERVER_ERROR if !is_api => tracing::info!(code, duration_ms, "call failed"),
        _ => tracing::debug!(code, duration_ms, "call"),
    });
    response
}
