//! `renamed_from` of tags: under which name the catalog may have them still.
//!
//! The old name is one that the configuration has no more. Otherwise it could not be told, at a later start, whether the tag that has it is the one
//! that is to be renamed or the one that came after it.

use std::collections::{HashMap, HashSet};

use super::{device::DeviceEntry, tag_file::TagRow};
use historian_collector::{ConfigProblem, TagConfig, tag_key::RENAMED_FROM};
use historian_model::{TagName, TagRename};

/// What the tags of a configuration say of their names before; mistakes become problems.
pub(super) fn read(devices: &[DeviceEntry], written: &[TagRow], problems: &mut Vec<ConfigProblem>) -> Vec<TagRename> {
    let of_devices = devices.iter().flat_map(|device| device.tags.iter().map(|tag| (Some(device.key.as_str()), tag)));
    let tags: Vec<(Option<&str>, &TagConfig)> = of_devices.chain(written.iter().map(|row| (None, &row.tag))).collect();
    let names: HashSet<&str> = tags.iter().map(|(_, tag)| tag.name.as_str()).collect();
    let mut taken: HashMap<&str, &TagConfig> = HashMap::new();
    let mut renames = Vec::new();
    for (device, tag) in tags.into_iter().filter(|(_, tag)| !tag.renamed_from.is_empty()) {
        match rename(tag, &names, &mut taken) {
            Ok(rename) => renames.extend(rename),
            Err(message) => problems.push(match device {
                Some(device) => tag.problem(device, RENAMED_FROM.name, message),
                None => ConfigProblem { position: tag.position.clone(), key: RENAMED_FROM.name.to_owned(), message },
            }),
        }
    }
    renames
}

/// `None` where the name of the tag itself is none, which is told elsewhere.
fn rename<'a>(tag: &'a TagConfig, names: &HashSet<&str>, taken: &mut HashMap<&'a str, &'a TagConfig>) -> Result<Option<TagRename>, String> {
    let from = TagName::new(&tag.renamed_from).map_err(|error| error.to_string())?;
    if tag.renamed_from == tag.name {
        return Err("is the name that the tag has; write the one it had before, or leave it out".to_owned());
    }
    if names.contains(tag.renamed_from.as_str()) {
        return Err(format!("{from:?} is a tag of this configuration as well; give a name to a new tag only when the old one has left it"));
    }
    if let Some(other) = taken.insert(&tag.renamed_from, tag) {
        return Err(format!("{from:?} became {:?} already ({}:{})", other.name, other.position.file, other.position.line));
    }
    Ok(TagName::new(&tag.name).ok().map(|to| TagRename { from, to }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Overrides, parse};

    fn tag(name: &str, from: &str, address: &str) -> String {
        format!("[[modbus.tag]]\nname = \"{name}\"\nrenamed_from = \"{from}\"\naddress = \"{address}\"\n")
    }

    fn parsed(tags: &str) -> Result<Vec<(String, String)>, Vec<String>> {
        let text = format!("[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:502\"\n{tags}");
        match parse("h.toml", &text, Path::new(""), &Overrides::default()) {
            Ok(configuration) => Ok(configuration.renames.iter().map(|rename| (rename.from.to_string(), rename.to.to_string())).collect()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_tag_says_which_name_it_had() {
        let both = format!("{}{}", tag("a", "x", "input:1"), tag("b", "y", "input:2"));
        assert_eq!(parsed(&both).unwrap(), [("x".to_owned(), "a".to_owned()), ("y".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn an_old_name_that_says_nothing_is_refused_at_its_key() {
        for (tags, expected) in [
            (tag("a", "a", "input:1"), "h.toml:6: modbus.plc.tag.a.renamed_from: is the name that the tag has"),
            (tag("a", "x//y", "input:1"), "h.toml:6: modbus.plc.tag.a.renamed_from: tag name \"x//y\" has an empty level"),
            (
                format!("{}{}", tag("a", "b", "input:1"), tag("b", "c", "input:2")),
                "h.toml:6: modbus.plc.tag.a.renamed_from: \"b\" is a tag of this configuration as well",
            ),
            (
                format!("{}{}", tag("a", "x", "input:1"), tag("b", "x", "input:2")),
                "h.toml:10: modbus.plc.tag.b.renamed_from: \"x\" became \"a\" already (h.toml:4)",
            ),
        ] {
            let problems = parsed(&tags).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(expected), "{expected}\n{problems:#?}");
        }
    }
}
