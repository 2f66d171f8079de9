//! The directory of backups: which there are, whether they are whole, and which go.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

use super::{
    BackupError, Manifest, Phase, PhaseMeter, Watch,
    copy::{self, Sum, sync_directory},
};

const LOCK: &str = "LOCK";
const FILES: &str = "files";
const PARTIAL: &str = ".partial";

/// A directory of backups, locked while this lives.
pub struct Repository {
    directory: PathBuf,
    /// Unlocked when closed. `None` on media that cannot be written and have no lock file.
    _lock: Option<File>,
}

/// A backup in a list: its manifest, or why that cannot be read.
#[derive(Clone, Debug)]
pub struct ListedBackup {
    pub number: u64,
    pub manifest: Result<Manifest, BackupError>,
}

/// A file of a backup that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub file: String,
    pub message: String,
}

impl Repository {
    /// Opens the directory to change it, making it where it is not there, and removes what an interrupted run left.
    ///
    /// # Errors
    /// [`BackupError::Busy`] when another run has it.
    pub fn open_to_write(directory: &Path) -> Result<Repository, BackupError> {
        fs::create_dir_all(directory.join(FILES)).map_err(|error| BackupError::io(directory, error))?;
        let path = directory.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(|error| BackupError::io(&path, error))?;
        locked(&lock, FlockOperation::NonBlockingLockExclusive, directory)?;
        let repository = Repository { directory: directory.to_owned(), _lock: Some(lock) };
        repository.remove_partial()?;
        Ok(repository)
    }

    /// Opens the directory to read it; nobody changes it meanwhile.
    ///
    /// # Errors
    /// [`BackupError::Busy`] when another run changes it.
    pub fn open_to_read(directory: &Path) -> Result<Repository, BackupError> {
        if !directory.is_dir() {
            return Err(BackupError::io(directory, "there is no such directory"));
        }
        let lock = File::open(directory.join(LOCK)).ok();
        if let Some(lock) = &lock {
            locked(lock, FlockOperation::NonBlockingLockShared, directory)?;
        }
        Ok(Repository { directory: directory.to_owned(), _lock: lock })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn shared(&self, name: &str) -> PathBuf {
        self.directory.join(FILES).join(name)
    }

    pub(super) fn backup(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:06}"))
    }

    pub(super) fn partial(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:06}{PARTIAL}"))
    }

    /// The backups of a directory, oldest first. Needs no lock: a number appears and goes by one rename.
    ///
    /// # Errors
    /// When the directory cannot be read. A manifest that cannot be read is in the list.
    pub fn list(directory: &Path) -> Result<Vec<ListedBackup>, BackupError> {
        let mut listed = Vec::new();
        for number in numbers(directory)? {
            let backup = directory.join(format!("{number:06}"));
            let manifest = Manifest::read(&backup, number);
            if manifest.is_ok() || backup.exists() {
                listed.push(ListedBackup { number, manifest });
            }
        }
        Ok(listed)
    }

    /// The manifest of backup `number`; of the newest when 0.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn manifest(&self, number: u64) -> Result<Manifest, BackupError> {
        let known = numbers(&self.directory)?;
        let number = match (number, known.last()) {
            (_, None) => return Err(BackupError::Empty(self.directory.display().to_string())),
            (0, Some(last)) => *last,
            _ if known.contains(&number) => number,
            (_, Some(last)) => {
                let known = known.first().map_or_else(String::new, |first| format!("{first} to {last}"));
                return Err(BackupError::Unknown { directory: self.directory.display().to_string(), number, known });
            }
        };
        Manifest::read(&self.backup(number), number)
    }

    /// Reads every file of a backup and compares it with the manifest; answers what is damaged.
    ///
    /// # Errors
    /// When a file cannot be read, or the watch says stop.
    pub fn verify(&self, manifest: &Manifest, mut watch: Watch<'_>) -> Result<Vec<Damage>, BackupError> {
        let mut meter = PhaseMeter::begin(&mut watch, Phase::Verify, manifest.bytes)?;
        let mut damaged = Vec::new();
        for file in &manifest.files {
            match copy::check(&file.path(&self.directory, &self.backup(manifest.number)), file.sum(), &mut meter) {
                Ok(()) => {}
                Err(BackupError::Damaged { file, message }) => damaged.push(Damage { file, message }),
                Err(error) => return Err(error),
            }
        }
        Ok(damaged)
    }

    /// Sums of the shared files as the manifests tell them.
    pub(super) fn known_files(&self) -> Result<HashMap<String, Sum>, BackupError> {
        let listed = Repository::list(&self.directory)?;
        let manifests = listed.iter().filter_map(|listed| listed.manifest.as_ref().ok());
        Ok(manifests.flat_map(|manifest| &manifest.files).filter_map(|file| Some((file.shared.clone()?, file.sum()))).collect())
    }

    pub(super) fn next_number(&self) -> Result<u64, BackupError> {
        Ok(numbers(&self.directory)?.last().map_or(1, |last| last + 1))
    }

    /// Removes all but the newest `keep` backups and the files that only they had; answers how many backups went.
    pub(super) fn prune(&self, keep: usize) -> Result<u64, BackupError> {
        let numbers = numbers(&self.directory)?;
        let gone = &numbers[..numbers.len().saturating_sub(keep.max(1))];
        for number in gone {
            let (backup, partial) = (self.backup(*number), self.partial(*number));
            // The number goes by one rename, so that nobody meets half a backup.
            fs::rename(&backup, &partial).map_err(|error| BackupError::io(&backup, error))?;
        }
        sync_directory(&self.directory)?;
        self.remove_partial()?;
        Ok(gone.len() as u64)
    }

    /// Removes unfinished backups and shared files that no backup names.
    fn remove_partial(&self) -> Result<(), BackupError> {
        for entry in entries(&self.directory)? {
            if entry.1.ends_with(PARTIAL) {
                fs::remove_dir_all(&entry.0).map_err(|error| BackupError::io(&entry.0, error))?;
            }
        }
        let files = entries(&self.directory.join(FILES))?;
        let (whole, cut): (Vec<_>, Vec<_>) = files.into_iter().partition(|(path, _)| path.extension().is_some_and(|end| end == "sst"));
        for (path, _) in cut {
            fs::remove_file(&path).map_err(|error| BackupError::io(&path, error))?;
        }
        let listed = Repository::list(&self.directory)?;
        if let Some(damaged) = listed.iter().find(|listed| listed.manifest.is_err()) {
            // Which files it names is not known, and they may be all that is left of it.
            tracing::warn!(
                backup = damaged.number,
                "files of removed backups stay in {}: this backup's manifest is damaged",
                self.directory.display()
            );
            return Ok(());
        }
        let named: BTreeSet<&str> = listed
            .iter()
            .filter_map(|listed| listed.manifest.as_ref().ok())
            .flat_map(|manifest| manifest.files.iter().filter_map(|file| file.shared.as_deref()))
            .collect();
        for (path, name) in whole {
            if !named.contains(name.as_str()) {
                fs::remove_file(&path).map_err(|error| BackupError::io(&path, error))?;
            }
        }
        Ok(())
    }
}

fn locked(lock: &File, operation: FlockOperation, directory: &Path) -> Result<(), BackupError> {
    rustix::fs::flock(lock, operation).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => BackupError::Busy(directory.display().to_string()),
        error => BackupError::io(&directory.join(LOCK), error),
    })
}

/// Paths and names in a directory; none when it is not there.
fn entries(directory: &Path) -> Result<Vec<(PathBuf, String)>, BackupError> {
    let fail = |error| BackupError::io(directory, error);
    let found = match fs::read_dir(directory) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut entries = Vec::new();
    for entry in found {
        let entry = entry.map_err(fail)?;
        entries.extend(entry.file_name().into_string().ok().map(|name| (entry.path(), name)));
    }
    entries.sort();
    Ok(entries)
}

fn numbers(directory: &Path) -> Result<Vec<u64>, BackupError> {
    let mut numbers: Vec<u64> = entries(directory)?
        .into_iter()
        .filter(|(_, name)| name.len() >= 6 && name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|(_, name)| name.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}
