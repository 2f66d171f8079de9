//! Configuration shared by the collectors: how one collected tag is written in TOML or CSV, and how a problem is reported.

use std::fmt;

use serde::Deserialize;

use super::not_available::NotAvailable;
use historian_model::ValueType;

/// Place of a setting in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub file: String,
    /// First line is 1; 0 when unknown.
    pub line: usize,
}

/// One thing wrong with a configuration: where, which key, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblem {
    pub position: Position,
    /// Key path, for example `modbus.boiler.tag.area1/boiler/level.address`.
    pub key: String,
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { file, line } = &self.position;
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

/// One collected tag, with the same keys in TOML (`[[modbus.tag]]`, `[[opcua.tag]]`) and as columns of a tag CSV.
///
/// Keys that only one protocol knows are refused by the others with a [`ConfigProblem`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagConfig {
    pub name: String,
    /// Value type of the tag; by default what the wire format or scaling yields.
    #[serde(rename = "type", default)]
    pub value_type: Option<String>,
    #[serde(default)]
    pub unit: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub stepped: Option<bool>,
    #[serde(default)]
    pub range_low: Option<f64>,
    #[serde(default)]
    pub range_high: Option<f64>,
    /// Address in the protocol's notation: Modbus `holding:100`, OPC UA `nsu=urn:plant;s=Boiler.Pressure`.
    pub address: String,
    /// Modbus: format of the registers (`u16`, `i32`, `f32`, …); by default that of the value type.
    #[serde(default)]
    pub format: Option<String>,
    /// Modbus: `ABCD` (default), `CDAB`, `BADC` or `DCBA`.
    #[serde(default)]
    pub word_order: Option<String>,
    /// Modbus: value = raw × scale + offset, as decimal numbers, rounded once to f64.
    #[serde(default)]
    pub scale: Option<f64>,
    #[serde(default)]
    pub offset: Option<f64>,
    /// Modbus: scan period of this tag in milliseconds, instead of the device's.
    #[serde(default)]
    pub scan_ms: Option<u64>,
    /// OPC UA: sampling interval of this tag in milliseconds, instead of the device's.
    #[serde(default)]
    pub sampling_ms: Option<u64>,
    /// OPC UA: absolute deadband in engineering units, applied by the server.
    #[serde(default)]
    pub deadband: Option<f64>,
    /// Raw values of the device that mean "no value", instead of the device's.
    #[serde(default)]
    pub not_available: Option<NotAvailable>,
    /// OPC UA: where timestamps come from, `source`, `server` or `reception`, instead of the device's.
    #[serde(default)]
    pub timestamps: Option<String>,
    /// Filled after reading; not a key.
    #[serde(skip)]
    pub position: Position,
}

impl TagConfig {
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

    /// A problem at one key of this tag.
    pub fn problem(&self, key_prefix: &str, key: &str, message: impl Into<String>) -> ConfigProblem {
        ConfigProblem { position: self.position.clone(), key: format!("{key_prefix}.tag.{}.{key}", self.name), message: message.into() }
    }
}
