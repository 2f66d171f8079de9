//! How the samples of a tag are stored, from the headers of its chunks.

use std::collections::BTreeMap;

use historian_format::{ChunkHeader, keys::week_of, rollup::RollupLevel};

use super::{ChunkFamily, Direction, Store, StoreError, corrupt};
use historian_model::{TagId, TimeBounds};

/// Bytes of chunks fetched at once.
const PAGE_BYTES: usize = 1 << 20;

/// Weeks of rollups fetched at once: a week of minutes has up to 1.9 MB.
const ROLLUP_WEEKS: usize = 4;

/// One chunk.
#[derive(Clone, Debug)]
pub struct ChunkStorage {
    pub family: ChunkFamily,
    /// Large and final, made by compaction in the background.
    pub cold: bool,
    pub header: ChunkHeader,
}

/// Bytes of chunks, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkBytes {
    pub headers: u64,
    pub timestamps: u64,
    pub presence: u64,
    pub values: u64,
    pub qualities: u64,
}

impl ChunkBytes {
    pub fn of(header: &ChunkHeader) -> ChunkBytes {
        let (timestamps, presence) = (header.timestamps_bytes as u64, header.presence_bytes as u64);
        let (values, qualities) = (header.values_bytes as u64, header.qualities_bytes as u64);
        let headers = header.chunk_bytes() as u64 - timestamps - presence - values - qualities;
        ChunkBytes { headers, timestamps, presence, values, qualities }
    }

    pub fn total(&self) -> u64 {
        self.headers + self.timestamps + self.presence + self.values + self.qualities
    }

    fn add(&mut self, other: ChunkBytes) {
        self.headers += other.headers;
        self.timestamps += other.timestamps;
        self.presence += other.presence;
        self.values += other.values;
        self.qualities += other.qualities;
    }
}

/// All chunks of a tag.
#[derive(Clone, Debug, Default)]
pub struct TagStorage {
    pub samples: u64,
    pub chunks_hot: u64,
    pub chunks_cold: u64,
    pub chunks_late: u64,
    pub first_timestamp: Option<i64>,
    pub last_timestamp: Option<i64>,
    pub bytes: ChunkBytes,
    pub rollup_bytes: u64,
    pub superseded_bytes: u64,
    /// Chunks by column and codec.
    pub codecs: BTreeMap<(&'static str, &'static str), u64>,
}

impl TagStorage {
    fn add(&mut self, chunk: &ChunkStorage) {
        let ChunkStorage { family, cold, header } = chunk;
        match (family, cold) {
            (ChunkFamily::Late, _) => self.chunks_late += 1,
            (ChunkFamily::Chunks, true) => self.chunks_cold += 1,
            (ChunkFamily::Chunks, false) => self.chunks_hot += 1,
        }
        let statistics = &header.statistics;
        self.samples += u64::from(statistics.count);
        self.first_timestamp = Some(self.first_timestamp.map_or(statistics.first_timestamp, |first| first.min(statistics.first_timestamp)));
        self.last_timestamp = Some(self.last_timestamp.map_or(statistics.last_timestamp, |last| last.max(statistics.last_timestamp)));
        self.bytes.add(ChunkBytes::of(header));
        for column_and_codec in [
            ("timestamps", header.timestamp_codec.as_str()),
            ("presence", header.presence_codec.as_str()),
            ("values", header.value_codec.as_str()),
            ("qualities", header.quality_codec.as_str()),
        ] {
            *self.codecs.entry(column_and_codec).or_default() += 1;
        }
    }
}

/// Adds up the chunks of a tag, showing each; ordered chunks by time, then late ones.
///
/// # Errors
/// When something of the tag cannot be read; `each` saw what came before it.
pub fn inspect(store: &dyn Store, tag: TagId, each: &mut dyn FnMut(&ChunkStorage)) -> Result<TagStorage, StoreError> {
    let mut storage = TagStorage::default();
    let compacted_until = store.kept(tag)?.compacted_until;
    let mut rest = Some(TimeBounds::ALL);
    while let Some(bounds) = rest {
        let page = store.chunks(ChunkFamily::Chunks, tag, bounds, Direction::Forward, PAGE_BYTES)?;
        rest = None;
        for chunk in &page {
            let header = chunk.header().map_err(|error| corrupt(ChunkFamily::Chunks.name(), chunk.key, &error))?;
            rest = bounds.after(header.statistics.last_timestamp);
            let chunk = ChunkStorage { family: ChunkFamily::Chunks, cold: chunk.key.start < compacted_until, header };
            each(&chunk);
            storage.add(&chunk);
        }
    }
    for chunk in store.chunks(ChunkFamily::Late, tag, TimeBounds::ALL, Direction::Forward, PAGE_BYTES)? {
        let header = chunk.header().map_err(|error| corrupt(ChunkFamily::Late.name(), chunk.key, &error))?;
        let chunk = ChunkStorage { family: ChunkFamily::Late, cold: false, header };
        each(&chunk);
        storage.add(&chunk);
    }
    if let (Some(first), Some(last)) = (storage.first_timestamp, storage.last_timestamp) {
        // Rollups are made of chunks, so there are none in other weeks.
        let (first, last) = (week_of(first), week_of(last));
        for (level, week) in
            RollupLevel::ALL.into_iter().flat_map(|level| (first..=last).step_by(ROLLUP_WEEKS).map(move |week| (level, week)))
        {
            let weeks = week..=last.min(week + ROLLUP_WEEKS as i32 - 1);
            storage.rollup_bytes += store.rollups(tag, level, weeks, usize::MAX)?.iter().map(|(_, block)| block.len() as u64).sum::<u64>();
        }
    }
    storage.superseded_bytes = store.superseded(tag, TimeBounds::ALL)?.iter().map(|(_, value)| value.len() as u64).sum();
    Ok(storage)
}
