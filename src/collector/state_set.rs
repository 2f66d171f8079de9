//! Names of the digital states of a tag as they are configured: in the order of their numbers, or each with its number.
//!
//! `off|on|fault` are the states 0, 1 and 2; `0=off|1=on|7=fault` names three states of eight. A state without a name is told by its
//! number, so that no state ever has the name of another.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error};

use historian_model::TagDefinition;

/// Reads the names between `|`.
///
/// # Errors
/// Says which of them cannot be.
pub fn parse(text: &str) -> Result<Vec<String>, String> {
    of(text.split('|'))
}

/// Reads a text with names between `|`, or an array of names.
///
/// # Errors
/// It is neither, or one of the names cannot be.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum WrittenStates {
        Text(String),
        List(Vec<String>),
    }
    let read = match WrittenStates::deserialize(from)? {
        WrittenStates::Text(text) => parse(&text),
        WrittenStates::List(names) if names.is_empty() => Ok(Vec::new()),
        WrittenStates::List(names) => of(names.iter().map(String::as_str)),
    };
    read.map_err(D::Error::custom)
}

fn of<'text>(parts: impl Iterator<Item = &'text str>) -> Result<Vec<String>, String> {
    let parts: Vec<&str> = parts.map(str::trim).collect();
    let numbered: Vec<Option<(&str, &str)>> = parts.iter().map(|part| number_and_name(part)).collect();
    let mut names: BTreeMap<usize, &str> = BTreeMap::new();
    for (place, (part, numbered_part)) in parts.iter().zip(&numbered).enumerate() {
        let (number, name) = match numbered_part {
            Some((number, name)) => {
                let beyond = || format!("state {number} is beyond the last one that can have a name, {}", TagDefinition::STATES_MAX - 1);
                (number.parse().ok().filter(|number| *number < TagDefinition::STATES_MAX).ok_or_else(beyond)?, *name)
            }
            None if numbered.iter().any(Option::is_some) => {
                return Err(format!("{part:?} has no number, others have; write either off|on or 0=off|1=on"));
            }
            None => (place, *part),
        };
        if name.len() > TagDefinition::UNIT_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(format!(
                "state {number} has a name with a control character, or of more than {} bytes",
                TagDefinition::UNIT_BYTES_MAX
            ));
        }
        if let Some(other) = names.insert(number, name) {
            return Err(format!("state {number} has two names, {other:?} and {name:?}"));
        }
    }
    let count = names.keys().next_back().map_or(0, |last| last + 1);
    // An empty name is none.
    let name =
        |number: usize| names.get(&number).filter(|name| !name.is_empty()).map_or_else(|| number.to_string(), |name| (*name).to_owned());
    Ok((0..count).map(name).collect())
}

fn number_and_name(part: &str) -> Option<(&str, &str)> {
    let (number, name) = part.split_once('=')?;
    let number = number.trim();
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some((number, name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_or_have_their_numbers_and_no_other_state_has_one() {
        for (text, expected) in [
            ("off|on", &["off", "on"][..]),
            (" off | on ", &["off", "on"]),
            ("off||on", &["off", "1", "on"]),
            ("0=off|1=on|4=fault", &["off", "on", "2", "3", "fault"]),
            ("4=fault|0=off", &["off", "1", "2", "3", "fault"]),
            ("2 = a=b", &["0", "1", "a=b"]),
            ("x=1|y=2", &["x=1", "y=2"]),
            ("single", &["single"]),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        assert_eq!(parse("65535=all").unwrap().len(), TagDefinition::STATES_MAX);
        for (text, part) in [
            ("0=off|on", "\"on\" has no number"),
            ("0=off|0=on", "two names"),
            ("65536=x", "beyond the last"),
            ("99999999999999999999=x", "beyond the last"),
            ("a\u{1}", "control character"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_text_and_an_array_can_be_written() {
        #[derive(Deserialize)]
        struct Table {
            #[serde(deserialize_with = "deserialize")]
            state_set: Vec<String>,
        }
        let read = |text: &str| toml::from_str::<Table>(text).map(|table| table.state_set);
        assert_eq!(read("state_set = \"1=on|0=off\"").unwrap(), ["off", "on"]);
        assert_eq!(read("state_set = [\"off\", \"on | manual\"]").unwrap(), ["off", "on | manual"]);
        assert_eq!(read("state_set = [\"0=off\", \"2=on\"]").unwrap(), ["off", "1", "on"]);
        assert_eq!(read("state_set = []").unwrap(), [""; 0]);
        assert!(read("state_set = \"0=a|0=b\"").unwrap_err().to_string().contains("two names"));
    }
}
