//! Signed tokens in their compact form (JWS, RFC 7515, 7.1): three parts with dots between, verified with *ring*.
//!
//! Own code, and little of it. A library for it verifies with cryptography of its own or with what it is given, which is *ring* here either way; what
//! it would add is the splitting and decoding below (decision 0032). What RFC 8725 warns of is decided here in one place: the algorithm is the
//! key's, and a header that says otherwise only makes the token another one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Map, Value};

/// Signatures that are taken (RFC 7518, 3.1; RFC 8037). There is none with a shared secret, and not `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    pub const RSA: [Algorithm; 6] =
        [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

    /// True for its name in a header or a key. EdDSA with the one curve that is taken has a newer name, too (RFC 9864).
    pub fn is_named(self, name: &str) -> bool {
        name == format!("{self:?}") || (self == Algorithm::EdDSA && name == "Ed25519")
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Algorithm::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA => None,
        }
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Modulus and exponent, big-endian, without zeros in front.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// A point on a curve: uncompressed (SEC 1, 2.3.3), or as Ed25519 has it.
    Point(Vec<u8>),
}

impl PublicKey {
    /// True when a message was signed so by who has the other half.
    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (self, algorithm.rsa()) {
            (PublicKey::Rsa { n, e }, Some(parameters)) => RsaPublicKeyComponents { n, e }.verify(parameters, message, signature),
            (PublicKey::Point(point), None) => match algorithm {
                Algorithm::ES256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature),
                Algorithm::ES384 => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature),
                _ => UnparsedPublicKey::new(&ED25519, point).verify(message, signature),
            },
            // A key of one kind is never taken for another one's.
            _ => return false,
        };
        verified.is_ok()
    }
}

/// A token that was taken apart and not verified.
pub struct SignedText<'a> {
    /// Name of the algorithm by its header. It chooses nothing; it must be one that the key is for.
    algorithm: String,
    /// Name of the key.
    pub key_id: Option<String>,
    /// What was signed: header and payload with the dot.
    message: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> SignedText<'a> {
    /// Takes a text apart.
    ///
    /// # Errors
    /// It is none, or has in its header what would change its meaning.
    pub fn parse(text: &'a str) -> Result<SignedText<'a>, &'static str> {
        let (message, signature) = text.rsplit_once('.').ok_or("it has not three parts")?;
        let (header, payload) = message.split_once('.').filter(|(_, payload)| !payload.contains('.')).ok_or("it has not three parts")?;
        let header = object(header).ok_or("its header is no JSON object in base64url")?;
        // Whoever does not understand what is marked as critical must refuse it (RFC 7515, 4.1.11); `b64` of RFC 7797 comes with it.
        if header.contains_key("crit") {
            return Err("its header has critical parts");
        }
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or("its header names no algorithm")?.to_owned();
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err("its kid is no text"),
        };
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| "its signature is not base64url")?;
        Ok(SignedText { algorithm, key_id, message, payload, signature })
    }

    /// The claims, where the token was signed with this key by one of the algorithms that the key is for.
    pub fn claims(&self, key: &PublicKey, algorithms: &[Algorithm]) -> Option<Map<String, Value>> {
        let algorithm = *algorithms.iter().find(|algorithm| algorithm.is_named(&self.algorithm))?;
        if !key.verifies(algorithm, self.message.as_bytes(), &self.signature) {
            return None;
        }
        object(self.payload)
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    /// RFC 7515, A.2: RS256, key, token and claims as they are printed there.
    const RS256_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs\
        D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k\
        G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const RS256_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiu\
        B--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUi\
        pUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

    #[test]
    fn the_example_of_the_standard_with_rsa_is_verified() {
        let key = PublicKey::Rsa { n: bytes(RS256_N), e: bytes("AQAB") };
        let signed = SignedText::parse(RS256_TOKEN).unwrap();
        let claims = signed.claims(&key, &Algorithm::RSA).unwrap();
        assert_eq!((claims["iss"].as_str(), claims["exp"].as_u64()), (Some("joe"), Some(1_300_819_380)));
        // What the key is not for, it does not verify, whatever the header says.
        assert!(signed.claims(&key, &[Algorithm::PS256, Algorithm::RS512]).is_none());
        assert!(signed.claims(&PublicKey::Point(bytes(RS256_N)), &[Algorithm::RS256]).is_none());
        // Every change of a letter is found.
        for at in (0..RS256_TOKEN.len()).step_by(7) {
            let mut changed = RS256_TOKEN.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(SignedText::parse(&changed).ok().and_then(|signed| signed.claims(&key, &Algorithm::RSA)).is_none(), "{at}");
        }
    }

    /// RFC 7515, A.3: ES256; RFC 8037, A.4: Ed25519.
    #[test]
    fn the_examples_of_the_standard_with_curves_are_verified() {
        let point =
            [vec![4], bytes("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"), bytes("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")].concat();
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let signed = SignedText::parse(token).unwrap();
        assert_eq!(signed.claims(&PublicKey::Point(point.clone()), &[Algorithm::ES256]).unwrap()["iss"], "joe");
        assert!(signed.claims(&PublicKey::Point(point), &[Algorithm::ES384]).is_none());
        // Its payload is no object, which no token of a provider is; so only that the signature is right is seen.
        let key = PublicKey::Point(bytes("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = bytes("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
        assert!(key.verifies(Algorithm::EdDSA, message, &signature) && !key.verifies(Algorithm::EdDSA, b"x", &signature));
    }

    #[test]
    fn what_is_no_signed_text_is_told() {
        let of = |header: &str| format!("{}.e30.AAAA", BASE64_URL_SAFE_NO_PAD.encode(header));
        for (text, reason) in [
            (String::new(), "three parts"),
            ("a.b".into(), "three parts"),
            ("a.b.c.d".into(), "three parts"),
            ("!.e30.AAAA".into(), "base64url"),
            (of("[]"), "no JSON object"),
            (of("{}"), "names no algorithm"),
            (of(r#"{"alg": 1}"#), "names no algorithm"),
            (of(r#"{"alg": "RS256", "kid": 7}"#), "kid is no text"),
            (of(r#"{"alg": "RS256", "crit": ["x"]}"#), "critical"),
            (format!("{}.e30.=", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg": "RS256"}"#)), "signature is not base64url"),
        ] {
            assert!(SignedText::parse(&text).err().is_some_and(|told| told.contains(reason)), "{text}");
        }
        for name in ["none", "HS256", "rs256", "", "RS1", "ES256K"] {
            assert!(Algorithm::RSA.into_iter().chain([Algorithm::ES256, Algorithm::EdDSA]).all(|one| !one.is_named(name)), "{name}");
        }
    }
}
