//! What is kept on disk: catalog, journal records, chunks. RocksDB is named here only, in `rocks`; `memory` is the twin that serves tests
//! as model, and both pass the same tests.

mod audit;
mod audit_log;
pub mod backup;
pub mod catalog;
mod claim;
mod disk;
mod error;
mod figures;
mod files;
#[doc(hidden)]
pub mod fuzz;
pub mod gap;
pub mod inspect;
pub mod layer;
pub mod live;
pub mod maintenance;
pub mod memory;
pub mod note;
mod pace;
mod pending_gap;
pub mod rocks;
mod run_mark;
pub mod salvage;
pub mod scrub;
#[cfg(test)]
mod tests;

pub use audit_log::AuditLog;
pub use catalog::{Catalog, CatalogError, CatalogView, ConfiguredCatalog};
pub use claim::Claim;
pub use error::{StoreError, corrupt};
pub use figures::StoreFigures;
pub use files::StoppedStore;
pub use gap::{Gap, GapReason, OpenGapIndex};
pub use historian_audit::{AuditEntry, AuditHead, ChainedEntry};
use historian_format::{
    Chunk, ChunkHeader, CorruptChunk, Samples,
    keys::{self, ChunkKey, KeptMark, NoteKey, RollupKey, SupersededKey, TagRecord},
};
pub use layer::StoreLayer;
pub use live::LiveStore;
pub use maintenance::{BackupPolicy, Maintenance};
pub use memory::MemoryStore;
pub use note::{Annotation, AnnotationDraft, Annotations, NoteError, SavedView, SavedViews, ViewDraft};
pub use pending_gap::PendingGaps;
pub use rocks::{RocksStore, RocksView};
pub use run_mark::RunMark;

use std::{borrow::Cow, ops::RangeInclusive, sync::Arc};

use historian_format::rollup::RollupLevel;

use historian_model::{TagId, TimeBounds};

/// The two families of chunks. Chunks of one tag in `Chunks` are disjoint in time and ordered; those in `Late` may overlap any other. None
/// reaches across a week's edge ([`historian_format::keys::WEEK_NS`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChunkFamily {
    Chunks,
    Late,
}

impl ChunkFamily {
    /// Name of the family in `keys.md`.
    pub const fn name(self) -> &'static str {
        match self {
            ChunkFamily::Chunks => keys::FAMILY_CHUNKS,
            ChunkFamily::Late => keys::FAMILY_LATE,
        }
    }
}

/// A chunk as it is kept.
#[derive(Clone, Debug)]
pub struct StoredChunk {
    pub key: ChunkKey,
    pub bytes: Vec<u8>,
}

impl StoredChunk {
    /// The header, checked by its own CRC.
    ///
    /// # Errors
    /// When the header's bytes are damaged.
    pub fn header(&self) -> Result<ChunkHeader, CorruptChunk> {
        ChunkHeader::parse(&self.bytes)
    }

    /// The header; damage is told with family and key.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the header's bytes are damaged.
    pub fn header_in(&self, family: ChunkFamily) -> Result<ChunkHeader, StoreError> {
        self.header().map_err(|error| corrupt(family.name(), self.key, &error))
    }

    /// Appends the samples to `out`; damage is told with family and key.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the bytes are damaged, or are of another value type than `out`.
    pub fn decode_into(&self, family: ChunkFamily, out: &mut Samples) -> Result<(), StoreError> {
        let decoded = Chunk::parse(&self.bytes).and_then(|parsed| parsed.decode_into(out));
        decoded.map_err(|error| corrupt(family.name(), self.key, &error))
    }
}

/// One atomic change of what is stored.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Chunks that go.
    pub removed: Vec<(ChunkFamily, ChunkKey)>,
    /// Chunks that appear.
    pub chunks: Vec<(ChunkFamily, StoredChunk)>,
    /// Versions of samples that another one replaced: a chunk, or a journal record of one run.
    pub superseded: Vec<(SupersededKey, Vec<u8>)>,
    /// Rollup blocks that appear (or go, for `None`).
    pub rollups: Vec<(RollupKey, Option<Vec<u8>>)>,
    /// Days of a tag's week, as bits, whose rollups are to be made anew; 0 clears the mark.
    pub dirty: Vec<(TagId, i32, u8)>,
    /// How far background work has come.
    pub kept: Vec<(TagId, KeptMark)>,
    /// For each tag the sequence number up to which all its samples are in chunks.
    pub sealed: Vec<(TagId, u64)>,
    /// Latest samples in chunks that change, or (for `None`) are to be looked for again.
    pub current: Vec<(TagId, Option<Vec<u8>>)>,
    pub retire: Option<Retire>,
    /// Where retention's clock stands.
    pub retention_clock: Option<i64>,
    /// Entries of the audit log that tell of this change.
    pub audit: Vec<AuditEntry>,
}

impl Change {
    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Change { removed, chunks, superseded, rollups, dirty, kept, sealed, current, retire, retention_clock, audit } = self;
        removed.is_empty()
            && chunks.is_empty()
            && superseded.is_empty()
            && rollups.is_empty()
            && dirty.is_empty()
            && kept.is_empty()
            && sealed.is_empty()
            && current.is_empty()
            && retire.is_none()
            && retention_clock.is_none()
            && audit.is_empty()
    }

    /// The records of tags that change, as they are stored; those without a value go.
    fn records(&self) -> impl Iterator<Item = (TagRecord, TagId, Option<Cow<'_, [u8]>>)> {
        let sealed = self.sealed.iter().map(|(tag, sequence)| (TagRecord::Sealed, *tag, Some(Cow::Owned(sequence.to_le_bytes().to_vec()))));
        let kept = self.kept.iter().map(|(tag, mark)| (TagRecord::Kept, *tag, Some(Cow::Owned(mark.encode().to_vec()))));
        let current = self.current.iter().map(|(tag, entry)| (TagRecord::Current, *tag, entry.as_deref().map(Cow::Borrowed)));
        sealed.chain(kept).chain(current)
    }
}

/// Replaces all journal records up to and including `sequence` by one record with that sequence number.
#[derive(Clone, Debug)]
pub struct Retire {
    pub sequence: u64,
    pub record: Vec<u8>,
}

/// Which way a scan of chunks goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

/// Receives journal records or other entries one after another.
pub type Visit<'a, K> = &'a mut dyn FnMut(K, &[u8]) -> Result<(), StoreError>;

/// What queries read. A [`Store`] tells what it holds now, a view of it ([`Store::view`]) what it held at one moment. All calls block.
pub trait ReadStore: Send + Sync + 'static {
    /// Chunks of one tag that hold samples within the bounds, in the direction's order of their starts, until about
    /// `bytes_max` (at least one). For [`ChunkFamily::Late`] all of them, whatever their size, in the order of their starts.
    fn chunks(
        &self,
        family: ChunkFamily,
        tag: TagId,
        bounds: TimeBounds,
        direction: Direction,
        bytes_max: usize,
    ) -> Result<Vec<StoredChunk>, StoreError>;

    /// The tag's chunk with the greatest start.
    fn last_chunk(&self, family: ChunkFamily, tag: TagId) -> Result<Option<StoredChunk>, StoreError>;

    /// What is kept of a tag beside its samples, as [`Change`] put it.
    fn record(&self, record: TagRecord, tag: TagId) -> Result<Option<Vec<u8>>, StoreError>;

    /// The entry of a tag's latest sample in chunks, as it was put by [`Change::current`]. A tag may have samples and no entry; an entry is
    /// never behind.
    fn current(&self, tag: TagId) -> Result<Option<Vec<u8>>, StoreError> {
        self.record(TagRecord::Current, tag)
    }

    /// Replaced versions of a tag's samples whose first timestamp lies in the weeks that the bounds touch, as they were
    /// put by [`Change::superseded`], in the order of their keys.
    fn superseded(&self, tag: TagId, bounds: TimeBounds) -> Result<Vec<(SupersededKey, Vec<u8>)>, StoreError>;

    /// Weeks in which a tag has replaced versions, ascending.
    fn superseded_weeks(&self, tag: TagId) -> Result<Vec<i32>, StoreError>;

    /// Rollup blocks of a tag and level in these weeks (inclusive), in the order of time, until about `bytes_max` (at least one).
    fn rollups(
        &self,
        tag: TagId,
        level: RollupLevel,
        weeks: RangeInclusive<i32>,
        bytes_max: usize,
    ) -> Result<Vec<(RollupKey, Vec<u8>)>, StoreError>;

    /// Weeks of a tag, or of all tags, with days whose rollups are to be made anew.
    fn dirty(&self, tag: Option<TagId>) -> Result<Vec<(TagId, i32, u8)>, StoreError>;

    /// Weeks in which a tag has chunks of a family, ascending.
    fn weeks(&self, family: ChunkFamily, tag: TagId) -> Result<Vec<i32>, StoreError>;

    /// Recorded gaps from the number `from` on, at most `limit`, ascending.
    fn gaps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Gap)>, StoreError>;
}

/// A place that keeps the historian's data. All calls block.
pub trait Store: ReadStore {
    /// What is stored at this moment, for as long as the view is held. Weeks that retention drops meanwhile, and tags that are deleted, are
    /// gone from it all the same. It holds up nothing, but keeps what is replaced from being removed on disk: it must not be held for long.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn view(self: Arc<Self>) -> Result<Arc<dyn ReadStore>, StoreError>;

    /// Whether there is room for new data.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is not.
    fn room(&self) -> Result<(), StoreError>;

    /// Writes catalog entries durably, and with them what the audit log is to tell of them: all or none.
    fn change_catalog(&self, entries: &[(TagId, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError>;

    /// Writes catalog entries that lose or reinterpret nothing, durably, all or none.
    fn put_catalog(&self, entries: &[(TagId, Vec<u8>)]) -> Result<(), StoreError> {
        self.change_catalog(entries, &[])
    }

    /// Visits the catalog in the order of ids.
    fn load_catalog(&self, visit: Visit<'_, TagId>) -> Result<(), StoreError>;

    /// Appends journal records in ascending sequence, all or none; with `durable` returns after the fsync.
    fn append_journal(&self, records: &[(u64, Vec<u8>)], durable: bool) -> Result<(), StoreError>;

    /// Makes everything appended durable.
    fn sync(&self) -> Result<(), StoreError>;

    /// Visits the journal in ascending sequence.
    fn replay_journal(&self, visit: Visit<'_, u64>) -> Result<(), StoreError>;

    /// Journal records with `from <= sequence <= to`, ascending, until about `bytes_max` (at least one).
    fn journal_from(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Sequence number up to which each tag's samples are in chunks; tags without chunks are absent.
    fn load_sealed(&self, visit: &mut dyn FnMut(TagId, u64)) -> Result<(), StoreError> {
        self.load_records(TagRecord::Sealed, &mut |tag, value| {
            let key = || format!("{:02x?}", TagRecord::Sealed.key(tag.0));
            let sequence = <[u8; 8]>::try_from(value).map_err(|_| unsound_record(key(), "no sealed mark"))?;
            visit(tag, u64::from_le_bytes(sequence));
            Ok(())
        })
    }

    /// Visits the records of a kind in the order of their tags; tags without one are absent.
    fn load_records(&self, record: TagRecord, visit: Visit<'_, TagId>) -> Result<(), StoreError>;

    /// Applies one atomic change. It becomes durable with the next durable append or sync, in order.
    fn apply(&self, change: &Change) -> Result<(), StoreError>;

    /// Greatest generation of the tag's late chunks with this start.
    fn last_generation(&self, tag: TagId, start: i64) -> Result<Option<u16>, StoreError>;

    /// How far background work has come with a tag.
    fn kept(&self, tag: TagId) -> Result<KeptMark, StoreError> {
        let Some(value) = self.record(TagRecord::Kept, tag)? else { return Ok(KeptMark::default()) };
        KeptMark::decode(&value).ok_or_else(|| unsound_record(format!("kept mark of tag {}", tag.0), "not 16 bytes"))
    }

    /// Days of a tag's week whose rollups are to be made anew, as bits.
    fn dirty_days(&self, tag: TagId, week: i32) -> Result<u8, StoreError>;

    /// Weeks in which any tag has chunks, late chunks, rollups or superseded versions, ascending.
    fn weeks_present(&self) -> Result<Vec<i32>, StoreError>;

    /// Whether any of these tags has chunks, late chunks, rollups or superseded versions in a week.
    fn week_holds(&self, week: i32, tags: &[RangeInclusive<u32>]) -> Result<bool, StoreError>;

    /// Bytes that runs of tags have in a week on disk, about.
    fn week_bytes(&self, week: i32, tags: &[RangeInclusive<u32>]) -> Result<u64, StoreError>;

    /// Removes everything of a week but catalog and journal: of these tags, or for `None` of all, which drops whole files.
    fn drop_week(&self, week: i32, tags: Option<&Vec<RangeInclusive<u32>>>) -> Result<(), StoreError>;

    /// Where retention's clock stood last.
    fn retention_clock(&self) -> Result<Option<i64>, StoreError>;

    /// Removes everything of a tag but its catalog entry.
    fn delete_tag(&self, tag: TagId) -> Result<(), StoreError>;

    /// Appends entries to the audit log, durably, all or none; they get the numbers after the last one.
    fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError>;

    /// Entries of the audit log from the number `from` on, ascending: at most `limit`, and no more than fit into some megabytes, but one where
    /// there is one.
    fn audit_log(&self, from: u64, limit: usize) -> Result<Vec<ChainedEntry>, StoreError>;

    /// How far the audit log goes.
    fn audit_head(&self) -> Result<AuditHead, StoreError>;

    /// What [`Store::audit_log`] tells, by number.
    fn audit(&self, from: u64, limit: usize) -> Result<Vec<(u64, AuditEntry)>, StoreError> {
        let told = |entry: ChainedEntry| entry.entry().map(|told| (entry.number, told)).map_err(StoreError::from);
        self.audit_log(from, limit)?.into_iter().map(told).collect()
    }

    /// Records gaps, durably, all or none; they get the numbers after the last one.
    fn append_gaps(&self, gaps: &[Gap]) -> Result<(), StoreError>;

    /// Keeps versions of notes durably, and with them what the audit log is to tell of them: all or none.
    fn put_notes(&self, notes: &[(NoteKey, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError>;

    /// One version of a note.
    fn note(&self, key: NoteKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits all notes in the order of their keys.
    fn load_notes(&self, visit: Visit<'_, NoteKey>) -> Result<(), StoreError>;

    /// Compacts the families of chunks on disk.
    fn compact(&self) -> Result<(), StoreError>;
}

/// Whether a chunk may hold samples within the bounds, by its header.
fn overlaps(chunk: &StoredChunk, bounds: TimeBounds, family: &'static str) -> Result<bool, StoreError> {
    let header = chunk.header().map_err(|error| corrupt(family, chunk.key, &error))?;
    Ok(TimeBounds::of(&header.statistics).overlaps(bounds))
}

/// A record of a tag whose bytes are none.
fn unsound_record(key: String, message: &str) -> StoreError {
    StoreError::Corrupt { family: keys::FAMILY_STATE, key, message: message.into() }
}
