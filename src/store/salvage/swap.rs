//! Directories of the work, and the exchange of the damaged files for the result: by renames, so that nothing is ever destroyed and an
//! interruption at any point is either undone or finished by the next `--accept-loss`.
//!
//! ```text
//! DATA_DIR/salvage.partial/source/   working copy, opened
//! DATA_DIR/salvage.partial/rebuilt/  fresh database, where one is needed
//! DATA_DIR/salvaged/                 the result, complete and durable, before it takes its place
//! DATA_DIR/lost-<time>/              the damaged files as they were found
//! ```

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use historian_format::{
    journal::{LOG_MARK_FILE, WATERMARK_FILE},
    keys::MANIFEST_MARK_FILE,
};
use rustix::fs::FlockOperation;

use crate::StoreError;
use historian_model::Timestamp;

pub(super) const DATABASE: &str = "rocksdb";
const PARTIAL: &str = "salvage.partial";
const RESULT: &str = "salvaged";
/// What a data directory has beside the database.
const BESIDE: [&str; 3] = [WATERMARK_FILE, MANIFEST_MARK_FILE, LOG_MARK_FILE];
/// Room that is left alone.
const ROOM_KEPT: u64 = 64 << 20;

pub(super) fn failed(path: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError::Open { path: path.display().to_string(), message: error.to_string() }
}

/// Keeps others from salvaging the same directory as long as the handle lives; `None` when there is no such directory.
pub(super) fn only_one(directory: &Path) -> Result<Option<File>, StoreError> {
    let handle = match File::open(directory) {
        Ok(handle) => handle,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(directory, error)),
    };
    match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(handle)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(failed(directory, "another start with --accept-loss is at work on it; wait for its end")),
        Err(error) => Err(failed(directory, error)),
    }
}

/// True while the exchange of a damaged database for what was made of it is not finished.
pub(crate) fn unfinished(directory: &Path) -> bool {
    !directory.join(DATABASE).exists() && directory.join(RESULT).join(DATABASE).exists()
}

/// Finishes an exchange that was interrupted; says whether there was one.
pub(super) fn finish(directory: &Path) -> Result<bool, StoreError> {
    let result = directory.join(RESULT);
    if unfinished(directory) {
        take_place(directory, &result)?;
        return Ok(true);
    }
    // What is left of an exchange whose originals never moved: the damage is looked at again.
    remove(&result)?;
    Ok(false)
}

/// The result takes its place, the database last: until then a start is refused.
fn take_place(directory: &Path, result: &Path) -> Result<(), StoreError> {
    for name in BESIDE.into_iter().chain([DATABASE]) {
        match fs::rename(result.join(name), directory.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&result.join(name), error)),
            _ => sync_directory(directory)?,
        }
    }
    remove(result)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| failed(path, error))
}

/// Makes a directory and all in it durable.
pub(super) fn sync_all(path: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(path).map_err(|error| failed(path, error))? {
        let entry = entry.map_err(|error| failed(path, error))?.path();
        if entry.is_dir() {
            sync_all(&entry)?;
        } else {
            File::open(&entry).and_then(|file| file.sync_all()).map_err(|error| failed(&entry, error))?;
        }
    }
    sync_directory(path)
}

/// The directories of one run.
pub(super) struct SalvageDirectories {
    directory: PathBuf,
    partial: PathBuf,
}

impl SalvageDirectories {
    /// Begins anew: what an interrupted run left is removed.
    pub(super) fn begin(directory: &Path) -> Result<SalvageDirectories, StoreError> {
        let work = SalvageDirectories { directory: directory.to_owned(), partial: directory.join(PARTIAL) };
        remove(&work.partial)?;
        fs::create_dir(&work.partial).map_err(|error| failed(&work.partial, error))?;
        Ok(work)
    }

    /// The data directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn original(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }

    /// A message of RocksDB about the working copy as one about the original.
    pub(super) fn original_names(&self, message: &str) -> String {
        message.replace(&self.source().display().to_string(), &self.directory.display().to_string())
    }

    pub(super) fn source(&self) -> PathBuf {
        self.partial.join("source")
    }

    pub(super) fn rebuilt(&self) -> PathBuf {
        self.partial.join("rebuilt")
    }

    /// For whatever else the work needs.
    pub(super) fn scratch(&self) -> PathBuf {
        self.partial.join("scratch")
    }

    /// A fresh working copy; the path of its database.
    pub(super) fn copy(&self) -> Result<PathBuf, StoreError> {
        let (original, copy) = (self.original(), self.source().join(DATABASE));
        remove(&self.source())?;
        let is_table = |path: &Path| path.extension().is_some_and(|extension| extension == "sst");
        self.require(bytes_of(&original, |path| !is_table(path)), "a working copy of the log")?;
        fs::create_dir_all(&copy).map_err(|error| failed(&copy, error))?;
        for entry in fs::read_dir(&original).map_err(|error| failed(&original, error))? {
            let path = entry.map_err(|error| failed(&original, error))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file()) else { continue };
            // The lock is per database, and RocksDB's own log of events is of no use here. Opening LOCK would end the lock we hold.
            if name == "LOCK" || name == "LOG" || name.starts_with("LOG.") {
                continue;
            }
            let to = copy.join(name);
            if is_table(&path) && fs::hard_link(&path, &to).is_ok() {
                continue;
            }
            fs::copy(&path, &to).map_err(|error| failed(&path, error))?;
        }
        let mark = self.directory.join(MANIFEST_MARK_FILE);
        match fs::copy(&mark, self.source().join(MANIFEST_MARK_FILE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&mark, error)),
            _ => Ok(copy),
        }
    }

    /// Refuses when a second database as large as the first has no room.
    pub(super) fn require_room_for_all(&self) -> Result<(), StoreError> {
        self.require(bytes_of(&self.source().join(DATABASE), |_| true), "a second copy of everything that can be read")
    }

    fn require(&self, bytes: u64, what: &str) -> Result<(), StoreError> {
        let system = rustix::fs::statvfs(&self.directory).map_err(|error| failed(&self.directory, error))?;
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        let needed = bytes.saturating_add(ROOM_KEPT);
        if free >= needed {
            return Ok(());
        }
        Err(StoreError::Full(format!(
            "{}: --accept-loss needs {} MiB for {what}, and {} MiB are free; nothing was changed, free or add space and start again",
            self.directory.display(),
            needed >> 20,
            free >> 20
        )))
    }

    /// Exchanges the damaged files for a result, complete and durable; where the damaged ones are now.
    pub(super) fn put_in_place(&self, result: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
        let ready = self.directory.join(RESULT);
        fs::rename(result, &ready).map_err(|error| failed(result, error))?;
        sync_directory(&self.directory)?;
        let lost = self.lost(now)?;
        for name in BESIDE {
            let (file, result) = (self.directory.join(name), ready.join(name));
            match fs::copy(&file, lost.join(name)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&file, error)),
                // What belongs to the damaged database must not be taken for the other's.
                Ok(_) if !result.exists() => fs::remove_file(&file).map_err(|error| failed(&file, error))?,
                Ok(_) => {}
            }
        }
        sync_all(&lost)?;
        fs::rename(self.original(), lost.join(DATABASE)).map_err(|error| failed(&self.original(), error))?;
        sync_directory(&lost)?;
        sync_directory(&self.directory)?;
        take_place(&self.directory, &ready)?;
        remove(&self.partial)?;
        Ok(lost)
    }

    /// A new directory for what is set aside.
    fn lost(&self, now: Timestamp) -> Result<PathBuf, StoreError> {
        let time: String = now.to_string().chars().take_while(|letter| *letter != '.').filter(char::is_ascii_alphanumeric).collect();
        let time = time.trim_end_matches('Z');
        for attempt in 1..1000 {
            let name = if attempt == 1 { format!("lost-{time}Z") } else { format!("lost-{time}Z-{attempt}") };
            let path = self.directory.join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&path, error)),
            }
        }
        Err(failed(&self.directory, "there are a thousand directories of this second"))
    }

    /// Removes the work; the damaged files were not touched.
    pub(super) fn discard(&self) {
        if let Err(error) = remove(&self.partial) {
            tracing::warn!("{error}; remove it by hand");
        }
    }
}

/// Bytes of the files in a directory that pass.
fn bytes_of(directory: &Path, counts: impl Fn(&Path) -> bool) -> u64 {
    let entries = fs::read_dir(directory).map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
    let files = entries.unwrap_or_default();
    files.iter().filter(|path| counts(path)).filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len()).sum()
}
