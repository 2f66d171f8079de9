//! The local socket: a file in the data directory by which its owner, and root, administer a historian without any token. Whoever can write there
//! can do everything anyway; here the system says who it is, and the audit log knows it.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// Name of the socket in a data directory.
pub const LOCAL_SOCKET: &str = "historian.sock";

/// Removes the socket when the historian ends.
pub struct LocalSocket {
    path: PathBuf,
}

/// Listens in a data directory that nobody else uses: what a process left there that was killed is replaced. Where no socket can be made (the path
/// is too long for one, or the file system has none) this is told, and the historian runs without.
pub fn listen(data_dir: &Path) -> Option<(UnixListener, LocalSocket)> {
    let path = data_dir.join(LOCAL_SOCKET);
    match bind(&path) {
        Ok(listener) => {
            tracing::info!(path = %path.display(), "the local socket is for the owner of the data directory, and for root");
            Some((listener, LocalSocket { path }))
        }
        Err(error) => {
            tracing::error!("there is no local socket {}: {error}; the historian runs without it", path.display());
            None
        }
    }
}

/// Bound under another name and renamed when nobody else may connect to it.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // Nobody listens behind it any more: a client is told that nothing runs there.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_owners_replaces_what_was_left_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LOCAL_SOCKET);
        fs::write(&path, "").unwrap();
        drop(std::os::unix::net::UnixListener::bind(directory.path().join("historian.new")).unwrap());
        let (listener, socket) = listen(directory.path()).unwrap();
        let about = fs::metadata(&path).unwrap();
        assert!(about.file_type().is_socket());
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        assert!(tokio::net::UnixStream::connect(&path).await.is_ok());
        drop((listener, socket));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        // The address of a socket has 108 bytes.
        let long = directory.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        assert!(listen(&long).is_none());
    }
}
