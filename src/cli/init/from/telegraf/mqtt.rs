//! `inputs.mqtt_consumer` of Telegraf: topics whose payloads are single values or JSON.

use serde_json::Value as Json;

use super::{
    super::{
        draft::{ConfigDraft, DraftDevice, DraftKey, DraftTag, DraftTopic, text, unused},
        pointer,
        source::{ForeignTable, or_remark},
    },
    plugin::common,
};

/// A value in the messages.
struct MessageField {
    pointer: String,
    /// Behind the topic in the name.
    name: String,
    value_type: Option<&'static str>,
}

/// How the messages are read.
enum MessageKind {
    /// One value, of this type.
    Single(Option<&'static str>),
    /// Every scalar.
    Everything,
    Fields(Vec<MessageField>),
}

pub fn read(table: &ForeignTable<'_>, draft: &mut ConfigDraft) {
    let mut remarks = common(table);
    let _ = table.has("interval");
    let subject = "inputs.mqtt_consumer";
    let servers: Vec<&str> = table.list("servers").into_iter().filter_map(Json::as_str).collect();
    let Some(first) = servers.first() else { return draft.leave(subject, "it has no servers") };
    let Some((scheme, place)) = first.split_once("://") else {
        return draft.leave(subject, format!("{first:?} is no address of a broker"));
    };
    let (has_tls, port) = match scheme {
        "tcp" | "mqtt" => (false, 1883),
        "ssl" | "tls" | "mqtts" | "tcps" => (true, 8883),
        _ => return draft.leave(subject, format!("{scheme} is not spoken; there are MQTT over TCP and TLS")),
    };
    let place = place.trim_end_matches('/');
    let place = if place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        place.to_owned()
    } else {
        format!("{place}:{port}")
    };
    if servers.len() > 1 {
        remarks.push(format!("only the first of {} servers is carried over: several are several [[mqtt]]", servers.len()));
    }
    let mut keys = vec![("endpoint", text(&place))];
    keys.extend(settings(table, has_tls, &mut remarks));
    let mut stamp: Vec<DraftKey> = Vec::new();
    let kind = match kind(table, &mut stamp, &mut remarks, draft) {
        Ok(kind) => kind,
        Err(reason) => {
            for topic in table.list("topics").into_iter().filter_map(Json::as_str) {
                draft.leave(format!("topic {topic}"), &reason);
            }
            return;
        }
    };
    for (key, why) in [
        ("topic_tag", "a topic is part of the name"),
        ("topic_parsing", "tag_name of [[mqtt.topic]] takes levels of the topic by {1}, {2}, …"),
        ("max_undelivered_messages", "messages wait in the spool"),
        ("persistent_session", "session_expiry_s says how long the broker keeps messages"),
        ("connection_timeout", "timeout_ms is the limit of each step"),
        ("client_trace", "it is of the log of Telegraf"),
        ("keepalive", "keep_alive_s is 30"),
        ("ping_timeout", "timeout_ms is the limit of each step"),
        ("metric_buffer_limit", "messages wait in the spool"),
    ] {
        if table.has(key) {
            remarks.push(format!("{key} not carried over: {why}"));
        }
    }
    let topics = table.list("topics");
    remarks.extend(unused(&table.rest()));
    let device = draft.device(DraftDevice::new("mqtt", "broker", place, keys, remarks));
    for topic in topics.into_iter().filter_map(Json::as_str) {
        add(device, topic, &kind, &stamp, draft);
    }
}

/// Keys of the connection.
fn settings(table: &ForeignTable<'_>, has_tls: bool, remarks: &mut Vec<String>) -> Vec<DraftKey> {
    let mut keys: Vec<DraftKey> = Vec::new();
    if matches!(or_remark(table.text("protocol"), remarks).as_deref(), Some("3.1.1")) {
        keys.push(("version", text("3.1.1")));
    }
    match or_remark(table.whole("qos"), remarks) {
        Some(0) => keys.push(("qos", toml::Value::Integer(0))),
        Some(2) => remarks.push("qos 2 is not spoken: 1".to_owned()),
        _ => {}
    }
    if table.has("client_id") {
        remarks.push("client_id not carried over: the broker would cut the connection of Telegraf".to_owned());
    }
    if table.has("username") || table.has("password") {
        remarks.push("to do: the user: set user, and password_file with the path of a file that has the password".to_owned());
    }
    let _ = (table.has("username"), table.has("password"));
    let files = ["tls_ca", "tls_cert", "tls_key"].map(|key| table.has(key));
    if has_tls || files.contains(&true) {
        keys.push(("tls", toml::Value::Boolean(true)));
    }
    if files.contains(&true) {
        remarks.push(
            "to do: tls_ca, tls_cert and tls_key are ca_file, certificate_file and key_file; the historian has to be able to read them"
                .to_owned(),
        );
    }
    if table.truth("insecure_skip_verify").unwrap_or_default() {
        remarks.push("insecure_skip_verify not carried over: the certificate of the broker is checked".to_owned());
    }
    if table.has("tls_server_name") {
        keys.extend(or_remark(table.text("tls_server_name"), remarks).map(|name| ("server_name", text(name))));
    }
    let _ = table.has("tls_enable");
    keys
}

/// How the messages are read; `Err` for what is not read.
fn kind(
    table: &ForeignTable<'_>,
    stamp: &mut Vec<DraftKey>,
    remarks: &mut Vec<String>,
    draft: &mut ConfigDraft,
) -> Result<MessageKind, String> {
    let format = table.text("data_format")?.unwrap_or_else(|| "influx".to_owned());
    match format.as_str() {
        "value" => {
            let _ = table.has("value_field_name");
            let named = table.text("data_type")?.unwrap_or_default();
            let value_type = match named.as_str() {
                "integer" | "int" | "long" => Some("i64"),
                "float" => Some("f64"),
                "string" | "base64" => Some("string"),
                "boolean" | "bool" => Some("bool"),
                _ => None,
            };
            Ok(MessageKind::Single(value_type))
        }
        "json" => {
            let time = table.text("json_time_key")?;
            let time_format = table.text("json_time_format")?;
            stamp.extend(stamp_of(time.as_deref(), time_format.as_deref(), remarks));
            if let Some(query) = table.text("json_query")?.filter(|query| !query.is_empty()) {
                return Err(format!("json_query {query:?}: what is within the message is not read by itself"));
            }
            for (key, why) in [
                ("tag_keys", "a value is named by its tag alone; tag_name of [[mqtt.topic]] takes members by {/name}"),
                ("json_name_key", "a value is named by its tag alone"),
                ("json_string_fields", "texts are taken as well"),
                ("json_strict", "what is no JSON makes tags Bad"),
                ("json_timezone", "times are in UTC or say their zone"),
            ] {
                if table.has(key) {
                    remarks.push(format!("{key} not carried over: {why}"));
                }
            }
            Ok(MessageKind::Everything)
        }
        "json_v2" => {
            let mut fields = Vec::new();
            let mut is_everything = false;
            for part in table.list("json_v2") {
                let Some(part) = ForeignTable::of(part) else { continue };
                let (path, time_format) = (part.text("timestamp_path")?, part.text("timestamp_format")?);
                stamp.extend(stamp_of(path.as_deref(), time_format.as_deref(), remarks));
                for field in part.list("field") {
                    let Some(field) = ForeignTable::of(field) else { continue };
                    match message_field(&field) {
                        Ok(read) => fields.push(read),
                        Err(reason) => draft.leave("inputs.mqtt_consumer.json_v2.field", reason),
                    }
                    let _ = field.has("optional");
                    remarks.extend(unused(&field.rest()));
                }
                for object in part.list("object") {
                    let Some(object) = ForeignTable::of(object) else { continue };
                    is_everything |= members(&object, &mut fields, stamp, remarks, draft);
                }
                for (key, why) in [
                    ("tag", "a value is named by its tag alone; tag_name of [[mqtt.topic]] takes members by {/name}"),
                    ("measurement_name", "a value is named by its tag alone"),
                    ("measurement_name_path", "a value is named by its tag alone"),
                    ("timestamp_timezone", "times are in UTC or say their zone"),
                ] {
                    if part.has(key) {
                        remarks.push(format!("json_v2.{key} not carried over: {why}"));
                    }
                }
                remarks.extend(unused(&part.rest()));
            }
            match (is_everything, fields.is_empty()) {
                (true, _) => Ok(MessageKind::Everything),
                (false, false) => Ok(MessageKind::Fields(fields)),
                (false, true) => Err("json_v2 names no field that could be carried over".to_owned()),
            }
        }
        _ => Err(format!("messages in the format {format:?} are not read; there are single values and JSON")),
    }
}

/// A `json_v2.field`.
fn message_field(field: &ForeignTable<'_>) -> Result<MessageField, String> {
    let path = field.text("path")?.ok_or("it has no path")?;
    let pointer = pointer::of_path(&path).ok_or_else(|| format!("the path {path:?} searches or computes"))?;
    let name = field.text("rename")?.unwrap_or_else(|| pointer.trim_start_matches('/').to_owned());
    Ok(MessageField { pointer, name, value_type: value_type(field.text("type")?.as_deref()) })
}

fn value_type(named: Option<&str>) -> Option<&'static str> {
    match named? {
        "int" => Some("i64"),
        "uint" => Some("u64"),
        "float" => Some("f64"),
        "string" => Some("string"),
        "bool" => Some("bool"),
        _ => None,
    }
}

/// The members of a `json_v2.object`; true where they are all scalars of the message.
fn members(
    object: &ForeignTable<'_>,
    fields: &mut Vec<MessageField>,
    stamp: &mut Vec<DraftKey>,
    remarks: &mut Vec<String>,
    draft: &mut ConfigDraft,
) -> bool {
    let path = or_remark(object.text("path"), remarks).unwrap_or_default();
    let is_whole = path.is_empty() || path == "@this";
    let within = if is_whole { Some(String::new()) } else { pointer::of_path(&path) };
    let Some(within) = within else {
        draft.leave("inputs.mqtt_consumer.json_v2.object", format!("the path {path:?} searches or computes"));
        return false;
    };
    let at = |key: &str| Some(format!("{within}{}", pointer::of_path(key)?));
    let (time, time_format) = (or_remark(object.text("timestamp_key"), remarks), or_remark(object.text("timestamp_format"), remarks));
    if let Some(time) = time.as_deref() {
        let time = if is_whole { time.to_owned() } else { format!("{path}.{time}") };
        stamp.extend(stamp_of(Some(&time), time_format.as_deref(), remarks));
    }
    let types = object.get("fields").and_then(Json::as_object);
    let renames = object.get("renames").and_then(Json::as_object);
    let listed: Vec<&str> = object.list("included_keys").into_iter().filter_map(Json::as_str).collect();
    for key in &listed {
        let Some(pointer) = at(key) else {
            draft.leave(format!("inputs.mqtt_consumer.json_v2.object {key}"), "the key searches or computes");
            continue;
        };
        let of = |table: Option<&'_ serde_json::Map<String, Json>>| {
            table.and_then(|table| table.get(*key)).and_then(Json::as_str).map(str::to_owned)
        };
        let name = of(renames).unwrap_or_else(|| pointer.trim_start_matches('/').to_owned());
        fields.push(MessageField { pointer, name, value_type: value_type(of(types).as_deref()) });
    }
    for (key, why) in [
        ("tags", "a value is named by its tag alone; tag_name of [[mqtt.topic]] takes members by {/name}"),
        ("excluded_keys", "list the wanted ones in fields"),
        ("disable_prepend_keys", "names have the whole path"),
        ("tag", "a value is named by its tag alone"),
        ("field", "list it in fields"),
        ("timestamp_timezone", "times are in UTC or say their zone"),
        ("optional", "what is not there makes the tag Bad"),
    ] {
        if object.has(key) {
            remarks.push(format!("json_v2.object.{key} not carried over: {why}"));
        }
    }
    remarks.extend(unused(&object.rest()));
    if listed.is_empty() && !is_whole {
        draft.leave("inputs.mqtt_consumer.json_v2.object", format!("all that is at {path:?}: name the members in included_keys"));
    }
    listed.is_empty() && is_whole
}

/// Where the time of a message is, and how it is written.
fn stamp_of(path: Option<&str>, format: Option<&str>, remarks: &mut Vec<String>) -> Vec<DraftKey> {
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Vec::new() };
    let ours = match format.unwrap_or_default() {
        "unix" => "unix_s",
        known @ ("unix_ms" | "unix_us" | "unix_ns") => known,
        layout if layout.starts_with("2006-01-02T15:04:05") || layout == "rfc3339" || layout.is_empty() => "rfc3339",
        other => {
            remarks.push(format!("the time {path} not carried over, as it is written {other:?}: times of reception"));
            return Vec::new();
        }
    };
    if let Some(pointer) = pointer::of_path(path) {
        return vec![("time", text(pointer)), ("time_format", text(ours))];
    }
    remarks.push(format!("the time {path} not carried over: the path searches or computes"));
    Vec::new()
}

/// Adds a topic: as tags where it is one, else as a table that makes them.
fn add(device: usize, topic: &str, kind: &MessageKind, stamp: &[DraftKey], draft: &mut ConfigDraft) {
    let has_wildcards = topic.contains(['+', '#']);
    if let (MessageKind::Fields(fields), false) = (kind, has_wildcards) {
        for field in fields {
            let (name, remark) = draft.tag_name(&[vec![topic, &field.name]]);
            let mut tag = DraftTag { name, address: format!("{topic}#{}", field.pointer), ..DraftTag::default() };
            tag.remarks.extend(remark);
            tag.keys.extend(field.value_type.filter(|value_type| *value_type != "f64").map(|value_type| ("type", text(value_type))));
            tag.keys.extend(stamp.iter().cloned());
            draft.add(device, format!("{topic}/{}", field.name), Ok(tag));
        }
        return;
    }
    let filter = ("filter", text(topic));
    if draft.device_mut(device).topics.iter().any(|known| known.keys.first() == Some(&filter)) {
        return draft
            .leave(format!("topic {topic}"), "a message is read by the first table whose filter matches; there is one of this filter");
    }
    let mut rule = DraftTopic { keys: vec![filter], ..DraftTopic::default() };
    match kind {
        MessageKind::Single(value_type) => {
            rule.keys.extend([("tag_name", text("{topic}")), ("payload", text("text"))]);
            rule.keys.extend(value_type.map(|value_type| ("type", text(value_type))));
        }
        MessageKind::Everything => {
            rule.keys.extend([("tag_name", text("{topic}/{field}")), ("fields", toml::Value::Array(vec![text("*")]))]);
            rule.keys.extend(stamp.iter().cloned());
        }
        MessageKind::Fields(fields) => {
            let pointers = fields.iter().map(|field| text(&field.pointer)).collect();
            rule.keys.extend([("tag_name", text("{topic}/{field}")), ("fields", toml::Value::Array(pointers))]);
            let first = fields.first().and_then(|field| field.value_type);
            if fields.iter().all(|field| field.value_type == first) {
                rule.keys.extend(first.map(|value_type| ("type", text(value_type))));
            } else {
                rule.remarks.push("types not carried over: each tag has that of its first value".to_owned());
            }
            rule.keys.extend(stamp.iter().cloned());
            let renamed =
                fields.iter().filter(|field| field.name != field.pointer.trim_start_matches('/')).map(|field| field.name.as_str());
            let renamed: Vec<&str> = renamed.collect();
            if !renamed.is_empty() {
                rule.remarks.push(format!("names not carried over: {}; tags have those of the message", renamed.join(", ")));
            }
        }
    }
    draft.device_mut(device).topics.push(rule);
}
