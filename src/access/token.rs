//! Tokens as they are made and listed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AccessError, Grant, secret::SecretHash, time_text};
use historian_model::Timestamp;

const NAME_CHARACTERS_MAX: usize = 64;

/// What a token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whom the token is for: a person, a program, a machine. The audit log names it.
    pub name: String,
    pub grants: Vec<Grant>,
    /// None: it does not expire.
    pub expires: Option<Timestamp>,
}

/// A token that was just made. Its secret is nowhere else.
#[derive(Clone)]
pub struct CreatedToken {
    pub id: u64,
    pub secret: String,
}

impl fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A token without its secret: what the file holds of it, and what a list shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// Its number, which no other token ever has.
    pub id: u64,
    /// No other valid token has it.
    pub name: String,
    #[serde(rename = "sha256")]
    pub(crate) hash: SecretHash,
    pub grants: Vec<Grant>,
    #[serde(with = "time_text")]
    pub created: Timestamp,
    /// The user of the machine who made it, as `uid:NUMBER`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// From then on it is not valid. None: it does not expire.
    #[serde(with = "time_text::optional", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    #[serde(with = "time_text::optional", default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// The user of the machine who revoked it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revoked_by: String,
}

/// Whether a token is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    Valid,
    Expired,
    Revoked,
}

impl TokenState {
    /// As a list shows it.
    pub fn name(self) -> &'static str {
        match self {
            TokenState::Valid => "valid",
            TokenState::Expired => "expired",
            TokenState::Revoked => "revoked",
        }
    }
}

impl TokenEntry {
    pub fn state(&self, now: Timestamp) -> TokenState {
        match self.expires {
            _ if self.revoked.is_some() => TokenState::Revoked,
            Some(expires) if expires <= now => TokenState::Expired,
            _ => TokenState::Valid,
        }
    }
}

/// Refuses names that are confused with numbers, or that a log or a terminal shows as something else.
///
/// # Errors
/// Says what a name may be.
pub fn check_name(name: &str) -> Result<(), AccessError> {
    let refuse = |reason| Err(AccessError::InvalidName { name: name.chars().take(NAME_CHARACTERS_MAX + 1).collect(), reason });
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return refuse("it must begin with a letter of ASCII; a number would be that of a token");
    }
    if name.len() > NAME_CHARACTERS_MAX {
        return refuse("it may have 64 characters at most");
    }
    if !name.chars().all(|character| character.is_ascii_alphanumeric() || "._-@".contains(character)) {
        return refuse("it may have letters and digits of ASCII, and . _ - @");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for name in ["ana", "grafana-line3", "ana@plant.example", "A", &"a".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "3", "-a", "token:ana", "a b", "a\n", "a\u{1b}[2J", "anä", "../a", &"a".repeat(65)] {
            assert!(check_name(name).unwrap_err().is_misuse(), "{name}");
        }
    }
}
