//! `modbus:` of Home Assistant: hubs, their sensors and binary sensors, and what climates measure. What is written to is named.

use serde_json::Value as Json;
use toml::Value;

use super::{
    super::{
        draft::{ConfigDraft, DraftKey, DraftTag, text, unused},
        place::{ForeignCarrier, ForeignLine, ForeignOrder, address, parity, scaling, scan_ms},
        source::{ForeignTable, each, hexadecimal, or_remark},
    },
    entity::{own_name, shown, unit},
    structure::{self, StructureField},
};

/// Period of an entity that names none, as Home Assistant has it.
const SCAN_S: i64 = 15;
/// What a hub has that is written to.
const WRITTEN: [&str; 4] = ["switches", "lights", "covers", "fans"];

/// Numbers with their registers, by the names that Home Assistant has for them.
const NUMBERS: [(&str, &str, u16); 9] = [
    ("int16", "i16", 1),
    ("uint16", "u16", 1),
    ("int32", "i32", 2),
    ("uint32", "u32", 2),
    ("int64", "i64", 4),
    ("uint64", "u64", 4),
    ("float16", "f16", 1),
    ("float32", "f32", 2),
    ("float64", "f64", 4),
];

/// Reads a hub with all that is in it.
pub fn hub(hub: &Json, draft: &mut ConfigDraft) {
    let Some(table) = ForeignTable::of(hub) else { return draft.leave("modbus", "a hub is no table") };
    let mut remarks = Vec::new();
    let name = or_remark(table.text("name"), &mut remarks).filter(|name| !name.is_empty()).unwrap_or_else(|| "modbus_hub".to_owned());
    let line = match line(&table, &mut remarks) {
        Ok(line) => line,
        Err(reason) => return draft.leave(name, reason),
    };
    for (key, why) in [
        ("close_comm_on_error", "a connection is made anew after an error"),
        ("retries", "a request is repeated once"),
        ("retry_on_empty", "a request is repeated once"),
    ] {
        if table.has(key) {
            remarks.push(format!("{key} not carried over: {why}"));
        }
    }
    let device = ForeignLine { remarks, ..line }.device(&name, draft);
    for entity in table.list("sensors") {
        each_entity(entity, &name, draft, |entity, draft| sensor(entity, &name, device, draft));
    }
    for entity in table.list("binary_sensors") {
        each_entity(entity, &name, draft, |entity, draft| binary_sensor(entity, &name, device, draft));
    }
    for entity in table.list("climates") {
        each_entity(entity, &name, draft, |entity, draft| climate(entity, &name, device, draft));
    }
    for kind in WRITTEN {
        for entity in table.list(kind) {
            let own = ForeignTable::of(entity).and_then(|entity| entity.text("name").ok().flatten()).unwrap_or_default();
            draft.add(device, format!("{name}/{own}"), Err(format!("is of {kind}, which are written to; the historian only reads")));
        }
    }
    if let Some(told) = unused(&table.rest()) {
        draft.device_mut(device).remarks.push(told);
    }
}

fn each_entity(entity: &Json, hub: &str, draft: &mut ConfigDraft, read: impl FnOnce(&ForeignTable<'_>, &mut ConfigDraft)) {
    match ForeignTable::of(entity) {
        Some(entity) => {
            shown(&entity, draft);
            read(&entity, draft);
        }
        None => draft.leave(hub, "an entity is no table, or stands in another file"),
    }
}

/// Where the devices of a hub are.
fn line(table: &ForeignTable<'_>, remarks: &mut Vec<String>) -> Result<ForeignLine, String> {
    let kind = table.text("type")?.unwrap_or_else(|| "tcp".to_owned());
    let mut keys: Vec<DraftKey> = Vec::new();
    if let Some(timeout_ms) = or_remark(table.milliseconds("timeout"), remarks) {
        keys.push(("timeout_ms", Value::Integer(timeout_ms.clamp(10, 60_000) as i64)));
    }
    if let Some(delay_ms) = or_remark(table.milliseconds("delay"), remarks).filter(|delay_ms| *delay_ms > 0) {
        keys.push(("pause_after_connect_ms", Value::Integer(delay_ms.min(60_000) as i64)));
    }
    if let Some(pause_ms) = or_remark(table.within("message_wait_milliseconds", 0, 60_000), remarks).filter(|pause_ms| *pause_ms > 0) {
        keys.push(("pause_between_requests_ms", Value::Integer(pause_ms)));
    }
    let host = table.text("host").and_then(|host| host.ok_or_else(|| "it has no host".to_owned()));
    let port = table.text("port");
    let (carrier, endpoint) = match kind.as_str() {
        "tcp" | "rtuovertcp" => {
            let carrier = if kind == "tcp" { ForeignCarrier::Tcp } else { ForeignCarrier::RtuOverTcp };
            let endpoint = host.and_then(|host| {
                let port = port?.unwrap_or_else(|| "502".to_owned());
                Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
            });
            (carrier, endpoint)
        }
        "serial" => {
            if table.text("method")?.as_deref() == Some("ascii") {
                return Err("Modbus ASCII is not spoken".to_owned());
            }
            for (theirs, ours) in [("baudrate", "baud_rate"), ("stopbits", "stop_bits"), ("bytesize", "data_bits")] {
                keys.extend(or_remark(table.whole(theirs), remarks).map(|number| (ours, Value::Integer(number))));
            }
            let word = or_remark(table.text("parity"), remarks).map(|word| parity(&word));
            keys.extend(or_remark(word.transpose(), remarks).map(|parity| ("parity", parity)));
            let port = port.and_then(|port| port.ok_or_else(|| "it has no port".to_owned()));
            // A port on the network, as pyserial writes it.
            match port.as_deref().ok().and_then(|port| port.strip_prefix("socket://")) {
                Some(place) => {
                    keys.retain(|(key, _)| !["baud_rate", "stop_bits", "data_bits", "parity"].contains(key));
                    (ForeignCarrier::RtuOverTcp, Ok(place.to_owned()))
                }
                None => (ForeignCarrier::Serial, port),
            }
        }
        _ => return Err(format!("a hub of the type {kind} is not spoken to; there are tcp, rtuovertcp and serial")),
    };
    Ok(ForeignLine { carrier, endpoint, keys, remarks: Vec::new() })
}

/// What all entities say of their place.
struct EntityPlace {
    unit: u8,
    scan_ms: u64,
    start: i64,
    /// How many further ones follow in the registers.
    followers: i64,
}

fn place(table: &ForeignTable<'_>) -> Result<EntityPlace, String> {
    let unit = table.within("slave", 0, 255)?.or(table.within("device_address", 0, 255)?).unwrap_or(1);
    let scan_s = table.number("scan_interval")?.filter(|seconds| *seconds > 0.0).unwrap_or(SCAN_S as f64);
    let start = table.whole("address")?.ok_or("it has no address")?;
    let followers = table.within("virtual_count", 0, 2000)?.or(table.within("slave_count", 0, 2000)?).unwrap_or_default();
    Ok(EntityPlace { unit: unit as u8, scan_ms: scan_ms((scan_s * 1000.0) as u64), start, followers })
}

fn subject(table: &ForeignTable<'_>, hub: &str) -> String {
    format!("{hub}/{}", table.text("name").ok().flatten().unwrap_or_default())
}

fn sensor(table: &ForeignTable<'_>, hub: &str, device: usize, draft: &mut ConfigDraft) {
    match sensor_tags(table, hub, draft) {
        Ok(mut tags) => {
            if let (Some(told), Some(first)) = (unused(&table.rest()), tags.first_mut()) {
                first.remarks.push(told);
            }
            for tag in tags {
                draft.add(device, tag.name.clone(), Ok(tag));
            }
        }
        Err(reason) => draft.add(device, subject(table, hub), Err(reason)),
    }
}

fn sensor_tags(table: &ForeignTable<'_>, hub: &str, draft: &mut ConfigDraft) -> Result<Vec<DraftTag>, String> {
    let place = place(table)?;
    let area = area(table, "holding")?;
    let (fields, order) = values(table)?;
    let scaled = scaling(table.number("scale")?, table.number("offset")?)?;
    let unit = unit(table)?;
    let length: u16 = fields.iter().map(|field| field.register + field.registers).max().unwrap_or(1);
    let (several, own) = (fields.len() > 1, own_name(table)?);
    let mut tags = Vec::new();
    for follower in 0..=place.followers {
        for (index, field) in fields.iter().enumerate() {
            // Home Assistant numbers the further ones behind their name.
            let own = if follower > 0 { format!("{own} {follower}") } else { own.clone() };
            let part = format!("{}", index + 1);
            let levels = if several { vec![hub, &own, &part] } else { vec![hub, &own] };
            let (name, remark) = draft.tag_name(&[levels]);
            let mut tag = DraftTag { name, remarks: remark.into_iter().collect(), ..DraftTag::default() };
            tag.unit = Some(place.unit);
            tag.scan_ms = Some(place.scan_ms);
            tag.address = address(area, place.start + follower * i64::from(length) + i64::from(field.register))?;
            let is_text = field.format.starts_with("string");
            tag.keys.push(("format", text(&field.format)));
            tag.keys.extend(order.key(field.registers));
            if !is_text {
                tag.keys.extend(scaled.iter().cloned());
                tag.keys.extend(missing(table, &field.format)?);
            }
            tag.keys.extend(unit.clone());
            if tags.is_empty() {
                tag.remarks.extend(changed(table));
            }
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// What Home Assistant does with a value before it shows it.
fn changed(table: &ForeignTable<'_>) -> Vec<String> {
    let named = [
        ("precision", "values are not rounded"),
        ("min_value", "values are not cut; range_low tells what is expected"),
        ("max_value", "values are not cut; range_high tells what is expected"),
        ("zero_suppress", "small values are not taken for 0"),
        ("lazy_error_count", "a tag is Bad at once; a request is repeated once"),
    ];
    named.into_iter().filter(|(key, _)| table.has(key)).map(|(key, why)| format!("{key} not carried over: {why}")).collect()
}

fn area(table: &ForeignTable<'_>, usual: &'static str) -> Result<&'static str, String> {
    match table.text("input_type")?.as_deref() {
        None => Ok(usual),
        Some("holding") => Ok("holding"),
        Some("input") => Ok("input"),
        Some("coil") => Ok("coil"),
        Some("discrete_input") => Ok("discrete"),
        Some(other) => Err(format!("the input_type {other:?} is not known")),
    }
}

/// The values in the registers of an entity, and their order.
fn values(table: &ForeignTable<'_>) -> Result<(Vec<StructureField>, ForeignOrder), String> {
    let kind = table.text("data_type")?.unwrap_or_else(|| "int16".to_owned());
    let count = table.within("count", 1, 125)?;
    let mut order = match table.text("swap")?.as_deref() {
        None | Some("none" | "") => ForeignOrder::default(),
        Some("byte") => ForeignOrder { words_reversed: false, bytes_swapped: true },
        Some("word") => ForeignOrder { words_reversed: true, bytes_swapped: false },
        Some("word_byte") => ForeignOrder { words_reversed: true, bytes_swapped: true },
        Some(other) => return Err(format!("swap {other:?} is not known")),
    };
    let one = |format: &str, registers: u16| vec![StructureField { register: 0, format: format.to_owned(), registers }];
    // Names of years ago, whose length is the count.
    let bits = count.unwrap_or(1) * 16;
    let kind = match kind.as_str() {
        "int" => format!("int{bits}"),
        "uint" => format!("uint{bits}"),
        "float" => format!("float{}", if count.is_none() { 32 } else { bits }),
        _ => kind,
    };
    if let Some((_, format, registers)) = NUMBERS.iter().find(|(name, ..)| *name == kind) {
        let _ = table.has("structure");
        return Ok((one(format, *registers), order));
    }
    match kind.as_str() {
        "string" => {
            let registers = count.ok_or("a text needs its count")? as u16;
            order.words_reversed = false;
            Ok((one(&format!("string:{registers}"), registers), order))
        }
        "custom" => {
            let (fields, is_little) = structure::read(&table.text("structure")?.ok_or("it has no structure")?)?;
            if is_little {
                // Bytes within a text stay as they are, and single ones have their place.
                if fields.iter().any(|field| !field.format.starts_with(['i', 'u', 'f']) || field.format.contains('-')) {
                    return Err("a structure with < and texts or bytes is not carried over".to_owned());
                }
                order = ForeignOrder { words_reversed: true, bytes_swapped: true };
            }
            Ok((fields, order))
        }
        _ => Err(format!("the data_type {kind:?} is not known")),
    }
}

/// `nan_value`, which is compared without its sign.
fn missing(table: &ForeignTable<'_>, format: &str) -> Result<Option<DraftKey>, String> {
    let Some(word) = table.text("nan_value")? else { return Ok(None) };
    let digits = hexadecimal(&word).or_else(|| word.parse().ok());
    let value = digits.or_else(|| i64::from_str_radix(&word, 16).ok()).ok_or_else(|| format!("nan_value {word:?} is no number"))?;
    let value = i128::from(value).abs();
    let bits: u32 = format.get(1..).and_then(|bits| bits.split('-').next()).and_then(|bits| bits.parse().ok()).unwrap_or(16);
    let range = match format.as_bytes().first() {
        Some(b'u') => 0..=(1_i128 << bits) - 1,
        Some(b'i') => -(1_i128 << (bits - 1))..=(1_i128 << (bits - 1)) - 1,
        _ => -(1_i128 << 24)..=1_i128 << 24,
    };
    let is_float = format.starts_with('f');
    let write = |value: i128| {
        if is_float {
            Value::Float(value as f64)
        } else {
            i64::try_from(value).map_or_else(|_| text(format!("0x{value:X}")), Value::Integer)
        }
    };
    let mut values: Vec<i128> = [value, -value].into_iter().filter(|value| range.contains(value)).collect();
    values.dedup();
    if values.is_empty() {
        return Err(format!("nan_value {word} is no value of {format}"));
    }
    Ok(Some(("not_available", Value::Array(values.into_iter().map(write).collect()))))
}

fn binary_sensor(table: &ForeignTable<'_>, hub: &str, device: usize, draft: &mut ConfigDraft) {
    match binary_sensor_tags(table, hub, draft) {
        Ok(mut tags) => {
            if let Some(first) = tags.first_mut() {
                first.remarks.extend(changed(table));
                first.remarks.extend(unused(&table.rest()));
            }
            for tag in tags {
                draft.add(device, tag.name.clone(), Ok(tag));
            }
        }
        Err(reason) => draft.add(device, subject(table, hub), Err(reason)),
    }
}

fn binary_sensor_tags(table: &ForeignTable<'_>, hub: &str, draft: &mut ConfigDraft) -> Result<Vec<DraftTag>, String> {
    let place = place(table)?;
    let (area, own) = (area(table, "coil")?, own_name(table)?);
    let mut tags = Vec::new();
    for follower in 0..=place.followers {
        let own = if follower > 0 { format!("{own} {follower}") } else { own.clone() };
        let (name, remark) = draft.tag_name(&[vec![hub, &own]]);
        let mut tag = DraftTag { name, remarks: remark.into_iter().collect(), ..DraftTag::default() };
        let bit = address(area, place.start + follower)?;
        // Of a register Home Assistant takes the lowest bit.
        tag.address = if matches!(area, "coil" | "discrete") { bit } else { format!("{bit}.0") };
        tag.unit = Some(place.unit);
        tag.scan_ms = Some(place.scan_ms);
        tags.push(tag);
    }
    Ok(tags)
}

/// The temperatures of a climate: the one that is, and those that it is set to.
fn temperatures(
    table: &ForeignTable<'_>,
    hub: &str,
    own: &str,
    place: &EntityPlace,
    draft: &mut ConfigDraft,
) -> Result<Vec<DraftTag>, String> {
    let (fields, order) = values(table)?;
    let [field] = &fields[..] else { return Err("its structure has several values".to_owned()) };
    let degrees = table.text("temperature_unit")?.unwrap_or_else(|| "C".to_owned());
    let degrees = if degrees.eq_ignore_ascii_case("f") { "[degF]" } else { "Cel" };
    let (scale, offset) = (table.number("scale")?, table.number("offset")?);
    let current = scaling(table.number("current_temp_scale")?.or(scale), table.number("current_temp_offset")?.or(offset))?;
    let target = scaling(table.number("target_temp_scale")?.or(scale), table.number("target_temp_offset")?.or(offset))?;
    let mut wanted = vec![("current_temperature".to_owned(), area(table, "holding")?, place.start, current)];
    // One register, or one for each mode.
    let mut seen: Vec<i64> = Vec::new();
    for register in table.list("target_temp_register").into_iter().filter_map(Json::as_i64) {
        if !seen.contains(&register) {
            seen.push(register);
            let part = if seen.len() > 1 { format!("target_temperature_{}", seen.len()) } else { "target_temperature".to_owned() };
            wanted.push((part, "holding", register, target.clone()));
        }
    }
    let mut tags = Vec::new();
    for (part, area, start, scaled) in wanted {
        let (name, remark) = draft.tag_name(&[vec![hub, own, &part]]);
        let mut tag = DraftTag { name, unit: Some(place.unit), scan_ms: Some(place.scan_ms), ..DraftTag::default() };
        tag.remarks.extend(remark);
        tag.address = address(area, start)?;
        tag.keys.push(("format", text(&field.format)));
        tag.keys.extend(order.key(field.registers));
        tag.keys.extend(scaled);
        tag.keys.extend(missing(table, &field.format)?);
        tag.keys.push(("unit", text(degrees)));
        tags.push(tag);
    }
    Ok(tags)
}

/// What a climate measures and what it is set to: registers that are read.
fn climate(table: &ForeignTable<'_>, hub: &str, device: usize, draft: &mut ConfigDraft) {
    let subject = subject(table, hub);
    let own = own_name(table).unwrap_or_else(|_| "climate".to_owned());
    let read = place(table).and_then(|place| Ok((temperatures(table, hub, &own, &place, draft)?, place)));
    let (tags, place) = match read {
        Ok(read) => read,
        Err(reason) => return draft.add(device, subject, Err(reason)),
    };
    for (index, mut tag) in tags.into_iter().enumerate() {
        if index == 0 {
            tag.remarks.extend(changed(table));
        }
        draft.add(device, tag.name.clone(), Ok(tag));
    }
    for (key, part) in [("hvac_mode_register", "hvac_mode"), ("fan_mode_register", "fan_mode"), ("swing_mode_register", "swing_mode")] {
        let Some(mode) = table.get(key).and_then(ForeignTable::of) else { continue };
        let read = mode_tag(&mode).map(|(address, states)| {
            let (name, remark) = draft.tag_name(&[vec![hub, own.as_str(), part]]);
            let mut tag = DraftTag { name, unit: Some(place.unit), scan_ms: Some(place.scan_ms), address, ..DraftTag::default() };
            tag.remarks.extend(remark);
            tag.remarks.extend(unused(&mode.rest()));
            tag.keys.extend((!states.is_empty()).then(|| ("state_set", text(states))));
            tag
        });
        draft.add(device, format!("{subject}/{part}"), read);
    }
    for key in [
        "max_temp",
        "min_temp",
        "temp_step",
        "hvac_onoff_register",
        "hvac_on_value",
        "hvac_off_value",
        "hvac_onoff_coil",
        "write_registers",
    ] {
        if table.has(key) {
            draft.note(&subject, format!("{key} not carried over: it says what is written"));
        }
    }
    if let Some(told) = unused(&table.rest()) {
        draft.note(&subject, told);
    }
}

/// The register of a mode, and the names of its numbers.
fn mode_tag(mode: &ForeignTable<'_>) -> Result<(String, String), String> {
    let start = mode.list("address").first().and_then(|start| start.as_i64()).ok_or("it has no address")?;
    let _ = mode.has("write_registers");
    let mut states: Vec<(u64, String)> = Vec::new();
    if let Some(values) = mode.get("values").and_then(Json::as_object) {
        for (name, numbers) in values {
            let name = ["state_fan_", "state_swing_", "state_"].into_iter().find_map(|begin| name.strip_prefix(begin)).unwrap_or(name);
            for number in each(Some(numbers)).into_iter().filter_map(Json::as_u64) {
                if !states.iter().any(|(known, _)| *known == number) {
                    states.push((number, name.to_owned()));
                }
            }
        }
    }
    states.sort();
    let mut named: Vec<String> = Vec::new();
    // Names are told apart, as a set of states has each once.
    for (number, name) in &states {
        let twice = states.iter().filter(|(_, other)| other == name).count() > 1;
        named.push(if twice { format!("{number}={name}_{number}") } else { format!("{number}={name}") });
    }
    Ok((address("holding", start)?, named.join("|")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_value_is_one_of_both_signs_as_far_as_the_format_has_it() {
        let of = |word: &str, format: &str| {
            let file = serde_json::json!({ "nan_value": word });
            missing(&ForeignTable::of(&file).unwrap(), format).map(|key| key.map(|(_, value)| value.to_string()))
        };
        assert_eq!(of("0x8000", "i16"), Ok(Some("[-32768]".to_owned())));
        assert_eq!(of("0xFFFF", "u16"), Ok(Some("[65535]".to_owned())));
        assert_eq!(of("-9999", "i32"), Ok(Some("[9999, -9999]".to_owned())));
        assert_eq!(of("FFFFFFFF", "u32"), Ok(Some("[4294967295]".to_owned())));
        assert_eq!(of("999", "f32"), Ok(Some("[999.0, -999.0]".to_owned())));
        assert!(of("0x10000", "u16").is_err() && of("none", "u16").is_err());
        let nothing = serde_json::json!({});
        assert_eq!(missing(&ForeignTable::of(&nothing).unwrap(), "u16"), Ok(None));
    }
}
