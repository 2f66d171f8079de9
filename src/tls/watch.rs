//! The pair that new connections are served with, and how it is replaced while the server runs.
//!
//! Whoever renews a certificate writes two files, one after the other, perhaps in pieces. So what is new is looked at twice before it is
//! complained of: a pair that is bad at two looks in a row, with the same bytes, is bad. Until there is a good one, the old one stays.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{ServerConfig, pki_types::CertificateDer};

use crate::{
    certificate::CertificateFacts,
    file::{TlsContents, TlsFile, TlsFiles, TlsProblem},
    pair::ServerPair,
};

/// What clients of the gRPC port and of the HTTP port agree on.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What connections of both ports are served with from now on.
struct Served {
    grpc: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    pair: ServerPair,
}

impl Served {
    fn with(pair: ServerPair) -> Result<Served, rustls::Error> {
        Ok(Served { grpc: pair.config(HTTP2)?, http: pair.config(HTTP1)?, pair })
    }
}

/// TLS of a running server.
pub struct ServerTls {
    files: TlsFiles,
    served: ArcSwap<Served>,
    looked: Mutex<Looked>,
    failures: AtomicU64,
    /// How often new files were taken.
    taken: AtomicU64,
}

/// What was seen of the files, by their digests.
struct Looked {
    in_use: [u8; 32],
    /// Bad at the last look.
    doubted: Option<[u8; 32]>,
    /// Bad at two looks.
    refused: Option<([u8; 32], String)>,
}

/// What came of a look at the files.
#[derive(Debug)]
pub enum Look {
    /// They are as they were, or may be half written.
    Same,
    /// New connections are served with what they hold.
    Taken,
    /// They cannot be used; the pair of before stays.
    Refused(String),
    /// They were refused and are again as they were before.
    Restored,
}

/// State of TLS at one moment.
#[derive(Clone, Debug, Default)]
pub struct TlsState {
    /// The server's certificate.
    pub certificate: Option<CertificateFacts>,
    /// The certificate of its chain that ends first.
    pub first_to_end: Option<CertificateFacts>,
    /// Why newer files are not used; `None` while those in use are the newest.
    pub refused: Option<String>,
    /// How often files could not be used.
    pub failures: u64,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Every problem that was found.
    pub fn open(files: TlsFiles) -> Result<ServerTls, Vec<TlsProblem>> {
        let contents = TlsContents::read(&files);
        let pair = ServerPair::of(files.client_certificates, &contents)?;
        let served = Served::with(pair).map_err(|error| vec![TlsProblem::new(TlsFile::Certificate, &files.certificate, error)])?;
        let looked = Mutex::new(Looked { in_use: contents.digest(), doubted: None, refused: None });
        Ok(ServerTls { files, served: ArcSwap::from_pointee(served), looked, failures: AtomicU64::new(0), taken: AtomicU64::new(0) })
    }

    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// For the next connection of the gRPC port.
    pub fn grpc(&self) -> Arc<ServerConfig> {
        self.served.load().grpc.clone()
    }

    /// For the next connection of the HTTP port.
    pub fn http(&self) -> Arc<ServerConfig> {
        self.served.load().http.clone()
    }

    /// How often new files were taken since the start.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// Judges the certificates that a client has shown, its own first, as if it came now.
    ///
    /// # Errors
    /// It would not be let in.
    pub(crate) fn judge(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        self.served.load().pair.judge(chain)
    }

    /// What an operator should know of the pair in use.
    pub fn warnings(&self, now: historian_model::Timestamp) -> Vec<String> {
        self.served.load().pair.warnings(now)
    }

    pub fn state(&self) -> TlsState {
        let served = self.served.load();
        TlsState {
            certificate: served.pair.facts().cloned(),
            first_to_end: served.pair.first_to_end().cloned(),
            refused: self.looked.lock().refused.as_ref().map(|(_, message)| message.clone()),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    /// Looks whether the files have changed, and takes what is new and good. Blocks.
    pub fn look(&self) -> Look {
        let contents = TlsContents::read(&self.files);
        let digest = contents.digest();
        let mut looked = self.looked.lock();
        if digest == looked.in_use {
            looked.doubted = None;
            return looked.refused.take().map_or(Look::Same, |_| Look::Restored);
        }
        if looked.refused.as_ref().is_some_and(|(refused, _)| *refused == digest) {
            return Look::Same;
        }
        let taken = ServerPair::of(self.files.client_certificates, &contents).and_then(|pair| {
            Served::with(pair).map_err(|error| vec![TlsProblem::new(TlsFile::Certificate, &self.files.certificate, error)])
        });
        match taken {
            Ok(served) => {
                self.served.store(Arc::new(served));
                self.taken.fetch_add(1, Ordering::Release);
                *looked = Looked { in_use: digest, doubted: None, refused: None };
                Look::Taken
            }
            Err(_) if looked.doubted != Some(digest) => {
                looked.doubted = Some(digest);
                Look::Same
            }
            Err(problems) => {
                let message = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                self.failures.fetch_add(1, Ordering::Relaxed);
                (looked.doubted, looked.refused) = (None, Some((digest, message.clone())));
                Look::Refused(message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use historian_model::Timestamp;

    use super::*;
    use crate::Authority;

    /// A directory with a pair, and its files.
    fn pair() -> (tempfile::TempDir, TlsFiles) {
        let directory = tempfile::tempdir().unwrap();
        // Certificates begin some time before they are made, and not before 1970.
        let now = Timestamp(1_700_000_000_000_000_000);
        let authority = Authority::make(directory.path(), "test", now, false).unwrap();
        let made = authority.server(&["localhost".to_owned()], 10, now, false).unwrap();
        let files = TlsFiles { certificate: made.certificate, key: made.key, ..TlsFiles::default() };
        (directory, files)
    }

    fn fingerprint(tls: &ServerTls) -> String {
        tls.state().certificate.unwrap().fingerprint
    }

    #[test]
    fn a_new_pair_is_taken_and_a_bad_one_leaves_the_old_one_and_is_told_once() {
        let ((_one, files), (_two, other)) = (pair(), pair());
        let [old_certificate, new_certificate, old_key, new_key] =
            [&files.certificate, &other.certificate, &files.key, &other.key].map(|path| fs::read(path).unwrap());
        let tls = ServerTls::open(files.clone()).unwrap();
        let first = fingerprint(&tls);
        assert!(matches!(tls.look(), Look::Same));

        // The certificate is written, and the key not yet.
        fs::write(&files.certificate, &new_certificate).unwrap();
        assert!(matches!(tls.look(), Look::Same) && fingerprint(&tls) == first);
        fs::write(&files.key, &new_key).unwrap();
        assert!(matches!(tls.look(), Look::Taken));
        let second = fingerprint(&tls);
        assert_ne!(first, second);
        assert_eq!(tls.state().failures, 0);

        // Half a file, for good.
        fs::write(&files.certificate, &old_certificate[..old_certificate.len() / 2]).unwrap();
        assert!(matches!(tls.look(), Look::Same));
        let Look::Refused(message) = tls.look() else { panic!("it is refused") };
        assert!(message.contains("in the middle"), "{message}");
        assert!(matches!(tls.look(), Look::Same));
        assert_eq!((fingerprint(&tls), tls.state().failures, tls.state().refused), (second.clone(), 1, Some(message)));

        // Another key than the certificate's; then what was there before.
        fs::write(&files.certificate, &old_certificate).unwrap();
        assert!(matches!(tls.look(), Look::Same));
        let Look::Refused(message) = tls.look() else { panic!("it is refused") };
        assert!(message.contains("is not the key of the certificate"), "{message}");
        fs::write(&files.certificate, &new_certificate).unwrap();
        assert!(matches!(tls.look(), Look::Restored));
        assert_eq!((tls.state().refused, tls.state().failures), (None, 2));
        fs::write(&files.certificate, &old_certificate).unwrap();
        fs::write(&files.key, &old_key).unwrap();
        assert!(matches!(tls.look(), Look::Taken) && fingerprint(&tls) == first);
    }
}
