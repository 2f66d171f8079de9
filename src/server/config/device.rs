//! The protocols a configuration can name: one implementation of [`DeviceConfig`] and one line in [`PROTOCOLS`] each.

use std::{path::Path, sync::Arc};

use serde::de::DeserializeOwned;

use super::document::{DeviceTable, Document};
use historian_collector::{Collector, ConfigProblem, Position, TagConfig};
use historian_modbus::config::ModbusConfig;
use historian_model::TagDefinition;
use historian_opcua::config::OpcUaConfig;

/// A protocol's array of tables, `[[name]]`, and how one of them is read.
pub(super) struct Protocol {
    pub(super) name: &'static str,
    read: for<'text> fn(&mut Document<'text>, DeviceTable<'text>, &Path) -> Option<Device>,
    definition: fn(&TagConfig) -> Result<TagDefinition, Vec<ConfigProblem>>,
}

/// Every protocol, in the order in which collectors are made.
pub(super) static PROTOCOLS: [Protocol; 2] = [protocol::<ModbusConfig>("modbus"), protocol::<OpcUaConfig>("opcua")];

const fn protocol<Config: DeviceConfig>(name: &'static str) -> Protocol {
    Protocol { name, read: read::<Config>, definition: definition::<Config> }
}

/// Definition of a collected tag whose device is not at hand: as a device of the protocol that knows its address would have it, with that
/// protocol's defaults.
///
/// # Errors
/// The problems at the keys of the tag.
pub(super) fn definition_of(tag: &TagConfig) -> Result<TagDefinition, Vec<ConfigProblem>> {
    let mut refused = Vec::new();
    for protocol in &PROTOCOLS {
        match (protocol.definition)(tag) {
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
    pub(super) fn read<'text>(&self, document: &mut Document<'text>, table: DeviceTable<'text>, directory: &Path) -> Option<Device> {
        (self.read)(document, table, directory)
    }
}

/// A device as configured, its tags aside: those in its own tables and those in tag files are built together.
trait DeviceConfig: DeserializeOwned + 'static {
    /// A device that is all defaults.
    const PLAIN: &str;

    fn name(&self) -> &str;

    /// Makes relative paths absolute, and names files that are not there with the key that names them.
    fn resolve(&mut self, _directory: &Path) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn build(self, position: Position, tags: Vec<TagConfig>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>>;
}

type Build = Box<dyn FnOnce(Vec<TagConfig>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>>>;

/// A device read from the file, before its tags from tag files have joined it.
pub(super) struct Device {
    /// `modbus.boiler`
    pub(super) key: String,
    pub(super) name: String,
    pub(super) tags: Vec<TagConfig>,
    build: Build,
}

impl Device {
    /// Checks the device with all its tags and makes its collector.
    pub(super) fn build(self) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>> {
        (self.build)(self.tags)
    }
}

fn read<'text, Config: DeviceConfig>(document: &mut Document<'text>, table: DeviceTable<'text>, directory: &Path) -> Option<Device> {
    let (key, position) = (table.key.clone(), table.position.clone());
    let (mut config, tags) = document.device::<Config, TagConfig>(table)?;
    for (name, message) in config.resolve(directory) {
        document.problems.push(ConfigProblem { position: position.clone(), key: format!("{key}.{name}"), message });
    }
    let tags = tags.into_iter().map(|(tag, position)| TagConfig { position, ..tag }).collect();
    Some(Device { key, name: config.name().to_owned(), tags, build: Box::new(move |tags| config.build(position, tags)) })
}

fn definition<Config: DeviceConfig>(tag: &TagConfig) -> Result<TagDefinition, Vec<ConfigProblem>> {
    let position = || tag.position.clone();
    let broken = |message: String| vec![ConfigProblem { position: position(), key: "device".to_owned(), message }];
    let device: Config = toml::from_str(Config::PLAIN).map_err(|error| broken(error.to_string()))?;
    let tags = device.build(position(), vec![tag.clone()])?.tags();
    tags.into_iter().next().ok_or_else(|| broken("the device has no such tag".to_owned()))
}

impl DeviceConfig for ModbusConfig {
    const PLAIN: &str = "name = \"device\"\nendpoint = \"127.0.0.1:502\"";

    fn name(&self) -> &str {
        &self.name
    }

    fn build(mut self, position: Position, tags: Vec<TagConfig>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>> {
        self.position = position;
        Ok(Arc::new(ModbusConfig::build(&self, tags)?))
    }
}

impl DeviceConfig for OpcUaConfig {
    const PLAIN: &str = "name = \"device\"\nendpoint = \"opc.tcp://127.0.0.1:4840\"\nsecurity_policy = \"None\"";

    fn name(&self) -> &str {
        &self.name
    }

    fn resolve(&mut self, directory: &Path) -> Vec<(&'static str, String)> {
        let mut missing = Vec::new();
        if let Some(pki_dir) = &mut self.pki_dir {
            *pki_dir = directory.join(&*pki_dir);
        }
        if let Some(file) = &mut self.password_file {
            *file = directory.join(&*file);
            if !file.is_file() {
                missing.push(("password_file", format!("there is no file {}", file.display())));
            }
        }
        missing
    }

    fn build(self, position: Position, tags: Vec<TagConfig>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>> {
        // Positions are in the tags already, so the text from which it would count lines is not needed.
        Ok(Arc::new(OpcUaConfig::build(self, &position, "", tags)?))
    }
}
