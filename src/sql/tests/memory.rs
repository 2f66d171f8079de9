//! What a statement takes at most, as the operating system counts it: each runs in a process of its own, and is refused, or answered within its
//! memory.

use std::{env, process::Command};

use historian_test_support::process::{forget_rss_peak, rss_kb, rss_peak_kb};

use super::*;

/// Which of the statements a child runs.
const CHILD: &str = "HISTORIAN_SQL_STATEMENT";
/// Memory of a statement.
const BYTES_MAX: usize = 256 << 20;
/// What a statement may take beside what is counted: a batch at hand of each thread, the tables of an aggregate that grow by doubling, which is
/// counted when it is done, and what the allocator keeps.
const SLACK_BYTES: usize = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Memory,
    Invalid,
    Answered,
}

use Outcome::{Answered, Invalid, Memory};

/// Statements of a few words that would take all memory there is. `s` are 60,000 samples of one tag, `n` are 50 million numbers.
fn statements() -> Vec<(Outcome, String)> {
    let repeated: Vec<String> = (0..300).map(|n| format!("repeat('x', 600000{n} + 10) AS c{n}")).collect();
    let mut all: Vec<(Outcome, String)> = [
        // Windows.
        (Memory, "SELECT count(v) FROM (SELECT avg(value) OVER () AS v FROM n)"),
        (Memory, "SELECT count(v) FROM (SELECT avg(value) OVER (PARTITION BY value) AS v FROM n)"),
        (Memory, "SELECT count(v) FROM (SELECT sum(value) OVER (ORDER BY value ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS v FROM n)"),
        (Memory, "SELECT count(v) FROM (SELECT count(*) OVER (PARTITION BY value % 10) AS v FROM n)"),
        // Texts.
        (Memory, "SELECT string_agg(tag, repeat('x', 100000)) FROM s"),
        (Invalid, "SELECT levenshtein(repeat('x', 1000000), repeat('y', 1000000))"),
        (Invalid, "SELECT regexp_match(repeat('x', 10000000), '((((((((x*))))))))')"),
        // Sizes that somebody names.
        (Answered, "SELECT count(*) FROM (SELECT value, max(value) AS m FROM s GROUP BY value ORDER BY m DESC LIMIT 1000000000000)"),
        (Invalid, "SELECT approx_percentile_cont(value, 0.5, 1000000000000) FROM s"),
        (Invalid, "SELECT tag, approx_percentile_cont(value, 0.5, 1000000000000) FROM s GROUP BY tag"),
        (Invalid, "SELECT arrow_cast(NULL, 'FixedSizeBinary(2000000000)')"),
        (Invalid, "SELECT arrow_cast(NULL, 'FixedSizeList(2000000000 x Int64)')"),
        (Answered, "SELECT count(*) FROM (SELECT value FROM s ORDER BY value LIMIT 1000000000000)"),
        (Answered, "SELECT count(v) FROM (SELECT lag(value, 1000000000000) OVER (ORDER BY timestamp) AS v FROM s)"),
        (Answered, "SELECT count(v) FROM (SELECT ntile(1000000000000) OVER (ORDER BY timestamp) AS v FROM s)"),
        (Answered, "SELECT nth_value(value, 1000000000000 ORDER BY timestamp) FROM s"),
        (Invalid, "SELECT unnest(array_agg(value)), max(repeat('x', 1000000)) FROM s"),
        // What DataFusion counts itself.
        (Memory, "SELECT median(value) FROM n"),
        (Memory, "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FROM n"),
        (Memory, "SELECT count(*) FROM n a JOIN n b ON a.value + b.value < -1"),
    ]
    .map(|(outcome, text)| (outcome, text.to_owned()))
    .into();
    all.push((Invalid, format!("SELECT {}", repeated.join(", "))));
    all
}

fn spelled(text: &str) -> String {
    let samples = "(SELECT * FROM samples WHERE tag = 'a/x')";
    [("s", samples), ("n", "generate_series(1, 50000000)")].into_iter().fold(text.to_owned(), |text, (name, table)| {
        ["FROM", "JOIN"].into_iter().fold(text, |text, word| {
            let whole = |end: &str, text: String| text.replace(&format!("{word} {name}{end}"), &format!("{word} {table}{end}"));
            let text = [" ", ")"].into_iter().fold(text, |text, end| whole(end, text));
            match text.strip_suffix(&format!("{word} {name}")) {
                Some(start) => format!("{start}{word} {table}"),
                None => text,
            }
        })
    })
}

/// Runs one statement, and says what became of it and how much memory the process had at most meanwhile.
fn child(index: usize) -> String {
    let plant = runaway::long_plant(SqlOptions { memory_bytes_max: BYTES_MAX, memory_total_bytes_max: 2 * BYTES_MAX, ..options() });
    run(&plant, "SELECT count(*) FROM samples").unwrap();
    let own = std::process::id();
    forget_rss_peak().unwrap();
    let before = rss_kb(own);
    let soon = QueryLimits { deadline: Instant::now() + Duration::from_secs(100), ..limits() };
    let since = Instant::now();
    let mut rows = 0;
    let outcome = plant.sql.run(&statement(&spelled(&statements()[index].1)), &soon, &mut |reply| {
        if let StatementReply::Batch(batch) = reply {
            rows += batch.num_rows();
        }
        true
    });
    let told = match &outcome {
        Ok(()) => format!("Answered {rows} rows"),
        Err(SqlError::Memory(why)) => format!("Memory {why}"),
        Err(SqlError::Invalid(why)) => format!("Invalid {why}"),
        Err(other) => format!("{other:?}"),
    };
    let told: String = told.chars().take(200).collect();
    format!("{} {:?} {told}", rss_peak_kb(own).saturating_sub(before), since.elapsed())
}

#[test]
fn a_statement_takes_no_more_memory_than_it_may() {
    if let Ok(index) = env::var(CHILD) {
        return println!("CHILD {}", child(index.parse().unwrap()));
    }
    let mut failed = Vec::new();
    for (index, (expected, text)) in statements().into_iter().enumerate() {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["tests::memory::a_statement_takes_no_more_memory_than_it_may", "--exact", "--nocapture"])
            .env(CHILD, index.to_string());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let line = told.lines().find_map(|line| line.split_once("CHILD ").map(|(_, told)| told)).unwrap_or("it died").to_owned();
        let (taken, outcome) = line.split_once(' ').unwrap_or(("", ""));
        let is_kept = taken.parse::<usize>().is_ok_and(|taken| taken << 10 <= BYTES_MAX + SLACK_BYTES);
        let is_expected = outcome.split_once(' ').is_some_and(|(_, told)| told.starts_with(&format!("{expected:?} ")));
        println!("{text:.90}: {line}");
        if !is_kept || !is_expected {
            failed.push(format!("{text:.150}: {line}, and should be {expected:?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
