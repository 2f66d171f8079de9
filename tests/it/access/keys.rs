//! A key of a provider that signs here, for tokens that no real provider need be there for.

use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SigningKey};
use serde_json::{Value, json};

use super::door::flight::base64;

/// One key of Ed25519.
pub struct Keys(KeyPair);

/// As parts of tokens are written.
fn part(bytes: &[u8]) -> String {
    base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

impl Keys {
    pub fn new() -> Keys {
        Keys(KeyPair::generate_for(&PKCS_ED25519).unwrap())
    }

    /// The set that a provider would publish.
    pub fn set(&self) -> String {
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "sig", "x": part(self.0.der_bytes())}]}).to_string()
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": "1", "typ": "JWT"});
        let message = format!("{}.{}", part(header.to_string().as_bytes()), part(claims.to_string().as_bytes()));
        let signature = self.0.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", part(&signature))
    }
}
