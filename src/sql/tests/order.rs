//! One order of numbers: that of `DuckDB`, in which NaN is above all numbers, whatever its bits, and both zeros are one.

use super::*;

/// A plant whose tag `a/x` holds these a second apart, from the heads or from chunks and rollups.
fn with(values: &[f64], compacted: bool) -> Plant {
    let plant = plant(options());
    let mut run = Samples::new(ValueType::F64);
    for (index, value) in (0_i64..).zip(values) {
        run.push(NOW.0 + (1 + index) * SECOND, Some(&Value::F64(*value)), 0).unwrap();
    }
    plant.historian.write(vec![(plant.tags[0].id, run)]);
    if compacted {
        plant.historian.ingest.compact().unwrap();
    }
    plant
}

fn floats(batch: &RecordBatch) -> Vec<f64> {
    (0..batch.num_columns()).flat_map(|column| batch.column(column).as_primitive::<Float64Type>().values().to_vec()).collect()
}

fn same(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| a.partial_cmp(b) == Some(std::cmp::Ordering::Equal) || (a.is_nan() && b.is_nan()))
}

#[test]
fn the_smallest_and_the_largest_are_the_same_however_they_are_asked_for() {
    let negative_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63);
    let mut ramp: Vec<f64> = (0..10_000).map(f64::from).collect();
    ramp[5_000] = f64::NAN;
    let signed = ramp.iter().map(|value| if value.is_nan() { negative_nan } else { *value }).collect();
    let infinity = f64::INFINITY;
    for (values, low, high) in [
        (ramp, 0.0, f64::NAN),
        (signed, 0.0, f64::NAN),
        (vec![infinity; 3], infinity, infinity),
        (vec![-infinity; 3], -infinity, -infinity),
        (vec![negative_nan, f64::NAN], f64::NAN, f64::NAN),
        (vec![f64::NAN, infinity, 1.0, -infinity], -infinity, f64::NAN),
        (vec![negative_nan, infinity, 1.0], 1.0, f64::NAN),
        (vec![-0.0, 0.0], 0.0, 0.0),
        (vec![f64::MAX, infinity], f64::MAX, infinity),
        (vec![7.0], 7.0, 7.0),
    ] {
        for compacted in [false, true] {
            let plant = with(&values, compacted);
            let of = "FROM samples WHERE tag = 'a/x' AND timestamp > '2026-03-29T12:00:00Z'";
            for text in [
                format!("SELECT min(value), max(value) {of}"),
                format!("SELECT min(value), max(value) {of} GROUP BY tag"),
                format!(
                    "SELECT min(l), max(h) FROM (SELECT min(value) AS l, max(value) AS h {of} GROUP BY time_bucket('1 second', timestamp))"
                ),
                format!(
                    "SELECT min(l), max(h) FROM (SELECT min(value) AS l, max(value) AS h {of} GROUP BY time_bucket('1 hour', timestamp), tag)"
                ),
                format!("SELECT min(value), max(value) {of} AND value IS NOT NULL GROUP BY quality, tag"),
                format!("SELECT min(value + 0), max(value + 0) {of} GROUP BY tag"),
                format!(
                    "SELECT min(value::real)::double, max(value::real)::double {of} AND abs(value) < 1e30 OR isnan(value) GROUP BY tag"
                ),
                "SELECT min(value), max(value) FROM range('a/x', '2026-03-29T12:00:01Z', '2026-04-29T12:00:00Z')".into(),
                format!("SELECT DISTINCT min(value) OVER (PARTITION BY tag), max(value) OVER (PARTITION BY tag) {of}"),
                format!(
                    "SELECT l, h FROM (SELECT min(value) OVER w AS l, max(value) OVER w AS h, row_number() OVER (ORDER BY timestamp) AS n {of} \
                     WINDOW w AS (ORDER BY timestamp ROWS BETWEEN 10000 PRECEDING AND CURRENT ROW)) ORDER BY n DESC LIMIT 1"
                ),
            ] {
                if text.contains("::real") && !(low.is_finite() && (high.is_nan() || high < 1e30)) {
                    continue;
                }
                if text.contains("::real") && values.iter().any(|value| value.is_infinite()) {
                    continue;
                }
                let found = floats(&rows(&plant, &text));
                assert!(same(&found, &[low, high]), "{text}\nfound {found:?}, expected {low} and {high}");
            }
            let sorted = floats(&rows(&plant, &format!("SELECT value {of} ORDER BY value")));
            assert!(same(&[sorted[0], sorted[sorted.len() - 1]], &[low, high]), "{sorted:?}");
        }
    }
}

#[test]
fn sums_do_not_wrap_around() {
    let plant = plant(options());
    let max = i64::MAX;
    for text in [
        format!("SELECT sum(v) FROM (VALUES ({max}), (1)) t(v)"),
        format!("SELECT g, sum(v) FROM (VALUES (1, {max}), (1, 1)) t(g, v) GROUP BY g"),
        "SELECT sum(v) FROM (SELECT arrow_cast(v, 'UInt64') AS v FROM (VALUES (18446744073709551615), (1)) t(v))".to_owned(),
        format!("SELECT sum(DISTINCT v) FROM (VALUES ({max}), (1), (1)) t(v)"),
        format!("SELECT sum(v) OVER (ORDER BY v) FROM (VALUES ({max}), (1)) t(v)"),
    ] {
        let error = run(&plant, &text).unwrap_err();
        assert!(matches!(&error, SqlError::Invalid(text) if text.contains("sum does not fit")), "{text}: {error:?}");
    }
    // On the way a sum may be larger than at its end.
    for text in [
        format!("SELECT sum(v) FROM (VALUES ({max}), (1), (-1)) t(v)"),
        format!("SELECT max(s) FROM (SELECT g, sum(v) AS s FROM (VALUES (1, {max}), (1, 5), (1, -5)) t(g, v) GROUP BY g)"),
        format!("SELECT max(s) FROM (SELECT sum(v) OVER (ORDER BY v) AS s FROM (VALUES ({max}), (-1), (1)) t(v))"),
    ] {
        assert_eq!(count(&plant, &text), max, "{text}");
    }
    assert_eq!(count(&plant, "SELECT sum(v) FROM (VALUES (1), (NULL), (2)) t(v)"), 3);
    assert!(rows(&plant, "SELECT sum(v) FROM (VALUES (1)) t(v) WHERE v > 1").column(0).is_null(0));
    assert_eq!(
        count(
            &plant,
            "SELECT max(s) FROM (SELECT sum(v) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM (VALUES (1, 4), (2, 5), (3, 1)) t(n, v))"
        ),
        9
    );
}

#[test]
fn a_nan_that_comes_of_arithmetic_is_above_all_numbers_as_well() {
    let infinity = f64::INFINITY;
    let plant = with(&[infinity, 1.0, -infinity, f64::NAN, -1.0], false);
    let of = "FROM samples WHERE tag = 'a/x' AND timestamp > '2026-03-29T12:00:00Z'";
    for (expression, order) in [
        ("value - value", vec![0.0, 0.0, f64::NAN, f64::NAN, f64::NAN]),
        ("-value", vec![-infinity, -1.0, 1.0, infinity, f64::NAN]),
        ("value * 0 + 1", vec![1.0, 1.0, f64::NAN, f64::NAN, f64::NAN]),
    ] {
        let found = floats(&rows(&plant, &format!("SELECT {expression} AS v {of} ORDER BY v")));
        assert!(same(&found, &order), "{expression}: {found:?}");
    }
    assert_eq!(count(&plant, &format!("SELECT count(*) {of} AND value - value > 1")), 3);
    assert_eq!(count(&plant, &format!("SELECT count(DISTINCT value - value) {of}")), 2);
    let sums = floats(&rows(&plant, &format!("SELECT s FROM (SELECT sum(value) AS s {of} UNION ALL SELECT 1.0) ORDER BY s")));
    assert!(same(&sums, &[1.0, f64::NAN]), "{sums:?}");
}

#[test]
fn integers_that_do_not_fit_are_an_error() {
    let plant = plant(options());
    for text in [
        "SELECT 9223372036854775807 + 1",
        "SELECT v + 1 FROM (VALUES (9223372036854775807), (1)) t(v)",
        "SELECT v * 3 FROM (VALUES (9223372036854775807), (1)) t(v)",
        "SELECT -2 - v FROM (VALUES (9223372036854775807), (1)) t(v)",
        "SELECT max(v * v) FROM (VALUES (9223372036854775807), (1)) t(v)",
    ] {
        let error = run(&plant, text).unwrap_err();
        assert!(matches!(&error, SqlError::Invalid(text) if text.contains("not fit") || text.contains("verflow")), "{text}: {error:?}");
    }
    assert_eq!(count(&plant, "SELECT count(*) + 1 - 2 * 3 FROM samples"), 995);
    assert_eq!(count(&plant, "SELECT CASE WHEN v > 5 THEN 0 ELSE v + 1 END FROM (VALUES (9223372036854775807)) t(v)"), 0);
}
