//! The protocols a configuration can name, one line in [`PROTOCOLS`] each; what they add to it, they say by their [`DeviceConfig`].

use std::{path::Path, sync::Arc};

use super::{
    document::{DeviceTable, Document},
    wording,
};
use historian_collector::{Collector, ConfigProblem, DeviceConfig, TagConfig, TagKey, tag_key::COMMON};
use historian_modbus::config::ModbusConfig;
use historian_model::TagDefinition;
use historian_mqtt::config::MqttConfig;
use historian_opcua::config::OpcUaConfig;

/// A protocol's array of tables, `[[name]]`, and how one of them is read.
pub struct Protocol {
    /// `modbus`
    pub name: &'static str,
    /// `Modbus`
    pub title: &'static str,
    /// Keys of its tags beside the common ones.
    pub tag_keys: &'static [TagKey],
    tag_keys_remark: &'static str,
    /// A device that is all defaults, in TOML.
    pub plain: &'static str,
    read: for<'text> fn(&'static Protocol, &mut Document<'text>, DeviceTable<'text>, &Path) -> Option<DeviceEntry>,
    definition: fn(&TagConfig) -> Result<TagDefinition, Vec<ConfigProblem>>,
}

/// Every protocol, in the order in which collectors are made.
pub static PROTOCOLS: &[Protocol] = &[protocol::<ModbusConfig>(), protocol::<OpcUaConfig>(), protocol::<MqttConfig>()];

const fn protocol<Config: DeviceConfig>() -> Protocol {
    Protocol {
        name: Config::PROTOCOL,
        title: Config::TITLE,
        tag_keys: Config::TAG_KEYS,
        tag_keys_remark: Config::TAG_KEYS_REMARK,
        plain: Config::PLAIN,
        read: read::<Config>,
        definition: definition::<Config>,
    }
}

/// A common key of tags, or one that some protocol has; a name means the same to all that have it.
pub(super) fn tag_key(name: &str) -> Option<TagKey> {
    COMMON.iter().chain(PROTOCOLS.iter().flat_map(|protocol| protocol.tag_keys)).find(|key| key.name == name).copied()
}

/// Definition of a collected tag whose device is not at hand: as a device of the protocol that knows its address would have it, with that
/// protocol's defaults.
///
/// # Errors
/// The problems at the keys of the tag.
pub(super) fn definition_of(tag: &TagConfig) -> Result<TagDefinition, Vec<ConfigProblem>> {
    let mut refused = Vec::new();
    for protocol in PROTOCOLS {
        match protocol.definition(tag) {
            Ok(definition) => return Ok(definition),
            // The protocol that knows the address has the better word on the rest.
            Err(problems) if refused.is_empty() || !problems.iter().any(|problem| problem.key.ends_with(".address")) => refused = problems,
            Err(_) => {}
        }
    }
    Err(refused)
}

impl Protocol {
    /// Reads one device; `None` when it cannot be read, with problems in the document. Relative paths start at `directory`.
    pub(super) fn read<'text>(
        &'static self,
        document: &mut Document<'text>,
        table: DeviceTable<'text>,
        directory: &Path,
    ) -> Option<DeviceEntry> {
        (self.read)(self, document, table, directory)
    }

    /// What is wrong with a key of a tag that no protocol knows.
    fn unknown_tag_key(&self, key: &str) -> String {
        let known: Vec<&str> = COMMON.iter().chain(self.tag_keys).map(|key| key.name).collect();
        wording::unknown_key(key, &known)
    }

    /// What is wrong with a key of a tag that only other protocols know.
    fn foreign_tag_key(&self, key: &str) -> String {
        let others: Vec<&str> = PROTOCOLS.iter().filter(|other| other.has(key)).map(|other| other.title).collect();
        let own = self.tag_keys.iter().map(|own| own.name).collect::<Vec<_>>().join(", ");
        let remark = if self.tag_keys_remark.is_empty() { String::new() } else { format!("; {}", self.tag_keys_remark) };
        format!("is a key of {} tags; {} tags have {own}{remark}", others.join(" and "), self.title)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.tag_keys.iter().any(|own| own.name == key)
    }

    fn definition(&self, tag: &TagConfig) -> Result<TagDefinition, Vec<ConfigProblem>> {
        let mut problems: Vec<ConfigProblem> = self.refused(tag, "device").collect();
        match (self.definition)(tag) {
            Ok(definition) if problems.is_empty() => return Ok(definition),
            Ok(_) => {}
            Err(refused) => problems.extend(refused),
        }
        Err(problems)
    }

    /// Problems of the keys that a tag has and the tags of the protocol have not.
    fn refused<'tag>(&'tag self, tag: &'tag TagConfig, device: &'tag str) -> impl Iterator<Item = ConfigProblem> + 'tag {
        let foreign = tag.own.names().filter(|name| !self.has(name));
        foreign.map(move |key| tag.problem(device, key, self.foreign_tag_key(key)))
    }
}

type CollectorBuilder = Box<dyn FnOnce(Vec<TagConfig>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>>>;

/// A device read from the file, before its tags from tag files have joined it.
pub(super) struct DeviceEntry {
    /// `modbus.boiler`
    pub(super) key: String,
    pub(super) name: String,
    pub(super) tags: Vec<TagConfig>,
    protocol: &'static Protocol,
    build: CollectorBuilder,
}

impl DeviceEntry {
    /// Checks the device with all its tags and makes its collector.
    pub(super) fn build(self) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>> {
        let mut problems: Vec<ConfigProblem> = self.tags.iter().flat_map(|tag| self.protocol.refused(tag, &self.key)).collect();
        match (self.build)(self.tags) {
            Ok(collector) if problems.is_empty() => return Ok(collector),
            Ok(_) => {}
            Err(refused) => problems.extend(refused),
        }
        Err(problems)
    }
}

fn read<'text, Config: DeviceConfig>(
    protocol: &'static Protocol,
    document: &mut Document<'text>,
    mut table: DeviceTable<'text>,
    directory: &Path,
) -> Option<DeviceEntry> {
    let (key, position) = (table.key.clone(), table.position.clone());
    let tags = document.tags(&mut table, |name| tag_key(name).ok_or_else(|| protocol.unknown_tag_key(name)));
    let mut config: Config = document.device(table)?;
    for (name, message) in config.resolve(directory) {
        document.problems.push(ConfigProblem { position: position.clone(), key: format!("{key}.{name}"), message });
    }
    let name = config.name().to_owned();
    Some(DeviceEntry { key, name, tags, protocol, build: Box::new(move |tags| config.build(position, tags)) })
}

fn definition<Config: DeviceConfig>(tag: &TagConfig) -> Result<TagDefinition, Vec<ConfigProblem>> {
    if let Some(definition) = Config::definition(tag) {
        return definition;
    }
    let position = || tag.position.clone();
    let broken = |message: String| vec![ConfigProblem { position: position(), key: "device".to_owned(), message }];
    let device: Config = toml::from_str(Config::PLAIN).map_err(|error| broken(error.to_string()))?;
    let tags = device.build(position(), vec![tag.clone()])?.tags();
    tags.into_iter().next().ok_or_else(|| broken("the device has no such tag".to_owned()))
}
