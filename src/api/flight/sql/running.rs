//! Statements that run now, by their tickets, so that `CancelFlightInfo` finds them. Each is its principal's: others cannot cancel it, and do not
//! learn that it runs.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use historian_access::Principal;

type RunningTickets = HashMap<u64, RunningTicket>;

struct RunningTicket {
    ticket: Vec<u8>,
    principal: String,
    cancel: CancellationToken,
}

/// Bounded by the number of queries at the same time.
#[derive(Default)]
pub struct Running {
    tickets: Arc<Mutex<RunningTickets>>,
    next: AtomicU64,
}

/// One running statement, until it is dropped.
pub struct RunningStatement {
    tickets: Arc<Mutex<RunningTickets>>,
    number: u64,
}

impl Running {
    pub fn enter(&self, ticket: Vec<u8>, principal: &Principal, cancel: CancellationToken) -> RunningStatement {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.tickets.lock().insert(number, RunningTicket { ticket, principal: principal.name().to_owned(), cancel });
        RunningStatement { tickets: self.tickets.clone(), number }
    }

    /// Cancels what runs of a principal for a ticket; false when nothing does.
    pub fn cancel(&self, ticket: &[u8], principal: &Principal) -> bool {
        let tickets = self.tickets.lock();
        let found: Vec<_> = tickets.values().filter(|running| running.ticket == ticket && running.principal == principal.name()).collect();
        for running in &found {
            running.cancel.cancel();
        }
        !found.is_empty()
    }
}

impl Drop for RunningStatement {
    fn drop(&mut self) {
        self.tickets.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_cancelled_by_its_ticket_and_forgotten_when_it_ends() {
        let (running, anybody) = (Running::default(), Principal::anonymous());
        let (one, other) = (CancellationToken::new(), CancellationToken::new());
        let listed = running.enter(b"a".to_vec(), &anybody, one.clone());
        let _other = running.enter(b"b".to_vec(), &anybody, other.clone());
        assert!(!running.cancel(b"a", &Principal::nobody()) && !one.is_cancelled(), "of somebody else");
        assert!(running.cancel(b"a", &anybody) && one.is_cancelled() && !other.is_cancelled());
        drop(listed);
        assert!(!running.cancel(b"a", &anybody));
    }
}
