//! `AdminService`: state of the service, compaction, upkeep; and the health status that follows from the same state.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use historian_proto::v1::{self, admin_service_server::AdminService};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{audit, backup, gap, inspect, scrub};
use crate::{Admin, Api, Caller, ReloadReport, blocking, metrics, status, stream::ResponseStream};
use historian_model::RetentionGroup;
use historian_tls::TlsState;

pub struct AdminRpc(pub Arc<Api>);

#[tonic::async_trait]
impl AdminService for AdminRpc {
    async fn get_server_status(
        &self,
        _request: Request<v1::GetServerStatusRequest>,
    ) -> Result<Response<v1::GetServerStatusResponse>, Status> {
        let services = &self.0.services;
        let state = services.admin.status();
        Ok(Response::new(v1::GetServerStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: state.start_time.0,
            tags: services.catalog.len() as u64,
            watermark: state.watermark,
            samples_written: state.samples_written,
            head_samples: state.head_samples,
            accepting_writes: state.accepting_writes,
            no_room: state.full_reason,
            memory_bytes_max: services.memory.bytes_max(),
            memory_bytes_taken: services.memory.taken(),
            scrub: services.admin.maintenance().map(|maintenance| scrub::status(&maintenance)),
            retention: services.admin.retention().iter().map(retention).collect(),
            tls: services.admin.tls().map(tls),
        }))
    }

    async fn compact(&self, request: Request<v1::CompactRequest>) -> Result<Response<v1::CompactResponse>, Status> {
        let asked = Instant::now();
        let caller = Caller::of(&request);
        // One at a time; those who asked before one began share it. Each makes chunks of what there is, and writes wait for it.
        let mut compacted = self.0.compacted.lock().await;
        if let Some((began, chunks_sealed)) = *compacted
            && began >= asked
        {
            return Ok(Response::new(v1::CompactResponse { chunks_sealed }));
        }
        self.0.services.audit.act(&caller, "compact", String::new()).await?;
        let (admin, began) = (self.0.services.admin.clone(), Instant::now());
        let chunks_sealed = blocking(move || admin.compact().map_err(|error| status::from_write(&error))).await?;
        *compacted = Some((began, chunks_sealed));
        drop(compacted);
        Ok(Response::new(v1::CompactResponse { chunks_sealed }))
    }

    type CreateBackupStream = ResponseStream<v1::CreateBackupResponse>;

    async fn create_backup(&self, request: Request<v1::CreateBackupRequest>) -> Result<Response<Self::CreateBackupStream>, Status> {
        let (caller, request) = Caller::take(request);
        backup::create(&self.0, &caller, request).await.map(Response::new)
    }

    async fn list_backups(&self, _request: Request<v1::ListBackupsRequest>) -> Result<Response<v1::ListBackupsResponse>, Status> {
        backup::list(&self.0).await.map(Response::new)
    }

    type VerifyBackupStream = ResponseStream<v1::VerifyBackupResponse>;

    async fn verify_backup(&self, request: Request<v1::VerifyBackupRequest>) -> Result<Response<Self::VerifyBackupStream>, Status> {
        backup::verify(&self.0, request.into_inner()).map(Response::new)
    }

    type ScrubStream = ResponseStream<v1::ScrubResponse>;

    async fn scrub(&self, request: Request<v1::ScrubRequest>) -> Result<Response<Self::ScrubStream>, Status> {
        let (caller, request) = Caller::take(request);
        self.0.services.audit.act(&caller, "scrub", String::new()).await?;
        scrub::run(&self.0, request).map(Response::new)
    }

    type InspectTagsStream = ResponseStream<v1::InspectTagsResponse>;

    async fn inspect_tags(&self, request: Request<v1::InspectTagsRequest>) -> Result<Response<Self::InspectTagsStream>, Status> {
        let (caller, request) = Caller::take(request);
        inspect::run(&self.0, &caller, &request).await.map(Response::new)
    }

    async fn list_audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        audit::list(&self.0, request.get_ref()).await.map(Response::new)
    }

    async fn get_audit_head(&self, _request: Request<v1::GetAuditHeadRequest>) -> Result<Response<v1::GetAuditHeadResponse>, Status> {
        audit::head(&self.0).await.map(Response::new)
    }

    type ExportAuditLogStream = ResponseStream<v1::ExportAuditLogResponse>;

    async fn export_audit_log(&self, request: Request<v1::ExportAuditLogRequest>) -> Result<Response<Self::ExportAuditLogStream>, Status> {
        let (caller, request) = Caller::take(request);
        audit::export(&self.0, &caller, request).await.map(Response::new)
    }

    async fn list_gaps(&self, request: Request<v1::ListGapsRequest>) -> Result<Response<v1::ListGapsResponse>, Status> {
        let (caller, request) = Caller::take(request);
        gap::list(&self.0, &caller, request).await.map(Response::new)
    }

    async fn reload(&self, request: Request<v1::ReloadRequest>) -> Result<Response<v1::ReloadResponse>, Status> {
        let caller = Caller::of(&request);
        tracing::info!(principal = caller.principal.name(), "asked to read the configuration again");
        self.0.services.audit.act(&caller, "reload", String::new()).await?;
        let reloading = self.0.services.admin.reload();
        // Not ended in the middle by a client that leaves.
        let done = tokio::spawn(tracing::Instrument::in_current_span(reloading)).await;
        let report = done.map_err(|error| status::from_join(&error))?.map_err(|error| status::from_reload(&error))?;
        Ok(Response::new(reloaded(report)))
    }
}

/// Keeps the health of the services that write at what ingest says, until shutdown; then nothing is serving.
pub async fn watch_health(admin: Arc<dyn Admin>, health: HealthReporter, shutdown: CancellationToken) {
    let mut accepted = true;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            // Often enough that a supervisor hears of a failed disk within a second.
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        let accepting = admin.status().accepting_writes;
        if accepting != accepted {
            accepted = accepting;
            // Reading goes on, so only the whole ("") and writing are reported; Flight does both.
            for service in ["", "historian.v1.WriteService"] {
                let serving = if accepting { ServingStatus::Serving } else { ServingStatus::NotServing };
                health.set_service_status(service, serving).await;
            }
        }
    }
    for service in metrics::SERVICES {
        health.set_service_status(service, ServingStatus::NotServing).await;
    }
}

fn reloaded(report: ReloadReport) -> v1::ReloadResponse {
    v1::ReloadResponse {
        devices_added: report.devices_added,
        devices_removed: report.devices_removed,
        devices_changed: report.devices_changed,
        devices_unchanged: report.devices_unchanged,
        tags_added: report.tags_added,
        tags_changed: report.tags_changed,
        tags_removed: report.tags_removed,
        applied: report.applied,
        not_applied: report.not_applied,
        left_behind: report.left_behind,
    }
}

fn tls(state: TlsState) -> v1::TlsStatus {
    let ends = state.first_to_end.map_or(0, |certificate| certificate.not_after.0);
    let certificate = state.certificate;
    v1::TlsStatus {
        subject: certificate.as_ref().map(|own| own.subject.clone()).unwrap_or_default(),
        fingerprint: certificate.as_ref().map(|own| own.fingerprint.clone()).unwrap_or_default(),
        names: certificate.map(|own| own.names).unwrap_or_default(),
        expiry_time: ends,
        refused: state.refused.unwrap_or_default(),
        reload_failures: state.failures,
    }
}

fn retention(group: &RetentionGroup) -> v1::RetentionGroup {
    v1::RetentionGroup { tags: group.selection.patterns().map(str::to_owned).collect(), age_s: group.age.map_or(0, |age| age.as_secs()) }
}
