//! How a client wants the answers to its statements: by headers of the call. A ticket carries what was asked when it was made, so that the
//! schema that was told and the stream that follows are of one kind whoever reads it.

use prost::Message;
use tonic::{Status, metadata::MetadataMap};

use super::Sql;
use crate::api::status;

/// Header of a call that asks for dictionaries where the engine has them.
pub const DICTIONARIES_HEADER: &str = "historian-dictionaries";

/// The form of answers. The default is what every client reads. It is a message because tickets hold it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AnswerOptions {
    /// Columns that the engine has as dictionaries are sent as such, and not as plain text.
    #[prost(bool, tag = "1")]
    pub dictionaries: bool,
    /// The IANA name of the zone in which times are shown; empty for UTC.
    #[prost(string, tag = "2")]
    pub zone: String,
    /// Times are sent as those of a wall clock in the zone, without a zone of their own.
    #[prost(bool, tag = "3")]
    pub zoneless: bool,
}

impl Sql {
    /// What a call asks for.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a header that says nothing known.
    #[expect(clippy::unused_self, reason = "what a session keeps is asked here too")]
    pub fn answer_options(&self, headers: &MetadataMap) -> Result<AnswerOptions, Status> {
        Ok(AnswerOptions { dictionaries: flag(headers, DICTIONARIES_HEADER)?, ..AnswerOptions::default() })
    }
}

/// A header that is `true` or `false`; absent it is false.
fn flag(headers: &MetadataMap, name: &'static str) -> Result<bool, Status> {
    match headers.get(name).map(|value| value.to_str().unwrap_or("")) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            Err(status::invalid(name, format!("{shown:?} is none of true, false")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_true_or_false_and_nothing_else() {
        let of = |value: Option<&'static str>| {
            let mut headers = MetadataMap::new();
            if let Some(value) = value {
                headers.insert(DICTIONARIES_HEADER, value.parse().unwrap());
            }
            flag(&headers, DICTIONARIES_HEADER)
        };
        assert_eq!((of(None).unwrap(), of(Some("false")).unwrap(), of(Some("true")).unwrap()), (false, false, true));
        assert!(of(Some("yes")).unwrap_err().message().contains("true, false"));
    }
}
