//! Delivery truth per collected tag, a page at a time.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use historian_proto::v1;
use tonic::Status;

use crate::{
    Api, Caller, Services, answer,
    page_token::{self, request_sum},
    resolve, sample, status,
};
use historian_collector::tag_state::TagState;
use historian_model::{Quality, Tag};
use historian_query::QueryLimits;

/// What collectors know of a tag, and on which device they do.
struct StatedTag {
    device: String,
    state: TagState,
}

pub async fn list(api: &Arc<Api>, caller: &Caller, request: v1::ListTagStatusRequest) -> Result<v1::ListTagStatusResponse, Status> {
    let services = api.services.clone();
    api.bounded(caller, move |limits| page(&services, request, limits)).await
}

/// A page of the collected tags that are asked for. Blocks on the store.
fn page(services: &Services, mut request: v1::ListTagStatusRequest, limits: &QueryLimits) -> Result<v1::ListTagStatusResponse, Status> {
    let page_size = page_token::page_size(std::mem::take(&mut request.page_size))?;
    let selection = resolve::selection_or_all(&request.tags, &services.limits, limits)?;
    let token = std::mem::take(&mut request.page_token);
    let sum = request_sum(&request);
    let after = page_token::start_of_list(sum, &token)?;
    let collected = collected(services, &request.device);
    let (keep, go_on) = (|tag: &Tag| collected.contains_key(tag.name().as_str()), || resolve::go_on(limits));
    // One more than the page, to know whether there is another.
    let found = services.catalog.within(&limits.scope).page(&selection, after.as_deref(), page_size + 1, &keep, &go_on)?;
    let shown = &found[..found.len().min(page_size)];
    let lasts = services.query.current_samples(shown, limits).map_err(|error| status::from_query(&error))?;
    let mut lasts: HashMap<_, _> = lasts.into_iter().map(|(tag, samples)| (tag.id, samples)).collect();
    let now = services.clock.now();
    let mut tags = Vec::new();
    // A page ends before it grows past what a client takes.
    let kept = answer::fitting(shown.iter().filter_map(|tag| {
        let name = tag.name().as_str();
        let StatedTag { device, state } = collected.get(name)?;
        let last = lasts.remove(&tag.id).filter(|samples| !samples.is_empty());
        let trouble = state.trouble.as_ref();
        let quality = last.as_ref().and_then(|samples| samples.qualities.last()).map(|quality| Quality(*quality));
        let quality_reason = quality.and_then(|quality| state.why_uncertain(quality)).map(status::shortened).unwrap_or_default();
        tags.push(v1::TagStatus {
            tag: name.to_owned(),
            device: device.clone(),
            address: tag.definition.source.as_ref().map(|source| source.address.clone()).unwrap_or_default(),
            delivery: state.delivery().to_owned(),
            age: last.as_ref().and_then(|samples| samples.timestamps.last()).map(|at| now.0.saturating_sub(*at)),
            last: last.map(|samples| sample::of_columns(name, &samples)),
            interval: state.interval.map(nanoseconds),
            last_error: trouble.map(|trouble| status::shortened(&trouble.reason)).unwrap_or_default(),
            last_error_time: trouble.map_or(0, |trouble| trouble.since.0),
            samples_left_out: state.left_out,
            quality_reason,
        });
        tags.last().map(answer::bytes_within)
    }));
    tags.truncate(kept);
    let next_page_token = match tags.last() {
        Some(last) if kept < found.len() => page_token::behind_tag(sum, &last.tag),
        _ => String::new(),
    };
    Ok(v1::ListTagStatusResponse { tags, next_page_token })
}

/// The tags that devices collect, or one of them does, by name.
fn collected(services: &Services, device: &str) -> BTreeMap<String, StatedTag> {
    let devices = (services.devices)();
    let asked = devices.iter().filter(|status| device.is_empty() || status.device == device);
    let of_device = asked.flat_map(|status| {
        let device = &status.device;
        let tags = status.tag_states().into_iter();
        tags.map(|state| (state.name.to_string(), StatedTag { device: device.clone(), state })).collect::<Vec<_>>()
    });
    of_device.collect()
}

pub fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
