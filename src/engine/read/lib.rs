//! The read path of the engine: one consistent snapshot of heads and store, the samples of each tag merged in time order, states of intervals,
//! the memory and the turns of queries, and the change feed.
//!
//! Nothing here changes what is stored. The write path stands above this room and fills its seams: it implements
//! [`ReadHeads`](unstored::ReadHeads) and holds the other end of the feed, a [`FeedWriter`](feed::FeedWriter).

mod error;
pub mod estimate;
pub mod feed;
pub mod memory;
pub mod merge;
pub mod rollup;
pub mod superseded;
pub mod turn;
pub mod unstored;
pub mod versions;

pub use error::ReadError;

/// Samples of one chunk at most. The format allows more; readers pay for whole chunks.
pub const CHUNK_SAMPLES_MAX: usize = 8_192;
