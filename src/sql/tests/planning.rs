//! Planning takes time by what a statement is, and ends with it.

use super::*;

#[test]
fn more_tables_than_may_be_are_refused_before_they_are_planned() {
    let plant = plant(options());
    let from = |tables: usize| format!("SELECT count(*) FROM {}", (0..tables).map(|n| format!("gaps t{n}")).collect::<Vec<_>>().join(", "));
    // As many as there may be scans.
    assert_eq!(count(&plant, &from(SCANS_MAX)), 1);
    let doubling: Vec<String> = (1..60).map(|n| format!("c{n} AS (SELECT a.number FROM c{0} a, c{0} b)", n - 1)).collect();
    let united = format!("SELECT count(*) FROM ({})", vec!["SELECT number FROM gaps"; 129].join(" UNION ALL "));
    for (text, fragment) in [
        (from(129), "129 tables and subqueries, at most 128"),
        (from(3_000), "3000 tables and subqueries, at most 128"),
        (united, "130 tables and subqueries, at most 128"),
        (
            format!("WITH c0 AS (SELECT number FROM gaps), {} SELECT count(*) FROM c59", doubling.join(", ")),
            "tables and subqueries, at most 128",
        ),
        (format!("EXPLAIN {}", from(129)), "129 tables and subqueries, at most 128"),
    ] {
        let refused = run(&plant, &text).unwrap_err();
        assert!(matches!(&refused, SqlError::Invalid(why) if why.contains(fragment)), "{text:.80}: {refused:?}");
        assert!(plant.sql.describe(&statement(&text), &limits()).is_err());
    }
}

#[test]
fn expressions_that_grow_when_subqueries_are_put_together_are_refused() {
    let plant = plant(options());
    let chain = |steps: usize, of: &str| {
        let named: Vec<String> = (1..=steps).map(|n| format!("c{n} AS (SELECT {of} AS v FROM c{})", n - 1)).collect();
        format!(
            "WITH c0 AS (SELECT value AS v FROM samples WHERE tag = 'a/x'), {} SELECT count(*) FROM c{steps} WHERE v >= 0",
            named.join(", ")
        )
    };
    // As many steps as one likes, where nothing grows.
    assert_eq!(count(&plant, &chain(100, "v + 1")), 200);
    assert_eq!(count(&plant, &chain(8, "v + v")), 200);
    for text in [chain(60, "v + v"), chain(20, "v * v + v"), chain(3, &vec!["v"; 200].join(" + "))] {
        let refused = run(&plant, &text).unwrap_err();
        assert!(matches!(&refused, SqlError::Invalid(why) if why.contains("too large")), "{text:.80}: {refused:?}");
    }
}

#[test]
fn planning_ends_at_its_deadline_and_frees_its_threads() {
    let plant = plant(SqlOptions { statements_max: 2, ..options() });
    let join = |n: usize| format!(" JOIN samples t{n} ON t{n}.tag = t{0}.tag AND t{n}.value + t{0}.value > {n}", n - 1);
    let joins = (1..120).map(join).collect::<Vec<_>>().concat();
    let text = format!("SELECT count(*) FROM samples t0{joins} WHERE t119.value + t0.value > 1");
    for wait in [0, 20, 100, 300] {
        let soon = QueryLimits { deadline: Instant::now() + Duration::from_millis(wait), ..limits() };
        let error = run_within(&plant, &statement(&text), &soon).unwrap_err();
        assert!(matches!(error, SqlError::Query(QueryError::Deadline)), "{wait}: {error:?}");
        assert!(runaway::is_free(&plant), "it is planned on a second after its deadline of {wait} ms");
    }
}

#[test]
fn operators_one_after_the_other_are_worked_off_in_their_order() {
    let plant = plant(options());
    let one = |text: &str| {
        shown(&rows(&plant, &format!("SELECT {text} AS x FROM generate_series(7, 7)")))
            .lines()
            .nth(3)
            .unwrap()
            .trim_matches(['|', ' '])
            .to_owned()
    };
    for (text, expected) in [
        ("value + 1 - 2 + value", "13"),
        ("value * 3 / 2 * 2", "20"),
        ("value / 2 * 2 % 4 + 1", "3"),
        ("value % 4 * 10 - value / 3 / 2 * 5", "25"),
        ("1 + 2 + value + 3 * value - 4", "27"),
        ("value - 1 - (value - 2 - 3)", "4"),
        ("value + 0.5 + value - 1", "13.5"),
        ("'a' || value || 'b' || 'c' || value", "a7bc7"),
        ("coalesce('a' || NULL || 'b' || value, 'none')", "none"),
        ("(9223372036854775807 - value) + value - 1", "9223372036854775806"),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
    for text in [
        "9223372036854775807 + value - value",
        "value * 9223372036854775807 / 2",
        "1 + value - 10 + 9223372036854775807 + 9223372036854775807",
    ] {
        let error = run(&plant, &format!("SELECT {text} FROM generate_series(7, 7)")).unwrap_err();
        assert!(error.to_string().contains("does not fit"), "{text}: {error}");
    }
    let error = run(&plant, "SELECT value * 2 / (value - 7) + 1 FROM generate_series(7, 7)").unwrap_err();
    assert!(matches!(&error, SqlError::Invalid(why) if why.contains("Divide by zero")), "{error:?}");
    // Two that differ in their operators only are two.
    let both = rows(&plant, "SELECT sum(value + 1 + 2), sum(value + 1 - 2) FROM generate_series(7, 7)");
    assert_eq!((0..2).map(|column| both.column(column).as_primitive::<Int64Type>().value(0)).collect::<Vec<_>>(), [10, 6]);
}
