//! The write path of the engine, from the sample sink to sealed chunks: journal (durable acknowledgement), heads, current values, sealing,
//! deletions. It starts and ends maintenance, and hands out the reader of what it writes.

mod check;
mod counters;
mod delete;
mod head;
mod ingest;
mod journal;
mod options;
mod seal;
mod sink;
#[cfg(test)]
mod tests;

pub use ingest::Ingest;
pub use journal::Recovered;
pub use options::{IngestOptions, IngestStatus};
