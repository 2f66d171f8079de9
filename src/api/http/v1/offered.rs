//! The forms in which paths of the API answer.

/// What a path has to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferedForms {
    /// Rows, in every format.
    Rows,
    /// A message, as JSON.
    Message,
    Events,
}
