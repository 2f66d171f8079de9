//! As whom the historian logs on at a server: what proves it, read from its files, and what an operator is told of it.
//!
//! A password and a certificate are read at each new session. A token is read at each activation, so that one that another program has
//! renewed is taken also where a session is taken up again after a cut. How what is read goes to the server is decided in
//! [`super::endpoint`]. A certificate or token that is out of date by our clock is sent all the same: the server's clock decides. That it is,
//! is said with the server's refusal, and by `historian check`.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use opcua::{
    client::{IdentityToken, IssuedTokenSource},
    crypto::{KeySize, PrivateKey, X509},
    types::{ByteString, Error, StatusCode},
};
use x509_cert::{Certificate, der::Decode};

use super::{
    device::{OpcUaSettings, UserIdentity},
    fault::ConnectionFault,
    pki::{self, SecretReaders},
};
use historian_collector::LogonReport;
use historian_model::Timestamp;

/// URI of the tokens that authorization services issue (OPC 10000-6, 6.5.3).
pub const JWT: &str = "http://opcfoundation.org/UA/UserToken#JWT";
const PASSWORD_BYTES_MAX: u64 = 4096;
/// A certificate with its issuers behind it, or a key, as text.
const PEM_BYTES_MAX: u64 = 64 << 10;
/// Tokens with the groups of their user have some thousand bytes.
const TOKEN_BYTES_MAX: u64 = 32 << 10;
/// What the security policies that are used here allow.
const KEY_BITS: RangeInclusive<usize> = 2048..=4096;
const NS_PER_S: f64 = 1e9;

/// What the session is activated with.
///
/// # Errors
/// What is wrong with the files of the identity; never their content.
pub fn read_identity(identity: &UserIdentity) -> Result<IdentityToken, String> {
    match identity {
        UserIdentity::Anonymous => Ok(IdentityToken::new_anonymous()),
        UserIdentity::Password { user, file } => Ok(IdentityToken::new_user_name(user.as_str(), read_password(file)?)),
        UserIdentity::Certificate { file, key } => {
            let (certificate, key) = read_pair(file, key)?;
            Ok(IdentityToken::new_x509(certificate, key))
        }
        UserIdentity::Token { file, kind } => {
            let source = TokenFile { file: file.clone(), kind: kind.clone() };
            // What is wrong with it is better said before the server is asked for anything.
            source.read()?;
            Ok(IdentityToken::new_issued_token(source))
        }
    }
}

/// As whom the historian logs on, and what is wrong with that by now; `None` where it is anonymous.
pub fn report(identity: &UserIdentity, now: Timestamp) -> Option<LogonReport> {
    let mut told = match identity {
        UserIdentity::Anonymous => return None,
        UserIdentity::Password { user, file } => format!("logs on as user {user:?} with the password of {}", file.display()),
        UserIdentity::Certificate { file, .. } => {
            let whose = read_certificate(file)
                .map(|shown| format!("{:?}, thumbprint {}, ", shown.subject_name(), shown.thumbprint().as_hex_string()));
            format!("logs on with the certificate {}of {}", whose.unwrap_or_default(), file.display())
        }
        UserIdentity::Token { file, .. } => format!("logs on with the token of {}", file.display()),
    };
    if let Some((_, Some(end))) = life(identity) {
        told.push_str(&format!(", valid until {end}"));
    }
    let wrong = match read_identity(identity) {
        Ok(_) => out_of_date(identity, now).into_iter().collect(),
        Err(why) => vec![why],
    };
    Some(LogonReport { told, wrong })
}

/// A fault of logging on, with what an operator looks at where it is the identity that the server refuses.
pub fn explain(device: &OpcUaSettings, mut fault: ConnectionFault, now: Timestamp) -> ConnectionFault {
    let is_certificate = matches!(device.user, UserIdentity::Certificate { .. });
    if fault.refuses_user() {
        let check = match &device.user {
            UserIdentity::Anonymous => "set user and password_file, or another identity that it takes",
            UserIdentity::Password { .. } => "check user and password_file, and the user's rights in the server",
            UserIdentity::Certificate { .. } => {
                "let it trust the certificate of user_certificate_file as that of a user, and look at the user's rights in the server"
            }
            UserIdentity::Token { .. } => {
                "check that the token of token_file is for this server, of an issuer that it trusts, and the rights that it gives"
            }
        };
        fault.add(": ");
        fault.add(check);
    } else if fault.distrusts() && is_certificate {
        fault.add("; or it is the certificate of user_certificate_file that it does not trust");
    } else {
        return fault;
    }
    if let Some(wrong) = out_of_date(&device.user, now) {
        fault.add_place("; ");
        fault.add_place(&wrong);
    }
    fault
}

/// What is out of date by our clock, in words.
fn out_of_date(identity: &UserIdentity, now: Timestamp) -> Option<String> {
    let (begin, end) = life(identity)?;
    let (what, renewed) = match identity {
        UserIdentity::Certificate { file, .. } => (format!("user_certificate_file {}: the certificate", file.display()), "renew it"),
        UserIdentity::Token { file, .. } => {
            (format!("token_file {}: the token", file.display()), "does the program that renews it run, and write this file?")
        }
        UserIdentity::Anonymous | UserIdentity::Password { .. } => return None,
    };
    match (begin, end) {
        (_, Some(end)) if end <= now => Some(format!("{what} expired at {end}; {renewed}")),
        (Some(begin), _) if begin > now => Some(format!("{what} is not valid before {begin}; compare the clocks")),
        _ => None,
    }
}

/// From when to when, as far as it is stated and can be read.
fn life(identity: &UserIdentity) -> Option<(Option<Timestamp>, Option<Timestamp>)> {
    match identity {
        UserIdentity::Anonymous | UserIdentity::Password { .. } => None,
        UserIdentity::Certificate { file, .. } => {
            let certificate = read_certificate(file).ok()?;
            let at = |seconds: i64| Timestamp(seconds.saturating_mul(1_000_000_000));
            let (begin, end) = (certificate.not_before().ok(), certificate.not_after().ok());
            Some((begin.map(|begin| at(begin.timestamp())), end.map(|end| at(end.timestamp()))))
        }
        UserIdentity::Token { file, kind } => {
            let token = TokenFile { file: file.clone(), kind: kind.clone() }.read().ok()?;
            Some((claim(&token, "nbf"), claim(&token, "exp")))
        }
    }
}

fn read_password(file: &Path) -> Result<String, String> {
    pki::read_secret_line("password_file", file, SecretReaders::Owner, PASSWORD_BYTES_MAX)
}

/// A certificate and the key that belongs to it.
fn read_pair(file: &Path, key_file: &Path) -> Result<(X509, PrivateKey), String> {
    let refuse = |why: String| format!("user_key_file {}: {why}", key_file.display());
    let certificate = read_certificate(file)?;
    let bytes = pki::read_secret("user_key_file", key_file, SecretReaders::Owner, PEM_BYTES_MAX)?;
    let key = der(&bytes, &["PRIVATE KEY", "RSA PRIVATE KEY"]).and_then(|der| private_key(&der));
    let key = key.ok_or_else(|| refuse("holds no RSA key in PEM or DER, or one with a passphrase, which nobody could type in".into()))?;
    let bits = key.bit_length();
    if !KEY_BITS.contains(&bits) {
        return Err(refuse(format!("the key has {bits} bits; OPC UA allows {} to {}", KEY_BITS.start(), KEY_BITS.end())));
    }
    let public = key.public_key_to_info().map_err(|error| refuse(error.to_string()))?.subject_public_key;
    let certified = Certificate::from_der(certificate.as_byte_string().as_ref()).map_err(|error| refuse(error.to_string()))?;
    if certified.tbs_certificate.subject_public_key_info.subject_public_key != public {
        return Err(refuse(format!("is not the key of the certificate in user_certificate_file {}", file.display())));
    }
    Ok((certificate, key))
}

/// The first certificate of a file; those behind it are of its issuers.
fn read_certificate(file: &Path) -> Result<X509, String> {
    let refuse = |why: &str| format!("user_certificate_file {}: {why}", file.display());
    let bytes = pki::read_public("user_certificate_file", file, PEM_BYTES_MAX)?;
    let certificate = der(&bytes, &["CERTIFICATE"]).and_then(|der| X509::from_der(&der).ok());
    let certificate = certificate.ok_or_else(|| refuse("holds no certificate in PEM or DER"))?;
    certificate.public_key().map_err(|_| refuse("the certificate has no RSA key, which the security policies of OPC UA here are for"))?;
    Ok(certificate)
}

/// DER of the first block of one of these kinds in a text of PEM, whatever stands around it; bytes without blocks as they are. `None` where
/// no block is of these kinds.
fn der(bytes: &[u8], kinds: &[&str]) -> Option<Vec<u8>> {
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.contains("-----BEGIN ")) else { return Some(bytes.to_vec()) };
    let block = kinds.iter().find_map(|kind| {
        let (_, behind) = text.split_once(&format!("-----BEGIN {kind}-----"))?;
        Some(behind.split_once(&format!("-----END {kind}-----"))?.0)
    })?;
    Some(ByteString::from_base64_ignore_whitespace(block.to_owned())?.as_ref().to_vec())
}

/// A key in PKCS#8 or PKCS#1, which the library reads as PEM alone.
fn private_key(der: &[u8]) -> Option<PrivateKey> {
    let text = ByteString::from(der).as_base64();
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let lines = lines.join("\n");
    let read = |kind: &str| PrivateKey::from_pem(format!("-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n").as_bytes()).ok();
    read("PRIVATE KEY").or_else(|| read("RSA PRIVATE KEY"))
}

/// A file with a token that another program renews.
struct TokenFile {
    file: PathBuf,
    kind: String,
}

impl TokenFile {
    fn read(&self) -> Result<String, String> {
        let token = pki::read_secret_line("token_file", &self.file, SecretReaders::Group, TOKEN_BYTES_MAX)?;
        if self.kind == JWT && !is_jwt(&token) {
            let why = "holds no JWT, which is three texts of base64 with dots between, and nothing around it";
            return Err(format!("token_file {}: {why}", self.file.display()));
        }
        Ok(token)
    }
}

#[async_trait]
impl IssuedTokenSource for TokenFile {
    async fn get_issued_token(&self) -> Result<ByteString, Error> {
        let token = self.read().map_err(|why| Error::new(StatusCode::BadConfigurationError, why))?;
        Ok(ByteString::from(token.as_bytes()))
    }
}

/// Signed (three parts) or encrypted (five).
fn is_jwt(token: &str) -> bool {
    let is_part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let parts: Vec<&str> = token.split('.').collect();
    matches!(parts.len(), 3 | 5) && !parts[0].is_empty() && parts.into_iter().all(is_part)
}

/// A time that a signed JWT states of itself; nobody checks its signature here. `None` where it states none, or cannot be read.
fn claim(token: &str, name: &str) -> Option<Timestamp> {
    let mut payload = token.split('.').nth(1)?.replace('-', "+").replace('_', "/");
    payload.extend(std::iter::repeat_n('=', payload.len().next_multiple_of(4) - payload.len()));
    let claims: serde_json::Value = serde_json::from_slice(ByteString::from_base64(&payload)?.as_ref()).ok()?;
    Some(Timestamp((claims.get(name)?.as_f64()? * NS_PER_S) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opcua::crypto::X509Data;

    #[test]
    fn keys_and_certificates_are_read_in_each_of_their_forms() {
        let (certificate, key) = X509::cert_and_pkey(&X509Data::sample_cert()).unwrap();
        let plain = key.to_der().unwrap().as_bytes().to_vec();
        let text = |kind: &str, bytes: &[u8]| {
            let lines: Vec<String> =
                ByteString::from(bytes).as_base64().as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into()).collect();
            format!("Bag Attributes\r\n-----BEGIN {kind}-----\r\n{}\r\n-----END {kind}-----\r\n", lines.join("\r\n"))
        };
        let kinds = ["PRIVATE KEY", "RSA PRIVATE KEY"];
        let of_certificate = |key: &PrivateKey| key.public_key_to_info().unwrap().subject_public_key;
        for file in [plain.clone(), text("PRIVATE KEY", &plain).into_bytes()] {
            let read = der(&file, &kinds).and_then(|der| private_key(&der)).unwrap();
            assert_eq!(of_certificate(&read), of_certificate(&key));
        }
        let shown = certificate.to_der().unwrap();
        let chain = text("CERTIFICATE", &shown) + &text("CERTIFICATE", b"an issuer");
        assert_eq!(der(chain.as_bytes(), &["CERTIFICATE"]), Some(shown.clone()));
        assert_eq!(der(&shown, &["CERTIFICATE"]), Some(shown.clone()));
        // The one in the place of the other, one with a passphrase, and what is neither.
        assert_eq!(der(chain.as_bytes(), &kinds), None);
        assert_eq!(der(text("ENCRYPTED PRIVATE KEY", &plain).as_bytes(), &kinds), None);
        assert!(private_key(&shown).is_none() && private_key(b"").is_none());
    }

    #[test]
    fn a_token_is_known_by_its_form_and_states_its_times() {
        let payload = |claims: &str| {
            let text = ByteString::from(claims.as_bytes()).as_base64();
            text.trim_end_matches('=').replace('+', "-").replace('/', "_")
        };
        for (claims, end) in [
            (r#"{"exp":1767225600}"#, Some(Timestamp(1_767_225_600_000_000_000))),
            (r#"{"exp":1767225600.5,"a":"?>~ÿ"}"#, Some(Timestamp(1_767_225_600_500_000_000))),
            (r#"{"exp":"tomorrow"}"#, None),
            ("{}", None),
            ("no JSON", None),
        ] {
            let token = format!("e30.{}.c2ln", payload(claims));
            assert!(is_jwt(&token), "{token}");
            assert_eq!(claim(&token, "exp"), end, "{claims}");
        }
        for odd in ["", "a.b", "a.b.c.d", ".b.c", "a b.c.d", "{\"access_token\":\"a.b.c\"}", "Bearer a.b.c"] {
            assert!(!is_jwt(odd), "{odd}");
        }
        assert!(is_jwt("a.b."), "one that nobody signed is for the server to refuse");
        assert_eq!(claim("a.b.c.d.e", "exp"), None);
    }
}
