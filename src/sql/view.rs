//! Wide views: tables that a configuration defines, with a row per interval and a column per tag.

use std::{collections::HashSet, sync::Arc};

use jiff::tz::TimeZone;

use super::function::calendar::{CalendarStep, STEP_FORMS};
use historian_model::{Tag, TagSelection};
use historian_operators::aggregate::AggregateFunction;

/// Tags of a view at most: each is a column.
pub const VIEW_TAGS_MAX: usize = 1_000;
/// Longest name of a column, in characters.
const COLUMN_NAME_MAX: usize = 120;

/// Where the columns of a view have their names from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ColumnNames {
    /// The name of the tag.
    #[default]
    Tag,
    /// Its description; the name of the tag where it has none.
    Description,
}

/// A view as it is configured.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    /// What it is, for people; may be empty.
    pub description: String,
    pub tags: TagSelection,
    /// Length of the intervals.
    pub interval: ViewIntervalLength,
    /// `None`: that of the connection.
    pub zone: Option<TimeZone>,
    pub aggregate: AggregateFunction,
    pub columns: ColumnNames,
}

/// Length of the intervals of a view.
#[derive(Clone, Debug)]
pub struct ViewIntervalLength {
    pub(super) step: CalendarStep,
    text: String,
}

impl ViewIntervalLength {
    /// Reads `15m`, `1h`, `1d`, `1w`, `1mo`, `1y`.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<ViewIntervalLength, String> {
        let step = CalendarStep::parse(text).ok_or_else(|| format!("{text:?} is no interval; write {STEP_FORMS}"))?;
        Ok(ViewIntervalLength { step, text: text.to_owned() })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What the tables of a historian are told beside its tags.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// Days and hours of connections that name no zone.
    pub zone: TimeZone,
    /// In the order of the configuration; their names differ.
    pub views: Vec<View>,
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        TableOptions { zone: TimeZone::UTC, views: Vec::new() }
    }
}

/// Why a view cannot have this name; `None` when it can.
pub fn refused_name(name: &str) -> Option<String> {
    let first_is_letter = name.starts_with(|letter: char| letter.is_ascii_lowercase());
    let is_plain = name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    if !first_is_letter || !is_plain || name.len() > 63 {
        return Some(format!(
            "{name:?} is no name of a table; write up to 63 of a-z, 0-9 and _, a letter first, so that SQL needs no quotes"
        ));
    }
    let is_table = super::name::TABLES.contains(&name);
    is_table.then(|| format!("{name:?} is a table already; the tables that every historian has are {}", super::name::TABLES.join(", ")))
}

/// Names for the columns of tags: letters and digits in lower case, `_` for whatever stands between them. Of tags with the same name the one
/// that was made first has it, further ones have `_2`, `_3`, … behind it: so a tag that is new never changes the name of another. `taken` are
/// names of other columns. In the order of `tags`.
pub fn column_names(tags: &[Arc<Tag>], source: ColumnNames, taken: &[&str]) -> Vec<String> {
    let mut used: HashSet<String> = taken.iter().map(|name| (*name).to_owned()).collect();
    let mut in_order: Vec<usize> = (0..tags.len()).collect();
    in_order.sort_unstable_by_key(|&index| tags[index].id.0);
    let mut names = vec![String::new(); tags.len()];
    for index in in_order {
        let definition = &tags[index].definition;
        let of_tag = || plain_name(definition.name.as_str());
        let wanted = match source {
            ColumnNames::Description => plain_name(&definition.description).or_else(of_tag),
            ColumnNames::Tag => of_tag(),
        };
        let wanted = wanted.unwrap_or_else(|| "tag".to_owned());
        let mut name = wanted.clone();
        let mut number = 2;
        while !used.insert(name.clone()) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        names[index] = name;
    }
    names
}

/// `None` where a text has neither letters nor digits.
fn plain_name(text: &str) -> Option<String> {
    let mut name = String::new();
    for letter in text.chars().flat_map(char::to_lowercase) {
        if letter.is_alphanumeric() {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name: String = name.chars().take(COLUMN_NAME_MAX).collect();
    let name = name.trim_end_matches('_');
    let needs_letter = name.starts_with(|first: char| !first.is_alphabetic());
    (!name.is_empty()).then(|| if needs_letter { format!("_{name}") } else { name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{TagDefinition, TagId, TagName, Timestamp, ValueType};

    fn tags(names: &[(u32, &str, &str)]) -> Vec<Arc<Tag>> {
        let tag = |(id, name, description): &(u32, &str, &str)| {
            let definition =
                TagDefinition { description: (*description).into(), ..TagDefinition::new(TagName::new(*name).unwrap(), ValueType::F64) };
            Arc::new(Tag { id: TagId(*id), definition, created: Timestamp(0), updated: Timestamp(0) })
        };
        names.iter().map(tag).collect()
    }

    #[test]
    fn names_of_columns_are_plain_differ_and_stay_when_tags_are_added() {
        let names = |of: &[(u32, &str, &str)], source| column_names(&tags(of), source, &["start", "end"]);
        let by_tag = [(7, "A/Boiler 2/T.1", ""), (9, "a/boiler/2/t/1", ""), (8, "a/boiler_2/t_1/2", ""), (3, "7/x", ""), (4, "START", "")];
        assert_eq!(names(&by_tag, ColumnNames::Tag), ["a_boiler_2_t_1", "a_boiler_2_t_1_3", "a_boiler_2_t_1_2", "_7_x", "start_2"]);
        let more: Vec<_> = by_tag.into_iter().chain([(10, "a/boiler 2/t/1", ""), (11, "start_2", "")]).collect();
        let found = names(&more, ColumnNames::Tag);
        assert_eq!(found[..5], names(&by_tag, ColumnNames::Tag));
        assert_eq!(found[5..], ["a_boiler_2_t_1_4", "start_2_2"]);
        let described = [(1, "a/t", "Kesselöl, Zulauf (°C)"), (2, "a/u", ""), (3, "b/t", "kesselöl zulauf c"), (4, "c", " / ")];
        assert_eq!(names(&described, ColumnNames::Description), ["kesselöl_zulauf_c", "a_u", "kesselöl_zulauf_c_2", "c"]);
    }

    #[test]
    fn views_have_names_that_sql_needs_no_quotes_for() {
        assert_eq!(refused_name("plant_hourly2"), None);
        for wrong in ["", "Plant", "2nd", "plant-hourly", "plant hourly", "samples", "hourly", &"a".repeat(64)] {
            assert!(refused_name(wrong).is_some(), "{wrong}");
        }
    }
}
