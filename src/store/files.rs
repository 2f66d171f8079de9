//! The database as files: checkpoints of a running one, and a stopped one opened without changing it. For backup, scrub and inspection.

use std::{fs::File, io::ErrorKind as IoErrorKind, path::Path, sync::Arc};

use historian_format::keys;
use rocksdb::{DB, ErrorKind, checkpoint::Checkpoint};
use rustix::fs::FlockOperation;

use super::{
    Claim, RocksStore, StoreError,
    disk::{
        lock::locked,
        manifest::{ManifestMark, refuse_recycled},
        watermark::WatermarkFile,
    },
    rocks::{StoreOptions, classified, database_options, families, io},
};

/// A store that is not running, opened to be read. While this lives no historian can start on it.
pub struct StoppedStore {
    pub store: Arc<RocksStore>,
    /// Last write that was acknowledged, by the watermark file.
    pub acknowledged: u64,
    /// Why a historian would refuse to open it; it is then read as far as it can be.
    pub refused: Option<String>,
    _claim: Claim,
    /// RocksDB's own lock, which it does not take itself when it only reads; shared, for others may read as well. A directory without the
    /// file has not been written by RocksDB where it is, so nobody runs on it.
    _lock: Option<File>,
}

impl StoppedStore {
    /// Opens the store in a data directory without changing anything, and without the right to: copies on read-only media are read as well.
    ///
    /// # Errors
    /// [`StoreError::Open`] when a historian runs on it, it is no data directory, or it is damaged so much that it cannot be opened.
    pub fn open(directory: &Path) -> Result<StoppedStore, StoreError> {
        let path = directory.join("rocksdb");
        let (watermark, acknowledged) = WatermarkFile::open_read_only(directory)?;
        let claim = Claim::to_read(directory)?;
        let lock = match File::open(path.join("LOCK")) {
            Ok(file) => Some(locked(&path, file, FlockOperation::NonBlockingLockShared)?),
            Err(error) if error.kind() == IoErrorKind::NotFound => None,
            Err(error) => return Err(StoreError::Open { path: path.display().to_string(), message: format!("LOCK: {error}") }),
        };
        let options = StoreOptions { cache_bytes: 8 << 20, ..StoreOptions::default() };
        let (manifest, lost) = match ManifestMark::check(directory, &path) {
            Ok(manifest) => (manifest, None),
            Err(error) => (ManifestMark::unchecked(directory, &path), Some(error.to_string())),
        };
        let (db, refused) = match read_only(&path, &options, true) {
            Ok(db) => (db, lost),
            // Without RocksDB's paranoia it opens though files are damaged. Every block that is read is still checked.
            Err(StoreError::Corrupt { message, .. }) => (read_only(&path, &options, false)?, Some(message)),
            Err(error) => return Err(error),
        };
        let store = RocksStore::assemble(db, path, watermark, manifest, &options);
        store.require_format_version(store.format_version()?.as_deref())?;
        Ok(StoppedStore { store: Arc::new(store), acknowledged, refused, _claim: claim, _lock: lock })
    }
}

impl RocksStore {
    /// The data directory.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Makes a checkpoint of all families in a directory that is not there yet. Files are linked, so it takes room only as the store changes.
    pub(super) fn create_checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        Checkpoint::new(&self.db).and_then(|checkpoint| checkpoint.create_checkpoint(path)).map_err(io)
    }

    /// Last write in the journal of the database in `path`, which is read and not changed.
    pub(super) fn journal_end(path: &Path) -> Result<u64, StoreError> {
        let db = read_only(path, &StoreOptions { cache_bytes: 1 << 20, ..StoreOptions::default() }, true)?;
        let journal = db
            .cf_handle(keys::FAMILY_JOURNAL)
            .ok_or_else(|| StoreError::Open { path: path.display().to_string(), message: "column family journal is missing".to_owned() })?;
        let mut iterator = db.raw_iterator_cf(journal);
        iterator.seek_to_last();
        let last = iterator.key().and_then(keys::decode_journal_key);
        iterator.status().map_err(|error| classified(&error, keys::FAMILY_JOURNAL))?;
        Ok(last.unwrap_or(0))
    }
}

/// Opens the database in `path` to be read.
pub(super) fn read_only(path: &Path, options: &StoreOptions, paranoid: bool) -> Result<DB, StoreError> {
    refuse_recycled(path)?;
    let mut database = database_options(options);
    database.create_if_missing(false);
    database.create_missing_column_families(false);
    database.set_paranoid_checks(paranoid);
    // What cannot be listed cannot be opened either, and says so there.
    let present = DB::list_cf(&database, path).unwrap_or_else(|_| keys::FAMILIES.map(str::to_owned).to_vec());
    let is_there = |name: &str| !keys::FAMILIES_ADDED.contains(&name) || present.iter().any(|present| present == name);
    let families = families(options).into_iter().filter(|family| is_there(family.name()));
    DB::open_cf_descriptors_read_only(&database, path, families, false).map_err(|error| match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt { family: "all", key: path.display().to_string(), message: error.to_string() },
        _ => StoreError::Open { path: path.display().to_string(), message: error.to_string() },
    })
}
