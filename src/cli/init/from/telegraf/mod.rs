//! What Telegraf collects: its plugins that read Modbus, OPC UA and MQTT, each in a file of its own. The others are named.

mod modbus;
mod mqtt;
mod opcua;
mod plugin;

use serde_json::Value as Json;

use super::{
    draft::ConfigDraft,
    place::scan_ms,
    source::{self, ForeignTable, each},
};

/// Period of the agent where the file has none.
const INTERVAL_MS: u64 = 10_000;
/// What is of the agent or of the host: a historian has nothing like it, and nothing that is measured by a device is lost.
const OTHERS: [&str; 4] = ["outputs", "processors", "aggregators", "secretstores"];

/// Reads the file.
///
/// # Errors
/// It is no TOML, or has no inputs.
pub fn read(text: &str, draft: &mut ConfigDraft) -> anyhow::Result<()> {
    let file = source::toml(text)?;
    let Some(root) = ForeignTable::of(&file) else { anyhow::bail!("is no configuration of Telegraf") };
    let Some(inputs) = root.get("inputs").and_then(Json::as_object) else {
        anyhow::bail!("has no inputs: it is no configuration of Telegraf")
    };
    let interval_ms = interval(&root, draft);
    for (plugin, tables) in inputs {
        for table in each(Some(tables)) {
            let Some(table) = ForeignTable::of(table) else { continue };
            match plugin.as_str() {
                "modbus" => modbus::read(&table, interval_ms, draft),
                "opcua" | "opcua_listener" => opcua::read(plugin, &table, interval_ms, draft),
                "mqtt_consumer" => mqtt::read(&table, draft),
                _ => draft.note(format!("inputs.{plugin}"), "the historian collects from Modbus, OPC UA and MQTT"),
            }
        }
    }
    for kind in OTHERS {
        if let Some(plugins) = root.get(kind).and_then(Json::as_object) {
            for plugin in plugins.keys() {
                draft.note(format!("{kind}.{plugin}"), "has no counterpart: the historian keeps what it collects, as it is");
            }
        }
    }
    if root.has("global_tags") {
        draft.note("global_tags", "not carried over: a value is named by its tag alone");
    }
    for key in root.rest() {
        draft.note(key, "not carried over");
    }
    Ok(())
}

/// The period of all plugins.
fn interval(root: &ForeignTable<'_>, draft: &mut ConfigDraft) -> u64 {
    let Some(agent) = root.get("agent").and_then(ForeignTable::of) else { return INTERVAL_MS };
    let interval = agent.milliseconds("interval").unwrap_or_else(|reason| {
        draft.note("agent", format!("{reason}: {} s are assumed", INTERVAL_MS / 1000));
        None
    });
    let rest = agent.rest();
    if !rest.is_empty() {
        draft.note("agent", format!("not carried over: {}", rest.join(", ")));
    }
    scan_ms(interval.unwrap_or(INTERVAL_MS))
}
