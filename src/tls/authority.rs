//! A small authority in a directory, for a site that has none: `ca.crt`, `ca.key`, and what it issued. Keys are ECDSA P-256, which every client
//! library takes, and are readable by their owner only.

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use historian_model::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};

use crate::{
    certificate::{CertificateFacts, common_name_of},
    file::{TlsContent, TlsFile, TlsProblem},
    pem,
};

const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";

/// An authority outlives what it issues. Clients have its certificate, and there is no easy way to give all of them another.
const AUTHORITY_DAYS: u32 = 20 * 365;
/// Clocks of clients may be behind.
const BACKDATED: Duration = Duration::from_hours(24);
/// Longest common name (RFC 5280).
const NAME_LETTERS_MAX: usize = 64;

/// Why something was not made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    #[error("there is no authority in {}: {problem}", .directory.display())]
    None { directory: PathBuf, problem: TlsProblem },
    #[error("{name:?} cannot be the name of {of}")]
    Name { name: String, of: &'static str },
    #[error("{}: {error}", .path.display())]
    Disk { path: PathBuf, error: io::Error },
    #[error("the certificate could not be made: {0}")]
    Making(#[from] rcgen::Error),
    #[error("{}: was not made by this program, whose names are simpler; let the authority that made it issue certificates", .0.display())]
    Foreign(PathBuf),
}

/// A certificate that was made, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub facts: CertificateFacts,
}

/// An authority that can issue.
pub struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// The file that clients are given.
    pub fn certificate_file(directory: &Path) -> PathBuf {
        directory.join(CERTIFICATE)
    }

    /// Makes an authority of this name. `replace` puts it in the place of another.
    ///
    /// # Errors
    /// There is one already, or the disk refuses.
    pub fn make(directory: &Path, name: &str, now: Timestamp, replace: bool) -> Result<Authority, AuthorityError> {
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name.push(DnType::CommonName, name);
        wanted.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid(&mut wanted, now, AUTHORITY_DAYS);
        let key = KeyPair::generate()?;
        let certificate = wanted.self_signed(&key)?;
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |error| AuthorityError::Disk { path, error }
        };
        fs::create_dir_all(directory).map_err(disk(directory))?;
        write_pair((&directory.join(CERTIFICATE), &certificate.pem()), (&directory.join(KEY), &key.serialize_pem()), replace)?;
        let der = certificate.der().clone();
        Ok(Authority { directory: directory.to_owned(), issuer: Issuer::new(wanted, key), certificate: der })
    }

    /// The authority of a directory.
    ///
    /// # Errors
    /// There is none, or it is of another program.
    pub fn open(directory: &Path) -> Result<Authority, AuthorityError> {
        let none = |problem| AuthorityError::None { directory: directory.to_owned(), problem };
        let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
        let content = TlsContent::read(TlsFile::Certificate, &certificate);
        let chain = content.parsed(pem::certificates).map_err(none)?;
        let der = chain.into_iter().next().ok_or_else(|| none(content.problem("has no certificate")))?;
        let key_text =
            TlsContent::read(TlsFile::Key, &key).parsed(|bytes| String::from_utf8(bytes.to_vec()).map_err(|_| "is no PEM".to_owned()));
        let key = KeyPair::from_pem(&key_text.map_err(none)?)?;
        let name = common_name_of(&der).map_err(|message| none(content.problem(message)))?;
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name.push(DnType::CommonName, name.unwrap_or_default());
        Ok(Authority { directory: directory.to_owned(), issuer: Issuer::new(wanted, key), certificate: der })
    }

    /// What the authority's own certificate says.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn facts(&self) -> Result<CertificateFacts, AuthorityError> {
        CertificateFacts::of(&self.certificate).map_err(|_| AuthorityError::Foreign(self.directory.join(CERTIFICATE)))
    }

    /// Issues the certificate of a server with these names and addresses.
    ///
    /// # Errors
    /// A name that no host can have; files that are there already, unless they are to be replaced; a disk that refuses.
    pub fn server(&self, hosts: &[String], days: u32, now: Timestamp, replace: bool) -> Result<Issued, AuthorityError> {
        let mut wanted = CertificateParams::default();
        for host in hosts {
            wanted.subject_alt_names.push(host_name(host)?);
        }
        let first = hosts.first().map_or("historian", String::as_str);
        wanted.distinguished_name.push(DnType::CommonName, first.chars().take(NAME_LETTERS_MAX).collect::<String>());
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(wanted, "server", days, now, replace)
    }

    /// Issues the certificate of a client.
    ///
    /// # Errors
    /// A name that cannot be one; files that are there already, unless they are to be replaced; a disk that refuses.
    pub fn client(&self, name: &str, days: u32, now: Timestamp, replace: bool) -> Result<Issued, AuthorityError> {
        let refused = || AuthorityError::Name { name: name.to_owned(), of: "a client; letters, digits and . _ - @ can, 64 at most" };
        let is_plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-@".contains(letter));
        if !is_plain || !name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) || name.len() > NAME_LETTERS_MAX {
            return Err(refused());
        }
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name.push(DnType::CommonName, name);
        let alternative = name.to_owned().try_into().map_err(|_| refused())?;
        if name.contains('@') {
            wanted.subject_alt_names.push(SanType::Rfc822Name(alternative));
        } else if ServerName::try_from(name).is_ok_and(|name| matches!(name, ServerName::DnsName(_))) {
            wanted.subject_alt_names.push(SanType::DnsName(alternative));
        }
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(wanted, &format!("client-{name}"), days, now, replace)
    }

    fn issue(&self, mut wanted: CertificateParams, stem: &str, days: u32, now: Timestamp, replace: bool) -> Result<Issued, AuthorityError> {
        wanted.is_ca = IsCa::ExplicitNoCa;
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Strict clients (Python 3.13) take no certificate without it.
        wanted.use_authority_key_identifier_extension = true;
        valid(&mut wanted, now, days);
        let key = KeyPair::generate()?;
        let made = wanted.signed_by(&key, &self.issuer)?;
        let foreign = || AuthorityError::Foreign(self.directory.join(CERTIFICATE));
        let facts = CertificateFacts::of(made.der()).map_err(|_| foreign())?;
        if facts.issuer != self.facts()?.subject {
            return Err(foreign());
        }
        let [certificate, secret] = ["crt", "key"].map(|ending| self.directory.join(format!("{stem}.{ending}")));
        write_pair((&certificate, &made.pem()), (&secret, &key.serialize_pem()), replace)?;
        Ok(Issued { certificate, key: secret, facts })
    }
}

/// A name or an address of a server.
fn host_name(host: &str) -> Result<SanType, AuthorityError> {
    let refused =
        || AuthorityError::Name { name: host.to_owned(), of: "a host; give names such as plant.example and addresses, without a port" };
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    ServerName::try_from(host).map_err(|_| refused())?;
    Ok(SanType::DnsName(host.to_owned().try_into().map_err(|_| refused())?))
}

/// Valid from a little before now, for so many days.
fn valid(wanted: &mut CertificateParams, now: Timestamp, days: u32) {
    let since_1970 = Duration::from_secs(u64::try_from(now.0 / 1_000_000_000).unwrap_or(0));
    let now = date_time_ymd(1970, 1, 1) + since_1970;
    wanted.not_before = now - BACKDATED;
    wanted.not_after = now + Duration::from_hours(24 * u64::from(days));
}

/// Writes certificate and key. Each comes into its place whole, the key first: a server that looks meanwhile finds a pair that does not match,
/// and looks again.
fn write_pair((certificate, certificate_text): (&Path, &str), (key, key_text): (&Path, &str), replace: bool) -> Result<(), AuthorityError> {
    if let Some(there) = [certificate, key].into_iter().find(|path| !replace && path.exists()) {
        return Err(AuthorityError::Exists(there.to_owned()));
    }
    write(key, key_text, 0o600)?;
    write(certificate, certificate_text, 0o644)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = (|| {
        let _ = fs::remove_file(&beside);
        let mut file = create(&beside, mode)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|error| AuthorityError::Disk { path: path.to_owned(), error })
}

#[cfg(unix)]
fn create(path: &Path, mode: u32) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path, _mode: u32) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create_new(true).open(path)
}

/// The certificates of a file in words.
///
/// # Errors
/// It has none.
pub fn describe(path: &Path) -> Result<Vec<CertificateFacts>, TlsProblem> {
    let content = TlsContent::read(TlsFile::Certificate, path);
    let facts = |text: &[u8]| {
        let chain: Vec<CertificateDer<'static>> = pem::certificates(text)?;
        chain.iter().map(|certificate| CertificateFacts::of(certificate)).collect()
    };
    content.parsed(facts)
}

/// The certificates of a file in DER.
///
/// # Errors
/// It has none.
pub fn certificate(path: &Path) -> Result<Vec<u8>, TlsProblem> {
    let first =
        |text: &[u8]| CertificateDer::from_pem_slice(text).map(|certificate| certificate.to_vec()).map_err(|error| error.to_string());
    TlsContent::read(TlsFile::Certificate, path).parsed(first)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_secret_and_nothing_is_overwritten_unasked() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp(1_800_000_000_000_000_000);
        let authority = Authority::make(directory.path(), "plant", now, false).unwrap();
        assert!(matches!(Authority::make(directory.path(), "plant", now, false), Err(AuthorityError::Exists(_))));
        let hosts = ["plant.example".to_owned(), "192.0.2.1".to_owned(), "[::1]".to_owned()];
        let server = authority.server(&hosts, 30, now, false).unwrap();
        assert_eq!(server.facts.names, ["DNS:plant.example", "IP:192.0.2.1", "IP:::1"]);
        assert!(matches!(authority.server(&hosts, 30, now, false), Err(AuthorityError::Exists(_))));
        assert!(authority.server(&hosts, 30, now, true).is_ok());
        // As read again from the disk.
        let authority = Authority::open(directory.path()).unwrap();
        let client = authority.client("erp-1", 30, now, false).unwrap();
        assert_eq!((client.facts.issuer.as_str(), client.facts.names.as_slice()), ("CN=plant", &["DNS:erp-1".to_owned()][..]));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([&directory.path().join(KEY), &server.key, &client.key].map(|path| mode(path)), [0o600; 3]);
        assert_eq!(mode(&client.certificate), 0o644);
        for name in ["", "a/b", "../a", ".a", "a b", "a\nb", &"a".repeat(65)] {
            assert!(matches!(authority.client(name, 30, now, false), Err(AuthorityError::Name { .. })), "{name:?}");
        }
        for host in ["", "a b", "plant:8815", "grpc://plant"] {
            assert!(matches!(authority.server(&[host.to_owned()], 30, now, true), Err(AuthorityError::Name { .. })), "{host:?}");
        }
        assert!(matches!(Authority::open(&directory.path().join("none")), Err(AuthorityError::None { .. })));
    }
}
