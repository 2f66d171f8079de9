//! Acquisition: one collector per device takes samples from it and hands them to the sample sink.
//!
//! Collectors know the model and the sink, nothing of store, query or API; the types of a protocol never leave its folder. They read and
//! never write: no function that changes anything in a device is compiled in. A measurement that failed is a Bad sample, not an error.

pub mod browse;
pub mod commissioning;
pub mod config;
pub mod decimal;
pub mod distinct;
pub mod filter_key;
pub mod fingerprint;
pub mod formula;
pub mod found;
pub mod guard;
pub mod not_available;
pub mod pace;
pub mod scaling;
pub mod schedule;
pub mod spool;
pub mod state_set;
pub mod status;
pub mod supervise;
pub mod tag_key;
pub mod tag_state;
pub mod text_pattern;
pub mod unfilled;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use browse::{BrowseAnswer, BrowseRequest, BrowsedVariable};
pub use commissioning::{OtherReading, PlannedRead, Readings};
pub use config::{ConfigProblem, DeviceConfig, SettingPosition, TagConfig};
pub use found::{FoundTag, FoundTags, TagMaker};
pub use spool::{Absence, BackfilledGap, Spool, SpoolDirectory, SpoolDisk, SpoolLimits};
pub use status::DeviceStatus;
pub use tag_key::TagKey;
pub use text_pattern::TextPattern;
pub use unfilled::UnfilledGap;

use historian_model::{Clock, Quality, Sample, TagDefinition, TagId, Value, filter::TagFilter};

/// What a running collector gets from the process.
#[derive(Clone)]
pub struct CollectorContext {
    /// Bounded way to the sink; pushing never blocks the protocol loop.
    pub spool: Spool,
    pub clock: Arc<dyn Clock>,
    pub status: Arc<DeviceStatus>,
    /// The latest sample that the store holds of each tag at start, in the order of the ids; a collector continues from there. Empty when
    /// nothing is known.
    pub last: Vec<Option<Sample>>,
    /// Gaps on record, no older than [`Collector::history_back`], of each tag in the order of the ids, oldest first. Empty when there are none.
    pub unfilled: Vec<Vec<UnfilledGap>>,
    /// Tags beside the configured ones: those of earlier runs, and a way to make more.
    pub found: FoundTags,
    /// Cancelled when the collector is to stop.
    pub shutdown: CancellationToken,
}

/// Acquisition for one device: a typed, validated configuration turned into samples until it is told to stop.
#[async_trait]
pub trait Collector: Send + Sync + 'static {
    /// Name of the device in the configuration.
    fn device(&self) -> &str;

    /// Protocol name as in the configuration, for example `modbus`.
    fn protocol(&self) -> &'static str;

    /// Address of the device, as configured.
    fn endpoint(&self) -> &str;

    /// Addresses of further devices that may take the place of that at [`Collector::endpoint`]; none where there is no redundancy.
    fn redundant_endpoints(&self) -> &[String] {
        &[]
    }

    /// Name of a port of this machine that only one device can have, such as that of a serial line.
    fn exclusive_port(&self) -> Option<&str> {
        None
    }

    /// Tags it delivers, in a fixed order: the catalog gives them ids before [`Collector::run`].
    fn tags(&self) -> Vec<TagDefinition>;

    /// Whether a tag that this collector made in an earlier run, under the configuration of then, is still one that it collects.
    fn keeps(&self, _tag: &TagDefinition) -> bool {
        false
    }

    /// Which samples the configuration leaves out of a tag that this collector made and [`keeps`](Collector::keeps).
    fn filter_of(&self, _tag: &TagDefinition) -> TagFilter {
        TagFilter::default()
    }

    /// How far back this collector fills gaps from the device's own history; `None` where it does not.
    fn history_back(&self) -> Option<Duration> {
        None
    }

    /// As whom it logs on at the device, by the configuration and its files as they are now; `None` where there is nothing to log on with.
    /// Blocks for a moment.
    fn logon(&self) -> Option<LogonReport> {
        None
    }

    /// What people decided about certificates of this device, as it stands now. Blocks for a moment.
    fn certificate_decisions(&self) -> Vec<CertificateDecision> {
        Vec::new()
    }

    /// A number that tells whether two configurations of a device are the same: of all that it is and does, its tags included, and not of where
    /// in a file that is written.
    fn fingerprint(&self) -> u64 {
        fingerprint::of(&(self.device(), self.protocol(), self.endpoint(), self.tags()))
    }

    /// Collects until `context.shutdown`; `ids` are in the order of [`Collector::tags`]. Survives every fault of the device. May be called again
    /// after it ended by a panic.
    async fn run(self: Arc<Self>, ids: Vec<TagId>, context: CollectorContext);

    /// Connects and reads every tag once; a row per tag in the order of [`Collector::tags`], each with value or error, and behind them the
    /// rows of what it reads and does not deliver. Ends within about `timeout` even when the device never answers.
    async fn check(&self, timeout: Duration) -> Vec<CheckRow>;

    /// The requests of one round of all its scan classes, as they are planned before anything is known of the device; empty where the
    /// protocol plans none.
    fn planned_reads(&self) -> Vec<PlannedRead> {
        Vec::new()
    }

    /// What the rows of a check, together, say of the device and its configuration: a sentence each.
    fn advice(&self, rows: &[CheckRow]) -> Vec<String> {
        let _ = rows;
        Vec::new()
    }

    /// Lists what the device offers to collect.
    ///
    /// # Errors
    /// The protocol has no way to ask, the device does not answer, or the request is wrong.
    async fn browse(&self, _request: &BrowseRequest) -> Result<BrowseAnswer, String> {
        Err(format!("{} devices do not tell what they have", self.protocol()))
    }

    /// Trusts a certificate that a device has shown, or rejects one; `certificate` is a name of [`Collector::certificate_decisions`]. Blocks for
    /// a moment.
    ///
    /// # Errors
    /// There is no such certificate, or the file cannot be moved.
    fn decide_certificate(&self, _certificate: &str, _trusted: bool) -> Result<(), String> {
        Err(format!("{} devices have no certificates to decide about", self.protocol()))
    }
}

/// As whom a collector logs on at its device. Never with what is secret of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogonReport {
    /// A sentence without its subject: "logs on as …".
    pub told: String,
    /// What is wrong with the files that it takes, a sentence each.
    pub wrong: Vec<String>,
}

impl LogonReport {
    /// All that there is to say.
    pub fn lines(self) -> impl Iterator<Item = String> {
        Some(self.told).filter(|told| !told.is_empty()).into_iter().chain(self.wrong)
    }
}

/// A certificate that a device has shown, or may show, and whether it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDecision {
    /// Name and thumbprint, as its file has them.
    pub certificate: String,
    pub trusted: bool,
}

/// One tag read once by `historian check`.
#[derive(Clone, Debug)]
pub struct CheckRow {
    pub tag: String,
    pub address: String,
    pub value: Option<Value>,
    pub quality: Quality,
    /// Time from request to answer, absent when there was no answer.
    pub latency: Option<Duration>,
    /// What went wrong, in words for an engineer; empty when the read was good.
    pub error: String,
    /// What an engineer should know of a tag that is good; may be empty.
    pub note: String,
    /// How else the value could be read.
    pub readings: Readings,
    /// That it has no value is no fault: nothing of the tag is stored, and what takes it does without.
    pub excused: bool,
}

impl CheckRow {
    /// True when the tag was read and its quality is not Bad, or its value is not missed. An Uncertain value arrives, and is stored as such.
    pub fn is_good(&self) -> bool {
        self.error.is_empty() && (self.excused || !self.quality.is_bad())
    }
}
