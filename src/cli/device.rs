//! One device by itself, from a configuration or from flags: to look at what it has before it has a single tag.

use std::{fs, path::Path, sync::Arc};

use anyhow::Context;
use toml::{Table, Value};

use super::{Misuse, RefusedConfiguration};
use historian_collector::Collector;
use historian_server::config::{self, Overrides};

/// A protocol whose devices these commands know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceKind {
    /// As in the configuration.
    protocol: &'static str,
    /// Address and type of a tag that a device of it may have. One without tags would be refused.
    tag: [&'static str; 2],
}

/// Every server has this node, its state.
pub const OPC_UA: DeviceKind = DeviceKind { protocol: "opcua", tag: ["i=2259", "i64"] };
pub const MODBUS: DeviceKind = DeviceKind { protocol: "modbus", tag: ["40001", "state"] };

/// The devices of a kind in a configuration file, without their tags, by their names.
///
/// # Errors
/// The file cannot be read or is no TOML.
pub fn tables(file: &Path, kind: DeviceKind) -> anyhow::Result<Vec<(String, Table)>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let document: Table = toml::from_str(&text).map_err(|error| Misuse(format!("{}: {}", file.display(), error.to_string().trim())))?;
    let tables = document.get(kind.protocol).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named = tables.iter().filter_map(Value::as_table).filter_map(|table| {
        let mut table = table.clone();
        table.remove("tag");
        Some((table.get("name")?.as_str()?.to_owned(), table))
    });
    Ok(named.collect())
}

/// One device of a configuration file, whatever else is in the file.
///
/// # Errors
/// There is no such device, or its table has mistakes.
pub fn configured(file: &Path, name: &str) -> anyhow::Result<Arc<dyn Collector>> {
    let mut known = Vec::new();
    for kind in [OPC_UA, MODBUS] {
        for (device, table) in tables(file, kind)? {
            if device == name {
                return build(kind, table, file.parent().unwrap_or(Path::new("")));
            }
            known.push(device);
        }
    }
    let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
    Err(Misuse(format!("{} has no Modbus and no OPC UA device {name:?}; {known}", file.display())).into())
}

/// The device of a table that is that of a configuration, without tags. Relative paths in it start at `directory`.
///
/// # Errors
/// Its mistakes.
pub fn build(kind: DeviceKind, mut table: Table, directory: &Path) -> anyhow::Result<Arc<dyn Collector>> {
    // What reads or decides here does not look at it.
    let [address, value_type] = kind.tag;
    let tag = [("name", "none"), ("address", address), ("type", value_type)].map(|(key, text)| (key.to_owned(), Value::from(text)));
    table.insert("tag".to_owned(), Value::from(vec![Value::Table(tag.into_iter().collect())]));
    let mut document = Table::new();
    document.insert(kind.protocol.to_owned(), Value::from(vec![Value::Table(table)]));
    let text = toml::to_string(&document)?;
    // Lines of this text are nobody's; keys say where a mistake is.
    let without_line = |mut problem: historian_collector::ConfigProblem| {
        problem.position = historian_collector::SettingPosition::default();
        problem
    };
    let read = config::parse("", &text, directory, &Overrides::default())
        .map_err(|problems| RefusedConfiguration(problems.into_iter().map(without_line).collect()))?;
    read.collectors.into_iter().next().context("the table describes no device")
}
