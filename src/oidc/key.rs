//! The keys of a provider: what of a set (JWKS, RFC 7517) can verify tokens.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::jws::{Algorithm, PublicKey};

/// Keys of a set that are looked at. Providers have two or three.
const KEYS_MAX: usize = 64;

/// Why a text is no set of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("is no set of keys (JWKS): {0}")]
    NoSet(String),
    #[error("has no key that could verify a token: RSA from 2048 bits, P-256, P-384 or Ed25519, for signatures{0}")]
    NoKey(String),
}

/// Keys that can verify tokens.
#[derive(Clone, Default)]
pub struct KeySet(Vec<VerifyingKey>);

/// One of them.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    pub id: Option<String>,
    /// What tokens may be signed with by it. It is said by the key, never by a token.
    pub algorithms: Vec<Algorithm>,
    pub key: PublicKey,
}

/// A key as it is written. What it has beside these is not looked at.
#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct WrittenSet {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a set. Keys that are for something else, such as encryption, and of kinds that are not known are passed over; so are shared secrets.
    ///
    /// # Errors
    /// It is none, or no key is left.
    pub fn parse(text: &[u8]) -> Result<KeySet, KeyError> {
        let set: WrittenSet = serde_json::from_slice(text).map_err(|error| KeyError::NoSet(error.to_string()))?;
        let (mut keys, mut passed_over) = (Vec::new(), Vec::new());
        for value in set.keys.into_iter().take(KEYS_MAX) {
            let key = serde_json::from_value::<WrittenKey>(value).map_err(|error| error.to_string()).and_then(verifying);
            match key {
                Ok(key) => keys.push(key),
                Err(reason) => passed_over.push(reason),
            }
        }
        if keys.is_empty() {
            let why = passed_over.first().map(|reason| format!("; the first of {} {reason}", passed_over.len())).unwrap_or_default();
            return Err(KeyError::NoKey(why.chars().take(200).collect()));
        }
        Ok(KeySet(keys))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that a token with this `kid` may be signed with; of a token without one all.
    pub(crate) fn named<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a VerifyingKey> {
        self.0.iter().filter(move |key| id.is_none() || key.id.as_deref() == id)
    }
}

/// What tokens can be verified with by a key, or why it is passed over.
fn verifying(written: WrittenKey) -> Result<VerifyingKey, String> {
    let WrittenKey { kty, usage, key_ops, alg, kid, crv, n, e, x, y } = written;
    if usage.is_some_and(|usage| usage != "sig") || key_ops.is_some_and(|operations| !operations.iter().any(|one| one == "verify")) {
        return Err("is not for signatures".to_owned());
    }
    let part = |part: Option<String>| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(part.ok_or("lacks a part of its key")?).map_err(|_| "has a part that cannot be read")?;
        Ok::<_, String>(bytes)
    };
    // Coordinates have the length of their field, zeros included (RFC 7518, 6.2.1.2).
    let point = |length: usize| {
        let (x, y) = (part(x.clone())?, part(y)?);
        if x.len() != length || y.len() != length {
            return Err("has coordinates of another length than its curve".to_owned());
        }
        Ok(PublicKey::Point([vec![4], x, y].concat()))
    };
    let (key, possible): (PublicKey, &[Algorithm]) = match (kty.as_str(), crv.as_deref()) {
        ("RSA", _) => {
            let [n, e] = [part(n)?, part(e)?].map(|number| number.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>());
            if n.len() < 256 {
                return Err("is an RSA key of less than 2048 bits".to_owned());
            }
            (PublicKey::Rsa { n, e }, &Algorithm::RSA)
        }
        ("EC", Some("P-256")) => (point(32)?, &[Algorithm::ES256]),
        ("EC", Some("P-384")) => (point(48)?, &[Algorithm::ES384]),
        ("OKP", Some("Ed25519")) => (PublicKey::Point(part(x)?), &[Algorithm::EdDSA]),
        ("oct", _) => return Err("is a shared secret".to_owned()),
        _ => return Err("is of a kind that is not known".to_owned()),
    };
    let algorithms: Vec<Algorithm> = possible.iter().copied().filter(|one| alg.as_ref().is_none_or(|name| one.is_named(name))).collect();
    if algorithms.is_empty() {
        return Err("is for an algorithm that its kind cannot have, or that is not taken".to_owned());
    }
    Ok(VerifyingKey { id: kid, algorithms, key })
}
