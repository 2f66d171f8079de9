//! The store's in-memory twin: the same contract over ordered maps, as model for tests.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use historian_audit::AuditHash;
use historian_format::{
    current::CurrentEntry,
    keys::{ChunkKey, NoteKey, RollupKey, SupersededKey, TagRecord, week_of},
    rollup::RollupLevel,
};
use parking_lot::Mutex;

use super::{
    AuditEntry, AuditHead, ChainedEntry, Change, ChunkFamily, Direction, Gap, ReadStore, Store, StoreError, StoredChunk, Visit,
    audit::PAGE_BYTES_MAX, overlaps,
};
use historian_model::{TagId, TimeBounds};

type ChunkMap = BTreeMap<(u32, i64, u16), Vec<u8>>;

#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<MemoryState>,
}

#[derive(Clone, Default)]
struct MemoryState {
    catalog: BTreeMap<u32, Vec<u8>>,
    journal: BTreeMap<u64, Vec<u8>>,
    chunks: ChunkMap,
    late: ChunkMap,
    superseded: BTreeMap<(u32, i64, u64, u32), Vec<u8>>,
    rollups: BTreeMap<(u32, u8, i32, u8), Vec<u8>>,
    dirty: BTreeMap<(u32, i32), u8>,
    records: BTreeMap<(TagRecord, u32), Vec<u8>>,
    retention_clock: Option<i64>,
    audit: Vec<ChainedEntry>,
    gaps: Vec<Gap>,
    notes: BTreeMap<NoteKey, Vec<u8>>,
}

impl MemoryState {
    fn family(&self, family: ChunkFamily) -> &ChunkMap {
        match family {
            ChunkFamily::Chunks => &self.chunks,
            ChunkFamily::Late => &self.late,
        }
    }

    fn family_mut(&mut self, family: ChunkFamily) -> &mut ChunkMap {
        match family {
            ChunkFamily::Chunks => &mut self.chunks,
            ChunkFamily::Late => &mut self.late,
        }
    }
}

/// How far a log goes.
fn last_of(audit: &[ChainedEntry]) -> AuditHead {
    audit.last().map_or(AuditHead { number: 0, hash: AuditHash::START }, |last| AuditHead { number: last.number, hash: last.hash })
}

fn put_audit(audit: &mut Vec<ChainedEntry>, entries: &[AuditEntry]) -> Result<(), StoreError> {
    for entry in entries {
        let AuditHead { number, hash } = last_of(audit);
        audit.push(ChainedEntry::after(&hash, number + 1, entry)?);
    }
    Ok(())
}

impl ReadStore for MemoryStore {
    fn chunks(
        &self,
        family: ChunkFamily,
        tag: TagId,
        bounds: TimeBounds,
        direction: Direction,
        bytes_max: usize,
    ) -> Result<Vec<StoredChunk>, StoreError> {
        let state = self.state.lock();
        let stored = state
            .family(family)
            .range((tag.0, i64::MIN, 0)..=(tag.0, i64::MAX, u16::MAX))
            .map(|(&(tag_id, start, generation), bytes)| StoredChunk { key: ChunkKey { tag_id, start, generation }, bytes: bytes.clone() });
        let mut found = Vec::new();
        for chunk in stored {
            if overlaps(&chunk, bounds, family.name())? {
                found.push(chunk);
            }
        }
        if family == ChunkFamily::Chunks {
            if direction == Direction::Backward {
                found.reverse();
            }
            let mut bytes = 0;
            let mut keep = 0;
            while keep < found.len() && bytes < bytes_max.max(1) {
                bytes += found[keep].bytes.len();
                keep += 1;
            }
            found.truncate(keep);
        }
        Ok(found)
    }

    fn last_chunk(&self, family: ChunkFamily, tag: TagId) -> Result<Option<StoredChunk>, StoreError> {
        let state = self.state.lock();
        let mut range = state.family(family).range((tag.0, i64::MIN, 0)..=(tag.0, i64::MAX, u16::MAX));
        Ok(range
            .next_back()
            .map(|(&(tag_id, start, generation), bytes)| StoredChunk { key: ChunkKey { tag_id, start, generation }, bytes: bytes.clone() }))
    }

    fn record(&self, record: TagRecord, tag: TagId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.lock().records.get(&(record, tag.0)).cloned())
    }

    fn superseded(&self, tag: TagId, bounds: TimeBounds) -> Result<Vec<(SupersededKey, Vec<u8>)>, StoreError> {
        let state = self.state.lock();
        let all = state.superseded.range((tag.0, i64::MIN, 0, 0)..=(tag.0, i64::MAX, u64::MAX, u32::MAX));
        let key = |&(tag_id, start, sequence, part): &(u32, i64, u64, u32)| SupersededKey { tag_id, start, sequence, part };
        let weeks = week_of(bounds.first)..=week_of(bounds.last);
        Ok(all.map(|(at, value)| (key(at), value.clone())).filter(|(key, _)| weeks.contains(&week_of(key.start))).collect())
    }

    fn superseded_weeks(&self, tag: TagId) -> Result<Vec<i32>, StoreError> {
        let state = self.state.lock();
        let all = state.superseded.range((tag.0, i64::MIN, 0, 0)..=(tag.0, i64::MAX, u64::MAX, u32::MAX));
        let mut weeks: Vec<i32> = all.map(|((_, start, _, _), _)| week_of(*start)).collect();
        weeks.dedup();
        Ok(weeks)
    }

    fn rollups(
        &self,
        tag: TagId,
        level: RollupLevel,
        weeks: RangeInclusive<i32>,
        bytes_max: usize,
    ) -> Result<Vec<(RollupKey, Vec<u8>)>, StoreError> {
        if weeks.is_empty() {
            return Ok(Vec::new());
        }
        let state = self.state.lock();
        let level = level as u8;
        let mut bytes = 0;
        let mut found = Vec::new();
        for (&(tag_id, level, week, part), block) in
            state.rollups.range((tag.0, level, *weeks.start(), 0)..=(tag.0, level, *weeks.end(), u8::MAX))
        {
            if bytes >= bytes_max.max(1) {
                break;
            }
            bytes += block.len();
            found.push((RollupKey { week, tag_id, level, part }, block.clone()));
        }
        Ok(found)
    }

    fn dirty(&self, tag: Option<TagId>) -> Result<Vec<(TagId, i32, u8)>, StoreError> {
        let state = self.state.lock();
        let all = state.dirty.iter().map(|(&(id, week), &days)| (TagId(id), week, days));
        Ok(all.filter(|(id, _, _)| tag.is_none_or(|tag| tag == *id)).collect())
    }

    fn weeks(&self, family: ChunkFamily, tag: TagId) -> Result<Vec<i32>, StoreError> {
        let state = self.state.lock();
        let mut weeks: Vec<i32> =
            state.family(family).range((tag.0, i64::MIN, 0)..=(tag.0, i64::MAX, u16::MAX)).map(|(key, _)| week_of(key.1)).collect();
        weeks.dedup();
        Ok(weeks)
    }

    fn gaps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Gap)>, StoreError> {
        let state = self.state.lock();
        Ok((1..).zip(&state.gaps).filter(|(number, _)| *number >= from).take(limit).map(|(number, gap)| (number, gap.clone())).collect())
    }
}

impl Store for MemoryStore {
    fn view(self: Arc<Self>) -> Result<Arc<dyn ReadStore>, StoreError> {
        Ok(Arc::new(MemoryStore { state: Mutex::new(self.state.lock().clone()) }))
    }

    fn room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn change_catalog(&self, entries: &[(TagId, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.catalog.extend(entries.iter().map(|(tag, entry)| (tag.0, entry.clone())));
        put_audit(&mut state.audit, audit)?;
        Ok(())
    }

    fn load_catalog(&self, visit: Visit<'_, TagId>) -> Result<(), StoreError> {
        self.state.lock().catalog.iter().try_for_each(|(&tag, entry)| visit(TagId(tag), entry))
    }

    fn append_journal(&self, records: &[(u64, Vec<u8>)], _durable: bool) -> Result<(), StoreError> {
        self.state.lock().journal.extend(records.iter().cloned());
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn replay_journal(&self, visit: Visit<'_, u64>) -> Result<(), StoreError> {
        // A copy: the visitor may change the store.
        let journal = self.state.lock().journal.clone();
        journal.iter().try_for_each(|(&sequence, record)| visit(sequence, record))
    }

    fn journal_from(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let mut bytes = 0;
        let state = self.state.lock();
        let page = state.journal.range(from..=to.max(from)).take_while(|(_, record)| {
            let more = bytes < bytes_max;
            bytes += record.len();
            more
        });
        Ok(page.map(|(sequence, record)| (*sequence, record.clone())).collect())
    }

    fn load_records(&self, record: TagRecord, visit: Visit<'_, TagId>) -> Result<(), StoreError> {
        let state = self.state.lock();
        state.records.range((record, 0)..=(record, u32::MAX)).try_for_each(|(&(_, tag), value)| visit(TagId(tag), value))
    }

    fn apply(&self, change: &Change) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        for (family, key) in &change.removed {
            state.family_mut(*family).remove(&(key.tag_id, key.start, key.generation));
        }
        for (family, chunk) in &change.chunks {
            let ChunkKey { tag_id, start, generation } = chunk.key;
            state.family_mut(*family).insert((tag_id, start, generation), chunk.bytes.clone());
        }
        for (key, value) in &change.superseded {
            state.superseded.insert((key.tag_id, key.start, key.sequence, key.part), value.clone());
        }
        for (key, block) in &change.rollups {
            let at = (key.tag_id, key.level, key.week, key.part);
            match block {
                Some(block) => state.rollups.insert(at, block.clone()),
                None => state.rollups.remove(&at),
            };
        }
        for &(tag, week, days) in &change.dirty {
            match days {
                0 => state.dirty.remove(&(tag.0, week)),
                days => state.dirty.insert((tag.0, week), days),
            };
        }
        for (record, tag, value) in change.records() {
            match value {
                Some(value) => state.records.insert((record, tag.0), value.into_owned()),
                None => state.records.remove(&(record, tag.0)),
            };
        }
        if let Some(retire) = &change.retire {
            state.journal = state.journal.split_off(&(retire.sequence + 1));
            state.journal.insert(retire.sequence, retire.record.clone());
        }
        state.retention_clock = change.retention_clock.or(state.retention_clock);
        put_audit(&mut state.audit, &change.audit)?;
        Ok(())
    }

    fn last_generation(&self, tag: TagId, start: i64) -> Result<Option<u16>, StoreError> {
        Ok(self.state.lock().late.range((tag.0, start, 0)..=(tag.0, start, u16::MAX)).next_back().map(|(key, _)| key.2))
    }

    fn dirty_days(&self, tag: TagId, week: i32) -> Result<u8, StoreError> {
        Ok(self.state.lock().dirty.get(&(tag.0, week)).copied().unwrap_or(0))
    }

    fn weeks_present(&self) -> Result<Vec<i32>, StoreError> {
        let state = self.state.lock();
        let mut weeks: Vec<i32> = state.chunks.keys().chain(state.late.keys()).map(|key| week_of(key.1)).collect();
        weeks.extend(state.superseded.keys().map(|key| week_of(key.1)));
        weeks.extend(state.rollups.keys().map(|key| key.2));
        weeks.sort_unstable();
        weeks.dedup();
        Ok(weeks)
    }

    fn week_holds(&self, week: i32, tags: &[RangeInclusive<u32>]) -> Result<bool, StoreError> {
        let state = self.state.lock();
        let counts = |tag: u32, at: i32| at == week && tags.iter().any(|run| run.contains(&tag));
        Ok(state.chunks.keys().chain(state.late.keys()).any(|key| counts(key.0, week_of(key.1)))
            || state.superseded.keys().any(|key| counts(key.0, week_of(key.1)))
            || state.rollups.keys().any(|key| counts(key.0, key.2)))
    }

    fn week_bytes(&self, week: i32, tags: &[RangeInclusive<u32>]) -> Result<u64, StoreError> {
        let state = self.state.lock();
        let counts = |tag: u32, at: i32| at == week && tags.iter().any(|run| run.contains(&tag));
        let chunks = state.chunks.iter().chain(&state.late).filter(|(key, _)| counts(key.0, week_of(key.1)));
        Ok(chunks.map(|(_, bytes)| bytes.len() as u64).sum())
    }

    fn drop_week(&self, week: i32, tags: Option<&Vec<RangeInclusive<u32>>>) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let stays = |tag: u32, at: i32| at != week || tags.is_some_and(|tags| !tags.iter().any(|run| run.contains(&tag)));
        state.chunks.retain(|key, _| stays(key.0, week_of(key.1)));
        state.late.retain(|key, _| stays(key.0, week_of(key.1)));
        state.superseded.retain(|key, _| stays(key.0, week_of(key.1)));
        state.rollups.retain(|key, _| stays(key.0, key.2));
        state.records.retain(|(record, tag), entry| {
            *record != TagRecord::Current || CurrentEntry::decode(entry).is_some_and(|entry| stays(*tag, week_of(entry.sample.timestamp)))
        });
        Ok(())
    }

    fn retention_clock(&self) -> Result<Option<i64>, StoreError> {
        Ok(self.state.lock().retention_clock)
    }

    fn delete_tag(&self, tag: TagId) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.chunks.retain(|key, _| key.0 != tag.0);
        state.late.retain(|key, _| key.0 != tag.0);
        state.superseded.retain(|key, _| key.0 != tag.0);
        state.rollups.retain(|key, _| key.0 != tag.0);
        state.dirty.retain(|key, _| key.0 != tag.0);
        state.records.retain(|key, _| key.1 != tag.0);
        Ok(())
    }

    fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        put_audit(&mut self.state.lock().audit, entries)
    }

    fn audit_log(&self, from: u64, limit: usize) -> Result<Vec<ChainedEntry>, StoreError> {
        let state = self.state.lock();
        let mut bytes = 0;
        let of_page = |entry: &&ChainedEntry| {
            let is_first = bytes == 0;
            bytes += entry.text.len();
            is_first || bytes <= PAGE_BYTES_MAX
        };
        Ok(state.audit.iter().filter(|entry| entry.number >= from).take(limit).take_while(of_page).cloned().collect())
    }

    fn audit_head(&self) -> Result<AuditHead, StoreError> {
        Ok(last_of(&self.state.lock().audit))
    }

    fn append_gaps(&self, gaps: &[Gap]) -> Result<(), StoreError> {
        self.state.lock().gaps.extend_from_slice(gaps);
        Ok(())
    }

    fn put_notes(&self, notes: &[(NoteKey, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        put_audit(&mut state.audit, audit)?;
        state.notes.extend(notes.iter().cloned());
        Ok(())
    }

    fn note(&self, key: NoteKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.lock().notes.get(&key).cloned())
    }

    fn load_notes(&self, visit: Visit<'_, NoteKey>) -> Result<(), StoreError> {
        self.state.lock().notes.iter().try_for_each(|(key, value)| visit(*key, value))
    }

    fn compact(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
