//! What the disk and the database have, in figures, for who watches a running store.

use historian_format::keys;

use super::{LiveStore, RocksStore, StoreError};

/// Figures of a store at a moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Free for the process on the file system of the data directory.
    pub disk_free: u64,
    /// The whole file system.
    pub disk_size: u64,
    /// Below so many free bytes writes are refused.
    pub disk_reserve: u64,
    /// All tables of the database.
    pub tables: u64,
    /// What the cache of blocks holds, and may hold.
    pub cache_used: u64,
    pub cache_max: u64,
    /// What the database has yet to merge, by its own estimate.
    pub compaction_pending: u64,
}

impl RocksStore {
    /// Figures of now. Asks the file system and the database; blocks for microseconds.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    fn figures(&self) -> Result<StoreFigures, StoreError> {
        let (disk_free, disk_reserve) = self.free_and_reserve()?;
        let system = rustix::fs::statvfs(&self.path).map_err(|error| StoreError::Io(format!("{}: {error}", self.path.display())))?;
        let of = |name: &str, property: &str| {
            let value = self.family(name).ok().and_then(|family| self.db.property_int_value_cf(family, property).ok().flatten());
            value.unwrap_or(0)
        };
        let sum = |property: &str| keys::FAMILIES.iter().map(|name| of(name, property)).sum();
        // All families share one cache.
        let shared = |property: &str| keys::FAMILIES.first().map_or(0, |name| of(name, property));
        Ok(StoreFigures {
            disk_free,
            disk_size: system.f_blocks.saturating_mul(system.f_frsize),
            disk_reserve,
            tables: sum("rocksdb.total-sst-files-size"),
            cache_used: shared("rocksdb.block-cache-usage"),
            cache_max: shared("rocksdb.block-cache-capacity"),
            compaction_pending: sum("rocksdb.estimate-pending-compaction-bytes"),
        })
    }
}

impl LiveStore {
    /// Figures of now. Blocks for microseconds; longer while the database is opened anew.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    pub fn figures(&self) -> Result<StoreFigures, StoreError> {
        self.current().figures()
    }
}
