//! The protocols a configuration can name: one implementation of [`DeviceConfig`] and one line in [`PROTOCOLS`] each.

use std::{path::Path, sync::Arc};

use serde::de::DeserializeOwned;

use super::document::{DeviceTable, Document};
use crate::collector::{Collector, ConfigProblem, Position, TagConfig, modbus::config::ModbusConfig, opcua::config::OpcUaConfig};

/// A protocol's array of tables, `[[name]]`, and how one of them is read.
pub(super) struct Protocol {
    pub(super) name: &'static str,
    read: for<'text> fn(&mut Document<'text>, DeviceTable<'text>, &Path) -> Option<Device>,
}

/// Every protocol, in the order in which collectors are made.
pub(super) static PROTOCOLS: [Protocol; 2] =
    [Protocol { name: "modbus", read: read::<ModbusConfig> }, Protocol { name: "opcua", read: read::<OpcUaConfig> }];

impl Protocol {
    /// Reads one device; `None` when it cannot be read, with problems in the document. Relative paths start at `directory`.
    pub(super) fn read<'text>(&self, document: &mut Document<'text>, table: DeviceTable<'text>, directory: &Path) -> Option<Device> {
        (self.read)(document, table, directory)
    }
}

/// A device as configured, its tags aside: those in its own tables and those in tag files are built together.
trait DeviceConfig: DeserializeOwned + 'static {
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

impl DeviceConfig for ModbusConfig {
    fn name(&self) -> &str {
        &self.name
    }

    fn build(mut self, position: Position, tags: Vec<TagConfig>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>> {
        self.position = position;
        Ok(Arc::new(ModbusConfig::build(&self, tags)?))
    }
}

impl DeviceConfig for OpcUaConfig {
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
