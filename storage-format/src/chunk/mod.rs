//! A chunk: a sealed, immutable, checksummed run of one tag's samples (normative text: `chunk.md`).
//!
//! Written once by [`encode_chunk`] at seal, then read by [`ChunkHeader::parse`] when statistics
//! answer the question and by [`Chunk::parse`] when the columns are needed.

mod builder;
mod check;
mod header;
mod reader;
mod statistics;

pub(crate) use builder::check_columns;
pub use builder::{encode_chunk, encode_chunk_with};
pub use header::{CHUNK_HEADER_BYTES, CHUNK_MAGIC, CHUNK_VERSION, ChunkHeader};
pub use reader::Chunk;
pub use statistics::{Extreme, Scalar, Statistics};

/// Most samples one chunk may hold.
pub const CHUNK_SAMPLES_MAX: usize = 65_536;

/// Most bytes of text the values of one chunk may hold.
pub const CHUNK_TEXT_BYTES_MAX: usize = crate::codec::text::BYTES_MAX;
