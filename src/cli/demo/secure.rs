//! `historian demo --secure`: TLS of a small authority and a token of a reader, made at the first start and kept with the demo's data, so that what
//! was pasted once works with the next demo, too.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::tls::OWN_NAMES;
use historian_access::{AccessBook, AccessFile, Grant, NewToken, Role};
use historian_model::Timestamp;
use historian_server::LOCAL_SOCKET;
use historian_tls::{Authority, TlsFiles};

/// How long the certificate of one start is valid, in days.
const CERTIFICATE_DAYS: u32 = 90;
/// How long the token is valid.
const TOKEN_VALID_NS: i64 = 90 * 86_400 * 1_000_000_000;
const TOKEN_NAME: &str = "demo";
/// Longest path of a socket, less the longest ending it has while it is made.
const SOCKET_BYTES_MAX: usize = 100;

/// What a secured demo is reached with.
#[derive(Clone, Debug)]
pub struct DemoDoor {
    pub tls: TlsFiles,
    /// Certificate of the authority, which clients trust.
    pub ca: PathBuf,
    /// File with a token that reads every tag.
    pub token_file: PathBuf,
}

impl DemoDoor {
    /// Makes what is missing in the directory of a demo. The authority and a token that is still valid stay as they are.
    ///
    /// # Errors
    /// The disk refuses, or a file there is not what it should be.
    pub fn prepare(directory: &Path, addresses: &[Option<SocketAddr>], now: Timestamp) -> anyhow::Result<DemoDoor> {
        // The view asks through it.
        let socket = directory.join(LOCAL_SOCKET);
        anyhow::ensure!(
            socket.as_os_str().len() <= SOCKET_BYTES_MAX,
            "{} is too long for a socket; choose a shorter --data-dir",
            socket.display()
        );
        let place = directory.join("tls");
        let ca = Authority::certificate_file(&place);
        let authority =
            if ca.exists() { Authority::open(&place) } else { Authority::make(&place, &format!("historian demo {now}"), now, false) };
        let authority = authority.with_context(|| format!("the demo's authority in {}", place.display()))?;
        let mut names: Vec<String> = OWN_NAMES.map(str::to_owned).to_vec();
        let listened = addresses.iter().flatten().map(SocketAddr::ip).filter(|address| !address.is_unspecified());
        names.extend(listened.map(|address| address.to_string()));
        names.sort();
        names.dedup();
        let issued = authority.server(&names, CERTIFICATE_DAYS, now, true).context("the demo's certificate")?;
        let tls = TlsFiles { certificate: issued.certificate, key: issued.key, ..TlsFiles::default() };
        let token_file = directory.join("demo.token");
        token(&AccessFile::in_directory(directory), &token_file, now)?;
        Ok(DemoDoor { tls, ca, token_file })
    }
}

/// Puts a token that reads every tag into the file, unless there is one that is still valid.
fn token(access: &Path, file: &Path, now: Timestamp) -> anyhow::Result<()> {
    let book = AccessBook::open(access).context("the demo's tokens")?;
    if let Ok(text) = fs::read_to_string(file)
        && book.authenticate(text.trim(), now).is_some()
    {
        return Ok(());
    }
    // One whose secret is lost keeps its name until it is revoked.
    let _ = AccessFile::revoke(access, TOKEN_NAME, now);
    let grants = vec![Grant { role: Role::Reader, tags: vec!["**".to_owned()] }];
    let new = NewToken { name: TOKEN_NAME.to_owned(), grants, expires: Some(Timestamp(now.0.saturating_add(TOKEN_VALID_NS))) };
    let created = AccessFile::create_token(access, new, now).context("the demo's token")?;
    let cannot = || format!("{} cannot be written", file.display());
    // Made anew: whatever lies there may be readable by others.
    if file.exists() {
        fs::remove_file(file).with_context(cannot)?;
    }
    let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(cannot)?;
    writeln!(opened, "{}", created.secret).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_once_is_kept_and_what_is_lost_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let prepare = |now| DemoDoor::prepare(directory.path(), &[None, Some("192.0.2.7:1".parse().unwrap())], Timestamp(now)).unwrap();
        let (now, later) = (1_790_000_000_000_000_000, 1_790_000_000_000_000_000 + TOKEN_VALID_NS);
        let read = |door: &DemoDoor| [&door.ca, &door.token_file].map(|path| fs::read_to_string(path).unwrap());
        let first = read(&prepare(now));
        assert_eq!(read(&prepare(now + 1_000_000_000)), first);
        let door = prepare(later);
        let second = read(&door);
        assert!(second[0] == first[0] && second[1] != first[1], "an expired token is made anew, the authority is not");
        fs::remove_file(&door.token_file).unwrap();
        assert_ne!(read(&prepare(later))[1], second[1]);
        let certificate = historian_tls::authority::describe(&door.tls.certificate).unwrap();
        assert!(certificate[0].names.contains(&"IP:192.0.2.7".to_owned()), "{:?}", certificate[0].names);
    }
}
