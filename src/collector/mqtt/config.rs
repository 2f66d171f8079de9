//! One `[[mqtt]]` table of the configuration, and what can be wrong with it.
//!
//! ```toml
//! [[mqtt]]
//! name = "broker"
//! endpoint = "10.0.0.7:1883"
//!
//! [[mqtt.topic]]
//! filter = "plant/+/+/state"
//! tag_name = "{1}/{2}/{field}"
//! fields = ["*"]
//! time = "/ts"
//! time_format = "unix_ms"
//!
//! [[mqtt.tag]]
//! name = "area1/boiler/temperature"
//! address = "plant/boiler/state#/temperature"
//! unit = "degC"
//! ```
//!
//! A tag without `type` is `f64`: the catalog needs a type before a value comes.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;

use super::{
    MqttCollector,
    address::{self, MqttAddress},
    client::{MqttVersion, PACKET_BYTES_MAX},
    connect::{BrokerAddress, BrokerTls},
    device::{MqttSettings, MqttTag, SparkplugSettings},
    message::{MessageForm, PayloadForm, ValueMembers},
    pattern::NamePattern,
    stamp::{QualityFormat, StampFormat},
    topic_section::TopicSection,
};
use historian_collector::{Collector, ConfigProblem, DeviceConfig, SettingPosition, TagConfig, TagKey, filtered_section};
use historian_model::{TagName, ValueType, tag::TagSource};
use historian_tls::ClientTls;

/// Keys of `[[mqtt.tag]]` beside the common ones: how the messages of its topic are read.
const TAG_KEYS: &[TagKey] =
    &[TagKey::text("payload"), TagKey::text("time"), TagKey::text("time_format"), TagKey::text("quality"), TagKey::text("quality_format")];

/// Most configured tags of one device.
const TAGS_MAX: usize = 200_000;

/// One MQTT broker as the configuration file describes it. [`DeviceConfig::build`] checks it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    pub name: String,
    /// `host:port`, `[::1]:port`.
    pub endpoint: String,
    /// `5` (default) or `3.1.1`.
    #[serde(default)]
    pub version: Option<String>,
    /// By default `historian-` and the name of the device. A broker lets no two clients of one id be connected.
    #[serde(default)]
    pub client_id: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    /// File with the user's password. Read at each connect, so that a new password needs no restart.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    #[serde(default)]
    pub tls: bool,
    /// Authorities that are trusted beside those of the machine.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What we show to the broker.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Name to expect in the broker's certificate instead of the endpoint's host.
    #[serde(default)]
    pub server_name: Option<String>,
    #[serde(default)]
    pub keep_alive_s: Option<u64>,
    /// Bound of each step of connecting.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Longest time between two attempts to connect.
    #[serde(default)]
    pub reconnect_max_ms: Option<u64>,
    /// How long the broker keeps messages for us while we are away; 0 for not at all.
    #[serde(default)]
    pub session_expiry_s: Option<u64>,
    /// 0 or 1.
    #[serde(default)]
    pub qos: Option<u64>,
    /// Largest payload that is taken.
    #[serde(default)]
    pub message_bytes_max: Option<u64>,
    /// Most tags that the device makes by itself.
    #[serde(default)]
    pub tags_max: Option<u64>,
    #[serde(default)]
    pub sparkplug: Option<SparkplugSection>,
    #[serde(default)]
    pub topic: Vec<TopicSection>,
}

filtered_section! {
    /// `[mqtt.sparkplug]`
    #[derive(Clone, Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct SparkplugSection {
        pub host_id: String,
        /// Group ids; `+` for all.
        #[serde(default)]
        pub groups: Option<Vec<String>>,
        #[serde(default)]
        pub tag_name: Option<String>,
        #[serde(default)]
        pub reorder_timeout_ms: Option<u64>,
        /// Whether nodes are asked for a rebirth.
        #[serde(default)]
        pub rebirth: Option<bool>,
    }
}

impl DeviceConfig for MqttConfig {
    const PROTOCOL: &'static str = "mqtt";
    const TITLE: &'static str = "MQTT";
    const TAG_KEYS: &'static [TagKey] = TAG_KEYS;
    const PLAIN: &'static str = "name = \"device\"\nendpoint = \"127.0.0.1:1883\"\nsparkplug = { host_id = \"historian\" }";

    fn name(&self) -> &str {
        &self.name
    }

    fn resolve(&mut self, directory: &Path) -> Vec<(&'static str, String)> {
        let mut missing = Vec::new();
        for (key, file) in [
            ("password_file", &mut self.password_file),
            ("ca_file", &mut self.ca_file),
            ("certificate_file", &mut self.certificate_file),
            ("key_file", &mut self.key_file),
        ] {
            if let Some(file) = file {
                *file = directory.join(&*file);
                if !file.is_file() {
                    missing.push((key, format!("there is no file {}", file.display())));
                }
            }
        }
        missing
    }

    fn build(self, position: SettingPosition, tags: Vec<TagConfig>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>> {
        Ok(Arc::new(self.collector(position, tags)?))
    }
}

impl MqttConfig {
    /// Every problem found, otherwise the collector.
    pub(super) fn collector(self, position: SettingPosition, tags: Vec<TagConfig>) -> Result<MqttCollector, Vec<ConfigProblem>> {
        let mut checks = MqttChecks { prefix: format!("mqtt.{}", self.name), position, problems: Vec::new() };
        if self.name.is_empty() || self.name.chars().any(|c| c.is_control() || c == '.') {
            checks.problem("name", "is empty or has a dot or control character");
        }
        let (host, port) = checks.endpoint(&self.endpoint);
        let version = match self.version.as_deref() {
            None | Some("5") => MqttVersion::V5,
            Some("3.1.1") => MqttVersion::V311,
            Some(other) => {
                checks.problem("version", format!("unknown version {other:?}; known are 5 and 3.1.1"));
                MqttVersion::V5
            }
        };
        let client_id = self.client_id.clone().unwrap_or_else(|| format!("historian-{}", self.name));
        if client_id.is_empty() || client_id.len() > 512 || client_id.chars().any(char::is_control) {
            checks.problem("client_id", "is empty, longer than 512 bytes, or has a control character");
        }
        match (&self.user, &self.password_file) {
            (None, Some(_)) => checks.problem("user", "is missing for the password_file"),
            (Some(user), _) if user.is_empty() => checks.problem("user", "is empty"),
            _ => {}
        }
        let tls = checks.tls(&self, &host);
        let keep_alive = Duration::from_secs(checks.number("keep_alive_s", self.keep_alive_s, 30, 1, 65_535));
        let timeout = Duration::from_millis(checks.number("timeout_ms", self.timeout_ms, 5_000, 100, 600_000));
        let reconnect_max = Duration::from_millis(checks.number("reconnect_max_ms", self.reconnect_max_ms, 30_000, 100, 86_400_000));
        let session_expiry = Duration::from_secs(checks.number("session_expiry_s", self.session_expiry_s, 3_600, 0, 2_592_000));
        let at_least_once = checks.number("qos", self.qos, 1, 0, 1) == 1;
        let bytes_max = u64::from(PACKET_BYTES_MAX) - (1 << 20);
        let message_bytes_max = checks.number("message_bytes_max", self.message_bytes_max, 4 << 20, 1_024, bytes_max) as usize;
        let tags_max = checks.number("tags_max", self.tags_max, 10_000, 0, 1_000_000) as usize;
        let sparkplug = self.sparkplug.as_ref().and_then(|section| checks.sparkplug(section));
        let mut topics = Vec::new();
        for (number, section) in self.topic.iter().enumerate() {
            match section.rule() {
                Ok(rule) => topics.push(rule),
                Err((key, message)) => checks.problem(&format!("topic[{}].{key}", number + 1), message),
            }
        }
        let tags = checks.tags(&self.name, tags, self.sparkplug.is_some());
        if tags.is_empty() && topics.is_empty() && sparkplug.is_none() && checks.problems.is_empty() {
            checks.problem("tag", "nothing is collected: there is no [[mqtt.tag]], [[mqtt.topic]] or [mqtt.sparkplug]");
        }
        if !checks.problems.is_empty() {
            return Err(checks.problems);
        }
        Ok(MqttCollector::new(MqttSettings {
            name: self.name,
            endpoint: self.endpoint,
            address: BrokerAddress { host, port, tls },
            version,
            client_id,
            user: self.user,
            password_file: self.password_file,
            keep_alive,
            timeout,
            reconnect_max,
            session_expiry,
            at_least_once,
            message_bytes_max,
            tags_max,
            sparkplug,
            topics,
            tags,
        }))
    }
}

struct MqttChecks {
    prefix: String,
    position: SettingPosition,
    problems: Vec<ConfigProblem>,
}

impl MqttChecks {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(ConfigProblem {
            position: self.position.clone(),
            key: format!("{}.{key}", self.prefix),
            message: message.into(),
        });
    }

    fn number(&mut self, key: &str, value: Option<u64>, default: u64, least: u64, most: u64) -> u64 {
        let value = value.unwrap_or(default);
        if !(least..=most).contains(&value) {
            self.problem(key, format!("is {value}, allowed are {least} to {most}"));
        }
        value
    }

    fn endpoint(&mut self, endpoint: &str) -> (String, u16) {
        if endpoint.contains('@') {
            // What stands before the host may be a password, and is not told.
            self.problem("endpoint", "has an @; a user and a password go into user and password_file");
            return (String::new(), 0);
        }
        if let Some((scheme, _)) = endpoint.split_once("://") {
            let tls = if ["mqtts", "ssl", "tls"].contains(&scheme) { "; TLS is `tls = true`" } else { "" };
            self.problem("endpoint", format!("{endpoint:?} is not of the form host:port{tls}"));
            return (String::new(), 0);
        }
        let parts = endpoint.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok().filter(|port| *port > 0)?)));
        let Some((host, port)) = parts else {
            self.problem("endpoint", format!("{endpoint:?} is not of the form host:port; usual ports are 1883, with TLS 8883"));
            return (String::new(), 0);
        };
        let within = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let plain = within.unwrap_or(host);
        if plain.is_empty() || plain.contains(char::is_whitespace) || plain.contains('/') || (within.is_none() && plain.contains(':')) {
            self.problem("endpoint", format!("{endpoint:?} is not of the form host:port or [address]:port"));
        }
        (plain.to_owned(), port)
    }

    fn tls(&mut self, config: &MqttConfig, host: &str) -> Option<BrokerTls> {
        if !config.tls {
            for (key, given) in [
                ("ca_file", config.ca_file.is_some()),
                ("certificate_file", config.certificate_file.is_some()),
                ("key_file", config.key_file.is_some()),
                ("server_name", config.server_name.is_some()),
            ] {
                if given {
                    self.problem(key, "has no effect without `tls = true`");
                }
            }
            return None;
        }
        let pair = match (&config.certificate_file, &config.key_file) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => {
                self.problem("key_file", "is missing for the certificate_file");
                None
            }
            (None, Some(_)) => {
                self.problem("certificate_file", "is missing for the key_file");
                None
            }
        };
        let server_name = config.server_name.clone().unwrap_or_else(|| host.to_owned());
        if server_name.is_empty() && config.server_name.is_some() {
            self.problem("server_name", "is empty");
        }
        Some(BrokerTls { files: ClientTls { ca: config.ca_file.clone(), pair }, server_name })
    }

    fn sparkplug(&mut self, section: &SparkplugSection) -> Option<SparkplugSettings> {
        let is_id = |id: &str| !id.is_empty() && id.len() <= 256 && !id.contains(['/', '+', '#']) && !id.chars().any(char::is_control);
        if !is_id(&section.host_id) {
            self.problem("sparkplug.host_id", "is empty, longer than 256 bytes, or has one of / + #");
        }
        let groups = section.groups.clone().unwrap_or_else(|| vec!["+".to_owned()]);
        if groups.is_empty() {
            self.problem("sparkplug.groups", "is empty; all groups are [\"+\"]");
        }
        for group in &groups {
            if group != "+" && !is_id(group) {
                self.problem("sparkplug.groups", format!("{group:?} is no group id"));
            }
        }
        let tag_filter = section.tag_filter();
        if let Some((key, message)) = tag_filter.refused_of_any(None, None, true) {
            self.problem(&format!("sparkplug.{key}"), message);
        }
        let reorder = self.number("sparkplug.reorder_timeout_ms", section.reorder_timeout_ms, 5_000, 0, 600_000);
        match NamePattern::of_sparkplug(section.tag_name.as_deref().unwrap_or("{group}/{node}/{device}/{metric}")) {
            Ok(tag_name) => Some(SparkplugSettings {
                host_id: section.host_id.clone(),
                groups,
                tag_name,
                reorder_timeout: Duration::from_millis(reorder),
                rebirth: section.rebirth.unwrap_or(true),
                tag_filter,
            }),
            Err(message) => {
                self.problem("sparkplug.tag_name", message);
                None
            }
        }
    }

    fn tags(&mut self, device: &str, tags: Vec<TagConfig>, has_sparkplug: bool) -> Vec<MqttTag> {
        if tags.len() > TAGS_MAX {
            self.problem("tag", format!("has {} tags, at most {TAGS_MAX} are taken", tags.len()));
        }
        let mut made: Vec<MqttTag> = Vec::with_capacity(tags.len());
        let mut names: HashMap<String, SettingPosition> = HashMap::new();
        let mut addresses: HashMap<String, String> = HashMap::new();
        for tag in tags {
            let prefix = self.prefix.clone();
            if let Some(first) = names.get(&tag.name) {
                let message = format!("is at {}:{} already; a tag has one source", first.file, first.line);
                self.problems.push(tag.problem(&prefix, "name", message));
                continue;
            }
            names.insert(tag.name.clone(), tag.position.clone());
            if let Some(other) = addresses.insert(tag.address.clone(), tag.name.clone()) {
                self.problems.push(tag.problem(&prefix, "address", format!("is that of tag {other} already")));
                continue;
            }
            match mqtt_tag(device, &tag, &prefix, has_sparkplug) {
                Ok(tag) => made.push(tag),
                Err(problems) => self.problems.extend(problems),
            }
        }
        made
    }
}

fn mqtt_tag(device: &str, tag: &TagConfig, prefix: &str, has_sparkplug: bool) -> Result<MqttTag, Vec<ConfigProblem>> {
    let mut problems = Vec::new();
    let mut refuse = |key: &str, message: String| problems.push(tag.problem(prefix, key, message));
    let name = TagName::new(&tag.name).map_err(|error| refuse("name", error.to_string())).ok();
    let value_type = match tag.value_type_with_states(prefix) {
        Ok(value_type) => value_type.unwrap_or(ValueType::F64),
        Err(problem) => {
            problems.push(problem);
            ValueType::F64
        }
    };
    let mut refuse = |key: &str, message: String| problems.push(tag.problem(prefix, key, message));
    let address = address::configured(&tag.address).map_err(|message| refuse("address", message)).ok();
    let pointer_of = |key: &'static str, refuse: &mut dyn FnMut(&str, String)| {
        let pointer = tag.own.text(key).map(str::to_owned);
        if let Some(pointer) = pointer.as_deref().filter(|pointer| !address::is_pointer(pointer)) {
            refuse(key, format!("{pointer:?} is no JSON pointer, which begins with /"));
        }
        pointer
    };
    let time = pointer_of("time", &mut refuse);
    let quality = pointer_of("quality", &mut refuse);
    let time_format = tag.own.text("time_format").map(StampFormat::named).transpose();
    let time_format = time_format.map_err(|message| refuse("time_format", message)).ok().flatten();
    let quality_format = tag.own.text("quality_format").map(QualityFormat::named).transpose();
    let quality_format = quality_format.map_err(|message| refuse("quality_format", message)).ok().flatten();
    let topic = match &address {
        Some(MqttAddress::Topic(topic)) => {
            let payload = match tag.own.text("payload") {
                None if topic.pointer.is_empty() && time.is_none() && quality.is_none() => PayloadForm::Text,
                None | Some("json") => PayloadForm::Json,
                Some("text") => PayloadForm::Text,
                Some(other) => {
                    refuse("payload", format!("unknown form {other:?}; known are json, text"));
                    PayloadForm::Json
                }
            };
            if payload == PayloadForm::Text && (!topic.pointer.is_empty() || time.is_some() || quality.is_some()) {
                refuse("payload", "a text has no members: say \"json\", or leave out # in the address, time and quality".to_owned());
            }
            let values = if topic.pointer.is_empty() { ValueMembers::Whole } else { ValueMembers::At(vec![topic.pointer.clone()]) };
            let form = MessageForm {
                payload,
                items: None,
                values,
                time,
                time_format: time_format.unwrap_or_default(),
                quality,
                quality_format: quality_format.unwrap_or_default(),
            };
            Some((topic.topic.clone(), form))
        }
        Some(MqttAddress::Metric(_)) => {
            if !has_sparkplug {
                refuse("address", "is of Sparkplug, and the device has no [mqtt.sparkplug]".to_owned());
            }
            for key in tag.own.names() {
                refuse(key, "is told by Sparkplug itself".to_owned());
            }
            None
        }
        None => None,
    };
    let Some(name) = name.filter(|_| problems.is_empty()) else { return Err(problems) };
    let source = TagSource { device: device.to_owned(), address: tag.address.clone() };
    let definition = tag.definition(prefix, name, value_type, source).map_err(|problem| vec![problem])?;
    Ok(MqttTag { definition, address: tag.address.clone(), topic })
}

#[cfg(test)]
mod tests;
