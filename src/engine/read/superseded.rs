//! Versions of samples that no longer count, and what replaced them. There may be many more of them than samples: they are gathered in parts of
//! the time that they lie in, so that memory holds one part and not all.

use historian_format::{CHUNK_MAGIC, Chunk, ChunkHeader, CorruptChunk, journal};

use super::{
    ReadError,
    memory::Reservation,
    merge::TagReader,
    versions::{Origin, merge, sort_versions},
};
use historian_format::keys::{self, SupersededKey, week_of};
use historian_model::{Sample, Samples, Tag, TimeBounds};
use historian_store::{ChunkFamily, Direction, StoreError, StoredChunk};

/// Rows that a part is made of: samples with their versions. More lie together only where their timestamps are the same.
const PART_ROWS: usize = 128 << 10;
/// What a row takes while its part is made: as samples, merged, and as a version.
const ROW_BYTES: usize = 2 * 20 + 2 * size_of::<SupersededSample>();

/// A version of a sample that no longer counts.
#[derive(Clone, Debug, PartialEq)]
pub struct SupersededSample {
    pub sample: Sample,
    /// Sequence number of the write that replaced or deleted it, as far as that is known: of several writes that were sealed together,
    /// the last one's.
    pub replaced_by: u64,
}

/// Receives versions in their order; false to stop.
pub type VersionReceiver<'a> = &'a mut dyn FnMut(Vec<SupersededSample>) -> bool;

/// All places where versions lie, from the oldest to the newest, as they are stored.
struct VersionPlaces {
    ordered: Vec<(StoredChunk, TimeBounds)>,
    late: Vec<(u64, StoredChunk, TimeBounds)>,
    layers: Vec<(u64, Samples)>,
    replaced: Vec<(SupersededKey, Vec<u8>)>,
    _taken: Reservation,
}

/// Rows of a part, of which there may be only so many.
struct RowCount {
    rows: usize,
    rows_max: usize,
}

impl RowCount {
    /// False when they are too many.
    fn add(&mut self, rows: usize) -> bool {
        self.rows += rows;
        self.rows <= self.rows_max
    }
}

impl TagReader {
    /// Weeks in which a tag may have versions that no longer count, ascending.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn superseded_weeks(&self, tag: &Tag) -> Result<Vec<i32>, ReadError> {
        // In the direction in which versions move, so that none is missed.
        let mut weeks: Vec<i32> = Vec::new();
        for (_, samples) in self.layers(tag.id)? {
            weeks.extend(samples.timestamps.into_iter().map(week_of));
            weeks.sort_unstable();
            weeks.dedup();
        }
        weeks.extend(self.store.weeks(ChunkFamily::Late, tag.id)?);
        weeks.extend(self.store.superseded_weeks(tag.id)?);
        weeks.sort_unstable();
        weeks.dedup();
        Ok(weeks)
    }

    /// Hands on the versions of a tag's samples within the bounds that no longer count, by timestamp and then from the oldest on, in parts. All that
    /// is stored of the bounds is held meanwhile as it is stored: ask week by week, see [`TagReader::superseded_weeks`].
    ///
    /// What was written within the last moments may still lie beside what it replaces and is found there, too.
    ///
    /// # Errors
    /// When stored bytes cannot be read, or take more memory than there is.
    pub fn superseded(&self, tag: &Tag, bounds: TimeBounds, take: VersionReceiver<'_>) -> Result<(), ReadError> {
        let places = self.places(tag, bounds)?;
        let mut parts = vec![bounds];
        while let Some(part) = parts.pop() {
            let rows_max = if part.first < part.last { PART_ROWS } else { usize::MAX };
            let Some(versions) = self.versions(tag, &places, part, RowCount { rows: 0, rows_max })? else {
                let middle = part.first.midpoint(part.last);
                parts.push(TimeBounds { first: middle + 1, ..part });
                parts.push(TimeBounds { last: middle, ..part });
                continue;
            };
            if !versions.is_empty() && !take(versions) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn places(&self, tag: &Tag, bounds: TimeBounds) -> Result<VersionPlaces, ReadError> {
        // From the newest place to the oldest, as in reading; what moves meanwhile is met twice and made one below.
        let layers = self.layers(tag.id)?;
        let found = self.store.chunks(ChunkFamily::Late, tag.id, bounds, Direction::Forward, usize::MAX)?;
        let mut late = Vec::with_capacity(found.len());
        for chunk in found {
            let header = chunk.header_in(ChunkFamily::Late)?;
            late.push((header.sequence, chunk, TimeBounds::of(&header.statistics)));
        }
        late.sort_by_key(|(sequence, chunk, _)| (*sequence, chunk.key.generation));
        let mut ordered = Vec::new();
        if !late.is_empty() || !layers.is_empty() {
            for chunk in self.store.chunks(ChunkFamily::Chunks, tag.id, bounds, Direction::Forward, usize::MAX)? {
                let held = TimeBounds::of(&chunk.header_in(ChunkFamily::Chunks)?.statistics);
                ordered.push((chunk, held));
            }
        }
        let replaced = self.store.superseded(tag.id, bounds)?;
        let bytes = ordered.iter().map(|(chunk, _)| chunk.bytes.len()).sum::<usize>()
            + late.iter().map(|(_, chunk, _)| chunk.bytes.len()).sum::<usize>()
            + layers.iter().map(|(_, samples)| samples.heap_bytes()).sum::<usize>()
            + replaced.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let taken = self.memory.take(bytes as u64)?;
        Ok(VersionPlaces { ordered, late, layers, replaced, _taken: taken })
    }

    /// The versions of a part; `None` when it has more rows than it may.
    fn versions(
        &self,
        tag: &Tag,
        places: &VersionPlaces,
        part: TimeBounds,
        mut count: RowCount,
    ) -> Result<Option<Vec<SupersededSample>>, ReadError> {
        let mut older: Vec<(u64, Samples)> = Vec::new();
        let mut ordered = Samples::new(tag.value_type());
        for (chunk, _) in places.ordered.iter().filter(|(_, held)| overlap(*held, part)) {
            let mut samples = Samples::new(tag.value_type());
            chunk.decode_into(ChunkFamily::Chunks, &mut samples)?;
            let rows = part.rows(&samples.timestamps);
            if !count.add(rows.len()) {
                return Ok(None);
            }
            ordered.extend_range(&samples, rows)?;
        }
        older.push((0, ordered));
        for (sequence, chunk, _) in places.late.iter().filter(|(_, _, held)| overlap(*held, part)) {
            let mut samples = Samples::new(tag.value_type());
            chunk.decode_into(ChunkFamily::Late, &mut samples)?;
            let within = within(&samples, part);
            if !count.add(within.len()) {
                return Ok(None);
            }
            older.push((*sequence, within));
        }
        for (sequence, layer) in &places.layers {
            let within = within(layer, part);
            if !count.add(within.len()) {
                return Ok(None);
            }
            older.push((*sequence, within));
        }
        let mut stored: Vec<(&SupersededKey, Samples)> = Vec::new();
        for (key, bytes) in &places.replaced {
            for run in replaced_runs(key, bytes, part)? {
                let within = within(&run, part);
                if !count.add(within.len()) {
                    return Ok(None);
                }
                stored.push((key, within));
            }
        }
        let _taken = self.memory.take((count.rows * ROW_BYTES) as u64)?;
        let mut found: Vec<(SupersededSample, u32)> = Vec::new();
        let mut collect = |samples: &Samples, replaced_by: u64, origin: u32| {
            found.extend((0..samples.len()).map(|index| (SupersededSample { sample: samples.sample(index), replaced_by }, origin)));
        };
        let (mut current, mut replaced) = (Samples::new(tag.value_type()), Samples::new(tag.value_type()));
        for (sequence, mut layer) in older {
            if let Some(within) = sort_versions(&mut layer) {
                collect(&within, sequence, Origin::Head as u32);
            }
            let under = std::mem::replace(&mut current, Samples::new(tag.value_type()));
            let (all, new) = (0..under.len(), 0..layer.len());
            merge(&under, all, &layer, new, &mut current, Some(&mut replaced))?;
            collect(&replaced, sequence, Origin::Late as u32);
            replaced.clear();
        }
        for (key, run) in stored {
            collect(&run, key.sequence, key.part >> 30);
        }
        found.sort_by_key(|(version, origin)| (version.sample.timestamp, version.replaced_by, *origin));
        let mut found: Vec<SupersededSample> = found.into_iter().map(|(version, _)| version).collect();
        found.dedup();
        Ok(Some(found))
    }
}

/// The replaced versions of one entry that overlaps with a part.
fn replaced_runs(key: &SupersededKey, bytes: &[u8], part: TimeBounds) -> Result<Vec<Samples>, StoreError> {
    let damaged = |message: String| StoreError::Corrupt {
        family: keys::FAMILY_SUPERSEDED,
        key: format!("tag {} start {} sequence {}", key.tag_id, key.start, key.sequence),
        message,
    };
    if !bytes.starts_with(&CHUNK_MAGIC) {
        let record = journal::decode_record(bytes).map_err(|error| damaged(error.to_string()))?;
        return Ok(record.runs.into_iter().map(|(_, run)| run).collect());
    }
    let corrupt = |error: CorruptChunk| damaged(error.to_string());
    let header = ChunkHeader::parse(bytes).map_err(corrupt)?;
    if !overlap(TimeBounds::of(&header.statistics), part) {
        return Ok(Vec::new());
    }
    Ok(vec![Chunk::parse(bytes).and_then(|chunk| chunk.decode()).map_err(corrupt)?])
}

fn overlap(held: TimeBounds, part: TimeBounds) -> bool {
    held.first <= part.last && part.first <= held.last
}

/// Samples of a run within the bounds, in the order of the run.
fn within(run: &Samples, part: TimeBounds) -> Samples {
    let inside = |index: &u32| part.contains(run.timestamps[*index as usize]);
    let indexes: Vec<u32> = (0..run.len() as u32).filter(inside).collect();
    run.take(&indexes)
}
