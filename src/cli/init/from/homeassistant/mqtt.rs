//! Entities of MQTT in Home Assistant: the topic of their state, and what their template takes of it.

use serde_json::Value as Json;

use super::{
    super::{
        draft::{ConfigDraft, DraftTag, text, unused},
        pointer,
        source::{ForeignTable, each, elsewhere, or_remark},
    },
    device::broker,
    entity::{named, shown, unit},
};

/// Kinds of entities that are states of something that is measured.
const MEASURED: [&str; 2] = ["sensor", "binary_sensor"];
/// Classes of sensors whose states are no numbers.
const TEXTS: [&str; 3] = ["enum", "timestamp", "date"];

/// Reads a part of `mqtt:`, which has kinds of entities with one entity or several each.
pub fn read(part: &Json, draft: &mut ConfigDraft) {
    let Some(table) = ForeignTable::of(part) else { return draft.leave("mqtt", "a part is no table, or stands in another file") };
    let mut remarks = Vec::new();
    if let Some(host) = or_remark(table.text("broker"), &mut remarks) {
        let port = or_remark(table.text("port"), &mut remarks).unwrap_or_else(|| "1883".to_owned());
        broker(Some(format!("{host}:{port}")), draft);
    }
    for kind in MEASURED {
        for item in table.list(kind) {
            entity(kind, item, draft);
        }
    }
    for kind in table.rest() {
        if let Some(tag) = part.get(kind).and_then(elsewhere) {
            draft.leave(format!("mqtt {kind}"), format!("stands in another file, {tag}"));
            continue;
        }
        let entities = each(part.get(kind));
        if entities.iter().all(|entity| entity.is_object()) {
            for item in entities {
                let name = ForeignTable::of(item).and_then(|item| item.text("name").ok().flatten()).unwrap_or_default();
                draft.leave(format!("{kind} {name}"), "only sensors and binary sensors are carried over");
            }
        } else {
            draft.note("mqtt", format!("{kind} not carried over"));
        }
    }
    for remark in remarks {
        draft.note("mqtt", remark);
    }
}

/// Reads an entity of this kind.
pub fn entity(kind: &str, item: &Json, draft: &mut ConfigDraft) {
    let Some(table) = ForeignTable::of(item) else { return draft.leave("mqtt", "an entity is no table, or stands in another file") };
    let device = broker(None, draft);
    // The class says whether it is a number, before it is told as something that is shown.
    let class = table.text("device_class").ok().flatten().unwrap_or_default();
    let is_number = table.has("unit_of_measurement") || table.has("state_class") || (!class.is_empty() && !TEXTS.contains(&class.as_str()));
    shown(&table, draft);
    let subject = table.text("name").ok().flatten().unwrap_or_else(|| kind.to_owned());
    let tag = if kind == "binary_sensor" { binary_sensor(&table, draft) } else { sensor(&table, is_number, draft) };
    let tag = tag.map(|mut tag| {
        for (key, why) in [
            ("expire_after", "a value holds until the next one, or until the link is lost"),
            ("availability", "what says that a device is away is not read; make it a tag of its own"),
            ("availability_topic", "what says that a device is away is not read; make it a tag of its own"),
            ("availability_template", "what says that a device is away is not read"),
            ("json_attributes_topic", "attributes are tags of their own"),
            ("json_attributes_template", "attributes are tags of their own"),
            ("force_update", "every message is a sample"),
            ("off_delay", "what is off is told by the device"),
            ("qos", "it is that of the device, 1"),
            ("last_reset_value_template", "counters are counted by queries"),
            ("options", "texts are kept as they are"),
        ] {
            if table.has(key) {
                tag.remarks.push(format!("{key} not carried over: {why}"));
            }
        }
        let _ = ["availability_mode", "payload_available", "payload_not_available"].map(|key| table.has(key));
        tag.remarks.extend(unused(&table.rest()));
        tag
    });
    draft.add(device, subject, tag);
}

fn sensor(table: &ForeignTable<'_>, is_number: bool, draft: &mut ConfigDraft) -> Result<DraftTag, String> {
    let (address, mut remarks, is_computed) = address(table)?;
    let mut tag = named(table, draft)?;
    tag.address = address;
    if !(is_number || is_computed) {
        tag.keys.push(("type", text("string")));
        remarks.push("has neither unit nor class: its states are taken as texts".to_owned());
    }
    tag.keys.extend(unit(table)?);
    tag.remarks.extend(remarks);
    Ok(tag)
}

fn binary_sensor(table: &ForeignTable<'_>, draft: &mut ConfigDraft) -> Result<DraftTag, String> {
    let (address, remarks, _) = address(table)?;
    let mut tag = named(table, draft)?;
    tag.address = address;
    tag.remarks.extend(remarks);
    let on = table.text("payload_on")?.unwrap_or_else(|| "ON".to_owned());
    let off = table.text("payload_off")?.unwrap_or_else(|| "OFF".to_owned());
    if [("true", "false"), ("1", "0")].contains(&(on.to_lowercase().as_str(), off.to_lowercase().as_str())) {
        tag.keys.push(("type", text("bool")));
    } else {
        tag.keys.push(("type", text("string")));
        tag.remarks.push(format!("{on:?} and {off:?} are kept as texts"));
    }
    Ok(tag)
}

/// The address, what is told of it, and whether the template makes a number of it.
fn address(table: &ForeignTable<'_>) -> Result<(String, Vec<String>, bool), String> {
    let topic = table.text("state_topic")?.ok_or("it has no state_topic")?;
    let Some(template) = table.text("value_template")? else { return Ok((topic, Vec::new(), false)) };
    let simple = simple(&template).ok_or_else(|| {
        let shown: String = template.chars().take(120).collect();
        format!("its template computes: {shown}")
    })?;
    let address = if simple.pointer.is_empty() { topic } else { format!("{topic}#{}", simple.pointer) };
    Ok((address, simple.remarks, simple.is_number))
}

/// A template that takes one value of the message.
struct SimpleTemplate {
    pointer: String,
    remarks: Vec<String>,
    is_number: bool,
}

/// `None` for a template that computes.
fn simple(template: &str) -> Option<SimpleTemplate> {
    let within = template.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let within = within.trim_start_matches('-').trim_end_matches('-');
    if within.contains("{{") || within.contains("{%") {
        return None;
    }
    let mut parts = within.split('|').map(str::trim);
    let head = parts.next()?;
    let pointer = match head.strip_prefix("value_json") {
        Some(path) => pointer::of_template(path)?,
        None if head == "value" => String::new(),
        None => return None,
    };
    let mut simple = SimpleTemplate { pointer, remarks: Vec::new(), is_number: false };
    for filter in parts {
        let (name, argument) = filter.split_once('(').map_or((filter, None), |(name, argument)| (name.trim(), Some(argument)));
        // What stands behind the brackets would compute.
        if argument.is_some_and(|argument| argument.trim().find(')').is_none_or(|end| end + 1 != argument.trim().len())) {
            return None;
        }
        match name {
            "float" | "int" | "round" => {
                simple.is_number = true;
                match (name, argument) {
                    ("float", None) => {}
                    ("round", _) => simple.remarks.push("values are not rounded".to_owned()),
                    ("int", _) => simple.remarks.push("decimals are not cut off".to_owned()),
                    _ => simple.remarks.push("a value that is missing is Bad, and not what the template puts in its place".to_owned()),
                }
            }
            "default" => simple.remarks.push("a value that is missing is Bad, and not what the template puts in its place".to_owned()),
            "is_defined" | "string" | "trim" => {}
            _ => return None,
        }
    }
    Some(simple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_take_one_value_are_addresses() {
        for (template, expected) in [
            ("{{ value }}", Some("")),
            ("{{ value_json.temperature }}", Some("/temperature")),
            ("{{- value_json['a b'].c | float | round(1) -}}", Some("/a b/c")),
            ("{{ value_json.a | float(0) }}", Some("/a")),
            ("{{ value_json.a * 2 }}", None),
            ("{{ value_json.a | float * 2 }}", None),
            ("{{ value_json.a | round(1) * 2 }}", None),
            ("{{ (value | float) / 10 }}", None),
            ("{% if value == 'x' %}1{% endif %}", None),
            ("{{ value_json.a }}{{ value_json.b }}", None),
            ("value", None),
        ] {
            assert_eq!(simple(template).map(|simple| simple.pointer).as_deref(), expected, "{template}");
        }
    }
}
