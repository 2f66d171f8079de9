//! Plant historian: collectors, ingest, store, query and API in one process.
//!
//! One way through the house, and nobody walks back up:
//!
//! ```text
//! device → collector → ingest → chunk (historian-format) → store → query → api → wire
//! ```
//!
//! `ARCHITECTURE.md` has the map.

pub mod api;
pub mod cli;
pub mod collector;
pub mod ingest;
pub mod model;
pub mod query;
pub mod server;
pub mod simulator;
pub mod store;
