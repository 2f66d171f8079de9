//! Delivery truth of devices: all of each for whoever administers the historian; for others the devices of which they may read a tag, as far
//! as it is of such tags.

use std::sync::{Arc, atomic::Ordering};

use historian_proto::v1;
use tonic::Status;

use super::tag_status::nanoseconds;
use crate::{Services, answer, resolve, status};
use historian_collector::{
    DeviceStatus,
    status::DeviceState,
    tag_state::{TagState, UndeliveredTag},
};
use historian_query::QueryLimits;

/// Tags told of that do not deliver, per device.
const UNDELIVERED_MAX: usize = 1_000;
/// Bytes of what is told of every device.
const COUNTERS_BYTES: usize = 320;

/// Everything that is known of every device.
pub fn all(services: &Services) -> v1::GetStatusResponse {
    let devices = (services.devices)();
    // Each device has its share of what a client takes.
    let bytes_max = answer::PAGE_BYTES / devices.len().max(1);
    v1::GetStatusResponse { devices: devices.iter().map(|device| whole(device, bytes_max)).collect(), limited: false }
}

/// The devices of the tags in the scope of the limits. Blocks on the catalog.
///
/// # Errors
/// When the call is over before the answer is made.
pub fn of_seen_tags(services: &Services, limits: &QueryLimits) -> Result<v1::GetStatusResponse, Status> {
    // By the catalog, as tags are looked up everywhere: a collector may still know a tag by the name that it had.
    let catalog = services.catalog.within(&limits.scope);
    let mut seen: Vec<(Arc<DeviceStatus>, Vec<TagState>)> = Vec::new();
    for device in (services.devices)() {
        resolve::go_on(limits)?;
        let tags: Vec<TagState> = device.tag_states().into_iter().filter(|tag| catalog.get(tag.name.as_str()).is_some()).collect();
        if !tags.is_empty() {
            seen.push((device, tags));
        }
    }
    // The share is that of the devices that are told: where a list ends says nothing of how many others there are.
    let bytes_max = answer::PAGE_BYTES / seen.len().max(1);
    let devices = seen.into_iter().map(|(device, tags)| limited(&device, tags, bytes_max)).collect();
    Ok(v1::GetStatusResponse { devices, limited: true })
}

/// Room in an answer.
struct AnswerRoom(usize);

impl AnswerRoom {
    fn of(bytes_max: usize, device: &DeviceStatus, texts: &[&str]) -> AnswerRoom {
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        AnswerRoom(bytes_max.saturating_sub(texts + device.device.len() + COUNTERS_BYTES))
    }

    /// Whether so many bytes fit, which are taken then. What does not fit takes all that is left.
    fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.0.checked_sub(bytes);
        self.0 = fits.unwrap_or(0);
        fits.is_some()
    }

    fn undelivered(&mut self, tags: impl IntoIterator<Item = UndeliveredTag>) -> Vec<v1::UndeliveredTag> {
        let told = |UndeliveredTag { tag, reason, since }| v1::UndeliveredTag { tag, reason: status::shortened(&reason), since: since.0 };
        tags.into_iter().take(UNDELIVERED_MAX).map(told).take_while(|told| self.takes(answer::bytes_within(told))).collect()
    }
}

fn whole(device: &DeviceStatus, bytes_max: usize) -> v1::DeviceStatus {
    let mut view = device.view();
    view.last_error = status::shortened(&view.last_error);
    let endpoint = device.endpoint_in_use();
    let mut room = AnswerRoom::of(bytes_max, device, &[&view.last_error, &endpoint]);
    let (undelivered_tags, undelivered) = device.undelivered(UNDELIVERED_MAX);
    let (pace, backlog) = (device.pace(), device.backlog());
    let undelivered = room.undelivered(undelivered);
    view.holes.truncate(view.holes.iter().take_while(|hole| room.takes(hole.len() + 6)).count());
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
        latency_p50: pace.latency_p50.map(nanoseconds),
        latency_p99: pace.latency_p99.map(nanoseconds),
        clock_offset: pace.clock_offset,
        samples_waiting: backlog.samples,
        samples_on_disk: backlog.disk_samples,
        spool_disk_bytes: backlog.disk_bytes,
    }
}

/// What is of these tags of the device, and of its connection what tells of no other tag: whether there is one, how often it was made, how
/// fast it is, how the clock at its other end goes. The other counters are of all tags together, and its last error may be of any of them or
/// name its endpoint.
fn limited(device: &DeviceStatus, tags: Vec<TagState>, bytes_max: usize) -> v1::DeviceStatus {
    let count = |is: fn(&TagState) -> bool| tags.iter().filter(|tag| is(tag)).count() as u64;
    let (wanted, created, delivering) = (tags.len() as u64, count(|tag| tag.created), count(TagState::is_delivering));
    let undelivered_tags = count(|tag| tag.trouble.is_some());
    let (state, pace) = (state_of(device.state(), delivering == wanted), device.pace());
    let undelivered = AnswerRoom::of(bytes_max, device, &[]).undelivered(tags.into_iter().filter_map(|tag| tag.trouble));
    v1::DeviceStatus {
        device: device.device.clone(),
        protocol: device.protocol.to_owned(),
        state: state.as_str().to_owned(),
        connects: device.connects.load(Ordering::Relaxed),
        items_wanted: wanted,
        items_created: created,
        items_delivering: delivering,
        last_good_time: device.view().last_good_at.0,
        undelivered,
        undelivered_tags,
        latency_p50: pace.latency_p50.map(nanoseconds),
        latency_p99: pace.latency_p99.map(nanoseconds),
        clock_offset: pace.clock_offset,
        ..v1::DeviceStatus::default()
    }
}

/// The state of a device as some of its tags tell it: whether it is connected is the same for all of them, whether it is degraded is not.
fn state_of(device: DeviceState, all_deliver: bool) -> DeviceState {
    match (device, all_deliver) {
        (DeviceState::Running | DeviceState::Degraded, true) => DeviceState::Running,
        (DeviceState::Running | DeviceState::Degraded, false) => DeviceState::Degraded,
        (DeviceState::Connecting | DeviceState::Backoff | DeviceState::Stopped, _) => device,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{ManualClock, Quality, TagId, TagName, Timestamp};

    fn device() -> DeviceStatus {
        let device = DeviceStatus::new("plc", "modbus", "10.0.0.7:502");
        let names = ["seen/a", "seen/b", "hidden/c"].into_iter().zip(1..).map(|(name, id)| (TagId(id), TagName::new(name).unwrap()));
        device.set_scene(Arc::new(ManualClock::at(Timestamp(7))), names.collect());
        device.set_state(DeviceState::Degraded);
        device.set_created([TagId(1), TagId(2)]);
        device.connects.store(4, Ordering::Relaxed);
        device.samples.store(99, Ordering::Relaxed);
        device.items_wanted.store(3, Ordering::Relaxed);
        device.set_holes(vec!["holding:7 (exception 02)".into()]);
        device.record_quality(TagId(3), Quality::BAD_CONFIGURATION_ERROR, Timestamp(5));
        device.record_good(Timestamp(6));
        device
    }

    fn seen(device: &DeviceStatus) -> Vec<TagState> {
        device.tag_states().into_iter().filter(|tag| tag.name.as_str().starts_with("seen/")).collect()
    }

    #[test]
    fn a_device_is_told_as_if_it_had_the_seen_tags_only() {
        let device = device();
        let told = limited(&device, seen(&device), 10_000);
        let expected = v1::DeviceStatus {
            device: "plc".into(),
            protocol: "modbus".into(),
            state: "running".into(),
            connects: 4,
            items_wanted: 2,
            items_created: 2,
            items_delivering: 2,
            last_good_time: 6,
            ..v1::DeviceStatus::default()
        };
        assert_eq!(told, expected);
        // All of which there is to be hidden.
        let all = whole(&device, 10_000);
        assert_eq!((&*all.state, &*all.endpoint, all.samples, all.items_wanted), ("degraded", "10.0.0.7:502", 99, 3));
        assert!(all.last_error.contains("hidden/c") && all.undelivered[0].tag == "hidden/c" && all.holes.len() == 1, "{all:?}");
    }

    #[test]
    fn own_trouble_is_told_with_its_reason_and_makes_the_device_degraded() {
        let device = device();
        device.record_quality(TagId(2), Quality::BAD_NO_DATA, Timestamp(5));
        let told = limited(&device, seen(&device), 10_000);
        assert_eq!((&*told.state, told.items_created, told.items_delivering, told.undelivered_tags), ("degraded", 2, 1, 1));
        assert_eq!(told.undelivered, [v1::UndeliveredTag { tag: "seen/b".into(), reason: Quality::BAD_NO_DATA.to_string(), since: 5 }]);
        for state in [DeviceState::Connecting, DeviceState::Backoff, DeviceState::Stopped] {
            device.set_state(state);
            assert_eq!(limited(&device, seen(&device), 10_000).state, state.as_str());
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_not_told() {
        let device = device();
        device.record_quality(TagId(2), Quality::BAD_NO_DATA, Timestamp(5));
        let told = limited(&device, seen(&device), 1);
        assert_eq!((told.undelivered.len(), told.undelivered_tags), (0, 1));
    }
}
