//! `inputs.opcua` and `inputs.opcua_listener` of Telegraf: nodes by the index of their namespace, alone and in groups.

use serde_json::Value as Json;
use toml::Value;

use super::{
    super::{
        draft::{ConfigDraft, DraftDevice, DraftKey, DraftTag, number, text, unused},
        source::{ForeignTable, or_remark},
    },
    plugin::{common, period},
};

/// Where a server is when the file does not say.
const ENDPOINT: &str = "opc.tcp://localhost:4840";
/// Bounds of our `publishing_ms` and `sampling_ms`.
const PUBLISHING_MS: (u64, u64) = (10, 3_600_000);

/// What the nodes of a group have in common.
#[derive(Default)]
struct NodeGroup {
    name: String,
    namespace: Option<String>,
    namespace_uri: Option<String>,
    identifier_type: Option<String>,
    sampling_ms: Option<u64>,
}

pub fn read(plugin: &str, table: &ForeignTable<'_>, interval_ms: u64, draft: &mut ConfigDraft) {
    let mut remarks = common(table);
    let name = or_remark(table.text("name"), &mut remarks).unwrap_or_else(|| plugin.to_owned());
    let (endpoint, is_known) = match table.text("endpoint") {
        Ok(endpoint) => (endpoint.unwrap_or_else(|| ENDPOINT.to_owned()), true),
        Err(reason) => {
            remarks.push(format!("the endpoint is a placeholder: {reason}"));
            (format!("opc.tcp://{}", draft.placeholder(4840)), false)
        }
    };
    let mut keys = vec![("endpoint", text(&endpoint))];
    keys.extend(security(table, &mut remarks));
    let published = if plugin == "opcua" {
        Some(period(table, interval_ms, &mut remarks))
    } else {
        let _ = table.has("interval");
        or_remark(table.milliseconds("subscription_interval"), &mut remarks)
    };
    if let Some(period_ms) = published {
        keys.push(("publishing_ms", whole(period_ms.clamp(PUBLISHING_MS.0, PUBLISHING_MS.1))));
    }
    if let Some(timeout_ms) = or_remark(table.milliseconds("request_timeout"), &mut remarks) {
        keys.push(("timeout_ms", whole(timeout_ms.clamp(100, 600_000))));
    }
    match or_remark(table.text("timestamp"), &mut remarks).as_deref() {
        Some("gather") => keys.push(("timestamps", text("reception"))),
        Some(known @ ("server" | "source")) => keys.push(("timestamps", text(known))),
        _ => {}
    }
    remarks.push("Telegraf takes the types of its values from the server; a tag here is an f64 where it says no type".to_owned());
    for (key, why) in [
        ("optional_fields", "types are those of the tags"),
        ("client_trace", "it is of the log of Telegraf"),
        ("session_timeout", "sessions are kept alive"),
        ("connect_timeout", "timeout_ms is the limit of each step"),
        ("timestamp_format", "times are kept as they are"),
        ("request_workarounds", "nodes are not registered"),
    ] {
        if table.has(key) {
            remarks.push(format!("{key} not carried over: {why}"));
        }
    }
    for key in ["events", "event_group"] {
        if table.has(key) {
            draft.leave(format!("{name}: {key}"), "events of a server are no values");
        }
    }
    let place = if is_known { endpoint } else { String::new() };
    let device = draft.device(DraftDevice::new("opcua", &name, place, keys, remarks));
    let mut indices: Vec<String> = Vec::new();
    let root = NodeGroup::default();
    for node in table.list("nodes") {
        add(device, &name, &root, node, &mut indices, draft);
    }
    for part in table.list("group") {
        let Some(part) = ForeignTable::of(part) else { continue };
        let mut remarks = Vec::new();
        let group = NodeGroup {
            name: or_remark(part.text("name"), &mut remarks).unwrap_or_default(),
            namespace: or_remark(part.text("namespace"), &mut remarks),
            namespace_uri: or_remark(part.text("namespace_uri"), &mut remarks),
            identifier_type: or_remark(part.text("identifier_type"), &mut remarks),
            sampling_ms: or_remark(part.milliseconds("sampling_interval"), &mut remarks),
        };
        if part.has("default_tags") || part.has("tags") {
            remarks.push(format!("group {}: default_tags not carried over: a value is named by its tag alone", group.name));
        }
        for node in part.list("nodes") {
            add(device, &name, &group, node, &mut indices, draft);
        }
        remarks.extend(unused(&part.rest()));
        draft.device_mut(device).remarks.extend(remarks);
    }
    let known = draft.device_mut(device);
    known.remarks.extend(unused(&table.rest()));
    if !indices.is_empty() {
        let uris: Vec<String> = indices.iter().map(|index| format!("{index} = \"urn:…\"")).collect();
        known.remarks.push(format!(
            "to do: nodes by the index of a namespace are collected only where the URI of the index is known. `historian check` shows it; write \
             namespaces = {{ {} }} here",
            uris.join(", ")
        ));
    }
}

fn whole(number: u64) -> Value {
    Value::Integer(number as i64)
}

/// Policy, mode and identity.
fn security(table: &ForeignTable<'_>, remarks: &mut Vec<String>) -> Vec<DraftKey> {
    let policy = or_remark(table.text("security_policy"), remarks).unwrap_or_else(|| "auto".to_owned());
    let mode = or_remark(table.text("security_mode"), remarks).unwrap_or_else(|| "auto".to_owned());
    let mut keys: Vec<DraftKey> = Vec::new();
    if policy == "None" || mode == "None" {
        keys.extend([("security_policy", text("None")), ("security_mode", text("None"))]);
    } else {
        match policy.as_str() {
            "auto" | "Basic256Sha256" => {}
            "Aes128_Sha256_RsaOaep" => keys.push(("security_policy", text("Aes128Sha256RsaOaep"))),
            "Aes256_Sha256_RsaPss" => keys.push(("security_policy", text("Aes256Sha256RsaPss"))),
            _ => remarks.push(format!("security_policy {policy} is not spoken any more: Basic256Sha256")),
        }
        if mode == "Sign" {
            keys.push(("security_mode", text("Sign")));
        }
        if policy == "auto" {
            remarks.push("security_policy auto: Basic256Sha256 with SignAndEncrypt; \"None\" has to be said".to_owned());
        }
        keys.push(("pki_dir", text("pki")));
        if table.has("certificate") || table.has("private_key") {
            remarks.push(
                "certificate and private_key not carried over: the historian has its own in pki_dir; have the server trust it".to_owned(),
            );
        }
    }
    let _ = (table.has("certificate"), table.has("private_key"), table.has("remote_certificate"));
    match or_remark(table.text("auth_method"), remarks).as_deref() {
        Some("UserName") => {
            remarks.push("to do: the user: set user, and password_file with the path of a file that has the password".to_owned());
        }
        Some("Certificate") => remarks.push("auth_method Certificate is not carried over: there are users and anonymous".to_owned()),
        _ => {}
    }
    let _ = (table.has("username"), table.has("password"));
    keys
}

fn add(device: usize, name: &str, group: &NodeGroup, node: &Json, indices: &mut Vec<String>, draft: &mut ConfigDraft) {
    let Some(node) = ForeignTable::of(node) else {
        return draft.add(device, name, Err("a node is no table".to_owned()));
    };
    let own = node.text("name").ok().flatten().unwrap_or_default();
    let tag = tag(group, &node, indices).and_then(|mut tag| {
        if own.is_empty() {
            return Err("it has no name".to_owned());
        }
        let identifier = node.text("identifier").ok().flatten().unwrap_or_default();
        let (name, remark) = draft.tag_name(&[vec![name, &group.name, &own], vec![name, &group.name, &own, &identifier]]);
        tag.name = name;
        tag.remarks.extend(remark);
        if node.has("default_tags") || node.has("tags") {
            tag.remarks.push("tags of Telegraf not carried over: a value is named by its tag alone".to_owned());
        }
        tag.remarks.extend(unused(&node.rest()));
        Ok(tag)
    });
    let levels: Vec<&str> = [name, &group.name, &own].into_iter().filter(|level| !level.is_empty()).collect();
    draft.add(device, levels.join("/"), tag);
}

fn tag(group: &NodeGroup, node: &ForeignTable<'_>, indices: &mut Vec<String>) -> Result<DraftTag, String> {
    let mut tag = DraftTag::default();
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let identifier = filled(node.text("identifier")?).ok_or("it has no identifier")?;
    let kind = filled(node.text("identifier_type")?).or_else(|| group.identifier_type.clone()).unwrap_or_default();
    if !["s", "i", "g", "b"].contains(&kind.as_str()) {
        return Err(format!("the identifier type {kind:?} is not s, i, g or b"));
    }
    let uri = filled(node.text("namespace_uri")?).or_else(|| group.namespace_uri.clone());
    let index = filled(node.text("namespace")?).or_else(|| group.namespace.clone());
    tag.address = match (uri, index) {
        (Some(uri), _) => format!("nsu={};{kind}={identifier}", uri.replace('%', "%25").replace(';', "%3B")),
        (None, Some(index)) if index == "0" => format!("{kind}={identifier}"),
        (None, Some(index)) if index.parse::<u16>().is_ok() => {
            if !indices.contains(&index) {
                indices.push(index.clone());
            }
            format!("ns={index};{kind}={identifier}")
        }
        _ => return Err("it has no namespace".to_owned()),
    };
    let mut sampling_ms = group.sampling_ms;
    if let Some(monitored) = node.get("monitoring_params").and_then(ForeignTable::of) {
        sampling_ms = monitored.milliseconds("sampling_interval")?.or(sampling_ms);
        if let Some(size) = monitored.within("queue_size", 1, 100_000)? {
            tag.keys.push(("queue_size", Value::Integer(size)));
        }
        if monitored.has("discard_oldest") && !monitored.truth("discard_oldest")? {
            tag.remarks.push("discard_oldest = false not carried over: of a full queue the oldest values go".to_owned());
        }
        if let Some(filter) = monitored.get("data_change_filter").and_then(ForeignTable::of) {
            tag.keys.extend(filter_keys(&filter)?);
            tag.remarks.extend(unused(&filter.rest()));
        }
        tag.remarks.extend(unused(&monitored.rest()));
    }
    if let Some(sampling_ms) = sampling_ms {
        tag.keys.insert(0, ("sampling_ms", whole(sampling_ms.min(PUBLISHING_MS.1))));
    }
    Ok(tag)
}

/// What the server reports.
fn filter_keys(filter: &ForeignTable<'_>) -> Result<Vec<DraftKey>, String> {
    let mut keys: Vec<DraftKey> = Vec::new();
    match filter.text("trigger")?.as_deref() {
        None | Some("Status") => keys.push(("trigger", text("status"))),
        Some("StatusValue") => {}
        Some("StatusValueTimestamp") => keys.push(("trigger", text("status_value_timestamp"))),
        Some(other) => return Err(format!("the trigger {other:?} is not known")),
    }
    let value = filter.number("deadband_value")?.filter(|value| *value > 0.0);
    match (filter.text("deadband_type")?.as_deref(), value) {
        (Some("Absolute"), Some(value)) => keys.push(("deadband", number(value))),
        (Some("Percent"), Some(value)) => keys.push(("deadband_percent", number(value))),
        _ => {}
    }
    Ok(keys)
}
