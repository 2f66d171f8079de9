//! Reading one tag: sealed chunks, late chunks and head merged into one run in time order, each timestamp once.
//!
//! Precedence where a timestamp occurs more than once: the head over late chunks, a late chunk with a higher sequence number over one with
//! a lower, late chunks over the ordered ones (a late chunk is always written after the ordered chunk it overlaps). The head is read before
//! the store, see [`super::unstored`]. No iterator is held between calls. A query reads through a [`TagReader::view`], which sees every write whole
//! or not at all, and the same ones in all tags.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Instant};

use historian_format::Statistics;

use super::{
    ReadError,
    feed::ChangeFeed,
    memory::{MemoryBudget, Reservation},
    unstored::{FrozenHeads, ReadHeads, sample_of_entry},
    versions::merge,
};
use historian_model::{Sample, Samples, Tag, TagId, TimeBounds, TimeRange, ValueType};
use historian_store::{Annotations, ChunkFamily, Direction, Gap, ReadStore, Store, StoreError, StoredChunk};

/// Chunk bytes fetched from the store at once.
const PAGE_BYTES: usize = 512 << 10;

/// What a decoded sample takes in memory, about.
const SAMPLE_BYTES: usize = 20;

/// Reads tags from heads and store.
#[derive(Clone)]
pub struct TagReader {
    /// What is read: the store of now, or of a moment.
    pub(crate) store: Arc<dyn ReadStore>,
    live: Arc<dyn Store>,
    heads: Arc<dyn ReadHeads>,
    frozen: Option<Arc<FrozenHeads>>,
    pub(crate) memory: MemoryBudget,
    feed: Arc<ChangeFeed>,
    annotations: Option<Arc<Annotations>>,
}

impl TagReader {
    /// A reader of what there is now, which may be more with every call.
    pub fn new(live: Arc<dyn Store>, heads: Arc<dyn ReadHeads>, feed: Arc<ChangeFeed>) -> TagReader {
        TagReader { store: live.clone(), live, heads, frozen: None, memory: MemoryBudget::default(), feed, annotations: None }
    }

    /// As it is, with the annotations of the historian.
    #[must_use]
    pub fn with_annotations(self, annotations: Arc<Annotations>) -> TagReader {
        TagReader { annotations: Some(annotations), ..self }
    }

    /// The annotations of the historian, where it keeps some.
    pub fn annotations(&self) -> Option<&Arc<Annotations>> {
        self.annotations.as_ref()
    }

    /// Starts of the annotations on a tag within `[from, to)`, ascending, as they are now.
    pub fn annotation_starts(&self, tag: TagId, from: i64, to: i64) -> Vec<i64> {
        self.annotations.as_ref().map_or_else(Vec::new, |annotations| annotations.starts(tag, from, to))
    }

    /// A reader of these tags as they are at this moment: every write is there whole, in all tags, or not at all. To be let go of within
    /// minutes.
    ///
    /// # Errors
    /// [`ReadError::Waited`] at the deadline, and when the store cannot be read.
    pub fn view(&self, tags: impl Iterator<Item = TagId>, deadline: Instant, memory: &MemoryBudget) -> Result<TagReader, ReadError> {
        let _still = self.heads.between_writes(deadline).ok_or(ReadError::Waited)?;
        // First the heads, then the store: sealing goes the other way.
        let frozen = Some(Arc::new(FrozenHeads::freeze(&*self.heads, tags)));
        let store = self.live.clone().view()?;
        Ok(TagReader { store, frozen, memory: memory.clone(), ..self.clone() })
    }

    /// Samples of a tag within the bounds that are not yet in the store: sorted, each timestamp once, the newest write winning.
    ///
    /// # Errors
    /// When the view was taken for other tags.
    pub(crate) fn unstored(&self, tag: TagId, bounds: TimeBounds) -> Result<Option<Samples>, ReadError> {
        match &self.frozen {
            None => Ok(self.heads.unstored(tag).read(bounds)),
            Some(frozen) => Ok(frozen.of(tag).ok_or(ReadError::NotInView(tag.0))?.read(bounds)),
        }
    }

    /// Whether this is a view that was taken for all of these tags.
    pub fn sees(&self, tags: &[Arc<Tag>]) -> bool {
        self.frozen.as_ref().is_some_and(|frozen| tags.iter().all(|tag| frozen.has(tag.id)))
    }

    pub(crate) fn layers(&self, tag: TagId) -> Result<Vec<(u64, Samples)>, ReadError> {
        match &self.frozen {
            None => Ok(self.heads.unstored(tag).layers()),
            Some(frozen) => Ok(frozen.of(tag).ok_or(ReadError::NotInView(tag.0))?.layers()),
        }
    }

    /// Starts reading a tag's samples in a range, in the range's direction.
    ///
    /// # Errors
    /// When a late chunk cannot be read.
    pub fn cursor(&self, tag: &Tag, range: TimeRange) -> Result<Cursor<'_>, ReadError> {
        let direction = if range.reverse { Direction::Backward } else { Direction::Forward };
        match range.bounds() {
            None => Ok(Cursor::empty(self, tag, direction)),
            Some(bounds) => self.cursor_within(tag, bounds, direction),
        }
    }

    fn cursor_within(&self, tag: &Tag, bounds: TimeBounds, direction: Direction) -> Result<Cursor<'_>, ReadError> {
        let head = self.unstored(tag.id, bounds)?;
        let late = self.store.chunks(ChunkFamily::Late, tag.id, bounds, Direction::Forward, usize::MAX)?;
        // Twice: as chunks or head, and together in order.
        let mut bytes = head.as_ref().map_or(0, Samples::heap_bytes);
        for chunk in &late {
            bytes += chunk.bytes.len() + chunk.header_in(ChunkFamily::Late)?.statistics.count as usize * SAMPLE_BYTES;
        }
        let taken = self.memory.take(2 * bytes as u64)?;
        let overlay = overlay(tag, late, head, bounds)?;
        let unfetched = Some(bounds);
        Ok(Cursor {
            rest: bounds,
            unfetched,
            overlay_rest: 0..overlay.len(),
            overlay,
            _taken: taken,
            ..Cursor::empty(self, tag, direction)
        })
    }

    /// As [`TagReader::cursor`], for a look at the first samples only: chunks are fetched one by one.
    ///
    /// # Errors
    /// When a late chunk cannot be read.
    pub fn look(&self, tag: &Tag, range: TimeRange) -> Result<Cursor<'_>, ReadError> {
        Ok(Cursor { page_bytes: 1, ..self.cursor(tag, range)? })
    }

    /// The writes of this ingest, for those who follow them.
    pub fn feed(&self) -> Arc<ChangeFeed> {
        self.feed.clone()
    }

    /// Recorded gaps with their numbers, from the number `from` on, ascending, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn gaps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Gap)>, StoreError> {
        self.store.gaps(from, limit)
    }

    /// Number of samples within the bounds.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn count(&self, tag: &Tag, bounds: TimeBounds) -> Result<u64, ReadError> {
        let mut counted = 0;
        let mut cursor = self.cursor_within(tag, bounds, Direction::Forward)?;
        let mut samples = Samples::new(tag.value_type());
        while cursor.next_into(&mut samples)? {
            counted += samples.len() as u64;
            samples.clear();
        }
        Ok(counted)
    }

    /// While this is held no write is applied.
    ///
    /// # Errors
    /// [`ReadError::Waited`] at the deadline.
    pub fn between_writes(&self, deadline: Instant) -> Result<impl Sized + '_, ReadError> {
        self.heads.between_writes(deadline).ok_or(ReadError::Waited)
    }

    /// The latest sample of a tag by source time; of now, also in a view.
    ///
    /// # Errors
    /// When the chunk that holds it cannot be read.
    pub fn current(&self, tag: &Tag) -> Result<Option<Sample>, ReadError> {
        self.heads.current(tag.id, &mut || TagReader { store: self.live.clone(), ..self.clone() }.stored_current(tag))
    }

    /// As [`TagReader::current`] where that takes no look into the store; `None` where it would.
    pub fn known_current(&self, tag: &Tag) -> Option<Option<Sample>> {
        self.heads.known_current(tag.id)
    }

    fn stored_current(&self, tag: &Tag) -> Result<Option<Sample>, ReadError> {
        let entry = self.store.current(tag.id)?.and_then(|entry| sample_of_entry(&entry, tag.value_type()));
        if entry.is_some() {
            return Ok(entry);
        }
        let last = self.store.last_chunk(ChunkFamily::Chunks, tag.id)?;
        let bounds = match &last {
            Some(chunk) => TimeBounds::since(chunk.header_in(ChunkFamily::Chunks)?.statistics.last_timestamp),
            None => TimeBounds::ALL,
        };
        let late = self.store.chunks(ChunkFamily::Late, tag.id, bounds, Direction::Forward, usize::MAX)?;
        if let (Some(chunk), true) = (&last, late.is_empty()) {
            let statistics = chunk.header_in(ChunkFamily::Chunks)?.statistics;
            let (timestamp, quality) = (statistics.last_timestamp, statistics.last_quality);
            if let Some(last) = statistics.last_value {
                return Ok(Some(Sample { timestamp, value: Some(last.value()), quality }));
            }
            // Without a value in the header the last sample is a string, or a null.
            if tag.value_type() != ValueType::String {
                return Ok(Some(Sample { timestamp, value: None, quality }));
            }
        }
        let mut newest = overlay(tag, late, None, TimeBounds::ALL)?;
        if newest.is_empty()
            && let Some(chunk) = &last
        {
            chunk.decode_into(ChunkFamily::Chunks, &mut newest)?;
        }
        Ok(newest.len().checked_sub(1).map(|index| newest.sample(index)))
    }
}

/// Samples of one tag in time order, a portion at a time.
pub struct Cursor<'a> {
    reader: &'a TagReader,
    tag: Tag,
    /// What is not yet handed out of chunks.
    rest: TimeBounds,
    /// What is not yet fetched from the store; `None` when all is.
    unfetched: Option<TimeBounds>,
    direction: Direction,
    /// Late and head samples of the range, sorted, and which of them are not yet handed out.
    overlay: Samples,
    overlay_rest: Range<usize>,
    page: VecDeque<StoredChunk>,
    page_bytes: usize,
    scratch: Samples,
    /// Memory of the overlay.
    _taken: Reservation,
}

/// What a cursor hands out next.
pub enum CursorPortion {
    /// A chunk that counts whole and alone: nothing else lies among its samples, and all of them are in the range.
    Chunk(StoredChunk, Box<Statistics>),
    /// Samples.
    Samples(Samples),
}

impl<'a> Cursor<'a> {
    fn empty(reader: &'a TagReader, tag: &Tag, direction: Direction) -> Cursor<'a> {
        Cursor {
            reader,
            tag: tag.clone(),
            rest: TimeBounds { first: 0, last: 0 },
            unfetched: None,
            direction,
            overlay_rest: 0..0,
            overlay: Samples::new(tag.value_type()),
            page: VecDeque::new(),
            page_bytes: PAGE_BYTES,
            scratch: Samples::new(tag.value_type()),
            _taken: Reservation::default(),
        }
    }
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

    /// The next portion of a cursor that goes forward, a chunk not decoded where it counts whole. `None` when nothing is left.
    ///
    /// # Errors
    /// When a chunk cannot be read.
    pub fn next_portion(&mut self) -> Result<Option<CursorPortion>, ReadError> {
        if self.page.is_empty() {
            self.fetch()?;
        }
        if let Some(chunk) = self.page.front()
            && self.direction == Direction::Forward
        {
            let statistics = chunk.header_in(ChunkFamily::Chunks)?.statistics;
            let held = TimeBounds::of(&statistics);
            let alone = self.overlay.timestamps[self.overlay_rest.clone()].first().is_none_or(|timestamp| *timestamp > held.last);
            if alone && self.rest.covers(held) {
                self.rest.first = self.rest.first.max(held.last.saturating_add(1));
                return Ok(self.page.pop_front().map(|chunk| CursorPortion::Chunk(chunk, Box::new(statistics))));
            }
        }
        let mut samples = Samples::new(self.tag.value_type());
        Ok(if self.next_into(&mut samples)? { Some(CursorPortion::Samples(samples)) } else { None })
    }

    fn fetch(&mut self) -> Result<(), ReadError> {
        let Some(bounds) = self.unfetched else { return Ok(()) };
        let chunks = self.reader.store.chunks(ChunkFamily::Chunks, self.tag.id, bounds, self.direction, self.page_bytes)?;
        self.unfetched = match chunks.last() {
            None => None,
            Some(last) => {
                let held = TimeBounds::of(&last.header_in(ChunkFamily::Chunks)?.statistics);
                match self.direction {
                    Direction::Forward => bounds.after(held.last),
                    Direction::Backward => bounds.before(held.first),
                }
            }
        };
        self.page = chunks.into();
        Ok(())
    }

    fn append_chunk(&mut self, chunk: &StoredChunk, out: &mut Samples) -> Result<(), ReadError> {
        let held = TimeBounds::of(&chunk.header_in(ChunkFamily::Chunks)?.statistics);
        let overlapping = self.take_overlay(held);
        let rest = self.rest;
        // A chunk that comes later may hold samples of this one again, when chunks were rewritten between two pages.
        match self.direction {
            Direction::Forward => self.rest.first = rest.first.max(held.last.saturating_add(1)),
            Direction::Backward => self.rest.last = rest.last.min(held.first.saturating_sub(1)),
        }
        if overlapping.is_empty() && rest.covers(held) && self.direction == Direction::Forward {
            return Ok(chunk.decode_into(ChunkFamily::Chunks, out)?);
        }
        self.scratch.clear();
        chunk.decode_into(ChunkFamily::Chunks, &mut self.scratch)?;
        let inside = rest.rows(&self.scratch.timestamps);
        if overlapping.is_empty() {
            return append_in(self.direction, &self.scratch, inside, out);
        }
        let mut merged = Samples::with_capacity(self.tag.value_type(), inside.len() + overlapping.len());
        merge(&self.scratch, inside, &self.overlay, overlapping, &mut merged, None)?;
        let all = 0..merged.len();
        append_in(self.direction, &merged, all, out)
    }

    /// The part of the overlay that comes with a chunk: everything not yet handed out up to the chunk's far edge.
    fn take_overlay(&mut self, held: TimeBounds) -> Range<usize> {
        let Range { start, end } = self.overlay_rest.clone();
        let times = &self.overlay.timestamps[start..end];
        match self.direction {
            Direction::Forward => {
                let cut = start + times.partition_point(|&timestamp| timestamp <= held.last);
                self.overlay_rest = cut..end;
                start..cut
            }
            Direction::Backward => {
                let cut = start + times.partition_point(|&timestamp| timestamp < held.first);
                self.overlay_rest = start..cut;
                cut..end
            }
        }
    }
}

/// Late chunks within the bounds and head as one sorted run, each timestamp once.
fn overlay(tag: &Tag, mut late: Vec<StoredChunk>, head: Option<Samples>, bounds: TimeBounds) -> Result<Samples, ReadError> {
    let mut overlay = Samples::new(tag.value_type());
    late.sort_by_cached_key(|chunk| (chunk.header().map_or(0, |header| header.sequence), chunk.key.generation));
    for chunk in &late {
        let mut decoded = Samples::new(tag.value_type());
        chunk.decode_into(ChunkFamily::Late, &mut decoded)?;
        let inside = bounds.rows(&decoded.timestamps);
        overlay.extend_range(&decoded, inside)?;
    }
    if let Some(head) = head {
        overlay.append(&head)?;
    }
    // Of equal timestamps the last pushed wins, and pushes went from the lowest precedence to the highest.
    overlay.sort_and_dedup();
    Ok(overlay)
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
