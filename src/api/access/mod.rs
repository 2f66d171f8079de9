//! Who may call what. One layer in front of all services finds out who calls and refuses methods for which the caller has no right; every call
//! carries its [`Principal`](historian_access::Principal) from there. Which tags it may read goes with the limits of its queries, and is asked where
//! tags are looked up.

mod known;
mod layer;
mod method;
mod rate;
mod right;

pub use self::{
    known::{Access, CREDENTIALS, token},
    layer::{Authenticated, AuthenticatedLayer},
    right::{require, require_on, require_to_make},
};
