//! What tools find that know tables and columns and nothing of a historian: tables of intervals, views, remarks.

use std::fs;

use historian_proto::v1::Tag;

use crate::{
    api::python,
    support::{door::Door, historian::Historian},
};

const CONFIGURATION: &str = r#"
[sql]
zone = "Europe/Berlin"

[[view]]
name = "plant_hourly"
description = "Boiler house"
tags = ["plant/**"]
interval = "1h"

[[view]]
name = "plant_daily"
tags = ["plant/**", "nowhere"]
interval = "1d"
"#;

/// A historian with two views and a stepped tag.
fn historian(directory: &tempfile::TempDir) -> Historian {
    let file = directory.path().join("historian.toml");
    fs::write(&file, CONFIGURATION).unwrap();
    Historian::serve(&directory.path().join("data"), &["--config", &file.display().to_string()])
}

fn tag(name: &str) -> Tag {
    Tag { name: name.into(), value_type: historian_proto::v1::ValueType::F64.into(), ..Tag::default() }
}

/// Twenty tags over a change of the clock, from heads, and from chunks and rollups; and what Grafana's plugin asks of them.
#[test]
fn hours_days_and_views_are_what_numpy_makes_of_the_samples_and_a_plugin_finds_them() {
    let directory = tempfile::tempdir().unwrap();
    let historian = historian(&directory);
    let door = Door::to(&historian);
    for number in 0..18 {
        door.create(tag(&format!("plant/line{}/t{number:02}", number % 3)));
    }
    door.create(tag("plant/daily_lab"));
    door.create(Tag { unit: "m3/h".into(), description: "Feed to the boiler".into(), ..tag("plant/flow") });
    door.create(Tag { stepped: true, ..tag("plant/mode") });
    let run = |phase: &str| python("sql_intervals.py", &[&historian.flight.to_string(), phase]);
    run("write");
    run("check");
    door.compact();
    run("check");
    python("grafana_plugin.py", &[&historian.flight.to_string()]);
}
