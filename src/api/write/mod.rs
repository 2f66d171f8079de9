//! Writing, decided once for every door: what of a write is taken and why not, which tags it makes, how it is acknowledged, how a stream of
//! writes is held to bounds, and how what is stored is corrected.
//!
//! A door (`DoPut`, `WriteService`) only translates. It reads its messages into [`Options`] and into [`incoming::IncomingSamples`] columns of named
//! tags, puts these into a [`draft::WriteDraft`], and makes its answer of the [`draft::WriteOutcome`]. For a stream it tells how each message is
//! read ([`stream::WriteReader`]).

pub mod acknowledge;
mod answers;
pub mod correct;
pub mod draft;
pub mod exact;
pub mod incoming;
mod new_tag;
mod options;
pub mod refusal;
pub mod sample;
pub mod stream;

pub use options::Options;
