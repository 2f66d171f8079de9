//! What is kept on disk: catalog, journal records, chunks. RocksDB is named here only, in `rocks`; `memory` is the twin that serves tests
//! as model, and both pass the same tests.

pub mod audit;
pub mod catalog;
pub mod memory;
pub mod rocks;
pub mod watermark;

pub use audit::AuditEntry;
pub use catalog::{Catalog, CatalogError};
use historian_format::{ChunkHeader, CorruptChunk, keys::ChunkKey};
pub use memory::MemoryStore;
pub use rocks::RocksStore;

use crate::model::TagId;

/// Why the store failed. None of these is mended by a repeat of the same call.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("{path}: {message}")]
    Open { path: String, message: String },
    #[error("the disk refused: {0}")]
    Io(String),
    #[error("stored bytes are damaged in family {family} at {key}: {message}; restore this part from a backup")]
    Corrupt { family: &'static str, key: String, message: String },
    #[error(
        "{file}: the journal ends at write {found}, but write {acknowledged} was acknowledged: the tail of the log is lost; restore the missing files or a backup"
    )]
    LostTail { file: String, acknowledged: u64, found: u64 },
}

/// The two families of chunks. Chunks of one tag in `Chunks` are disjoint in time and ordered; those in `Late` may overlap any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChunkFamily {
    Chunks,
    Late,
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
}

/// One atomic change: chunks appear, the journal up to a sequence number goes.
#[derive(Clone, Debug, Default)]
pub struct Seal {
    pub chunks: Vec<(ChunkFamily, StoredChunk)>,
    /// For each tag the sequence number up to which all its samples are in chunks.
    pub sealed: Vec<(TagId, u64)>,
    pub retire: Option<Retire>,
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

/// A place that keeps the historian's data. All calls block.
pub trait Store: Send + Sync + 'static {
    /// Writes catalog entries durably, all or none.
    fn put_catalog(&self, entries: &[(TagId, Vec<u8>)]) -> Result<(), StoreError>;

    /// Visits the catalog in the order of ids.
    fn load_catalog(&self, visit: Visit<'_, TagId>) -> Result<(), StoreError>;

    /// Appends journal records in ascending sequence, all or none; with `durable` returns after the fsync.
    fn append_journal(&self, records: &[(u64, Vec<u8>)], durable: bool) -> Result<(), StoreError>;

    /// Makes everything appended durable.
    fn sync(&self) -> Result<(), StoreError>;

    /// Visits the journal in ascending sequence.
    fn replay_journal(&self, visit: Visit<'_, u64>) -> Result<(), StoreError>;

    /// Sequence number up to which each tag's samples are in chunks; tags without chunks are absent.
    fn load_sealed(&self, visit: &mut dyn FnMut(TagId, u64)) -> Result<(), StoreError>;

    /// Applies one atomic change. It becomes durable with the next durable append or sync, in order.
    fn seal(&self, seal: &Seal) -> Result<(), StoreError>;

    /// Chunks of one tag that hold samples with `from <= timestamp <= to`, in the direction's order of their starts, until about
    /// `bytes_max` (at least one). For [`ChunkFamily::Late`] all of them, whatever their size, in key order.
    fn chunks(
        &self,
        family: ChunkFamily,
        tag: TagId,
        from: i64,
        to: i64,
        direction: Direction,
        bytes_max: usize,
    ) -> Result<Vec<StoredChunk>, StoreError>;

    /// The tag's chunk with the greatest start.
    fn last_chunk(&self, family: ChunkFamily, tag: TagId) -> Result<Option<StoredChunk>, StoreError>;

    /// Greatest generation of the tag's late chunks with this start.
    fn last_generation(&self, tag: TagId, start: i64) -> Result<Option<u16>, StoreError>;

    /// Removes all chunks and the sealed mark of a tag.
    fn delete_tag(&self, tag: TagId) -> Result<(), StoreError>;

    /// Appends entries to the audit log, durably, all or none; they get the numbers after the last one.
    fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError>;

    /// Entries of the audit log from the number `from` on, at most `limit`, ascending.
    fn audit(&self, from: u64, limit: usize) -> Result<Vec<(u64, AuditEntry)>, StoreError>;

    /// Compacts the families of chunks on disk.
    fn compact(&self) -> Result<(), StoreError>;
}

/// Whether a chunk holds samples in `from..=to`, by its header.
fn overlaps(chunk: &StoredChunk, from: i64, to: i64, family: &'static str) -> Result<bool, StoreError> {
    let header = chunk.header().map_err(|error| corrupt(family, chunk.key, &error))?;
    Ok(header.statistics.first_timestamp <= to && header.statistics.last_timestamp >= from)
}

pub(crate) fn corrupt(family: &'static str, key: ChunkKey, error: &CorruptChunk) -> StoreError {
    StoreError::Corrupt {
        family,
        key: format!("tag {} start {} generation {}", key.tag_id, key.start, key.generation),
        message: error.to_string(),
    }
}
