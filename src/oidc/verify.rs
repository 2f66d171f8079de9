//! Whether a token is one of the provider, for this historian, now; and whose it is (RFC 7519, RFC 8725).

use serde_json::{Map, Value};

use crate::{
    claim::{claim, texts},
    jws::SignedText,
    key::KeySet,
    settings::OidcSettings,
};
use historian_model::Timestamp;

/// Longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Keys that a token without a `kid` is tried with.
const TRIES_MAX: usize = 4;
/// Longest subject, as OpenID Connect has it (Core 1.0, 2).
const SUBJECT_BYTES_MAX: usize = 255;
const NANOSECONDS: f64 = 1e9;

/// What a token shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub subject: String,
    /// Each once, in the order of the token.
    pub roles: Vec<String>,
    /// From then on the token is not valid: its `exp`, and the leeway.
    pub expires: Timestamp,
}

/// Why a token is refused. It is for the log: who shows it is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerRefusal {
    #[error("it is no token (JWT): {0}")]
    NoToken(&'static str),
    #[error("the keys of the provider are not known yet")]
    NoKeys,
    #[error("it names a key that the provider does not have")]
    UnknownKey,
    #[error("its signature is not one of the provider, or of an algorithm that the key is not for")]
    Signature,
    #[error("it is of the issuer {0:?}")]
    Issuer(String),
    #[error("it is not for this audience")]
    Audience,
    #[error("it has no {0}, or one of another type")]
    Claim(String),
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
}

/// What a token says, if it was signed with one of the keys, by this issuer, for this audience, and holds now.
///
/// # Errors
/// What of that is not so.
pub fn verify(token: &str, keys: &KeySet, settings: &OidcSettings, now: Timestamp) -> Result<Shown, IssuerRefusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(IssuerRefusal::NoToken("it is longer than 8 KiB"));
    }
    let signed = SignedText::parse(token).map_err(IssuerRefusal::NoToken)?;
    if keys.is_empty() {
        return Err(IssuerRefusal::NoKeys);
    }
    let mut candidates = keys.named(signed.key_id.as_deref()).take(TRIES_MAX).peekable();
    if candidates.peek().is_none() {
        return Err(IssuerRefusal::UnknownKey);
    }
    let claims = candidates.find_map(|key| signed.claims(&key.key, &key.algorithms)).ok_or(IssuerRefusal::Signature)?;
    check(&claims, settings, now)
}

fn check(claims: &Map<String, Value>, settings: &OidcSettings, now: Timestamp) -> Result<Shown, IssuerRefusal> {
    let missing = |name: &str| IssuerRefusal::Claim(name.to_owned());
    let issuer = claims.get("iss").and_then(Value::as_str).ok_or_else(|| missing("iss"))?;
    if issuer != settings.issuer {
        return Err(IssuerRefusal::Issuer(issuer.chars().take(100).collect()));
    }
    let audiences = texts(Some(claims.get("aud").ok_or_else(|| missing("aud"))?));
    if !audiences.contains(&settings.audience) {
        return Err(IssuerRefusal::Audience);
    }
    claims.get("sub").and_then(Value::as_str).ok_or_else(|| missing("sub"))?;
    let subject = claim(claims, &settings.subject_claim).and_then(Value::as_str);
    let subject = subject.filter(|subject| !subject.is_empty() && subject.len() <= SUBJECT_BYTES_MAX);
    let subject = subject.ok_or_else(|| missing(&settings.subject_claim))?.to_owned();
    let leeway = i64::try_from(settings.leeway.as_nanos()).unwrap_or(i64::MAX);
    let expires = Timestamp(time(claims, "exp")?.ok_or_else(|| missing("exp"))?.saturating_add(leeway));
    if now >= expires {
        return Err(IssuerRefusal::Expired);
    }
    for begins in ["nbf", "iat"] {
        if time(claims, begins)?.is_some_and(|begins| now.0.saturating_add(leeway) < begins) {
            return Err(IssuerRefusal::NotYet);
        }
    }
    let mut roles = Vec::new();
    for role in texts(claim(claims, &settings.roles_claim)) {
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    Ok(Shown { subject, roles, expires })
}

/// A time of a token in nanoseconds since 1970. It is a number of seconds, which may have a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, IssuerRefusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    // What is beyond the end of our times is at the end.
    seconds.map(|seconds| Some((seconds * NANOSECONDS) as i64)).ok_or_else(|| IssuerRefusal::Claim(name.to_owned()))
}
