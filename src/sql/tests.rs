//! Statements over an in-memory store: what is pushed down answers as what is not, and every bound has its error.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{DataType, Float64Type, Int64Type, TimestampNanosecondType, UInt32Type},
    util::pretty::pretty_format_batches,
};
use tokio_util::sync::CancellationToken;

use super::{ScalarValue, SqlEngine, SqlError, SqlOptions, Statement, StatementReply, scan::SCANS_MAX, text::OPERATORS_MAX};
use historian_model::{
    Quality, SampleBatch, Samples, Tag, Timestamp, Value, ValueType,
    sink::{Durability, SampleSink, WriteMode},
};
use historian_query::{QueryEngine, QueryError, QueryLimits};
use historian_store::{Gap, GapReason};
use historian_test_support::engine::{TestHistorian, tag};

mod dialect;
mod interval;
mod memory;
mod order;
mod planning;
mod runaway;
mod time;

const NOW: Timestamp = Timestamp(1_774_785_600_000_000_000);
const SECOND: i64 = 1_000_000_000;
const BAD: u32 = Quality::BAD_SENSOR_FAILURE.0;

struct Plant {
    sql: SqlEngine,
    historian: TestHistorian,
    tags: Vec<Arc<Tag>>,
}

/// Three numbers, one state and one string: `a/x` and `a/y` of 200 samples a second apart up to `NOW`, every tenth of `a/y` Bad.
fn plant(options: SqlOptions) -> Plant {
    let historian = TestHistorian::in_memory().at(NOW).open();
    let mut definitions = vec![
        tag("a/x", ValueType::F64),
        tag("a/y", ValueType::I64),
        tag("b/mode", ValueType::State),
        tag("b/note", ValueType::String),
        tag("c/flag", ValueType::Bool),
    ];
    definitions[0].unit = "bar".into();
    definitions[2].state_set = vec!["off".into(), "on".into()];
    let tags = historian.tags(definitions);
    historian
        .store
        .append_gaps(&[Gap {
            time: NOW,
            tag: Some("a/x".into()),
            start: Some(1),
            end: None,
            reason: GapReason::DeviceDown,
            ..Gap::default()
        }])
        .unwrap();
    for (half, from) in [(0, 0), (1, 100)] {
        let mut runs = Vec::new();
        for tag in &tags {
            let mut run = Samples::new(tag.value_type());
            for index in from..from + 100_i64 {
                let at = NOW.0 - (200 - index) * SECOND;
                let value = match tag.value_type() {
                    ValueType::F64 => Value::F64(index as f64 * 0.5),
                    ValueType::I64 => Value::I64(index),
                    ValueType::State => Value::State((index % 2) as u32),
                    ValueType::String => Value::String(format!("note {index}")),
                    _ => Value::Bool(index % 3 == 0),
                };
                let bad = tag.name().as_str() == "a/y" && index % 10 == 0;
                run.push(at, (!bad).then_some(&value), if bad { BAD } else { 0 }).unwrap();
            }
            runs.push((tag.id, run));
        }
        historian.write(runs);
        if half == 0 {
            historian.ingest.compact().unwrap();
        }
    }
    let engine = QueryEngine::new(historian.ingest.reader());
    Plant { sql: SqlEngine::new(engine, historian.catalog.clone(), options), historian, tags }
}

/// The state that every statement begins with.
pub fn session() -> datafusion::execution::SessionState {
    let plant = plant(options());
    let engine = QueryEngine::new(plant.historian.ingest.reader());
    let tables = Arc::new(super::table::Tables::new(&engine, &plant.historian.catalog, &options()));
    super::session::base(&engine, &plant.historian.catalog, &tables, &options())
}

fn options() -> SqlOptions {
    SqlOptions { threads: 2, ..SqlOptions::default() }
}

fn limits() -> QueryLimits {
    QueryLimits::new(Instant::now() + Duration::from_mins(1), 1_000_000, CancellationToken::new())
}

fn statement(text: &str) -> Statement {
    Statement { text: text.into(), now: NOW, parameters: Vec::new(), zone: "".into() }
}

fn run_within(plant: &Plant, statement: &Statement, limits: &QueryLimits) -> Result<RecordBatch, SqlError> {
    let (mut schema, mut batches) = (None, Vec::new());
    plant.sql.run(statement, limits, &mut |reply| {
        match reply {
            StatementReply::Schema(found) => assert!(schema.replace(found).is_none()),
            StatementReply::Batch(batch) => batches.push(batch),
        }
        true
    })?;
    let schema = schema.expect("a schema");
    assert!(batches.iter().all(|batch| batch.schema() == schema));
    Ok(concat_batches(&schema, &batches).unwrap())
}

fn run(plant: &Plant, text: &str) -> Result<RecordBatch, SqlError> {
    let described = plant.sql.describe(&statement(text), &limits());
    let answer = run_within(plant, &statement(text), &limits());
    if let (Ok(described), Ok(answer)) = (&described, &answer) {
        assert_eq!(described.schema, answer.schema(), "{text}");
    }
    answer
}

fn rows(plant: &Plant, text: &str) -> RecordBatch {
    run(plant, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn count(plant: &Plant, text: &str) -> i64 {
    let batch = rows(plant, text);
    batch.column(0).as_primitive::<Int64Type>().value(0)
}

fn shown(batch: &RecordBatch) -> String {
    pretty_format_batches(std::slice::from_ref(batch)).unwrap().to_string()
}

fn plan(plant: &Plant, text: &str) -> String {
    shown(&rows(plant, &format!("EXPLAIN {text}")))
}

#[test]
fn samples_have_numbers_qualities_and_texts() {
    let plant = plant(options());
    let batch = rows(&plant, "SELECT tag, value, quality, text FROM samples WHERE timestamp >= '2026-03-29T11:59:59Z' ORDER BY tag");
    let expected = "\
+--------+-------+---------+----------+
| tag    | value | quality | text     |
+--------+-------+---------+----------+
| a/x    | 99.5  | 0       |          |
| a/y    | 199.0 | 0       |          |
| b/mode | 1.0   | 0       | on       |
| b/note |       | 0       | note 199 |
| c/flag | 0.0   | 0       |          |
+--------+-------+---------+----------+";
    assert_eq!(shown(&batch), expected);
    assert!(matches!(batch.column(0).data_type(), DataType::Dictionary(..)));
    assert_eq!(count(&plant, "SELECT count(*) FROM samples"), 1000);
    assert_eq!(count(&plant, "SELECT count(*) FROM samples WHERE is_bad(quality)"), 20);
}

/// Each filter is answered as it stands, which is pushed down, and hidden from the table, which is not.
#[test]
fn what_is_pushed_down_answers_as_what_is_not() {
    let plant = plant(options());
    for (filter, pushed) in [
        ("tag = 'a/x'", true),
        ("'a/x' = tag", true),
        ("tag = 'nope'", true),
        ("tag <> 'a/x'", true),
        ("tag IN ('a/x', 'c/flag', 'nope')", true),
        ("tag NOT IN ('a/x', 'c/flag')", true),
        ("tag IN ('a/x', 'a/y', 'b/mode', 'b/note', 'c/flag')", true),
        ("tag LIKE 'a/%'", true),
        ("tag NOT LIKE 'a/%'", true),
        ("tag ILIKE 'A/_'", true),
        ("tag = 'a/x' OR tag LIKE 'b/%'", true),
        ("starts_with(tag, 'b/')", true),
        ("tag ~ '^[ab]/'", true),
        ("tag IS NULL", true),
        ("tag > 'a/x' AND tag < 'c'", true),
        ("tag IN ('a/x', 'b/note') AND tag LIKE 'b%'", true),
        ("timestamp = '2026-03-29T11:59:00Z'", true),
        ("timestamp < '2026-03-29T11:58:00Z'", true),
        ("timestamp <= '2026-03-29T11:58:00Z'", true),
        ("timestamp > TIMESTAMP '2026-03-29 11:58:00'", true),
        ("'2026-03-29T11:58:00Z' <= timestamp", true),
        ("timestamp BETWEEN '2026-03-29T11:58:00Z' AND '2026-03-29T11:58:10Z'", true),
        ("timestamp >= now() - INTERVAL '90 seconds'", true),
        ("timestamp > '2200-01-01' AND timestamp < '1900-01-01'", true),
        ("timestamp >= '0001-01-01' AND timestamp < '9999-12-31'", true),
        ("timestamp BETWEEN TIMESTAMP '1601-01-01' AND DATE '9999-12-31'", true),
        ("CAST(timestamp AS DATE) = DATE '2026-03-29'", true),
        ("CAST(timestamp AS DATE) = '2026-03-28'", true),
        ("timestamp::date BETWEEN '2026-03-28' AND '2026-03-29'", true),
        ("date_trunc('minute', timestamp) = TIMESTAMP '2026-03-29 11:58:00'", true),
        ("date_trunc('minute', timestamp) = TIMESTAMP '2026-03-29 11:58:07'", true),
        ("date_trunc('minute', timestamp) < TIMESTAMP '2026-03-29 11:58:07'", true),
        ("date_trunc('minute', timestamp) <= TIMESTAMP '2026-03-29 11:58:07'", true),
        ("date_trunc('minute', timestamp) > TIMESTAMP '2026-03-29 11:58:00'", true),
        ("TIMESTAMP '2026-03-29 11:58:07' <= date_trunc('minute', timestamp)", true),
        ("date_trunc('day', timestamp) = '2026-03-29'", true),
        ("date_trunc('month', timestamp) >= TIMESTAMP '2026-02-03'", true),
        ("time_bucket('1 minute', timestamp) = '2026-03-29T11:58:00Z'", true),
        ("date_bin(INTERVAL '90 seconds', timestamp) > '2026-03-29T11:58:30Z'", true),
        ("CAST(timestamp AS TIMESTAMP) >= TIMESTAMP '2026-03-29 11:58:00'", true),
        ("CAST(timestamp AS TIMESTAMP(0)) = TIMESTAMP '2026-03-29 11:58:00'", true),
        ("YEAR(timestamp) = 2026", true),
        ("TRUNC(timestamp) = CURRENT_DATE", true),
        ("(timestamp AT TIME ZONE 'Europe/Berlin')::date = '2026-03-29'", false),
        ("time_bucket('1 minute', timestamp, 'Asia/Kathmandu') = '2026-03-29T11:58:00Z'", false),
        ("date_trunc('month', timestamp AT TIME ZONE 'Europe/Berlin') = '2026-02-28T23:00:00Z'", false),
        ("CAST(timestamp AS DATE) IN ('2026-03-29', '2026-03-31')", false),
        ("CAST(timestamp AS DATE) <> '2026-03-29'", false),
        ("timestamp NOT BETWEEN '2026-03-29T11:58:00Z' AND '2026-03-29T11:58:10Z'", false),
        ("tag = 'a/y' AND timestamp >= '2026-03-29T11:59:00Z' AND value > 150", false),
        ("tag = 'a/x' OR value > 50", false),
        ("quality <> 0", false),
        ("value IS NULL", false),
        ("text = 'on'", false),
        ("tag = text", false),
    ] {
        let all = "SELECT tag, timestamp, value, quality, text FROM samples";
        // `coalesce` over another column hides each column from the table, and leaves the values as they are.
        let hidden = "SELECT * FROM (SELECT arrow_cast(coalesce(tag, text), 'Dictionary(Int32, Utf8)') AS tag, timestamp + INTERVAL '0 s' AS \
                      timestamp, value, quality, text FROM samples OFFSET 0)";
        let order = "ORDER BY tag, timestamp";
        let (asked, reference) =
            (rows(&plant, &format!("{all} WHERE {filter} {order}")), rows(&plant, &format!("{hidden} WHERE {filter} {order}")));
        assert_eq!(shown(&asked), shown(&reference), "{filter}");
        let plan = plan(&plant, &format!("{all} WHERE {filter}"));
        assert_eq!(!plan.contains("FilterExec"), pushed, "{filter}:\n{plan}");
    }
}

#[test]
fn time_order_needs_no_sort_and_a_limit_reaches_the_scan() {
    let plant = plant(options());
    for (direction, expected) in [("ASC", [0.0, 0.5, 1.0]), ("DESC", [99.5, 99.0, 98.5])] {
        let text = format!("SELECT timestamp, value FROM samples WHERE tag = 'a/x' ORDER BY timestamp {direction} LIMIT 3");
        let batch = rows(&plant, &text);
        assert_eq!(batch.column(1).as_primitive::<Float64Type>().values(), &expected);
        let plan = plan(&plant, &text);
        assert!(!plan.contains("SortExec") && plan.contains("fetch=3"), "{plan}");
    }
    let ordered = plan(&plant, "SELECT * FROM samples ORDER BY tag, timestamp");
    assert!(!ordered.contains("SortExec"), "{ordered}");
    let limited = plan(&plant, "SELECT * FROM samples LIMIT 7");
    assert!(limited.contains("fetch=7"), "{limited}");
    assert_eq!(rows(&plant, "SELECT * FROM samples LIMIT 7").num_rows(), 7);
    assert_eq!(rows(&plant, "SELECT * FROM samples LIMIT 7 OFFSET 996").num_rows(), 4);
}

#[test]
fn joins_groups_and_buckets_work() {
    let plant = plant(options());
    let joined = rows(
        &plant,
        "SELECT t.unit, count(*) AS n, avg(s.value) AS mean FROM samples s JOIN tags t ON s.tag = t.name WHERE t.unit = 'bar' GROUP BY t.unit",
    );
    assert_eq!(joined.num_rows(), 1);
    assert_eq!(joined.column(1).as_primitive::<Int64Type>().value(0), 200);
    assert!((joined.column(2).as_primitive::<Float64Type>().value(0) - 49.75).abs() < 1e-12);

    // The few rows of tags are gathered, and tell the scan of samples what to read.
    for text in [
        "SELECT * FROM samples s JOIN tags t ON s.tag = t.name WHERE t.unit = 'bar'",
        "SELECT * FROM samples WHERE tag IN (SELECT name FROM tags WHERE unit = 'bar')",
    ] {
        assert_eq!(rows(&plant, text).num_rows(), 200);
        let plan = plan(&plant, text);
        assert!(plan.find("EngineExec: tags") < plan.find("SamplesExec") && plan.contains("tags by a join"), "{plan}");
    }

    let buckets = rows(
        &plant,
        "SELECT time_bucket('1 minute', timestamp) AS minute, max(value) FROM samples WHERE tag = 'a/x' GROUP BY minute ORDER BY minute",
    );
    // 200 s up to 12:00:00 begin at 11:56:40.
    let minutes = buckets.column(0).as_primitive::<TimestampNanosecondType>();
    assert_eq!(minutes.values().iter().map(|at| (NOW.0 - at) / SECOND).collect::<Vec<_>>(), [240, 180, 120, 60]);
    assert_eq!(buckets.column(1).as_primitive::<Float64Type>().values(), &[9.5, 39.5, 69.5, 99.5]);
    let tags = rows(&plant, "SELECT name, value_type, stepped, state_set FROM tags WHERE name LIKE 'b/%' ORDER BY name");
    assert_eq!(tags.num_rows(), 2);
    assert_eq!(tags.column(3).as_string::<i32>().value(0), r#"["off","on"]"#);
    assert_eq!(rows(&plant, "SELECT * FROM tags WHERE name IN ('a/x', 'nope')").num_rows(), 1);
    let gaps = rows(&plant, "SELECT tag, reason, \"end\" IS NULL FROM gaps");
    assert_eq!((gaps.column(0).as_string::<i32>().value(0), gaps.column(1).as_string::<i32>().value(0)), ("a/x", "device_down"));
}

/// The first statement of the documents that reads a table.
fn documented(table: &str) -> String {
    let documents = include_str!("../../docs/api.md");
    let mut statements = documents.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    statements.find(|statement| statement.contains(&format!("FROM {table} "))).unwrap().to_owned()
}

#[test]
fn the_documented_statement_sums_the_absence_of_a_tag_by_reason() {
    let plant = plant(options());
    let gap = |tag: Option<&str>, start: i64, end: Option<i64>, reason: GapReason| Gap {
        time: NOW,
        tag: tag.map(Into::into),
        start: Some(NOW.0 - start * SECOND),
        end: end.map(|end| NOW.0 - end * SECOND),
        reason,
        ..Gap::default()
    };
    let gaps = [
        gap(Some("a/y"), 100, None, GapReason::DeviceDown),
        gap(Some("a/y"), 100, Some(40), GapReason::DeviceDown),
        gap(Some("a/y"), 200_000, Some(90_000), GapReason::DeviceDown),
        gap(None, 30, Some(10), GapReason::CollectorDown),
        gap(Some("a/y"), 5, None, GapReason::Refused),
        gap(Some("a/y"), 4, Some(4), GapReason::DeviceDown),
        gap(Some("b/mode"), 50, Some(1), GapReason::DeviceDown),
    ];
    plant.historian.store.append_gaps(&gaps).unwrap();
    let told = rows(&plant, &documented("gaps").replace("plc/level", "a/y"));
    let reasons: Vec<&str> = told.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(reasons, ["collector_down", "device_down", "refused"]);
    assert_eq!(told.column(2).as_primitive::<Float64Type>().values(), &[20.0, 60.0, 5.0]);
}

#[test]
fn table_functions_are_the_queries_of_the_engine() {
    let plant = plant(options());
    let range = rows(&plant, "SELECT * FROM range('a/y', '*-10s', '*')");
    assert_eq!(range.schema().field(2).data_type(), &DataType::Int64, "one tag keeps its type");
    assert_eq!(range.num_rows(), 10);
    let interpolated = rows(&plant, "SELECT quality FROM range('a/x', now() - INTERVAL '9500 milliseconds', now(), 'interpolated')");
    assert_eq!(interpolated.num_rows(), 11);
    assert_eq!(interpolated.column(0).as_primitive::<UInt32Type>().value(0), Quality::INTERPOLATED_BITS);
    let several = rows(&plant, "SELECT tag, value FROM range('[\"a/x\", \"c/*\"]', '*-2s', '*') ORDER BY tag, timestamp LIMIT 3");
    assert_eq!(several.num_rows(), 3);
    let current = rows(&plant, "SELECT tag, value FROM current('a/*') ORDER BY tag");
    assert_eq!(current.column(1).as_primitive::<Float64Type>().values(), &[99.5, 199.0]);
    assert_eq!(count(&plant, "SELECT count(*) FROM range('**', '*', '*-1h') r JOIN current('**') c ON r.tag = c.tag"), 1000);

    for (call, fragment) in [
        ("range('a/x')", "argument start"),
        ("range()", "argument tags"),
        ("range('a/x', 'soon', '*')", "start"),
        ("range('a/x', 1.5, '*')", "start must be"),
        ("range('nope', '*-1h', '*')", "no tag \"nope\""),
        ("range('a/[', '*-1h', '*')", "tags"),
        ("range('a/x', '*-1h', '*', 'AROUND')", "INSIDE, OUTSIDE, INTERPOLATED"),
        ("range('a/x', '*-1h', '*', 'INSIDE', 5)", "too many"),
        ("range(NULL, '*-1h', '*')", "is null"),
        ("current('[\"a/x\"')", "JSON"),
    ] {
        let error = run(&plant, &format!("SELECT * FROM {call}")).unwrap_err();
        assert!(matches!(error, SqlError::Invalid(_)) && error.to_string().contains(fragment), "{call}: {error}");
    }
}

#[test]
fn parameters_are_bound_in_both_spellings() {
    let plant = plant(options());
    for text in [
        "SELECT value FROM samples WHERE tag = $1 AND timestamp >= $2 AND value > $3 LIMIT $4",
        "SELECT value FROM samples WHERE tag = ? AND timestamp >= ? AND value > ? LIMIT ?",
    ] {
        let described = plant.sql.describe(&statement(text), &limits()).unwrap();
        let names: HashMap<_, _> =
            described.parameters.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
        assert_eq!(names["$1"], DataType::Utf8);
        assert!(matches!(names["$2"], DataType::Timestamp(..)) && names["$3"] == DataType::Float64);
        assert_eq!(names["$4"], DataType::Int64);
        let parameters = vec![
            ScalarValue::Utf8(Some("a/x".into())),
            ScalarValue::TimestampMicrosecond(Some((NOW.0 - 10 * SECOND) / 1000), Some("UTC".into())),
            ScalarValue::Int64(Some(96)),
            ScalarValue::Int64(Some(5)),
        ];
        let answer = run_within(&plant, &Statement { parameters: parameters.clone(), ..statement(text) }, &limits()).unwrap();
        assert_eq!(answer.column(0).as_primitive::<Float64Type>().values(), &[96.5, 97.0, 97.5, 98.0, 98.5]);
        let few = run_within(&plant, &Statement { parameters: parameters[..3].to_vec(), ..statement(text) }, &limits()).unwrap_err();
        assert!(few.to_string().contains("4 parameters and 3 values"), "{few}");
    }
    for (text, fragment) in [("SELECT $2", "no parameter $1"), ("SELECT $name", "$name"), ("SELECT ? + $1", "mixes")] {
        let error = plant.sql.describe(&statement(text), &limits()).unwrap_err();
        assert!(error.to_string().contains(fragment), "{text}: {error}");
    }
}

#[test]
fn parameters_are_arguments_of_table_functions_too() {
    let plant = plant(options());
    let text = "SELECT tag, count(*) FROM range(?, ?, ?) WHERE quality = ? GROUP BY tag";
    let described = plant.sql.describe(&statement(text), &limits()).unwrap();
    let types: Vec<_> = described.parameters.fields().iter().map(|field| field.data_type().clone()).collect();
    assert!(matches!(&types[..], [DataType::Utf8, DataType::Timestamp(..), DataType::Timestamp(..), DataType::UInt32]), "{types:?}");
    let text_of = |text: &str| ScalarValue::Utf8(Some(text.into()));
    let from = ScalarValue::TimestampMillisecond(Some((NOW.0 - 20 * SECOND) / 1_000_000), Some("UTC".into()));
    for start in [from, text_of("*-20s")] {
        let parameters = vec![text_of("a/y"), start, text_of("*"), ScalarValue::Int64(Some(0))];
        let bound = Statement { parameters, ..statement(text) };
        assert_eq!(run_within(&plant, &bound, &limits()).unwrap().column(1).as_primitive::<Int64Type>().values(), &[18]);
        assert_eq!(plant.sql.describe(&bound, &limits()).unwrap().schema, run_within(&plant, &bound, &limits()).unwrap().schema());
    }
    // Every function can be described before it has values, and answers with those that are bound as if they were written in the statement.
    for (call, values, rows_expected) in [
        ("range(?, ?, ?, ?)", ["a/x", "*-5s", "*", "OUTSIDE", "", ""], 6),
        ("aggregate(?, ?, ?, ?, ?, ?)", ["a/x", "*-5s", "*", "1s", "count", "{}"], 5),
        ("downsample(?, ?, ?, 10, ?)", ["a/x", "*-5s", "*", "M4", "", ""], 6),
        ("anomalies(?, ?, ?, ?, ?, ?)", ["a/x", "*-5s", "*", "spike", "{}", "COUNTS"], 1),
        ("current(?)", ["a/x", "", "", "", "", ""], 1),
    ] {
        let text = format!("SELECT * FROM {call}");
        let count = call.matches('?').count();
        assert_eq!(plant.sql.describe(&statement(&text), &limits()).unwrap().parameters.fields().len(), count, "{call}");
        let parameters: Vec<_> = values[..count].iter().map(|value| text_of(value)).collect();
        let bound = run_within(&plant, &Statement { parameters: parameters.clone(), ..statement(&text) }, &limits()).unwrap();
        let written = values[..count].iter().fold(text.clone(), |text, value| text.replacen('?', &format!("'{value}'"), 1));
        assert_eq!(shown(&bound), shown(&rows(&plant, &written)), "{written}");
        assert_eq!(bound.num_rows(), rows_expected, "{call}:\n{}", shown(&bound));
        let few = run_within(&plant, &Statement { parameters: parameters[1..].to_vec(), ..statement(&text) }, &limits()).unwrap_err();
        assert!(matches!(few, SqlError::Invalid(_)), "{call}: {few}");
        let none = run_within(&plant, &statement(&text), &limits()).unwrap_err();
        assert!(none.to_string().contains("0 values are bound"), "{call}: {none}");
    }
}

#[test]
fn what_a_statement_tells_of_its_parameters_is_found() {
    let plant = plant(options());
    let time = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, Some("UTC".into()));
    let interval = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
    for (text, expected) in [
        ("SELECT ?", vec![DataType::Null]),
        ("SELECT lower(?)", vec![DataType::Utf8]),
        ("SELECT CAST(? AS TIMESTAMP)", vec![DataType::Null]),
        ("SELECT coalesce(value, ?) FROM samples", vec![DataType::Float64]),
        ("SELECT quality + ? FROM samples", vec![DataType::UInt32]),
        ("SELECT 1 FROM samples WHERE timestamp > ? - INTERVAL '1 hour'", vec![time.clone()]),
        ("SELECT 1 FROM samples WHERE timestamp > now() - ?", vec![interval]),
        (
            "SELECT 1 FROM samples WHERE timestamp BETWEEN ? AND ? LIMIT ? OFFSET ?",
            vec![time.clone(), time, DataType::Int64, DataType::Int64],
        ),
        (
            "SELECT 1 FROM samples WHERE (? IS NULL OR tag = ?) AND tag IN (?, ?)",
            vec![DataType::Null, DataType::Utf8, DataType::Utf8, DataType::Utf8],
        ),
        ("SELECT 1 FROM samples WHERE $1 IS NULL OR tag = $1", vec![DataType::Utf8]),
        ("SELECT 1 FROM samples WHERE quality > $1 OR value > $1", vec![DataType::Float64]),
        ("SELECT 1 FROM tags WHERE name IN (SELECT tag FROM samples WHERE value > ?)", vec![DataType::Float64]),
    ] {
        let described = plant.sql.describe(&statement(text), &limits()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let types: Vec<_> = described.parameters.fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types, expected, "{text}");
    }
    assert_eq!(plant.sql.describe(&statement("SELECT ?"), &limits()).unwrap().schema.field(0).data_type(), &DataType::Utf8);
}

#[test]
fn nothing_but_reading_is_planned() {
    let plant = plant(options());
    for text in [
        "INSERT INTO samples VALUES ('a/x', now(), 1.0, 0, NULL)",
        "DELETE FROM samples",
        "UPDATE tags SET unit = 'x'",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/sql-test.csv'",
        "DROP TABLE samples",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE INSERT INTO samples VALUES ('a/x', now(), 1.0, 0, NULL)",
        "PREPARE p AS SELECT 1",
        "BEGIN",
    ] {
        let error = run(&plant, text).unwrap_err();
        assert!(matches!(error, SqlError::ReadOnly(_) | SqlError::Invalid(_)), "{text}: {error:?}");
    }
    assert!(matches!(run(&plant, "DROP TABLE samples"), Err(SqlError::ReadOnly(_))));
    for text in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT 1; SELECT 2",
        "SELEC 1",
        "SELECT nope FROM samples",
        "",
    ] {
        let error = run(&plant, text).unwrap_err();
        assert!(matches!(error, SqlError::Invalid(_)), "{text}: {error:?}");
    }
    assert_eq!(count(&plant, "SELECT count(*) FROM samples"), 1000);
}

/// A statement that is at work as long as somebody reads.
fn endless_rows() -> Statement {
    statement("SELECT value FROM generate_series(1, 1000000000000)")
}

#[test]
fn every_bound_has_its_error() {
    let plant = plant(SqlOptions { memory_bytes_max: 64 << 10, statements_max: 1, tags_max: 4, ..options() });
    let large =
        "SELECT a.value FROM range('[\"a/x\", \"a/y\"]', 0, '*') a CROSS JOIN generate_series(1, 100000) ORDER BY a.value + random()";
    let error = run(&plant, large).unwrap_err();
    assert!(matches!(error, SqlError::Memory(_)), "{error:?}");
    let too_many = run(&plant, "SELECT count(*) FROM samples").unwrap_err();
    assert!(too_many.to_string().contains("5 tags, at most 4"), "{too_many}");

    let endless = statement("SELECT count(*) FROM generate_series(1, 1000000000000)");
    let soon = QueryLimits { deadline: Instant::now() + Duration::from_millis(200), ..limits() };
    assert!(matches!(run_within(&plant, &endless, &soon), Err(SqlError::Query(QueryError::Deadline))));
    let cancelled = limits();
    let cancel = cancelled.cancel.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        cancel.cancel();
    });
    assert!(matches!(run_within(&plant, &endless, &cancelled), Err(SqlError::Query(QueryError::Cancelled))));
    canceller.join().unwrap();
    let few = QueryLimits { rows_max: 10, ..limits() };
    let error = run_within(&plant, &statement("SELECT * FROM range('a/x', 0, '*')"), &few).unwrap_err();
    assert!(matches!(error, SqlError::Query(QueryError::TooManyRows(10))), "{error:?}");

    // A second statement at the same time.
    let mut inner = None;
    plant
        .sql
        .run(&endless_rows(), &limits(), &mut |_| {
            inner.get_or_insert_with(|| run_within(&plant, &statement("SELECT 2"), &limits()));
            false
        })
        .unwrap();
    assert!(matches!(inner, Some(Err(SqlError::Busy(1)))), "{inner:?}");
    assert_eq!(run(&plant, "SELECT 3").unwrap().column(0).as_primitive::<Int64Type>().values(), &[3]);
}

/// As deep as is let through: plans of that depth are walked on the stack, and the next one is refused.
#[test]
fn the_deepest_statement_that_is_taken_is_answered_and_the_next_one_is_refused() {
    let plant = plant(options());
    let sum = |terms: usize| format!("SELECT {} FROM generate_series(7, 7)", vec!["value"; terms].join(" + "));
    // Only the last one is ever true, and no other can be left out by planning.
    let any = |terms: usize| format!("SELECT count(*) FROM samples WHERE {}tag = 'a/x'", "random() < 0 OR ".repeat(terms));
    let united = |selects: usize| format!("SELECT sum(one) FROM ({})", vec!["SELECT 3 AS one"; selects].join(" UNION ALL "));
    let nested = |signs: usize| format!("SELECT {}5", "- ".repeat(signs));
    let refused = |text: &str| match run(&plant, text) {
        Err(SqlError::Invalid(why)) => why,
        other => panic!("{text:.60}: {other:?}"),
    };
    // SELECT and the bracket of the function, then one operator between two terms.
    assert_eq!(count(&plant, &sum(400)), 7 * 400);
    assert!(refused(&sum(OPERATORS_MAX)).contains("1001 operators and clauses, at most 1000"));
    // SELECT, `(`, `*` and `=`, then `(`, `<` and OR.
    assert_eq!(count(&plant, &any((OPERATORS_MAX - 4) / 3)), 200);
    assert!(refused(&any((OPERATORS_MAX - 4) / 3 + 1)).contains("1003 operators and clauses, at most 1000"));
    // SELECT and two brackets, then SELECT and UNION.
    assert_eq!(count(&plant, &united((OPERATORS_MAX - 2) / 2)), 3 * 499);
    assert!(refused(&united((OPERATORS_MAX - 2) / 2 + 1)).contains("1002 operators and clauses, at most 1000"));
    // What the parser itself walks into is bounded far below, at 50 with the statement, the query and the innermost number.
    assert_eq!((count(&plant, &nested(46)), count(&plant, &nested(47))), (5, -5));
    assert!(refused(&nested(48)).contains("recursion limit"));
}

/// As many scans as there may be, all of them wanted at once. One more is refused where it is counted (`scan::tests`): whether a statement
/// has them open at the same time is up to the threads.
#[test]
fn a_statement_may_read_as_many_tables_at_once_as_there_may_be_scans() {
    let plant = plant(options());
    let part = |number| format!("SELECT {number} AS part, value FROM samples WHERE tag = 'a/x'");
    let parts: Vec<String> = (0..SCANS_MAX).map(part).collect();
    let text = format!("SELECT count(*), count(DISTINCT part), sum(value) FROM ({})", parts.join(" UNION ALL "));
    let batch = run(&plant, &text).unwrap();
    let whole = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(0);
    assert_eq!((whole(0), whole(1)), (64 * 200, 64));
    // 0, 0.5, … 99.5.
    assert_eq!(batch.column(2).as_primitive::<Float64Type>().values(), &[64.0 * 9_950.0]);
}

#[test]
fn all_parts_of_a_statement_see_one_moment() {
    let plant = plant(options());
    let done = std::sync::atomic::AtomicBool::new(false);
    // Every write has one sample of each tag: whoever sees one of them sees the other.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..2_000_i64 {
                let at = NOW.0 + number * SECOND;
                let (mut x, mut y) = (Samples::new(ValueType::F64), Samples::new(ValueType::I64));
                x.push(at, Some(&Value::F64(1.0)), 0).unwrap();
                y.push(at, Some(&Value::I64(1)), 0).unwrap();
                let runs = vec![(plant.tags[0].id, x), (plant.tags[1].id, y)];
                let write = plant.historian.ingest.write(SampleBatch { runs }, WriteMode::Upsert, Durability::Interval);
                futures::executor::block_on(write).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut asked = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) || asked < 3 {
            for text in [
                "SELECT (SELECT count(*) FROM samples WHERE tag = 'a/x') - (SELECT count(*) FROM samples WHERE tag = 'a/y')",
                "SELECT count(*) FILTER (WHERE x.timestamp IS NULL OR y.timestamp IS NULL) FROM \
                 (SELECT * FROM samples WHERE tag = 'a/x') x FULL JOIN (SELECT * FROM samples WHERE tag = 'a/y') y ON x.timestamp = y.timestamp",
            ] {
                let batch = run_within(&plant, &statement(text), &limits()).unwrap();
                assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 0, "{text}");
            }
            asked += 1;
        }
    });
}
