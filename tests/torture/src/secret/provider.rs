//! An identity provider that is nothing but a key: tokens that a historian takes, and tokens that look like them.

use anyhow::anyhow;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use historian::model::{Clock, SystemClock};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::json;

pub const ISSUER: &str = "https://id.example/realms/plant";
pub const AUDIENCE: &str = "historian";

/// Signs tokens.
pub struct Provider {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Provider {
    /// With a new key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> anyhow::Result<Provider> {
        let random = SystemRandom::new();
        let no_key = |_| anyhow!("no key can be made");
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(no_key)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Ok(Provider { key: key.map_err(|_| anyhow!("no key can be made"))?, random })
    }

    /// Its keys as a historian reads them.
    pub fn keys(&self) -> String {
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256", "x": text(x), "y": text(y)});
        json!({"keys": [key]}).to_string()
    }

    /// A token of a subject that holds for an hour, and its signature, which is the part that nobody else can know.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn token(&self, subject: &str) -> anyhow::Result<(String, String)> {
        let now = SystemClock.now().0 / 1_000_000_000;
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3_600});
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let header = json!({"alg": "ES256", "kid": "1", "typ": "JWT"});
        let message = format!("{}.{}", text(header.to_string().as_bytes()), text(claims.to_string().as_bytes()));
        let signature = self.key.sign(&self.random, message.as_bytes()).map_err(|_| anyhow!("no random numbers"))?;
        let signature = text(signature.as_ref());
        Ok((format!("{message}.{signature}"), signature))
    }
}
