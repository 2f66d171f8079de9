//! Deleting a range of a tag's samples: what was there moves to the family of superseded versions.
//!
//! A chunk wholly inside the range is moved as it is; only the chunks that the range cuts are decoded. The range is worked off in pages, each
//! one atomic change; the sealed mark comes with the last one, so that a deletion cut short by a crash is done again from the journal,
//! with the same end.

use std::{collections::HashMap, ops::Range, sync::Arc};

use historian_format::{
    Chunk,
    keys::{ChunkKey, SupersededKey},
};

use historian_maintenance::{
    TagLocks,
    rewrite::{SealError, encode, mark_dirty, piece},
    superseded::{part, put_superseded},
};
use historian_model::{TagId, TimeBounds};
use historian_read::versions::Origin;
use historian_store::{AuditEntry, Change, ChunkFamily, Direction, Store, StoredChunk, corrupt};

/// Chunk bytes worked off in one change.
const PAGE_BYTES: usize = 8 << 20;

/// Removes ranges from stored chunks.
pub struct Deleter {
    pub store: Arc<dyn Store>,
    pub locks: Arc<TagLocks>,
}

impl Deleter {
    /// Moves a tag's stored samples of the range to the superseded ones and answers how many there were. `sequence` is that of the write that
    /// deletes; the tag's head is empty, and all its samples before that write are in chunks. `visible` counts the samples that a
    /// reader sees in the range; `audit` is asked for an entry at the end.
    pub(super) fn delete(
        &self,
        tag: TagId,
        bounds: TimeBounds,
        sequence: u64,
        visible: impl FnOnce() -> Result<u64, SealError>,
        audit: impl FnOnce(u64) -> Option<AuditEntry>,
    ) -> Result<u64, SealError> {
        let _guard = self.locks.lock(tag);
        let mut page =
            DeletionPage { deleter: self, tag, bounds, sequence, removed: 0, generations: HashMap::new(), change: Change::default() };
        page.change.current.push((tag, None));
        let late = self.store.chunks(ChunkFamily::Late, tag, bounds, Direction::Forward, usize::MAX)?;
        // Late chunks repeat timestamps of others: then the samples that were to be seen are counted one by one.
        let counted = if late.is_empty() { None } else { Some(visible()?) };
        for chunk in late {
            page.take(ChunkFamily::Late, chunk)?;
        }
        let mut rest = Some(bounds);
        while let Some(within) = rest.filter(|rest| !rest.is_empty()) {
            let chunks = self.store.chunks(ChunkFamily::Chunks, tag, within, Direction::Forward, PAGE_BYTES)?;
            rest = match chunks.last() {
                None => None,
                Some(last) => {
                    let next = last.header_in(ChunkFamily::Chunks)?.statistics.last_timestamp.checked_add(1);
                    next.map(|first| TimeBounds { first, ..bounds })
                }
            };
            for chunk in chunks {
                page.take(ChunkFamily::Chunks, chunk)?;
            }
            if rest.is_some() {
                self.store.apply(&std::mem::take(&mut page.change))?;
                page.generations.clear();
            }
        }
        let removed = counted.unwrap_or(page.removed);
        // Not up to this write itself: its runs are still to come.
        page.change.sealed.push((tag, sequence - 1));
        page.change.audit.extend(audit(removed));
        self.store.apply(&page.change)?;
        Ok(removed)
    }
}

/// What is being gathered for the next atomic change.
struct DeletionPage<'a> {
    deleter: &'a Deleter,
    tag: TagId,
    bounds: TimeBounds,
    sequence: u64,
    removed: u64,
    /// Generations given to late chunks in this change, by start.
    generations: HashMap<i64, u16>,
    change: Change,
}

impl DeletionPage<'_> {
    fn take(&mut self, family: ChunkFamily, chunk: StoredChunk) -> Result<(), SealError> {
        let tag = self.tag;
        let statistics = chunk.header_in(family)?.statistics;
        let held = TimeBounds::of(&statistics);
        mark_dirty(&*self.deleter.store, &mut self.change, tag, held.intersect(self.bounds))?;
        self.change.removed.push((family, chunk.key));
        if self.bounds.covers(held) {
            self.removed += u64::from(statistics.count);
            let part = part(Origin::Deleted, &chunk.bytes);
            let key = SupersededKey { tag_id: tag.0, start: held.first, sequence: self.sequence, part };
            self.change.superseded.push((key, chunk.bytes));
            return Ok(());
        }
        let parsed = Chunk::parse(&chunk.bytes).map_err(|error| corrupt(family.name(), chunk.key, &error))?;
        let samples = parsed.decode().map_err(|error| corrupt(family.name(), chunk.key, &error))?;
        let Range { start, end } = self.bounds.rows(&samples.timestamps);
        self.removed += (end - start) as u64;
        let gone = piece(&samples, start..end)?;
        put_superseded(&mut self.change, tag, self.sequence, Origin::Deleted, &gone)?;
        for kept in [0..start, end..samples.len()] {
            if !kept.is_empty() {
                let kept = piece(&samples, kept)?;
                let bytes = encode(tag, parsed.header().sequence, &kept)?;
                let key = self.key(family, tag, kept.timestamps[0], chunk.key)?;
                self.change.chunks.push((family, StoredChunk { key, bytes }));
            }
        }
        Ok(())
    }

    /// A free key for a piece of a chunk; the piece that begins where the chunk did takes its key.
    fn key(&mut self, family: ChunkFamily, tag: TagId, start: i64, whole: ChunkKey) -> Result<ChunkKey, SealError> {
        let mut key = ChunkKey { tag_id: tag.0, start, generation: whole.generation };
        if family == ChunkFamily::Late && start != whole.start {
            let last = match self.generations.get(&start) {
                Some(given) => Some(*given),
                None => self.deleter.store.last_generation(tag, start)?,
            };
            key.generation = match last {
                None => 0,
                Some(last) => last.checked_add(1).ok_or(SealError::Generations { tag: tag.0, start })?,
            };
            self.generations.insert(start, key.generation);
        }
        Ok(key)
    }
}
