//! Statements that run now, by their tickets, so that `CancelFlightInfo` finds them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Ticket and end of each running statement.
type RunningTickets = HashMap<u64, (Vec<u8>, CancellationToken)>;

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
    pub fn enter(&self, ticket: Vec<u8>, cancel: CancellationToken) -> RunningStatement {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.tickets.lock().insert(number, (ticket, cancel));
        RunningStatement { tickets: self.tickets.clone(), number }
    }

    /// Cancels what runs for a ticket; false when nothing does.
    pub fn cancel(&self, ticket: &[u8]) -> bool {
        let tickets = self.tickets.lock();
        let found: Vec<_> = tickets.values().filter(|(running, _)| running == ticket).collect();
        for (_, cancel) in &found {
            cancel.cancel();
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
        let running = Running::default();
        let (one, other) = (CancellationToken::new(), CancellationToken::new());
        let listed = running.enter(b"a".to_vec(), one.clone());
        let _other = running.enter(b"b".to_vec(), other.clone());
        assert!(running.cancel(b"a") && one.is_cancelled() && !other.is_cancelled());
        drop(listed);
        assert!(!running.cancel(b"a"));
    }
}
