//! Faulty stores: the real one, with one kind of call that goes wrong.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use historian::{
    model::{Clock, TagId, TimeBounds},
    store::{AuditEntry, Change, ChunkFamily, Direction, Gap, ReadStore, Store, StoreError, StoreLayer, StoredChunk},
};
use historian_format::{
    keys::{RollupKey, SupersededKey, TagRecord, week_bounds},
    rollup::RollupLevel,
};

const THIRTY_DAYS_NS: i64 = 30 * 86_400 * 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// Never asks for an fsync.
    NoSync,
    /// Takes a failed fsync for one that is made good by the next.
    RetrySync,
    /// Answers what can be read and says nothing of what cannot.
    ShortAnswers,
    /// Takes no write any more once the disk was full.
    StaysFull,
    /// Drops what is older than thirty days by the clock on the wall.
    WallRetention,
    /// Leaves one in ten entries of the audit log away.
    ForgetsAudit,
    /// No fault but a slow disk, for machines on which none can be made: 1 MB/s and 10 ms.
    Slow,
}

pub struct Faulty {
    pub store: Arc<dyn Store>,
    pub fault: StoreFault,
    pub clock: Arc<dyn Clock>,
    /// The disk was full once.
    pub met_full: AtomicBool,
}

impl StoreLayer for Faulty {
    fn inner(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn append_journal(&self, records: &[(u64, Vec<u8>)], durable: bool) -> Result<(), StoreError> {
        match self.fault {
            StoreFault::NoSync => self.store.append_journal(records, false),
            StoreFault::RetrySync => self.store.append_journal(records, durable).or_else(|_| self.store.sync()).or(Ok(())),
            StoreFault::Slow => {
                let bytes: usize = records.iter().map(|(_, record)| record.len()).sum();
                std::thread::sleep(Duration::from_micros(10_000 + bytes as u64));
                self.store.append_journal(records, durable)
            }
            StoreFault::StaysFull if self.met_full.load(Ordering::SeqCst) => Err(StoreError::Full("the disk was full".into())),
            StoreFault::StaysFull => {
                let appended = self.store.append_journal(records, durable);
                if matches!(appended, Err(StoreError::Full(_))) {
                    self.met_full.store(true, Ordering::SeqCst);
                }
                appended
            }
            StoreFault::ForgetsAudit | StoreFault::ShortAnswers | StoreFault::WallRetention => self.store.append_journal(records, durable),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        match self.fault {
            StoreFault::NoSync => Ok(()),
            StoreFault::RetrySync => self.store.sync().or(Ok(())),
            StoreFault::Slow | StoreFault::StaysFull | StoreFault::ForgetsAudit | StoreFault::ShortAnswers | StoreFault::WallRetention => {
                self.store.sync()
            }
        }
    }

    fn apply(&self, change: &Change) -> Result<(), StoreError> {
        let applied = self.store.apply(change);
        if self.fault == StoreFault::WallRetention && change.retention_clock.is_some() {
            let oldest = self.clock.now().0.saturating_sub(THIRTY_DAYS_NS);
            for week in self.store.weeks_present()?.into_iter().filter(|week| week_bounds(*week).1 < oldest) {
                self.store.drop_week(week, None)?;
            }
        }
        if self.fault == StoreFault::RetrySync { applied.or(Ok(())) } else { applied }
    }

    fn change_catalog(&self, entries: &[(TagId, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError> {
        let forgets = self.fault == StoreFault::ForgetsAudit && entries.iter().any(|(tag, _)| tag.0 % 10 == 9);
        self.store.change_catalog(entries, if forgets { &[] } else { audit })
    }

    fn view(self: Arc<Self>) -> Result<Arc<dyn ReadStore>, StoreError> {
        let view = self.store.clone().view()?;
        Ok(if self.fault == StoreFault::ShortAnswers { Arc::new(Short(view)) } else { view })
    }
}

/// A view that passes over what it cannot read.
struct Short(Arc<dyn ReadStore>);

impl ReadStore for Short {
    fn chunks(
        &self,
        family: ChunkFamily,
        tag: TagId,
        bounds: TimeBounds,
        direction: Direction,
        bytes_max: usize,
    ) -> Result<Vec<StoredChunk>, StoreError> {
        Ok(self.0.chunks(family, tag, bounds, direction, bytes_max).unwrap_or_default())
    }

    fn last_chunk(&self, family: ChunkFamily, tag: TagId) -> Result<Option<StoredChunk>, StoreError> {
        Ok(self.0.last_chunk(family, tag).unwrap_or_default())
    }

    fn record(&self, record: TagRecord, tag: TagId) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.record(record, tag)
    }

    fn superseded(&self, tag: TagId, bounds: TimeBounds) -> Result<Vec<(SupersededKey, Vec<u8>)>, StoreError> {
        self.0.superseded(tag, bounds)
    }

    fn superseded_weeks(&self, tag: TagId) -> Result<Vec<i32>, StoreError> {
        self.0.superseded_weeks(tag)
    }

    fn rollups(
        &self,
        tag: TagId,
        level: RollupLevel,
        weeks: RangeInclusive<i32>,
        bytes_max: usize,
    ) -> Result<Vec<(RollupKey, Vec<u8>)>, StoreError> {
        Ok(self.0.rollups(tag, level, weeks, bytes_max).unwrap_or_default())
    }

    fn dirty(&self, tag: Option<TagId>) -> Result<Vec<(TagId, i32, u8)>, StoreError> {
        self.0.dirty(tag)
    }

    fn weeks(&self, family: ChunkFamily, tag: TagId) -> Result<Vec<i32>, StoreError> {
        self.0.weeks(family, tag)
    }

    fn gaps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Gap)>, StoreError> {
        self.0.gaps(from, limit)
    }
}
