//! Tokens of an identity provider (OpenID Connect): signed statements of who somebody is (JWT, RFC 7519), checked with keys that the provider
//! publishes (JWKS, RFC 7517).
//!
//! [`Issuer`] knows one provider. It verifies tokens with the keys it has, and reads these again from time to time and when a token names a key that
//! is new. What a subject and its roles may do is not said here but granted in the historian (`access`).

mod claim;
mod fetch;
mod file;
pub mod fuzz;
mod issuer;
mod jws;
mod key;
mod settings;
mod verify;

pub use issuer::{Issuer, IssuerState, Reading};
pub use key::{KeyError, KeySet};
pub use settings::{KeySource, OidcSettings, SettingError};
pub use verify::{IssuerRefusal, Shown, TOKEN_BYTES_MAX};

#[cfg(test)]
mod tests;
