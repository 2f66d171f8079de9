//! A store around a store: for tests and tools that change what one or two calls do.

use std::{ops::RangeInclusive, sync::Arc};

use historian_format::{
    keys::{NoteKey, RollupKey, SupersededKey, TagRecord},
    rollup::RollupLevel,
};

use super::{AuditEntry, AuditHead, ChainedEntry, Change, ChunkFamily, Direction, Gap, ReadStore, Store, StoreError, StoredChunk, Visit};
use historian_model::{TagId, TimeBounds};

/// Hands the calls of [`ReadStore`] to a macro.
macro_rules! reads {
    ($then:ident) => {
        $then! {
            fn chunks(&self, family: ChunkFamily, tag: TagId, bounds: TimeBounds, direction: Direction, bytes_max: usize) -> Result<Vec<StoredChunk>, StoreError>;
            fn last_chunk(&self, family: ChunkFamily, tag: TagId) -> Result<Option<StoredChunk>, StoreError>;
            fn record(&self, record: TagRecord, tag: TagId) -> Result<Option<Vec<u8>>, StoreError>;
            fn superseded(&self, tag: TagId, bounds: TimeBounds) -> Result<Vec<(SupersededKey, Vec<u8>)>, StoreError>;
            fn superseded_weeks(&self, tag: TagId) -> Result<Vec<i32>, StoreError>;
            fn rollups(&self, tag: TagId, level: RollupLevel, weeks: RangeInclusive<i32>, bytes_max: usize) -> Result<Vec<(RollupKey, Vec<u8>)>, StoreError>;
            fn dirty(&self, tag: Option<TagId>) -> Result<Vec<(TagId, i32, u8)>, StoreError>;
            fn weeks(&self, family: ChunkFamily, tag: TagId) -> Result<Vec<i32>, StoreError>;
            fn gaps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Gap)>, StoreError>;
        }
    };
}
pub(super) use reads;

macro_rules! layer {
    (reads { $(fn $read:ident(&self $(, $read_argument:ident: $read_type:ty)*) -> $read_answer:ty;)+ }
     others { $(fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $answer:ty;)+ }) => {
        /// Hands every call to the store within; an implementation says which calls it treats otherwise. Every layer is a [`Store`].
        pub trait StoreLayer: Send + Sync + 'static {
            /// The store within.
            fn inner(&self) -> Arc<dyn Store>;
            #[expect(clippy::missing_errors_doc, reason = "see Store")]
            fn view(self: Arc<Self>) -> Result<Arc<dyn ReadStore>, StoreError> {
                self.inner().view()
            }
            $(
                #[expect(clippy::missing_errors_doc, reason = "see Store")]
                fn $read(&self $(, $read_argument: $read_type)*) -> $read_answer {
                    self.inner().$read($($read_argument),*)
                }
            )+
            $(
                #[expect(clippy::missing_errors_doc, reason = "see Store")]
                fn $name(&self $(, $argument: $type)*) -> $answer {
                    self.inner().$name($($argument),*)
                }
            )+
        }

        impl<L: StoreLayer> ReadStore for L {
            $(
                fn $read(&self $(, $read_argument: $read_type)*) -> $read_answer {
                    StoreLayer::$read(self $(, $read_argument)*)
                }
            )+
        }

        impl<L: StoreLayer> Store for L {
            fn view(self: Arc<Self>) -> Result<Arc<dyn ReadStore>, StoreError> {
                StoreLayer::view(self)
            }
            $(
                fn $name(&self $(, $argument: $type)*) -> $answer {
                    StoreLayer::$name(self $(, $argument)*)
                }
            )+
        }
    };
}

macro_rules! layer_of {
    ($($reads:tt)*) => {
        layer! {
            reads { $($reads)* }
            others {
                fn room(&self) -> Result<(), StoreError>;
                fn change_catalog(&self, entries: &[(TagId, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError>;
                fn load_catalog(&self, visit: Visit<'_, TagId>) -> Result<(), StoreError>;
                fn append_journal(&self, records: &[(u64, Vec<u8>)], durable: bool) -> Result<(), StoreError>;
                fn sync(&self) -> Result<(), StoreError>;
                fn replay_journal(&self, visit: Visit<'_, u64>) -> Result<(), StoreError>;
                fn journal_from(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;
                fn load_records(&self, record: TagRecord, visit: Visit<'_, TagId>) -> Result<(), StoreError>;
                fn apply(&self, change: &Change) -> Result<(), StoreError>;
                fn last_generation(&self, tag: TagId, start: i64) -> Result<Option<u16>, StoreError>;
                fn dirty_days(&self, tag: TagId, week: i32) -> Result<u8, StoreError>;
                fn weeks_present(&self) -> Result<Vec<i32>, StoreError>;
                fn week_holds(&self, week: i32, tags: &[RangeInclusive<u32>]) -> Result<bool, StoreError>;
                fn week_bytes(&self, week: i32, tags: &[RangeInclusive<u32>]) -> Result<u64, StoreError>;
                fn drop_week(&self, week: i32, tags: Option<&Vec<RangeInclusive<u32>>>) -> Result<(), StoreError>;
                fn retention_clock(&self) -> Result<Option<i64>, StoreError>;
                fn delete_tag(&self, tag: TagId) -> Result<(), StoreError>;
                fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError>;
                fn audit_log(&self, from: u64, limit: usize) -> Result<Vec<ChainedEntry>, StoreError>;
                fn audit_head(&self) -> Result<AuditHead, StoreError>;
                fn append_gaps(&self, gaps: &[Gap]) -> Result<(), StoreError>;
                fn put_notes(&self, notes: &[(NoteKey, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError>;
                fn note(&self, key: NoteKey) -> Result<Option<Vec<u8>>, StoreError>;
                fn load_notes(&self, visit: Visit<'_, NoteKey>) -> Result<(), StoreError>;
                fn compact(&self) -> Result<(), StoreError>;
            }
        }
    };
}

reads!(layer_of);
