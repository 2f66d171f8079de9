//! How callers are known: by a token of ours, by one of the identity provider, by the certificate of their connection, or by the user that the
//! system says is at the other end of the local socket.

use std::sync::Arc;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use historian_access::{AccessBook, NamedKind, NamedPrincipal, Principal, TOKEN_PREFIX};
use historian_model::Clock;
use historian_oidc::{Issuer, IssuerRefusal};
use tonic::{Status, codegen::http::HeaderMap};

use crate::{
    connection::{Peer, RareLog},
    status,
};

const NOT_VALID: &str = "the token is not valid: unknown, expired or revoked";
const NO_LONGER: &str = "the token is not valid any more, or other rights are granted now: call again";
/// Names of headers that hold credentials.
pub const CREDENTIALS: [&str; 2] = ["authorization", "auth-token-bin"];

/// How callers are known, as soon as there is a token, a grant, or an identity provider. Before that, or without a book, whoever reaches the port
/// may do everything.
#[derive(Clone, Default)]
pub struct Access(Option<Arc<Known>>);

struct Known {
    book: Arc<AccessBook>,
    issuer: Option<Arc<Issuer>>,
    /// Tokens of the provider that were refused, and why: their users are not told.
    refused: RareLog,
}

/// Why it is not known who calls.
pub enum Unknown {
    Refused(Status),
    /// The provider's token names a key that is not known, and the keys are being fetched: [`Access::keys_come`] tells when to ask again.
    KeysComing,
}

impl From<Status> for Unknown {
    fn from(refused: Status) -> Unknown {
        Unknown::Refused(refused)
    }
}

impl Access {
    /// By the tokens and grants of a book, and by those of an identity provider where there is one.
    pub fn new(book: Arc<AccessBook>, issuer: Option<Arc<Issuer>>) -> Access {
        Access(Some(Arc::new(Known { book, issuer, refused: RareLog::default() })))
    }

    /// True where it is asked who calls.
    pub fn is_closed(&self) -> bool {
        self.0.as_ref().is_some_and(|known| known.issuer.is_some() || !known.book.is_empty())
    }

    /// The identity provider, where there is one.
    pub fn issuer(&self) -> Option<&Arc<Issuer>> {
        self.0.as_ref()?.issuer.as_ref()
    }

    /// Refuses somebody who has no longer what it was let in with, in the middle of a call that goes on for long.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`.
    pub fn still(&self, principal: &Principal, clock: &dyn Clock) -> Result<(), Status> {
        let valid = self.0.as_ref().is_none_or(|known| known.book.is_valid(principal, clock.now()));
        if valid { Ok(()) } else { Err(status::unauthenticated(NO_LONGER)) }
    }

    /// Who sends a request with these headers over the connection of `peer`. Waits some seconds at most, and only where the token of an identity
    /// provider names a key that is being fetched.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when something is asked for and there is nothing, or what is not valid; it is not said which. `UNAVAILABLE` while the keys
    /// of the identity provider have never been read.
    pub async fn principal(&self, headers: &HeaderMap, peer: Option<&Peer>, clock: &dyn Clock) -> Result<Principal, Status> {
        self.after_keys(|| self.known(headers, peer, clock)).await
    }

    /// Who shows this secret, as [`Access::principal`].
    ///
    /// # Errors
    /// As [`Access::principal`].
    pub async fn by_secret(&self, secret: &str, clock: &dyn Clock) -> Result<Principal, Status> {
        let Some(known) = &self.0 else { return Ok(Principal::anonymous()) };
        self.after_keys(|| known.by_secret(secret, clock)).await
    }

    async fn after_keys(&self, ask: impl Fn() -> Result<Principal, Unknown>) -> Result<Principal, Status> {
        let asked = match ask() {
            Err(Unknown::KeysComing) => {
                self.keys_come().await;
                ask()
            }
            asked => asked,
        };
        asked.map_err(Unknown::into_status)
    }

    /// Waits until the keys of the identity provider are new, or some seconds are over.
    pub async fn keys_come(&self) {
        if let Some(issuer) = self.issuer() {
            issuer.keys_come().await;
        }
    }

    /// As [`Access::principal`], without waiting.
    ///
    /// # Errors
    /// Also that it takes waiting.
    pub fn known(&self, headers: &HeaderMap, peer: Option<&Peer>, clock: &dyn Clock) -> Result<Principal, Unknown> {
        let principal = self.shown(headers, peer, clock)?;
        let zone = peer.and_then(|peer| peer.zone.as_deref());
        Ok(zone.map_or_else(|| principal.clone(), |zone| principal.through(zone.rights)))
    }

    fn shown(&self, headers: &HeaderMap, peer: Option<&Peer>, clock: &dyn Clock) -> Result<Principal, Unknown> {
        let is_closed = self.is_closed();
        // What is shown with the request counts before what the connection is: whoever has a token may ask for less by it.
        if let Some(known) = self.0.as_ref().filter(|_| is_closed)
            && CREDENTIALS.iter().any(|name| headers.contains_key(*name))
        {
            let secret =
                token(headers).ok_or_else(|| status::unauthenticated("the credentials are no token: send `authorization: Bearer …`"))?;
            return known.by_secret(&secret, clock);
        }
        if let Some(user) = peer.and_then(|peer| peer.user) {
            return local(user).map_err(Unknown::from);
        }
        let Some(known) = self.0.as_ref().filter(|_| is_closed) else { return Ok(Principal::anonymous()) };
        let certificate = peer.and_then(|peer| peer.identity.as_deref()).and_then(|identity| known.book.certificate(&identity.name));
        certificate.ok_or_else(|| {
            let told = "this historian asks for a token: send it as `authorization: Bearer …`, or as the password";
            Unknown::Refused(status::unauthenticated(told))
        })
    }
}

/// Who may connect to the local socket: the user that the historian runs as, whose its files are, and root.
fn local(user: u32) -> Result<Principal, Status> {
    let own = rustix::process::geteuid().as_raw();
    if user == own || user == 0 {
        return Ok(Principal::local(user));
    }
    Err(status::unauthenticated(format!("the local socket is for user {own}, whose this historian is, and for root; this is user {user}")))
}

impl Known {
    fn by_secret(&self, secret: &str, clock: &dyn Clock) -> Result<Principal, Unknown> {
        let not_valid = || Unknown::Refused(status::unauthenticated(NOT_VALID));
        let now = clock.now();
        if let Some(principal) = self.book.authenticate(secret, now) {
            return Ok(principal);
        }
        let Some(issuer) = self.issuer.as_ref().filter(|_| !secret.starts_with(TOKEN_PREFIX)) else { return Err(not_valid()) };
        let refuse = |reason: &str| {
            let reason = status::shortened(reason);
            self.refused.tell(|others| tracing::warn!(others, "a token of the identity provider was refused: {reason}"));
            not_valid()
        };
        let shown = match issuer.verify(secret, now) {
            Ok(shown) => shown,
            Err(IssuerRefusal::UnknownKey) if issuer.want_keys() => return Err(Unknown::KeysComing),
            Err(IssuerRefusal::NoKeys) => {
                issuer.want_keys();
                return Err(status::no_keys().into());
            }
            Err(refusal) => return Err(refuse(&refusal.to_string())),
        };
        let subject = NamedPrincipal::new(NamedKind::Oidc, &shown.subject).map_err(|error| refuse(&error.to_string()))?;
        // What no grant can name gives nothing.
        let roles = shown.roles.iter().filter_map(|role| NamedPrincipal::new(NamedKind::OidcRole, role).ok());
        Ok(self.book.oidc(subject, roles, shown.expires))
    }
}

impl Unknown {
    /// What is said when nothing is waited for.
    pub fn into_status(self) -> Status {
        match self {
            Unknown::Refused(status) => status,
            Unknown::KeysComing => status::unauthenticated(NOT_VALID),
        }
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
