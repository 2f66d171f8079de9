//! How callers are known.

use std::sync::Arc;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use historian_access::{AccessBook, Principal};
use historian_model::Clock;
use tonic::{Status, codegen::http::HeaderMap};

use crate::status;

const NOT_VALID: &str = "the token is not valid: unknown, expired or revoked";

/// How callers are known: by their tokens, as soon as there is one. Before that, or without a book, whoever reaches the port may do everything.
#[derive(Clone, Default)]
pub struct Access(Option<Arc<AccessBook>>);

impl Access {
    /// By the tokens of a book.
    pub fn by_tokens(book: Arc<AccessBook>) -> Access {
        Access(Some(book))
    }

    /// The tokens that are asked for, if any are.
    pub fn tokens(&self) -> Option<&AccessBook> {
        self.0.as_deref().filter(|book| !book.is_empty())
    }

    /// Refuses somebody whose token is not valid any more, in the middle of a call that goes on for long.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`.
    pub fn still(&self, principal: &Principal, clock: &dyn Clock) -> Result<(), Status> {
        let valid = self.0.as_ref().is_none_or(|book| book.is_valid(principal, clock.now()));
        if valid { Ok(()) } else { Err(status::unauthenticated(NOT_VALID)) }
    }

    /// Who sends a request with these headers.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when a token is asked for and there is none, or one that is not valid; it is not said which.
    pub fn principal(&self, headers: &HeaderMap, clock: &dyn Clock) -> Result<Principal, Status> {
        let Some(book) = self.tokens() else { return Ok(Principal::anonymous()) };
        let secret = token(headers).ok_or_else(|| {
            status::unauthenticated("this historian asks for a token: send it as `authorization: Bearer …`, or as the password")
        })?;
        book.authenticate(&secret, clock.now()).ok_or_else(|| status::unauthenticated(NOT_VALID))
    }
}

/// The token of a request: as a bearer token, or as a password where a client offers only that; or where the older form of the handshake of Flight
/// puts it.
pub fn token(headers: &HeaderMap) -> Option<String> {
    if let Some(value) = headers.get("auth-token-bin") {
        return String::from_utf8(BASE64.decode(value.as_bytes()).ok()?).ok();
    }
    let (scheme, rest) = headers.get("authorization")?.to_str().ok()?.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    // Go's client of Flight, and with it ADBC, leaves the padding away.
    let pair = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

/// What clients write headers in, with or without padding.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::codegen::http::HeaderValue;

    #[test]
    fn a_token_comes_as_bearer_or_as_password() {
        let of = |value: &'static str| {
            token(&HeaderMap::from_iter([(tonic::codegen::http::header::AUTHORIZATION, HeaderValue::from_static(value))]))
        };
        assert_eq!(of("Bearer abc"), Some("abc".into()));
        assert_eq!(of("bearer  abc "), Some("abc".into()));
        // ana:a:b
        for padding_or_not in ["Basic YW5hOmE6Yg==", "Basic YW5hOmE6Yg"] {
            assert_eq!(of(padding_or_not), Some("a:b".into()));
        }
        for none in ["abc", "Basic", "Basic !", "Basic YW5h", "Digest abc"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(token(&HeaderMap::new()), None);
        let mut binary = HeaderMap::new();
        for written in ["YWJj", "YWI=", "YWI"] {
            binary.insert("auth-token-bin", HeaderValue::from_static(written));
            assert!(token(&binary).unwrap().starts_with("ab"));
        }
    }
}
