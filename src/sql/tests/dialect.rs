//! What tools write: names in other cases, ranges of time that are read instead of all, and refusals that say what to write.

use super::*;

/// The range that a scan of samples reads, as `EXPLAIN` tells it.
fn range_read(plant: &Plant, filter: &str) -> String {
    let plan = plan(plant, &format!("SELECT * FROM samples WHERE {filter}"));
    let at = plan.find("SamplesExec").unwrap_or_else(|| panic!("{filter}: {plan}"));
    plan[at..].split('\n').next().unwrap_or_default().to_owned()
}

#[test]
fn conditions_over_functions_of_the_time_read_a_range_and_not_everything() {
    let plant = plant(options());
    let all = range_read(&plant, "value > 0");
    for filter in [
        "CAST(timestamp AS DATE) = DATE '2026-03-29'",
        "CAST(timestamp AS DATE) IN ('2026-03-29', '2026-03-31')",
        "date_trunc('day', timestamp) = '2026-03-29'",
        "(timestamp AT TIME ZONE 'Europe/Berlin')::date = '2026-03-29'",
        "(timestamp AT TIME ZONE 'Europe/Berlin')::timestamp::date BETWEEN '2026-03-28' AND '2026-03-29'",
        "time_bucket('day', timestamp, 'Europe/Berlin') = '2026-03-28T23:00:00Z'",
        "date_trunc('month', timestamp AT TIME ZONE 'Europe/Berlin') = '2026-02-28T23:00:00Z'",
        "YEAR(timestamp) = 2026 AND MONTH(timestamp) = 3",
        "TRUNC(timestamp) >= TO_DATE('2026-03-29', 'YYYY-MM-DD')",
        "timestamp >= DATEADD(day, -1, GETDATE())",
        "timestamp > SYSDATE - 1",
    ] {
        let range = range_read(&plant, filter);
        assert_ne!(range, all, "{filter}");
        assert!(count(&plant, &format!("SELECT count(*) FROM samples WHERE {filter}")) > 0, "{filter}");
    }
    // What nothing is found for is not looked for.
    assert_eq!(count(&plant, "SELECT count(*) FROM samples WHERE date_trunc('day', timestamp) = TIMESTAMP '2026-03-29 01:00:00'"), 0);
}

#[test]
fn days_of_a_filter_are_grouped_by_states() {
    let plant = plant(options());
    let text = "SELECT tag, max(value) FROM samples WHERE CAST(timestamp AS DATE) = '2026-03-29' GROUP BY tag";
    assert!(plan(&plant, text).contains("RollupExec"), "{}", plan(&plant, text));
}

#[test]
fn times_beyond_all_samples_are_no_bound_as_parameters_too() {
    let plant = plant(options());
    let text = "SELECT count(*) FROM samples WHERE timestamp >= $1 AND timestamp < $2";
    let far = |year_seconds: i64, unit: i64| year_seconds * unit;
    // 0001-01-01 and 9999-12-31.
    let (first, last) = (-62_135_596_800, 253_402_214_400);
    let zone = || Some("UTC".into());
    for parameters in [
        vec![
            ScalarValue::TimestampMillisecond(Some(far(first, 1_000)), zone()),
            ScalarValue::TimestampMillisecond(Some(far(last, 1_000)), zone()),
        ],
        vec![
            ScalarValue::TimestampMicrosecond(Some(far(first, 1_000_000)), None),
            ScalarValue::TimestampMicrosecond(Some(far(last, 1_000_000)), None),
        ],
        vec![ScalarValue::TimestampSecond(Some(first), zone()), ScalarValue::TimestampSecond(Some(last), zone())],
        vec![ScalarValue::Date32(Some(-719_162)), ScalarValue::Date32(Some(2_932_896))],
        vec![ScalarValue::Utf8(Some("0001-01-01".into())), ScalarValue::Utf8(Some("9999-12-31".into()))],
    ] {
        let asked = Statement { parameters: parameters.clone(), ..statement(text) };
        let answer = run_within(&plant, &asked, &limits()).unwrap_or_else(|error| panic!("{parameters:?}: {error}"));
        assert_eq!(answer.column(0).as_primitive::<Int64Type>().value(0), 1000, "{parameters:?}");
    }
    // Where it would be shown, it is an error and no other time.
    for text in ["SELECT TIMESTAMP '9999-12-31'", "SELECT CAST(DATE '0001-01-01' AS TIMESTAMP)"] {
        let error = run(&plant, text).unwrap_err();
        assert!(matches!(error, SqlError::Invalid(_)), "{text}: {error:?}");
    }
}

#[test]
fn quoted_names_are_found_in_any_case_and_columns_are_called_as_they_were_asked_for() {
    let plant = plant(options());
    let names = |text: &str| -> Vec<String> { rows(&plant, text).schema().fields().iter().map(|field| field.name().clone()).collect() };
    assert_eq!(names("SELECT \"TAG\", \"Value\", quality FROM \"HISTORIAN\".\"PUBLIC\".\"SAMPLES\" LIMIT 1"), ["TAG", "Value", "quality"]);
    assert_eq!(names("SELECT [T].* FROM (SELECT [Tag] AS [Name], 1 AS [one] FROM [Samples]) [T]"), ["Name", "one"]);
    // Names that a statement gives are its own.
    assert_eq!(names("SELECT tag, upper(tag) AS \"TAG\" FROM samples LIMIT 1"), ["tag", "TAG"]);
    assert_eq!(
        names("SELECT YEAR(timestamp), {fn UCASE(tag)}, avg(value) FROM samples GROUP BY 1, 2")[..2],
        ["YEAR(timestamp)", "UCASE(tag)"]
    );
    let error = run(&plant, "SELECT \"NOPE\" FROM samples").unwrap_err();
    assert!(error.to_string().contains("no column NOPE"), "{error}");
}

#[test]
fn what_is_not_taken_is_refused_in_words_that_say_what_to_write() {
    let plant = plant(options());
    for (text, fragment) in [
        ("CREATE TEMPORARY TABLE x (a INT)", "WITH name AS"),
        ("SELECT * INTO x FROM samples", "WITH name AS"),
        ("SET TIME ZONE 'UTC'", "AT TIME ZONE"),
        ("UPDATE samples SET value = 1", "WriteService"),
        ("SHOW search_path", "SHOW TABLES"),
        ("EXEC sp_help", "FROM f(…)"),
        ("SELECT to_char(timestamp, 'YYYY QQQ') FROM samples", "strftime"),
        ("SELECT * FROM samples WHERE tag LIKE 'a' ESCAPE '!!'", "one letter"),
        ("SELECT TOP 3 * FROM samples LIMIT 4", "twice"),
        ("SELECT DATEADD(fortnight, 1, timestamp) FROM samples", "DATEADD(unit, n, timestamp)"),
    ] {
        let error = run(&plant, text).unwrap_err();
        assert!(error.to_string().contains(fragment), "{text}: {error}");
    }
    assert!(rows(&plant, "SHOW TABLES").num_rows() >= 3);
}

/// The words of `DataFusion` mean what they did.
#[test]
fn its_own_functions_are_as_before() {
    let plant = plant(options());
    for (text, expected) in [
        ("to_char(TIMESTAMP '2026-03-29 12:00:00', '%d.%m.%Y')", "29.03.2026"),
        ("date_part('dow', TIMESTAMP '2026-03-29 12:00:00')", "0"),
        ("date_part('WEEK', TIMESTAMP '2026-03-29 12:00:00')", "13"),
        ("date_trunc('week', TIMESTAMP '2026-03-29 12:00:00')", "2026-03-23T00:00:00"),
        ("trunc(2.789, 1)", "2.7"),
        ("trunc(-3)", "-3.0"),
        ("left('abc', 2)", "ab"),
        ("CAST('abc' AS VARCHAR)", "abc"),
        ("'a' LIKE 'A' OR 'a_b' LIKE 'a\\_b'", "true"),
        ("to_timestamp('2026-03-29 12:00', '%Y-%m-%d %H:%M')", "2026-03-29T12:00:00"),
    ] {
        let shown =
            run(&plant, &format!("SELECT arrow_cast({text}, 'Utf8')")).map(|batch| batch.column(0).as_string::<i32>().value(0).to_owned());
        assert_eq!(shown.unwrap(), expected, "{text}");
    }
}

#[test]
fn is_distinct_from_binds_closer_than_and_or_and_not() {
    let plant = plant(options());
    for (condition, expected) in [
        ("1 IS NOT DISTINCT FROM 1.0 AND 2 <> 3", true),
        ("1 IS DISTINCT FROM 1 OR 2 < 3", true),
        ("2 > 3 AND 1 IS NOT DISTINCT FROM 1 OR 2 < 3", true),
        ("NOT 1 IS DISTINCT FROM 2 OR 2 < 3", true),
        ("1 IS DISTINCT FROM 2 AND 2 > 3", false),
        ("NULL IS NOT DISTINCT FROM NULL AND 2 < 3", true),
        ("1 + 1 IS DISTINCT FROM 3 - 1", false),
        ("true IS DISTINCT FROM 2 = 3", true),
        ("CASE WHEN 1 IS DISTINCT FROM 2 AND true THEN true ELSE false END", true),
        ("4 IS NOT DISTINCT FROM (SELECT max(x) FROM (VALUES (1), (4)) v(x) WHERE x IS DISTINCT FROM 2 AND x > 1) AND true", true),
    ] {
        let batch = rows(&plant, &format!("SELECT CASE WHEN {condition} THEN 1 ELSE 0 END"));
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), i64::from(expected), "{condition}");
    }
    let batch = rows(&plant, "SELECT 1 IS NOT DISTINCT FROM 1.0 same, 2 IS DISTINCT FROM 2");
    assert_eq!(batch.schema().field(0).name(), "same");
}
