//! The storage format of the historian: chunks of samples, their column codecs, the journal's
//! records and the keys under which they are kept.
//!
//! It stands between ingest, which hands it runs of [`Samples`], and the store, which keeps the
//! bytes. It does no I/O and knows neither `RocksDB` nor Arrow; its columns are laid out so that
//! Arrow arrays can take them over without a copy. The normative text is in the Markdown files of
//! this folder (`README.md`, `chunk.md`, `codecs.md`, `keys.md`, `journal.md`, `rollup.md`,
//! `spool.md`).
//!
//! ```
//! use historian_format::{Chunk, Samples, Value, ValueType, encode_chunk};
//!
//! let mut samples = Samples::new(ValueType::F64);
//! samples.push(1_000_000_000, Some(&Value::F64(21.5)), 0)?;
//! samples.push(2_000_000_000, None, 0x8000_0000)?; // Bad, without a value
//! let mut bytes = Vec::new();
//! encode_chunk(7, 1, &samples, &mut bytes)?;
//!
//! let chunk = Chunk::parse(&bytes)?;
//! assert_eq!(chunk.header().statistics.good_count, 1);
//! assert_eq!(chunk.decode()?, samples);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![expect(clippy::inline_always, reason = "inner loops; measured: Gorilla decodes a quarter to a third slower where the compiler decides")]

mod bitmap;
mod chunk;
mod codec;
pub mod current;
mod effort;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod journal;
pub mod keys;
pub mod rollup;
mod samples;
pub mod spool;
mod string_column;
mod value;
mod values;

pub use bitmap::Bitmap;
pub use chunk::{
    CHUNK_HEADER_BYTES, CHUNK_MAGIC, CHUNK_SAMPLES_MAX, CHUNK_TEXT_BYTES_MAX, CHUNK_VERSION, Chunk, ChunkHeader, Extreme, Scalar,
    Statistics, encode_chunk, encode_chunk_with,
};
pub use codec::verify::inexact_columns;
pub use codec::{PresenceCodec, QualityCodec, TimestampCodec, ValueCodec};
pub use effort::Effort;
pub use error::{CorruptChunk, CorruptRecord, EncodeError, PushError};
pub use samples::{Sample, Samples, is_good};
pub use string_column::StringColumn;
pub use value::{UnknownValueType, Value, ValueType};
pub use values::Values;

/// Runs the example of `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
