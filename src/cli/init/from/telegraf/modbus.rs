//! `inputs.modbus` of Telegraf in its three styles: lists by kind of register, requests, metrics.

use serde_json::Value as Json;

use super::{
    super::{
        draft::{ConfigDraft, DraftKey, DraftTag, text, unused},
        place::{ForeignCarrier, ForeignLine, ForeignOrder, address, parity, scaling},
        source::{ForeignTable, or_remark},
    },
    plugin::{common, period},
};

/// Lists of the first style, with our areas.
const LISTS: [(&str, &str); 4] =
    [("discrete_inputs", "discrete"), ("coils", "coil"), ("holding_registers", "holding"), ("input_registers", "input")];
/// Measurement of values for which none is named.
const MEASUREMENT: &str = "modbus";

/// What the fields of a request, a metric or a list have in common.
struct FieldGroup {
    unit: u8,
    scan_ms: u64,
    order: Option<String>,
    area: Option<String>,
    measurement: Option<String>,
    /// Values of the tags of Telegraf, which may tell names apart.
    tags: Vec<String>,
    /// Texts of one byte in each register: which one.
    text_byte: Option<String>,
}

pub fn read(table: &ForeignTable<'_>, interval_ms: u64, draft: &mut ConfigDraft) {
    let mut remarks = common(table);
    let name = or_remark(table.text("name"), &mut remarks).unwrap_or_else(|| MEASUREMENT.to_owned());
    let scan_ms = period(table, interval_ms, &mut remarks);
    let style = or_remark(table.text("configuration_type"), &mut remarks).unwrap_or_else(|| "register".to_owned());
    let Some(mut line) = line(table, &mut remarks) else {
        draft.leave(name, "Modbus ASCII is not spoken");
        return;
    };
    let mut text_byte = None;
    if let Some(workarounds) = table.get("workarounds").and_then(ForeignTable::of) {
        text_byte = or_remark(workarounds.text("string_register_location"), &mut remarks);
        line.keys.extend(pauses(&workarounds, &mut remarks));
        remarks.extend(unused(&workarounds.rest()).map(|told| format!("workarounds {told}")));
    }
    let unit = or_remark(table.within("slave_id", 0, 255), &mut remarks).unwrap_or(1) as u8;
    line.remarks = remarks;
    let device = line.device(&name, draft);
    let group =
        |unit| FieldGroup { unit, scan_ms, order: None, area: None, measurement: None, tags: Vec::new(), text_byte: text_byte.clone() };
    if style == "register" {
        for (list, area) in LISTS {
            let group = FieldGroup { area: Some(area.to_owned()), ..group(unit) };
            for field in table.list(list) {
                add(device, &name, &group, field, draft);
            }
        }
        for other in ["request", "metric"] {
            if table.has(other) {
                draft.note(&name, format!("{other} is not read by Telegraf either, as configuration_type is {style:?}"));
            }
        }
    } else {
        for part in table.list(if style == "metric" { "metric" } else { "request" }) {
            let Some(part) = ForeignTable::of(part) else { continue };
            let mut remarks = Vec::new();
            let mut group = group(or_remark(part.within("slave_id", 0, 255), &mut remarks).unwrap_or_default() as u8);
            group.order = or_remark(part.text("byte_order"), &mut remarks);
            group.measurement = or_remark(part.text("measurement"), &mut remarks);
            if style != "metric" {
                group.area = or_remark(part.text("register"), &mut remarks);
            }
            if let Some(tags) = part.get("tags").and_then(Json::as_object) {
                group.tags = tags.values().filter_map(Json::as_str).map(str::to_owned).collect();
                let pairs: Vec<String> = tags.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                remarks.push(format!("tags of Telegraf not carried over: {}", pairs.join(", ")));
            }
            if part.has("optimization") || part.has("optimization_max_register_fill") {
                remarks.push("optimization not carried over: requests are planned anyway (max_gap, max_registers)".to_owned());
            }
            let fields = part.list("fields");
            remarks.extend(unused(&part.rest()));
            draft.device_mut(device).remarks.extend(remarks);
            for field in fields {
                add(device, &name, &group, field, draft);
            }
        }
        for (list, _) in LISTS {
            if table.has(list) {
                draft.note(&name, format!("{list} is not read by Telegraf either, as configuration_type is {style:?}"));
            }
        }
    }
    for (key, why) in [
        ("busy_retries", "a request is repeated once"),
        ("busy_retries_wait", "a request is repeated once"),
        ("debug_connection", "`historian check` shows the requests"),
        ("exclude_register_type_tag", "a value is named by its tag alone"),
        ("optimization", "requests are planned anyway (max_gap, max_registers)"),
        ("optimization_max_register_fill", "requests are planned anyway (max_gap, max_registers)"),
    ] {
        if table.has(key) {
            draft.device_mut(device).remarks.push(format!("{key} not carried over: {why}"));
        }
    }
    if let Some(told) = unused(&table.rest()) {
        draft.device_mut(device).remarks.push(told);
    }
}

/// Where the device is; `None` for Modbus ASCII.
fn line(table: &ForeignTable<'_>, remarks: &mut Vec<String>) -> Option<ForeignLine> {
    let controller = table.text("controller").and_then(|controller| controller.ok_or_else(|| "it has no controller".to_owned()));
    let mode = or_remark(table.text("transmission_mode"), remarks).unwrap_or_default().to_lowercase();
    if mode.contains("ascii") {
        return None;
    }
    let mut keys: Vec<DraftKey> = Vec::new();
    if let Some(timeout_ms) = or_remark(table.milliseconds("timeout"), remarks) {
        keys.push(("timeout_ms", toml::Value::Integer(timeout_ms.clamp(10, 60_000) as i64)));
    }
    let serial = |controller: &str| {
        let port = controller.strip_prefix("file://").unwrap_or(controller);
        (!port.contains("://") && (port.starts_with('/') || port.to_lowercase().starts_with("com"))).then(|| port.to_owned())
    };
    let (carrier, endpoint) = match controller {
        Ok(controller) => match (serial(&controller), controller.split_once("://")) {
            (Some(port), _) => (ForeignCarrier::Serial, Ok(port)),
            (None, Some(("tcp", place))) => {
                let carrier = if mode == "rtuovertcp" { ForeignCarrier::RtuOverTcp } else { ForeignCarrier::Tcp };
                (carrier, Ok(place.trim_end_matches('/').to_owned()))
            }
            _ => (ForeignCarrier::Tcp, Err(format!("{controller:?} is no address of a device that is known"))),
        },
        Err(reason) => (ForeignCarrier::Tcp, Err(reason)),
    };
    let (baud_rate, data_bits, stop_bits) = (table.whole("baud_rate"), table.whole("data_bits"), table.whole("stop_bits"));
    let word = table.text("parity");
    if carrier == ForeignCarrier::Serial {
        let whole = |key: &'static str, read: Result<Option<i64>, String>, remarks: &mut Vec<String>| {
            or_remark(read, remarks).map(|number| (key, toml::Value::Integer(number)))
        };
        keys.extend(whole("baud_rate", baud_rate, remarks));
        let word = or_remark(word, remarks).map(|word| parity(&word));
        keys.extend(or_remark(word.transpose(), remarks).map(|parity| ("parity", parity)));
        keys.extend(whole("stop_bits", stop_bits, remarks));
        keys.extend(whole("data_bits", data_bits, remarks));
        if endpoint.as_ref().is_ok_and(|port: &String| !port.starts_with('/')) {
            remarks
                .push("the name of the serial port is that of another system: see which one it has here, such as /dev/ttyUSB0".to_owned());
        }
    }
    if table.has("rs485") {
        remarks.push("rs485 not carried over: the adapter has to switch its direction by itself".to_owned());
    }
    Some(ForeignLine { carrier, endpoint, keys, remarks: Vec::new() })
}

/// What some devices need.
fn pauses(workarounds: &ForeignTable<'_>, remarks: &mut Vec<String>) -> Vec<DraftKey> {
    let mut keys: Vec<DraftKey> = Vec::new();
    for (theirs, ours) in [("pause_after_connect", "pause_after_connect_ms"), ("pause_between_requests", "pause_between_requests_ms")] {
        if let Some(pause) = or_remark(workarounds.milliseconds(theirs), remarks).filter(|pause| *pause > 0) {
            keys.push((ours, toml::Value::Integer(pause.min(60_000) as i64)));
        }
    }
    for (theirs, ours) in [("close_connection_after_gather", "close_after_poll"), ("one_request_per_field", "read_single")] {
        if or_remark(workarounds.truth(theirs).map(Some), remarks).unwrap_or_default() {
            keys.push((ours, toml::Value::Boolean(true)));
        }
    }
    for (theirs, ours, most) in
        [("max_word_registers_per_request", "max_registers", 125), ("max_bit_registers_per_request", "max_bits", 2000)]
    {
        if let Some(number) = or_remark(workarounds.whole(theirs), remarks).filter(|number| *number > 0) {
            keys.push((ours, toml::Value::Integer(number.min(most))));
        }
    }
    if workarounds.has("read_coils_starting_at_zero") {
        remarks.push("read_coils_starting_at_zero not carried over: only what is needed is read".to_owned());
    }
    keys
}

/// Adds a field to the device.
fn add(device: usize, name: &str, group: &FieldGroup, field: &Json, draft: &mut ConfigDraft) {
    let Some(field) = ForeignTable::of(field) else {
        return draft.add(device, name, Err("a field is no table".to_owned()));
    };
    if field.truth("omit").unwrap_or_default() {
        return;
    }
    let own = field.text("name").ok().flatten().unwrap_or_default();
    let read = tag(group, &field);
    let measurement = field.text("measurement").ok().flatten().or_else(|| group.measurement.clone()).filter(|name| name != MEASUREMENT);
    let measurement = measurement.as_deref().unwrap_or_default();
    let read = read.and_then(|mut tag| {
        if own.is_empty() {
            return Err("it has no name".to_owned());
        }
        let (tags, unit) = (group.tags.join("/"), format!("unit{}", group.unit));
        let candidates = [vec![name, measurement, &own], vec![name, &tags, measurement, &own], vec![name, &tags, &unit, measurement, &own]];
        let (name, remark) = draft.tag_name(&candidates);
        tag.name = name;
        tag.remarks.extend(remark);
        tag.remarks.extend(unused(&field.rest()));
        Ok(tag)
    });
    let levels: Vec<&str> = [name, measurement, &own].into_iter().filter(|level| !level.is_empty()).collect();
    draft.add(device, levels.join("/"), read);
}

fn tag(group: &FieldGroup, field: &ForeignTable<'_>) -> Result<DraftTag, String> {
    let area = match field.text("register")?.or_else(|| group.area.clone()).as_deref() {
        Some("coil") => "coil",
        Some("discrete") => "discrete",
        Some("input") => "input",
        None | Some("holding" | "") => "holding",
        Some(other) => return Err(format!("{other:?} is no kind of register")),
    };
    let (start, listed) = start(field)?;
    let mut tag = DraftTag { unit: Some(group.unit), scan_ms: Some(group.scan_ms), ..DraftTag::default() };
    let output = field.text("output")?.unwrap_or_default();
    if matches!(area, "coil" | "discrete") {
        // Telegraf does not read them of bits either.
        let _ = ["type", "data_type", "byte_order", "scale", "length", "bit"].map(|key| field.has(key));
        tag.address = address(area, start)?;
        return Ok(tag);
    }
    let kind = field.text("data_type")?.or(field.text("type")?).ok_or("it has no type")?;
    let order = match field.text("byte_order")?.or_else(|| group.order.clone()) {
        None => ForeignOrder::default(),
        Some(order) => byte_order(&order)?,
    };
    let mut kept = order;
    let (format, registers, is_number) = match kind.to_uppercase().as_str() {
        "BIT" => {
            let bit = field.within("bit", 0, 15)?.unwrap_or_default();
            let bit = if order.bytes_swapped { bit ^ 8 } else { bit };
            tag.address = format!("{}.{bit}", address(area, start)?);
            return Ok(tag);
        }
        // In swapped bytes the low one is the high one.
        kind @ ("INT8L" | "INT8H" | "UINT8L" | "UINT8H") => {
            kept.bytes_swapped = false;
            let sign = if kind.starts_with('U') { 'u' } else { 'i' };
            let half = if kind.ends_with('L') == order.bytes_swapped { "high" } else { "low" };
            (format!("{sign}8-{half}"), 1, true)
        }
        // The length is that of the list of addresses; the last name is an old one of the first.
        kind @ ("UFIXED" | "FIXED" | "FLOAT32") if field.has("data_type") => {
            let registers = u16::try_from(listed).unwrap_or_default();
            if ![1, 2, 4].contains(&registers) {
                return Err(format!("{kind} has 1, 2 or 4 registers"));
            }
            (format!("{}{}", if kind == "FIXED" { 'i' } else { 'u' }, registers * 16), registers, true)
        }
        "INT16" => ("i16".to_owned(), 1, true),
        "UINT16" => ("u16".to_owned(), 1, true),
        "INT32" => ("i32".to_owned(), 2, true),
        "UINT32" => ("u32".to_owned(), 2, true),
        "INT64" => ("i64".to_owned(), 4, true),
        "UINT64" => ("u64".to_owned(), 4, true),
        "FLOAT16" | "FLOAT16-IEEE" => ("f16".to_owned(), 1, true),
        "FLOAT32" | "FLOAT32-IEEE" => ("f32".to_owned(), 2, true),
        "FLOAT64" | "FLOAT64-IEEE" => ("f64".to_owned(), 4, true),
        "STRING" => {
            kept.words_reversed = false;
            let length = field.within("length", 1, 125)?.unwrap_or(listed as i64) as u16;
            let form = match group.text_byte.as_deref() {
                Some("lower") => "string-low",
                Some("upper") => "string-high",
                _ => "string",
            };
            (format!("{form}:{length}"), length, false)
        }
        _ => return Err(format!("the type {kind:?} is not known")),
    };
    if listed > 1 && listed != usize::from(registers) {
        return Err(format!("{kind} takes {registers} registers, and {listed} addresses are listed"));
    }
    tag.address = address(area, start)?;
    tag.keys.push(("format", text(&format)));
    tag.keys.extend(kept.key(registers));
    let scaled = scaling(field.number("scale")?, None)?;
    if is_number {
        let value_type = match output.to_uppercase().as_str() {
            "FLOAT64" => Some("f64"),
            "INT64" => Some("i64"),
            "UINT64" => Some("u64"),
            _ => None,
        };
        // What is scaled is a float with us as well.
        match value_type.filter(|value_type| scaled.is_empty() && *value_type != native(&format)) {
            Some(value_type) => tag.keys.push(("type", text(value_type))),
            None if !scaled.is_empty() && value_type.is_some_and(|value_type| value_type != "f64") => {
                tag.remarks.push(format!("output {output} not carried over: a scaled value is an f64"));
            }
            None => {}
        }
        tag.keys.extend(scaled);
    }
    Ok(tag)
}

/// The value type that a format has by itself.
fn native(format: &str) -> &'static str {
    match format.as_bytes().first() {
        Some(b'u') => "u64",
        Some(b'i') => "i64",
        _ if format == "f64" => "f64",
        _ => "f32",
    }
}

/// The first address, and how many are listed.
fn start(field: &ForeignTable<'_>) -> Result<(i64, usize), String> {
    let listed: Option<Vec<i64>> = field.list("address").into_iter().map(Json::as_i64).collect();
    let listed = listed.filter(|listed| !listed.is_empty()).ok_or("it has no address")?;
    if listed.windows(2).any(|pair| pair[1] != pair[0] + 1) {
        return Err("its addresses do not follow each other".to_owned());
    }
    Ok((listed[0], listed.len()))
}

/// Byte orders of one, two and four registers.
fn byte_order(order: &str) -> Result<ForeignOrder, String> {
    let ours = match order.to_uppercase().as_str() {
        "AB" | "ABCD" | "ABCDEFGH" => "ABCD",
        "CDAB" | "GHEFCDAB" => "CDAB",
        "BADC" | "BADCFEHG" => "BADC",
        "BA" | "DCBA" | "HGFEDCBA" => "DCBA",
        _ => return Err(format!("{order:?} is no byte order that is known")),
    };
    ForeignOrder::named(ours).ok_or_else(|| "it has no order".to_owned())
}
