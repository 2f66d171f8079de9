//! What Flight SQL keeps from one call to the next: the engine, and the statements that are prepared or run.

use super::{prepared::PreparedStatements, running::Running};
use crate::Services;
use historian_sql::{SqlEngine, SqlOptions};

/// What Flight SQL keeps.
pub struct Sql {
    pub(super) engine: SqlEngine,
    pub(super) prepared: PreparedStatements,
    pub(super) running: Running,
}

impl Sql {
    pub fn new(services: &Services) -> Sql {
        let limits = &services.limits;
        let cores = || std::thread::available_parallelism().map_or(2, usize::from);
        let options = SqlOptions {
            threads: if limits.sql_threads == 0 { cores() } else { limits.sql_threads },
            memory_bytes_max: limits.sql_memory_bytes_max,
            memory_total_bytes_max: limits.sql_memory_total_bytes_max,
            statements_max: limits.sql_statements_max,
            text_bytes_max: limits.sql_text_bytes_max,
            tags_max: limits.query_tags_max,
            tables: services.tables.clone(),
            ..SqlOptions::default()
        };
        let engine = SqlEngine::new(services.query.clone(), services.catalog.clone(), options);
        services.metrics.watch(engine.clone());
        Sql {
            engine,
            prepared: PreparedStatements::new(limits.prepared_statements_max, limits.prepared_statement_idle, &services.memory),
            running: Running::default(),
        }
    }
}
