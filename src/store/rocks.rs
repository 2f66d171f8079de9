//! The store on RocksDB. Column families and bytes are those of `storage-format/keys.md`.
//!
//! What RocksDB does by default and this module does not accept: dropping synced data behind a damaged log record (recovery mode and
//! watermark file), and short answers of an iterator whose `status()` nobody asked for (raw iterators are walked in `scan` only).

mod log_mark;
pub(super) mod manifest;
mod open;
mod options;
mod read;
mod scan;

use std::{
    ops::RangeInclusive,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use historian_format::{
    current::CurrentEntry,
    keys::{self, ChunkKey, KeptMark, SupersededKey},
};
use parking_lot::{Mutex, MutexGuard};
use rocksdb::{ColumnFamily, DB, ErrorKind, FlushOptions, IteratorMode, ReadOptions, WriteBatch, WriteOptions};

pub(super) use self::options::{database_options, families};
use self::{log_mark::LogMark, manifest::Manifest};
pub use self::{options::StoreOptions, read::RocksView};
use super::{
    AuditEntry, Change, ChunkFamily, Direction, Gap, ReadStore, Store, StoreError, StoredChunk, Visit, overlaps, watermark::WatermarkFile,
};
use historian_model::TagId;

pub struct RocksStore {
    pub(super) db: DB,
    pub(super) path: PathBuf,
    pub(super) watermark: WatermarkFile,
    pub(super) manifest: Manifest,
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

/// Families whose keys begin with week and tag.
const WEEKLY: [&str; 4] = [keys::FAMILY_CHUNKS, keys::FAMILY_LATE, keys::FAMILY_SUPERSEDED, keys::FAMILY_ROLLUPS];

/// First key of a run of tags in a week, and the first key behind it.
fn week_range(week: i32, tags: &RangeInclusive<u32>) -> (Vec<u8>, Vec<u8>) {
    let after = match tags.end().checked_add(1) {
        Some(next) => ChunkKey::prefix(week, next).to_vec(),
        None => keys::week_bytes(week + 1).to_vec(),
    };
    (ChunkKey::prefix(week, *tags.start()).to_vec(), after)
}

/// How far the watermark file may be behind after a power loss.
const WATERMARK_SYNC_INTERVAL: Duration = Duration::from_secs(1);

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
        let last = self.last_number(audit, keys::FAMILY_AUDIT)?;
        for (number, entry) in (last + 1..).zip(entries) {
            batch.put_cf(audit, keys::audit_key(number), entry.encode()?);
        }
        Ok(guard)
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

    fn visit_current(&self, visit: Visit<'_, TagId>) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_range(rocksdb::PrefixRange(&b"c"[..]));
        for entry in self.db.iterator_cf_opt(self.family(keys::FAMILY_STATE)?, options, IteratorMode::Start) {
            let (key, value) = entry.map_err(|error| classified(&error, keys::FAMILY_STATE))?;
            let tag = keys::decode_current_key(&key).ok_or_else(|| scan::no_such_key(keys::FAMILY_STATE, &key))?;
            visit(TagId(tag), &value)?;
        }
        Ok(())
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

impl Store for RocksStore {
    fn view(self: Arc<Self>) -> Result<Arc<dyn ReadStore>, StoreError> {
        Ok(Arc::new(RocksView::of(self)))
    }

    fn room(&self) -> Result<(), StoreError> {
        if self.read_only {
            return Err(self.no_room_to_open());
        }
        let (free, reserve) = self.free_and_reserve()?;
        // What lies in write buffers will be written as well, and takes its room then.
        if free >= reserve.saturating_add(self.buffer_bytes_max) {
            return Ok(());
        }
        let buffered = self.buffered_bytes()?;
        if free >= reserve.saturating_add(buffered) {
            return Ok(());
        }
        self.flush_soon(buffered);
        Err(StoreError::Full(format!(
            "{} MiB are free on the file system of {}, {} MiB are still to be written, and storage.disk_reserve_bytes keeps {} MiB for what is \
             under way; free or add space",
            free >> 20,
            self.path.display(),
            buffered >> 20,
            reserve >> 20
        )))
    }

    fn change_catalog(&self, entries: &[(TagId, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError> {
        let catalog = self.family(keys::FAMILY_CATALOG)?;
        let mut batch = WriteBatch::default();
        for (tag, entry) in entries {
            batch.put_cf(catalog, keys::catalog_key(tag.0), entry);
        }
        let _numbered = if audit.is_empty() { None } else { Some(self.put_audit(&mut batch, audit)?) };
        self.write_durably(batch)
    }

    fn load_catalog(&self, visit: Visit<'_, TagId>) -> Result<(), StoreError> {
        self.visit_all(keys::FAMILY_CATALOG, |key| keys::decode_catalog_key(key).map(TagId), visit)
    }

    fn append_journal(&self, records: &[(u64, Vec<u8>)], sync: bool) -> Result<(), StoreError> {
        let Some(&(last, _)) = records.last() else { return Ok(()) };
        self.room()?;
        let journal = self.family(keys::FAMILY_JOURNAL)?;
        let before = if sync { Some(self.log_mark.position()) } else { None };
        let mut batch = WriteBatch::default();
        for (sequence, record) in records {
            batch.put_cf(journal, keys::journal_key(*sequence), record);
        }
        self.write(batch, sync)?;
        self.appended.store(last, Ordering::SeqCst);
        let Some(before) = before else { return Ok(()) };
        self.log_mark.synced(before)?;
        self.watermark.write(last)?;
        self.manifest.follow()?;
        let mut synced = self.watermark_synced.lock();
        if synced.elapsed() >= WATERMARK_SYNC_INTERVAL {
            self.watermark.sync()?;
            self.log_mark.sync()?;
            *synced = Instant::now();
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let appended = self.appended.load(Ordering::SeqCst);
        self.db.flush_wal(true).map_err(io)?;
        self.log_mark.sync_log()?;
        self.log_mark.sync()?;
        self.watermark.write(appended)?;
        self.watermark.sync()
    }

    fn replay_journal(&self, visit: Visit<'_, u64>) -> Result<(), StoreError> {
        self.visit_all(keys::FAMILY_JOURNAL, keys::decode_journal_key, visit)
    }

    fn journal_from(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let start = keys::journal_key(from);
        let mut found = Vec::new();
        let mut bytes = 0;
        for entry in self.db.iterator_cf(self.family(keys::FAMILY_JOURNAL)?, IteratorMode::From(&start, rocksdb::Direction::Forward)) {
            let (key, value) = entry.map_err(|error| classified(&error, keys::FAMILY_JOURNAL))?;
            let sequence = keys::decode_journal_key(&key).ok_or_else(|| scan::no_such_key(keys::FAMILY_JOURNAL, &key))?;
            if sequence > to || bytes >= bytes_max {
                break;
            }
            bytes += value.len();
            found.push((sequence, value.into_vec()));
        }
        Ok(found)
    }

    fn load_sealed(&self, visit: &mut dyn FnMut(TagId, u64)) -> Result<(), StoreError> {
        let state = self.family(keys::FAMILY_STATE)?;
        let mut options = ReadOptions::default();
        options.set_iterate_range(rocksdb::PrefixRange(&b"s"[..]));
        for entry in self.db.iterator_cf_opt(state, options, IteratorMode::Start) {
            let (key, value) = entry.map_err(|error| classified(&error, keys::FAMILY_STATE))?;
            let entry = keys::decode_sealed_key(&key).zip(<[u8; 8]>::try_from(&*value).ok());
            let (tag, sequence) = entry.ok_or_else(|| StoreError::Corrupt {
                family: keys::FAMILY_STATE,
                key: format!("{key:02x?}"),
                message: "no sealed mark".into(),
            })?;
            visit(TagId(tag), u64::from_le_bytes(sequence));
        }
        Ok(())
    }

    fn apply(&self, change: &Change) -> Result<(), StoreError> {
        let state = self.family(keys::FAMILY_STATE)?;
        let mut batch = WriteBatch::default();
        for (family, key) in &change.removed {
            batch.delete_cf(self.chunk_family(*family)?, key.encode());
        }
        for (family, chunk) in &change.chunks {
            batch.put_cf(self.chunk_family(*family)?, chunk.key.encode(), &chunk.bytes);
        }
        let superseded = self.family(keys::FAMILY_SUPERSEDED)?;
        for (key, value) in &change.superseded {
            batch.put_cf(superseded, key.encode(), value);
        }
        let rollups = self.family(keys::FAMILY_ROLLUPS)?;
        for (key, block) in &change.rollups {
            match block {
                Some(block) => batch.put_cf(rollups, key.encode(), block),
                None => batch.delete_cf(rollups, key.encode()),
            }
        }
        for &(tag, week, days) in &change.dirty {
            match days {
                0 => batch.delete_cf(state, keys::dirty_key(week, tag.0)),
                days => batch.put_cf(state, keys::dirty_key(week, tag.0), [days]),
            }
        }
        for (tag, mark) in &change.kept {
            batch.put_cf(state, keys::kept_key(tag.0), mark.encode());
        }
        for (tag, entry) in &change.current {
            match entry {
                Some(entry) => batch.put_cf(state, keys::current_key(tag.0), entry),
                None => batch.delete_cf(state, keys::current_key(tag.0)),
            }
        }
        for (tag, sequence) in &change.sealed {
            batch.put_cf(state, keys::sealed_key(tag.0), sequence.to_le_bytes());
        }
        if let Some(retire) = &change.retire {
            let journal = self.family(keys::FAMILY_JOURNAL)?;
            batch.delete_range_cf(journal, keys::journal_key(0), keys::journal_key(retire.sequence));
            batch.put_cf(journal, keys::journal_key(retire.sequence), &retire.record);
        }
        if let Some(clock) = change.retention_clock {
            batch.put_cf(state, keys::retention_clock_key(), clock.to_le_bytes());
        }
        let _numbered = if change.audit.is_empty() { None } else { Some(self.put_audit(&mut batch, &change.audit)?) };
        self.write(batch, false)
    }

    fn last_generation(&self, tag: TagId, start: i64) -> Result<Option<u16>, StoreError> {
        let family = ChunkFamily::Late;
        scan::Scan::new(self.db.raw_iterator_cf(self.chunk_family(family)?), tag, family.name()).last_generation(start)
    }

    fn kept(&self, tag: TagId) -> Result<KeptMark, StoreError> {
        let found = self
            .db
            .get_cf(self.family(keys::FAMILY_STATE)?, keys::kept_key(tag.0))
            .map_err(|error| classified(&error, keys::FAMILY_STATE))?;
        found.map_or(Ok(KeptMark::default()), |bytes| {
            KeptMark::decode(&bytes).ok_or_else(|| StoreError::Corrupt {
                family: keys::FAMILY_STATE,
                key: format!("kept mark of tag {}", tag.0),
                message: "not 16 bytes".into(),
            })
        })
    }

    fn dirty_days(&self, tag: TagId, week: i32) -> Result<u8, StoreError> {
        let found = self
            .db
            .get_cf(self.family(keys::FAMILY_STATE)?, keys::dirty_key(week, tag.0))
            .map_err(|error| classified(&error, keys::FAMILY_STATE))?;
        Ok(found.and_then(|bytes| bytes.first().copied()).unwrap_or(0))
    }

    fn weeks_present(&self) -> Result<Vec<i32>, StoreError> {
        let mut weeks = Vec::new();
        for family in WEEKLY {
            weeks.extend(scan::weeks(self.db.raw_iterator_cf(self.family(family)?), family)?);
        }
        weeks.sort_unstable();
        weeks.dedup();
        Ok(weeks)
    }

    fn week_holds(&self, week: i32, tags: &[RangeInclusive<u32>]) -> Result<bool, StoreError> {
        for family in WEEKLY {
            let mut iterator = self.db.raw_iterator_cf(self.family(family)?);
            for run in tags {
                let (from, to) = week_range(week, run);
                iterator.seek(&from);
                if iterator.key().is_some_and(|key| key < &to[..]) {
                    return Ok(true);
                }
                iterator.status().map_err(|error| classified(&error, family))?;
            }
        }
        Ok(false)
    }

    fn week_bytes(&self, week: i32, tags: &[RangeInclusive<u32>]) -> Result<u64, StoreError> {
        let bounds: Vec<(Vec<u8>, Vec<u8>)> = tags.iter().map(|run| week_range(week, run)).collect();
        let ranges: Vec<rocksdb::Range<'_>> = bounds.iter().map(|(from, to)| rocksdb::Range::new(from, to)).collect();
        let mut bytes = 0;
        for family in WEEKLY {
            bytes += self.db.get_approximate_sizes_cf(self.family(family)?, &ranges).iter().sum::<u64>();
        }
        Ok(bytes)
    }

    fn drop_week(&self, week: i32, tags: Option<&Vec<RangeInclusive<u32>>>) -> Result<(), StoreError> {
        let all = vec![0..=u32::MAX];
        let mut batch = WriteBatch::default();
        for family in WEEKLY {
            let handle = self.family(family)?;
            for run in tags.unwrap_or(&all) {
                let (from, to) = week_range(week, run);
                if tags.is_none() {
                    // Files that hold nothing else go at once; the range deletion is for what shares a file, or is not yet in one.
                    self.db.delete_file_in_range_cf(handle, &from, &to).map_err(io)?;
                }
                batch.delete_range_cf(handle, &from, &to);
            }
        }
        // Latest samples that go with the week.
        let state = self.family(keys::FAMILY_STATE)?;
        self.visit_current(&mut |tag, entry| {
            let goes = CurrentEntry::decode(entry).is_none_or(|entry| keys::week_of(entry.timestamp) == week);
            if goes && tags.unwrap_or(&all).iter().any(|run| run.contains(&tag.0)) {
                batch.delete_cf(state, keys::current_key(tag.0));
            }
            Ok(())
        })?;
        self.write_durably(batch)?;
        if tags.is_some() {
            // The space comes back when the week's files are written without them, once.
            let (from, to) = week_range(week, &(0..=u32::MAX));
            for family in WEEKLY {
                self.db.compact_range_cf(self.family(family)?, Some(&from), Some(&to));
            }
        }
        Ok(())
    }

    fn retention_clock(&self) -> Result<Option<i64>, StoreError> {
        let found = self.db.get_cf(self.family(keys::FAMILY_STATE)?, keys::retention_clock_key()).map_err(io)?;
        Ok(found.and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok()).map(i64::from_le_bytes))
    }

    fn delete_tag(&self, tag: TagId) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for family in [keys::FAMILY_CHUNKS, keys::FAMILY_LATE, keys::FAMILY_SUPERSEDED, keys::FAMILY_ROLLUPS] {
            let handle = self.family(family)?;
            for week in scan::Scan::new(self.db.raw_iterator_cf(handle), tag, family).weeks()? {
                let first = ChunkKey::prefix(week, tag.0);
                let mut after = first.to_vec();
                after.extend([0xFF; SupersededKey::BYTES]);
                batch.delete_range_cf(handle, &first[..], &after[..]);
            }
        }
        let state = self.family(keys::FAMILY_STATE)?;
        batch.delete_cf(state, keys::sealed_key(tag.0));
        batch.delete_cf(state, keys::kept_key(tag.0));
        batch.delete_cf(state, keys::current_key(tag.0));
        for (_, week, _) in self.dirty(Some(tag))? {
            batch.delete_cf(state, keys::dirty_key(week, tag.0));
        }
        self.write_durably(batch)
    }

    fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        let _numbered = self.put_audit(&mut batch, entries)?;
        self.write_durably(batch)
    }

    fn audit(&self, from: u64, limit: usize) -> Result<Vec<(u64, AuditEntry)>, StoreError> {
        self.numbered(keys::FAMILY_AUDIT, ReadOptions::default(), from, limit, AuditEntry::decode)
    }

    fn append_gaps(&self, gaps: &[Gap]) -> Result<(), StoreError> {
        if gaps.is_empty() {
            return Ok(());
        }
        let _numbering = self.auditing.lock();
        let family = self.family(keys::FAMILY_GAPS)?;
        let mut batch = WriteBatch::default();
        let last = self.last_number(family, keys::FAMILY_GAPS)?;
        for (number, gap) in (last + 1..).zip(gaps) {
            batch.put_cf(family, keys::gap_key(number), gap.encode()?);
        }
        self.write_durably(batch)
    }

    fn compact(&self) -> Result<(), StoreError> {
        // Every family: RocksDB keeps its log until the last one that has something in it is written out.
        for name in keys::FAMILIES {
            let handle = self.family(name)?;
            self.db.flush_cf(handle).map_err(io)?;
            self.db.compact_range_cf(handle, None::<&[u8]>, None::<&[u8]>);
        }
        self.manifest.follow()?;
        Ok(())
    }
}

pub(super) fn durable(sync: bool) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    options
}

#[expect(clippy::needless_pass_by_value, reason = "shape of map_err")]
pub(super) fn io(error: rocksdb::Error) -> StoreError {
    let message = error.to_string();
    // A sync that failed is another thing: what became of the bytes is unknown then.
    let no_room = ["No space left", "Disk quota exceeded", "Space limit reached"].iter().any(|text| message.contains(text));
    if no_room && !message.contains("sync") { StoreError::Full(format!("the disk is full: {message}")) } else { StoreError::Io(message) }
}

pub(super) fn classified(error: &rocksdb::Error, family: &'static str) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt { family, key: "unknown key".into(), message: error.to_string() },
        _ => StoreError::Io(error.to_string()),
    }
}
