//! What the services of the gRPC port share: all they serve from, the permits of what runs, and what Flight SQL keeps.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{flight::sql::Sql, limits::ApiLimits, services::Services};

/// State shared by all services of the gRPC port.
pub struct Api {
    pub services: Services,
    /// One permit per running query.
    pub(super) queries: Arc<Semaphore>,
    /// One permit per subscription.
    pub(super) subscriptions: Arc<Semaphore>,
    /// The engine of SQL and its prepared statements.
    pub(super) sql: Sql,
    /// Cancelled when shutdown begins: write streams acknowledge what they took and end.
    pub(super) draining: CancellationToken,
}

impl Api {
    pub fn new(services: Services, draining: CancellationToken) -> Arc<Api> {
        let queries = Arc::new(Semaphore::new(services.limits.queries_max));
        let subscriptions = Arc::new(Semaphore::new(services.limits.subscriptions_max));
        let sql = Sql::new(&services);
        Arc::new(Api { services, queries, subscriptions, sql, draining })
    }

    pub(super) fn limits(&self) -> &ApiLimits {
        &self.services.limits
    }
}
