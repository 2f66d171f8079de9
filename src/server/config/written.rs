//! A configuration as it is written, setting by setting: what the audit log compares.

use std::{collections::BTreeMap, fs, path::Path};

use sha2::{Digest as _, Sha256};
use toml::Value;

/// Parts of keys whose values are secrets, unless they name a file.
const SECRETS: [&str; 4] = ["password", "secret", "token", "passphrase"];

/// Values by the paths of their keys: `modbus.boiler.host`, `tls.client_crls[0]`. Devices are called by their names. Their tags are counted only:
/// the catalog tells of each. Nothing of a text that is no TOML.
pub fn settings(text: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    if let Ok(table) = text.parse::<toml::Table>() {
        add(&mut settings, "", &Value::Table(table));
    }
    settings
}

/// What is told of a file: its SHA-256.
pub fn file(path: &Path) -> String {
    fs::read(path).map_or_else(|error| error.to_string(), |bytes| format!("sha256:{:x}", Sha256::digest(bytes)))
}

fn add(settings: &mut BTreeMap<String, String>, path: &str, value: &Value) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match value {
                    Value::Array(tags) if key == "tag" => drop(settings.insert(path, format!("{} tags", tags.len()))),
                    _ if is_secret(key) => drop(settings.insert(path, "(hidden)".to_owned())),
                    _ => add(settings, &path, value),
                }
            }
        }
        Value::Array(elements) if elements.iter().any(Value::is_table) => {
            for (number, element) in elements.iter().enumerate() {
                let named = element.get("name").and_then(Value::as_str).map(|name| format!("{path}.{name}"));
                add(settings, &named.unwrap_or_else(|| format!("{path}[{number}]")), element);
            }
        }
        value => drop(settings.insert(path.to_owned(), value.to_string())),
    }
}

fn is_secret(key: &str) -> bool {
    SECRETS.iter().any(|secret| key.contains(secret)) && !key.ends_with("_file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_by_their_paths_without_secrets() {
        let text = r#"
            tag_files = ["a.csv", "b.csv"]
            [server]
            listen = "127.0.0.1:1"
            [[retention]]
            tags = ["**"]
            [[opcua]]
            name = "plc"
            password_file = "secret.txt"
            password = "canary"
            tag = [{ name = "x", address = "y" }, { name = "z", address = "y" }]
        "#;
        let settings = settings(text);
        let told: Vec<String> = settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        assert_eq!(
            told,
            [
                "opcua.plc.name = \"plc\"",
                "opcua.plc.password = (hidden)",
                "opcua.plc.password_file = \"secret.txt\"",
                "opcua.plc.tag = 2 tags",
                "retention[0].tags = [\"**\"]",
                "server.listen = \"127.0.0.1:1\"",
                "tag_files = [\"a.csv\", \"b.csv\"]",
            ]
        );
        assert_eq!(super::settings("not = = toml"), BTreeMap::new());
    }
}
