//! A variable of a server as a tag: its name, and its row in a tag file.

use std::collections::HashSet;

use serde_json::json;

use historian_collector::{BrowsedVariable, browse::plain};
use historian_model::{TagDefinition, TagName, ValueType};

/// Columns of a tag file that are written; those of further keys follow.
const COLUMNS: [&str; 9] = ["name", "type", "unit", "description", "range_low", "range_high", "state_set", "device", "address"];

/// A variable with the name of its tag, which is empty where it is none.
pub struct BrowsedTag {
    pub name: String,
    pub variable: BrowsedVariable,
}

/// Names of tags made of paths, each once.
pub struct FreeNames {
    prefix: String,
    taken: HashSet<String>,
}

impl FreeNames {
    pub fn new(prefix: &str) -> FreeNames {
        FreeNames { prefix: prefix.to_owned(), taken: HashSet::new() }
    }

    /// The name for a path.
    ///
    /// # Errors
    /// No name can be made of it.
    fn name(&mut self, path: &str) -> Result<String, String> {
        let reserved = |letter: char| letter.is_control() || ['*', '?', '[', ']', '{', '}', '\\'].contains(&letter);
        let level = |level: &str| {
            let level: String = level.chars().map(|letter| if reserved(letter) { '_' } else { letter }).collect();
            let level = level.trim();
            if level.is_empty() { "_".to_owned() } else { level.to_owned() }
        };
        let path = format!("{}{path}", self.prefix);
        let name = path.split('/').map(level).collect::<Vec<_>>().join("/");
        // Two variables below one node may have one name, of two namespaces.
        let free = (1..=u32::MAX)
            .map(|number| if number == 1 { name.clone() } else { format!("{name}_{number}") })
            .find(|name| !self.taken.contains(name));
        let name = TagName::new(free.unwrap_or(name)).map_err(|error| format!("its path makes no name of a tag: {error}"))?.to_string();
        self.taken.insert(name.clone());
        Ok(name)
    }
}

impl BrowsedTag {
    /// Texts are made such as a tag may have, and a cell of a file can hold.
    pub fn new(mut variable: BrowsedVariable, names: &mut FreeNames) -> BrowsedTag {
        variable.unit = plain(&variable.unit, TagDefinition::UNIT_BYTES_MAX);
        variable.description = plain(&variable.description, TagDefinition::DESCRIPTION_BYTES_MAX);
        for state in &mut variable.state_set {
            *state = plain(&state.replace('|', "/"), TagDefinition::UNIT_BYTES_MAX);
        }
        if variable.left_out.is_empty() && variable.value_type.is_some() {
            match names.name(&variable.path) {
                Ok(name) => return BrowsedTag { name, variable },
                Err(why) => variable.left_out = why,
            }
        }
        BrowsedTag { name: String::new(), variable }
    }

    pub fn as_json(&self, device: &str) -> serde_json::Value {
        let BrowsedVariable {
            path,
            address,
            keys,
            data_type,
            value_type,
            dimensions,
            unit,
            description,
            range,
            state_set,
            writable,
            left_out,
        } = &self.variable;
        let mut object = json!({
            "device": device, "path": path, "tag": (!self.name.is_empty()).then_some(&self.name), "address": address,
            "data_type": data_type, "type": value_type.map(ValueType::as_str), "dimensions": dimensions, "unit": unit,
            "description": description, "range_low": range.map(|range| range.0), "range_high": range.map(|range| range.1),
            "state_set": state_set, "writable": writable, "left_out": left_out,
        });
        for (key, value) in keys {
            object[*key] = value.as_str().into();
        }
        object
    }
}

/// The tags as a tag file.
///
/// # Errors
/// None that is known: it is written to memory.
pub fn tag_file(tags: &[BrowsedTag], device: &str) -> anyhow::Result<Vec<u8>> {
    let tags: Vec<&BrowsedTag> = tags.iter().filter(|tag| !tag.name.is_empty()).collect();
    let mut further: Vec<&str> = Vec::new();
    for (key, _) in tags.iter().flat_map(|tag| &tag.variable.keys) {
        if !further.contains(key) {
            further.push(key);
        }
    }
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS.iter().chain(&further))?;
    for BrowsedTag { name, variable } in tags {
        let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
        let cells = [
            name.clone(),
            variable.value_type.map_or("", ValueType::as_str).to_owned(),
            variable.unit.clone(),
            variable.description.clone(),
            number(variable.range.map(|range| range.0)),
            number(variable.range.map(|range| range.1)),
            variable.state_set.join("|"),
            device.to_owned(),
            variable.address.clone(),
        ];
        let key = |wanted: &&str| variable.keys.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone()).unwrap_or_default();
        csv.write_record(cells.into_iter().chain(further.iter().map(key)))?;
    }
    Ok(csv.into_inner()?)
}

#[cfg(test)]
mod tests {
    use historian_server::config::tag_file as files;

    use super::*;

    fn variable(path: &str) -> BrowsedVariable {
        BrowsedVariable {
            path: path.into(),
            address: "nsu=urn:a,b;s=\"DB\".\"x\"[1]".into(),
            value_type: Some(ValueType::State),
            unit: " bar ".into(),
            description: "line one,\r\n\"two\"".into(),
            range: Some((-0.5, 1e300)),
            state_set: vec!["off|out".into(), "on".into()],
            ..BrowsedVariable::default()
        }
    }

    #[test]
    fn a_tag_file_is_read_back_as_it_was_meant() {
        let mut names = FreeNames::new("area1/");
        let element = BrowsedVariable { keys: vec![("index_range", "1,2".into())], ..variable("A/b") };
        let tags: Vec<BrowsedTag> = [variable("A/b"), element, variable(" x*y //\u{7}z")]
            .into_iter()
            .map(|variable| BrowsedTag::new(variable, &mut names))
            .collect();
        let file = tag_file(&tags, "plc, old").unwrap();
        let (rows, problems) = files::parse(&file, "t.csv");
        assert_eq!(problems, []);
        assert_eq!(rows.iter().map(|row| row.tag.name.as_str()).collect::<Vec<_>>(), ["area1/A/b", "area1/A/b_2", "area1/x_y/_/_z"]);
        for (row, tag) in rows.iter().zip(&tags) {
            assert_eq!(row.device.as_deref(), Some("plc, old"));
            assert_eq!(row.tag.address, tag.variable.address);
            assert_eq!((row.tag.range_low, row.tag.range_high), (Some(-0.5), Some(1e300)));
            assert_eq!((row.tag.unit.as_str(), row.tag.description.as_str()), ("bar", "line one, \"two\""));
            assert_eq!(row.tag.state_set, ["off/out", "on"]);
            assert_eq!(row.tag.value_type.as_deref(), Some("state"));
            assert_eq!(row.definition().map(|definition| definition.check()), Ok(Ok(())));
        }
        assert_eq!(rows[1].tag.own.text("index_range"), Some("1,2"));
        assert!(!rows[0].tag.own.has("index_range"));
    }

    #[test]
    fn what_makes_no_name_and_what_is_left_out_is_no_tag() {
        let mut names = FreeNames::new("");
        let long = BrowsedTag::new(variable(&"x".repeat(600)), &mut names);
        assert!(long.name.is_empty() && long.variable.left_out.contains("512 bytes"), "{}", long.variable.left_out);
        let unread = BrowsedVariable { left_out: "no".into(), ..variable("a") };
        let unread = BrowsedTag::new(unread, &mut names);
        assert_eq!(unread.name, "");
        assert_eq!(String::from_utf8(tag_file(&[long, unread], "d").unwrap()).unwrap().lines().count(), 1);
        assert_eq!(plain("a b c", 4), "a b");
    }
}
