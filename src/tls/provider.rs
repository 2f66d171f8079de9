//! The one provider of cryptography. It is named everywhere: with two in one program, a configuration that names none panics when it is made.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, ring};

/// What computes.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(ring::default_provider())).clone()
}
