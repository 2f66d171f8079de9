//! Traces of calls, sent to a collector of OpenTelemetry (OTLP over gRPC). Off unless an address is configured. A trace has the span of the call, whose
//! parent is what the client says in `traceparent` (W3C Trace Context), and below it its stages: waiting for a place, computing, committing.
//!
//! Nothing waits for the collector: spans wait in a queue of bounded length, and what finds no room there is dropped.

mod call;
mod export;
mod settings;

pub use call::{STAGE, ended, follow};
pub use export::{CallTraces, TraceError, layer};
pub use settings::{TraceAddress, TraceSettings};
