//! What the operator asks of a running store beside reading and writing: backups of it. One of a kind at a time.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    AuditEntry, Catalog, RocksStore, Store, StoreError,
    backup::{self, BackupError, Created, Repository, Source, Watch},
};
use crate::model::Clock;

/// A running store and what its upkeep needs to know.
pub struct Maintenance {
    store: Arc<RocksStore>,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    /// Where backups go; `None` when none is configured.
    backup_directory: Option<PathBuf>,
}

impl Maintenance {
    pub fn new(store: Arc<RocksStore>, catalog: Arc<Catalog>, clock: Arc<dyn Clock>, backup_directory: Option<PathBuf>) -> Maintenance {
        Maintenance { store, catalog, clock, backup_directory }
    }

    /// The directory of backups, where one is configured.
    pub fn backup_directory(&self) -> Option<&Path> {
        self.backup_directory.as_deref()
    }

    /// Makes a backup, and removes all but the newest `keep` (0: none). Blocks; ingest and queries go on.
    ///
    /// # Errors
    /// See [`backup::create`].
    pub fn create_backup(&self, directory: &Path, keep: usize, verify_new_only: bool, watch: Watch<'_>) -> Result<Created, BackupError> {
        let repository = Repository::open_to_write(directory)?;
        // Counted before the checkpoint: it can only have these tags and later ones.
        let source = Source { store: &self.store, tags: self.catalog.len() as u64, time: self.clock.now(), keep, verify_new_only };
        let created = backup::create(&repository, &source, watch)?;
        tracing::info!(
            number = created.manifest.number,
            sequence = created.manifest.sequence,
            bytes = created.manifest.bytes,
            bytes_new = created.manifest.bytes_new,
            directory = %directory.display(),
            "backup made"
        );
        Ok(created)
    }

    /// Entries of the audit log from the number `from` on, at most `limit`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn audit(&self, from: u64, limit: usize) -> Result<Vec<(u64, AuditEntry)>, StoreError> {
        self.store.audit(from, limit)
    }
}
