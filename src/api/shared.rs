//! What the services of the gRPC port share: all they serve from, the permits of what runs, and what Flight SQL keeps.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    flight::sql::Sql,
    limits::ApiLimits,
    places::{Places, of_one_client},
    services::Services,
};
use historian_query::Turns;

/// How long a query waits for others to end.
const QUERY_PATIENCE: Duration = Duration::from_secs(1);
/// Calls of one answer at the same time, where there is memory for so many.
const CALLS_MAX: usize = 64;
/// How long one waits for others to end, which they do soon.
const CALL_PATIENCE: Duration = Duration::from_secs(30);
/// Threads of queries that work at the same time: one reads from the disk while another computes.
const TURNS_PER_CORE: usize = 2;

fn places_of_one_client(places: usize) -> usize {
    of_one_client(places as u64) as usize
}

/// State shared by all services of the gRPC port.
pub struct Api {
    pub services: Services,
    /// Of queries that stream their answers.
    pub(super) queries: Arc<Places>,
    /// Of calls of one answer, and of the first part of queries: what a request means.
    pub(super) calls: Arc<Places>,
    /// Turns of the processors.
    pub(super) turns: Turns,
    /// Of SQL statements among the queries.
    pub(super) statements: Arc<Places>,
    pub(super) subscriptions: Arc<Places>,
    /// The engine of SQL and its prepared statements.
    pub(super) sql: Sql,
    /// When the compaction began that ended last, and how many chunks it made.
    pub(super) compacted: tokio::sync::Mutex<Option<(Instant, u64)>>,
    /// Cancelled when shutdown begins: write streams acknowledge what they took and end.
    pub(super) draining: CancellationToken,
    /// Cancelled when the time is over that open requests had: what works for them ends.
    pub(super) cut: CancellationToken,
}

impl Api {
    pub fn new(services: Services, draining: CancellationToken) -> Arc<Api> {
        let limits = &services.limits;
        let answers_max = services.memory.answers_max();
        let calls_max = (answers_max / 3).clamp(1, CALLS_MAX);
        let queries_max = limits.queries_max.min(answers_max.saturating_sub(calls_max)).max(1);
        let per_client_max = match limits.queries_per_client_max {
            0 => places_of_one_client(queries_max),
            configured => configured,
        };
        let queries = Places::new("queries", queries_max, per_client_max, QUERY_PATIENCE);
        let calls = Places::new("calls", calls_max, places_of_one_client(calls_max), CALL_PATIENCE);
        // How many there are in all is the engine's to say.
        let statements = Places::new("SQL statements", usize::MAX, places_of_one_client(limits.sql_statements_max), QUERY_PATIENCE);
        let subscriptions =
            Places::new("subscriptions", limits.subscriptions_max, places_of_one_client(limits.subscriptions_max), Duration::ZERO);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = Turns::new(TURNS_PER_CORE * cores, cores);
        let sql = Sql::new(&services);
        Arc::new(Api {
            services,
            queries,
            calls,
            statements,
            subscriptions,
            turns,
            sql,
            compacted: tokio::sync::Mutex::default(),
            draining,
            cut: CancellationToken::new(),
        })
    }

    pub(super) fn limits(&self) -> &ApiLimits {
        &self.services.limits
    }
}
