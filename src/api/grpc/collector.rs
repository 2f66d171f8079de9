//! `CollectorService`: delivery truth per device.

use std::sync::{Arc, atomic::Ordering};

use historian_proto::v1::{self, collector_service_server::CollectorService};
use tonic::{Request, Response, Status};

use super::tag_status;
use crate::{Api, Caller, answer, status};
use historian_collector::{DeviceStatus, tag_state::UndeliveredTag};

/// Tags told of that do not deliver, per device.
const UNDELIVERED_MAX: usize = 1_000;
/// Bytes of what is told of every device.
const COUNTERS_BYTES: usize = 320;

pub struct CollectorRpc(pub Arc<Api>);

#[tonic::async_trait]
impl CollectorService for CollectorRpc {
    async fn get_status(&self, _request: Request<v1::GetStatusRequest>) -> Result<Response<v1::GetStatusResponse>, Status> {
        let devices = (self.0.services.devices)();
        // Each device has its share of what a client takes.
        let bytes_max = answer::PAGE_BYTES / devices.len().max(1);
        Ok(Response::new(v1::GetStatusResponse { devices: devices.iter().map(|device| message(device, bytes_max)).collect() }))
    }

    async fn list_tag_status(&self, request: Request<v1::ListTagStatusRequest>) -> Result<Response<v1::ListTagStatusResponse>, Status> {
        let (caller, request) = Caller::take(request);
        tag_status::list(&self.0, &caller, request).await.map(Response::new)
    }
}

fn message(device: &DeviceStatus, bytes_max: usize) -> v1::DeviceStatus {
    let mut view = device.view();
    view.last_error = status::shortened(&view.last_error);
    let endpoint = device.endpoint_in_use();
    let mut left = bytes_max.saturating_sub(view.last_error.len() + device.device.len() + endpoint.len() + COUNTERS_BYTES);
    let mut fits = |bytes: usize| {
        let fits = left.checked_sub(bytes);
        left = fits.unwrap_or(0);
        fits.is_some()
    };
    let (undelivered_tags, undelivered) = device.undelivered(UNDELIVERED_MAX);
    let (pace, backlog) = (device.pace(), device.backlog());
    let told = |UndeliveredTag { tag, reason, since }| v1::UndeliveredTag { tag, reason: status::shortened(&reason), since: since.0 };
    let undelivered = undelivered.into_iter().map(told).take_while(|told| fits(answer::bytes_within(told))).collect();
    view.holes.truncate(view.holes.iter().take_while(|hole| fits(hole.len() + 6)).count());
    v1::DeviceStatus {
        device: device.device.clone(),
        protocol: device.protocol.to_owned(),
        endpoint,
        state: device.state().as_str().to_owned(),
        connects: device.connects.load(Ordering::Relaxed),
        requests: device.requests.load(Ordering::Relaxed),
        timeouts: device.timeouts.load(Ordering::Relaxed),
        exceptions: device.exceptions.load(Ordering::Relaxed),
        polls_missed: device.polls_missed.load(Ordering::Relaxed),
        samples: device.samples.load(Ordering::Relaxed),
        samples_dropped: device.samples_dropped.load(Ordering::Relaxed),
        items_wanted: device.items_wanted.load(Ordering::Relaxed),
        items_created: device.items_created.load(Ordering::Relaxed),
        items_delivering: device.delivering(),
        last_error: view.last_error,
        last_error_time: view.last_error_at.0,
        last_good_time: view.last_good_at.0,
        holes: view.holes,
        samples_rejected: device.samples_rejected.load(Ordering::Relaxed),
        undelivered,
        undelivered_tags: undelivered_tags as u64,
        latency_p50: pace.latency_p50.map(tag_status::nanoseconds),
        latency_p99: pace.latency_p99.map(tag_status::nanoseconds),
        clock_offset: pace.clock_offset,
        samples_waiting: backlog.samples,
        samples_on_disk: backlog.disk_samples,
        spool_disk_bytes: backlog.disk_bytes,
    }
}
