//! What ingest counts, and why it takes nothing at present or for good.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use historian_model::sink::{Rejected, WriteError};

/// How often rejected samples are logged at most.
const REJECTED_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Figures shared with status and metrics.
#[derive(Default)]
pub(super) struct Counters {
    pub durable: AtomicU64,
    pub samples: AtomicU64,
    /// Samples that were not taken because they lie too far in the future.
    pub rejected: AtomicU64,
    /// When rejected samples were last logged, and how many there had been.
    pub rejected_logged: Mutex<Option<(Instant, u64)>>,
    pub chunks_sealed: AtomicU64,
    pub groups: AtomicU64,
    /// What the journal holds, about.
    pub journal_bytes: AtomicU64,
    /// Times that the journal was made durable, and the nanoseconds that took.
    pub syncs: AtomicU64,
    pub sync_nanoseconds: AtomicU64,
    /// Why nothing is acknowledged any more.
    pub stopped: Mutex<Option<String>>,
    /// Why nothing is acknowledged at present.
    pub full: Mutex<Option<String>>,
    /// Ingest is being closed: nothing is waited for that may not come.
    pub closing: AtomicBool,
}

impl Counters {
    /// Counts one fsync of the journal.
    pub fn synced(&self, took: Duration) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn stop(&self, reason: &str) {
        let mut stopped = self.stopped.lock();
        if stopped.is_none() {
            tracing::error!(reason, "no further write is acknowledged; the historian must be restarted");
            *stopped = Some(reason.to_owned());
        }
    }

    /// Notes whether there is room.
    pub fn room(&self, full: Option<&str>) {
        let mut noted = self.full.lock();
        match (full, noted.is_some()) {
            (Some(reason), false) => tracing::error!(reason, "writes are refused until there is room"),
            (None, true) => tracing::info!("there is room again: writes are taken"),
            _ => {}
        }
        *noted = full.map(str::to_owned);
    }

    /// Counts samples that were rejected and logs it, at most every [`REJECTED_LOG_INTERVAL`].
    pub fn reject(&self, rejected: &Rejected) {
        let Some(first) = rejected.shown.first() else { return };
        let all = self.rejected.fetch_add(rejected.count, Ordering::Relaxed) + rejected.count;
        let mut logged = self.rejected_logged.lock();
        let since = match *logged {
            Some((at, _)) if at.elapsed() < REJECTED_LOG_INTERVAL => return,
            Some((_, before)) => all.saturating_sub(before),
            None => all,
        };
        *logged = Some((Instant::now(), all));
        drop(logged);
        tracing::warn!(samples = since, tag = first.tag, timestamp = %first.timestamp, "samples were not taken; this one {}", first.reason);
    }

    pub fn check(&self) -> Result<(), WriteError> {
        match &*self.stopped.lock() {
            Some(reason) => Err(WriteError::Stopped(reason.clone())),
            None => Ok(()),
        }
    }
}
