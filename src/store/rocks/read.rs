//! Reads of the database: of what it holds now, or, through a view, of what it held at one moment.

use std::{ops::RangeInclusive, sync::Arc};

use historian_format::{
    keys::{self, RollupKey, SupersededKey, TagRecord},
    rollup::RollupLevel,
};
use parking_lot::RwLock;
use rocksdb::{DB, DBRawIterator, IteratorMode, ReadOptions, SnapshotWithThreadMode};
use self_cell::self_cell;

use super::{RocksStore, error::classified, scan};
use crate::{ChunkFamily, Direction, Gap, ReadStore, StoreError, StoredChunk, layer::reads};
use historian_model::{TagId, TimeBounds};

type Snapshot<'a> = SnapshotWithThreadMode<'a, DB>;

/// Calls of [`ReadStore`] on a database, of now or of a moment.
struct Reads<'a> {
    store: &'a RocksStore,
    snapshot: Option<&'a Snapshot<'a>>,
}

impl Reads<'_> {
    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = self.snapshot {
            options.set_snapshot(snapshot);
        }
        options
    }

    fn iterator(&self, family: &'static str) -> Result<DBRawIterator<'_>, StoreError> {
        Ok(self.store.db.raw_iterator_cf_opt(self.store.family(family)?, self.options()))
    }

    fn chunks(
        &self,
        family: ChunkFamily,
        tag: TagId,
        bounds: TimeBounds,
        direction: Direction,
        bytes_max: usize,
    ) -> Result<Vec<StoredChunk>, StoreError> {
        let scan = scan::FamilyScan::new(self.iterator(family.name())?, tag, family.name());
        match (family, direction) {
            (ChunkFamily::Late, _) => scan.overlapping(bounds),
            (ChunkFamily::Chunks, Direction::Forward) => scan.forward(bounds, bytes_max),
            (ChunkFamily::Chunks, Direction::Backward) => scan.backward(bounds, bytes_max),
        }
    }

    fn last_chunk(&self, family: ChunkFamily, tag: TagId) -> Result<Option<StoredChunk>, StoreError> {
        scan::FamilyScan::new(self.iterator(family.name())?, tag, family.name()).last()
    }

    fn record(&self, record: TagRecord, tag: TagId) -> Result<Option<Vec<u8>>, StoreError> {
        let family = keys::FAMILY_STATE;
        let found = self.store.db.get_cf_opt(self.store.family(family)?, record.key(tag.0), &self.options());
        found.map_err(|error| classified(&error, family))
    }

    fn superseded(&self, tag: TagId, bounds: TimeBounds) -> Result<Vec<(SupersededKey, Vec<u8>)>, StoreError> {
        let family = keys::FAMILY_SUPERSEDED;
        let mut scan = scan::FamilyScan::new(self.iterator(family)?, tag, family);
        let mut found = Vec::new();
        scan.entries(keys::week_of(bounds.first)..=keys::week_of(bounds.last), &mut |key, value| {
            let key = SupersededKey::decode(key).ok_or_else(|| scan::no_such_key(family, key))?;
            found.push((key, value.to_vec()));
            Ok(true)
        })?;
        Ok(found)
    }

    fn superseded_weeks(&self, tag: TagId) -> Result<Vec<i32>, StoreError> {
        let family = keys::FAMILY_SUPERSEDED;
        scan::FamilyScan::new(self.iterator(family)?, tag, family).weeks()
    }

    fn rollups(
        &self,
        tag: TagId,
        level: RollupLevel,
        weeks: RangeInclusive<i32>,
        bytes_max: usize,
    ) -> Result<Vec<(RollupKey, Vec<u8>)>, StoreError> {
        let family = keys::FAMILY_ROLLUPS;
        let mut scan = scan::FamilyScan::new(self.iterator(family)?, tag, family);
        let (mut found, mut bytes) = (Vec::new(), 0);
        scan.entries(weeks, &mut |key, value| {
            let key = RollupKey::decode(key).ok_or_else(|| scan::no_such_key(family, key))?;
            if key.level == level as u8 {
                bytes += value.len();
                found.push((key, value.to_vec()));
            }
            Ok(bytes < bytes_max)
        })?;
        Ok(found)
    }

    fn dirty(&self, tag: Option<TagId>) -> Result<Vec<(TagId, i32, u8)>, StoreError> {
        let mut options = self.options();
        let prefix = tag.map_or(vec![b'd'], |tag| keys::dirty_prefix(tag.0).to_vec());
        options.set_iterate_range(rocksdb::PrefixRange(prefix));
        let mut found = Vec::new();
        for entry in self.store.db.iterator_cf_opt(self.store.family(keys::FAMILY_STATE)?, options, IteratorMode::Start) {
            let (key, value) = entry.map_err(|error| classified(&error, keys::FAMILY_STATE))?;
            let decoded = keys::decode_dirty_key(&key).zip(value.first());
            let ((week, id), days) = decoded.ok_or_else(|| scan::no_such_key(keys::FAMILY_STATE, &key))?;
            found.push((TagId(id), week, *days));
        }
        Ok(found)
    }

    fn weeks(&self, family: ChunkFamily, tag: TagId) -> Result<Vec<i32>, StoreError> {
        scan::FamilyScan::new(self.iterator(family.name())?, tag, family.name()).weeks()
    }

    fn gaps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Gap)>, StoreError> {
        self.store.numbered(keys::FAMILY_GAPS, self.options(), from, limit, Gap::decode)
    }
}

self_cell!(
    struct Held {
        owner: Arc<RocksStore>,
        #[covariant]
        dependent: Snapshot,
    }
);

/// What a database held at one moment.
pub struct RocksView {
    /// Empty once the database had to be closed.
    held: RwLock<Option<Held>>,
}

impl RocksView {
    pub fn of(store: Arc<RocksStore>) -> RocksView {
        RocksView { held: RwLock::new(Some(Held::new(store, |store| store.db.snapshot()))) }
    }

    /// Lets go of the database; reads end with [`StoreError::Reopened`] from now on. Waits for the one that is under way.
    pub fn revoke(&self) {
        *self.held.write() = None;
    }

    fn with<T>(&self, read: impl FnOnce(&Reads<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &*self.held.read() {
            Some(held) => held.with_dependent(|store, snapshot| read(&Reads { store, snapshot: Some(snapshot) })),
            None => Err(StoreError::Reopened),
        }
    }
}

impl RocksStore {
    fn with<T>(&self, read: impl FnOnce(&Reads<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        read(&Reads { store: self, snapshot: None })
    }
}

macro_rules! forward {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $answer:ty;)+) => {
        impl ReadStore for RocksStore {
            $(fn $name(&self $(, $argument: $type)*) -> $answer {
                self.with(|reads| reads.$name($($argument),*))
            })+
        }

        impl ReadStore for RocksView {
            $(fn $name(&self $(, $argument: $type)*) -> $answer {
                self.with(|reads| reads.$name($($argument),*))
            })+
        }
    };
}

reads!(forward);
