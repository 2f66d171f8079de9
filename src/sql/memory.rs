//! Memory of statements: a bound for each, one for all together, and the share of the client. There is no spilling: a historian's disk is for
//! samples.

use std::{fmt, sync::Arc};

use datafusion::{
    error::Result,
    execution::memory_pool::{GreedyMemoryPool, MemoryLimit, MemoryPool, MemoryReservation},
};

use parking_lot::Mutex;

use super::error::external;
use historian_query::{PoolPart, QueryError, QueryLimits};

/// What an operator counts is about half of what it takes: it builds its result beside what it has gathered.
const TAKEN_PER_COUNTED: u64 = 2;

fn taken_for(counted: usize) -> u64 {
    counted as u64 * TAKEN_PER_COUNTED
}

/// What one statement may use, taken from what all may use together.
#[derive(Debug)]
pub struct StatementMemory {
    own: GreedyMemoryPool,
    bytes_max: usize,
    all: Arc<GreedyMemoryPool>,
    /// What the statement takes of the share of its client.
    share: Mutex<PoolPart>,
    /// A statement that has ended gets nothing more.
    limits: QueryLimits,
}

impl StatementMemory {
    pub fn new(bytes_max: usize, all: Arc<GreedyMemoryPool>, limits: &QueryLimits) -> StatementMemory {
        let share = Mutex::new(limits.memory.pool().take(0).unwrap_or_default());
        StatementMemory { own: GreedyMemoryPool::new(bytes_max), bytes_max, all, share, limits: limits.clone() }
    }
}

impl fmt::Display for StatementMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "statement({} of {} bytes)", self.own.reserved(), self.bytes_max)
    }
}

impl MemoryPool for StatementMemory {
    fn name(&self) -> &'static str {
        "statement"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.all.grow(reservation, additional);
        self.share.lock().grow_beyond(taken_for(additional));
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.all.shrink(reservation, shrink);
        self.share.lock().shrink(taken_for(shrink));
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.limits.check(0).map_err(|error| external(error.into()))?;
        self.own.try_grow(reservation, additional)?;
        self.all.try_grow(reservation, additional).inspect_err(|_| self.own.shrink(reservation, additional))?;
        self.share.lock().grow(taken_for(additional)).map_err(|error| {
            self.own.shrink(reservation, additional);
            self.all.shrink(reservation, additional);
            external(QueryError::Memory(error).into())
        })
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use datafusion::execution::memory_pool::MemoryConsumer;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn a_statement_is_bounded_by_itself_and_by_the_others() {
        let all = Arc::new(GreedyMemoryPool::new(150));
        let limits = QueryLimits::new(Instant::now() + Duration::from_mins(1), u64::MAX, CancellationToken::new());
        let statement = || -> Arc<dyn MemoryPool> { Arc::new(StatementMemory::new(100, all.clone(), &limits)) };
        let (first, second) = (statement(), statement());
        let of_first = MemoryConsumer::new("first").register(&first);
        let of_second = MemoryConsumer::new("second").register(&second);
        assert!(of_first.try_grow(101).is_err());
        of_first.try_grow(100).unwrap();
        assert!(of_second.try_grow(60).is_err());
        of_second.try_grow(50).unwrap();
        assert_eq!((first.reserved(), second.reserved(), all.reserved()), (100, 50, 150));
        limits.cancel.cancel();
        of_first.shrink(50);
        assert!(of_first.try_grow(1).is_err());
        drop((of_first, of_second));
        assert_eq!(all.reserved(), 0);
    }
}
