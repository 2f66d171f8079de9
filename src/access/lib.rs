//! Who may do what: rights, the roles that bundle them, principals with the tags that their rights hold for, and the API tokens of a data
//! directory.
//!
//! A token is a secret of 256 random bits that is shown once; the file `access.json` of the data directory holds its SHA-256, its name and
//! its grants. Others are known by what they show elsewhere, a client certificate or a token of an identity provider; the file holds what their
//! names are granted ([`NamedPrincipal`]). The command line changes the file ([`AccessFile`]), a running historian reads it again when it changed
//! ([`AccessBook`]) and makes a [`Principal`] of whoever sends a request. What a principal may do is asked here and enforced above, where tags
//! are selected and samples are written.

mod book;
mod disk;
mod error;
mod file;
mod format;
pub mod fuzz;
mod grant;
mod named;
mod principal;
mod right;
mod secret;
mod time_text;
mod token;

pub use book::AccessBook;
pub use disk::FileState;
pub use error::AccessError;
pub use file::{ACCESS_FILE, AccessFile};
pub use grant::Grant;
pub use named::{GrantEntry, NamedKind, NamedPrincipal};
pub use principal::{KnownBy, Principal};
pub use right::{Right, RightSet, Role, UnknownRole};
pub use secret::TOKEN_PREFIX;
pub use token::{CreatedToken, NewToken, TokenEntry, TokenState};

#[cfg(test)]
mod tests;
