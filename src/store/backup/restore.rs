//! Restores a backup into a new data directory. Every byte is compared on the way; what is not whole is not left looking usable.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    BackupError, Manifest, Phase, PhaseMeter, Repository, Watch,
    copy::{self, difference, sync_directory},
};
use crate::{AuditEntry, RocksStore, Store, StoreError, disk::watermark::WatermarkFile, rocks::StoreOptions};
use historian_model::Timestamp;

/// A store that was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    pub manifest: Manifest,
    pub data_dir: PathBuf,
}

/// Restores backup `number` (0: the newest) into `data_dir`, which must not be there or be empty. Blocks.
///
/// # Errors
/// Names the file that is damaged; `data_dir` then holds no store.
pub fn restore(
    repository: &Repository,
    number: u64,
    data_dir: &Path,
    now: Timestamp,
    mut watch: Watch<'_>,
) -> Result<Restored, BackupError> {
    let manifest = repository.manifest(number)?;
    let existed = data_dir.exists();
    if existed && fs::read_dir(data_dir).map_err(|error| BackupError::io(data_dir, error))?.next().is_some() {
        return Err(BackupError::NotEmpty(data_dir.display().to_string()));
    }
    let target = RestoreTarget { data_dir, existed };
    match target.fill(repository, &manifest, now, &mut watch) {
        Ok(()) => Ok(Restored { manifest, data_dir: data_dir.to_owned() }),
        Err(error) => {
            target.clear();
            Err(error)
        }
    }
}

struct RestoreTarget<'a> {
    data_dir: &'a Path,
    existed: bool,
}

impl RestoreTarget<'_> {
    fn fill(&self, repository: &Repository, manifest: &Manifest, now: Timestamp, watch: &mut Watch<'_>) -> Result<(), BackupError> {
        fs::create_dir_all(self.data_dir).map_err(|error| BackupError::io(self.data_dir, error))?;
        // First of all, so that a restore that is cut off leaves a directory that a historian refuses to open: writes were acknowledged, and
        // there is no database.
        let (watermark, _) = WatermarkFile::open(self.data_dir)?;
        watermark.write(manifest.sequence)?;
        watermark.sync()?;
        sync_directory(self.data_dir)?;

        let partial = self.data_dir.join("rocksdb.partial");
        fs::create_dir(&partial).map_err(|error| BackupError::io(&partial, error))?;
        let mut meter = PhaseMeter::begin(watch, Phase::Copy, manifest.bytes)?;
        for file in &manifest.files {
            let from = file.path(repository.directory(), &repository.backup(manifest.number));
            if !from.exists() {
                return Err(BackupError::damaged(&from, "it is missing"));
            }
            let sum = copy::copy(&from, &partial.join(&file.name), &mut meter)?;
            if let Some(message) = difference(file.sum(), sum) {
                return Err(BackupError::damaged(&from, message));
            }
        }
        // What was read was right; what lies on the disk now must be as well.
        let mut meter = PhaseMeter::begin(watch, Phase::Verify, manifest.bytes)?;
        for file in &manifest.files {
            copy::check(&partial.join(&file.name), file.sum(), &mut meter)?;
        }
        sync_directory(&partial)?;
        let database = self.data_dir.join("rocksdb");
        fs::rename(&partial, &database).map_err(|error| BackupError::io(&database, error))?;
        sync_directory(self.data_dir)?;

        PhaseMeter::begin(watch, Phase::Open, 0)?;
        self.prove(repository, manifest, now)
    }

    /// Opens the store once, and writes down what happened to it.
    fn prove(&self, repository: &Repository, manifest: &Manifest, now: Timestamp) -> Result<(), BackupError> {
        let found = RocksStore::journal_end(&self.data_dir.join("rocksdb"))?;
        if found != manifest.sequence {
            let message = format!("the store restored from it ends at write {found} instead of {}", manifest.sequence);
            return Err(BackupError::damaged(&repository.backup(manifest.number), message));
        }
        let store = RocksStore::open(self.data_dir, &StoreOptions::default())?;
        let mut tags = 0;
        store.load_catalog(&mut |_, _| {
            tags += 1;
            Ok(())
        })?;
        store.append_audit(&[AuditEntry {
            time: now,
            action: "restore".into(),
            principal: "historian".into(),
            detail: format!(
                "from backup {} of {} in {}, up to write {}",
                manifest.number,
                manifest.time,
                repository.directory().display(),
                manifest.sequence
            ),
            ..AuditEntry::default()
        }])?;
        // Deleted tags leave an entry, so there may be more entries than tags and never fewer.
        if tags < manifest.tags {
            return Err(StoreError::Corrupt {
                family: "catalog",
                key: "the whole".into(),
                message: format!("{tags} entries, and {} tags when it was backed up", manifest.tags),
            }
            .into());
        }
        Ok(())
    }

    /// Removes what was restored.
    fn clear(&self) {
        let removed = if self.existed {
            ["rocksdb.partial", "rocksdb"].iter().try_for_each(|name| match fs::remove_dir_all(self.data_dir.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            })
        } else {
            fs::remove_dir_all(self.data_dir)
        };
        // The watermark goes last: with it alone a historian still refuses the directory.
        let removed = removed.and_then(|()| {
            if self.existed { fs::remove_file(self.data_dir.join(historian_format::journal::WATERMARK_FILE)) } else { Ok(()) }
        });
        if let Err(error) = removed {
            tracing::warn!("{}: what was restored could not be removed ({error}); remove it by hand", self.data_dir.display());
        }
    }
}
