//! Why samples are not taken, in the words that every door uses.

use std::fmt;

use historian_proto::v1::TagFailure;
use tonic::Code;

use super::exact::NotExact;
use crate::answer;
use historian_model::{Quality, tag::InvalidTagName};

/// Why the samples of one tag cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagRefusal {
    #[error("{}", answer::NO_TAG)]
    UnknownTag,
    #[error("the token does not permit to write a tag of this name")]
    NotPermitted,
    /// A tag that is to be made cannot have this name.
    #[error(transparent)]
    Name(#[from] InvalidTagName),
    /// The columns do not go together; says which rule is broken.
    #[error("{0}")]
    Columns(String),
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
}

impl TagRefusal {
    /// As a row of an answer of which the rest is served.
    pub fn failure(&self, tag: String) -> TagFailure {
        match self {
            TagRefusal::UnknownTag => answer::unknown(tag),
            TagRefusal::NotPermitted => TagFailure { tag, code: Code::PermissionDenied.into(), message: self.to_string() },
            refusal => TagFailure { tag, code: Code::InvalidArgument.into(), message: refusal.to_string() },
        }
    }
}

/// A sample that does not fit its tag. Rows are those of the columns of the tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoesNotFit {
    /// Neither a value nor a reason why there is none.
    NoValue {
        row: usize,
        quality: Quality,
    },
    NotExact(NotExact),
}

impl DoesNotFit {
    /// The row it is about; `None` where it is all of them.
    pub fn row(&self) -> Option<usize> {
        match self {
            DoesNotFit::NoValue { row, .. } | DoesNotFit::NotExact(NotExact::Value { row, .. }) => Some(*row),
            DoesNotFit::NotExact(NotExact::Type { .. }) => None,
        }
    }

    /// The text, with the place as the door counts.
    pub fn at(&self, place: &str) -> String {
        match self {
            DoesNotFit::NoValue { quality, .. } => {
                format!("{place} has no value and the quality {quality}; a sample without a value needs a quality that is not Good")
            }
            DoesNotFit::NotExact(error) => format!("{place}: {error}"),
        }
    }
}

impl From<NotExact> for DoesNotFit {
    fn from(error: NotExact) -> DoesNotFit {
        DoesNotFit::NotExact(error)
    }
}

impl std::error::Error for DoesNotFit {}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.row()) {
            (DoesNotFit::NotExact(error), None) => error.fmt(f),
            (_, row) => f.write_str(&self.at(&format!("sample {}", row.unwrap_or_default()))),
        }
    }
}
