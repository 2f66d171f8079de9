//! The access file on disk: read only where its owner alone can read it, replaced as a whole, changed by one program at a time.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{fs::FlockOperation, io::Errno};

use crate::AccessError;

/// Largest access file. With it a historian reads globs for some seconds at worst.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// How long a change waits for another one. Each takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_ASKED_EVERY: Duration = Duration::from_millis(20);

/// What tells one state of the file from another without reading it. A replaced file is another inode; one that was written in place, or whose
/// mode changed, has other times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    fn of(about: &Metadata) -> FileState {
        FileState {
            device: about.dev(),
            inode: about.ino(),
            length: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> AccessError {
    let path = path.to_owned();
    move |source| AccessError::Io { path, action, source }
}

/// The state of the file; `None` where there is none.
pub fn state(path: &Path) -> Result<Option<FileState>, AccessError> {
    match fs::metadata(path) {
        Ok(about) => Ok(Some(FileState::of(&about))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path, "read")(error)),
    }
}

/// The text of the file and its state when it was opened; `None` where there is none.
///
/// # Errors
/// Others than its owner have a right on it, it is too large, or cannot be read.
pub fn read(path: &Path) -> Result<Option<(FileState, String)>, AccessError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, "read")(error)),
    };
    let about = file.metadata().map_err(io_error(path, "read"))?;
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(AccessError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(io_error(path, "read"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(AccessError::TooLarge { path: path.to_owned(), max: FILE_BYTES_MAX });
    }
    Ok(Some((FileState::of(&about), text)))
}

/// The only program that changes the file, for as long as it lives.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    directory: PathBuf,
    /// Who owns the directory, and with it the files in it.
    owner: (u32, u32),
    /// Holds the lock. It is on a file of its own, for the access file is another one after each change.
    _handle: File,
}

impl FileLock {
    /// Waits until nobody else changes the file, for some seconds.
    ///
    /// # Errors
    /// There is no directory, it cannot be written, or somebody holds the lock for longer.
    pub fn take(path: &Path) -> Result<FileLock, AccessError> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let about = match fs::metadata(&directory) {
            Ok(about) if about.is_dir() => about,
            Ok(_) => return Err(AccessError::NoDirectory { directory }),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(AccessError::NoDirectory { directory }),
            Err(error) => return Err(io_error(&directory, "read")(error)),
        };
        let owner = (about.uid(), about.gid());
        let name = with_ending(path, ".lock");
        let handle = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&name);
        let handle = handle.map_err(io_error(&name, "opened"))?;
        give(&handle, &name, owner)?;
        let begun = Instant::now();
        loop {
            match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if begun.elapsed() < LOCK_WAIT => thread::sleep(LOCK_ASKED_EVERY),
                Err(Errno::WOULDBLOCK) => return Err(AccessError::Locked { path: path.to_owned(), seconds: LOCK_WAIT.as_secs() }),
                Err(error) => return Err(io_error(&name, "locked")(error.into())),
            }
        }
        Ok(FileLock { path: path.to_owned(), directory, owner, _handle: handle })
    }

    /// Puts a text in the place of the file, for its owner alone to read. Whoever reads it meanwhile sees the old file or the new one, and a
    /// crash leaves one of them.
    ///
    /// # Errors
    /// It is too large for [`read`], or the disk refuses; the old file is as it was.
    pub fn replace(&self, text: &str) -> Result<(), AccessError> {
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(AccessError::TooLarge { path: self.path.clone(), max: FILE_BYTES_MAX });
        }
        let new = with_ending(&self.path, ".new");
        // Of a program that was killed while it wrote.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io_error(&new, "removed")(error)),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(io_error(&new, "made"))?;
        give(&file, &new, self.owner)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error(&new, "written"))?;
        fs::rename(&new, &self.path).map_err(io_error(&self.path, "replaced"))?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(io_error(&self.directory, "synced"))
    }
}

/// Gives a file to the owner of the data directory: what root makes there, the user of the historian has to read.
fn give(file: &File, path: &Path, (user, group): (u32, u32)) -> Result<(), AccessError> {
    let about = file.metadata().map_err(io_error(path, "read"))?;
    if about.uid() == user {
        return Ok(());
    }
    match fchown(file, Some(user), Some(group)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(AccessError::Owner { path: path.to_owned(), owner: user, user: about.uid() })
        }
        Err(error) => Err(io_error(path, "given to the owner of its directory")(error)),
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
