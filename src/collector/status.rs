//! Delivery truth of a device: what is wanted, what was created, what is actually delivering, and what went wrong last.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    pace::{DevicePace, PaceRecord},
    tag_state::{ExplainedQuality, TagFacts, TagState, UndeliveredTag},
};
use historian_model::{Clock, Quality, TagId, TagName, Timestamp};

/// Connection state of a device as its collector sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeviceState {
    #[default]
    Connecting,
    /// Connected, and data arrives.
    Running,
    /// Connected, but some tags do not deliver.
    Degraded,
    /// Not connected; waiting before the next attempt.
    Backoff,
    Stopped,
}

impl DeviceState {
    pub fn as_str(self) -> &'static str {
        match self {
            DeviceState::Connecting => "connecting",
            DeviceState::Running => "running",
            DeviceState::Degraded => "degraded",
            DeviceState::Backoff => "backoff",
            DeviceState::Stopped => "stopped",
        }
    }
}

/// Counters and state of one device, written by its collector and read by status, metrics and the demo. All counters grow only.
#[derive(Debug, Default)]
pub struct DeviceStatus {
    pub device: String,
    pub protocol: &'static str,
    /// As configured; of a set of redundant servers the first.
    pub endpoint: String,
    /// Connections made.
    pub connects: AtomicU64,
    /// Requests sent (polls; publishes).
    pub requests: AtomicU64,
    pub timeouts: AtomicU64,
    /// Exception replies and service faults.
    pub exceptions: AtomicU64,
    /// Polls made on schedule, of any scan class.
    pub polls: AtomicU64,
    /// Polls due by the schedule but not made: the one before had not ended, or the device was not reachable.
    pub polls_missed: AtomicU64,
    pub samples: AtomicU64,
    /// Samples dropped because the spool was full.
    pub samples_dropped: AtomicU64,
    /// Samples that the historian did not take, for a reason that a repeat cannot mend.
    pub samples_rejected: AtomicU64,
    /// Samples stored from the device's own history; none of them counts in `samples`.
    pub samples_backfilled: AtomicU64,
    /// Tags configured.
    pub items_wanted: AtomicU64,
    /// Tags the device accepted (monitored items made; addresses that answered).
    pub items_created: AtomicU64,
    /// Tags whose last sample was not Bad and which still deliver.
    pub items_delivering: AtomicU64,
    changing: Mutex<Changing>,
    scene: OnceLock<Scene>,
    troubles: Mutex<BTreeMap<TagId, TagTrouble>>,
    /// Of tags that hold a Bad or Uncertain value: what the collector knows beyond the quality. At most one each.
    words: Mutex<BTreeMap<TagId, QualityWords>>,
    backlog: OnceLock<BacklogProbe>,
    left_out: OnceLock<LeftOutProbe>,
    pace: Mutex<PaceRecord>,
    facts: Mutex<TagFacts>,
}

/// Asks for what waits now.
struct BacklogProbe(Box<dyn Fn() -> DeviceBacklog + Send + Sync>);

impl fmt::Debug for BacklogProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BacklogProbe")
    }
}

/// Asks how many samples of which tags are left out.
struct LeftOutProbe(Box<dyn Fn() -> HashMap<TagId, u64> + Send + Sync>);

impl fmt::Debug for LeftOutProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeftOutProbe")
    }
}

/// Samples of a device that were collected and are not stored yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceBacklog {
    pub samples: u64,
    /// When the oldest of them came; `None` where none waits.
    pub since: Option<Timestamp>,
    /// Of these samples, those that wait on disk; the bytes that they take there, and in how many segments.
    pub disk_samples: u64,
    pub disk_bytes: u64,
    pub disk_segments: u64,
    /// The disk of the spool takes nothing now.
    pub disk_failing: bool,
}

/// Why a tag has a quality that is not Good, and where the device has it.
#[derive(Debug)]
struct QualityWords {
    explained: ExplainedQuality,
    address: String,
}

/// What the process tells a device's status of the world around it.
struct Scene {
    clock: Arc<dyn Clock>,
    names: Mutex<BTreeMap<TagId, TagName>>,
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("tags", &self.names.lock().len()).finish_non_exhaustive()
    }
}

/// Why a tag does not deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagTrouble {
    /// The device gave no value: the tag's last sample is Bad.
    Bad { quality: Quality, since: Timestamp },
    /// The historian did not take the tag's last sample, with the reason.
    Refused { reason: String, since: Timestamp },
}

#[derive(Debug, Default, Clone)]
struct Changing {
    state: DeviceState,
    /// Of a set of redundant servers, the one connected to last; empty otherwise.
    endpoint: String,
    last_error: String,
    last_error_at: Timestamp,
    last_good_at: Timestamp,
    /// Addresses the device refused, learned by bisecting.
    holes: Vec<String>,
}

/// A copy of the parts of a status that are not counters.
#[derive(Clone, Debug, Default)]
pub struct StatusView {
    pub state: DeviceState,
    pub last_error: String,
    /// Time of the last error; zero when there was none.
    pub last_error_at: Timestamp,
    /// Time of the last good answer; zero when there was none.
    pub last_good_at: Timestamp,
    pub holes: Vec<String>,
}

impl DeviceStatus {
    pub fn new(device: impl Into<String>, protocol: &'static str, endpoint: impl Into<String>) -> DeviceStatus {
        DeviceStatus { device: device.into(), protocol, endpoint: endpoint.into(), ..DeviceStatus::default() }
    }

    /// Says by which clock times are told, and what the tags are called. Only the first call counts.
    pub fn set_scene(&self, clock: Arc<dyn Clock>, names: Vec<(TagId, TagName)>) {
        let _ = self.scene.set(Scene { clock, names: Mutex::new(names.into_iter().collect()) });
    }

    /// Says what tags are called that came later; after [`DeviceStatus::set_scene`].
    pub fn add_names(&self, names: impl IntoIterator<Item = (TagId, TagName)>) {
        if let Some(scene) = self.scene.get() {
            scene.names.lock().extend(names);
        }
    }

    /// Says how the samples are found that wait to be stored. Only the first call counts.
    pub(crate) fn set_backlog(&self, probe: impl Fn() -> DeviceBacklog + Send + Sync + 'static) {
        let _ = self.backlog.set(BacklogProbe(Box::new(probe)));
    }

    /// Says how the samples are counted that filters leave out. Only the first call counts.
    pub(crate) fn set_left_out(&self, probe: impl Fn() -> HashMap<TagId, u64> + Send + Sync + 'static) {
        let _ = self.left_out.set(LeftOutProbe(Box::new(probe)));
    }

    /// Samples that wait to be stored; none where nobody collects.
    pub fn backlog(&self) -> DeviceBacklog {
        self.backlog.get().map_or_else(DeviceBacklog::default, |BacklogProbe(probe)| probe())
    }

    /// Name of a tag of this device.
    pub fn tag_name(&self, tag: TagId) -> String {
        let known = self.scene.get().and_then(|scene| scene.names.lock().get(&tag).map(ToString::to_string));
        known.unwrap_or_else(|| format!("of id {}", tag.0))
    }

    /// The tags of this device, as far as they are known.
    pub fn tag_ids(&self) -> Vec<TagId> {
        self.scene.get().map_or_else(Vec::new, |scene| scene.names.lock().keys().copied().collect())
    }

    fn tag_id(&self, name: &str) -> Option<TagId> {
        let names = self.scene.get()?.names.lock();
        names.iter().find(|(_, known)| known.as_str() == name).map(|(id, _)| *id)
    }

    /// The present by the clock of the process; zero where none was given.
    pub fn now(&self) -> Timestamp {
        self.scene.get().map_or(Timestamp(0), |scene| scene.clock.now())
    }

    /// Whether some tag does not deliver.
    pub fn has_troubles(&self) -> bool {
        !self.troubles.lock().is_empty()
    }

    /// Says in words why a tag is about to be Bad or Uncertain with this quality; without words, that there are none. `address` is where the
    /// device has it.
    pub fn explain(&self, tag: TagId, quality: Quality, reason: &str, address: &str) {
        let mut words = self.words.lock();
        if reason.is_empty() {
            words.remove(&tag);
        } else if words.get(&tag).is_none_or(|QualityWords { explained, .. }| explained.quality != quality || explained.reason != reason) {
            let explained = ExplainedQuality { quality, reason: reason.to_owned() };
            words.insert(tag, QualityWords { explained, address: address.to_owned() });
        }
    }

    /// Notes the quality of a tag's last sample, which was taken.
    pub fn record_quality(&self, tag: TagId, quality: Quality, at: Timestamp) {
        let mut troubles = self.troubles.lock();
        if !quality.is_bad() {
            troubles.remove(&tag);
            return;
        }
        match troubles.get_mut(&tag) {
            Some(TagTrouble::Bad { quality: before, .. }) => {
                if *before == quality {
                    return;
                }
                *before = quality;
            }
            _ => drop(troubles.insert(tag, TagTrouble::Bad { quality, since: at })),
        }
        drop(troubles);
        // That the device does not answer its collector tells, and better.
        if !quality.is_outage() {
            let name = self.tag_name(tag);
            let told = match self.words.lock().get(&tag) {
                Some(QualityWords { explained, address }) if explained.quality == quality => {
                    format!("{name} ({address}) is Bad: {}", explained.reason)
                }
                _ => format!("tag {name}: {quality}"),
            };
            self.record_error(self.now(), told);
        }
    }

    /// Notes that samples of a tag are not taken.
    pub fn record_refused(&self, name: &str, reason: &str) {
        let now = self.now();
        if let Some(tag) = self.tag_id(name) {
            let mut troubles = self.troubles.lock();
            match troubles.get_mut(&tag) {
                Some(TagTrouble::Refused { reason: before, .. }) => reason.clone_into(before),
                _ => drop(troubles.insert(tag, TagTrouble::Refused { reason: reason.to_owned(), since: now })),
            }
        }
        self.record_error(now, format!("tag {name}: {reason}"));
    }

    /// Number of tags that do not deliver, and the first of them by id.
    pub fn undelivered(&self, limit: usize) -> (usize, Vec<UndeliveredTag>) {
        let (troubles, words) = (self.troubles.lock(), self.words.lock());
        let why = |tag: TagId, quality: Quality| match words.get(&tag) {
            Some(QualityWords { explained, .. }) if explained.quality == quality => format!("{quality}: {}", explained.reason),
            _ => quality.to_string(),
        };
        let told = troubles.iter().take(limit).map(|(&tag, trouble)| {
            let (reason, since) = match trouble {
                TagTrouble::Bad { quality, since } => (why(tag, *quality), *since),
                TagTrouble::Refused { reason, since } => (reason.clone(), *since),
            };
            UndeliveredTag { tag: self.tag_name(tag), reason, since }
        });
        (troubles.len(), told.collect())
    }

    /// Notes how long answers took: requests, or values on their way from the device.
    pub fn record_latencies(&self, latencies: impl IntoIterator<Item = Duration>) {
        let mut pace = self.pace.lock();
        latencies.into_iter().for_each(|latency| pace.latency(latency));
    }

    /// Notes by how many ns the device's clock is ahead of ours.
    pub fn record_clock_offset(&self, offset: i64) {
        self.pace.lock().clock_offset(offset);
    }

    /// How long the device took of late, and how far its clock is from ours.
    pub fn pace(&self) -> DevicePace {
        self.pace.lock().view()
    }

    /// Says which tags the device has taken.
    pub fn set_created(&self, tags: impl IntoIterator<Item = TagId>) {
        self.facts.lock().created = tags.into_iter().collect();
    }

    /// Adds tags that the device has taken.
    pub fn add_created(&self, tags: impl IntoIterator<Item = TagId>) {
        self.facts.lock().created.extend(tags);
    }

    /// Says how often tags are asked for.
    pub fn set_intervals(&self, intervals: impl IntoIterator<Item = (TagId, Duration)>) {
        self.facts.lock().intervals.extend(intervals);
    }

    /// What is known of each tag.
    pub fn tag_states(&self) -> Vec<TagState> {
        let Some(scene) = self.scene.get() else { return Vec::new() };
        let (_, undelivered) = self.undelivered(usize::MAX);
        let mut troubles: BTreeMap<String, UndeliveredTag> = undelivered.into_iter().map(|told| (told.tag.clone(), told)).collect();
        let left_out = self.left_out.get().map_or_else(HashMap::default, |LeftOutProbe(probe)| probe());
        let (facts, words) = (self.facts.lock(), self.words.lock());
        let state = |(id, name): (&TagId, &TagName)| TagState {
            name: name.clone(),
            created: facts.created.contains(id),
            interval: facts.intervals.get(id).copied(),
            trouble: troubles.remove(name.as_str()),
            explained: words.get(id).map(|words| words.explained.clone()),
            left_out: left_out.get(id).copied(),
        };
        scene.names.lock().iter().map(state).collect()
    }

    /// State as its collector sees it, and degraded where it runs and samples of some tag are not taken.
    pub fn state(&self) -> DeviceState {
        let state = self.changing.lock().state;
        let refused = state == DeviceState::Running && self.delivering() < self.items_delivering.load(Ordering::Relaxed);
        if refused { DeviceState::Degraded } else { state }
    }

    /// Tags that deliver: of those that the collector counts, the ones whose samples are taken.
    pub fn delivering(&self) -> u64 {
        let refused = self.troubles.lock().values().filter(|trouble| matches!(trouble, TagTrouble::Refused { .. })).count();
        self.items_delivering.load(Ordering::Relaxed).saturating_sub(refused as u64)
    }

    /// The endpoint that is connected to; without a connection, that of the last one. The configured one where there was none.
    pub fn endpoint_in_use(&self) -> String {
        let changing = self.changing.lock();
        if changing.endpoint.is_empty() { self.endpoint.clone() } else { changing.endpoint.clone() }
    }

    /// Notes which of several endpoints is connected to.
    pub fn set_endpoint_in_use(&self, endpoint: &str) {
        endpoint.clone_into(&mut self.changing.lock().endpoint);
    }

    pub fn set_state(&self, state: DeviceState) {
        self.changing.lock().state = state;
    }

    pub fn record_error(&self, at: Timestamp, error: impl Into<String>) {
        let mut changing = self.changing.lock();
        changing.last_error = error.into();
        changing.last_error_at = at;
    }

    pub fn record_good(&self, at: Timestamp) {
        self.changing.lock().last_good_at = at;
    }

    pub fn set_holes(&self, holes: Vec<String>) {
        self.changing.lock().holes = holes;
    }

    pub fn view(&self) -> StatusView {
        let Changing { state, last_error, last_error_at, last_good_at, holes, .. } = self.changing.lock().clone();
        StatusView { state, last_error, last_error_at, last_good_at, holes }
    }

    /// Adds to a counter of this status.
    pub fn count(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}
