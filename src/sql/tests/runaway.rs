//! Statements that would run for hours: they stop nobody else, and end within a second of their cancellation or their deadline.

use std::{sync::mpsc, thread};

use super::*;

const ROWS: i64 = 60_000;
/// How long somebody else waits at most. Generous: they wait for a processor, not for a statement.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(5);

/// A tag of 60,000 samples beside those of every plant.
pub fn long_plant(options: SqlOptions) -> Plant {
    let plant = plant(options);
    let mut run = Samples::new(ValueType::F64);
    for index in 0..ROWS {
        run.push(NOW.0 - (ROWS - index) * SECOND, Some(&Value::F64(index as f64)), 0).unwrap();
    }
    plant.historian.write(vec![(plant.tags[0].id, run)]);
    plant
}

/// Statements of every kind of join, and whatever else can work long for a few rows. `s` stands for the samples of one tag.
const ENDLESS: &[&str] = &[
    "SELECT count(*) FROM s a JOIN s b ON a.tag = b.tag",
    "SELECT count(*) FROM s a LEFT JOIN s b ON a.tag = b.tag",
    "SELECT count(*) FROM s a RIGHT JOIN s b ON a.tag = b.tag",
    "SELECT count(*) FROM s a FULL JOIN s b ON a.tag = b.tag",
    "SELECT max(a.value + b.value) FROM s a JOIN s b USING (tag, quality)",
    // Nothing comes of these until the end, or at all.
    "SELECT count(*) FROM s a JOIN s b ON a.tag = b.tag AND a.value + b.value < -1",
    "SELECT count(*) FROM s a LEFT JOIN s b ON a.tag = b.tag AND a.value * b.value < -1",
    "SELECT count(*) FROM s a FULL JOIN s b ON a.tag = b.tag AND a.value * b.value < -1",
    "SELECT count(*) FROM s a JOIN s b ON a.value + b.value < -1",
    "SELECT count(*) FROM s a LEFT JOIN s b ON a.value + b.value < -1",
    "SELECT count(*) FROM s a RIGHT JOIN s b ON a.value + b.value < -1",
    "SELECT count(*) FROM s a FULL JOIN s b ON a.value + b.value < -1",
    "SELECT count(*) FROM s a JOIN s b ON a.value < b.value",
    "SELECT count(*) FROM s a WHERE EXISTS (SELECT 1 FROM s b WHERE b.tag = a.tag AND a.value + b.value < -1)",
    "SELECT count(*) FROM s a WHERE NOT EXISTS (SELECT 1 FROM s b WHERE b.tag = a.tag AND a.value + b.value < -1)",
    "SELECT count(*) FROM s a WHERE EXISTS (SELECT 1 FROM s b WHERE a.value + b.value < -1)",
    "SELECT sum(a.value * b.value) FROM s a CROSS JOIN s b",
    "SELECT count(*) FROM s a, s b, s c WHERE a.value + b.value + c.value < -1",
    "SELECT a.value + b.value AS v FROM s a CROSS JOIN s b ORDER BY v DESC LIMIT 10",
    "SELECT a.tag, count(*), min(a.value - b.value) FROM s a CROSS JOIN s b GROUP BY a.tag",
    "SELECT count(*) FROM s a JOIN s b ON a.tag = b.tag JOIN s c ON c.tag = b.tag",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT t.n + 1 FROM t CROSS JOIN s) SELECT count(*) FROM t",
    "SELECT sum(value) FROM generate_series(1, 1000000000000)",
    "SELECT count(v) FROM (SELECT median(value) OVER (ORDER BY timestamp) AS v FROM s)",
    "SELECT count(v) FROM (SELECT count(DISTINCT a.value) OVER (PARTITION BY a.tag ORDER BY a.value) AS v FROM s a CROSS JOIN s b)",
    "SELECT count(v) FROM (SELECT sum(a.value) OVER (PARTITION BY a.tag ORDER BY a.value ROWS BETWEEN 5 PRECEDING AND UNBOUNDED FOLLOWING) AS v FROM s a CROSS JOIN s b)",
    "SELECT a.value, b.value FROM s a CROSS JOIN s b ORDER BY a.value * b.value",
    "SELECT DISTINCT a.value * b.value FROM s a CROSS JOIN s b",
    "SELECT a.value * 60000 + b.value AS k, count(*) FROM s a CROSS JOIN s b GROUP BY k",
];

fn endless(text: &str) -> Statement {
    let one = "(SELECT * FROM samples WHERE tag = 'a/x')";
    statement(
        &text.replace("FROM s", &format!("FROM {one}")).replace("JOIN s", &format!("JOIN {one}")).replace(", s ", &format!(", {one} ")),
    )
}

/// True when every statement that may run can: none of those before is at work any more.
pub fn is_free(plant: &Plant) -> bool {
    let mut inner = None;
    let outer = plant.sql.run(&endless_rows(), &limits(), &mut |_| {
        inner.get_or_insert_with(|| run_within(plant, &statement("SELECT 2"), &limits()).is_ok());
        false
    });
    outer.is_ok() && inner == Some(true)
}

#[test]
fn a_statement_that_would_run_for_hours_stops_nobody_and_ends_when_told() {
    let plant = Arc::new(long_plant(SqlOptions { statements_max: 2, ..options() }));
    for text in ENDLESS {
        for by_deadline in [false, true] {
            let wait = if by_deadline { Duration::from_millis(400) } else { Duration::from_mins(5) };
            let limits = QueryLimits { deadline: Instant::now() + wait, ..limits() };
            let (cancel, ended) = (limits.cancel.clone(), mpsc::channel());
            let (runs, teller) = (plant.clone(), ended.0);
            let statement = endless(text);
            thread::spawn(move || teller.send(run_within(&runs, &statement, &limits).map(|batch| shown(&batch))));
            thread::sleep(Duration::from_millis(150));
            // Others are answered meanwhile.
            let since = Instant::now();
            assert_eq!(count(&plant, "SELECT 1"), 1);
            plant.sql.describe(&endless("SELECT count(*) FROM s a JOIN tags t ON t.name = a.tag"), &super::limits()).unwrap();
            assert!(since.elapsed() < OTHERS_WAIT_MAX, "{text}: others waited {:?}", since.elapsed());
            if !by_deadline {
                cancel.cancel();
            }
            let error = ended.1.recv_timeout(Duration::from_secs(5)).expect(text).expect_err(text);
            let as_told = match error {
                SqlError::Query(QueryError::Cancelled) => !by_deadline,
                SqlError::Query(QueryError::Deadline) => by_deadline,
                // What gathers rows may come to the end of its memory before.
                SqlError::Memory(_) => true,
                _ => false,
            };
            assert!(as_told, "{text}: {error:?}");
            // A statement waits a second for others to end, and no longer.
            assert!(is_free(&plant), "{text}: it is at work a second after its end");
        }
    }
}

#[test]
fn a_statement_whose_reader_goes_away_frees_its_threads() {
    let plant = long_plant(SqlOptions { statements_max: 2, ..options() });
    let mut batches = 0;
    plant
        .sql
        .run(&endless("SELECT a.value FROM s a CROSS JOIN s b"), &limits(), &mut |_| {
            batches += 1;
            batches < 3
        })
        .unwrap();
    assert!(is_free(&plant));
}

#[test]
fn a_window_that_hands_on_all_rows_at_each_row_is_refused_for_its_memory() {
    let plant = long_plant(SqlOptions { memory_bytes_max: 64 << 20, ..options() });
    for text in [
        "SELECT count(v) FROM (SELECT array_agg(value) OVER (ORDER BY timestamp) AS v FROM s)",
        "SELECT count(v) FROM (SELECT string_agg(tag, ',') OVER (ORDER BY timestamp) AS v FROM s)",
    ] {
        let error = run_within(&plant, &endless(text), &limits()).unwrap_err();
        assert!(matches!(error, SqlError::Memory(_)), "{text}: {error:?}");
    }
}

#[test]
fn a_window_that_keeps_its_rows_is_refused_for_their_memory_and_one_that_lets_go_of_them_is_not() {
    let plant = long_plant(SqlOptions { memory_bytes_max: 6 << 20, ..options() });
    // A million rows of some 20 bytes.
    let rows = "(SELECT a.value, a.tag FROM s a CROSS JOIN generate_series(1, 20))";
    for window in [
        // All rows are peers of the first one.
        "count(*) OVER (ORDER BY tag)",
        "last_value(value) OVER (PARTITION BY tag ORDER BY quality)",
        // The frame of the last row reaches to the first.
        "sum(value) OVER (ROWS BETWEEN 100000000 PRECEDING AND CURRENT ROW)",
    ] {
        let text = format!("SELECT count(v) FROM (SELECT {window} AS v FROM {})", rows.replace("a.tag", "a.tag, a.quality"));
        let error = run_within(&plant, &endless(&text), &limits()).map(|batch| shown(&batch)).unwrap_err();
        assert!(matches!(error, SqlError::Memory(_)), "{text}: {error:?}");
    }
    for window in [
        "count(*) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
        "sum(value) OVER (ROWS BETWEEN 100 PRECEDING AND CURRENT ROW)",
        "lag(value) OVER ()",
    ] {
        let text = format!("SELECT count(*) >= 1200000 AND count(v) > 0 AS ran FROM (SELECT {window} AS v FROM {rows})");
        let found = run_within(&plant, &endless(&text), &limits()).map(|batch| shown(&batch));
        assert!(found.as_ref().is_ok_and(|found| found.contains("true")), "{text}: {found:?}");
    }
}

#[test]
fn functions_that_make_long_texts_are_bounded_by_what_they_make() {
    let plant = long_plant(options());
    for (text, function) in [
        ("SELECT length(repeat('x', 1000000000))", "repeat"),
        ("SELECT length(repeat(tag, 1000000000)) FROM s", "repeat"),
        ("SELECT sum(length(repeat(tag, 100000))) FROM s", "repeat"),
        ("SELECT length(lpad('x', 1000000000))", "lpad"),
        ("SELECT max(length(rpad(tag, 20000, 'ab'))) FROM s", "rpad"),
        ("SELECT length(replace(repeat('a', 1000000), 'a', repeat('b', 1000)))", "replace"),
        ("SELECT length(replace(repeat('a', 1000000), '', repeat('b', 1000)))", "replace"),
        ("SELECT length(regexp_replace(repeat('a', 100000), 'a', repeat('b', 1000), 'g'))", "regexp_replace"),
        ("SELECT length(concat(x, x, x, x)) FROM (SELECT repeat(max(tag), 1500000) AS x FROM s)", "concat"),
        ("SELECT length(x || x || x || x) FROM (SELECT repeat(max(tag), 1500000) AS x FROM s)", "joined"),
        ("SELECT length(concat_ws(repeat(max(tag), 1500000), 'a', 'b', 'c', 'd')) FROM s", "concat_ws"),
    ] {
        let error = run_within(&plant, &endless(text), &limits()).map(|batch| shown(&batch)).expect_err(text);
        let told = error.to_string();
        assert!(matches!(error, SqlError::Invalid(_)) && told.contains(&format!("{function} would make")), "{text}: {told}");
    }
    // Constants are planned with, each as often as rules compare and copy it.
    for text in ["SELECT length(repeat('x', 1100000))", "SELECT length(repeat('x', 600000)), length(repeat('y', 600000)) FROM s"] {
        let error = run_within(&plant, &endless(text), &limits()).map(|batch| shown(&batch)).expect_err(text).to_string();
        assert!(error.contains("functions make of constants is longer than 1 MiB"), "{text}: {error}");
    }
    // As before where they fit, also where a batch has to be made in parts.
    for (text, expected) in [
        ("SELECT repeat('ab', 3) || '-' || lpad('7', 3, '0') || rpad('x', 3) || '|'", "ababab-007x  |"),
        ("SELECT replace('aXbX', 'X', '--') || regexp_replace('a1b22', '[0-9]+', '#', 'g')", "a--b--a#b#"),
        ("SELECT concat('a', NULL, 'b') || concat_ws(',', 'c', NULL, 'd')", "abc,d"),
        ("SELECT coalesce('a' || NULL, 'null')", "null"),
        ("SELECT min(length(r)) || ':' || max(length(r)) || ':' || count(*) FROM (SELECT repeat('é', 4000) AS r FROM s)", "4000:4000:60"),
        ("SELECT count(DISTINCT regexp_replace(repeat('a', 2000), 'a+', repeat('b', 40) || value, 'g')) || '' FROM s", "600"),
    ] {
        let found = run_within(&plant, &endless(text), &limits()).map(|batch| shown(&batch));
        assert!(found.as_ref().is_ok_and(|found| found.contains(expected)), "{text}: {found:?}");
    }
}
