//! Sizes of the store, and how RocksDB is set for it.

use historian_format::keys;
use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, Options};

/// Sizes of the store. All in bytes.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Cache of uncompressed blocks.
    pub cache_bytes: usize,
    /// Memory in which RocksDB gathers journal and chunk writes before they become files.
    pub write_buffer_bytes: usize,
    /// Size of RocksDB's log at which it writes out old families.
    pub wal_bytes_max: u64,
    /// Free bytes of the file system below which nothing new is taken. `None`: a twentieth of the file system, at most 512 MiB.
    pub reserve_bytes: Option<u64>,
    /// Tables that are kept open at most, each with a file descriptor. `None`: all of them.
    pub open_tables_max: Option<u32>,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            cache_bytes: 64 << 20,
            write_buffer_bytes: 32 << 20,
            wal_bytes_max: 512 << 20,
            reserve_bytes: None,
            open_tables_max: None,
        }
    }
}

pub(crate) fn database_options(options: &StoreOptions) -> Options {
    let mut database = Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    database.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    database.set_track_and_verify_wals_in_manifest(true);
    database.set_paranoid_checks(true);
    database.set_max_background_jobs(2);
    database.set_max_total_wal_size(options.wal_bytes_max);
    database.set_keep_log_file_num(4);
    if let Some(tables) = options.open_tables_max {
        database.set_max_open_files(i32::try_from(tables).unwrap_or(i32::MAX));
    }
    // Queries of many tags read a file from its beginning to its end: the system may read ahead.
    database.set_advise_random_on_open(false);
    database
}

pub(crate) fn families(options: &StoreOptions) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(options.cache_bytes);
    keys::FAMILIES
        .iter()
        .map(|&name| {
            let mut table = BlockBasedOptions::default();
            table.set_block_cache(&cache);
            table.set_block_size(16 << 10);
            table.set_format_version(6);
            let mut family = Options::default();
            family.set_block_based_table_factory(&table);
            let (compression, buffer_bytes) = compression_and_buffer(name, options);
            family.set_compression_type(compression);
            family.set_write_buffer_size(buffer_bytes);
            ColumnFamilyDescriptor::new(name, family)
        })
        .collect()
}

fn compression_and_buffer(family: &str, options: &StoreOptions) -> (DBCompressionType, usize) {
    match family {
        // Chunks are at their data's entropy already, and journal records are short-lived: compressing again only costs.
        keys::FAMILY_CHUNKS | keys::FAMILY_JOURNAL => (DBCompressionType::None, options.write_buffer_bytes),
        keys::FAMILY_LATE | keys::FAMILY_SUPERSEDED => (DBCompressionType::None, options.write_buffer_bytes / 4),
        _ => (DBCompressionType::Lz4, 4 << 20),
    }
}

/// What the write buffers of all families hold at most: of each the one that is filled, and one that is being written out.
pub(super) fn buffer_bytes_max(options: &StoreOptions) -> u64 {
    keys::FAMILIES.iter().map(|family| 2 * compression_and_buffer(family, options).1 as u64).sum()
}
