//! Certificates and keys of TLS: where they are ([`TlsFiles`]), read and checked ([`ServerPair`]), followed as they change ([`ServerTls`]),
//! described ([`CertificateFacts`]), and made ([`Authority`]). Connections are others' business: `api` accepts them, the command line makes them.

pub mod authority;
mod certificate;
mod client;
mod file;
mod handshake;
mod pair;
mod pem;
mod provider;
mod shown;
mod watch;

pub use authority::Authority;
pub use certificate::{CertificateFacts, CertificateValidity, ClientIdentity, EXPIRES_SOON};
pub use client::{ClientTls, pinned};
pub use file::{ClientCertificates, TlsFile, TlsFiles, TlsProblem};
pub use handshake::{of_broker, of_client, of_server, refused_later};
pub use pair::ServerPair;
pub use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
pub use shown::ShownCertificate;
pub use watch::{Look, ServerTls, TlsState};
