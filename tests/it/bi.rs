//! What tools find that know tables and columns and nothing of a historian: tables of intervals, views, remarks.

use std::fs;

use historian_proto::v1::Tag;

use crate::support::{
    door::Door,
    historian::{Historian, serve},
    pytest::{Run, suite},
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
    serve(&directory.path().join("data"), &["--config", &file.display().to_string()])
}

fn tag(name: &str) -> Tag {
    Tag { name: name.into(), value_type: historian_proto::v1::ValueType::F64.into(), ..Tag::default() }
}

/// Twenty tags over a change of the clock.
fn plant(directory: &tempfile::TempDir) -> (Historian, Door) {
    let historian = historian(directory);
    let door = Door::to(&historian);
    for number in 0..18 {
        door.create(tag(&format!("plant/line{}/t{number:02}", number % 3)));
    }
    door.create(tag("plant/daily_lab"));
    door.create(Tag { unit: "m3/h".into(), description: "Feed to the boiler".into(), ..tag("plant/flow") });
    door.create(Tag { stepped: true, ..tag("plant/mode") });
    (historian, door)
}

suite!(
    INTERVALS,
    "sql_intervals",
    from_heads_and_from_chunks,
    [
        every_interval_of_every_tag_is_what_the_samples_make_of_it,
        what_is_pushed_down_and_what_is_not_select_the_same_rows,
        some_columns_of_some_rows_are_those_of_the_whole,
        hours_are_those_of_the_table_function,
        a_wide_view_has_a_column_for_each_tag_and_every_interval,
        hours_of_local_time_are_selected_and_grouped_as_by_a_tool_that_knows_tables_and_columns_only,
        the_table_of_current_values_has_the_last_sample_of_each_tag,
    ]
);

fn from_heads_and_from_chunks(run: &mut Run) {
    let directory = tempfile::tempdir().unwrap();
    let (historian, door) = plant(&directory);
    let address = historian.grpc.to_string();
    run.cases(&[("HISTORIAN_ADDRESS", &address), ("HISTORIAN_PHASE", "heads")]);
    door.compact();
    run.cases(&[("HISTORIAN_ADDRESS", &address), ("HISTORIAN_PHASE", "chunks")]);
}

fn with_views(run: &mut Run) {
    let directory = tempfile::tempdir().unwrap();
    let (historian, _door) = plant(&directory);
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string())]);
}

suite!(
    GRAFANA,
    "grafana_plugin",
    with_views,
    [
        a_data_source_is_saved_and_tested,
        the_editor_finds_the_server_its_tables_and_their_columns,
        every_column_has_a_remark_where_tools_look_for_it_and_answers_have_none,
        a_panel_shows_a_series,
        a_long_table_and_a_wide_view_are_the_same_series,
        a_table_is_a_frame,
    ]
);
