//! Certificates of one `pki_dir`: our own, which is made when there is none, and those of servers, which a person trusts.
//!
//! Layout: `own/cert.der`, `private/private.pem` (0600, in a 0700 folder), `trusted/`, `rejected/`. Trust is by exact certificate, as the
//! client library has it; chains up to an issuer are not followed. The files of secrets that users log on with are read here, too
//! (`user.rs` knows what is in them).

use std::{path::Path, sync::Arc};

use opcua::{
    core::comms::url::hostname_from_url,
    crypto::{CertificateStore, SecurityPolicy, X509, X509Data},
    sync::RwLock,
    types::{ByteString, EndpointDescription},
};

use super::{
    convert::protocol_time,
    device::{HostCheck, OpcUaSettings},
    wire::certificate::{self, Names},
};
use historian_collector::CertificateDecision;
use historian_model::Timestamp;

/// The own certificate outlives the plant: one that runs out silently stops collection on a day that nobody expects.
const OWN_CERTIFICATE_DAYS: u32 = 20 * 365;
/// Unknown certificates kept for a person to look at; a network that shows a new one each time must not fill the disk.
const REJECTED_FILES_MAX: usize = 100;

/// Devices may share a directory and start together; one of them makes the certificate.
static MAKING: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

pub type SharedStore = Arc<RwLock<CertificateStore>>;

/// The certificate store of a device, with folders and own certificate in place. Without security nothing is read or written.
///
/// # Errors
/// What is missing or unreadable, by file name.
pub async fn open(device: &OpcUaSettings) -> Result<SharedStore, String> {
    let Some(dir) = device.pki_dir.clone().filter(|_| device.policy != SecurityPolicy::None) else {
        return Ok(Arc::new(RwLock::new(CertificateStore::new(Path::new("/dev/null")))));
    };
    let uri = device.application_uri.clone();
    let mut store = tokio::task::spawn_blocking(move || prepare(&dir, &uri))
        .await
        .map_err(|error| format!("making the own certificate failed: {error}"))??;
    store.set_trust_unknown_certs(device.trust_server_certificate);
    // The library wants the URI to be the first name of a certificate, and knows nothing of what a device may be forgiven. `judge` decides
    // before it; that the server shows the same certificate again, and has its key, is checked by the library all the same.
    store.set_skip_verify_certs(true);
    Ok(Arc::new(RwLock::new(store)))
}

fn prepare(dir: &Path, application_uri: &str) -> Result<CertificateStore, String> {
    let _making = MAKING.lock();
    let store = CertificateStore::new(dir);
    store.ensure_pki_path().map_err(|error| format!("pki_dir {}: {error}", dir.display()))?;
    let (certificate, key) = (store.own_certificate_path(), store.own_private_key_path());
    match (certificate.exists(), key.exists()) {
        (false, false) => make(&certificate, &key, application_uri)?,
        (true, true) => {}
        (true, false) => return Err(format!("{} is missing, but its certificate {} is there", key.display(), certificate.display())),
        (false, true) => {
            return Err(format!(
                "{} is missing, but its key {} is there; supply it, or remove the key",
                certificate.display(),
                key.display()
            ));
        }
    }
    store.read_own_pkey()?;
    let names = Names::of(store.read_own_cert()?.as_byte_string().as_ref())?;
    if !names.uris.iter().any(|uri| uri == application_uri) {
        return Err(format!(
            "the own certificate {} is not for the application URI {application_uri:?} but for {}; set application_uri to its URI",
            certificate.display(),
            names.list_uris()
        ));
    }
    Ok(store)
}

fn make(certificate: &Path, key: &Path, application_uri: &str) -> Result<(), String> {
    if let Some(folder) = key.parent() {
        private_folder(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let data = X509Data {
        key_size: 2048,
        common_name: "historian".into(),
        organization: "historian".into(),
        organizational_unit: "collector".into(),
        country: "EU".into(),
        state: "-".into(),
        alt_host_names: X509Data::alt_host_names(application_uri, None, false, true, false),
        certificate_duration_days: OWN_CERTIFICATE_DAYS,
    };
    CertificateStore::create_certificate_and_key(&data, false, certificate, key)?;
    owner_only(key).map_err(|error| format!("{}: {error}", key.display()))?;
    tracing::info!(certificate = %certificate.display(), "made the own certificate; servers must be told to trust it");
    Ok(())
}

#[cfg(unix)]
fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)
}

#[cfg(unix)]
fn owner_only(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn owner_only(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Certificates in the folders `trusted` and `rejected`, in the order of their names.
pub fn decisions(device: &OpcUaSettings) -> Vec<CertificateDecision> {
    let Some(dir) = device.pki_dir.as_ref().filter(|_| device.policy != SecurityPolicy::None) else { return Vec::new() };
    let mut decisions = Vec::new();
    for (folder, trusted) in [("trusted", true), ("rejected", false)] {
        let Ok(files) = std::fs::read_dir(dir.join(folder)) else { continue };
        let names = files.filter_map(|file| Some(file.ok()?.file_name().to_string_lossy().into_owned()));
        decisions.extend(names.take(2 * REJECTED_FILES_MAX).map(|certificate| CertificateDecision { certificate, trusted }));
    }
    decisions.sort_by(|a, b| a.certificate.cmp(&b.certificate));
    decisions
}

/// Moves a certificate to the trusted ones, or to the rejected ones.
///
/// # Errors
/// There is none of this name, or its file cannot be moved.
pub fn decide(device: &OpcUaSettings, certificate: &str, trusted: bool) -> Result<(), String> {
    let Some(dir) = device.pki_dir.as_ref().filter(|_| device.policy != SecurityPolicy::None) else {
        return Err(format!("device {}: security_policy is None, so no certificate is looked at", device.name));
    };
    let (from, to) = if trusted { ("rejected", "trusted") } else { ("trusted", "rejected") };
    let (from, to) = (dir.join(from), dir.join(to));
    // A name, and no way to another folder.
    let is_name = Path::new(certificate).file_name().is_some_and(|name| name == certificate);
    if !is_name || !from.join(certificate).is_file() {
        let there = if is_name && to.join(certificate).is_file() { "; it is there already" } else { "" };
        return Err(format!("{} has no certificate {certificate:?} to move to {}{there}", from.display(), to.display()));
    }
    let refuse = |error: std::io::Error| format!("{}: {error}", to.join(certificate).display());
    std::fs::create_dir_all(&to).map_err(refuse)?;
    std::fs::rename(from.join(certificate), to.join(certificate)).map_err(refuse)
}

/// Decides about the certificate that a server shows, before anything secret is sent. `endpoint` has the address that it was reached by.
///
/// # Errors
/// What is wrong with it, and which file to move where when it is only unknown.
pub fn judge(device: &OpcUaSettings, store: &SharedStore, endpoint: &EndpointDescription, now: Timestamp) -> Result<(), String> {
    if device.policy == SecurityPolicy::None {
        return Ok(());
    }
    let shown = certificate::leaf(endpoint.server_certificate.as_ref());
    let unreadable = |error: &dyn std::fmt::Display| format!("the server shows no readable certificate: {error}");
    let certificate = X509::from_byte_string(&ByteString::from(shown)).map_err(|error| unreadable(&error))?;
    let names = Names::of(shown).map_err(|error| unreadable(&error))?;
    let store = store.read();
    let name = CertificateStore::cert_file_name(&certificate);
    let (trusted, rejected) = (store.trusted_certs_dir().join(&name), store.rejected_certs_dir().join(&name));
    match (trusted.exists(), rejected.exists()) {
        (true, false) => {}
        (true, true) => return Err(format!("the server's certificate is trusted and rejected at once; remove {}", rejected.display())),
        (false, false) if device.trust_server_certificate => {}
        (false, kept) => {
            if !kept && files_in(&store.rejected_certs_dir()) < REJECTED_FILES_MAX {
                store.store_rejected_cert(&certificate)?;
            }
            return Err(format!(
                "the server's certificate {:?} is not trusted; compare its thumbprint {} with that of the server, then run \
                 historian trust accept {} {name:?}, or move {} to {}",
                certificate.subject_name(),
                certificate.thumbprint().as_hex_string(),
                device.name,
                rejected.display(),
                trusted.display()
            ));
        }
    }
    let forgive = |forgiven: bool, wrong: String, key: &str| {
        if !forgiven {
            return Err(format!("{wrong}; {key} accepts it all the same"));
        }
        tracing::warn!(device = device.name, "{wrong}; accepted by {key}");
        Ok(())
    };
    if let Err(error) = certificate.is_time_valid(&protocol_time(now).as_chrono()) {
        let wrong = format!("the server's certificate is not valid now: {error}");
        forgive(device.accept_expired_certificate, wrong, "accept_expired_certificate = true")?;
    }
    let application = endpoint.server.application_uri.as_ref();
    if !names.uris.iter().any(|uri| uri == application) {
        let wrong =
            format!("the server calls itself {application:?}, but its certificate is for the application URI {}", names.list_uris());
        forgive(!device.verify_application_uri, wrong, "verify_application_uri = false")?;
    }
    let host = match &device.host_check {
        HostCheck::Off => None,
        HostCheck::Endpoint => Some(hostname_from_url(endpoint.endpoint_url.as_ref()).map_err(|error| error.to_string())?),
        HostCheck::Name(name) => Some(name.clone()),
    };
    if let Some(host) = host
        && !names.has_host(&host)
    {
        return Err(format!(
            "the server's certificate does not name the host {host:?} but {:?}; set certificate_hostname to a name that it has, or \
             verify_hostname = false",
            names.hosts
        ));
    }
    Ok(())
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Who may read a file with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretReaders {
    Owner,
    /// The group, too: another program, which may be another user, writes the file.
    Group,
}

/// Reads a file with a secret: one line. `key` is that of the configuration.
///
/// # Errors
/// Names the file and what to do; never its content.
pub fn read_secret_line(key: &str, file: &Path, readers: SecretReaders, bytes_max: u64) -> Result<String, String> {
    let bytes = read_secret(key, file, readers, bytes_max)?;
    let line = std::str::from_utf8(&bytes).ok().map(|text| text.strip_suffix('\n').unwrap_or(text));
    let line = line.map(|line| line.strip_suffix('\r').unwrap_or(line));
    match line {
        Some(line) if !line.is_empty() && !line.contains(['\n', '\0']) => Ok(line.to_owned()),
        _ => Err(format!("{key} {}: must hold one line, with the secret and nothing else", file.display())),
    }
}

/// Reads a file with a secret that others may not read.
///
/// # Errors
/// Names the file and what to do; never its content.
pub fn read_secret(key: &str, file: &Path, readers: SecretReaders, bytes_max: u64) -> Result<Vec<u8>, String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let refuse = |reason: String| format!("{key} {}: {reason}", file.display());
        let mode = std::fs::metadata(file).map_err(|error| refuse(error.to_string()))?.permissions().mode();
        let (forbidden, advised) = match readers {
            SecretReaders::Owner => (0o077, 600),
            SecretReaders::Group => (0o037, 640),
        };
        if mode & forbidden != 0 {
            return Err(refuse(format!("others may read it (mode {:03o}); chmod {advised} it", mode & 0o777)));
        }
    }
    #[cfg(not(unix))]
    let _ = readers;
    read_public(key, file, bytes_max)
}

/// Reads a file that everybody may see, such as a certificate.
///
/// # Errors
/// Names the file.
pub fn read_public(key: &str, file: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let refuse = |reason: String| format!("{key} {}: {reason}", file.display());
    let metadata = std::fs::metadata(file).map_err(|error| refuse(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > bytes_max {
        return Err(refuse(format!("is no file, or longer than {bytes_max} bytes")));
    }
    std::fs::read(file).map_err(|error| refuse(error.to_string()))
}
