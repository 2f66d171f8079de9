//! What the interface serves from: the parts of the historian that it asks, as the process put them together.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::{
    access::Access,
    audit::AuditTrail,
    call::CallLog,
    limits::ApiLimits,
    memory::ClientMemory,
    metrics::Metrics,
    reload::{ReloadCounts, ReloadError, ReloadReport},
    work::WorkThreads,
};
use historian_collector::DeviceStatus;
use historian_model::{
    Clock, RetentionGroup, Tag, TagName, Timestamp,
    sink::{CorrectionSink, SampleSink, WriteError},
};
use historian_query::QueryEngine;
use historian_sql::TableOptions;
use historian_store::{Annotations, Catalog, Maintenance, SavedViews};
use historian_tls::TlsState;

/// What the interface serves from. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub catalog: Arc<Catalog>,
    pub sink: Arc<dyn SampleSink>,
    pub corrections: Arc<dyn CorrectionSink>,
    pub query: QueryEngine,
    /// Texts of people on tags.
    pub annotations: Arc<Annotations>,
    /// Views that people keep.
    pub views: Arc<SavedViews>,
    /// What SQL shows beside the tags.
    pub tables: TableOptions,
    pub clock: Arc<dyn Clock>,
    /// How callers are known.
    pub access: Access,
    /// What was done and what was refused.
    pub audit: AuditTrail,
    /// Status of every configured device, in the order of the configuration.
    pub devices: Arc<dyn Fn() -> Vec<Arc<DeviceStatus>> + Send + Sync>,
    pub admin: Arc<dyn Admin>,
    pub limits: ApiLimits,
    /// What the calls of clients may take of memory.
    pub memory: ClientMemory,
    /// Threads of what clients ask for.
    pub work: WorkThreads,
    /// Counts what the gRPC port serves; the HTTP port shows it.
    pub metrics: Arc<Metrics>,
    /// What the log tells of calls.
    pub calls: CallLog,
}

/// Running the service: what [`AdminService`](historian_proto::v1::admin_service_server::AdminService), `/healthz` and `/metrics` ask.
pub trait Admin: Send + Sync + 'static {
    /// State of ingest now. Does not block.
    fn status(&self) -> AdminStatus;

    /// Seals the heads and lets the store compact; returns the chunks sealed. Blocks until done.
    ///
    /// # Errors
    /// When the store no longer takes writes.
    fn compact(&self) -> Result<u64, WriteError>;

    /// Upkeep of the store; `None` where the store has no files.
    fn maintenance(&self) -> Option<Arc<Maintenance>> {
        None
    }

    /// A tag of this name was put in the place of another one: a device that is configured for it writes to it from now on. Answers whether
    /// one is. Blocks.
    fn collect_into(&self, _tag: &Tag) -> bool {
        false
    }

    /// The device of a tag that the configuration has under this name, empty for one that clients write; `None` where it has none.
    fn device_configured_for(&self, _name: &str) -> Option<String> {
        None
    }

    /// A tag has another name now: what is kept by names follows, and a device that is configured for the new one writes to it from now on.
    /// Answers whether one is. Blocks.
    fn renamed(&self, _from: &TagName, _tag: &Tag) -> bool {
        false
    }

    /// Who names a tag of this name exactly: rights, retention, views. They do not follow where the tag gets another name. Blocks for microseconds.
    fn still_named_by(&self, _name: &TagName) -> Vec<String> {
        Vec::new()
    }

    /// TLS of both ports; `None` where they have none.
    fn tls(&self) -> Option<TlsState> {
        None
    }

    /// Figures of disk and database; `None` where there are none. Blocks for microseconds.
    fn disk(&self) -> Option<DiskStatus> {
        None
    }

    /// What the process takes of the machine; `None` where the system does not tell.
    fn process(&self) -> Option<ProcessStatus> {
        None
    }

    /// Whether a write would find room now. Blocks for microseconds.
    ///
    /// # Errors
    /// Why it would not.
    fn room(&self) -> Result<(), String> {
        Ok(())
    }

    /// Reads the configuration again, and applies what can be applied while the historian runs. One at a time.
    fn reload(&self) -> BoxFuture<'static, Result<ReloadReport, ReloadError>> {
        Box::pin(async { Err(ReloadError::NotReloadable) })
    }

    /// How often that was done.
    fn reloads(&self) -> ReloadCounts {
        ReloadCounts::default()
    }

    /// Which samples go when they are old.
    fn retention(&self) -> Vec<RetentionGroup> {
        Vec::new()
    }
}

/// Figures of disk and database at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DiskStatus {
    pub free: u64,
    pub size: u64,
    /// Below so many free bytes writes are refused.
    pub reserve: u64,
    /// Tables of the database.
    pub tables: u64,
    pub cache_used: u64,
    pub cache_max: u64,
    /// What the database has yet to merge, by its own estimate.
    pub compaction_pending: u64,
    /// When writes will be refused for want of room, as the last hours went; `None` while that is not known, or the room does not shrink.
    pub full_in: Option<Duration>,
}

/// What the process takes of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessStatus {
    /// User and system time.
    pub cpu: Duration,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub open_files: u64,
    pub open_files_max: u64,
    pub threads: u64,
}

/// State of ingest at one moment.
#[derive(Clone, Debug, Default)]
pub struct AdminStatus {
    /// When the process started.
    pub start_time: Timestamp,
    /// Every write up to this number is durable.
    pub watermark: u64,
    pub samples_written: u64,
    /// Samples in heads, not yet sealed.
    pub head_samples: u64,
    /// What the journal holds, about; how often it was made durable, and how long that took together.
    pub journal_bytes: u64,
    pub journal_syncs: u64,
    pub journal_sync_time: Duration,
    /// Chunks made of heads.
    pub chunks_sealed: u64,
    /// Chunks that background work merged into larger ones, and those that it made of others.
    pub chunks_merged: u64,
    pub chunks_written: u64,
    /// Samples that lost against another one at the same timestamp, found by background work.
    pub samples_superseded: u64,
    /// Rounds of background work that ended with an error.
    pub upkeep_failures: u64,
    /// False after a failure of the disk: writes are refused until restart.
    pub accepting_writes: bool,
    /// Why writes are refused; empty while they are accepted.
    pub stopped_reason: String,
    /// Why writes are refused for now, until there is room; empty while there is.
    pub full_reason: String,
    /// Samples not taken since the start, because they lie too far in the future.
    pub samples_rejected: u64,
}
