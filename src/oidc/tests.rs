//! Tokens of a provider that is made here: *ring* signs with a key that no file has, and what is wrong is wrong in one way at a time. The tests from
//! outside (`tests/it/oidc`) have a real provider.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

use crate::{Issuer, IssuerRefusal, KeySet, KeySource, OidcSettings, Reading, verify::verify};
use historian_model::Timestamp;

const NOW: i64 = 1_774_785_600; // 2026-03-29T12:00:00Z
const AT: Timestamp = Timestamp(NOW * 1_000_000_000);

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of P-256 by its name.
struct Key(&'static str, EcdsaKeyPair);

impl Key {
    fn new(id: &'static str) -> Key {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Key(id, EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.1.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "kid": self.0, "use": "sig", "alg": "ES256", "x": b64(&point[1..33]), "y": b64(&point[33..])})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self.1.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", b64(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "ES256", "kid": self.0, "typ": "JWT"}), claims)
    }
}

fn settings() -> OidcSettings {
    OidcSettings {
        issuer: "https://id.example/realms/plant".into(),
        audience: "historian".into(),
        keys: KeySource::Discovery,
        ca: None,
        subject_claim: "sub".into(),
        roles_claim: "realm_access.roles".into(),
        leeway: Duration::from_secs(30),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example/realms/plant",
        "aud": ["other", "historian"],
        "sub": "ana",
        "exp": NOW + 300,
        "iat": NOW,
        "realm_access": {"roles": ["operators", "readers", "operators"]}
    })
}

fn with(key: &str, value: &Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => _ = claims.as_object_mut().unwrap().remove(key),
        value => claims[key] = value.clone(),
    }
    claims
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

#[test]
fn a_good_token_shows_subject_roles_and_end() {
    let key = Key::new("1");
    let keys = set(&[key.jwk()]);
    let shown = verify(&key.token(&claims()), &keys, &settings(), AT).unwrap();
    assert_eq!((shown.subject.as_str(), shown.roles), ("ana", vec!["operators".to_owned(), "readers".to_owned()]));
    assert_eq!(shown.expires, Timestamp((NOW + 330) * 1_000_000_000));
    // An audience as one text, times with fractions, and another claim for the subject.
    let other =
        json!({"iss": "https://id.example/realms/plant", "aud": "historian", "sub": "7", "exp": (NOW as f64) + 0.5, "upn": "ana@plant"});
    let named = OidcSettings { subject_claim: "upn".into(), roles_claim: "none".into(), ..settings() };
    let shown = verify(&key.token(&other), &keys, &named, AT).unwrap();
    assert_eq!((shown.subject.as_str(), shown.roles.len()), ("ana@plant", 0));
    // Without a name of the key all are tried; with a name only those of that name.
    let keys = set(&[Key::new("0").jwk(), key.jwk()]);
    assert!(verify(&key.sign(&json!({"alg": "ES256"}), &claims()), &keys, &settings(), AT).is_ok());
    assert_eq!(verify(&key.sign(&json!({"alg": "ES256", "kid": "0"}), &claims()), &keys, &settings(), AT), Err(IssuerRefusal::Signature));
}

#[test]
fn what_is_wrong_with_a_token_is_found_each_by_itself() {
    use IssuerRefusal::{Audience, Claim, Expired, Issuer, NoKeys, NotYet, Signature, UnknownKey};
    let key = Key::new("1");
    let keys = set(&[key.jwk()]);
    let of = |token: &str| verify(token, &keys, &settings(), AT).unwrap_err();
    let claim = |name: &str| Claim(name.to_owned());
    for (name, value, expected) in [
        ("iss", json!("https://id.example/realms/other"), Issuer("https://id.example/realms/other".into())),
        ("iss", json!(["https://id.example/realms/plant"]), claim("iss")),
        ("iss", Value::Null, claim("iss")),
        ("aud", json!("historian2"), Audience),
        ("aud", json!([]), Audience),
        ("aud", json!({"historian": 1}), Audience),
        ("aud", Value::Null, claim("aud")),
        ("sub", Value::Null, claim("sub")),
        ("sub", json!(7), claim("sub")),
        ("sub", json!(""), claim("sub")),
        ("sub", json!("x".repeat(256)), claim("sub")),
        ("exp", Value::Null, claim("exp")),
        ("exp", json!("2099-01-01"), claim("exp")),
        ("exp", json!(-1), claim("exp")),
        ("exp", json!(NOW - 30), Expired),
        ("nbf", json!(NOW + 31), NotYet),
        ("iat", json!(NOW + 31), NotYet),
        ("nbf", json!("soon"), claim("nbf")),
    ] {
        assert_eq!(of(&key.token(&with(name, &value))), expected, "{name} {value}");
    }
    for (name, value) in [("exp", json!(NOW - 29)), ("nbf", json!(NOW + 30)), ("exp", json!(9e300))] {
        assert!(verify(&key.token(&with(name, &value)), &keys, &settings(), AT).is_ok(), "{name} {value}: within the leeway");
    }
    // Signed by somebody else under the same name, by nobody, or with the public key as if it were a secret.
    assert_eq!(of(&Key::new("1").token(&claims())), Signature);
    assert_eq!(of(&Key::new("2").token(&claims())), UnknownKey);
    for algorithm in ["none", "HS256", "RS256", "ES384", "EdDSA", "es256"] {
        assert_eq!(of(&key.sign(&json!({"alg": algorithm, "kid": "1"}), &claims())), Signature, "{algorithm}");
    }
    let unsigned = format!("{}.{}.", b64(r#"{"alg":"none","kid":"1"}"#), b64(claims().to_string()));
    assert_eq!(of(&unsigned), Signature);
    let token = key.token(&claims());
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    assert_eq!(of(&format!("{header}.{}.{signature}", b64(with("sub", &json!("admin")).to_string()))), Signature);
    assert!(matches!(of(&format!("{token}.{token}")), IssuerRefusal::NoToken(_)));
    assert!(matches!(of(&key.token(&with("more", &json!("x".repeat(9_000))))), IssuerRefusal::NoToken("it is longer than 8 KiB")));
    assert_eq!(verify(&token, &KeySet::default(), &settings(), AT), Err(NoKeys));
}

#[test]
fn keys_that_are_for_something_else_are_passed_over() {
    let key = Key::new("1");
    let change = |name: &str, value: Value| {
        let mut jwk = key.jwk();
        jwk[name] = value;
        jwk
    };
    let rsa = |bytes: usize| json!({"kty": "RSA", "kid": "r", "n": b64(vec![0xC1; bytes]), "e": "AQAB"});
    let useless = [
        change("use", json!("enc")),
        change("key_ops", json!(["encrypt"])),
        change("kty", json!("oct")),
        change("alg", json!("RS256")),
        change("alg", json!("HS256")),
        change("crv", json!("P-521")),
        change("x", json!("AA")),
        change("y", json!("!")),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "n": "x", "e": "AQAB"}),
        rsa(128),
        json!({"kid": "1"}),
        json!(7),
    ];
    for jwk in &useless {
        let refused = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).err().unwrap().to_string();
        assert!(refused.contains("no key that could verify"), "{jwk}: {refused}");
    }
    let all: Vec<Value> = useless.iter().cloned().chain([key.jwk(), rsa(256)]).collect();
    assert_eq!(set(&all).len(), 2);
    assert!(verify(&key.token(&claims()), &set(&all), &settings(), AT).is_ok());
    for text in ["", "{}", "[]", r#"{"keys": {}}"#, r#"{"keys": []}"#] {
        assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
    }
    // Ed25519, as a key names its algorithm by either name.
    let pair = Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref()).unwrap();
    for name in ["EdDSA", "Ed25519"] {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": name, "kid": "e", "x": b64(pair.public_key().as_ref())});
        let message = format!("{}.{}", b64(json!({"alg": name, "kid": "e"}).to_string()), b64(claims().to_string()));
        let token = format!("{message}.{}", b64(pair.sign(message.as_bytes())));
        assert!(verify(&token, &set(&[jwk]), &settings(), AT).is_ok(), "{name}");
    }
}

#[tokio::test]
async fn keys_of_a_file_are_read_again_and_bad_ones_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let (old, new) = (Key::new("1"), Key::new("2"));
    let write = |keys: &[Value]| std::fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
    let issuer = Issuer::new(OidcSettings { keys: KeySource::File(path.clone()), ..settings() });
    assert_eq!(issuer.verify(&old.token(&claims()), AT), Err(IssuerRefusal::NoKeys));
    assert!(matches!(issuer.read(AT).await, Reading::Failed(problem) if problem.contains("keys.json")));
    assert_eq!(issuer.read(AT).await, Reading::FailedAgain, "told once");
    write(&[old.jwk()]);
    assert_eq!(issuer.read(AT).await, Reading::Changed);
    assert!(issuer.verify(&old.token(&claims()), AT).is_ok());
    assert_eq!(issuer.verify(&new.token(&claims()), AT), Err(IssuerRefusal::UnknownKey));
    assert!(!issuer.want_keys(), "they were read just now, and naming a key is free");
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(issuer.read(AT).await, Reading::Failed(_)));
    assert!(issuer.verify(&old.token(&claims()), AT).is_ok(), "the old ones stay");
    write(&[old.jwk()]);
    assert_eq!(issuer.read(AT).await, Reading::Restored);
    assert_eq!(issuer.read(AT).await, Reading::Same);
    write(&[new.jwk()]);
    assert_eq!(issuer.read(AT).await, Reading::Changed);
    assert!(issuer.verify(&new.token(&claims()), AT).is_ok() && issuer.verify(&old.token(&claims()), AT).is_err());
    let state = issuer.state();
    assert_eq!((state.keys, state.read_at, state.failures), (1, Some(AT), 3));
}

/// Nobody listens there: it is told within the time, and who asks for keys does not wait for ever.
#[tokio::test]
async fn a_provider_that_does_not_answer_is_told_and_waited_for_within_bounds() {
    let issuer: Arc<Issuer> = Issuer::new(OidcSettings { issuer: "http://127.0.0.1:9".into(), ..settings() });
    assert!(issuer.want_keys(), "they were never read");
    let begun = std::time::Instant::now();
    issuer.keys_come().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(
        matches!(issuer.read(AT).await, Reading::Failed(problem) if problem.contains("http://127.0.0.1:9/.well-known/openid-configuration"))
    );
    assert!(!issuer.want_keys());
}
