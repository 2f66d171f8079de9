//! Grouping by states answers as grouping of samples does: the same statements at two engines over the same store, of which one knows the rule
//! and the other does not; before and after samples become chunks and rollups.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, TimestampNanosecondArray},
    compute::concat_batches,
    datatypes::{DataType, Float64Type, Int64Type, Schema},
    util::display::array_value_to_string,
};
use datafusion::{physical_plan::ColumnarValue, prelude::SessionContext};
use tokio_util::sync::CancellationToken;

use super::grid::{Grids, holds_between_edges};
use crate::{SqlEngine, SqlError, SqlOptions, Statement, StatementReply, function::time_bucket, table::samples};
use historian_ingest::IngestOptions;
use historian_maintenance::KeeperOptions;
use historian_model::{Quality, Samples, Tag, Timestamp, Value, ValueType};
use historian_query::{QueryEngine, QueryError, QueryLimits};
use historian_test_support::engine::{TestHistorian, tag};

/// 2026-03-29T00:00:00Z, a Sunday.
const START: i64 = 1_774_742_400_000_000_000;
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAYS: i64 = 9;
const END: i64 = START + DAYS * 24 * HOUR;
const BAD: u32 = Quality::BAD_SENSOR_FAILURE.0;
const UNCERTAIN: u32 = Quality::UNCERTAIN.0;

struct Plant {
    by_states: SqlEngine,
    by_samples: SqlEngine,
    tags: Vec<Arc<Tag>>,
    historian: TestHistorian,
}

/// xorshift, so that a seed tells a run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Name and type of each tag; what it holds is a matter of its name.
const TAGS: [(&str, ValueType); 9] = [
    ("a/good", ValueType::F64),
    ("a/mixed", ValueType::F64),
    ("a/nan", ValueType::F64),
    ("a/zero", ValueType::F64),
    ("b/infinite", ValueType::F32),
    ("b/integer", ValueType::I64),
    ("b/state", ValueType::State),
    ("c/flag", ValueType::Bool),
    ("c/text", ValueType::String),
];

impl Plant {
    fn new(threads: usize) -> Plant {
        let keeper = KeeperOptions { chunk_samples: 64, rollup_samples_min: 1, background: false, ..KeeperOptions::default() };
        let options = IngestOptions { head_samples_max: 50, keeper, ..IngestOptions::default() };
        let historian = TestHistorian::in_memory().at(Timestamp(END)).options(options).open();
        let tags = historian.tags(TAGS.map(|(name, value_type)| tag(name, value_type)));
        let engine = |use_states| {
            let options = SqlOptions { threads, use_states, ..SqlOptions::default() };
            SqlEngine::new(QueryEngine::new(historian.ingest.reader()), historian.catalog.clone(), options)
        };
        let (by_states, by_samples) = (engine(true), engine(false));
        Plant { by_states, by_samples, tags, historian }
    }

    /// Some samples of every tag at random times between two.
    fn write(&self, dice: &mut Dice, from: i64, to: i64, count: usize) {
        let mut runs = Vec::new();
        for tag in &self.tags {
            let mut run = Samples::new(tag.value_type());
            let mut times: Vec<i64> = (0..count).map(|_| from + dice.roll((to - from) as u64) as i64).collect();
            // Some on edges of intervals, some again, and a burst within a second.
            for index in 0..count / 20 {
                times[index * 20] -= times[index * 20].rem_euclid(60 * SECOND);
                times[index * 20 + 1] = times[index * 20] + index as i64;
            }
            times.sort_unstable();
            for at in times {
                let (value, quality) = sample(tag, at, dice);
                run.push(at, value.as_ref(), quality).unwrap();
            }
            runs.push((tag.id, run));
        }
        self.historian.write(runs);
    }

    fn both(&self, text: &str) -> (RecordBatch, RecordBatch) {
        (answer(&self.by_states, text, &limits()).unwrap(), answer(&self.by_samples, text, &limits()).unwrap())
    }

    fn plan(&self, text: &str) -> String {
        let batch = answer(&self.by_states, &format!("EXPLAIN {text}"), &limits()).unwrap();
        (0..batch.num_rows()).map(|row| array_value_to_string(batch.column(1), row).unwrap()).collect()
    }

    fn is_by_states(&self, text: &str) -> bool {
        self.plan(text).contains("RollupExec")
    }

    /// Fails where both engines differ, or where the rule is not used.
    fn check(&self, text: &str) {
        let plan = self.plan(text);
        assert!(plan.contains("RollupExec"), "{text}\n{plan}");
        let (by_states, by_samples) = self.both(text);
        assert_eq!(by_states.schema(), by_samples.schema(), "{text}");
        let (mut found, mut expected) = (rows(&by_states), rows(&by_samples));
        if !text.contains("ORDER BY") {
            found.sort();
            expected.sort();
        }
        assert_eq!(found.len(), expected.len(), "{text}");
        for (found, expected) in found.iter().zip(&expected) {
            let same = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| a.is(b));
            assert!(same, "{text}\nby states {found:?}\nby samples {expected:?}\n{plan}");
        }
    }
}

fn sample(tag: &Tag, at: i64, dice: &mut Dice) -> (Option<Value>, u32) {
    let number = dice.roll(2_000) as f64 / 8.0 - 100.0;
    let quality = match dice.roll(40) {
        0 => BAD,
        1 => UNCERTAIN,
        2 => 0x0040_0000,
        _ => 0,
    };
    let bad_has_none = (quality != BAD, quality);
    let (has_value, quality) = match tag.name().as_str() {
        "a/good" | "a/zero" | "b/infinite" => (true, 0),
        "a/mixed" => (dice.roll(12) > 0, quality),
        _ => bad_has_none,
    };
    let value = match tag.value_type() {
        ValueType::F64 => Value::F64(match (tag.name().as_str(), dice.roll(6)) {
            ("a/nan", 0) => f64::NAN,
            ("a/nan", 1) if at % 2 == 0 => -f64::NAN,
            ("a/nan", 2) if at % 16 == 0 => f64::INFINITY,
            ("a/zero", 0) => -0.0,
            ("a/zero", 1..=3) => 0.0,
            // On one side of zero first, and then on the other.
            ("a/zero", _) if at < START.midpoint(END) => number.abs(),
            ("a/zero", _) => -number.abs(),
            _ => number,
        }),
        ValueType::F32 => Value::F32(match dice.roll(5) {
            0 => f32::INFINITY,
            1 => f32::NEG_INFINITY,
            _ => number as f32,
        }),
        ValueType::I64 => Value::I64((number * 1e16) as i64),
        ValueType::State => Value::State(dice.roll(4) as u32),
        ValueType::Bool => Value::Bool(dice.roll(2) == 0),
        _ => Value::String(format!("{number}")),
    };
    (has_value.then_some(value), quality)
}

fn limits() -> QueryLimits {
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(2);
    QueryLimits::new(deadline, 10_000_000, CancellationToken::new())
}

fn answer(engine: &SqlEngine, text: &str, limits: &QueryLimits) -> Result<RecordBatch, SqlError> {
    let (mut schema, mut batches) = (None, Vec::new());
    let statement = Statement { text: text.into(), now: Timestamp(END), parameters: Vec::new(), zone: "".into() };
    engine.run(&statement, limits, &mut |reply| {
        match reply {
            StatementReply::Schema(found) => schema = Some(found),
            StatementReply::Batch(batch) => batches.push(batch),
        }
        true
    })?;
    Ok(concat_batches(&schema.unwrap(), &batches).unwrap())
}

/// A cell of an answer. Columns named `near…` hold sums, in which the order of adding tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Exact(String),
    Near(Option<u64>),
}

impl Cell {
    fn is(&self, other: &Cell) -> bool {
        match (self, other) {
            (Cell::Near(Some(a)), Cell::Near(Some(b))) => {
                let (a, b) = (f64::from_bits(*a), f64::from_bits(*b));
                a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * (1e3 + a.abs())
            }
            _ => self == other,
        }
    }
}

fn rows(batch: &RecordBatch) -> Vec<Vec<Cell>> {
    let cell = |column: &ArrayRef, name: &str, row: usize| {
        if column.data_type() != &DataType::Float64 {
            return Cell::Exact(array_value_to_string(column, row).unwrap());
        }
        let value = column.is_valid(row).then(|| column.as_primitive::<Float64Type>().value(row));
        if name.starts_with("near") {
            return Cell::Near(value.map(f64::to_bits));
        }
        // Any NaN is a NaN; every other number is told to the bit.
        Cell::Exact(value.map_or("null".into(), |value| if value.is_nan() { "NaN".into() } else { format!("{:016x}", value.to_bits()) }))
    };
    let schema = batch.schema();
    let row = |row| batch.columns().iter().zip(schema.fields()).map(|(column, field)| cell(column, field.name(), row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

const ALL: &str = "count(*) AS n, count(value) AS present, min(value) AS low, max(value) AS high, sum(value) AS near_sum, avg(value) AS near_mean, \
                   min(timestamp) AS first, max(timestamp) AS last";

/// A tag with NaN, and one beside it, so that neither is parted.
const NAN: &str = "tag IN ('a/nan', 'c/flag')";

fn filled(seed: u64, threads: usize) -> Plant {
    let (plant, mut dice) = (Plant::new(threads), Dice(seed | 1));
    plant.write(&mut dice, START, END, 900);
    plant
}

#[test]
fn statements_that_group_answer_the_same_by_states_and_by_samples() {
    for (seed, threads, rounds) in [(0x5EED, 2, 4), (0xBEEF, 1, 2)] {
        let (plant, mut dice) = (filled(seed, threads), Dice(seed | 1));
        // In heads and small chunks; then in chunks with rollups; then with late samples that are in neither; then dirty days made anew.
        for round in 0..rounds {
            let inside = format!(
                "timestamp >= to_timestamp_nanos({}) AND timestamp < to_timestamp_nanos({})",
                START + dice.roll(2 * 24 * HOUR as u64) as i64,
                END - dice.roll(24 * HOUR as u64) as i64
            );
            for bucket in ["1 second", "10 seconds", "1 minute", "90 seconds", "1 hour", "7 hours", "1 day", "7 days"] {
                plant.check(&format!("SELECT tag, time_bucket('{bucket}', timestamp) AS bucket, {ALL} FROM samples GROUP BY tag, bucket"));
                plant.check(&format!("SELECT time_bucket('{bucket}', timestamp) AS bucket, tag, {ALL} FROM samples WHERE {inside} AND tag = 'a/mixed' GROUP BY bucket, tag"));
                plant.check(&format!("SELECT time_bucket('{bucket}', timestamp) AS bucket, {ALL} FROM samples WHERE tag LIKE 'b/i%' AND {inside} GROUP BY bucket"));
                plant.check(&format!("SELECT tag, date_bin(INTERVAL '{bucket}', timestamp, TIMESTAMP '2026-01-01 00:00:07') AS bucket, {ALL} FROM samples WHERE {inside} GROUP BY tag, bucket"));
                plant.check(&format!(
                    "SELECT tag, time_bucket('{bucket}', timestamp) AS bucket, {ALL} FROM samples WHERE {NAN} GROUP BY tag, bucket"
                ));
            }
            for by in [
                "date_trunc('minute', timestamp)",
                "date_trunc('hour', timestamp)",
                "date_trunc('day', timestamp)",
                "date_trunc('week', timestamp)",
                "date_trunc('month', timestamp)",
                "date_part('hour', timestamp)",
                "date_part('dow', timestamp), split_part(tag, '/', 1)",
                "timestamp::date, date_trunc('hour', timestamp)",
                "CASE WHEN date_part('hour', timestamp) < 12 THEN 'early' ELSE 'late' END",
                "split_part(tag, '/', 1)",
                "tag",
            ] {
                plant.check(&format!("SELECT {by}, {ALL} FROM samples GROUP BY {by}"));
                plant.check(&format!("SELECT {by}, {ALL} FROM samples WHERE {inside} GROUP BY {by}"));
            }
            for condition in [
                "is_good(quality)",
                "NOT is_bad(quality)",
                "is_bad(quality)",
                "is_uncertain(quality)",
                "quality = 0",
                "quality <> 0",
                "quality < 1073741824",
                "is_good(quality) AND value IS NOT NULL",
                "value IS NOT NULL",
                "NOT is_bad(quality) AND quality <> 4194304",
            ] {
                let condition = format!("{condition} AND {inside}");
                plant.check(&format!(
                    "SELECT tag, time_bucket('1 hour', timestamp) AS hour, {ALL} FROM samples WHERE {condition} GROUP BY tag, hour"
                ));
                plant.check(&format!(
                    "SELECT tag, date_trunc('day', timestamp) AS day, {ALL} FROM samples WHERE {condition} GROUP BY tag, day"
                ));
                plant.check(&format!("SELECT tag, date_trunc('hour', timestamp) AS hour, min(value), max(value) FROM samples WHERE {condition} GROUP BY tag, hour"));
                plant.check(&format!("SELECT tag, count(value), avg(value) AS near FROM samples WHERE {condition} GROUP BY tag"));
                plant.check(&format!("SELECT DISTINCT tag FROM samples WHERE {condition}"));
                if threads == 2 {
                    let of_nan = format!("{condition} AND {NAN}");
                    plant.check(&format!(
                        "SELECT tag, date_trunc('hour', timestamp) AS hour, count(value), min(value), max(value) FROM samples WHERE {of_nan} GROUP BY tag, hour"
                    ));
                }
                plant.check(&format!("SELECT {ALL} FROM samples WHERE {condition}"));
            }
            for tag in TAGS.map(|(name, _)| name) {
                plant.check(&format!("SELECT {ALL} FROM samples WHERE tag = '{tag}' AND {inside}"));
                plant.check(&format!("SELECT tag, {ALL} FROM samples WHERE tag = '{tag}' AND {inside} GROUP BY tag"));
                plant.check(&format!("SELECT {ALL} FROM samples WHERE tag = '{tag}'"));
                plant.check(&format!("SELECT min(value), max(value) FROM samples WHERE tag = '{tag}' AND {inside}"));
                plant.check(&format!("SELECT count(*) FROM samples WHERE tag = '{tag}' AND {inside}"));
            }
            for hour in 100..116 {
                let (from, to) = (START + hour * HOUR, START + (hour + 1) * HOUR);
                plant.check(&format!(
                    "SELECT min(value), max(value) FROM samples WHERE tag = 'a/zero' AND timestamp >= to_timestamp_nanos({from}) AND timestamp < to_timestamp_nanos({to})"
                ));
            }
            match round {
                0 | 2 => {
                    plant.historian.ingest.compact().unwrap();
                }
                _ => plant.write(&mut dice, START + 20 * HOUR, START + 100 * HOUR, 60),
            }
        }
    }
}

#[test]
fn what_stands_above_and_around_a_grouping_stays_as_it_is() {
    let plant = filled(7, 3);
    plant.historian.ingest.compact().unwrap();
    let hours = "SELECT tag, time_bucket('1 hour', timestamp) AS hour, avg(value) AS near, count(*) AS n FROM samples";
    let by = "GROUP BY tag, hour";
    let good = "WHERE tag = 'a/good'";
    for text in [
        format!("{hours} {good} {by} ORDER BY hour DESC"),
        format!("{hours} {good} {by} ORDER BY tag, hour LIMIT 5 OFFSET 3"),
        format!("{hours} WHERE tag LIKE 'a/%' {by} HAVING count(*) > 5 AND min(timestamp) > '2026-03-30T00:00:00Z' ORDER BY tag, hour"),
        format!("{hours} {good} {by} ORDER BY max(value) LIMIT 1"),
        "SELECT tag, max(value) FROM samples WHERE tag LIKE 'a/%' GROUP BY tag ORDER BY max(value) DESC LIMIT 2".into(),
        format!("SELECT tag, max(near) AS near FROM ({hours} {good} {by}) GROUP BY tag"),
        format!("WITH h AS ({hours} {by}) SELECT h.hour, h.tag, near, n FROM h WHERE h.tag = 'b/state' ORDER BY hour"),
        format!("SELECT t.value_type, h.n, h.hour FROM ({hours} {by}) h JOIN tags t ON t.name = h.tag WHERE t.value_type = 'i64' ORDER BY h.hour"),
        format!("{hours} {good} {by} UNION ALL {hours} WHERE tag = 'c/flag' {by} ORDER BY tag, hour"),
        "SELECT h AS at, avg(v) AS near, count(q) AS n FROM (SELECT date_trunc('hour', timestamp) AS h, value AS v, quality AS q, tag AS name FROM samples) \
         WHERE name = 'a/good' AND is_good(q) GROUP BY h ORDER BY h"
            .into(),
        "SELECT tag, time_bucket('1 day', timestamp) AS day, max(value) - min(value), sum(value) / count(value) AS near, avg(value) * 2 AS near_2 FROM samples \
         WHERE tag = 'b/state' GROUP BY tag, day ORDER BY day"
            .into(),
        "SELECT count(DISTINCT tag) FROM samples WHERE timestamp > '2026-03-31T07:00:00Z'".into(),
        "SELECT date_bin(INTERVAL '1 hour', timestamp) AS hour, count(timestamp), count(tag) FROM samples GROUP BY hour ORDER BY hour".into(),
        "SELECT a.tag, a.n, b.n FROM (SELECT tag, count(*) AS n FROM samples GROUP BY tag) a JOIN (SELECT tag, count(value) AS n FROM samples GROUP BY tag) b \
         ON a.tag = b.tag ORDER BY a.tag"
            .into(),
    ] {
        plant.check(&text);
    }
    // No sample is no group, and one group of no samples where nothing is grouped by.
    for nothing in ["tag = 'nope'", "timestamp < '2000-01-01'", "quality = 77", "timestamp > '2026-04-01' AND timestamp < '2026-04-01'"] {
        plant.check(&format!("SELECT {ALL} FROM samples WHERE {nothing}"));
        let (by_states, _) = plant.both(&format!("SELECT count(*), max(value) FROM samples WHERE {nothing}"));
        assert_eq!((by_states.num_rows(), by_states.column(0).as_primitive::<Int64Type>().value(0)), (1, 0));
        assert!(by_states.column(1).is_null(0));
        plant.check(&format!("SELECT tag, {ALL} FROM samples WHERE {nothing} GROUP BY tag"));
    }
    assert!(plant.is_by_states("SELECT DISTINCT tag FROM samples LIMIT 4"));
    assert_eq!(plant.both("SELECT DISTINCT tag FROM samples LIMIT 4").0.num_rows(), 4);
    // A join tells the node which tags to read.
    let joined = plant
        .plan("SELECT h.n FROM (SELECT tag, count(*) AS n FROM samples GROUP BY tag) h JOIN tags t ON t.name = h.tag WHERE t.unit = 'bar'");
    assert!(joined.contains("RollupExec") && joined.contains("tags by a join"), "{joined}");
    // What a table answers in order needs no sort.
    let ordered = plant.plan(&format!("{hours} {good} {by} ORDER BY hour"));
    assert!(ordered.contains("states=hours") && !ordered.contains("SortExec"), "{ordered}");
}

/// The clock of Berlin is changed on the first of the days.
#[test]
fn local_times_are_grouped_by_states() {
    let plant = filled(13, 3);
    for round in 0..2 {
        for zone in ["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "UTC", "Australia/Lord_Howe"] {
            let local = format!("timestamp AT TIME ZONE '{zone}'");
            for by in [
                format!("time_bucket('1 day', timestamp, '{zone}')"),
                format!("time_bucket('week', timestamp, '{zone}')"),
                format!("time_bucket('1 month', timestamp, '{zone}')"),
                format!("time_bucket('7 hours', timestamp, '{zone}')"),
                format!("time_bucket('5 minutes', timestamp, '{zone}')"),
                format!("time_bucket('1 hour', {local})"),
                format!("date_bin(INTERVAL '1 day', {local})"),
                format!("date_trunc('day', {local})"),
                format!("date_trunc('month', {local})"),
                format!("({local})::date"),
                format!("({local})::timestamp::date"),
                format!("date_part('hour', {local})"),
                format!("extract(dow FROM {local})"),
            ] {
                plant.check(&format!("SELECT tag, {by} AS step, {ALL} FROM samples GROUP BY tag, step"));
            }
            let day = format!("SELECT tag, time_bucket('1 day', timestamp, '{zone}') AS day, max(value) FROM samples GROUP BY tag, day");
            let plan = plant.plan(&day);
            let level = if zone == "Europe/Berlin" { "states=hours" } else { "states=" };
            assert!(plan.contains(level), "{plan}");
        }
        plant.check("SELECT time_bucket('1 month', timestamp) AS month, count(*) FROM samples GROUP BY month");
        plant.check("SELECT date_bin(INTERVAL '2 months', timestamp, TIMESTAMP '2026-01-31 07:30:00') AS months, count(*) FROM samples GROUP BY months");
        if round == 0 {
            plant.historian.ingest.compact().unwrap();
        }
    }
}

#[test]
fn statements_of_other_kinds_are_left_alone() {
    let plant = filled(11, 2);
    for text in [
        "SELECT tag, max(value) FROM samples WHERE value > 3 GROUP BY tag",
        "SELECT tag, stddev(value) FROM samples GROUP BY tag",
        "SELECT tag, min(value), median(value) FROM samples GROUP BY tag",
        "SELECT tag, count(DISTINCT value) FROM samples GROUP BY tag",
        "SELECT tag, count(text) FROM samples GROUP BY tag",
        "SELECT tag, max(value) FILTER (WHERE is_good(quality)) FROM samples GROUP BY tag",
        "SELECT tag, max(abs(value)) FROM samples GROUP BY tag",
        "SELECT quality, count(*) FROM samples GROUP BY quality",
        "SELECT text, count(*) FROM samples GROUP BY text",
        "SELECT timestamp, count(*) FROM samples GROUP BY timestamp",
        "SELECT date_trunc('second', timestamp AT TIME ZONE 'Europe/Vienna'), count(*) FROM samples GROUP BY 1",
        "SELECT date_part('second', timestamp), count(*) FROM samples GROUP BY 1",
        "SELECT tag, random() > 2, count(*) FROM samples GROUP BY 1, 2",
        "SELECT tag, count(*) FROM samples WHERE random() < 2 GROUP BY tag",
        "SELECT tag, date_trunc('day', timestamp), count(*) FROM samples GROUP BY GROUPING SETS ((tag), (tag, date_trunc('day', timestamp)))",
        "SELECT count(*), max(value) FROM (SELECT * FROM samples LIMIT 10)",
        "SELECT tag, array_agg(value) FROM samples GROUP BY tag",
        "SELECT max(timestamp - INTERVAL '1 day') FROM samples",
        "SELECT tag, count(*) FROM samples WHERE tag IN (SELECT name FROM tags WHERE name <> 'none') GROUP BY tag",
    ] {
        let answer = answer(&plant.by_states, text, &limits()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(answer.num_rows() > 0, "{text}");
        assert!(!plant.is_by_states(text), "{text}");
    }
}

#[test]
fn rollups_change_no_answer() {
    let plant = filled(23, 1);
    let text = format!("SELECT tag, time_bucket('1 day', timestamp) AS day, {ALL} FROM samples GROUP BY tag, day ORDER BY tag, day");
    let before = rows(&answer(&plant.by_states, &text, &limits()).unwrap());
    plant.historian.ingest.compact().unwrap();
    let after = rows(&answer(&plant.by_states, &text, &limits()).unwrap());
    assert_eq!((before.len(), after.len()), (TAGS.len() * DAYS as usize, TAGS.len() * DAYS as usize));
    for (before, after) in before.iter().zip(&after) {
        assert!(before.iter().zip(after).all(|(before, after)| before.is(after)), "{before:?}\n{after:?}");
    }
}

#[test]
fn every_bound_of_a_scan_holds_for_a_grouping() {
    let plant = filled(31, 2);
    let text = "SELECT tag, date_trunc('second', timestamp), count(*) FROM samples GROUP BY 1, 2";
    let few = QueryLimits { rows_max: 10, ..limits() };
    assert!(matches!(answer(&plant.by_states, text, &few), Err(SqlError::Query(QueryError::TooManyRows(10)))));
    let late = QueryLimits { deadline: std::time::Instant::now(), ..limits() };
    assert!(matches!(answer(&plant.by_states, text, &late), Err(SqlError::Query(QueryError::Deadline))));
    let cancelled = limits();
    cancelled.cancel.cancel();
    assert!(matches!(answer(&plant.by_states, text, &cancelled), Err(SqlError::Query(QueryError::Cancelled))));
    // Whoever has seen enough is given no more, of an answer that comes in several batches.
    let statement = Statement { text: text.into(), now: Timestamp(END), parameters: Vec::new(), zone: "".into() };
    let given = |enough: usize| {
        let mut batches = 0;
        let mut take = |reply| {
            batches += usize::from(matches!(reply, StatementReply::Batch(_)));
            batches < enough
        };
        plant.by_states.run(&statement, &limits(), &mut take).unwrap();
        batches
    };
    assert!(given(usize::MAX) > 2, "{}", given(usize::MAX));
    assert_eq!((given(1), given(2)), (1, 2));
}

/// What the rule believes of functions of the time, asked of the functions: between two edges they answer the same.
#[test]
fn functions_of_the_time_hold_between_their_edges() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let context = SessionContext::new();
    for function in time_bucket::functions() {
        context.register_udf(function);
    }
    let schema = samples::schema();
    let columns = Arc::new(Schema::new(vec![schema.field(samples::TAG).clone(), schema.field(samples::TIMESTAMP).clone()]));
    let table = datafusion::datasource::MemTable::try_new(columns.clone(), vec![vec![]]).unwrap();
    context.register_table("samples", Arc::new(table)).unwrap();
    let mut dice = Dice(99);
    for function in [
        "date_bin(INTERVAL '1 second', timestamp)",
        "date_bin(INTERVAL '90 seconds', timestamp)",
        "date_bin(INTERVAL '7 days', timestamp)",
        "date_bin(INTERVAL '1 day', timestamp, TIMESTAMP '2026-01-01 00:00:07')",
        "date_bin(INTERVAL '3 nanoseconds', timestamp, TIMESTAMP '1950-01-01')",
        "date_trunc('second', timestamp)",
        "date_trunc('minute', timestamp)",
        "date_trunc('HOUR', timestamp)",
        "date_trunc('day', timestamp)",
        "date_trunc('day', timestamp::timestamp)",
        "date_trunc('week', timestamp)",
        "date_trunc('month', timestamp)",
        "date_trunc('quarter', timestamp)",
        "date_trunc('year', timestamp)",
        "date_part('minute', timestamp)",
        "extract(hour FROM timestamp)",
        "date_part('day', timestamp)",
        "date_part('dow', timestamp)",
        "date_part('doy', timestamp)",
        "date_part('week', timestamp)",
        "date_part('month', timestamp)",
        "date_part('quarter', timestamp)",
        "date_part('year', timestamp)",
        "timestamp::date",
        "date_bin(INTERVAL '1 month', timestamp)",
        "date_bin(INTERVAL '3 months', timestamp, TIMESTAMP '2000-01-01')",
        "date_bin(INTERVAL '2 months', timestamp, TIMESTAMP '2000-01-31 07:30:00')",
        "time_bucket('1 day', timestamp, 'Europe/Berlin')",
        "time_bucket('1 day', timestamp, 'America/Sao_Paulo')",
        "time_bucket('7 hours', timestamp, 'America/St_Johns')",
        "time_bucket('quarter', timestamp, 'Australia/Lord_Howe')",
        "time_bucket('10 minutes', timestamp, 'Asia/Kathmandu')",
        "time_bucket('1 week', timestamp, 'Pacific/Apia')",
        "date_trunc('day', timestamp AT TIME ZONE 'Europe/Berlin')",
        "date_part('hour', timestamp AT TIME ZONE 'Africa/Casablanca')",
        "(timestamp AT TIME ZONE 'America/New_York')::date",
    ] {
        let plan = runtime
            .block_on(async { context.sql(&format!("SELECT {function} AS f FROM samples")).await.unwrap().into_optimized_plan().unwrap() });
        let expression = plan.expressions()[0].clone().unalias();
        let over = datafusion::common::DFSchema::try_from_qualified_schema("samples", &columns).unwrap();
        let expression = context.state().create_physical_expr(expression, &over).unwrap();
        let mut grids = Vec::new();
        assert!(holds_between_edges(&expression, &mut grids), "{function}: {expression}");
        let grids = Grids(grids);
        assert_eq!(grids.0.len(), 1, "{function}");
        let evaluate = |times: Vec<i64>| {
            let keys: Int32Array = times.iter().map(|_| Some(0)).collect();
            let names: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["tag"]));
            let tags = arrow::array::DictionaryArray::try_new(keys, names).unwrap();
            let rows = times.len();
            let times = TimestampNanosecondArray::from(times).with_timezone("UTC");
            let batch = RecordBatch::try_new(columns.clone(), vec![Arc::new(tags), Arc::new(times)]).unwrap();
            ColumnarValue::into_array(expression.evaluate(&batch).unwrap(), rows).unwrap()
        };
        let mut starts: Vec<i64> = (0..400).map(|_| dice.roll(u64::MAX >> 2).cast_signed() - (1 << 61)).collect();
        starts.extend([0, -1, 1, START, START - 1, -86_400 * SECOND, (1 << 62) - 1, -(1 << 62)]);
        let lasts: Vec<i64> = starts.iter().map(|at| grids.edge_after(*at) - 1).collect();
        let firsts: Vec<i64> = starts.iter().map(|at| grids.0[0].edge_up_to(*at).max(-(1 << 62))).collect();
        let (at_start, at_first, at_last) = (evaluate(starts.clone()), evaluate(firsts), evaluate(lasts));
        assert_eq!(&at_start, &at_first, "{function}");
        assert_eq!(&at_start, &at_last, "{function}");
        assert!(at_start.null_count() == 0, "{function}");
    }
}
