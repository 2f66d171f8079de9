//! RocksDB's own lock on a database, taken by us: while we read or cut its files without it.

use std::{fs::File, path::Path};

use rustix::fs::FlockOperation;

use crate::StoreError;

/// Takes RocksDB's own lock on the database in `path`; it holds as long as the file lives, and no other handle on it was closed.
pub(crate) fn lock(path: &Path) -> Result<File, StoreError> {
    let lock = File::options().write(true).open(path.join("LOCK"));
    let lock = lock.map_err(|error| StoreError::Open { path: path.display().to_string(), message: format!("LOCK: {error}") })?;
    locked(path, lock, FlockOperation::NonBlockingLockExclusive)
}

/// Takes the lock through an open handle on its file.
pub(crate) fn locked(path: &Path, lock: File, operation: FlockOperation) -> Result<File, StoreError> {
    let fail = |message: String| StoreError::Open { path: path.display().to_string(), message };
    rustix::fs::fcntl_lock(&lock, operation).map_err(|error| match error {
        rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS => {
            fail("a historian is running on it; stop it, or ask it with --server".to_owned())
        }
        error => fail(format!("LOCK: {error}")),
    })?;
    Ok(lock)
}
