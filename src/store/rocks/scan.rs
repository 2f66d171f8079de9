//! Walking one tag's entries through the weeks. Each raw iterator is asked for its `status()` before an answer is given: an unreadable block
//! is an error, never a short answer.
//!
//! Keys begin with week and tag. A tag's entries of one week lie together; between its weeks lie those of all other tags, which a seek
//! passes over. A week in which a tag has nothing costs at most one seek.

use std::ops::RangeInclusive;

use historian_format::keys::{ChunkKey, decode_week, week_of};
use rocksdb::DBRawIterator;

use super::error::classified;
use crate::{StoreError, StoredChunk, overlaps};
use historian_model::{TagId, TimeBounds};

/// Receives key and value; false ends the walk.
pub(super) type VisitEntry<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<bool, StoreError>;

/// Walks the entries of one tag in one family.
pub(super) struct FamilyScan<'a> {
    iterator: DBRawIterator<'a>,
    tag: u32,
    family: &'static str,
}

/// Refuses a key that the layout does not know.
pub(super) fn no_such_key(family: &'static str, key: &[u8]) -> StoreError {
    StoreError::Corrupt { family, key: format!("{key:02x?}"), message: "no such key can exist".into() }
}

/// Weeks in which any tag has entries.
pub(super) fn weeks(mut iterator: DBRawIterator<'_>, family: &'static str) -> Result<Vec<i32>, StoreError> {
    let mut found = Vec::new();
    iterator.seek_to_first();
    while let Some(key) = iterator.key() {
        let week = decode_week(key).ok_or_else(|| no_such_key(family, key))?;
        found.push(week);
        iterator.seek(historian_format::keys::week_bytes(week + 1));
    }
    iterator.status().map_err(|error| classified(&error, family))?;
    Ok(found)
}

impl<'a> FamilyScan<'a> {
    pub(super) fn new(iterator: DBRawIterator<'a>, tag: TagId, family: &'static str) -> FamilyScan<'a> {
        FamilyScan { iterator, tag: tag.0, family }
    }

    /// Week and tag of the current entry; `None` at an end.
    fn place(&self) -> Result<Option<(i32, u32)>, StoreError> {
        let Some(key) = self.iterator.key() else {
            return self.iterator.status().map(|()| None).map_err(|error| classified(&error, self.family));
        };
        let place = decode_week(key).zip(key.get(2..).and_then(<[u8]>::first_chunk::<4>));
        let (week, tag) = place.ok_or_else(|| no_such_key(self.family, key))?;
        Ok(Some((week, u32::from_be_bytes(*tag))))
    }

    fn chunk(&self) -> Result<StoredChunk, StoreError> {
        let (key, value) = self.iterator.item().ok_or_else(|| no_such_key(self.family, &[]))?;
        Ok(StoredChunk { key: ChunkKey::decode(key).ok_or_else(|| no_such_key(self.family, key))?, bytes: value.to_vec() })
    }

    /// From an entry that may be another tag's forward to the tag's next one; its week.
    fn settle_forward(&mut self) -> Result<Option<i32>, StoreError> {
        while let Some((week, tag)) = self.place()? {
            if tag == self.tag {
                return Ok(Some(week));
            }
            // Entries of greater tags: the week has nothing more of this one.
            let target = if tag < self.tag { week } else { week + 1 };
            self.iterator.seek(ChunkKey::prefix(target, self.tag));
        }
        Ok(None)
    }

    /// From an entry that may be another tag's backward to the tag's last one before; its week.
    fn settle_backward(&mut self) -> Result<Option<i32>, StoreError> {
        while let Some((week, tag)) = self.place()? {
            if tag == self.tag {
                return Ok(Some(week));
            }
            let target = if tag > self.tag { week } else { week - 1 };
            self.seek_end_of(target);
        }
        Ok(None)
    }

    /// To the tag's last entry in a week, or what lies before it.
    fn seek_end_of(&mut self, week: i32) {
        let mut after = [0xFF; 6 + 32];
        after[..6].copy_from_slice(&ChunkKey::prefix(week, self.tag));
        self.iterator.seek_for_prev(after);
    }

    /// Visits the tag's entries in these weeks until the visitor answers false.
    pub(super) fn entries(&mut self, weeks: RangeInclusive<i32>, visit: VisitEntry<'_>) -> Result<(), StoreError> {
        self.iterator.seek(ChunkKey::prefix(*weeks.start(), self.tag));
        while let Some(week) = self.settle_forward()? {
            let Some((key, value)) = self.iterator.item() else { break };
            if week > *weeks.end() || !visit(key, value)? {
                break;
            }
            self.iterator.next();
        }
        Ok(())
    }

    /// Weeks in which the tag has entries.
    pub(super) fn weeks(mut self) -> Result<Vec<i32>, StoreError> {
        let mut found = Vec::new();
        self.iterator.seek_to_first();
        while let Some(week) = self.settle_forward()? {
            found.push(week);
            self.iterator.seek(ChunkKey::prefix(week + 1, self.tag));
        }
        Ok(found)
    }

    /// The chunk with the greatest start.
    pub(super) fn last(mut self) -> Result<Option<StoredChunk>, StoreError> {
        self.iterator.seek_to_last();
        self.settle_backward()?.map(|_| self.chunk()).transpose()
    }

    /// Greatest generation of the chunks with this start.
    pub(super) fn last_generation(mut self, start: i64) -> Result<Option<u16>, StoreError> {
        self.iterator.seek_for_prev(ChunkKey { tag_id: self.tag, start, generation: u16::MAX }.encode());
        let here = self.place()? == Some((week_of(start), self.tag));
        let chunk = here.then(|| self.chunk()).transpose()?;
        Ok(chunk.filter(|chunk| chunk.key.start == start).map(|chunk| chunk.key.generation))
    }

    /// All chunks that hold samples within the bounds.
    pub(super) fn overlapping(mut self, bounds: TimeBounds) -> Result<Vec<StoredChunk>, StoreError> {
        let mut found = Vec::new();
        // Chunks do not reach across weeks, so the first one that matters begins in the week of the first timestamp.
        self.iterator.seek(ChunkKey::prefix(week_of(bounds.first), self.tag));
        while self.settle_forward()?.is_some() {
            let chunk = self.chunk()?;
            if chunk.key.start > bounds.last {
                break;
            }
            if overlaps(&chunk, bounds, self.family)? {
                found.push(chunk);
            }
            self.iterator.next();
        }
        Ok(found)
    }

    /// Disjoint chunks in ascending order.
    pub(super) fn forward(mut self, bounds: TimeBounds, bytes_max: usize) -> Result<Vec<StoredChunk>, StoreError> {
        self.iterator.seek_for_prev(ChunkKey { tag_id: self.tag, start: bounds.first, generation: u16::MAX }.encode());
        if self.place()? != Some((week_of(bounds.first), self.tag)) {
            self.iterator.seek(ChunkKey { tag_id: self.tag, start: bounds.first, generation: 0 }.encode());
        }
        let (mut found, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_max.max(1) && self.settle_forward()?.is_some() {
            let chunk = self.chunk()?;
            if chunk.key.start > bounds.last {
                break;
            }
            if overlaps(&chunk, bounds, self.family)? {
                bytes += chunk.bytes.len();
                found.push(chunk);
            }
            self.iterator.next();
        }
        Ok(found)
    }

    /// Disjoint chunks in descending order.
    pub(super) fn backward(mut self, bounds: TimeBounds, bytes_max: usize) -> Result<Vec<StoredChunk>, StoreError> {
        self.iterator.seek_for_prev(ChunkKey { tag_id: self.tag, start: bounds.last, generation: u16::MAX }.encode());
        let (mut found, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_max.max(1) && self.settle_backward()?.is_some() {
            let chunk = self.chunk()?;
            if !overlaps(&chunk, bounds, self.family)? {
                break;
            }
            bytes += chunk.bytes.len();
            found.push(chunk);
            self.iterator.prev();
        }
        Ok(found)
    }
}
