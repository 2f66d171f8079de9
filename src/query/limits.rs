//! How far one query may go: its time, its rows, its memory; and how long its batches are.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::{error::QueryError, moment::Moment};
use historian_model::TagScope;
use historian_read::{
    memory::MemoryBudget,
    turn::{self, ClientTurns, FurtherThreads, TurnGuard},
};

/// Rows of one batch at most. A query that waits for its reader holds one, and what it was made of.
pub const BATCH_ROWS_MAX: usize = 16_384;

/// Bounds of one query.
#[derive(Clone, Debug)]
pub struct QueryLimits {
    pub deadline: Instant,
    pub rows_max: u64,
    pub cancel: CancellationToken,
    /// Memory for what the query gathers: late samples it merges, answers that wait for their turn.
    pub memory: MemoryBudget,
    /// The moment that all its parts see.
    pub moment: Moment,
    /// Where its threads take turns with those of others; `None` where they need not.
    pub turns: Option<ClientTurns>,
    /// The tags that who asks may see: others are not there for the query.
    pub scope: TagScope,
}

impl QueryLimits {
    /// What is left of the time.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn left(&self) -> Result<Duration, QueryError> {
        self.deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or(QueryError::Deadline)
    }

    /// Limits without one of memory, of who sees all tags.
    pub fn new(deadline: Instant, rows_max: u64, cancel: CancellationToken) -> QueryLimits {
        QueryLimits {
            deadline,
            rows_max,
            cancel,
            memory: MemoryBudget::default(),
            moment: Moment::default(),
            turns: None,
            scope: TagScope::Everything,
        }
    }

    /// Waits until a thread of the query may work; it does so in turns while the guard is held.
    ///
    /// # Errors
    /// When the query is cancelled, or its time is over.
    pub fn begin(&self) -> Result<Option<TurnGuard>, QueryError> {
        let turn = self.turns.as_ref().map(|turns| turns.begin(&|| self.is_wanted()));
        self.check(0)?;
        Ok(turn.flatten())
    }

    /// How many threads of those that are wanted the query may use beside the one it has, and what they are given back with.
    pub(crate) fn further_threads(&self, wanted: usize) -> (usize, Option<FurtherThreads>) {
        let Some(turns) = &self.turns else { return (wanted, None) };
        let further = turns.further_threads(wanted);
        (further.count(), Some(further))
    }

    /// Does something that waits; others work meanwhile.
    pub fn away<T>(&self, waiting: impl FnOnce() -> T) -> T {
        turn::away(waiting, &|| self.is_wanted())
    }

    /// Waits for a condition; others work meanwhile. As with every condition, it may be another one when this returns.
    pub(crate) fn wait_for<T>(&self, condition: &Condvar, lock: &mut MutexGuard<'_, T>) {
        turn::wait_for(condition, lock, &|| self.is_wanted());
    }

    fn is_wanted(&self) -> bool {
        !self.cancel.is_cancelled() && Instant::now() < self.deadline
    }

    /// Called between portions: others work here whose turn it is. Not where a lock is held that one of them may wait for.
    ///
    /// # Errors
    /// When the query is cancelled, its time is over, or it gave more rows than it may.
    pub fn check(&self, rows: u64) -> Result<(), QueryError> {
        turn::pass(&|| self.is_wanted());
        self.check_in_turn(rows)
    }

    /// As [`QueryLimits::check`], and the turn goes on: for where a lock is held.
    ///
    /// # Errors
    /// As there.
    pub fn check_in_turn(&self, rows: u64) -> Result<(), QueryError> {
        if self.cancel.is_cancelled() {
            return Err(QueryError::Cancelled);
        }
        if Instant::now() >= self.deadline {
            return Err(QueryError::Deadline);
        }
        if rows > self.rows_max {
            return Err(QueryError::TooManyRows(self.rows_max));
        }
        Ok(())
    }
}
