//! What Home Assistant collects by its configuration files: hubs of Modbus, and entities of MQTT. What else is in the file is named.

mod device;
mod entity;
mod modbus;
mod mqtt;
mod structure;

use serde_json::Value as Json;

use super::{
    draft::ConfigDraft,
    source::{self, ForeignTable, each, elsewhere},
};

/// Kinds of entities that may stand at the root, each with a `platform`.
const PLATFORMS: [&str; 2] = ["sensor", "binary_sensor"];

/// Reads the file: a whole configuration, or the part of it that is in a file of its own.
///
/// # Errors
/// It is no YAML, or has nothing of Modbus or MQTT.
pub fn read(text: &str, draft: &mut ConfigDraft) -> anyhow::Result<()> {
    let file = source::yaml(text)?;
    let found = match &file {
        Json::Array(items) => part(items, draft),
        _ => match ForeignTable::of(&file) {
            Some(root) => whole(&root, draft),
            None => false,
        },
    };
    if !found {
        anyhow::bail!(
            "has neither hubs of modbus nor entities of mqtt: it is no configuration of Home Assistant with something to collect"
        );
    }
    Ok(())
}

/// A list alone is what `modbus: !include` or `mqtt: !include` names.
fn part(items: &[Json], draft: &mut ConfigDraft) -> bool {
    let mut found = false;
    for item in items {
        let Some(table) = ForeignTable::of(item) else { continue };
        if table.has("sensors") || table.has("binary_sensors") || table.has("climates") || table.has("host") {
            modbus::hub(item, draft);
            found = true;
        } else if table.has("state_topic") {
            mqtt::entity("sensor", item, draft);
            found = true;
        } else if ["sensor", "binary_sensor"].into_iter().any(|kind| table.has(kind)) {
            mqtt::read(item, draft);
            found = true;
        }
    }
    found
}

fn whole(root: &ForeignTable<'_>, draft: &mut ConfigDraft) -> bool {
    let mut found = false;
    if let Some(hubs) = root.get("modbus") {
        found = true;
        match elsewhere(hubs) {
            Some(tag) => draft.leave("modbus", format!("stands in another file, {tag}: convert that one")),
            None => each(Some(hubs)).into_iter().for_each(|hub| modbus::hub(hub, draft)),
        }
    }
    if let Some(parts) = root.get("mqtt") {
        found = true;
        match elsewhere(parts) {
            Some(tag) => draft.leave("mqtt", format!("stands in another file, {tag}: convert that one")),
            None => each(Some(parts)).into_iter().for_each(|part| mqtt::read(part, draft)),
        }
    }
    for kind in PLATFORMS {
        let Some(entities) = root.get(kind) else { continue };
        if let Some(tag) = elsewhere(entities) {
            draft.note(kind, format!("stands in another file, {tag}: convert that one, if something of mqtt is in it"));
            continue;
        }
        for entity in each(Some(entities)) {
            let platform = ForeignTable::of(entity).and_then(|table| table.text("platform").ok().flatten());
            if platform.as_deref() == Some("mqtt") {
                mqtt::entity(kind, entity, draft);
                found = true;
            } else {
                draft.note(kind, format!("entities of the platform {} are not those of a device", platform.unwrap_or_default()));
            }
        }
    }
    if let Some(own) = root.get("homeassistant").and_then(ForeignTable::of)
        && let Some(packages) = own.get("packages")
    {
        match (elsewhere(packages), packages.as_object()) {
            (Some(tag), _) => draft.note("packages", format!("stand in other files, {tag}: convert those with modbus or mqtt in them")),
            (None, Some(packages)) => {
                for (name, package) in packages {
                    match (elsewhere(package), ForeignTable::of(package)) {
                        (Some(tag), _) => draft.note(format!("package {name}"), format!("stands in another file, {tag}: convert that one")),
                        (None, Some(package)) => found |= whole(&package, draft),
                        (None, None) => {}
                    }
                }
            }
            (None, None) => {}
        }
    }
    let rest = root.rest();
    if !rest.is_empty() {
        draft.note("other parts", format!("not of a device that is collected from: {}", rest.join(", ")));
    }
    found
}
