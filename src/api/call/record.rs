//! What is known of one call. Who serves it adds what it learns; nobody waits for another.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use historian_query::TurnMeter;

/// What is known of one call.
#[derive(Debug, Default)]
pub struct CallRecord {
    /// The client's, or made here; empty for calls that came over no connection.
    pub id: String,
    principal: OnceLock<String>,
    kind: OnceLock<&'static str>,
    rows: AtomicU64,
    meter: TurnMeter,
}

impl CallRecord {
    pub(super) fn new(id: String) -> CallRecord {
        CallRecord { id, ..CallRecord::default() }
    }

    /// Notes who calls.
    pub fn comes_from(&self, principal: &str) {
        if self.principal.set(principal.to_owned()).is_ok() {
            tracing::Span::current().record("principal", principal);
        }
    }

    /// Notes what is asked: the name of a kind of query, `sql`, or `write`.
    pub fn is_of(&self, kind: &'static str) {
        // What is found out first counts.
        let _ = self.kind.set(kind);
    }

    /// Adds rows of the answer, or samples that were written.
    pub fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// `None` while it is not known who calls.
    pub fn principal(&self) -> Option<&str> {
        self.principal.get().map(String::as_str)
    }

    pub fn kind(&self) -> Option<&'static str> {
        self.kind.get().copied()
    }

    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Measures the threads that work for the call.
    pub fn meter(&self) -> TurnMeter {
        self.meter.clone()
    }

    /// How long threads have computed for the call so far, all of them together.
    pub fn computed(&self) -> Duration {
        self.meter.total()
    }
}
