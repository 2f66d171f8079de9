//! The store on RocksDB. Column families and bytes are those of `storage-format/keys.md`.
//!
//! What RocksDB does by default and this module does not accept: dropping synced data behind a damaged log record (recovery mode and
//! watermark file), and short answers of an iterator whose `status()` nobody asked for (raw iterators are walked in `scan` only).

mod error;
mod open;
mod options;
mod read;
mod scan;
mod store;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use historian_audit::AuditHash;
use historian_format::keys;
use parking_lot::{Mutex, MutexGuard};
use rocksdb::{ColumnFamily, DB, FlushOptions, IteratorMode, ReadOptions, WriteBatch, WriteOptions};

pub(super) use self::{
    error::{classified, io},
    options::{database_options, families},
};
pub use self::{options::StoreOptions, read::RocksView};
use super::{
    AuditEntry, AuditHead, ChainedEntry, ChunkFamily, StoreError, Visit,
    disk::{log_mark::LogMark, manifest::ManifestMark, watermark::WatermarkFile},
};

pub struct RocksStore {
    pub(super) db: DB,
    pub(super) path: PathBuf,
    pub(super) watermark: WatermarkFile,
    pub(super) manifest: ManifestMark,
    log_mark: LogMark,
    /// Sequence number of the last journal record appended, durable or not.
    pub(super) appended: AtomicU64,
    /// When the watermark file was last fsynced.
    pub(super) watermark_synced: Mutex<Instant>,
    /// Held from reading the last number of the audit log to writing behind it.
    pub(super) auditing: Mutex<()>,
    pub(super) reserve_bytes: Option<u64>,
    /// What RocksDB's write buffers hold together at most.
    buffer_bytes_max: u64,
    flush_asked: Mutex<Option<Instant>>,
    /// RocksDB met a full disk, and goes on refusing for as long as it sees fit.
    pub(super) refusing: AtomicBool,
    /// Opened for reading only.
    read_only: bool,
}

impl RocksStore {
    pub(super) fn family(&self, name: &str) -> Result<&ColumnFamily, StoreError> {
        self.db
            .cf_handle(name)
            .ok_or_else(|| StoreError::Open { path: self.path.display().to_string(), message: format!("column family {name} is missing") })
    }

    pub(super) fn last_journal_sequence(&self) -> Result<u64, StoreError> {
        self.last_number(self.family(keys::FAMILY_JOURNAL)?, keys::FAMILY_JOURNAL)
    }

    /// The greatest key of a family whose keys are numbers; 0 when it is empty.
    fn last_number(&self, handle: &ColumnFamily, family: &'static str) -> Result<u64, StoreError> {
        let mut iterator = self.db.raw_iterator_cf(handle);
        iterator.seek_to_last();
        let last = iterator.key().and_then(keys::decode_journal_key);
        iterator.status().map_err(|error| classified(&error, family))?;
        Ok(last.unwrap_or(0))
    }

    fn chunk_family(&self, family: ChunkFamily) -> Result<&ColumnFamily, StoreError> {
        self.family(family.name())
    }

    fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), StoreError> {
        if self.read_only {
            return Err(self.no_room_to_open());
        }
        self.db.write_opt(batch, &durable(sync)).map_err(|error| {
            let error = io(error);
            if matches!(error, StoreError::Full(_)) {
                self.refusing.store(true, Ordering::SeqCst);
            }
            error
        })
    }

    fn no_room_to_open(&self) -> StoreError {
        StoreError::Full(format!(
            "the file system of {} has no room to open the database for writing; free or add space",
            self.path.display()
        ))
    }

    /// Writes what is no journal record, durably.
    fn write_durably(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.write(batch, true)?;
        self.log_mark.sync_log()
    }

    /// Free bytes of the file system, and how many of them are kept back.
    pub(super) fn free_and_reserve(&self) -> Result<(u64, u64), StoreError> {
        let system = rustix::fs::statvfs(&self.path).map_err(|error| StoreError::Io(format!("{}: {error}", self.path.display())))?;
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        let reserve = self.reserve_bytes.unwrap_or_else(|| (system.f_blocks.saturating_mul(system.f_frsize) / 20).min(512 << 20));
        Ok((free, reserve))
    }

    fn buffered_bytes(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for name in keys::FAMILIES {
            let held = self.db.property_int_value_cf(self.family(name)?, "rocksdb.size-all-mem-tables").map_err(io)?;
            bytes += held.unwrap_or(0);
        }
        Ok(bytes)
    }

    /// Lets RocksDB write out its buffers, so that the room they and the log take is known and the log can go.
    fn flush_soon(&self, buffered: u64) {
        let mut asked = self.flush_asked.lock();
        if buffered < 4 << 20 || asked.is_some_and(|asked| asked.elapsed() < Duration::from_secs(1)) {
            return;
        }
        *asked = Some(Instant::now());
        let mut options = FlushOptions::default();
        options.set_wait(false);
        for name in keys::FAMILIES {
            if let Ok(handle) = self.family(name)
                && let Err(error) = self.db.flush_cf_opt(handle, &options)
            {
                tracing::debug!("the buffers of {name} are not written out: {error}");
            }
        }
    }

    /// Removes journal records behind a sequence number: of writes that were refused, and are in the log all the same.
    pub(super) fn drop_journal_after(&self, sequence: u64) -> Result<(), StoreError> {
        let journal = self.family(keys::FAMILY_JOURNAL)?;
        if self.last_journal_sequence()? > sequence {
            let mut batch = WriteBatch::default();
            batch.delete_range_cf(journal, keys::journal_key(sequence + 1), keys::journal_key(u64::MAX));
            self.write_durably(batch)?;
        }
        self.appended.store(sequence, Ordering::SeqCst);
        Ok(())
    }

    /// Adds entries of the audit log to a batch. The guard is held until the batch is written, so that numbers follow each other.
    pub(super) fn put_audit(&self, batch: &mut WriteBatch, entries: &[AuditEntry]) -> Result<MutexGuard<'_, ()>, StoreError> {
        let guard = self.auditing.lock();
        let audit = self.family(keys::FAMILY_AUDIT)?;
        let AuditHead { number: last, hash: mut previous } = self.last_audit_entry()?;
        for (number, entry) in (last + 1..).zip(entries) {
            let entry = ChainedEntry::after(&previous, number, entry)?;
            batch.put_cf(audit, keys::audit_key(number), entry.stored());
            previous = entry.hash;
        }
        Ok(guard)
    }

    /// How far the audit log goes.
    pub(super) fn last_audit_entry(&self) -> Result<AuditHead, StoreError> {
        let mut iterator = self.db.raw_iterator_cf(self.family(keys::FAMILY_AUDIT)?);
        iterator.seek_to_last();
        let last = iterator.item().map(|(key, value)| {
            let number = keys::decode_audit_key(key).ok_or_else(|| scan::no_such_key(keys::FAMILY_AUDIT, key))?;
            ChainedEntry::from_stored(number, value).map_err(StoreError::from)
        });
        let last = last.transpose()?;
        iterator.status().map_err(|error| classified(&error, keys::FAMILY_AUDIT))?;
        Ok(last.map_or(AuditHead { number: 0, hash: AuditHash::START }, |entry| AuditHead { number: entry.number, hash: entry.hash }))
    }

    /// Entries of a family whose keys are numbers, from one on.
    fn numbered<T>(
        &self,
        family: &'static str,
        options: ReadOptions,
        from: u64,
        limit: usize,
        decode: impl Fn(u64, &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<(u64, T)>, StoreError> {
        let start = from.to_be_bytes();
        let mode = IteratorMode::From(&start, rocksdb::Direction::Forward);
        let entries = self.db.iterator_cf_opt(self.family(family)?, options, mode);
        entries
            .take(limit)
            .map(|entry| {
                let (key, value) = entry.map_err(|error| classified(&error, family))?;
                let number = keys::decode_journal_key(&key).ok_or_else(|| scan::no_such_key(family, &key))?;
                Ok((number, decode(number, &value)?))
            })
            .collect()
    }

    /// Visits entries whose keys have a type, refusing keys that do not.
    fn visit_all<K>(&self, family: &'static str, decode: impl Fn(&[u8]) -> Option<K>, visit: Visit<'_, K>) -> Result<(), StoreError> {
        let handle = self.family(family)?;
        for entry in self.db.iterator_cf(handle, IteratorMode::Start) {
            let (key, value) = entry.map_err(|error| classified(&error, family))?;
            let decoded = decode(&key).ok_or_else(|| StoreError::Corrupt {
                family,
                key: format!("{key:02x?}"),
                message: "no such key can exist".into(),
            })?;
            visit(decoded, &value)?;
        }
        Ok(())
    }
}

pub(super) fn durable(sync: bool) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    options
}
