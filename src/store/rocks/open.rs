//! Opening the database: what is looked at before RocksDB may touch it, and after.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use historian_format::keys::{self, ChunkKey};
use parking_lot::Mutex;
use rocksdb::{DB, ErrorKind, WriteBatch};

use super::{
    RocksStore, classified, database_options, durable, families, io,
    log_mark::{self, LogMark},
    manifest::{self, Manifest},
    options::{self, StoreOptions},
};
use crate::{
    ChunkFamily, StoreError,
    backup::remove_checkpoint,
    files, salvage, upgrade,
    watermark::{self, WatermarkFile},
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
        let had_watermark = WatermarkFile::look(directory) != watermark::Found::Missing;
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
        let manifest = Manifest::check(directory, &path)?;
        let db = DB::open_cf_descriptors(&database_options(options), &path, families(options)).map_err(|error| {
            fail(match error.kind() {
                ErrorKind::Corruption => {
                    let file = salvage::first_damage(&path).map(|damage| format!("{damage}; ")).unwrap_or_default();
                    format!("the database is damaged and was not opened, nothing was changed: {file}{error}; {}", salvage::REMEDY)
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
                "the file is missing or empty, and the journal has {found} writes: how many were acknowledged cannot be told; {}",
                salvage::REMEDY
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
        let manifest = Manifest::check(directory, &path)?;
        let db = files::read_only(&path, options, true)?;
        let mut store = RocksStore::assemble(db, path, watermark, manifest, options);
        (store.read_only, store.refusing) = (true, AtomicBool::new(true));
        store.appended.store(appended, Ordering::SeqCst);
        Ok(store)
    }

    /// A store of an open database.
    pub(crate) fn assemble(db: DB, path: PathBuf, watermark: WatermarkFile, manifest: Manifest, options: &StoreOptions) -> RocksStore {
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

    pub(crate) fn check_format_version(&self) -> Result<(), StoreError> {
        let state = self.family(keys::FAMILY_STATE)?;
        let expected = keys::FORMAT_VERSION.to_le_bytes();
        match self.db.get_cf(state, keys::format_version_key()).map_err(|error| classified(&error, keys::FAMILY_STATE))? {
            None => self.db.put_cf_opt(state, keys::format_version_key(), expected, &durable(true)).map_err(io),
            Some(found) if found == expected => Ok(()),
            Some(found) if found == 1_u32.to_le_bytes() => {
                for family in [ChunkFamily::Chunks, ChunkFamily::Late] {
                    self.upgrade_keys(family)?;
                }
                self.db.put_cf_opt(state, keys::format_version_key(), expected, &durable(true)).map_err(io)
            }
            Some(found) => Err(StoreError::Open {
                path: self.path.display().to_string(),
                message: format!("it is written in format version {found:?}, this historian reads version {}", keys::FORMAT_VERSION),
            }),
        }
    }

    /// Gives the chunks of layout 1 the keys of layout 2. Whatever was done before an interruption stays done.
    fn upgrade_keys(&self, family: ChunkFamily) -> Result<(), StoreError> {
        let handle = self.chunk_family(family)?;
        let mut batch = WriteBatch::default();
        for entry in self.db.iterator_cf(handle, rocksdb::IteratorMode::Start) {
            let (key, value) = entry.map_err(|error| classified(&error, family.name()))?;
            let Some(old) = ChunkKey::decode_v1(&key) else { continue };
            for piece in upgrade::pieces(old, &value, family.name())? {
                batch.put_cf(handle, piece.key.encode(), piece.bytes);
            }
            batch.delete_cf(handle, key);
            if batch.size_in_bytes() > 8 << 20 {
                self.db.write_opt(std::mem::take(&mut batch), &durable(false)).map_err(io)?;
            }
        }
        self.db.write_opt(batch, &durable(true)).map_err(io)
    }
}
