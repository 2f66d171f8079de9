//! Opening the database: what is looked at before RocksDB may touch it, and after.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use historian_format::keys;
use parking_lot::Mutex;
use rocksdb::{DB, ErrorKind};

use super::{
    RocksStore, classified, database_options, durable, families, io,
    options::{self, StoreOptions},
};
use crate::{
    StoreError,
    backup::remove_checkpoint,
    disk::{
        log,
        log_mark::{self, LogMark},
        manifest::{self, ManifestMark},
        watermark::{self, WatermarkFile},
    },
    error::REMEDY,
    files, salvage,
};

impl RocksStore {
    /// Opens or makes the store in `directory` and checks that nothing acknowledged is missing from the journal.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the directory cannot be used, belongs to a running historian, or holds another format version;
    /// [`StoreError::LostTail`] when acknowledged writes are missing.
    pub fn open(directory: &Path, options: &StoreOptions) -> Result<RocksStore, StoreError> {
        let path = directory.join("rocksdb");
        let fail = |message: String| StoreError::Open { path: path.display().to_string(), message };
        std::fs::create_dir_all(directory)
            .map_err(|error| StoreError::Open { path: directory.display().to_string(), message: error.to_string() })?;
        if salvage::unfinished(directory) {
            return Err(fail("an --accept-loss was interrupted: start with --accept-loss again to finish it".to_owned()));
        }
        let had_watermark = WatermarkFile::look(directory) != watermark::WatermarkRead::Missing;
        let (watermark, acknowledged) = WatermarkFile::open(directory)?;
        manifest::refuse_pointer(&path)?;
        if acknowledged > 0 && !path.join("CURRENT").exists() {
            return Err(fail(format!(
                "the database is missing, but {} says that {acknowledged} writes were acknowledged; restore it from a backup",
                watermark.path().display()
            )));
        }

        if !had_watermark && !path.join("CURRENT").exists() {
            // Durable before there is a database: so where there is a database with writes and no watermark, it was lost.
            watermark.write(0)?;
            watermark.sync_with_directory()?;
        }
        let (log_mark, known) = LogMark::open(directory, &path)?;
        if let Some(known) = known {
            log_mark::cut_unsynced(&path, known)?;
        }
        manifest::refuse_recycled(&path)?;
        let manifest = ManifestMark::check(directory, &path)?;
        let db = DB::open_cf_descriptors(&database_options(options), &path, families(options)).map_err(|error| {
            fail(match error.kind() {
                ErrorKind::Corruption => {
                    let file = log::first_damage(&path).map(|damage| format!("{damage}; ")).unwrap_or_default();
                    format!("the database is damaged and was not opened, nothing was changed: {file}{error}; {REMEDY}")
                }
                ErrorKind::IOError if error.to_string().contains("lock") => format!("another historian uses this directory: {error}"),
                _ => error.to_string(),
            })
        })?;
        // Only now is it sure that no running historian is making one.
        remove_checkpoint(directory)
            .map_err(|error| fail(format!("the checkpoint of an interrupted backup cannot be removed: {error}")))?;
        let mut store = RocksStore::assemble(db, path, watermark, manifest, options);
        store.check_format_version()?;
        let found = store.last_journal_sequence()?;
        if found < acknowledged {
            return Err(StoreError::LostTail { file: store.path.display().to_string(), acknowledged, found });
        }
        if !had_watermark && found > 0 {
            let message = format!(
                "the file is missing or empty, and the journal has {found} writes: how many were acknowledged cannot be told; {REMEDY}"
            );
            return Err(StoreError::Open { path: store.watermark.path().display().to_string(), message });
        }
        if !had_watermark {
            store.watermark.write(0)?;
            store.watermark.sync_with_directory()?;
        }
        store.appended.store(found, Ordering::SeqCst);
        store.manifest.follow()?;
        store.log_mark = log_mark;
        store.log_mark.sync_log()?;
        Ok(store)
    }

    /// Opens a store that had no room to be opened, to be read until it has. `appended` is the last write it took.
    ///
    /// # Errors
    /// When it cannot be read either.
    pub(crate) fn open_to_read(directory: &Path, options: &StoreOptions, appended: u64) -> Result<RocksStore, StoreError> {
        let path = directory.join("rocksdb");
        let (watermark, _) = WatermarkFile::open_read_only(directory)?;
        let manifest = ManifestMark::check(directory, &path)?;
        let db = files::read_only(&path, options, true)?;
        let mut store = RocksStore::assemble(db, path, watermark, manifest, options);
        (store.read_only, store.refusing) = (true, AtomicBool::new(true));
        store.appended.store(appended, Ordering::SeqCst);
        Ok(store)
    }

    /// A store of an open database.
    pub(crate) fn assemble(db: DB, path: PathBuf, watermark: WatermarkFile, manifest: ManifestMark, options: &StoreOptions) -> RocksStore {
        RocksStore {
            db,
            path,
            watermark,
            manifest,
            appended: AtomicU64::new(0),
            watermark_synced: Mutex::new(Instant::now()),
            auditing: Mutex::new(()),
            reserve_bytes: options.reserve_bytes,
            log_mark: LogMark::none(),
            buffer_bytes_max: options::buffer_bytes_max(options),
            flush_asked: Mutex::default(),
            refusing: AtomicBool::new(false),
            read_only: false,
        }
    }

    /// Stamps a new store with the format version, and refuses any other.
    fn check_format_version(&self) -> Result<(), StoreError> {
        match self.format_version()? {
            None => {
                let value = keys::format_version_value(keys::FORMAT_VERSION);
                self.db.put_cf_opt(self.family(keys::FAMILY_STATE)?, keys::format_version_key(), value, &durable(true)).map_err(io)
            }
            found => self.require_format_version(found.as_deref()),
        }
    }

    /// What the store says of its format version, if anything.
    pub(crate) fn format_version(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let state = self.family(keys::FAMILY_STATE)?;
        self.db.get_cf(state, keys::format_version_key()).map_err(|error| classified(&error, keys::FAMILY_STATE))
    }

    /// Refuses every format version but this one.
    pub(crate) fn require_format_version(&self, found: Option<&[u8]>) -> Result<(), StoreError> {
        let this = keys::FORMAT_VERSION;
        let found = match found.map(|value| (value, keys::decode_format_version(value))) {
            Some((_, Some(version))) if version == this => return Ok(()),
            Some((_, Some(version))) => format!("it is written in format version {version}, this historian reads version {this}"),
            Some((value, None)) => format!(
                "its format version {value:?} is none of a released historian: a build from before the first release wrote it, which this one \
                 does not read, or it is damaged. Give an empty data directory"
            ),
            None => format!("it has no format version, this historian reads version {this}: no historian has finished making it"),
        };
        Err(StoreError::Open { path: self.path.display().to_string(), message: found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::StoppedStore;

    /// What a store of which the format version is `value` says when it is opened to be written, and to be read.
    fn refusals(value: &[u8]) -> [String; 2] {
        let directory = tempfile::tempdir().unwrap();
        let open = || RocksStore::open(directory.path(), &StoreOptions::default());
        let store = open().unwrap();
        let state = store.family(keys::FAMILY_STATE).unwrap();
        assert_eq!(store.format_version().unwrap().as_deref(), Some(&b"HSTR\x01\0\0\0"[..]));
        store.db.put_cf_opt(state, keys::format_version_key(), value, &durable(true)).unwrap();
        drop(store);
        let told = [open().map(drop).unwrap_err().to_string(), StoppedStore::open(directory.path()).map(drop).unwrap_err().to_string()];
        let path = directory.path().join("rocksdb");
        let db = files::read_only(&path, &StoreOptions::default(), true).unwrap();
        let kept = db.get_cf(db.cf_handle(keys::FAMILY_STATE).unwrap(), keys::format_version_key()).unwrap();
        assert_eq!(kept.as_deref(), Some(value), "left as it was");
        told
    }

    #[test]
    fn a_store_from_before_the_first_release_is_refused_and_left_as_it_was() {
        for layout in [1_u32, 2] {
            for told in refusals(&layout.to_le_bytes()) {
                assert!(told.contains("a build from before the first release wrote it"), "{told}");
            }
        }
    }

    #[test]
    fn a_store_of_a_newer_historian_is_refused_by_its_version() {
        for told in refusals(&keys::format_version_value(2)) {
            assert!(told.contains("it is written in format version 2, this historian reads version 1"), "{told}");
        }
    }
}
