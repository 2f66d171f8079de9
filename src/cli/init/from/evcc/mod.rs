//! What evcc reads: meters and chargers that are described register by register, in its configuration and in its templates of devices.

mod points;
mod register;
mod template;

use serde_json::Value as Json;

use super::{
    draft::{ConfigDraft, DraftDevice, DraftTag, text, unused},
    place::{scaling, scan_ms},
    pointer,
    source::{self, ForeignTable, each},
};
use register::Connection;

/// Period of evcc where the file has none.
const INTERVAL_MS: u64 = 30_000;
/// Lists of devices.
const LISTS: [&str; 4] = ["meters", "chargers", "vehicles", "tariffs"];
/// Sources that write, or bring what is written.
const SETTERS: [&str; 6] = ["const", "sequence", "switch", "watchdog", "sleep", "error"];
/// Values of three phases in a list.
const PHASES: [&str; 3] = ["currents", "voltages", "powers"];

/// What is the same for all values of a file.
struct SourceReading {
    scan_ms: u64,
    /// Where the broker is, if the file says it.
    broker: Result<String, String>,
    /// The places are those of a template: the device of nobody.
    is_template: bool,
}

/// Reads the file.
///
/// # Errors
/// It is no YAML, or has no devices.
pub fn read(text: &str, draft: &mut ConfigDraft) -> anyhow::Result<()> {
    let file = source::yaml(text)?;
    if let Json::Array(items) = &file {
        let reading = SourceReading { scan_ms: INTERVAL_MS, broker: Err("the file does not say it".to_owned()), is_template: false };
        for item in items {
            device(item, &reading, draft);
        }
        return Ok(());
    }
    let Some(root) = ForeignTable::of(&file) else { anyhow::bail!("is no configuration of evcc") };
    if let (Ok(Some(name)), Ok(Some(render))) = (root.text("template"), root.text("render")) {
        for (usage, rendered) in template::rendered(&root, &render, &name, draft) {
            let rendered = source::yaml(&rendered)?;
            let reading = SourceReading { scan_ms: INTERVAL_MS, broker: Err("the template does not say it".to_owned()), is_template: true };
            let mut levels = vec![name.clone()];
            levels.extend(usage);
            parts(&levels, &rendered, &reading, draft);
        }
        return Ok(());
    }
    let own_interval = root.milliseconds("interval").unwrap_or_else(|reason| {
        draft.note("evcc", reason);
        None
    });
    if own_interval.is_none() {
        draft.note("evcc", format!("has no interval: every {} s", INTERVAL_MS / 1000));
    }
    let broker = match root.get("mqtt").and_then(ForeignTable::of) {
        Some(mqtt) => mqtt.text("broker").and_then(|broker| broker.ok_or_else(|| "the file does not say it".to_owned())),
        None => Err("the file does not say it".to_owned()),
    };
    let reading = SourceReading { scan_ms: scan_ms(own_interval.unwrap_or(INTERVAL_MS)), broker, is_template: false };
    let mut found = false;
    for list in LISTS {
        found |= root.has(list);
        if list != "tariffs" {
            root.list(list).into_iter().for_each(|item| device(item, &reading, draft));
        }
    }
    // A device alone, as examples have it.
    if !found && ["power", "energy", "status", "soc"].into_iter().any(|key| root.has(key)) {
        device(&file, &reading, draft);
        return Ok(());
    }
    if !found {
        anyhow::bail!("has neither meters nor chargers, and no template: it is no configuration of evcc");
    }
    let rest = root.rest();
    if !rest.is_empty() || root.has("tariffs") {
        let tariffs = root.has("tariffs").then_some("tariffs");
        draft.note("other parts", format!("nothing in it is measured: {}", tariffs.into_iter().chain(rest).collect::<Vec<_>>().join(", ")));
    }
    Ok(())
}

/// Reads a meter, a charger or a vehicle.
fn device(item: &Json, reading: &SourceReading, draft: &mut ConfigDraft) {
    let Some(table) = ForeignTable::of(item) else { return draft.leave("evcc", "a device is no table") };
    let name = table.text("name").ok().flatten().unwrap_or_else(|| "device".to_owned());
    match table.text("type").ok().flatten().as_deref() {
        None | Some("custom") => parts(&[name], item, reading, draft),
        Some("template") => {
            let template = table.text("template").ok().flatten().unwrap_or_default();
            draft.leave(name, format!("is made of the template {template} of evcc: convert the file of the template itself"));
        }
        Some(other) => draft.leave(name, format!("the type {other} is read by evcc in its own way, without a description of registers")),
    }
}

/// Reads all values of a device.
fn parts(levels: &[String], item: &Json, reading: &SourceReading, draft: &mut ConfigDraft) {
    let Some(table) = item.as_object() else { return };
    let mut settings = Vec::new();
    for (key, value) in table {
        if matches!(key.as_str(), "name" | "type") || value.is_null() {
            continue;
        }
        if value.is_object() || value.is_array() {
            walk(&[levels, std::slice::from_ref(key)].concat(), value, reading, draft);
        } else {
            settings.push(key.as_str());
        }
    }
    if let Some(told) = unused(&settings) {
        draft.note(levels.join("/"), told);
    }
}

/// Reads what is within a value: sources, and lists of them.
fn walk(levels: &[String], value: &Json, reading: &SourceReading, draft: &mut ConfigDraft) {
    match value {
        Json::Array(items) => {
            let is_phases = levels.last().is_some_and(|last| PHASES.contains(&last.as_str()));
            for (index, item) in items.iter().enumerate() {
                let part = if is_phases { format!("l{}", index + 1) } else { (index + 1).to_string() };
                walk(&[levels, &[part]].concat(), item, reading, draft);
            }
        }
        Json::Object(table) => match ForeignTable::of(value) {
            Some(table) if table.has("source") => one_source(levels, &table, value, reading, draft),
            Some(_) => {
                for (key, value) in table {
                    walk(&[levels, std::slice::from_ref(key)].concat(), value, reading, draft);
                }
            }
            None => draft.leave(levels.join("/"), "stands in another file"),
        },
        _ => {}
    }
}

fn one_source(levels: &[String], table: &ForeignTable<'_>, value: &Json, reading: &SourceReading, draft: &mut ConfigDraft) {
    let name = levels.join("/");
    let own = levels.first().map(String::as_str).unwrap_or_default();
    let source = table.text("source").ok().flatten().unwrap_or_default();
    match source.as_str() {
        "modbus" if table.has("register") => match register::read(table) {
            Ok(None) => draft.note(own, "registers that are written to are not carried over: the historian only reads"),
            Ok(Some(tag)) => {
                let connection = Connection::of(table, reading.is_template);
                let device = connection.device(own, draft);
                add(levels, device, connection.unit, tag, table, reading, draft);
            }
            Err(reason) => draft.leave(name, reason),
        },
        "modbus" | "sunspec" => {
            let model = table.text("model").ok().flatten().unwrap_or_default();
            let points: Vec<&str> = each(table.get("value")).into_iter().filter_map(Json::as_str).collect();
            let is_sunspec = source == "sunspec" || model.eq_ignore_ascii_case("sunspec") || points.iter().any(|point| point.contains(':'));
            if is_sunspec {
                draft.leave(name, points::advice(&points));
            } else {
                draft.leave(name, format!("evcc has the registers of {model} in its code: name the register of {}", points.join(", ")));
            }
        }
        "mqtt" => match mqtt_tag(table) {
            Ok(mut tag) => {
                let device = broker(reading, draft);
                let (tag_name, remark) = draft.tag_name(&[levels.iter().map(String::as_str).collect()]);
                tag.name = tag_name;
                tag.remarks.extend(remark);
                tag.remarks.extend(unused(&table.rest()));
                draft.add(device, name, Ok(tag));
            }
            Err(reason) => draft.leave(name, reason),
        },
        setter if SETTERS.contains(&setter) => {
            draft.note(own, "what is set is not carried over: the historian only reads");
            inner(levels, value, reading, draft);
        }
        "calc" | "combined" | "map" | "valid" | "ignore" | "meter" | "go" | "js" => {
            draft.leave(&name, format!("evcc makes it of other values ({source}); those that it reads are tags of their own"));
            inner(levels, value, reading, draft);
        }
        other => draft.leave(name, format!("is read by {other}; the historian collects from Modbus, OPC UA and MQTT")),
    }
}

/// The sources within a source.
fn inner(levels: &[String], value: &Json, reading: &SourceReading, draft: &mut ConfigDraft) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if value.is_object() || value.is_array() {
            walk(&[levels, std::slice::from_ref(key)].concat(), value, reading, draft);
        }
    }
}

/// Adds what is read from registers.
fn add(
    levels: &[String],
    device: usize,
    unit: u8,
    mut tag: DraftTag,
    table: &ForeignTable<'_>,
    reading: &SourceReading,
    draft: &mut ConfigDraft,
) {
    tag.unit = Some(unit);
    tag.scan_ms = Some(reading.scan_ms);
    if reading.is_template
        && let Some(known) = draft.twin(device, &tag)
    {
        known.remarks.push(format!("is {} as well", levels.join("/")));
        return;
    }
    let (name, remark) = draft.tag_name(&[levels.iter().map(String::as_str).collect()]);
    tag.name = name;
    tag.remarks.extend(remark);
    tag.remarks.extend(unused(&table.rest()));
    draft.add(device, levels.join("/"), Ok(tag));
}

/// A value from a topic.
fn mqtt_tag(table: &ForeignTable<'_>) -> Result<DraftTag, String> {
    let topic = table.text("topic")?.ok_or("it has no topic")?;
    let mut tag = DraftTag { address: topic.clone(), ..DraftTag::default() };
    if let Some(query) = table.text("jq")? {
        let pointer = pointer::of_path(&query).ok_or_else(|| format!("jq {query:?} computes"))?;
        tag.address = format!("{topic}#{pointer}");
    }
    tag.keys = scaling(table.number("scale")?, None)?;
    if table.has("timeout") {
        tag.remarks.push("timeout not carried over: a value holds until the next one, or until the link is lost".to_owned());
    }
    Ok(tag)
}

/// The broker that evcc names once for all.
fn broker(reading: &SourceReading, draft: &mut ConfigDraft) -> usize {
    const PLACE: &str = "broker of evcc";
    if let Some(known) = draft.find("mqtt", PLACE) {
        return known;
    }
    let mut remarks =
        vec!["the user of the broker, if it has one: set user, and password_file with the path of a file that has the password".to_owned()];
    let endpoint = match &reading.broker {
        Ok(broker) if broker.contains(':') => broker.clone(),
        Ok(broker) => format!("{broker}:1883"),
        Err(reason) => {
            remarks.push(format!("the endpoint is a placeholder: {reason}"));
            draft.placeholder(1883)
        }
    };
    let keys = vec![("endpoint", text(endpoint))];
    draft.device(DraftDevice::new("mqtt", "broker", PLACE, keys, remarks))
}
