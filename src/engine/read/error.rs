//! Why a tag could not be read.

use historian_format::PushError;

use super::memory::OutOfMemory;
use historian_store::StoreError;

/// Why a tag could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("chunks of another value type than the tag's: {0}")]
    Type(#[from] PushError),
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// A write is being applied that takes longer than there was time.
    #[error("a large write is being applied")]
    Waited,
    /// A mistake of ours: the view was taken for other tags.
    #[error("tag id {0} is not in this view")]
    NotInView(u32),
}
