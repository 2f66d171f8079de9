//! A glob over the browse paths of a server, and the tags that it makes of what it finds.

use std::collections::HashSet;

use opcua::types::NumericRange;

use super::{
    found_address::FoundAddress,
    item::{Deadband, OpcUaTag},
    path_filter::{PathFilter, below_objects},
};
use historian_collector::{
    BrowsedVariable, TextPattern,
    browse::{element_path, plain},
    filter_key::FilterKeys,
};
use historian_model::{TagDefinition, TagName, TagSelection, ValueType, tag::TagSource};

/// A checked `[[opcua.glob]]`.
#[derive(Clone, Debug)]
pub struct GlobRule {
    pub filter: PathFilter,
    pub places: GlobPlaces,
    pub tag_name: TextPattern<GlobPlace>,
    /// How its tags are monitored: an item of no node.
    pub template: OpcUaTag,
    pub stepped: Option<bool>,
    /// Which samples of its tags are left out.
    pub tag_filter: FilterKeys,
}

/// What stands in the braces of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobPlace {
    /// `{path}`: the whole path below Objects.
    Path,
    /// `{1}`: the levels that the first level with a wildcard stands for.
    Wildcard(usize),
}

/// The levels of a glob, where each can be told apart.
#[derive(Clone, Debug)]
pub struct GlobPlaces(Option<Vec<GlobLevel>>);

#[derive(Clone)]
enum GlobLevel {
    Name(String),
    /// One level of many names.
    One(String, TagSelection),
    /// Any number of levels.
    Any,
}

/// As it is written: what else a selection prints of itself may differ from run to run.
impl std::fmt::Debug for GlobLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            GlobLevel::Name(text) | GlobLevel::One(text, _) => text,
            GlobLevel::Any => "**",
        })
    }
}

impl GlobPlaces {
    /// Takes a glob apart. One with alternatives, or with `**` within a level, has no places.
    pub fn of(glob: &str) -> GlobPlaces {
        let level = |level: &str| match level {
            "**" => Some(GlobLevel::Any),
            level if level.contains("**") || level.contains(['{', '\\']) => None,
            level if level.contains(['*', '?', '[']) => Some(GlobLevel::One(level.to_owned(), TagSelection::parse(&[level]).ok()?)),
            level => Some(GlobLevel::Name(level.to_owned())),
        };
        GlobPlaces(below_objects(glob).split('/').map(level).collect())
    }

    /// How many there are; `None` where they cannot be told apart.
    pub fn count(&self) -> Option<usize> {
        self.0.as_ref().map(|levels| levels.iter().filter(|level| !matches!(level, GlobLevel::Name(_))).count())
    }

    /// What stands at each place in a path that the glob wants.
    fn fill(&self, path: &str) -> Vec<String> {
        let Some(levels) = &self.0 else { return Vec::new() };
        let names: Vec<&str> = path.split('/').collect();
        let mut filled = Vec::new();
        fit(levels, &names, &mut filled, &mut HashSet::new());
        filled
    }
}

/// Fits levels to names; `hopeless` are the rests that do not fit, by what is left of both.
fn fit(levels: &[GlobLevel], names: &[&str], filled: &mut Vec<String>, hopeless: &mut HashSet<(usize, usize)>) -> bool {
    if hopeless.contains(&(levels.len(), names.len())) {
        return false;
    }
    let fits = match levels.split_first() {
        None => names.is_empty(),
        Some((GlobLevel::Any, rest)) => (0..=names.len()).any(|count| {
            filled.push(names[..count].join("/"));
            let fits = fit(rest, &names[count..], filled, hopeless);
            if !fits {
                filled.pop();
            }
            fits
        }),
        Some((level, rest)) => names.split_first().is_some_and(|(name, names)| match level {
            GlobLevel::One(_, wanted) if wanted.matches(name) => {
                filled.push((*name).to_owned());
                let fits = fit(rest, names, filled, hopeless);
                if !fits {
                    filled.pop();
                }
                fits
            }
            GlobLevel::Name(wanted) => wanted == name && fit(rest, names, filled, hopeless),
            _ => false,
        }),
    };
    if !fits {
        hopeless.insert((levels.len(), names.len()));
    }
    fits
}

impl GlobRule {
    pub fn wants(&self, path: &str) -> bool {
        self.filter.wants(path)
    }

    /// Name of the tag of a variable, or of an element of its array.
    ///
    /// # Errors
    /// Why there is none.
    pub fn name(&self, path: &str, index: Option<&str>) -> Result<TagName, String> {
        let element = index.map(element_path).unwrap_or_default();
        let filled = self.places.fill(path);
        let last = filled.len();
        let name = self.tag_name.name(|place| {
            Ok(match place {
                GlobPlace::Path => format!("{path}{element}"),
                GlobPlace::Wildcard(number) => {
                    let element = if *number == last { element.as_str() } else { "" };
                    format!("{}{element}", filled.get(number - 1).map_or("", String::as_str))
                }
            })
        });
        name.map_err(|why| format!("its path makes no name of a tag: {why}"))
    }

    /// Definition of the tag that a variable becomes.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn definition(&self, device: &str, found: &FoundAddress, variable: &BrowsedVariable) -> Result<TagDefinition, String> {
        let value_type = variable.value_type.ok_or("it has no type that a tag can hold")?;
        let name = self.name(&found.path, found.index.as_deref())?;
        let mut definition = TagDefinition {
            unit: plain(&variable.unit, TagDefinition::UNIT_BYTES_MAX),
            description: plain(&variable.description, TagDefinition::DESCRIPTION_BYTES_MAX),
            range_low: variable.range.map(|range| range.0),
            range_high: variable.range.map(|range| range.1),
            state_set: variable.state_set.iter().map(|state| plain(state, TagDefinition::UNIT_BYTES_MAX)).collect(),
            source: Some(TagSource { device: device.to_owned(), address: found.to_string() }),
            ..TagDefinition::new(name, value_type)
        };
        definition.stepped = self.stepped.unwrap_or(definition.stepped);
        definition.check().map_err(|refused| refused.to_string())?;
        (definition.filter, _) = self.tag_filter.fitting(&definition);
        Ok(definition)
    }

    /// What its tag cannot have of the filters of the glob, in words, each with the path of the variable.
    pub fn unfit(&self, definition: &TagDefinition, path: &str) -> Vec<(String, String)> {
        self.tag_filter.fitting(definition).1.into_iter().map(|why| (path.to_owned(), why)).collect()
    }

    /// How the tag of this definition is monitored.
    pub fn item(&self, definition: TagDefinition, found: &FoundAddress) -> OpcUaTag {
        let is_number = !matches!(definition.value_type, ValueType::Bool | ValueType::String | ValueType::State);
        let mut item = self.template.clone();
        let element = found.index.as_deref().and_then(|index| index.parse().ok()).unwrap_or(NumericRange::None);
        item.deadband = match item.deadband {
            // Of what has no span the server knows no percent of it.
            Deadband::Percent(_) if definition.range_low.is_none() || definition.range_high.is_none() => Deadband::None,
            deadband if is_number => deadband,
            _ => Deadband::None,
        };
        item.conversion.is_element = element != NumericRange::None;
        item.address_text = found.to_string();
        item.address = found.node.clone();
        OpcUaTag { definition, element, ..item }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_with_a_wildcard_is_a_place() {
        for (glob, path, filled) in [
            ("Line 1/**", "Line 1/Motor/Speed", Some(&["Motor/Speed"][..])),
            ("Objects/Line */Motor?/S*", "Line 2/MotorA/Speed", Some(&["Line 2", "MotorA", "Speed"])),
            ("**/Motor/**", "Motor/Speed", Some(&["", "Speed"])),
            ("**/Motor/**", "a/b/Motor/c/Motor/Speed", Some(&["a/b", "c/Motor/Speed"])),
            ("**/T", "a/T/b/T", Some(&["a/T/b"])),
            ("Line/Speed", "Line/Speed", Some(&[])),
            ("Line*/{a,b}", "Line1/a", None),
            ("a**/b", "a1/b", None),
        ] {
            let places = GlobPlaces::of(glob);
            assert_eq!(places.count(), filled.map(<[&str]>::len), "{glob}");
            assert_eq!(places.fill(path), filled.unwrap_or_default(), "{glob} and {path}");
        }
    }

    #[test]
    fn many_wildcards_are_told_apart_in_bounded_time() {
        let glob = "**/".repeat(300) + "end";
        let path = "a/".repeat(60) + "other";
        assert!(GlobPlaces::of(&glob).fill(&path).is_empty());
    }
}
