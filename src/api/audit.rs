//! What the API tells the audit log: what administrators have done, and what was refused.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use historian_access::Principal;
use historian_model::sink::Actor;
use historian_store::{AuditEntry, AuditLog};
use parking_lot::Mutex;
use tonic::Status;

use super::{
    Caller,
    caller::actor,
    connection::network,
    status::{self, in_words},
};

/// Refused calls within [`WINDOW`] that get an entry each: of one client, and of all. A flood of them would fill the disk; of what goes beyond,
/// one entry tells how many they were.
const DENIED_MAX: (u32, u32) = (100, 1_000);
const WINDOW: Duration = Duration::from_mins(1);

/// The audit log as the API writes it. A clone writes to the same one.
#[derive(Clone)]
pub struct AuditTrail(Arc<Trail>);

struct Trail {
    log: Arc<AuditLog>,
    denied: Mutex<DeniedCalls>,
    /// Entries that wait to be written with others.
    waiting: Mutex<Vec<AuditEntry>>,
    /// Held by who writes.
    writing: tokio::sync::Mutex<()>,
}

/// Refused calls of the last minute, about.
struct DeniedCalls {
    since: Instant,
    total: u32,
    by_client: HashMap<Option<IpAddr>, u32>,
    /// Those without an entry of their own.
    left_out: u64,
}

/// What becomes of a refused call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeniedCall {
    /// It has an entry.
    Told,
    /// It is counted, and the first that is: somebody has to tell the number in the end.
    FirstLeftOut,
    LeftOut,
}

impl DeniedCalls {
    fn new(now: Instant) -> DeniedCalls {
        DeniedCalls { since: now, total: 0, by_client: HashMap::new(), left_out: 0 }
    }

    /// What becomes of one more, and how many of the minute before got no entry.
    fn admit(&mut self, client: Option<IpAddr>, now: Instant) -> (DeniedCall, u64) {
        let before = if now.duration_since(self.since) < WINDOW { 0 } else { std::mem::replace(self, DeniedCalls::new(now)).left_out };
        let of_client = self.by_client.get(&client).copied().unwrap_or(0);
        if self.total >= DENIED_MAX.1 || of_client >= DENIED_MAX.0 {
            self.left_out += 1;
            return (if self.left_out == 1 { DeniedCall::FirstLeftOut } else { DeniedCall::LeftOut }, before);
        }
        self.total += 1;
        self.by_client.insert(client, of_client + 1);
        (DeniedCall::Told, before)
    }

    /// How many got no entry until now.
    fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

impl AuditTrail {
    pub fn new(log: Arc<AuditLog>) -> AuditTrail {
        AuditTrail(Arc::new(Trail {
            log,
            denied: Mutex::new(DeniedCalls::new(Instant::now())),
            waiting: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }))
    }

    pub fn log(&self) -> &Arc<AuditLog> {
        &self.0.log
    }

    /// Records what a caller does. It is durable afterwards: record first, then do it.
    ///
    /// # Errors
    /// The store cannot write; what is not recorded must not be done.
    pub async fn act(&self, caller: &Caller, action: &'static str, detail: String) -> Result<(), Status> {
        let (log, actor) = (self.0.log.clone(), caller.actor());
        let recorded = tokio::task::spawn_blocking(move || log.record(&[log.entry(actor, action, detail)])).await;
        recorded.map_err(|error| status::from_join(&error))?.map_err(|error| status::from_store(&error))
    }

    /// Records a refused call. It is durable afterwards, unless the store cannot write; then the log tells.
    pub async fn denied(&self, principal: &Principal, address: Option<IpAddr>, what: &str, refused: &Status) {
        let client = address.map(network);
        let (call, left_out) = self.0.denied.lock().admit(client, Instant::now());
        let mut entries = self.left_out(left_out);
        match call {
            DeniedCall::Told => {
                let detail = format!("{}: {}", status::shortened(what), in_words(refused));
                entries.push(self.0.log.entry(actor(principal, address), "denied", detail));
            }
            // Told in the end, also if nobody is refused any more.
            DeniedCall::FirstLeftOut => {
                let trail = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(WINDOW).await;
                    let left_out = trail.0.denied.lock().take_left_out();
                    trail.write(trail.left_out(left_out)).await;
                });
            }
            DeniedCall::LeftOut => {}
        }
        // Written to the end, also when the client does not wait for its answer.
        let trail = self.clone();
        let _ = tokio::spawn(async move { trail.write(entries).await }).await;
    }

    fn left_out(&self, calls: u64) -> Vec<AuditEntry> {
        let detail = format!("{calls} more calls were refused within a minute; they have no entries of their own");
        if calls == 0 { Vec::new() } else { vec![self.0.log.entry(Actor::default(), "denied", detail)] }
    }

    /// Writes entries, with those of others that come meanwhile.
    async fn write(&self, entries: Vec<AuditEntry>) {
        if entries.is_empty() {
            return;
        }
        self.0.waiting.lock().extend(entries);
        let _writing = self.0.writing.lock().await;
        let entries = std::mem::take(&mut *self.0.waiting.lock());
        if entries.is_empty() {
            return;
        }
        let log = self.0.log.clone();
        let count = entries.len();
        let written = tokio::task::spawn_blocking(move || log.record(&entries)).await;
        if let Err(error) = written.map_err(|error| error.to_string()).and_then(|written| written.map_err(|error| error.to_string())) {
            tracing::error!("{count} refused calls are missing in the audit log: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use historian_audit::HeadKey;
    use historian_model::SystemClock;
    use historian_store::{MemoryStore, Store};

    use super::*;

    #[test]
    fn a_flood_of_refused_calls_gets_some_entries_and_then_a_number() {
        let start = Instant::now();
        let client = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
        let mut denied = DeniedCalls::new(start);
        let admitted = |denied: &mut DeniedCalls, of: u8, calls: u32, at: Duration| {
            (0..calls)
                .map(|_| denied.admit(client(of), start + at))
                .fold((0, 0), |sum, (call, before)| (sum.0 + u32::from(call == DeniedCall::Told), sum.1 + before))
        };
        assert_eq!(admitted(&mut denied, 1, 1_000, Duration::ZERO), (100, 0));
        assert_eq!(admitted(&mut denied, 2, 7, Duration::from_secs(30)), (7, 0), "others are not left out for it");
        let total: u32 = (3..=12).map(|of| admitted(&mut denied, of, 100, Duration::from_secs(31)).0).sum();
        assert_eq!(total, 1_000 - 107);
        // The next minute tells of those of the one before, once.
        let left_out = 900 + 107;
        assert_eq!(admitted(&mut denied, 1, 200, Duration::from_secs(61)), (100, left_out));
        assert_eq!(denied.take_left_out(), 100);
        assert_eq!(admitted(&mut denied, 1, 1, Duration::from_secs(200)), (1, 0));
    }

    #[tokio::test]
    async fn refused_calls_are_in_the_log_when_the_answer_goes_out() {
        let store = Arc::new(MemoryStore::default());
        let log = AuditLog::new(store.clone(), HeadKey::generate().unwrap(), Arc::new(SystemClock));
        let trail = AuditTrail::new(Arc::new(log));
        let refusals = (0..50).map(|number| {
            let trail = trail.clone();
            async move {
                let refused = status::denied(format!("anonymous may not {number}"));
                trail.denied(&Principal::nobody(), Some([192, 0, 2, 1].into()), "/historian.v1.AdminService/Compact", &refused).await;
            }
        });
        futures::future::join_all(refusals).await;
        let entries = store.audit(1, 100).unwrap();
        assert_eq!(entries.len(), 50);
        for (_, entry) in entries {
            assert_eq!((&*entry.action, &*entry.principal, &*entry.client), ("denied", "nobody", "192.0.2.1"));
            assert!(entry.detail.starts_with("/historian.v1.AdminService/Compact: refused: anonymous may not "), "{}", entry.detail);
        }
    }
}
