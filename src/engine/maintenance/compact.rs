//! Rewriting chunks: late ones are merged into the ordered ones they overlap, small ones become large ones.

use std::sync::atomic::Ordering;

use historian_format::keys::{ChunkKey, week_of};

use super::{
    keeper::Keeper,
    rewrite::{COLD_SAMPLES_MIN, SealError, cut, encode, mark_dirty, piece},
    superseded::put_superseded,
};
use historian_model::{Samples, Tag, TimeBounds};
use historian_read::versions::{Origin, merge};
use historian_store::{Change, ChunkFamily, Direction, StoredChunk};

/// Late samples merged in one change.
const LATE_SAMPLES_MAX: usize = 1 << 18;
/// Chunk bytes written in one change, about. Late samples that lie so far apart that more would be written are merged in smaller portions,
/// down to a single late chunk.
const CHANGE_BYTES_MAX: usize = 32 << 20;
/// Chunk bytes fetched at once.
const PAGE_BYTES: usize = 4 << 20;

/// Samples of some late chunks, merged.
struct Overlay {
    samples: Samples,
    /// Highest sequence number of the chunks.
    sequence: u64,
    chunks: usize,
}

impl Keeper {
    /// Merges all late chunks of a tag, oldest first, a week at a time.
    pub(crate) fn merge_late(&self, tag: &Tag) -> Result<(), SealError> {
        let mut samples_max = LATE_SAMPLES_MAX;
        while !self.stopped() && self.catalog.by_id(tag.id).is_some() {
            let epoch = self.locks.epoch(tag.id);
            let mut change = Change::default();
            let Some(overlay) = self.overlay(tag, samples_max, &mut change)? else { return Ok(()) };
            let portion = overlay.samples.len();
            if self.fold(tag, overlay, &mut change)? {
                self.commit(tag, epoch, &change)?;
                samples_max = LATE_SAMPLES_MAX;
            } else {
                samples_max = portion / 4;
            }
        }
        Ok(())
    }

    /// Commits a prepared change, unless a deletion was faster; then it is prepared anew by whoever calls again.
    pub(crate) fn commit(&self, tag: &Tag, epoch: u64, change: &Change) -> Result<bool, SealError> {
        let Some(_guard) = self.locks.unless_changed(tag.id, epoch) else { return Ok(false) };
        if self.catalog.by_id(tag.id).is_none() {
            return Ok(false);
        }
        self.store.apply(change)?;
        self.status.chunks_read.fetch_add(change.removed.len() as u64, Ordering::Relaxed);
        self.status.chunks_written.fetch_add(change.chunks.len() as u64, Ordering::Relaxed);
        Ok(true)
    }

    /// The oldest late chunks of one week, merged. Taken in the order of their age: a chunk that stays wins over those that went before.
    fn overlay(&self, tag: &Tag, samples_max: usize, change: &mut Change) -> Result<Option<Overlay>, SealError> {
        let weeks = self.store.weeks(ChunkFamily::Late, tag.id)?;
        let Some(week) = weeks.first().copied().map(TimeBounds::of_week) else { return Ok(None) };
        let late = self.store.chunks(ChunkFamily::Late, tag.id, week, Direction::Forward, usize::MAX)?;
        let mut aged = late
            .into_iter()
            .map(|chunk| Ok((chunk.header_in(ChunkFamily::Late)?.sequence, chunk)))
            .collect::<Result<Vec<_>, SealError>>()?;
        aged.sort_by_key(|(sequence, chunk)| (*sequence, chunk.key.generation));
        let mut overlay = Overlay { samples: Samples::new(tag.value_type()), sequence: 0, chunks: 0 };
        for (sequence, chunk) in aged {
            let mut newer = Samples::new(tag.value_type());
            chunk.decode_into(ChunkFamily::Late, &mut newer)?;
            let older = std::mem::replace(&mut overlay.samples, Samples::new(tag.value_type()));
            let mut replaced = Samples::new(tag.value_type());
            let (old, new) = (0..older.len(), 0..newer.len());
            merge(&older, old, &newer, new, &mut overlay.samples, Some(&mut replaced))
                .map_err(|error| SealError::Copy(error.to_string()))?;
            self.superseded(tag, change, sequence, Origin::Late, &replaced)?;
            overlay.sequence = sequence;
            change.removed.push((ChunkFamily::Late, chunk.key));
            overlay.chunks += 1;
            if overlay.samples.len() >= samples_max {
                break;
            }
        }
        Ok((overlay.chunks > 0).then_some(overlay))
    }

    fn superseded(&self, tag: &Tag, change: &mut Change, sequence: u64, origin: Origin, replaced: &Samples) -> Result<(), SealError> {
        self.status.samples_superseded.fetch_add(replaced.len() as u64, Ordering::Relaxed);
        Ok(put_superseded(change, tag.id, sequence, origin, replaced)?)
    }

    /// Folds late samples into the ordered chunks of their week. Each goes into the last chunk that starts at or before it, the first ones
    /// into the week's first; where the week has none they become chunks by themselves. False: the change would be too large, and a smaller
    /// portion of late chunks can be taken.
    fn fold(&self, tag: &Tag, overlay: Overlay, change: &mut Change) -> Result<bool, SealError> {
        let Overlay { samples: late, sequence, chunks: late_chunks } = overlay;
        let Some((&first, &last)) = late.timestamps.first().zip(late.timestamps.last()) else { return Ok(true) };
        let week = TimeBounds::of_week(week_of(first));
        let family = ChunkFamily::Chunks;
        let before = self.store.chunks(family, tag.id, TimeBounds { last: first, ..week }, Direction::Backward, 1)?;
        let mut rest = Some(TimeBounds { first: before.first().map_or(first, |chunk| chunk.key.start), ..week });
        let (mut at, mut bytes) = (0, 0);
        let mut page: std::collections::VecDeque<StoredChunk> = std::collections::VecDeque::new();
        while at < late.len() {
            if bytes >= CHANGE_BYTES_MAX && late_chunks > 1 {
                return Ok(false);
            }
            // Two chunks at hand, so that the end of the first one's reach is known.
            if page.len() < 2
                && let Some(bounds) = rest
            {
                let fetched = self.store.chunks(family, tag.id, bounds, Direction::Forward, PAGE_BYTES)?;
                rest = match fetched.last() {
                    None => None,
                    Some(chunk) => bounds.after(chunk.header_in(family)?.statistics.last_timestamp),
                };
                page.extend(fetched);
                continue;
            }
            let chunk = page.pop_front();
            let reach = page.front().map_or(i64::MAX, |next| next.key.start);
            let end = at + late.timestamps[at..].partition_point(|&timestamp| timestamp < reach);
            if end == at {
                continue;
            }
            let mut merged = Samples::new(tag.value_type());
            let mut age = sequence;
            match &chunk {
                Some(chunk) => {
                    let mut ordered = Samples::new(tag.value_type());
                    chunk.decode_into(family, &mut ordered)?;
                    age = age.max(chunk.header_in(family)?.sequence);
                    let mut replaced = Samples::new(tag.value_type());
                    let all = 0..ordered.len();
                    merge(&ordered, all, &late, at..end, &mut merged, Some(&mut replaced))
                        .map_err(|error| SealError::Copy(error.to_string()))?;
                    self.superseded(tag, change, sequence, Origin::Ordered, &replaced)?;
                    change.removed.push((family, chunk.key));
                }
                None => merged = piece(&late, at..end)?,
            }
            for range in cut(&merged, self.options.chunk_samples * 3 / 2) {
                let chunk = encode(tag.id, age, &piece(&merged, range.clone())?)?;
                bytes += chunk.len();
                let key = ChunkKey { tag_id: tag.id.0, start: merged.timestamps[range.start], generation: 0 };
                change.chunks.push((family, StoredChunk { key, bytes: chunk }));
            }
            at = end;
        }
        mark_dirty(&*self.store, change, tag.id, TimeBounds { first, last })?;
        Ok(true)
    }

    /// Makes large chunks of small ones, in the order of time.
    pub(crate) fn enlarge(&self, tag: &Tag, all: bool) -> Result<(), SealError> {
        let family = ChunkFamily::Chunks;
        let mut epoch = self.locks.epoch(tag.id);
        let mut mark = self.store.kept(tag.id)?;
        let mut rest = Some(TimeBounds::since(mark.compacted_until));
        let mut change = Change::default();
        let mut group = CompactionGroup::default();
        let mut bytes = 0;
        while let Some(bounds) = rest {
            let page = self.store.chunks(family, tag.id, bounds, Direction::Forward, PAGE_BYTES)?;
            rest = match page.last() {
                None => None,
                Some(last) => bounds.after(last.header_in(family)?.statistics.last_timestamp),
            };
            for chunk in page {
                let found = chunk.header_in(family)?;
                if group.week.is_some_and(|week| week != week_of(chunk.key.start)) {
                    // The week is over: what it has is as large as it will get.
                    bytes += self.write_group(tag, &mut group, &mut change)?;
                }
                group.add(chunk, found.statistics.count as usize);
                mark.compacted_until = group.start;
                if group.samples >= self.options.chunk_samples {
                    bytes += self.write_group(tag, &mut group, &mut change)?;
                    mark.compacted_until = found.statistics.last_timestamp.saturating_add(1);
                }
            }
            if bytes >= CHANGE_BYTES_MAX {
                change.kept.push((tag.id, mark));
                if !self.commit(tag, epoch, &std::mem::take(&mut change))? || self.stopped() {
                    return Ok(());
                }
                epoch = self.locks.epoch(tag.id);
                bytes = 0;
            }
        }
        if group.chunks.len() >= self.options.chunks_max || (all && group.samples > 0) {
            // A small remainder is rewritten again when more has come.
            self.write_group(tag, &mut group, &mut change)?;
        }
        if mark != self.store.kept(tag.id)? {
            change.kept.push((tag.id, mark));
        }
        if !change.is_empty() {
            self.commit(tag, epoch, &change)?;
        }
        Ok(())
    }

    fn write_group(&self, tag: &Tag, group: &mut CompactionGroup, change: &mut Change) -> Result<usize, SealError> {
        let group = std::mem::take(group);
        if let [_] = group.chunks.as_slice()
            && group.samples < COLD_SAMPLES_MIN
        {
            return Ok(0);
        }
        let mut samples = Samples::with_capacity(tag.value_type(), group.samples);
        let mut age = 0;
        for chunk in &group.chunks {
            age = age.max(chunk.header_in(ChunkFamily::Chunks)?.sequence);
            chunk.decode_into(ChunkFamily::Chunks, &mut samples)?;
            change.removed.push((ChunkFamily::Chunks, chunk.key));
        }
        let mut written = 0;
        for range in cut(&samples, self.options.chunk_samples * 2) {
            let start = samples.timestamps[range.start];
            let whole = range.len() == samples.len();
            let bytes = if whole { encode(tag.id, age, &samples)? } else { encode(tag.id, age, &piece(&samples, range)?)? };
            written += bytes.len();
            change.chunks.push((ChunkFamily::Chunks, StoredChunk { key: ChunkKey { tag_id: tag.id.0, start, generation: 0 }, bytes }));
        }
        Ok(written)
    }
}

/// Neighbouring chunks of one week that become one.
#[derive(Default)]
struct CompactionGroup {
    chunks: Vec<StoredChunk>,
    samples: usize,
    week: Option<i32>,
    start: i64,
}

impl CompactionGroup {
    fn add(&mut self, chunk: StoredChunk, samples: usize) {
        if self.chunks.is_empty() {
            self.start = chunk.key.start;
            self.week = Some(week_of(chunk.key.start));
        }
        self.samples += samples;
        self.chunks.push(chunk);
    }
}
