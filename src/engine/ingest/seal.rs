//! Sealing: samples of heads become chunks.
//!
//! What lies after the tag's last ordered chunk goes to the family of ordered chunks, in pieces; what lies before it goes to the family of
//! late chunks. So ordered chunks of a tag never overlap, and a late chunk is always written after the ordered chunk it overlaps.

use std::{collections::HashMap, sync::Arc};

use historian_format::{
    current::CurrentEntry,
    encode_chunk,
    keys::{ChunkKey, week_run},
};

use super::head::Sealing;
use historian_maintenance::{rewrite::SealError, superseded::put_superseded};
use historian_model::{Samples, TagId, TimeBounds};
use historian_read::{CHUNK_SAMPLES_MAX, versions::Origin};
use historian_store::{Change, ChunkFamily, Direction, Store, StoreError, StoredChunk, corrupt};

/// A sample as the entry of a current value.
fn entry(samples: &Samples, row: usize) -> CurrentEntry {
    CurrentEntry { value_type: samples.value_type(), sample: samples.sample(row) }
}

/// Turns sorted samples into chunks. Remembers where each tag's chunks end, so that the store is asked once per tag.
pub struct Sealer {
    store: Arc<dyn Store>,
    ordered_until: HashMap<TagId, Option<i64>>,
    /// Timestamps of the entries of current values, as far as they had to be known.
    current: HashMap<TagId, Option<i64>>,
}

impl Sealer {
    pub fn new(store: Arc<dyn Store>) -> Sealer {
        Sealer { store, ordered_until: HashMap::new(), current: HashMap::new() }
    }

    /// Adds the chunks of one head to a seal. `sealing.samples` are sorted, each timestamp once.
    ///
    /// # Errors
    /// When the store cannot be read; nothing is added then.
    pub fn add(&mut self, sealing: &Sealing, seal: &mut Change) -> Result<(), SealError> {
        let Sealing { tag, sequence, samples, superseded } = sealing;
        let ordered_until = self.ordered_until(*tag)?;
        let late = ordered_until.map_or(0, |until| samples.timestamps.partition_point(|&timestamp| timestamp <= until));
        // Behind all that is in chunks; or, for late ones, not before the latest that is known. Asked first: what fails adds nothing.
        let newest = samples.timestamps.last().copied();
        let is_latest = late < samples.len() || self.current_timestamp(*tag)?.is_some_and(|known| newest >= Some(known));
        let first = seal.chunks.len();
        for (family, range) in [(ChunkFamily::Late, 0..late), (ChunkFamily::Chunks, late..samples.len())] {
            let mut start = range.start;
            while start < range.end {
                let end = range.end.min(start + CHUNK_SAMPLES_MAX);
                let end = start + week_run(&samples.timestamps[start..end]);
                let chunk = self.encode(*tag, *sequence, samples, start..end, family).inspect_err(|_| seal.chunks.truncate(first))?;
                seal.chunks.push((family, chunk));
                start = end;
            }
        }
        if let Some(superseded) = superseded {
            put_superseded(seal, *tag, *sequence, Origin::Head, superseded)?;
        }
        seal.sealed.push((*tag, *sequence));
        if late < samples.len() {
            self.ordered_until.insert(*tag, newest);
        }
        if let (true, Some(last)) = (is_latest, samples.len().checked_sub(1)) {
            let entry = entry(samples, last).encode();
            self.current.insert(*tag, newest.filter(|_| entry.is_some()));
            seal.current.push((*tag, entry));
        }
        Ok(())
    }

    /// Timestamp of the entry of a tag's current value; `None` without one.
    fn current_timestamp(&mut self, tag: TagId) -> Result<Option<i64>, StoreError> {
        if let Some(known) = self.current.get(&tag) {
            return Ok(*known);
        }
        let stored = self.store.current(tag)?.and_then(|entry| CurrentEntry::decode(&entry)).map(|entry| entry.sample.timestamp);
        self.current.insert(tag, stored);
        Ok(stored)
    }

    /// Forgets where a tag's chunks end: it was deleted, or a seal did not come about.
    pub fn forget(&mut self, tag: TagId) {
        self.ordered_until.remove(&tag);
        self.current.remove(&tag);
    }

    fn ordered_until(&mut self, tag: TagId) -> Result<Option<i64>, StoreError> {
        if let Some(known) = self.ordered_until.get(&tag) {
            return Ok(*known);
        }
        let end = |family: ChunkFamily, chunk: &StoredChunk| -> Result<i64, StoreError> {
            Ok(chunk.header().map_err(|error| corrupt(family.name(), chunk.key, &error))?.statistics.last_timestamp)
        };
        let last = self.store.last_chunk(ChunkFamily::Chunks, tag)?;
        let mut until = last.map(|chunk| end(ChunkFamily::Chunks, &chunk)).transpose()?;
        // Late chunks count, too: where a deletion took the ordered ones, new ordered chunks must not come to lie under older late ones.
        let rest = TimeBounds::since(until.unwrap_or(i64::MIN));
        for chunk in self.store.chunks(ChunkFamily::Late, tag, rest, Direction::Forward, usize::MAX)? {
            until = until.max(Some(end(ChunkFamily::Late, &chunk)?));
        }
        // Rollups tell of ordered chunks: what comes to lie before their end (a deletion or retention took the chunks) goes the way of late
        // samples, which makes the rollups anew.
        let rolled_until = self.store.kept(tag)?.rolled_until;
        if rolled_until > i64::MIN {
            until = until.max(Some(rolled_until - 1));
        }
        self.ordered_until.insert(tag, until);
        Ok(until)
    }

    fn encode(
        &self,
        tag: TagId,
        sequence: u64,
        samples: &Samples,
        range: std::ops::Range<usize>,
        family: ChunkFamily,
    ) -> Result<StoredChunk, SealError> {
        let mut piece = Samples::with_capacity(samples.value_type(), range.len());
        let start = samples.timestamps[range.start];
        let copied = if range.len() == samples.len() { None } else { Some(piece.extend_range(samples, range)) };
        debug_assert!(!matches!(copied, Some(Err(_))), "pieces are of the type of the whole");
        let mut bytes = Vec::new();
        encode_chunk(tag.0, sequence, if copied.is_some() { &piece } else { samples }, &mut bytes)
            .map_err(|error| SealError::Encode { tag: tag.0, error })?;
        let generation = match family {
            ChunkFamily::Chunks => 0,
            ChunkFamily::Late => match self.store.last_generation(tag, start)? {
                None => 0,
                Some(last) => last.checked_add(1).ok_or(SealError::Generations { tag: tag.0, start })?,
            },
        };
        Ok(StoredChunk { key: ChunkKey { tag_id: tag.0, start, generation }, bytes })
    }
}
