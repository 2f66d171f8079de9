//! Tokens of pages: how far an answer came, as a text that the client brings back for the rest. Each is bound to its request, so that a page
//! never continues another answer.

use std::fmt::Write;

use prost::Message;
use tonic::Status;

use super::status;

/// How far an answer came. Its own message, as it is nobody's but ours.
#[derive(Clone, PartialEq, Message)]
pub struct PageToken {
    /// Of the request without size and token of the page, see [`request_sum`].
    #[prost(fixed32, tag = "1")]
    pub request: u32,
    /// Of a range: its bounds as resolved for the first page.
    #[prost(sfixed64, tag = "2")]
    pub start: i64,
    #[prost(sfixed64, tag = "3")]
    pub end: i64,
    #[prost(bool, tag = "4")]
    pub reverse: bool,
    /// Of a list: the tag that came last. Of a range in the LONG layout: the tag that is next or under way.
    #[prost(string, tag = "5")]
    pub tag: String,
    /// Of a range: timestamp of the last row.
    #[prost(sfixed64, optional, tag = "6")]
    pub after: Option<i64>,
    /// Of a range: rows of the tag so far; in the WIDE layout all rows so far.
    #[prost(uint64, tag = "7")]
    pub given: u64,
}

/// What is wrong with a text that should be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongToken {
    /// This version makes no such text.
    None,
    OfAnotherRequest,
}

impl PageToken {
    /// Reads a token of the request with this sum.
    ///
    /// # Errors
    /// When it is none, or of another request.
    pub fn read(text: &str, request: u32) -> Result<PageToken, WrongToken> {
        let token = decode(text).ok_or(WrongToken::None)?;
        if token.request == request { Ok(token) } else { Err(WrongToken::OfAnotherRequest) }
    }

    /// Lower-case hexadecimal digits.
    pub fn text(&self) -> String {
        self.encode_to_vec().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

fn decode(text: &str) -> Option<PageToken> {
    if !text.is_ascii() || text.len() % 2 == 1 {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect();
    PageToken::decode(&bytes?[..]).ok()
}

/// What a token knows its request by: a checksum of it without size and token of the page.
pub fn request_sum(without_page: &impl Message) -> u32 {
    crc32c::crc32c(&without_page.encode_to_vec())
}

/// Entries of a page of a list, where the request does not say how many; and the most that it may ask for.
const PAGE_DEFAULT: i32 = 1_000;
const PAGE_MAX: i32 = 10_000;

/// How many entries a page of a list has at most.
///
/// # Errors
/// `INVALID_ARGUMENT` when the request asks for a number that there is not.
pub fn page_size(asked: i32) -> Result<usize, Status> {
    let size = if asked == 0 { PAGE_DEFAULT } else { asked };
    let known = usize::try_from(size).ok().filter(|_| size <= PAGE_MAX);
    known.ok_or_else(|| status::invalid("page_size", format!("{asked} is not between 0 (meaning {PAGE_DEFAULT}) and {PAGE_MAX}")))
}

/// Token of the page of a list of tags behind the tag `last`.
pub fn behind_tag(request: u32, last: &str) -> String {
    PageToken { request, tag: last.to_owned(), ..PageToken::default() }.text()
}

/// Name of the tag behind which a page of a list of tags starts; without a token it is the first page.
///
/// # Errors
/// `INVALID_ARGUMENT` when the token is of another query.
pub fn start_of_list(request: u32, token: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = PageToken::read(token, request).ok().filter(|token| !token.tag.is_empty());
    read.map(|token| Some(token.tag)).ok_or_else(|| {
        let message = "not a token of this query; repeat tags and filter of the page before, or start again without a token";
        status::invalid("page_token", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_a_list_belong_to_their_query() {
        let token = behind_tag(7, "a/Kühlung");
        assert_eq!(start_of_list(7, &token).unwrap().as_deref(), Some("a/Kühlung"));
        assert_eq!(start_of_list(7, "").unwrap(), None);
        assert!(start_of_list(8, &token).is_err());
        for bad in ["x", "0000000000000000", "ü", "000000000000000ü", &token[1..], behind_tag(7, "").as_str()] {
            assert!(start_of_list(7, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_has_a_size_within_bounds() {
        assert_eq!([0, 1, 10_000].map(|asked| page_size(asked).unwrap()), [1_000, 1, 10_000]);
        for asked in [-1, 10_001, i32::MIN, i32::MAX] {
            assert!(page_size(asked).unwrap_err().message().contains(&asked.to_string()));
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_made_and_told_from_those_of_other_requests() {
        let token = PageToken { request: 9, start: -1, end: i64::MAX, reverse: true, tag: "ö".into(), after: Some(0), given: 3 };
        assert_eq!(PageToken::read(&token.text(), 9), Ok(token.clone()));
        assert_eq!(PageToken::read(&token.text(), 10), Err(WrongToken::OfAnotherRequest));
        assert_eq!(PageToken::read("abc", 9), Err(WrongToken::None));
        assert_eq!(PageToken::read("zz", 9), Err(WrongToken::None));
    }
}
