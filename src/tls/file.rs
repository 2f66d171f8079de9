//! The files of a server's TLS, and what they hold at a moment: read whole and at once, so that what is judged is what is used.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::pem;

/// Largest file read. Lists of revoked certificates are the largest of them.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What a server asks of its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No certificate.
    #[default]
    Off,
    /// A certificate of a trusted authority, or none.
    Optional,
    /// A certificate of a trusted authority.
    Required,
}

impl ClientCertificates {
    pub const ALL: [ClientCertificates; 3] = [ClientCertificates::Off, ClientCertificates::Optional, ClientCertificates::Required];

    /// As it is configured.
    pub fn name(self) -> &'static str {
        match self {
            ClientCertificates::Off => "off",
            ClientCertificates::Optional => "optional",
            ClientCertificates::Required => "required",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<ClientCertificates> {
        ClientCertificates::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Where a server's certificates and keys are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and behind it those of its issuers up to the one that clients trust.
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_certificates: ClientCertificates,
    /// Authorities whose clients are taken. There is one where certificates of clients are asked for.
    pub client_ca: Option<PathBuf>,
    /// Lists of revoked certificates.
    pub client_crls: Vec<PathBuf>,
}

/// One of these files, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsFile {
    Certificate,
    Key,
    ClientCa,
    ClientCrls,
}

impl TlsFile {
    /// Its key in `[tls]`.
    pub fn key(self) -> &'static str {
        match self {
            TlsFile::Certificate => "certificate",
            TlsFile::Key => "key",
            TlsFile::ClientCa => "client_ca",
            TlsFile::ClientCrls => "client_crls",
        }
    }
}

/// What is wrong with one of the files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .path.display())]
pub struct TlsProblem {
    pub file: TlsFile,
    pub path: PathBuf,
    pub message: String,
}

impl TlsProblem {
    pub(crate) fn new(file: TlsFile, path: &Path, message: impl fmt::Display) -> TlsProblem {
        TlsProblem { file, path: path.to_owned(), message: message.to_string() }
    }
}

/// A file as it was read, or why it could not be.
pub(crate) struct TlsContent {
    pub file: TlsFile,
    pub path: PathBuf,
    pub bytes: Result<Vec<u8>, String>,
}

impl TlsContent {
    pub fn read(file: TlsFile, path: &Path) -> TlsContent {
        let bytes = match file {
            TlsFile::Key => secret(path),
            TlsFile::Certificate | TlsFile::ClientCa | TlsFile::ClientCrls => whole(path).map(|(bytes, _)| bytes),
        };
        TlsContent { file, path: path.to_owned(), bytes }
    }

    /// What `parse` makes of it.
    pub fn parsed<T>(&self, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, TlsProblem> {
        self.bytes.as_deref().map_err(Clone::clone).and_then(parse).map_err(|message| self.problem(message))
    }

    pub fn problem(&self, message: impl fmt::Display) -> TlsProblem {
        TlsProblem::new(self.file, &self.path, message)
    }
}

/// All files of a server at one moment.
pub(crate) struct TlsContents(pub Vec<TlsContent>);

impl TlsContents {
    pub fn read(files: &TlsFiles) -> TlsContents {
        let mut named = vec![(TlsFile::Certificate, &files.certificate), (TlsFile::Key, &files.key)];
        if files.client_certificates != ClientCertificates::Off {
            named.extend(files.client_ca.iter().map(|path| (TlsFile::ClientCa, path)));
            named.extend(files.client_crls.iter().map(|path| (TlsFile::ClientCrls, path)));
        }
        TlsContents(named.into_iter().map(|(file, path)| TlsContent::read(file, path)).collect())
    }

    pub fn of(&self, file: TlsFile) -> impl Iterator<Item = &TlsContent> {
        self.0.iter().filter(move |content| content.file == file)
    }

    /// Other contents have another one. Of the key it tells nothing.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for content in &self.0 {
            let (is_read, bytes) = match &content.bytes {
                Ok(bytes) => (1, bytes.as_slice()),
                Err(message) => (0, message.as_bytes()),
            };
            digest.update([is_read]);
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        }
        digest.finalize().into()
    }
}

/// A key file, which nobody but its owner and group may read.
fn secret(path: &Path) -> Result<Vec<u8>, String> {
    let (bytes, others) = whole(path)?;
    // What has no key in it is another mistake.
    if others != 0 && pem::has_key(&bytes) {
        return Err(format!(
            "can be read or changed by every user of this machine; run `chmod 600 {}`, and make another key if others may have seen this one",
            path.display()
        ));
    }
    Ok(bytes)
}

/// A file, and what others than its owner and group may do with it.
fn whole(path: &Path) -> Result<(Vec<u8>, u32), String> {
    let refused = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    // Opened once: what is asked about and what is read is the same file, whatever takes its name meanwhile.
    let mut file = fs::File::open(path).map_err(|error| refused(&error))?;
    let about = file.metadata().map_err(|error| refused(&error))?;
    if about.is_dir() {
        return Err("is a directory; name the file in it".to_owned());
    }
    let mut bytes = Vec::new();
    file.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| refused(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    Ok((bytes, of_others(&about)))
}

#[cfg(unix)]
fn of_others(about: &fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt;
    about.mode() & 0o007
}

#[cfg(not(unix))]
fn of_others(_about: &fs::Metadata) -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_refused_and_a_certificate_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        fs::write(&path, "-----BEGIN PRIVATE KEY-----").unwrap();
        for (mode, refused) in [(0o600, false), (0o400, false), (0o640, false), (0o644, true), (0o602, true), (0o777, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let key = TlsContent::read(TlsFile::Key, &path).bytes;
            assert_eq!(key.is_err(), refused, "{mode:o}");
            assert!(key.err().is_none_or(|message| message.contains("chmod 600")));
            assert!(TlsContent::read(TlsFile::Certificate, &path).bytes.is_ok());
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let directory = tempfile::tempdir().unwrap();
        for (path, expected) in [(directory.path().join("none"), "no such file"), (directory.path().to_owned(), "is a directory")] {
            let message = TlsContent::read(TlsFile::Certificate, &path).bytes.unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
