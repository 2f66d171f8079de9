//! Decoders of this room that nobody else calls, for the fuzz targets (`tests/fuzz`): any bytes in, whether they were taken out. What is taken
//! must come back from what it is written as.

use std::str;

use crate::{
    DecodeAllowance,
    page_token::{PageToken, WrongToken},
};
pub use crate::{
    connection::fuzz::connection,
    flight::{
        fuzz::lz4_frame,
        sql::fuzz::{parameters, statement_handle, statement_ticket},
    },
    message::fuzz::{REQUESTS, body, request},
};

/// What a message may take: a quarter of what one input may, since what came, what it is decompressed to and what it is decoded to are there at the
/// same time.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// For each message anew.
pub fn allowance() -> DecodeAllowance {
    DecodeAllowance::new("message_bytes_max", MESSAGE_BYTES_MAX)
}

/// The token of a page.
pub fn page_token(bytes: &[u8]) -> bool {
    const REQUEST: u32 = 7;
    let Ok(text) = str::from_utf8(bytes) else { return false };
    match PageToken::read(text, REQUEST) {
        Ok(token) => {
            assert_eq!(PageToken::read(&token.text(), REQUEST), Ok(token), "a token is read as it was written");
            true
        }
        Err(wrong) => wrong == WrongToken::OfAnotherRequest,
    }
}
