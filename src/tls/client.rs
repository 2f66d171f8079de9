//! TLS of those who call a historian: whom they trust, and what they show.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};

use crate::{
    file::{TlsContent, TlsFile, TlsProblem},
    pem,
    provider::provider,
};

/// Whom a client trusts beside those that its machine trusts, and what it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    pub ca: Option<PathBuf>,
    /// Certificate and key.
    pub pair: Option<(PathBuf, PathBuf)>,
}

impl ClientTls {
    /// How connections of gRPC are made.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub fn config(&self) -> Result<ClientConfig, TlsProblem> {
        let mut config = self.trusting(machine())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// How connections to a device are made: where an authority is named, no other is trusted, and no protocol is asked for.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub fn device_config(&self) -> Result<ClientConfig, TlsProblem> {
        self.trusting(if self.ca.is_some() { RootCertStore::empty() } else { machine() })
    }

    fn trusting(&self, mut roots: RootCertStore) -> Result<ClientConfig, TlsProblem> {
        if let Some(path) = &self.ca {
            let content = TlsContent::read(TlsFile::ClientCa, path);
            for authority in content.parsed(pem::certificates)? {
                roots.add(authority).map_err(|error| content.problem(format!("has a certificate that cannot be used: {error}")))?;
            }
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| TlsProblem::new(TlsFile::ClientCa, self.ca.as_deref().unwrap_or("".as_ref()), error))?
            .with_root_certificates(roots);
        Ok(match &self.pair {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = TlsContent::read(TlsFile::Certificate, certificate).parsed(pem::certificates)?;
                let content = TlsContent::read(TlsFile::Key, key);
                let key = content.parsed(pem::key)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| content.problem(format!("cannot be used: {error}")))?
            }
        })
    }
}

/// Whom the machine trusts. Where that is nobody, or cannot be read, a named authority is all there is.
fn machine() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Trusts one certificate of a server and no other, whatever its names: for who has read it from the server's own files.
///
/// # Errors
/// The versions of TLS are not those of the provider, which they are.
pub fn pinned(certificate: Vec<u8>) -> Result<ClientConfig, Error> {
    let verifier = Pinned { certificate: certificate.into(), provider: provider() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Takes one certificate. That its server has the key to it is checked as ever.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _issuers: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *certificate == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
