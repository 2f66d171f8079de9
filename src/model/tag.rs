//! Tags: one named measured signal each, and what is known about it.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{TagFilter, Timestamp, ValueType};

/// Identity of a tag in keys and chunks. Given once by the catalog, never reused, and unaffected by renaming.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TagId(pub u32);

/// Name of a tag: levels separated by `/`, for example `area1/boiler2/steam_pressure`.
///
/// 1 to 512 bytes of UTF-8; no empty level, no control characters, none of `* ? [ ] { } \`, which are reserved for globs,
/// no white space at either end of a level.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagName(Arc<str>);

/// Why a text is no tag name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tag name {name:?} {reason}")]
pub struct InvalidTagName {
    pub name: String,
    pub reason: &'static str,
}

impl TagName {
    /// Longest name in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Checks the rules of the type.
    ///
    /// # Errors
    /// Names the rule that the text breaks.
    pub fn new(name: impl AsRef<str>) -> Result<TagName, InvalidTagName> {
        let name = name.as_ref();
        let refuse = |reason| Err(InvalidTagName { name: name.chars().take(80).collect(), reason });
        if name.is_empty() {
            return refuse("is empty");
        }
        if name.len() > Self::BYTES_MAX {
            return refuse("is longer than 512 bytes");
        }
        if name.chars().any(char::is_control) {
            return refuse("has a control character");
        }
        if name.contains(['*', '?', '[', ']', '{', '}', '\\']) {
            return refuse("has one of * ? [ ] { } \\, which are reserved for globs");
        }
        if name.split('/').any(str::is_empty) {
            return refuse("has an empty level: '/' at an end, or '//'");
        }
        if name.split('/').any(|level| level.trim() != level) {
            return refuse("has white space at an end of a level");
        }
        Ok(TagName(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TagName {
    type Error = InvalidTagName;
    fn try_from(name: String) -> Result<TagName, InvalidTagName> {
        TagName::new(name)
    }
}

impl From<TagName> for String {
    fn from(name: TagName) -> String {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::borrow::Borrow<str> for TagName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A name that a tag had, and the one that it has then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRename {
    pub from: TagName,
    pub to: TagName,
}

/// Where a collected tag comes from. Informative in the catalog; the configuration file decides what is collected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagSource {
    /// Name of the device in the configuration.
    pub device: String,
    /// Address in the device's own notation, for example `holding:100` or `nsu=urn:plant;s=Boiler.P`.
    pub address: String,
}

/// Everything about a tag but its identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagDefinition {
    pub name: TagName,
    #[serde(with = "value_type_name")]
    pub value_type: ValueType,
    /// Engineering unit as text (UCUM where it applies), empty when unknown.
    #[serde(default)]
    pub unit: String,
    #[serde(default)]
    pub description: String,
    /// True: the value holds until the next sample; false: it changes in a straight line between samples.
    #[serde(default)]
    pub stepped: bool,
    /// Expected range in engineering units, low end.
    #[serde(default)]
    pub range_low: Option<f64>,
    /// Expected range in engineering units, high end.
    #[serde(default)]
    pub range_high: Option<f64>,
    /// Names of the digital states by their number, for `state` tags.
    #[serde(default)]
    pub state_set: Vec<String>,
    #[serde(default)]
    pub source: Option<TagSource>,
    /// What its collector leaves out.
    #[serde(default, skip_serializing_if = "TagFilter::is_off")]
    pub filter: TagFilter,
}

impl TagDefinition {
    /// A definition with nothing known but name and type. Every type but the two floats is stepped by default.
    pub fn new(name: TagName, value_type: ValueType) -> TagDefinition {
        TagDefinition {
            name,
            value_type,
            unit: String::new(),
            description: String::new(),
            stepped: !matches!(value_type, ValueType::F64 | ValueType::F32),
            range_low: None,
            range_high: None,
            state_set: Vec::new(),
            source: None,
            filter: TagFilter::default(),
        }
    }

    /// How far a sample that was left out may lie from what is read in its place; see [`TagFilter::error_bound`].
    pub fn error_bound(&self) -> Option<f64> {
        self.filter.error_bound(self.stepped)
    }
}

/// A field of a definition that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct InvalidDefinition {
    /// Name of the field, as in [`TagDefinition`].
    pub field: &'static str,
    pub reason: String,
}

impl TagDefinition {
    pub const UNIT_BYTES_MAX: usize = 256;
    pub const DESCRIPTION_BYTES_MAX: usize = 4_096;
    pub const STATES_MAX: usize = 65_536;
    /// Of all names of a state set together: a tag goes in one message, of which clients take 4 MiB.
    pub const STATES_BYTES_MAX: usize = 2 << 20;

    /// Checks the rules that hold for and between the fields, whoever makes the definition.
    ///
    /// # Errors
    /// Names the first field that breaks one.
    pub fn check(&self) -> Result<(), InvalidDefinition> {
        let refuse = |field, reason: String| Err(InvalidDefinition { field, reason });
        for (field, text, bytes_max) in
            [("unit", &self.unit, Self::UNIT_BYTES_MAX), ("description", &self.description, Self::DESCRIPTION_BYTES_MAX)]
        {
            check_text(field, text, bytes_max)?;
        }
        for (field, bound) in [("range_low", self.range_low), ("range_high", self.range_high)] {
            if bound.is_some_and(|bound| !bound.is_finite()) {
                return refuse(field, "must be a finite number".into());
            }
        }
        if let (Some(low), Some(high)) = (self.range_low, self.range_high)
            && low >= high
        {
            return refuse("range_low", format!("{low} is not below range_high {high}"));
        }
        if !self.state_set.is_empty() && self.value_type != ValueType::State {
            return refuse("state_set", format!("belongs to tags of type state only, this one is {}", self.value_type));
        }
        if self.state_set.len() > Self::STATES_MAX {
            return refuse("state_set", format!("has {} states, at most {} are taken", self.state_set.len(), Self::STATES_MAX));
        }
        let bytes: usize = self.state_set.iter().map(String::len).sum();
        if bytes > Self::STATES_BYTES_MAX {
            return refuse("state_set", format!("has names of {bytes} bytes together, at most {} are taken", Self::STATES_BYTES_MAX));
        }
        self.state_set.iter().try_for_each(|name| check_text("state_set", name, Self::UNIT_BYTES_MAX))?;
        self.filter.check(self.value_type, self.stepped).or_else(|(field, reason)| refuse(field, reason))
    }
}

fn check_text(field: &'static str, text: &str, bytes_max: usize) -> Result<(), InvalidDefinition> {
    if text.len() > bytes_max {
        return Err(InvalidDefinition { field, reason: format!("has {} bytes, at most {bytes_max} are taken", text.len()) });
    }
    if text.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t') {
        return Err(InvalidDefinition { field, reason: "has a control character".into() });
    }
    Ok(())
}

/// A tag of the catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    pub id: TagId,
    #[serde(flatten)]
    pub definition: TagDefinition,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl Tag {
    pub fn name(&self) -> &TagName {
        &self.definition.name
    }

    pub fn value_type(&self) -> ValueType {
        self.definition.value_type
    }
}

mod value_type_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::ValueType;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub fn serialize<S: Serializer>(value_type: &ValueType, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value_type.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ValueType, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(|_| D::Error::custom(format!("unknown value type {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_obey_their_rules() {
        for good in ["a", "area1/boiler2/steam_pressure", "Kühlung/T 1"] {
            TagName::new(good).unwrap();
        }
        let long = "x".repeat(513);
        for bad in ["", "/a", "a/", "a//b", "a*", "a\nb", " a", "a/ b", long.as_str()] {
            assert!(TagName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_state_set_has_a_bound_in_names_and_in_bytes() {
        let mut definition = TagDefinition::new(TagName::new("a/b").unwrap(), ValueType::State);
        definition.state_set = vec!["x".repeat(32); TagDefinition::STATES_MAX];
        definition.check().unwrap();
        definition.state_set[0].push('x');
        assert!(definition.check().unwrap_err().reason.contains("2097153 bytes together"));
        definition.state_set = vec![String::new(); TagDefinition::STATES_MAX + 1];
        assert!(definition.check().unwrap_err().reason.contains("65537 states"));
    }

    #[test]
    fn a_tag_round_trips_through_the_catalogs_json() {
        let mut definition = TagDefinition::new(TagName::new("a/b").unwrap(), ValueType::State);
        definition.state_set = vec!["off".into(), "on".into()];
        let tag = Tag { id: TagId(7), definition, created: Timestamp(1), updated: Timestamp(2) };
        let text = serde_json::to_string(&tag).unwrap();
        assert_eq!(serde_json::from_str::<Tag>(&text).unwrap(), tag);
    }
}
