//! What the HTTP port tells of: nothing but that the historian starts, until the store is open; then its services.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::{ApiRoutes, Services};

/// What the port tells until it is [done](Starting::done): that the historian starts.
#[derive(Default)]
pub struct Starting(OnceLock<ApiRoutes>);

impl From<ApiRoutes> for Starting {
    fn from(routes: ApiRoutes) -> Starting {
        Starting(OnceLock::from(routes))
    }
}

impl Starting {
    /// The store is open and its journal replayed: from now on the port tells of these.
    pub fn done(&self, routes: ApiRoutes) {
        let _ = self.0.set(routes);
    }
}

/// Why there is nothing to tell of yet.
pub const STARTING: &str = "starting: the store is being opened and its journal replayed";

/// What the routes of the port are answered from.
#[derive(Clone)]
pub struct HealthState {
    pub starting: Arc<Starting>,
    pub stopping: CancellationToken,
}

impl HealthState {
    /// `None` while the store is opened.
    pub fn routes(&self) -> Option<&ApiRoutes> {
        self.starting.0.get()
    }

    /// `None` while the store is opened.
    pub fn services(&self) -> Option<&Services> {
        self.routes().map(|routes| &routes.api.services)
    }
}
