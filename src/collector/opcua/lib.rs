//! OPC UA collector: subscriptions with data changes, from one server.
//!
//! One way through the folder:
//! [`config`] and [`tag`] (what is wanted; [`address`] by namespace URI) → [`connection`] (discovery, [`endpoint`], [`pki`], [`user`]; bytes through
//! [`wire`]) → [`session`] (opened, or taken up again after a cut) → [`subscribe`] (own desired state, created and compared item by item;
//! watchdog) and [`publish`] → [`conversion`], [`structure`] and [`convert`] (value, quality) and [`times`] → [`deliver`] (the samples around an outage) →
//! spool; beside it [`history`] (what an outage has cost, from the server's history). [`supervise`] goes round it for ever; [`check`] reads and
//! subscribes once; [`browse`] lists what could be collected. What globs ([`glob`]) find becomes tags while the server is collected from
//! ([`found`]); [`identity`] sees whether nodes are still what they were. Of a set of redundant servers [`redundancy`] says which is used.
//!
//! Only Browse, Read, `HistoryRead` and the subscription services are used; the collector writes, calls and updates nothing in a server.
//!
//! A historian that was ended during an outage and started after it does not know that its last sample of a tag was Bad: such a tag shows
//! Bad until the device's value changes.

pub mod address;
mod browse;
pub mod check;
pub mod config;
mod connection;
mod conversion;
mod convert;
mod deliver;
mod delivered;
mod device;
mod endpoint;
mod fault;
mod found;
mod found_address;
#[doc(hidden)]
pub mod fuzz;
mod glob;
mod glob_section;
mod history;
mod identity;
mod item;
mod left_out;
mod nearest;
mod path_filter;
mod pki;
mod publish;
mod read;
mod redundancy;
mod session;
mod structure;
mod subscribe;
mod subscription;
mod supervise;
mod tag;
mod times;
mod user;
mod wanted;
mod wire;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;

use device::OpcUaSettings;
use historian_collector::{BrowseAnswer, BrowseRequest, CertificateDecision, CheckRow, Collector, CollectorContext, LogonReport};
use historian_model::{Clock, SystemClock, TagDefinition, TagId, filter::TagFilter};

pub use config::OpcUaConfig;

/// Collector of one OPC UA server. Made by [`OpcUaConfig`].
#[derive(Debug)]
pub struct OpcUaCollector {
    device: Arc<OpcUaSettings>,
    /// How the last check logged on and what it found of the globs, in sentences.
    checked: Mutex<Vec<String>>,
}

impl OpcUaCollector {
    fn new(device: OpcUaSettings) -> OpcUaCollector {
        OpcUaCollector { device: Arc::new(device), checked: Mutex::default() }
    }
}

#[async_trait]
impl Collector for OpcUaCollector {
    fn device(&self) -> &str {
        &self.device.name
    }

    fn protocol(&self) -> &'static str {
        "opcua"
    }

    fn endpoint(&self) -> &str {
        &self.device.endpoint
    }

    fn redundant_endpoints(&self) -> &[String] {
        &self.device.redundant
    }

    fn tags(&self) -> Vec<TagDefinition> {
        self.device.items.iter().map(|item| item.definition.clone()).collect()
    }

    fn history_back(&self) -> Option<Duration> {
        self.device.history.map(|history| history.back)
    }

    fn keeps(&self, tag: &TagDefinition) -> bool {
        self.device.makes(tag)
    }

    fn logon(&self) -> Option<LogonReport> {
        user::report(&self.device.user, SystemClock.now())
    }

    fn filter_of(&self, tag: &TagDefinition) -> TagFilter {
        self.device.filter_of(tag)
    }

    fn certificate_decisions(&self) -> Vec<CertificateDecision> {
        pki::decisions(&self.device)
    }

    fn fingerprint(&self) -> u64 {
        historian_collector::fingerprint::of(&self.device)
    }

    async fn run(self: Arc<Self>, ids: Vec<TagId>, context: CollectorContext) {
        Box::pin(supervise::run(&self.device, &ids, &context)).await;
    }

    async fn check(&self, timeout: Duration) -> Vec<CheckRow> {
        let (rows, told) = Box::pin(check::run(&self.device, timeout)).await;
        let logon = self.logon().unwrap_or_default();
        *self.checked.lock() = logon.lines().chain(told).collect();
        rows
    }

    fn advice(&self, _rows: &[CheckRow]) -> Vec<String> {
        self.checked.lock().clone()
    }

    async fn browse(&self, request: &BrowseRequest) -> Result<BrowseAnswer, String> {
        Box::pin(browse::run(&self.device, request)).await
    }

    fn decide_certificate(&self, certificate: &str, trusted: bool) -> Result<(), String> {
        pki::decide(&self.device, certificate, trusted)
    }
}
