//! Which provider, and how its tokens are read.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use url::Url;

use crate::{file, key::KeySet};

/// Where the keys of a provider are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// At the address that the provider tells below its issuer (`/.well-known/openid-configuration`).
    Discovery,
    /// In a file (JWKS), which is read again when it changed.
    File(PathBuf),
}

/// One identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// As its tokens name it in `iss`, to the letter.
    pub issuer: String,
    /// What its tokens must name in `aud`: this historian.
    pub audience: String,
    pub keys: KeySource,
    /// An authority to trust beside those of this machine, where the provider is asked.
    pub ca: Option<PathBuf>,
    /// Claim that names the subject.
    pub subject_claim: String,
    /// Claim with the roles; dots lead into objects.
    pub roles_claim: String,
    /// By how much the provider's clock and ours may differ.
    pub leeway: Duration,
}

/// Why a provider cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("{address:?} is no address: {reason}")]
    NoAddress { address: String, reason: String },
    /// What it is must not be told.
    #[error("the address of the provider has a user, a password or a fragment, and needs none: a historian asks for public keys only")]
    HasUser,
    #[error("{address} is without TLS: whoever stands between could give keys of its own; use https:// (http:// is for this machine only)")]
    Plain { address: String },
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// An address that keys may be read from: with TLS, or on this machine.
///
/// # Errors
/// It is none.
pub fn address(text: &str) -> Result<Url, SettingError> {
    let refuse = |reason: &str| SettingError::NoAddress { address: text.chars().take(200).collect(), reason: reason.to_owned() };
    let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
    if has_user(&url) || url.fragment().is_some() {
        return Err(SettingError::HasUser);
    }
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) => {
            let is_here = match host {
                url::Host::Domain(name) => name == "localhost",
                url::Host::Ipv4(address) => IpAddr::V4(address).is_loopback(),
                url::Host::Ipv6(address) => IpAddr::V6(address).is_loopback(),
            };
            if is_here { Ok(url) } else { Err(SettingError::Plain { address: text.chars().take(200).collect() }) }
        }
        _ => Err(refuse("it begins with https://")),
    }
}

impl OidcSettings {
    /// Checks what can be checked without asking anybody: the address of the provider, or the file of its keys.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        match &self.keys {
            KeySource::Discovery => self.discovery().map(drop).map_err(|error| error.to_string()),
            // The issuer is a name then, which is compared and not asked. Names are told, in the audit log, too.
            KeySource::File(_) if Url::parse(&self.issuer).is_ok_and(|url| has_user(&url)) => Err(SettingError::HasUser.to_string()),
            KeySource::File(path) => {
                let text = file::keys(path)?;
                KeySet::parse(&text).map(drop).map_err(|error| format!("{}: {error}", path.display()))
            }
        }
    }

    /// Where its keys are, for messages.
    pub(crate) fn place_of_keys(&self) -> String {
        match &self.keys {
            KeySource::Discovery => self.issuer.clone(),
            KeySource::File(path) => path.display().to_string(),
        }
    }

    /// Where the provider tells about itself (OpenID Connect Discovery 1.0, 4).
    pub(crate) fn discovery(&self) -> Result<Url, SettingError> {
        address(&self.issuer)?;
        address(&format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_with_tls_or_from_this_machine() {
        for good in ["https://id.example/realms/plant", "http://127.0.0.1:8000", "http://localhost:1/x", "http://[::1]:9"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for (bad, reason) in [
            ("http://id.example", "without TLS"),
            ("http://127.0.0.1.example", "without TLS"),
            ("http://192.0.2.1", "without TLS"),
            ("id.example", "no address"),
            ("ftp://id.example", "begins with https"),
            ("file:///etc/passwd", "begins with https"),
            ("https://user:secret@id.example", "a user"),
            ("", "no address"),
        ] {
            let told = address(bad).unwrap_err().to_string();
            assert!(told.contains(reason) && !told.contains("secret"), "{bad}: {told}");
        }
    }

    #[test]
    fn a_password_in_an_issuer_is_refused_also_where_nobody_is_asked_and_told_nowhere() {
        for keys in [KeySource::Discovery, KeySource::File("/nowhere/keys.json".into())] {
            let settings = OidcSettings {
                issuer: "https://historian:secret@id.example/realms/plant".into(),
                audience: "historian".into(),
                keys,
                ca: None,
                subject_claim: "sub".into(),
                roles_claim: "roles".into(),
                leeway: Duration::ZERO,
            };
            let told = settings.check().unwrap_err();
            assert!(told.contains("has a user, a password") && !told.contains("secret"), "{told}");
        }
    }
}
