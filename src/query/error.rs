//! Why a query gives no answer, and what failures of the layers below are to it.

use historian_model::Tag;
use historian_read::{ReadError, memory::OutOfMemory};
use historian_store::StoreError;

/// Why a query gave no (further) answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    #[error("{0}")]
    Invalid(String),
    #[error("the query took longer than its deadline; ask for less, or with a longer deadline")]
    Deadline,
    #[error("the answer has more than {0} rows; narrow the range or set a limit")]
    TooManyRows(u64),
    #[error("cancelled")]
    Cancelled,
    #[error("stored data of tag {tag} cannot be read: {reason}")]
    DataLoss { tag: String, reason: String },
    #[error("the store failed: {0}")]
    Store(String),
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// Would succeed now.
    #[error("{0}")]
    Repeat(String),
    /// The store cannot read for now. Ends by itself.
    #[error("{0}")]
    NoRoom(String),
    #[error("a bug stopped this query; please report it with the lines of the log at this time")]
    Bug,
}

impl QueryError {
    pub(super) fn viewing(error: &ReadError) -> QueryError {
        match error {
            ReadError::Waited => QueryError::Deadline,
            ReadError::Store(StoreError::Full(message)) => QueryError::NoRoom(message.clone()),
            error => QueryError::Store(error.to_string()),
        }
    }

    /// What a failure to read a tag is to the query.
    pub fn reading(tag: &Tag, error: &ReadError) -> QueryError {
        match error {
            ReadError::Store(StoreError::Io(message)) => QueryError::Store(message.clone()),
            ReadError::Store(StoreError::Full(message)) => QueryError::NoRoom(message.clone()),
            ReadError::Store(reopened @ StoreError::Reopened) => QueryError::Repeat(reopened.to_string()),
            ReadError::Memory(error) => QueryError::Memory(*error),
            ReadError::Waited => QueryError::Deadline,
            ReadError::NotInView(_) => QueryError::Bug,
            damaged => QueryError::DataLoss { tag: tag.name().to_string(), reason: damaged.to_string() },
        }
    }
}
