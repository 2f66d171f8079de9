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
mod reason;
mod reload;
mod request;
pub mod resolve;
mod routes;
pub mod sample;
mod serve;
mod services;
mod shared;
pub mod status;
pub mod stream;
mod ticket;
mod timestamps;
mod unary;
mod work;
pub mod write;

pub use access::Access;
pub use allowance::DecodeAllowance;
pub use audit::AuditTrail;
pub use call::{CallLog, CallRecord};
pub use caller::Caller;
pub use connection::{NetworkZone, PortListener};
pub use error::ServeError;
pub use http::{HttpEnd, Starting, serve_http, serve_http_from_the_start};
pub use limits::ApiLimits;
pub use memory::{ClientMemory, MEMORY_BYTES_MIN};
pub use metrics::{Metrics, MetricsFormat};
pub use reload::{ReloadCounts, ReloadError, ReloadReport};
pub use routes::ApiRoutes;
pub use serve::serve;
pub use services::{Admin, AdminStatus, DiskStatus, ProcessStatus, Services};
pub use shared::Api;
use stream::blocking;
pub use work::WorkThreads;
