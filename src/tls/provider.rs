//! The one provider of cryptography. It is named everywhere: with two in one program, a configuration that names none panics when it is made.

use std::sync::{Arc, OnceLock};

use rustls::{
    CipherSuite,
    crypto::{CryptoProvider, ring},
};

/// What computes. AES with keys of 128 bits comes before that with 256: it is as sound against every computer that there is, and takes a fifth less time for
/// a large answer. Whoever wants the other one says so in the order of its own.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        let mut provider = ring::default_provider();
        // A stable sort: all else stays in the order of the library.
        provider.cipher_suites.sort_by_key(|suite| is_aes_256(suite.suite()));
        Arc::new(provider)
    };
    PROVIDER.get_or_init(make).clone()
}

fn is_aes_256(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    )
}
