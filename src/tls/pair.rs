//! What a server shows its clients and asks of them, checked as a whole: certificate and key belong together, and the authorities and
//! lists of its clients can be used.

use std::sync::Arc;

use historian_model::Timestamp;
use rustls::{
    Error, InconsistentKeys, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, UnixTime},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use crate::{
    certificate::CertificateFacts,
    file::{ClientCertificates, TlsContents, TlsFile, TlsFiles, TlsProblem},
    pem,
    provider::provider,
};

/// Certificate and key of a server, and how it judges its clients.
pub struct ServerPair {
    resolver: Arc<SingleCertAndKey>,
    verifier: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateFacts>,
    /// The server's own certificate in DER.
    pub certificate: Vec<u8>,
}

impl ServerPair {
    /// Reads the files and checks that they can be served with.
    ///
    /// # Errors
    /// Every problem that was found.
    pub fn read(files: &TlsFiles) -> Result<ServerPair, Vec<TlsProblem>> {
        ServerPair::of(files.client_certificates, &TlsContents::read(files))
    }

    /// As [`ServerPair::read`], of files that were read.
    pub(crate) fn of(asked: ClientCertificates, contents: &TlsContents) -> Result<ServerPair, Vec<TlsProblem>> {
        let mut problems = Vec::new();
        let mut keep = |problem: TlsProblem| problems.push(problem);
        let chain = one(contents, TlsFile::Certificate).and_then(|content| content.parsed(pem::certificates)).map_err(&mut keep).ok();
        let key = one(contents, TlsFile::Key).and_then(|content| content.parsed(pem::key)).map_err(&mut keep).ok();
        let verifier = verifier(asked, contents).map_err(|found| problems.extend(found)).ok();
        let (Some(chain), Some(key), Some(verifier)) = (chain, key, verifier) else { return Err(problems) };

        let of_certificate =
            |message: String| one(contents, TlsFile::Certificate).map_or_else(|problem| problem, |content| content.problem(message));
        let facts: Result<Vec<CertificateFacts>, String> = chain.iter().map(|certificate| CertificateFacts::of(certificate)).collect();
        let facts = facts.map_err(|message| vec![of_certificate(message)])?;
        let certificate = chain.first().map(|certificate| certificate.to_vec()).unwrap_or_default();
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
            let message = match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    "is not the key of the certificate; give the two that were made together".to_owned()
                }
                Error::InvalidCertificate(error) => return vec![of_certificate(format!("has a certificate that cannot be used: {error}"))],
                other => format!("has a key that cannot be used: {other}; RSA from 2048 bits, ECDSA P-256 and P-384, and Ed25519 can"),
            };
            vec![one(contents, TlsFile::Key).map_or_else(|problem| problem, |content| content.problem(message))]
        })?;
        Ok(ServerPair { resolver: Arc::new(SingleCertAndKey::from(certified)), verifier, chain: facts, certificate })
    }

    /// What the server's own certificate says.
    pub fn facts(&self) -> Option<&CertificateFacts> {
        self.chain.first()
    }

    /// The certificate of the chain that ends first.
    pub fn first_to_end(&self) -> Option<&CertificateFacts> {
        self.chain.iter().min_by_key(|certificate| certificate.not_after)
    }

    /// What an operator should know of a pair that can be served with.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let mut warnings: Vec<String> = self.first_to_end().and_then(|certificate| certificate.warning(now)).into_iter().collect();
        if self.facts().is_some_and(|own| own.names.is_empty()) {
            warnings.push("the certificate has no alternative names, without which clients take it for no host at all".to_owned());
        }
        warnings
    }

    /// Judges the certificates of a client, its own first, as a handshake would do now.
    ///
    /// # Errors
    /// It would not be let in.
    pub(crate) fn judge(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (own, issuers) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.verifier.verify_client_cert(own, issuers, UnixTime::now()).map(|_| ())
    }

    /// How connections are served that speak this protocol. Each has sessions of its own to be resumed: who was let in with one configuration
    /// is judged anew under the next.
    ///
    /// # Errors
    /// The versions of TLS are not those of the provider, which they are.
    pub fn config(&self, protocol: &[u8]) -> Result<Arc<ServerConfig>, Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_client_cert_verifier(self.verifier.clone())
            .with_cert_resolver(self.resolver.clone());
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }
}

/// The first file of this kind. Certificate and key are always among the contents.
fn one(contents: &TlsContents, file: TlsFile) -> Result<&crate::file::TlsContent, TlsProblem> {
    contents.of(file).next().ok_or_else(|| TlsProblem::new(file, std::path::Path::new(""), "no such file is configured"))
}

/// How certificates of clients are judged.
fn verifier(asked: ClientCertificates, contents: &TlsContents) -> Result<Arc<dyn ClientCertVerifier>, Vec<TlsProblem>> {
    if asked == ClientCertificates::Off {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let mut problems = Vec::new();
    let mut roots = RootCertStore::empty();
    for content in contents.of(TlsFile::ClientCa) {
        match content.parsed(pem::certificates) {
            Ok(authorities) => {
                for authority in authorities {
                    if let Err(error) = roots.add(authority) {
                        problems.push(content.problem(format!("has a certificate that cannot be used: {error}")));
                    }
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    let mut crls = Vec::new();
    for content in contents.of(TlsFile::ClientCrls) {
        match content.parsed(pem::crls) {
            Ok(lists) => crls.extend(lists),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    // Whose issuer has no list here is taken: a list of one authority says nothing of the clients of another.
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).with_crls(crls).allow_unknown_revocation_status();
    let builder = if asked == ClientCertificates::Optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| {
        let (file, message) = match error {
            VerifierBuilderError::InvalidCrl(error) => {
                (TlsFile::ClientCrls, format!("has a list of revoked certificates that cannot be used: {error:?}"))
            }
            other => (TlsFile::ClientCa, format!("cannot be used: {other}")),
        };
        vec![one(contents, file).map_or_else(|problem| problem, |content| content.problem(message))]
    })
}
