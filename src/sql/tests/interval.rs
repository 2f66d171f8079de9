//! Tables of intervals, views, and what is told of tables. What the numbers are is judged from outside (`tests/it/bi.rs`).

use arrow::array::TimestampNanosecondArray;

use super::*;
use crate::{ColumnNames, INFORMATION_SCHEMA, SCHEMA, TableOptions, View, ViewInterval};
use historian_model::{TagScope, TagSelection};

const HOUR: i64 = 3600 * SECOND;

fn view(name: &str, tags: &[&str], interval: &str) -> View {
    View {
        name: name.into(),
        description: String::new(),
        tags: TagSelection::parse(tags).unwrap(),
        interval: ViewInterval::parse(interval).unwrap(),
        zone: None,
        aggregate: historian_operators::aggregate::AggregateFunction::TimeAverage,
        columns: ColumnNames::Tag,
    }
}

fn with_views(views: Vec<View>) -> Plant {
    plant(SqlOptions { tables: TableOptions { views, ..TableOptions::default() }, ..options() })
}

fn write(plant: &Plant, tag: &Tag, samples: &[(i64, f64)]) {
    let mut run = Samples::new(tag.value_type());
    for (at, value) in samples {
        run.push(*at, Some(&Value::F64(*value)), 0).unwrap();
    }
    plant.historian.write(vec![(tag.id, run)]);
}

fn times(batch: &RecordBatch, column: &str) -> Vec<i64> {
    let times: &TimestampNanosecondArray = batch.column_by_name(column).unwrap().as_primitive();
    times.values().to_vec()
}

#[test]
fn a_view_has_the_columns_of_the_tags_that_there_are() {
    let plant = with_views(vec![view("plant_minutes", &["a/*", "b/*", "nowhere"], "1m")]);
    let columns = |plant: &Plant| -> Vec<String> {
        let batch = run(plant, "SELECT * FROM plant_minutes").unwrap();
        batch.schema().fields().iter().map(|field| field.name().clone()).collect()
    };
    // The string has no average.
    assert_eq!(columns(&plant), ["local_start", "start", "end", "a_x", "a_y", "b_mode"]);
    let made = plant.historian.tags([tag("a/X", ValueType::F64)]);
    assert_eq!(columns(&plant), ["local_start", "start", "end", "a_x_2", "a_x", "a_y", "b_mode"]);

    // One row per interval from the first sample on, without a gap, the last one cut by the present; a new tag has no value yet.
    let batch = run(&plant, "SELECT * FROM plant_minutes ORDER BY start").unwrap();
    let (starts, ends) = (times(&batch, "start"), times(&batch, "end"));
    assert_eq!(starts, (0..4).map(|minute| NOW.0 - 240 * SECOND + minute * 60 * SECOND).collect::<Vec<_>>());
    assert_eq!((&ends[..3], ends[3]), (&starts[1..], NOW.0));
    assert_eq!(batch.column_by_name("a_x_2").unwrap().null_count(), 4);
    assert_eq!(batch.column_by_name("a_x").unwrap().null_count(), 0);

    // What is asked for by columns is what all of it has there.
    write(&plant, &made[0], &[(NOW.0 - 150 * SECOND, 1.0), (NOW.0 - 61 * SECOND, 3.0)]);
    let whole = run(&plant, "SELECT * FROM plant_minutes ORDER BY start").unwrap();
    let some = run(&plant, "SELECT b_mode, \"end\", a_x_2 FROM plant_minutes ORDER BY start").unwrap();
    for name in ["b_mode", "end", "a_x_2"] {
        assert_eq!(whole.column_by_name(name).unwrap(), some.column_by_name(name).unwrap());
    }
    assert_eq!(whole.column_by_name("a_x_2").unwrap().null_count(), 2);
    assert_eq!(run(&plant, "SELECT start FROM plant_minutes LIMIT 2").unwrap().num_rows(), 2);
    assert_eq!(run(&plant, "SELECT a_x FROM plant_minutes WHERE start >= now()").unwrap().num_rows(), 0);
}

#[test]
fn a_view_of_too_many_tags_is_listed_and_says_so_when_it_is_read() {
    let plant = with_views(vec![view("all_hourly", &["**"], "1h")]);
    plant.historian.tags((0..1_000).map(|number| tag(&format!("many/{number}"), ValueType::F64)));
    let error = run(&plant, "SELECT * FROM all_hourly").unwrap_err().to_string();
    assert!(error.contains("selects 1004 tags, at most 1000"), "{error}");
    let told = plant.sql.tables(&TagScope::Everything).into_iter().find(|table| table.name == "all_hourly").unwrap();
    assert!(told.remark.contains("at most 1000") && told.schema.fields().len() == 3, "{}", told.remark);
    let listed = run(&plant, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'all_hourly'").unwrap();
    assert_eq!(listed.column(0).as_primitive::<Int64Type>().value(0), 1);
}

#[test]
fn more_intervals_than_there_may_be_are_refused_in_words() {
    let plant = with_views(vec![view("seconds", &["a/x"], "1s")]);
    write(&plant, &plant.tags[0], &[(HOUR, 1.0)]);
    let error = run(&plant, "SELECT * FROM seconds").unwrap_err().to_string();
    assert!(error.contains("intervals") && error.contains("10000000") && error.contains("start >="), "{error}");
    assert_eq!(run(&plant, "SELECT * FROM seconds WHERE start >= now() - INTERVAL '3 seconds'").unwrap().num_rows(), 3);
    let limits = QueryLimits { memory: historian_query::MemoryBudget::new(1 << 20), ..limits() };
    let error = run_within(&plant, &statement("SELECT * FROM seconds WHERE start < '1970-01-03T00:00:00Z'"), &limits).unwrap_err();
    assert!(matches!(error, SqlError::Query(QueryError::Memory(_))), "{error}");
}

#[test]
fn the_zone_is_that_of_the_view_else_of_the_session_else_of_the_configuration() {
    let zone = |name: &str| jiff::tz::TimeZone::get(name).unwrap();
    let in_india = View { zone: Some(zone("Asia/Kolkata")), ..view("india", &["a/x"], "1d") };
    let views = vec![in_india, view("here", &["a/x"], "1d")];
    let plant = plant(SqlOptions { tables: TableOptions { views, zone: zone("Europe/Berlin") }, ..options() });
    // NOW is 12:00 UTC of the day on which the clock of Berlin goes from 2 to 3.
    let midnight = |offset_minutes: i64| NOW.0 - 12 * HOUR - offset_minutes * 60 * SECOND;
    for (table, offset_minutes) in [("india", 330), ("here", 60), ("daily WHERE tag = 'a/x'", 60)] {
        let batch = run(&plant, &format!("SELECT * FROM {table}")).unwrap();
        assert_eq!(times(&batch, "start"), [midnight(offset_minutes)], "{table}");
        assert_eq!(times(&batch, "local_start"), [NOW.0 - 12 * HOUR], "{table}");
    }
}

#[test]
fn the_hour_that_occurs_twice_has_two_rows_and_the_one_that_is_left_out_none() {
    let plant = plant(SqlOptions {
        tables: TableOptions { zone: jiff::tz::TimeZone::get("Europe/Berlin").unwrap(), ..TableOptions::default() },
        ..options()
    });
    // Autumn of 2025: 03:00 becomes 02:00 at 01:00 UTC of October 26th.
    let at = |text: &str| i64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap();
    let first = at("2025-10-25T23:00:00Z");
    let samples: Vec<_> = (0..10).map(|half| (first + half * HOUR / 2, half as f64)).collect();
    write(&plant, &plant.tags[0], &samples);
    let local = |from: &str, to: &str| -> Vec<String> {
        let batch = run(
            &plant,
            &format!(
                "SELECT CAST(local_start AS VARCHAR) FROM hourly WHERE tag = 'a/x' AND start BETWEEN '{from}' AND '{to}' ORDER BY start"
            ),
        )
        .unwrap();
        batch.column(0).as_string::<i32>().iter().map(|text| text.unwrap()[11..13].to_owned()).collect()
    };
    assert_eq!(local("2025-10-25T23:00:00Z", "2025-10-26T03:00:00Z"), ["01", "02", "02", "03", "04"]);
    assert_eq!(local("2026-03-28T23:00:00Z", "2026-03-29T03:00:00Z"), ["00", "01", "03", "04", "05"]);
}

#[test]
fn every_table_every_column_and_every_function_has_a_remark() {
    let mut view = view("plant_hourly", &["**"], "1h");
    view.description = "Boiler house".into();
    let plant = with_views(vec![view]);
    let tables = plant.sql.tables(&TagScope::Everything);
    let names: Vec<(&str, &str)> = tables.iter().map(|table| (table.schema_name, table.name.as_str())).collect();
    let public: Vec<&str> = names.iter().filter(|(schema, _)| *schema == SCHEMA).map(|(_, name)| *name).collect();
    assert_eq!(public, ["annotations", "current", "daily", "gaps", "hourly", "plant_hourly", "samples", "tags"]);
    assert!(names.contains(&(INFORMATION_SCHEMA, "columns")) && names.is_sorted(), "{names:?}");
    for table in &tables {
        assert!(!table.remark.is_empty(), "{}", table.name);
        assert_eq!(table.column_remarks.len(), if table.is_system { 0 } else { table.schema.fields().len() }, "{}", table.name);
        assert!(table.column_remarks.iter().all(|remark| !remark.is_empty()), "{}: {:?}", table.name, table.column_remarks);
        // What is told of a table is what a statement finds.
        let found = run(&plant, &format!("SELECT * FROM {}.{} LIMIT 0", table.schema_name, table.name)).unwrap();
        let columns =
            |schema: &arrow::datatypes::Schema| -> Vec<String> { schema.fields().iter().map(|field| field.name().clone()).collect() };
        assert_eq!(columns(&found.schema()), columns(&table.schema), "{}", table.name);
    }
    let of_view = tables.iter().find(|table| table.name == "plant_hourly").unwrap();
    assert!(of_view.remark.starts_with("Boiler house: view of the configuration, a row per interval of 1h"), "{}", of_view.remark);
    assert!(
        of_view.column_remarks[3].contains("in bar") && of_view.column_remarks[3].ends_with("time_average of a/x"),
        "{:?}",
        of_view.column_remarks
    );
    assert!(of_view.column_remarks[5].ends_with("time_average2 of b/mode"), "{:?}", of_view.column_remarks);
    let functions = SqlEngine::table_functions();
    let samples = tables.iter().find(|table| table.name == "samples").unwrap();
    for function in &functions {
        assert!(!function.remark.is_empty() && samples.remark.contains(function.usage), "{}", function.name);
    }
    // Where a tool looks that knows the information schema only.
    let routines = run(&plant, "SELECT routine_name FROM information_schema.routines WHERE function_type = 'TABLE' ORDER BY 1").unwrap();
    let routines: Vec<&str> = routines.column(0).as_string::<i32>().iter().flatten().collect();
    for function in &functions {
        assert!(routines.contains(&function.name), "{routines:?}");
    }
    let columns = run(&plant, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'plant_hourly'").unwrap();
    assert_eq!(columns.column(0).as_primitive::<Int64Type>().value(0), of_view.schema.fields().len() as i64);
    let told = |statement: &str| -> Vec<String> {
        let batch = run(&plant, statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        batch.column(0).as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect()
    };
    let of = "FROM information_schema.columns WHERE table_schema = 'public' AND table_name";
    assert_eq!(told(&format!("SELECT remarks {of} = 'plant_hourly' ORDER BY ordinal_position")), of_view.column_remarks);
    assert_eq!(
        told("SELECT remarks FROM information_schema.tables WHERE table_name = 'plant_hourly'"),
        std::slice::from_ref(&of_view.remark)
    );
    let of_range = told("SELECT remarks FROM information_schema.routines WHERE routine_name = 'range' AND function_type = 'TABLE'");
    assert!(of_range.len() == 1 && of_range[0].starts_with("range(tags, start, end"), "{of_range:?}");
    for statement in
        ["SELECT * FROM information_schema.views", "SHOW TABLES", "SHOW COLUMNS FROM plant_hourly", "SHOW FUNCTIONS LIKE 'range'"]
    {
        run(&plant, statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[test]
fn current_is_the_latest_sample_with_the_columns_of_samples() {
    let plant = plant(options());
    for (current, samples) in [
        (
            "SELECT * FROM current ORDER BY tag",
            format!("SELECT * FROM samples WHERE timestamp >= {} ORDER BY tag", "now() - INTERVAL '1 second'"),
        ),
        (
            "SELECT tag, text FROM current WHERE tag LIKE 'b/%' AND text IS NOT NULL ORDER BY tag",
            "SELECT tag, text FROM samples WHERE tag LIKE 'b/%' AND timestamp >= now() - INTERVAL '1 second' ORDER BY tag".to_owned(),
        ),
        (
            "SELECT quality, tag FROM current WHERE tag IN ('c/flag', 'd')",
            "SELECT quality, tag FROM samples WHERE tag = 'c/flag' AND timestamp >= now() - INTERVAL '1 second'".to_owned(),
        ),
    ] {
        let (current, samples) = (run(&plant, current).unwrap(), run(&plant, &samples).unwrap());
        assert!(current.num_rows() > 0);
        assert_eq!(pretty_format_batches(&[current]).unwrap().to_string(), pretty_format_batches(&[samples]).unwrap().to_string());
    }
}
