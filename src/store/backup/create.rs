//! Makes a backup of a running store: a checkpoint of hard links, a copy of what the repository does not have, and a comparison.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use historian_format::keys;
use sha2::{Digest, Sha256};

use super::{
    BackupError, Manifest, ManifestFile, Phase, PhaseMeter, PhaseProgress, Repository, Watch,
    copy::{self, Sum, sync_directory},
    manifest::REPOSITORY_VERSION,
};
use crate::RocksStore;
use historian_model::Timestamp;

/// Directory of the checkpoint beside the database, on the same file system so that files are linked and not copied.
const CHECKPOINT: &str = "checkpoint-tmp";

/// End of a table file that tells it from every other: there lie its properties, with the identity of the process run that wrote it and its
/// number in that run.
const IDENTITY_BYTES: u64 = 16 << 10;

/// What to back up and how.
pub struct BackupSource<'a> {
    pub store: &'a RocksStore,
    /// Tags in the catalog.
    pub tags: u64,
    pub time: Timestamp,
    /// Backups kept, this one included; 0 keeps all.
    pub keep: usize,
    /// Trust the shared files of earlier backups after a look at their sizes, instead of reading them again.
    pub verify_new_only: bool,
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Created {
    pub manifest: Manifest,
    /// Shared files of earlier backups that were found damaged and written again.
    pub repaired: Vec<String>,
    /// Older backups removed.
    pub pruned: u64,
}

/// Makes a backup. Ingest and queries go on meanwhile. Blocks.
///
/// # Errors
/// Nothing of the backup is left behind.
pub fn create(repository: &Repository, source: &BackupSource<'_>, mut watch: Watch<'_>) -> Result<Created, BackupError> {
    let checkpoint = Checkpoint::make(source.store, &mut watch)?;
    let number = repository.next_number()?;
    let mut work = UnfinishedBackup { repository, partial: repository.partial(number), written: Vec::new(), finished: false };
    fs::create_dir(&work.partial).map_err(|error| BackupError::io(&work.partial, error))?;

    let known = repository.known_files()?;
    let planned = plan(&checkpoint.path, &known, repository)?;
    let bytes_new = planned.iter().filter(|file| file.known.is_none()).map(|file| file.bytes).sum();
    let mut meter = PhaseMeter::begin(&mut watch, Phase::Copy, bytes_new)?;
    let mut files = Vec::with_capacity(planned.len());
    for file in &planned {
        let sum = match file.known {
            Some(sum) => sum,
            None => work.copy(file, &mut meter)?,
        };
        files.push(ManifestFile { name: file.name.clone(), shared: file.shared.clone(), bytes: sum.bytes, crc32c: sum.crc32c });
    }
    let manifest = Manifest {
        version: REPOSITORY_VERSION,
        number,
        sequence: checkpoint.sequence,
        time: source.time,
        historian: env!("CARGO_PKG_VERSION").to_owned(),
        format_version: keys::FORMAT_VERSION,
        tags: source.tags,
        bytes: files.iter().map(|file| file.bytes).sum(),
        files_new: planned.iter().filter(|file| file.known.is_none()).count() as u64,
        bytes_new,
        files,
    };
    manifest.write(&work.partial)?;

    let compared = planned.iter().filter(|file| file.known.is_none() || !source.verify_new_only);
    let mut meter = PhaseMeter::begin(&mut watch, Phase::Verify, compared.map(|file| file.bytes).sum())?;
    let mut repaired = Vec::new();
    for (planned, file) in planned.iter().zip(&manifest.files) {
        if planned.known.is_some() && source.verify_new_only {
            continue;
        }
        let path = file.path(repository.directory(), &work.partial);
        match copy::check(&path, file.sum(), &mut meter) {
            Err(BackupError::Damaged { .. }) if planned.known.is_some() => {
                repair(&path, &planned.source, file.sum(), &mut meter)?;
                repaired.push(path.display().to_string());
            }
            other => other?,
        }
    }
    // The manifest as well: what is read back is what was meant.
    if Manifest::read(&work.partial, number)? != manifest {
        return Err(BackupError::damaged(&work.partial, "its manifest does not read as it was written"));
    }
    for directory in [&repository.shared(""), &work.partial] {
        sync_directory(directory)?;
    }
    work.publish(number)?;

    let pruned = if source.keep == 0 {
        0
    } else {
        // The backup is there already; a watch that says stop now is too late.
        let _ = watch(PhaseProgress { phase: Phase::Prune, bytes_done: 0, bytes_total: 0 });
        repository.prune(source.keep)?
    };
    Ok(Created { manifest, repaired, pruned })
}

/// A file on its way into the repository.
struct Planned {
    name: String,
    source: PathBuf,
    bytes: u64,
    /// Name in `files/`, for files that never change.
    shared: Option<String>,
    /// Its sum, when the repository has it.
    known: Option<Sum>,
}

fn plan(checkpoint: &Path, known: &HashMap<String, Sum>, repository: &Repository) -> Result<Vec<Planned>, BackupError> {
    let fail = |error| BackupError::io(checkpoint, error);
    let mut planned = Vec::new();
    for entry in fs::read_dir(checkpoint).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let source = entry.path();
        let name = entry.file_name().into_string().map_err(|name| BackupError::io(&source, format!("{} is no UTF-8", name.display())))?;
        let bytes = entry.metadata().map_err(|error| BackupError::io(&source, error))?.len();
        // The info log of the look into the checkpoint, and the lock: no data.
        if name == "LOCK" || name == "LOG" || name.starts_with("LOG.old") {
            continue;
        }
        let shared = if has_extension(&name, "sst") { Some(identity(&source, &name, bytes)?) } else { None };
        let known = shared.as_ref().and_then(|shared| known.get(shared).copied()).filter(|sum| sum.bytes == bytes);
        // A file that went or was cut is copied again under its name, and the backups that named it are whole again.
        let known = known.filter(|sum| {
            let path = shared.as_ref().map(|shared| repository.shared(shared));
            path.is_some_and(|path| fs::metadata(path).is_ok_and(|about| about.len() == sum.bytes))
        });
        planned.push(Planned { name, source, bytes, shared, known });
    }
    planned.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(planned)
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

/// Name of a table file that no other file ever has: number, length and a digest of its end.
fn identity(path: &Path, name: &str, bytes: u64) -> Result<String, BackupError> {
    let fail = |error| BackupError::io(path, error);
    let mut file = File::open(path).map_err(fail)?;
    file.seek(SeekFrom::Start(bytes.saturating_sub(IDENTITY_BYTES))).map_err(fail)?;
    let mut end = Vec::new();
    file.take(IDENTITY_BYTES).read_to_end(&mut end).map_err(fail)?;
    let digest = Sha256::digest(&end);
    let digest = digest.first_chunk().map_or(0, |half| u128::from_be_bytes(*half));
    let stem = name.trim_end_matches(".sst");
    Ok(format!("{stem}-{bytes}-{digest:032x}.sst"))
}

/// Writes a damaged shared file again from the store, which has it unchanged.
fn repair(path: &Path, source: &Path, expected: Sum, meter: &mut PhaseMeter<'_, '_>) -> Result<(), BackupError> {
    tracing::warn!(file = %path.display(), "a file of earlier backups is damaged and is written again from the store");
    let fresh = path.with_extension("sst-again");
    let sum = copy::copy(source, &fresh, meter)?;
    let outcome = match copy::difference(expected, sum) {
        Some(message) => Err(BackupError::damaged(source, format!("{message}, as earlier backups have it; run `historian scrub`"))),
        None => fs::rename(&fresh, path).map_err(|error| BackupError::io(path, error)),
    };
    outcome.and_then(|()| copy::check(path, expected, meter)).inspect_err(|_| {
        let _ = fs::remove_file(&fresh);
    })
}

/// An unfinished backup; what it wrote goes when it does not finish.
struct UnfinishedBackup<'a> {
    repository: &'a Repository,
    partial: PathBuf,
    /// Shared files that were not there before.
    written: Vec<PathBuf>,
    finished: bool,
}

impl UnfinishedBackup<'_> {
    fn copy(&mut self, file: &Planned, meter: &mut PhaseMeter<'_, '_>) -> Result<Sum, BackupError> {
        let Some(shared) = &file.shared else { return copy::copy(&file.source, &self.partial.join(&file.name), meter) };
        let target = self.repository.shared(shared);
        let fresh = target.with_extension("sst-fresh");
        let existed = target.exists();
        let sum = copy::copy(&file.source, &fresh, meter)?;
        fs::rename(&fresh, &target).map_err(|error| BackupError::io(&target, error))?;
        if !existed {
            self.written.push(target);
        }
        Ok(sum)
    }

    /// The number appears.
    fn publish(mut self, number: u64) -> Result<(), BackupError> {
        let backup = self.repository.backup(number);
        fs::rename(&self.partial, &backup).map_err(|error| BackupError::io(&backup, error))?;
        self.finished = true;
        sync_directory(self.repository.directory())
    }
}

impl Drop for UnfinishedBackup<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is removed by the next run.
            let _ = fs::remove_dir_all(&self.partial);
            for path in &self.written {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// A checkpoint of the store, removed when dropped.
struct Checkpoint {
    path: PathBuf,
    /// Last write in it.
    sequence: u64,
}

impl Checkpoint {
    fn make(store: &RocksStore, watch: &mut Watch<'_>) -> Result<Checkpoint, BackupError> {
        PhaseMeter::begin(watch, Phase::Checkpoint, 0)?;
        let directory = store.directory();
        remove_checkpoint(directory).map_err(|error| BackupError::io(&directory.join(CHECKPOINT), error))?;
        let mut checkpoint = Checkpoint { path: directory.join(CHECKPOINT), sequence: 0 };
        store.create_checkpoint(&checkpoint.path)?;
        // Asked of the checkpoint itself: the live journal has gone on. That it opens is the first proof that it is whole.
        checkpoint.sequence = RocksStore::journal_end(&checkpoint.path)?;
        Ok(checkpoint)
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the checkpoint that an interrupted backup left in a data directory.
pub(crate) fn remove_checkpoint(data_dir: &Path) -> std::io::Result<()> {
    // RocksDB builds it under this name first.
    for name in [CHECKPOINT.to_owned(), format!("{CHECKPOINT}.tmp")] {
        match fs::remove_dir_all(data_dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
