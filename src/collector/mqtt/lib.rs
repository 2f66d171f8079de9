//! MQTT collector: what a broker has of plain topics and of Sparkplug B.
//!
//! The way of a value: [`config`] turns `[[mqtt]]`, its topics ([`filter`], [`pattern`], `topic_section`) and tags ([`address`]) into what is
//! subscribed to. `supervise` goes round `session`: a link ([`client`], over [`connect`]) is subscribed and held; each message goes into
//! `intake`, which takes it apart ([`message`], [`scalar`], [`stamp`]; Sparkplug in [`sparkplug`], `edges`), finds the tag or has it made, and
//! hands the value to [`held`]: the samples around an outage, and the spool. [`check`] does the same for a short time.
//!
//! Nothing is written: the only messages that can be published are those of [`announce`], the state of a Sparkplug host and the request for a
//! rebirth.

pub mod address;
pub mod announce;
mod check;
pub mod client;
pub mod config;
pub mod connect;
mod device;
mod edges;
mod exact;
pub mod filter;
pub mod held;
mod intake;
pub mod message;
pub mod pattern;
mod resumed;
pub mod scalar;
mod session;
pub mod sparkplug;
pub mod stamp;
mod supervise;
mod topic_section;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use config::MqttConfig;

use device::MqttSettings;
use historian_collector::{CheckRow, Collector, CollectorContext};
use historian_model::{TagDefinition, TagId, filter::TagFilter};

/// Collector of one MQTT broker. Made by [`MqttConfig`].
#[derive(Debug)]
pub struct MqttCollector {
    device: Arc<MqttSettings>,
}

impl MqttCollector {
    fn new(device: MqttSettings) -> MqttCollector {
        MqttCollector { device: Arc::new(device) }
    }
}

#[async_trait]
impl Collector for MqttCollector {
    fn device(&self) -> &str {
        &self.device.name
    }

    fn protocol(&self) -> &'static str {
        "mqtt"
    }

    fn endpoint(&self) -> &str {
        &self.device.endpoint
    }

    fn tags(&self) -> Vec<TagDefinition> {
        self.device.tags.iter().map(|tag| tag.definition.clone()).collect()
    }

    fn keeps(&self, tag: &TagDefinition) -> bool {
        self.device.makes(tag)
    }

    fn filter_of(&self, tag: &TagDefinition) -> TagFilter {
        self.device.fitting_filter(tag).0
    }

    fn fingerprint(&self) -> u64 {
        historian_collector::fingerprint::of(self)
    }

    async fn run(self: Arc<Self>, ids: Vec<TagId>, context: CollectorContext) {
        Box::pin(supervise::run(&self.device, &ids, &context)).await;
    }

    async fn check(&self, timeout: Duration) -> Vec<CheckRow> {
        Box::pin(check::run(&self.device, timeout)).await
    }
}
