//! Tokens and keys of a provider, for the fuzz targets (`tests/fuzz`): any bytes in, whether they were taken.

use std::{sync::LazyLock, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use historian_model::Timestamp;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::{
    key::KeySet,
    settings::{KeySource, OidcSettings},
    verify::verify,
};

const HEADER: &str = r#"{"alg":"EdDSA","kid":"k"}"#;
const CLAIMS: &str =
    r#"{"iss":"https://id.example","aud":["historian","x"],"sub":"ana","roles":["plant/reader"],"exp":4000000000,"nbf":0,"iat":0.5}"#;

/// A provider with one key, and what it has signed.
struct Signed {
    keys: KeySet,
    settings: OidcSettings,
    token: String,
}

static SIGNED: LazyLock<Option<Signed>> = LazyLock::new(|| {
    // No secret: what is signed with it is taken nowhere else.
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).ok()?;
    let message = [HEADER, CLAIMS].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".");
    let token = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()).as_ref()));
    let settings = OidcSettings {
        issuer: "https://id.example".to_owned(),
        audience: "historian".to_owned(),
        keys: KeySource::Discovery,
        ca: None,
        subject_claim: "sub".to_owned(),
        roles_claim: "roles".to_owned(),
        leeway: Duration::from_secs(30),
    };
    Some(Signed { keys: KeySet::parse(key_set(pair.public_key().as_ref()).as_bytes()).ok()?, settings, token })
});

fn key_set(point: &[u8]) -> String {
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"k","x":"{}"}}]}}"#, BASE64_URL_SAFE_NO_PAD.encode(point))
}

/// A token in its compact form. One that is taken is the one that was signed: nobody makes another of it.
///
/// # Panics
/// Another one was taken.
pub fn token(bytes: &[u8]) -> bool {
    let (Some(signed), Ok(text)) = (SIGNED.as_ref(), std::str::from_utf8(bytes)) else { return false };
    let taken = verify(text, &signed.keys, &signed.settings, Timestamp(1_790_000_000_000_000_000));
    assert!(taken.is_err() || text == signed.token, "a token was forged: {text}");
    taken.is_ok()
}

/// A set of keys.
pub fn keys(bytes: &[u8]) -> bool {
    KeySet::parse(bytes).is_ok()
}

/// What [`token`] and [`keys`] take.
pub fn seeds() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let token = SIGNED.as_ref().map(|signed| signed.token.clone().into_bytes());
    let rsa = format!(r#"{{"keys":[{{"kty":"RSA","alg":"PS256","n":"{}","e":"AQAB"}},{{"kty":"oct","k":"AAAA"}}]}}"#, "w".repeat(342));
    (token.into_iter().collect(), vec![key_set(&[9; 32]).into_bytes(), rsa.into_bytes()])
}
