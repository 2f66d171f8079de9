//! One broker as it was configured, and what is taken from it.

use std::{path::PathBuf, time::Duration};

use super::{
    address::MqttAddress, client::MqttVersion, connect::BrokerAddress, filter::MqttFilter, message::MessageForm, pattern::NamePattern,
};
use historian_collector::filter_key::FilterKeys;
use historian_model::{TagDefinition, ValueType, filter::TagFilter};

/// A validated [`crate::MqttConfig`].
#[derive(Clone, Debug)]
pub(super) struct MqttSettings {
    pub(super) name: String,
    pub(super) endpoint: String,
    pub(super) address: BrokerAddress,
    pub(super) version: MqttVersion,
    pub(super) client_id: String,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) keep_alive: Duration,
    pub(super) timeout: Duration,
    pub(super) reconnect_max: Duration,
    pub(super) session_expiry: Duration,
    pub(super) at_least_once: bool,
    pub(super) message_bytes_max: usize,
    pub(super) tags_max: usize,
    pub(super) sparkplug: Option<SparkplugSettings>,
    pub(super) topics: Vec<TopicRule>,
    pub(super) tags: Vec<MqttTag>,
}

/// The Sparkplug host.
#[derive(Clone, Debug)]
pub(super) struct SparkplugSettings {
    pub(super) host_id: String,
    pub(super) groups: Vec<String>,
    pub(super) tag_name: NamePattern,
    pub(super) reorder_timeout: Duration,
    pub(super) rebirth: bool,
    /// Which samples of its tags are left out.
    pub(super) tag_filter: FilterKeys,
}

/// Topics whose messages make tags.
#[derive(Clone, Debug)]
pub(super) struct TopicRule {
    pub(super) filter: MqttFilter,
    pub(super) tag_name: NamePattern,
    pub(super) form: MessageForm,
    /// Of its tags; otherwise that of the first value.
    pub(super) value_type: Option<ValueType>,
    pub(super) unit: String,
    pub(super) stepped: Option<bool>,
    /// Which samples of its tags are left out.
    pub(super) tag_filter: FilterKeys,
}

/// One configured tag.
#[derive(Clone, Debug)]
pub(super) struct MqttTag {
    pub(super) definition: TagDefinition,
    /// As it is written.
    pub(super) address: String,
    /// The topic, and how its messages are read; `None` for a Sparkplug metric.
    pub(super) topic: Option<(String, MessageForm)>,
}

impl MqttSettings {
    /// Which samples of a tag that it makes are left out, and what the tag cannot have of that, in words.
    pub(super) fn fitting_filter(&self, tag: &TagDefinition) -> (TagFilter, Vec<String>) {
        let address = tag.source.as_ref().and_then(|source| MqttAddress::parse(&source.address).ok());
        let keys = address.and_then(|address| match address {
            MqttAddress::Metric(_) => self.sparkplug.as_ref().map(|sparkplug| &sparkplug.tag_filter),
            MqttAddress::Topic(of) => {
                let rule = self.topics.iter().find(|rule| rule.filter.captures(&of.topic).is_some());
                rule.map(|rule| &rule.tag_filter)
            }
        });
        keys.map(|keys| keys.fitting(tag)).unwrap_or_default()
    }

    /// What is subscribed to, in order: nothing that another filter covers, and the own state of a Sparkplug host first.
    pub(super) fn subscriptions(&self) -> Vec<String> {
        let mut filters = Vec::new();
        if let Some(sparkplug) = &self.sparkplug {
            filters.push(super::sparkplug::state_topic(&sparkplug.host_id));
            filters.extend(sparkplug.groups.iter().map(|group| format!("spBv1.0/{group}/#")));
        }
        let wildcards: Vec<&MqttFilter> = self.topics.iter().map(|rule| &rule.filter).collect();
        filters.extend(wildcards.iter().map(ToString::to_string));
        for tag in &self.tags {
            if let Some((topic, _)) = &tag.topic
                && !wildcards.iter().any(|filter| filter.captures(topic).is_some())
            {
                filters.push(topic.clone());
            }
        }
        let mut seen = std::collections::HashSet::new();
        filters.retain(|filter| seen.insert(filter.clone()));
        filters
    }
}
