//! What is wrong with a JSON text, and in which field.

use std::fmt::{self, Display};

/// What of a JSON text is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Path of the field, such as `configuration.percent_data_bad` or `tags[2]`; empty for the whole.
    pub field: String,
    pub message: String,
}

impl Mistake {
    pub(super) fn here(message: impl Into<String>) -> Mistake {
        Mistake { field: String::new(), message: message.into() }
    }

    /// The same, seen from the message around it.
    pub(super) fn within(self, outer: &str) -> Mistake {
        let separator = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        Mistake { field: format!("{outer}{separator}{}", self.field), message: self.message }
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.message),
            field => write!(f, "{field}: {}", self.message),
        }
    }
}

impl std::error::Error for Mistake {}
