//! What SQL shows beside the tags: `[sql]` and `[[view]]`.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, de};

use super::document::Document;
use historian_collector::{ConfigProblem, SettingPosition};
use historian_model::TagSelection;
use historian_operators::aggregate::AggregateFunction;
use historian_sql::{ColumnNames, TableOptions, View, ViewInterval, refused_name};

/// `[sql]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SqlSection {
    zone: Option<Zone>,
}

/// One `[[view]]` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewSection {
    name: String,
    #[serde(default)]
    description: String,
    tags: Vec<String>,
    interval: ConfiguredInterval,
    zone: Option<Zone>,
    #[serde(default = "time_average")]
    aggregate: Aggregate,
    #[serde(default)]
    columns: ViewColumns,
}

fn time_average() -> Aggregate {
    Aggregate(AggregateFunction::TimeAverage)
}

#[derive(Clone, Debug)]
struct Zone(TimeZone);

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Zone, D::Error> {
        let name = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom(format!("{name:?} is no time zone; write a name such as \"Europe/Berlin\" or \"UTC\""));
        TimeZone::get(&name).map(Zone).map_err(|_| wrong())
    }
}

#[derive(Clone, Debug)]
struct ConfiguredInterval(ViewInterval);

impl<'de> Deserialize<'de> for ConfiguredInterval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ConfiguredInterval, D::Error> {
        ViewInterval::parse(&String::deserialize(deserializer)?).map(ConfiguredInterval).map_err(de::Error::custom)
    }
}

#[derive(Clone, Debug)]
struct Aggregate(AggregateFunction);

impl<'de> Deserialize<'de> for Aggregate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Aggregate, D::Error> {
        String::deserialize(deserializer)?.parse().map(Aggregate).map_err(de::Error::custom)
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ViewColumns {
    #[default]
    Tag,
    Description,
}

impl From<ViewColumns> for ColumnNames {
    fn from(columns: ViewColumns) -> ColumnNames {
        match columns {
            ViewColumns::Tag => ColumnNames::Tag,
            ViewColumns::Description => ColumnNames::Description,
        }
    }
}

/// Reads both; what is wrong becomes a problem of the document.
pub(super) fn read(document: &mut Document<'_>) -> TableOptions {
    let section: SqlSection = document.section("sql");
    let mut options = TableOptions::default();
    if let Some(Zone(zone)) = section.zone {
        options.zone = zone;
    }
    let mut first: HashMap<String, SettingPosition> = HashMap::new();
    for table in document.devices("view") {
        let (key, position) = (table.key.clone(), table.position.clone());
        let Some((view, has_tags)) = document.tagless::<ViewSection>(table) else { continue };
        let taken = first.get(&view.name).map(|taken| format!("is the name of the view at {}:{} already", taken.file, taken.line));
        let refused = [
            has_tags.then(|| ("tag", "a view names its tags in `tags`; it has no [[view.tag]]".to_owned())),
            refused_name(&view.name).or(taken).map(|text| ("name", text)),
            view.tags.is_empty().then(|| ("tags", "names no tags".to_owned())),
        ];
        first.entry(view.name.clone()).or_insert_with(|| position.clone());
        let mut problems: Vec<(&str, String)> = refused.into_iter().flatten().collect();
        let tags = TagSelection::parse(&view.tags).unwrap_or_else(|error| {
            problems.push(("tags", error.to_string()));
            TagSelection::default()
        });
        if problems.is_empty() {
            options.views.push(View {
                name: view.name,
                description: view.description,
                tags,
                interval: view.interval.0,
                zone: view.zone.map(|zone| zone.0),
                aggregate: view.aggregate.0,
                columns: view.columns.into(),
            });
        }
        for (what, message) in problems {
            document.problems.push(ConfigProblem { position: position.clone(), key: format!("{key}.{what}"), message });
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::super::{Overrides, parse};
    use super::*;

    fn told(text: &str) -> Vec<String> {
        match parse("f.toml", text, std::path::Path::new("."), &Overrides::default()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_view_is_read_with_its_defaults() {
        let text = "[sql]\nzone = \"Europe/Berlin\"\n[[view]]\nname = \"plant_hourly\"\ntags = [\"area1/**\", \"b\"]\ninterval = \"1h\"\n";
        let configuration = parse("f.toml", text, std::path::Path::new("."), &Overrides::default()).unwrap_or_default();
        assert_eq!(configuration.tables.zone.iana_name(), Some("Europe/Berlin"));
        let [view] = &configuration.tables.views[..] else { panic!("one view") };
        assert_eq!((view.name.as_str(), view.interval.text(), view.aggregate), ("plant_hourly", "1h", AggregateFunction::TimeAverage));
        assert!(view.zone.is_none() && view.columns == ColumnNames::Tag);
        assert!(view.tags.matches("area1/x/y") && view.tags.matches("b") && !view.tags.matches("c"));
    }

    #[test]
    fn what_is_wrong_with_a_view_is_told_with_its_line() {
        let with = |lines: &str| told(&format!("[[view]]\nname = \"v\"\ntags = [\"a\"]\ninterval = \"1h\"\n{lines}"));
        assert_eq!(with(""), Vec::<String>::new());
        for (lines, expected) in [
            ("zone = \"Berlin\"\n", "f.toml:5: view.v.zone: \"Berlin\" is no time zone"),
            ("aggregate = \"mean\"\n", "f.toml:5: view.v.aggregate: unknown aggregate function `mean`"),
            ("columns = \"unit\"\n", "f.toml:5: view.v.columns: "),
            ("colums = \"tag\"\n", "f.toml:5: view.v.colums: unknown key; did you mean \"columns\"?"),
            (
                "[[view]]\nname = \"v\"\ntags = [\"a\"]\ninterval = \"1h\"\n",
                "f.toml:6: view.v.name: is the name of the view at f.toml:1 already",
            ),
            ("[[view]]\nname = \"tags\"\ntags = [\"a\"]\ninterval = \"1h\"\n", "f.toml:6: view.tags.name: \"tags\" is a table already"),
            ("[[view]]\nname = \"w\"\ntags = []\ninterval = \"1h\"\n", "f.toml:7: view.w.tags: names no tags"),
            ("[[view]]\nname = \"w\"\ntags = [\"a/[\"]\ninterval = \"1h\"\n", "f.toml:7: view.w.tags: tag pattern \"a/[\" is not valid"),
            ("[[view]]\nname = \"w\"\ntags = [\"a\"]\ninterval = \"hourly\"\n", "f.toml:8: view.w.interval: \"hourly\" is no interval"),
            ("[[view]]\nname = \"w\"\ntags = [\"a\"]\n", "f.toml:5: view.w.interval: "),
            ("[sql]\nzone = 1\n", "f.toml:6: sql.zone: "),
        ] {
            let found = with(lines);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{lines}: {found:#?}");
        }
    }
}
