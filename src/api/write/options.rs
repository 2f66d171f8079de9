//! Options of a write.

use historian_proto::v1::{self, write_request};
use tonic::Status;

use crate::status;
use historian_model::sink::{Durability, WriteMode};

/// Options of a write, checked.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub mode: WriteMode,
    pub durability: Durability,
    pub create_tags: bool,
}

impl Options {
    /// Reads the options of a write; absent options are the defaults.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a number that is no mode or durability.
    pub fn from_proto(request: &v1::WriteRequest) -> Result<Options, Status> {
        let mode = match write_request::Mode::try_from(request.mode) {
            Ok(write_request::Mode::Unspecified | write_request::Mode::Upsert) => WriteMode::Upsert,
            Ok(write_request::Mode::Insert) => WriteMode::Insert,
            Err(_) => return Err(status::invalid("mode", format!("{} is none of UPSERT, INSERT", request.mode))),
        };
        let durability = match write_request::Durability::try_from(request.durability) {
            Ok(write_request::Durability::Unspecified | write_request::Durability::Sync) => Durability::Sync,
            Ok(write_request::Durability::Interval) => Durability::Interval,
            Err(_) => return Err(status::invalid("durability", format!("{} is none of SYNC, INTERVAL", request.durability))),
        };
        Ok(Options { mode, durability, create_tags: request.create_tags })
    }
}
