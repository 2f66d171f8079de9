//! How a client wants the answers to its statements: by its session and the headers of the call. A ticket carries what was asked when it was made, so that the
//! schema that was told and the stream that follows are of one kind whoever reads it.

use prost::Message;
use tonic::{Status, metadata::MetadataMap};

use super::Sql;
use crate::flight::session::SessionOptions;

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
    /// What a call asks for, by its session and its headers.
    ///
    /// # Errors
    /// As [`SessionOptions::of_call`].
    pub fn answer_options(&self, headers: &MetadataMap) -> Result<AnswerOptions, Status> {
        let SessionOptions { zone, zoneless, dictionaries } = SessionOptions::of_call(headers)?;
        Ok(AnswerOptions { dictionaries, zone: zone.unwrap_or_default(), zoneless })
    }
}
