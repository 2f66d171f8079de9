//! How far one query may go: its time, its rows, its memory; and how long its batches are.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{error::QueryError, moment::Moment};
use historian_read::memory::MemoryBudget;

/// Rows of one batch at most.
pub const BATCH_ROWS_MAX: usize = 65_536;

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
}

impl QueryLimits {
    /// What is left of the time.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn left(&self) -> Result<Duration, QueryError> {
        self.deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or(QueryError::Deadline)
    }

    /// Limits without one of memory.
    pub fn new(deadline: Instant, rows_max: u64, cancel: CancellationToken) -> QueryLimits {
        QueryLimits { deadline, rows_max, cancel, memory: MemoryBudget::default(), moment: Moment::default() }
    }

    /// Called between portions.
    ///
    /// # Errors
    /// When the query is cancelled, its time is over, or it gave more rows than it may.
    pub fn check(&self, rows: u64) -> Result<(), QueryError> {
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
