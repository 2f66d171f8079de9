//! Certificates in order and in every way not, made and shown by `openssl`: another implementation than the one that judges them.

pub mod authority;
pub mod client;
pub mod server;
pub mod speak;
