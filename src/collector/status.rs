//! Delivery truth of a device: what is wanted, what was created, what is actually delivering, and what went wrong last.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::model::Timestamp;

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
    /// Tags configured.
    pub items_wanted: AtomicU64,
    /// Tags the device accepted (monitored items made; addresses that answered).
    pub items_created: AtomicU64,
    /// Tags whose last sample was not Bad and which still deliver.
    pub items_delivering: AtomicU64,
    changing: Mutex<Changing>,
}

#[derive(Debug, Default, Clone)]
struct Changing {
    state: DeviceState,
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
        let Changing { state, last_error, last_error_at, last_good_at, holes } = self.changing.lock().clone();
        StatusView { state, last_error, last_error_at, last_good_at, holes }
    }

    /// Adds to a counter of this status.
    pub fn count(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}
