//! Reading one tag: sealed chunks, late chunks and head merged into one run in time order, each timestamp once.
//!
//! Precedence where a timestamp occurs more than once: the head over late chunks, a late chunk with a higher sequence number over one with
//! a lower, late chunks over the ordered ones (a late chunk is always written after the ordered chunk it overlaps). The head is read before
//! the store, see [`super::head`]. No iterator or read view is held between calls, so a stalled reader pins nothing.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use historian_format::{
    Chunk, ChunkHeader, PushError,
    keys::{FAMILY_CHUNKS, FAMILY_LATE},
};

use super::head::{CurrentValue, Heads};
use crate::{
    model::{Samples, Tag, TimeRange, ValueType},
    store::{ChunkFamily, Direction, Store, StoreError, StoredChunk, corrupt},
};

/// Chunk bytes fetched from the store at once.
const PAGE_BYTES: usize = 512 << 10;

/// Why a tag could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("chunks of another value type than the tag's: {0}")]
    Type(#[from] PushError),
}

/// Reads tags from heads and store.
#[derive(Clone)]
pub struct TagReader {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) heads: Arc<Heads>,
}

impl TagReader {
    /// Starts reading a tag's samples in a range, in the range's direction.
    ///
    /// # Errors
    /// When a late chunk cannot be read.
    pub fn cursor(&self, tag: &Tag, range: TimeRange) -> Result<Cursor<'_>, ReadError> {
        let (from, to) = (range.start.0, range.end.0.saturating_sub(1));
        let empty = range.is_empty();
        let head = if empty { None } else { self.heads.read(tag.id, from, to) };
        let late =
            if empty { Vec::new() } else { self.store.chunks(ChunkFamily::Late, tag.id, from, to, Direction::Forward, usize::MAX)? };
        let overlay = overlay(tag, late, head, from, to)?;
        Ok(Cursor {
            reader: self,
            tag: tag.clone(),
            from,
            to,
            unfetched: (!empty).then_some((from, to)),
            direction: if range.reverse { Direction::Backward } else { Direction::Forward },
            overlay_rest: 0..overlay.len(),
            overlay,
            page: VecDeque::new(),
            scratch: Samples::new(tag.value_type()),
        })
    }

    /// The latest sample of a tag by source time.
    ///
    /// # Errors
    /// When the chunk that holds it cannot be read.
    pub fn current(&self, tag: &Tag) -> Result<Option<CurrentValue>, ReadError> {
        self.heads.current(tag.id, || self.stored_current(tag))
    }

    fn stored_current(&self, tag: &Tag) -> Result<Option<CurrentValue>, ReadError> {
        let last = self.store.last_chunk(ChunkFamily::Chunks, tag.id)?;
        let from = match &last {
            Some(chunk) => header_of(chunk, FAMILY_CHUNKS)?.statistics.last_timestamp,
            None => i64::MIN,
        };
        let late = self.store.chunks(ChunkFamily::Late, tag.id, from, i64::MAX, Direction::Forward, usize::MAX)?;
        if let (Some(chunk), true) = (&last, late.is_empty()) {
            let statistics = header_of(chunk, FAMILY_CHUNKS)?.statistics;
            let (timestamp, quality) = (statistics.last_timestamp, statistics.last_quality);
            if let Some(last) = statistics.last_value {
                return Ok(Some(CurrentValue { timestamp, value: Some(last.value()), quality }));
            }
            // Without a value in the header the last sample is a string, or a null.
            if tag.value_type() != ValueType::String {
                return Ok(Some(CurrentValue { timestamp, value: None, quality }));
            }
        }
        let mut newest = overlay(tag, late, None, i64::MIN, i64::MAX)?;
        if newest.is_empty()
            && let Some(chunk) = &last
        {
            decode(chunk, FAMILY_CHUNKS, &mut newest)?;
        }
        Ok(newest.len().checked_sub(1).map(|index| CurrentValue {
            timestamp: newest.timestamps[index],
            value: newest.value(index),
            quality: newest.qualities[index],
        }))
    }
}

/// Samples of one tag in time order, a portion at a time.
pub struct Cursor<'a> {
    reader: &'a TagReader,
    tag: Tag,
    /// Bounds of the question, both inclusive.
    from: i64,
    to: i64,
    /// Bounds of what is not yet fetched from the store; `None` when all is.
    unfetched: Option<(i64, i64)>,
    direction: Direction,
    /// Late and head samples of the range, sorted, and which of them are not yet handed out.
    overlay: Samples,
    overlay_rest: Range<usize>,
    page: VecDeque<StoredChunk>,
    scratch: Samples,
}

impl Cursor<'_> {
    /// Appends the next portion (at least one sample, about a chunk) to `out`, whose type is the tag's. False when nothing is left.
    ///
    /// # Errors
    /// When a chunk cannot be read; what was appended before stays.
    pub fn next_into(&mut self, out: &mut Samples) -> Result<bool, ReadError> {
        let before = out.len();
        while out.len() == before {
            if self.page.is_empty() {
                self.fetch()?;
            }
            if let Some(chunk) = self.page.pop_front() {
                self.append_chunk(&chunk, out)?;
            } else if self.overlay_rest.is_empty() {
                return Ok(false);
            } else {
                let rest = std::mem::replace(&mut self.overlay_rest, 0..0);
                append_in(self.direction, &self.overlay, rest, out)?;
            }
        }
        Ok(true)
    }

    fn fetch(&mut self) -> Result<(), ReadError> {
        let Some((from, to)) = self.unfetched else { return Ok(()) };
        let chunks = self.reader.store.chunks(ChunkFamily::Chunks, self.tag.id, from, to, self.direction, PAGE_BYTES)?;
        self.unfetched = match chunks.last() {
            None => None,
            Some(last) => {
                let statistics = header_of(last, FAMILY_CHUNKS)?.statistics;
                match self.direction {
                    Direction::Forward => statistics.last_timestamp.checked_add(1).filter(|&next| next <= to).map(|next| (next, to)),
                    Direction::Backward => statistics.first_timestamp.checked_sub(1).filter(|&next| next >= from).map(|next| (from, next)),
                }
            }
        };
        self.page = chunks.into();
        Ok(())
    }

    fn append_chunk(&mut self, chunk: &StoredChunk, out: &mut Samples) -> Result<(), ReadError> {
        let statistics = header_of(chunk, FAMILY_CHUNKS)?.statistics;
        let (first, last) = (statistics.first_timestamp, statistics.last_timestamp);
        let overlapping = self.take_overlay(first, last);
        if overlapping.is_empty() && first >= self.from && last <= self.to && self.direction == Direction::Forward {
            return decode(chunk, FAMILY_CHUNKS, out);
        }
        self.scratch.clear();
        decode(chunk, FAMILY_CHUNKS, &mut self.scratch)?;
        let inside = inclusive(&self.scratch, self.from, self.to);
        if overlapping.is_empty() {
            return append_in(self.direction, &self.scratch, inside, out);
        }
        let mut merged = Samples::with_capacity(self.tag.value_type(), inside.len() + overlapping.len());
        merge(&self.scratch, inside, &self.overlay, overlapping, &mut merged)?;
        let all = 0..merged.len();
        append_in(self.direction, &merged, all, out)
    }

    /// The part of the overlay that comes with a chunk: everything not yet handed out up to the chunk's far edge.
    fn take_overlay(&mut self, first: i64, last: i64) -> Range<usize> {
        let Range { start, end } = self.overlay_rest.clone();
        let times = &self.overlay.timestamps[start..end];
        match self.direction {
            Direction::Forward => {
                let cut = start + times.partition_point(|&timestamp| timestamp <= last);
                self.overlay_rest = cut..end;
                start..cut
            }
            Direction::Backward => {
                let cut = start + times.partition_point(|&timestamp| timestamp < first);
                self.overlay_rest = start..cut;
                cut..end
            }
        }
    }
}

/// Late chunks and head of a range as one sorted run, each timestamp once.
fn overlay(tag: &Tag, mut late: Vec<StoredChunk>, head: Option<Samples>, from: i64, to: i64) -> Result<Samples, ReadError> {
    let mut overlay = Samples::new(tag.value_type());
    late.sort_by_cached_key(|chunk| (chunk.header().map_or(0, |header| header.sequence), chunk.key.generation));
    for chunk in &late {
        let mut decoded = Samples::new(tag.value_type());
        decode(chunk, FAMILY_LATE, &mut decoded)?;
        let inside = inclusive(&decoded, from, to);
        overlay.extend_range(&decoded, inside)?;
    }
    if let Some(head) = head {
        overlay.append(&head)?;
    }
    // Of equal timestamps the last pushed wins, and pushes went from the lowest precedence to the highest.
    overlay.sort_and_dedup();
    Ok(overlay)
}

fn header_of(chunk: &StoredChunk, family: &'static str) -> Result<ChunkHeader, StoreError> {
    chunk.header().map_err(|error| corrupt(family, chunk.key, &error))
}

fn decode(chunk: &StoredChunk, family: &'static str, out: &mut Samples) -> Result<(), ReadError> {
    let parsed = Chunk::parse(&chunk.bytes).and_then(|parsed| parsed.decode_into(out));
    Ok(parsed.map_err(|error| corrupt(family, chunk.key, &error))?)
}

fn inclusive(samples: &Samples, from: i64, to: i64) -> Range<usize> {
    let start = samples.timestamps.partition_point(|&timestamp| timestamp < from);
    let end = samples.timestamps.partition_point(|&timestamp| timestamp <= to);
    start..end.max(start)
}

fn append_in(direction: Direction, samples: &Samples, range: Range<usize>, out: &mut Samples) -> Result<(), ReadError> {
    match direction {
        Direction::Forward => out.extend_range(samples, range)?,
        Direction::Backward => {
            let backward: Vec<u32> = range.rev().map(|index| index as u32).collect();
            out.append(&samples.take(&backward))?;
        }
    }
    Ok(())
}

/// Merges two sorted runs; where both have a timestamp the sample of `over` is taken. Copies whole stretches at a time.
fn merge(under: &Samples, under_range: Range<usize>, over: &Samples, over_range: Range<usize>, out: &mut Samples) -> Result<(), PushError> {
    let (mut at, end) = (under_range.start, under_range.end);
    let (mut over_at, over_end) = (over_range.start, over_range.end);
    while at < end && over_at < over_end {
        let next_over = over.timestamps[over_at];
        let stretch = at + under.timestamps[at..end].partition_point(|&timestamp| timestamp < next_over);
        out.extend_range(under, at..stretch)?;
        at = stretch;
        if at < end && under.timestamps[at] == next_over {
            at += 1;
        }
        let limit = if at < end { under.timestamps[at] } else { i64::MAX };
        // At least the sample that ended the stretch, so that both loops advance.
        let over_stretch = (over_at + 1).max(over_at + over.timestamps[over_at..over_end].partition_point(|&timestamp| timestamp < limit));
        out.extend_range(over, over_at..over_stretch)?;
        over_at = over_stretch;
    }
    out.extend_range(under, at..end)?;
    out.extend_range(over, over_at..over_end)
}
