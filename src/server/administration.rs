//! Status, compaction and upkeep of the server, as the API shows them.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{
    configured::ConfiguredTags, devices::DeviceSet, disk::DiskTrend, name_user::NameUsers, process, reload::Reloader, renamed_gap, silence,
};
use historian_api::{Admin, AdminStatus, DiskStatus, ProcessStatus, ReloadCounts, ReloadError, ReloadReport};
use historian_ingest::Ingest;
use historian_model::{Clock, RetentionGroup, Tag, TagName, TagRename, Timestamp, sink::WriteError};
use historian_store::{Maintenance, Store};
use historian_tls::{ServerTls, TlsState};

/// Status, compaction and upkeep for the API.
pub struct ServerAdministration {
    pub ingest: Arc<Ingest>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub devices: Arc<DeviceSet>,
    pub configured: Arc<ConfiguredTags>,
    pub users: Arc<NameUsers>,
    pub maintenance: Arc<Maintenance>,
    pub tls: Option<Arc<ServerTls>>,
    /// As the start had it.
    pub retention: Vec<RetentionGroup>,
    pub reloader: Option<Arc<Reloader>>,
    pub trend: DiskTrend,
    pub start_time: Timestamp,
}

impl Admin for ServerAdministration {
    fn status(&self) -> AdminStatus {
        let ingest = self.ingest.status();
        AdminStatus {
            start_time: self.start_time,
            watermark: ingest.watermark,
            samples_written: ingest.samples_written,
            head_samples: ingest.head_samples,
            journal_bytes: ingest.journal_bytes,
            journal_syncs: ingest.journal_syncs,
            journal_sync_time: ingest.journal_sync_time,
            chunks_sealed: ingest.chunks_sealed,
            chunks_merged: ingest.kept.chunks_read,
            chunks_written: ingest.kept.chunks_written,
            samples_superseded: ingest.kept.samples_superseded,
            upkeep_failures: ingest.kept.failures,
            accepting_writes: ingest.accepting_writes,
            stopped_reason: ingest.stopped,
            full_reason: ingest.full,
            samples_rejected: ingest.samples_rejected,
        }
    }

    fn compact(&self) -> Result<u64, WriteError> {
        self.ingest.compact()
    }

    fn collect_into(&self, tag: &Tag) -> bool {
        if !self.devices.collect_into(tag) {
            return false;
        }
        tracing::info!(tag = %tag.name(), value_type = %tag.value_type(), "is collected into the new tag of its name from now on");
        silence::collected_again(tag.name(), self.store.as_ref(), self.clock.now());
        true
    }

    fn device_configured_for(&self, name: &str) -> Option<String> {
        self.configured.device_of(name).or_else(|| self.devices.maker_of(name))
    }

    fn renamed(&self, from: &TagName, tag: &Tag) -> bool {
        let renamed = TagRename { from: from.clone(), to: tag.name().clone() };
        renamed_gap::carry_gaps(&[renamed], |_| false, self.store.as_ref(), self.clock.now());
        self.collect_into(tag)
    }

    fn still_named_by(&self, name: &TagName) -> Vec<String> {
        self.users.of(name, &self.retention())
    }

    fn maintenance(&self) -> Option<Arc<Maintenance>> {
        Some(self.maintenance.clone())
    }

    fn tls(&self) -> Option<TlsState> {
        self.tls.as_ref().map(|tls| tls.state())
    }

    fn retention(&self) -> Vec<RetentionGroup> {
        self.reloader.as_ref().map_or_else(|| self.retention.clone(), |reloader| reloader.retention())
    }

    fn disk(&self) -> Option<DiskStatus> {
        let figures = self.maintenance.figures().ok()?;
        Some(DiskStatus {
            free: figures.disk_free,
            size: figures.disk_size,
            reserve: figures.disk_reserve,
            tables: figures.tables,
            cache_used: figures.cache_used,
            cache_max: figures.cache_max,
            compaction_pending: figures.compaction_pending,
            full_in: self.trend.full_in(figures.disk_free, figures.disk_reserve),
        })
    }

    fn process(&self) -> Option<ProcessStatus> {
        process::status()
    }

    fn room(&self) -> Result<(), String> {
        self.store.room().map_err(|error| error.to_string())
    }

    fn reload(&self) -> BoxFuture<'static, Result<ReloadReport, ReloadError>> {
        match &self.reloader {
            Some(reloader) => Box::pin(reloader.clone().reload()),
            None => Box::pin(async { Err(ReloadError::NotReloadable) }),
        }
    }

    fn reloads(&self) -> ReloadCounts {
        self.reloader.as_ref().map_or_else(ReloadCounts::default, |reloader| reloader.counts())
    }
}
