//! Statements of SQL, planned and not run, over a historian in memory.

use std::{
    str,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use historian_model::{Timestamp, ValueType};
use historian_query::{QueryEngine, QueryLimits};
use historian_sql::{SqlEngine, SqlError, SqlOptions, Statement};
use historian_test_support::engine::{TestHistorian, tag};
use tokio_util::sync::CancellationToken;

use super::Target;

pub const STATEMENT: Target = Target {
    name: "sql",
    about: "statements of SQL: read, put into our words, planned",
    inputs: 400,
    run: |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return false };
        let plant = PLANT.get_or_init(Plant::new);
        let statement = Statement { text: text.to_owned(), now: NOW, parameters: Vec::new(), zone: "Europe/Berlin".into() };
        // Longer than a statement may take here: who does not end in time is a finding.
        let limits = QueryLimits::new(Instant::now() + Duration::from_mins(1), 1_000_000, CancellationToken::new());
        let described = plant.sql.describe(&statement, &limits);
        assert!(!matches!(described, Err(SqlError::Internal(_))), "{described:?}");
        described.is_ok()
    },
    seeds: || SEEDS.iter().map(|text| text.as_bytes().to_vec()).collect(),
};

const NOW: Timestamp = Timestamp(1_774_785_600_000_000_000);

static PLANT: OnceLock<Plant> = OnceLock::new();

struct Plant {
    sql: SqlEngine,
    /// The engine reads from it.
    _historian: TestHistorian,
}

impl Plant {
    fn new() -> Plant {
        let historian = TestHistorian::in_memory().at(NOW).open();
        historian.tags([
            tag("a/x", ValueType::F64),
            tag("a/y", ValueType::I64),
            tag("b/mode", ValueType::State),
            tag("b/note", ValueType::String),
            tag("c/flag", ValueType::Bool),
        ]);
        let query = QueryEngine::new(historian.ingest.reader());
        let options = SqlOptions { threads: 1, ..SqlOptions::default() };
        Plant { sql: SqlEngine::new(query, Arc::clone(&historian.catalog), options), _historian: historian }
    }
}

const SEEDS: &[&str] = &[
    "SELECT 1",
    "SELECT tag, timestamp, value FROM samples WHERE tag LIKE 'a/%' AND timestamp >= '2026-03-29' ORDER BY timestamp LIMIT 10",
    "SELECT time_bucket('1 hour', timestamp) AS hour, avg(value), count(*) FROM samples WHERE tag = 'a/x' GROUP BY hour HAVING count(*) > 1",
    "WITH t AS (SELECT tag, max(value) AS m FROM samples GROUP BY tag) SELECT * FROM t JOIN tags ON t.tag = tags.name WHERE m IS NOT NULL",
    "SELECT tag, value, lag(value) OVER (PARTITION BY tag ORDER BY timestamp) FROM samples WHERE timestamp > now() - INTERVAL '1 day'",
    "SELECT CASE WHEN value > 1.5e3 THEN 'high' ELSE upper(tag) END, CAST(value AS BIGINT) FROM samples WHERE tag IN ('a/x', 'b/note')",
    "SELECT * FROM current UNION ALL SELECT * FROM current",
    "SELECT date_trunc('day', timestamp), regexp_replace(tag, '^a/(.)', '\\1'), quality & 3 FROM samples WHERE value BETWEEN -1 AND $1",
    "SELECT DISTINCT ON (tag) tag, timestamp FROM samples WHERE NOT EXISTS (SELECT 1 FROM gaps WHERE gaps.tag = samples.tag)",
    "SELECT TOP 5 [tag], DATEADD(hour, -1, GETDATE()) FROM samples; -- comment",
    "SELECT table_name, column_name FROM information_schema.columns",
];
