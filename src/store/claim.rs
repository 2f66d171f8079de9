//! Who uses a data directory: one historian alone, or any number that only read it.
//!
//! RocksDB has a lock of its own, which it takes late: by then it has turned over its own log, and who starts beside a running historian has
//! written files of the directory. So a directory is claimed before anything in it is touched. The claim is an advisory lock on the directory
//! itself: it makes no file, ends with the process, and can be had on media that cannot be written. Where the file system knows no such lock
//! (NFS), RocksDB's own is what is left.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rustix::{fs::FlockOperation, io::Errno};

use super::StoreError;

/// The use of a data directory, for as long as it lives.
#[derive(Debug)]
pub struct Claim {
    directory: PathBuf,
    /// Holds the lock.
    _handle: File,
}

impl Claim {
    /// Makes the directory where it is missing, and claims it for one historian.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it cannot be made, or somebody uses it; nothing in it was changed.
    pub fn alone(directory: &Path) -> Result<Claim, StoreError> {
        fs::create_dir_all(directory).map_err(|error| refused(directory, error))?;
        let taken = "a historian is running on it, or `historian scrub`, `inspect` or `check` reads it; nothing was changed; wait for its end, or choose another directory";
        Claim::take(directory, FlockOperation::NonBlockingLockExclusive, taken)
    }

    /// Keeps historians from starting on the directory while it is read.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it is not there, or a historian runs on it.
    pub(super) fn to_read(directory: &Path) -> Result<Claim, StoreError> {
        let taken = "a historian is running on it; stop it, or ask it with --server";
        Claim::take(directory, FlockOperation::NonBlockingLockShared, taken)
    }

    fn take(directory: &Path, operation: FlockOperation, taken: &str) -> Result<Claim, StoreError> {
        let handle = File::open(directory).map_err(|error| refused(directory, error))?;
        match rustix::fs::flock(&handle, operation) {
            Err(Errno::WOULDBLOCK) => return Err(refused(directory, taken)),
            Err(error) => tracing::debug!("{}: cannot be locked ({error}); the lock of the database has to do", directory.display()),
            Ok(()) => {}
        }
        Ok(Claim { directory: directory.to_owned(), _handle: handle })
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn refused(directory: &Path, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Open { path: directory.display().to_string(), message: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_uses_a_directory_or_several_read_it() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("new");
        assert!(Claim::to_read(&directory).is_err() && !directory.exists(), "reading makes nothing");
        let alone = Claim::alone(&directory).unwrap();
        assert!(Claim::alone(&directory).unwrap_err().to_string().contains("a historian is running on it"));
        assert!(Claim::to_read(&directory).unwrap_err().to_string().contains("a historian is running on it"));
        drop(alone);
        let readers = [Claim::to_read(&directory).unwrap(), Claim::to_read(&directory).unwrap()];
        Claim::alone(&directory).unwrap_err();
        drop(readers);
        Claim::alone(&directory).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "a claim leaves no file");
    }
}
