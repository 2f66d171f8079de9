//! Principals that have no token: named by what they show of themselves, and what each is granted.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{AccessError, Grant, time_text};
use historian_model::Timestamp;

/// Longest name behind the kind, in bytes. Subjects of OpenID Connect have 255 at most, and URIs in certificates are not longer in practice.
const NAME_BYTES_MAX: usize = 512;

/// What somebody without a token is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NamedKind {
    /// The identity in a verified client certificate.
    Certificate,
    /// The subject of a token of an identity provider.
    Oidc,
    /// A role that such a token has.
    OidcRole,
}

impl NamedKind {
    pub const ALL: [NamedKind; 3] = [NamedKind::Certificate, NamedKind::Oidc, NamedKind::OidcRole];

    /// What stands before the colon.
    pub fn prefix(self) -> &'static str {
        match self {
            NamedKind::Certificate => "certificate",
            NamedKind::Oidc => "oidc",
            NamedKind::OidcRole => "oidc-role",
        }
    }
}

/// `certificate:IDENTITY`, `oidc:SUBJECT` or `oidc-role:ROLE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamedPrincipal(String);

impl NamedPrincipal {
    /// The principal of a kind with this name.
    ///
    /// # Errors
    /// The name is empty, too long, or has control characters or blanks at an end: a log or a terminal would show it as another one.
    pub fn new(kind: NamedKind, name: &str) -> Result<NamedPrincipal, AccessError> {
        let refuse = |reason| Err(AccessError::InvalidPrincipal { name: name.chars().take(80).collect(), reason });
        if name.is_empty() {
            return refuse("there is nothing behind the colon");
        }
        if name.len() > NAME_BYTES_MAX {
            return refuse("it is longer than 512 bytes");
        }
        if name.chars().any(char::is_control) || name.trim() != name {
            return refuse("it has control characters, or blanks at an end");
        }
        Ok(NamedPrincipal(format!("{}:{name}", kind.prefix())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NamedPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NamedPrincipal {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<NamedPrincipal, AccessError> {
        let (prefix, name) = text.split_once(':').unwrap_or((text, ""));
        let Some(kind) = NamedKind::ALL.into_iter().find(|kind| kind.prefix() == prefix) else {
            let reason = "it begins with certificate:, oidc: or oidc-role:; tokens get their grants when they are made";
            return Err(AccessError::InvalidPrincipal { name: text.chars().take(80).collect(), reason });
        };
        NamedPrincipal::new(kind, name)
    }
}

impl Serialize for NamedPrincipal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NamedPrincipal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NamedPrincipal, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What one principal is granted: what the file holds of it, and what a list shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantEntry {
    /// No other entry has it.
    pub principal: NamedPrincipal,
    /// They add up. There is one at least.
    pub grants: Vec<Grant>,
    /// When the first one was made.
    #[serde(with = "time_text")]
    pub created: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_read_as_they_are_written() {
        for text in ["certificate:urn:client:erp", "oidc:f:1:ana", "oidc-role:plant operators", "certificate:CN=erp", "oidc:ä"] {
            assert_eq!(text.parse::<NamedPrincipal>().unwrap().to_string(), text);
        }
        for (text, reason) in [
            ("", "begins with"),
            ("ana", "begins with"),
            ("token:ana", "when they are made"),
            ("local:0", "begins with"),
            ("Certificate:erp", "begins with"),
            ("oidc", "nothing behind"),
            ("oidc:", "nothing behind"),
            ("oidc: ana", "blanks"),
            ("oidc:a\nb", "control"),
            ("oidc:\u{1b}[2J", "control"),
        ] {
            let error = text.parse::<NamedPrincipal>().unwrap_err();
            assert!(error.is_misuse() && error.to_string().contains(reason), "{text}: {error}");
        }
        assert!(NamedPrincipal::new(NamedKind::Oidc, &"x".repeat(512)).is_ok());
        assert!(NamedPrincipal::new(NamedKind::Oidc, &"x".repeat(513)).is_err());
    }
}
