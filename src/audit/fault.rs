//! What can be wrong with a log.

use serde::Serialize;

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Numbers are left out.
    Missing,
    /// A number comes again, or a smaller one behind a greater one.
    Order,
    /// The text, or the hash of the entry before, is another one than was hashed.
    Changed,
    /// A line or a value is not what an entry looks like.
    Unreadable,
    /// A head knows of entries that the log does not have.
    Cut,
    /// The log has another entry in the place of one that a head knows.
    Rewritten,
    /// A head whose signature is not of the key that it should be of.
    Unsigned,
}

impl FaultKind {
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::Missing => "missing",
            FaultKind::Order => "order",
            FaultKind::Changed => "changed",
            FaultKind::Unreadable => "unreadable",
            FaultKind::Cut => "cut",
            FaultKind::Rewritten => "rewritten",
            FaultKind::Unsigned => "unsigned",
        }
    }
}
