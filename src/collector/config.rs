//! Configuration shared by the collectors: what a protocol adds to the file, what a collected tag is, and how a problem is reported.

use std::{fmt, path::Path, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    Collector,
    filter_key::FilterKeys,
    tag_key::{OwnKeys, STORED, Setting, TagKey},
};
use historian_model::{TagDefinition, TagName, ValueType, tag::TagSource};

/// Place of a setting in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingPosition {
    pub file: String,
    /// First line is 1; 0 when unknown.
    pub line: usize,
}

/// One thing wrong with a configuration: where, which key, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblem {
    pub position: SettingPosition,
    /// Key path, for example `modbus.boiler.tag.area1/boiler/level.address`.
    pub key: String,
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SettingPosition { file, line } = &self.position;
        if !file.is_empty() {
            f.write_str(file)?;
            if *line > 0 {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// One collected tag, with the same keys in TOML (`[[modbus.tag]]`, `[[opcua.tag]]`) and as columns of a tag CSV: the common ones, which every
/// protocol understands alike, and those of its protocol.
#[derive(Clone, Debug, Default)]
pub struct TagConfig {
    pub name: String,
    /// Value type of the tag; by default what the wire format or scaling yields.
    pub value_type: Option<String>,
    pub unit: String,
    pub description: String,
    pub stepped: Option<bool>,
    pub range_low: Option<f64>,
    pub range_high: Option<f64>,
    /// Names of the digital states by their number.
    pub state_set: Vec<String>,
    /// Name of the tag before; empty where it has had no other.
    pub renamed_from: String,
    /// Address in the protocol's notation: Modbus `holding:100`, OPC UA `nsu=urn:plant;s=Boiler.Pressure`.
    pub address: String,
    /// Which of its samples are left out.
    pub filter: FilterKeys,
    /// Keys of the protocol. Before a device is built, they are compared with [`DeviceConfig::TAG_KEYS`].
    pub own: OwnKeys,
    pub position: SettingPosition,
}

impl TagConfig {
    /// Puts a setting of the kind of its key in its place.
    pub fn set(&mut self, key: TagKey, setting: Setting) {
        match (key.name, setting) {
            ("name", Setting::Text(text)) => self.name = text,
            ("type", Setting::Text(text)) => self.value_type = Some(text),
            ("unit", Setting::Text(text)) => self.unit = text,
            ("description", Setting::Text(text)) => self.description = text,
            ("stepped", Setting::Flag(flag)) => self.stepped = Some(flag),
            ("range_low", Setting::Number(number)) => self.range_low = Some(number),
            ("range_high", Setting::Number(number)) => self.range_high = Some(number),
            ("state_set", Setting::StateSet(names)) => self.state_set = names,
            ("renamed_from", Setting::Text(text)) => self.renamed_from = text,
            ("address", Setting::Text(text)) => self.address = text,
            (name, setting) => {
                if let Some(setting) = self.filter.set(name, setting) {
                    self.own.set(name, setting);
                }
            }
        }
    }

    /// Value type by name.
    ///
    /// # Errors
    /// A problem at this tag's `type` when the name is unknown.
    pub fn parsed_value_type(&self, key_prefix: &str) -> Result<Option<ValueType>, ConfigProblem> {
        self.value_type
            .as_deref()
            .map(|name| {
                name.parse().map_err(|_| {
                    self.problem(
                        key_prefix,
                        "type",
                        format!("unknown value type {name:?}; known are f64, f32, i64, u64, bool, string, state"),
                    )
                })
            })
            .transpose()
    }

    /// As [`TagConfig::parsed_value_type`]; a tag whose states have names is one of states.
    ///
    /// # Errors
    /// As there, and a problem at `state_set` when the tag has another type.
    pub fn value_type_with_states(&self, key_prefix: &str) -> Result<Option<ValueType>, ConfigProblem> {
        let given = self.parsed_value_type(key_prefix)?;
        match given {
            _ if self.state_set.is_empty() => Ok(given),
            None | Some(ValueType::State) => Ok(Some(ValueType::State)),
            Some(other) => Err(self.problem(
                key_prefix,
                "state_set",
                format!("belongs to tags of type state, which this one, of type {other}, is not"),
            )),
        }
    }

    /// False for a tag that only tags calculated from it take: it is none of the catalog, and its name is known to its device alone.
    pub fn is_stored(&self) -> bool {
        self.own.flag(STORED.name).unwrap_or(true)
    }

    /// What the catalog is to say of the tag, with its source.
    ///
    /// # Errors
    /// A problem at the first of the common keys that is wrong.
    pub fn definition(
        &self,
        key_prefix: &str,
        name: TagName,
        value_type: ValueType,
        source: TagSource,
    ) -> Result<TagDefinition, ConfigProblem> {
        let mut definition = TagDefinition::new(name, value_type);
        definition.unit.clone_from(&self.unit);
        definition.description.clone_from(&self.description);
        definition.stepped = self.stepped.unwrap_or(definition.stepped);
        definition.range_low = self.range_low;
        definition.range_high = self.range_high;
        definition.state_set.clone_from(&self.state_set);
        definition.source = Some(source);
        definition.check().map_err(|refused| self.problem(key_prefix, refused.field, refused.reason))?;
        definition.filter = self.filter.filter(&definition).map_err(|(key, message)| self.problem(key_prefix, key, message))?;
        Ok(definition)
    }

    /// A problem at one key of this tag.
    pub fn problem(&self, key_prefix: &str, key: &str, message: impl Into<String>) -> ConfigProblem {
        ConfigProblem { position: self.position.clone(), key: format!("{key_prefix}.tag.{}.{key}", self.name), message: message.into() }
    }
}

/// What a protocol adds to the configuration: an array of tables with one table per device. The keys of the table are the fields; its tags,
/// those in tables of their own and those in tag files, come together when it is built.
pub trait DeviceConfig: DeserializeOwned + 'static {
    /// Name of the array of tables: `modbus` of `[[modbus]]`. [`Collector::protocol`] says the same.
    const PROTOCOL: &'static str;

    /// As people write it: `Modbus`.
    const TITLE: &'static str;

    /// Keys of its tags beside the common ones.
    const TAG_KEYS: &'static [TagKey];

    /// Why its tags have none of the keys of other protocols, to follow a list of those that they have; may be empty.
    const TAG_KEYS_REMARK: &'static str = "";

    /// A device that is all defaults, in TOML.
    const PLAIN: &'static str;

    fn name(&self) -> &str;

    /// Makes relative paths absolute, and names files that are not there with the key that names them.
    fn resolve(&mut self, _directory: &Path) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Definition of a tag whose device is not at hand, where a device with this tag alone would not do; `None` where it does.
    fn definition(_tag: &TagConfig) -> Option<Result<TagDefinition, Vec<ConfigProblem>>> {
        None
    }

    /// Checks everything and makes the collector. `position` is that of the table; the tags bring theirs, and have no key beside those of
    /// [`DeviceConfig::TAG_KEYS`].
    ///
    /// # Errors
    /// Every problem found, not only the first.
    fn build(self, position: SettingPosition, tags: Vec<TagConfig>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>>;
}
