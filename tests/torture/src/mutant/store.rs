//! Faulty stores. One wrapper holds all faults, so that a new method of [`Store`] is passed on in one place.

use std::{sync::Arc, time::Duration};

use historian::{
    model::TagId,
    store::{ChunkFamily, Direction, Seal, Store, StoreError, StoredChunk},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// Never asks for an fsync.
    NoSync,
    /// Takes a failed fsync for one that is made good by the next.
    RetrySync,
    /// Answers what can be read and says nothing of what cannot.
    ShortAnswers,
    /// No fault but a slow disk, for machines on which none can be made: 1 MB/s and 10 ms.
    Slow,
}

pub struct Faulty {
    pub store: Arc<dyn Store>,
    pub fault: StoreFault,
}

impl Faulty {
    /// An unreadable part of an answer, by the fault.
    fn read<T: Default>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match answer {
            Err(StoreError::Corrupt { .. } | StoreError::Io(_)) if self.fault == StoreFault::ShortAnswers => Ok(T::default()),
            answer => answer,
        }
    }
}

impl Store for Faulty {
    fn put_catalog(&self, entries: &[(TagId, Vec<u8>)]) -> Result<(), StoreError> {
        self.store.put_catalog(entries)
    }

    fn load_catalog(&self, visit: historian::store::Visit<'_, TagId>) -> Result<(), StoreError> {
        self.store.load_catalog(visit)
    }

    fn append_journal(&self, records: &[(u64, Vec<u8>)], durable: bool) -> Result<(), StoreError> {
        match self.fault {
            StoreFault::NoSync => self.store.append_journal(records, false),
            StoreFault::RetrySync => self.store.append_journal(records, durable).or_else(|_| {
                let _ = self.store.sync();
                Ok(())
            }),
            StoreFault::Slow => {
                let bytes: usize = records.iter().map(|(_, record)| record.len()).sum();
                std::thread::sleep(Duration::from_micros(10_000 + bytes as u64));
                self.store.append_journal(records, durable)
            }
            StoreFault::ShortAnswers => self.store.append_journal(records, durable),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        match self.fault {
            StoreFault::NoSync => Ok(()),
            StoreFault::RetrySync => self.store.sync().or(Ok(())),
            _ => self.store.sync(),
        }
    }

    fn replay_journal(&self, visit: historian::store::Visit<'_, u64>) -> Result<(), StoreError> {
        self.store.replay_journal(visit)
    }

    fn load_sealed(&self, visit: &mut dyn FnMut(TagId, u64)) -> Result<(), StoreError> {
        self.store.load_sealed(visit)
    }

    fn seal(&self, seal: &Seal) -> Result<(), StoreError> {
        match self.fault {
            StoreFault::RetrySync => self.store.seal(seal).or(Ok(())),
            _ => self.store.seal(seal),
        }
    }

    fn chunks(
        &self,
        family: ChunkFamily,
        tag: TagId,
        from: i64,
        to: i64,
        direction: Direction,
        bytes_max: usize,
    ) -> Result<Vec<StoredChunk>, StoreError> {
        self.read(self.store.chunks(family, tag, from, to, direction, bytes_max))
    }

    fn last_chunk(&self, family: ChunkFamily, tag: TagId) -> Result<Option<StoredChunk>, StoreError> {
        self.read(self.store.last_chunk(family, tag))
    }

    fn last_generation(&self, tag: TagId, start: i64) -> Result<Option<u16>, StoreError> {
        self.read(self.store.last_generation(tag, start))
    }

    fn delete_tag(&self, tag: TagId) -> Result<(), StoreError> {
        self.store.delete_tag(tag)
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.store.compact()
    }
}
