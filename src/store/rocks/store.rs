//! The calls of [`Store`] on the database: its writes, and the reads that no view answers.

use std::{
    ops::RangeInclusive,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use historian_format::{
    current::CurrentEntry,
    keys::{self, ChunkKey, NoteKey, SupersededKey, TagRecord},
};
use rocksdb::{IteratorMode, ReadOptions, WriteBatch};

use super::{
    RocksStore, RocksView,
    error::{classified, io},
    scan,
};
use crate::{AuditEntry, AuditHead, ChainedEntry, Change, ChunkFamily, Gap, ReadStore, Store, StoreError, Visit, audit::PAGE_BYTES_MAX};
use historian_model::TagId;

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

    fn load_records(&self, record: TagRecord, visit: Visit<'_, TagId>) -> Result<(), StoreError> {
        let family = keys::FAMILY_STATE;
        let mut options = ReadOptions::default();
        options.set_iterate_range(rocksdb::PrefixRange([record.letter()]));
        for entry in self.db.iterator_cf_opt(self.family(family)?, options, IteratorMode::Start) {
            let (key, value) = entry.map_err(|error| classified(&error, family))?;
            let (_, tag) = TagRecord::decode(&key).ok_or_else(|| scan::no_such_key(family, &key))?;
            visit(TagId(tag), &value)?;
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
        for (record, tag, value) in change.records() {
            match value {
                Some(value) => batch.put_cf(state, record.key(tag.0), value),
                None => batch.delete_cf(state, record.key(tag.0)),
            }
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
        scan::FamilyScan::new(self.db.raw_iterator_cf(self.chunk_family(family)?), tag, family.name()).last_generation(start)
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
        self.load_records(TagRecord::Current, &mut |tag, entry| {
            let goes = CurrentEntry::decode(entry).is_none_or(|entry| keys::week_of(entry.sample.timestamp) == week);
            if goes && tags.unwrap_or(&all).iter().any(|run| run.contains(&tag.0)) {
                batch.delete_cf(state, TagRecord::Current.key(tag.0));
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
            for week in scan::FamilyScan::new(self.db.raw_iterator_cf(handle), tag, family).weeks()? {
                let first = ChunkKey::prefix(week, tag.0);
                let mut after = first.to_vec();
                after.extend([0xFF; SupersededKey::BYTES]);
                batch.delete_range_cf(handle, &first[..], &after[..]);
            }
        }
        let state = self.family(keys::FAMILY_STATE)?;
        for record in TagRecord::ALL {
            batch.delete_cf(state, record.key(tag.0));
        }
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

    fn audit_log(&self, from: u64, limit: usize) -> Result<Vec<ChainedEntry>, StoreError> {
        let family = self.family(keys::FAMILY_AUDIT)?;
        let start = keys::audit_key(from);
        let mut page = Vec::new();
        let mut bytes = 0;
        for entry in self.db.iterator_cf(family, IteratorMode::From(&start, rocksdb::Direction::Forward)).take(limit) {
            let (key, value) = entry.map_err(|error| classified(&error, keys::FAMILY_AUDIT))?;
            bytes += value.len();
            if bytes > PAGE_BYTES_MAX && !page.is_empty() {
                break;
            }
            let number = keys::decode_audit_key(&key).ok_or_else(|| scan::no_such_key(keys::FAMILY_AUDIT, &key))?;
            page.push(ChainedEntry::from_stored(number, &value)?);
        }
        Ok(page)
    }

    fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.last_audit_entry()
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

    fn put_notes(&self, notes: &[(NoteKey, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError> {
        self.room()?;
        let family = self.family(keys::FAMILY_NOTES)?;
        let mut batch = WriteBatch::default();
        for (key, note) in notes {
            batch.put_cf(family, key.encode(), note);
        }
        let _numbered = if audit.is_empty() { None } else { Some(self.put_audit(&mut batch, audit)?) };
        self.write_durably(batch)
    }

    fn note(&self, key: NoteKey) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.db.get_cf(self.family(keys::FAMILY_NOTES)?, key.encode());
        found.map_err(|error| classified(&error, keys::FAMILY_NOTES))
    }

    fn load_notes(&self, visit: Visit<'_, NoteKey>) -> Result<(), StoreError> {
        self.visit_all(keys::FAMILY_NOTES, NoteKey::decode, visit)
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
