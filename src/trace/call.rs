//! What a span of a call is told beside its fields, which the layer takes as they are.

use std::collections::HashMap;

use opentelemetry::{
    propagation::TextMapPropagator as _,
    trace::{Status, TraceContextExt as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::{Code, codegen::http::HeaderMap};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Target of spans that are stages of a call: for traces only, the log has them nowhere.
pub const STAGE: &str = "historian_trace::stage";

/// The headers of W3C Trace Context. Longer ones are no trace.
const HEADERS: [&str; 2] = ["traceparent", "tracestate"];
const HEADER_BYTES_MAX: usize = 512;

/// Makes the span of a call a part of the trace that its client names in its headers, if it names one. To be called before the span is entered.
pub fn follow(span: &Span, headers: &HeaderMap) {
    let named = |name: &str| headers.get(name)?.to_str().ok().filter(|text| text.len() <= HEADER_BYTES_MAX).map(str::to_owned);
    let [parent, state] = HEADERS.map(named);
    let Some(parent) = parent else { return };
    let told: HashMap<String, String> =
        [(HEADERS[0].to_owned(), parent)].into_iter().chain(state.map(|state| (HEADERS[1].to_owned(), state))).collect();
    let context = TraceContextPropagator::new().extract(&told);
    if context.span().span_context().is_valid() {
        // It fails where nothing is traced.
        let _ = span.set_parent(context);
    }
}

/// Tells a span how its call ended, and what else is known of it then.
pub fn ended(span: &Span, code: Code, facts: &[(&'static str, i64)], kind: Option<&'static str>) {
    span.set_attribute("rpc.grpc.status_code", i64::from(code as i32));
    if is_ours(code) {
        span.set_status(Status::error(code.description()));
    }
    for &(name, value) in facts {
        span.set_attribute(name, value);
    }
    if let Some(kind) = kind {
        span.set_attribute("historian.kind", kind);
    }
}

/// Whether a code says that the server failed: for a span of a server the others are the client's, and no errors (semantic conventions of RPC).
fn is_ours(code: Code) -> bool {
    matches!(code, Code::Unknown | Code::DeadlineExceeded | Code::Unimplemented | Code::Internal | Code::Unavailable | Code::DataLoss)
}
