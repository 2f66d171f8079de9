//! Memory that queries may take for what they gather: a pool for all of them, and of it a budget for each.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// More was to be gathered than fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfMemory {
    /// More than one query may take. Asking again does not help.
    #[error("the query needs more than its {} MiB of memory for what it gathers; narrow its range or its tags", .limit >> 20)]
    Budget {
        /// Bytes.
        limit: u64,
    },
    /// More than the others leave. May fit later.
    #[error("the {} MiB of memory for all queries together are taken; try again shortly, or narrow the range or the tags", .limit >> 20)]
    Pool {
        /// Bytes.
        limit: u64,
    },
}

/// Memory that several share. Clones are the same pool.
#[derive(Clone, Debug)]
pub struct MemoryPool(Arc<PoolCount>);

#[derive(Debug)]
struct PoolCount {
    taken: AtomicU64,
    bytes_max: u64,
    /// What is taken of the share is taken of this as well.
    of: Option<MemoryPool>,
}

/// A part of a pool, given back when dropped.
#[derive(Debug, Default)]
pub struct PoolPart(Option<(MemoryPool, u64)>);

impl Default for MemoryPool {
    /// Without a limit.
    fn default() -> MemoryPool {
        MemoryPool::new(u64::MAX)
    }
}

impl MemoryPool {
    /// A pool of so many bytes.
    pub fn new(bytes_max: u64) -> MemoryPool {
        MemoryPool(Arc::new(PoolCount { taken: AtomicU64::new(0), bytes_max, of: None }))
    }

    /// A share of the pool, of so many bytes at most; others may take them first.
    #[must_use]
    pub fn share(&self, bytes_max: u64) -> MemoryPool {
        MemoryPool(Arc::new(PoolCount { taken: AtomicU64::new(0), bytes_max, of: Some(self.clone()) }))
    }

    /// Whether this is the only one that has the pool: no clone and no part of it is elsewhere.
    pub fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Bytes of the pool.
    pub fn bytes_max(&self) -> u64 {
        self.0.bytes_max
    }

    /// Bytes that are taken now.
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Takes a part.
    ///
    /// # Errors
    /// When there is not that much left; nothing is taken then.
    pub fn take(&self, bytes: u64) -> Result<PoolPart, OutOfMemory> {
        let mut part = PoolPart(Some((self.clone(), 0)));
        part.grow(bytes)?;
        Ok(part)
    }

    fn add(&self, bytes: u64) -> Result<(), OutOfMemory> {
        let fits = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= self.0.bytes_max);
        if self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return Err(OutOfMemory::Pool { limit: self.0.bytes_max });
        }
        let Some(of) = &self.0.of else { return Ok(()) };
        of.add(bytes).inspect_err(|_| {
            self.0.taken.fetch_sub(bytes, Ordering::Relaxed);
        })
    }

    fn add_beyond(&self, bytes: u64) {
        self.0.taken.fetch_add(bytes, Ordering::Relaxed);
        if let Some(of) = &self.0.of {
            of.add_beyond(bytes);
        }
    }

    fn give_back(&self, bytes: u64) {
        self.0.taken.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(of) = &self.0.of {
            of.give_back(bytes);
        }
    }
}

impl PoolPart {
    /// Bytes of the part.
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |(_, bytes)| *bytes)
    }

    /// Takes more into the part. A part of no pool takes nothing.
    ///
    /// # Errors
    /// When there is not that much left; the part is as it was then.
    pub fn grow(&mut self, more: u64) -> Result<(), OutOfMemory> {
        if let Some((pool, bytes)) = &mut self.0 {
            pool.add(more)?;
            *bytes += more;
        }
        Ok(())
    }

    /// Takes more into the part, beyond the bounds of the pool where need be: for what is there already.
    pub fn grow_beyond(&mut self, more: u64) {
        if let Some((pool, bytes)) = &mut self.0 {
            pool.add_beyond(more);
            *bytes += more;
        }
    }

    /// Gives some of the part back.
    pub fn shrink(&mut self, less: u64) {
        if let Some((pool, bytes)) = &mut self.0 {
            let less = less.min(*bytes);
            *bytes -= less;
            pool.give_back(less);
        }
    }
}

impl Drop for PoolPart {
    fn drop(&mut self) {
        if let Some((pool, bytes)) = self.0.take() {
            pool.give_back(bytes);
        }
    }
}

/// Counts what the parts of a query gather, within its own bound and the pool of all. Clones count together.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    all: MemoryPool,
    own: MemoryPool,
}

/// A part of a budget, given back when dropped.
#[derive(Debug, Default)]
pub struct Reservation {
    _own: PoolPart,
    _all: PoolPart,
}

impl Default for MemoryBudget {
    /// Without a limit.
    fn default() -> MemoryBudget {
        MemoryBudget::new(u64::MAX)
    }
}

impl MemoryBudget {
    /// A budget of so many bytes, of no pool.
    pub fn new(limit: u64) -> MemoryBudget {
        MemoryBudget::of(limit, &MemoryPool::default())
    }

    /// A budget of so many bytes of a pool.
    pub fn of(limit: u64, pool: &MemoryPool) -> MemoryBudget {
        MemoryBudget { own: MemoryPool::new(limit), all: pool.clone() }
    }

    /// The pool that this is a budget of.
    pub fn pool(&self) -> &MemoryPool {
        &self.all
    }

    /// Takes a part.
    ///
    /// # Errors
    /// When there is not that much left, of the query's own or of all; nothing is taken then.
    pub fn take(&self, bytes: u64) -> Result<Reservation, OutOfMemory> {
        if bytes == 0 {
            return Ok(Reservation::default());
        }
        let own = self.own.take(bytes).map_err(|_| OutOfMemory::Budget { limit: self.own.bytes_max() })?;
        Ok(Reservation { _own: own, _all: self.all.take(bytes)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = MemoryBudget::new(100);
        let most = budget.take(90).unwrap();
        assert_eq!(budget.clone().take(11).unwrap_err(), OutOfMemory::Budget { limit: 100 });
        let rest = budget.take(10).unwrap();
        drop(most);
        assert!(budget.take(91).is_err());
        drop((budget.take(90).unwrap(), rest));
        assert!(budget.take(100).is_ok());
        assert!(MemoryBudget::default().take(u64::MAX).is_ok());
    }

    #[test]
    fn budgets_of_one_pool_take_no_more_than_it_has_and_leave_nothing_behind_where_they_fail() {
        let pool = MemoryPool::new(150);
        let (first, second) = (MemoryBudget::of(100, &pool), MemoryBudget::of(100, &pool));
        let hundred = first.take(100).unwrap();
        assert_eq!(first.take(1).unwrap_err(), OutOfMemory::Budget { limit: 100 });
        assert_eq!(second.take(51).unwrap_err(), OutOfMemory::Pool { limit: 150 });
        assert_eq!(pool.taken(), 100);
        let fifty = second.take(50).unwrap();
        drop(hundred);
        assert!(second.take(50).is_ok(), "what failed has been given back to the budget");
        drop(fifty);
        assert_eq!(pool.taken(), 0);
    }

    #[test]
    fn what_is_taken_of_a_share_is_taken_of_the_pool() {
        let pool = MemoryPool::new(100);
        let (first, second) = (pool.share(75), pool.share(75));
        let most = first.take(75).unwrap();
        assert!(first.take(1).is_err(), "no more than its share");
        assert!(second.take(26).is_err(), "no more than there is");
        assert_eq!((pool.taken(), second.taken()), (75, 0));
        drop(second.take(25).unwrap());
        assert!(!first.is_unused() && second.is_unused());
        drop(most);
        assert_eq!((pool.taken(), first.taken()), (0, 0));
        assert!(first.is_unused());
    }

    #[test]
    fn a_part_grows_and_shrinks() {
        let pool = MemoryPool::new(100);
        let mut part = pool.take(10).unwrap();
        part.grow(80).unwrap();
        assert!(part.grow(11).is_err());
        part.grow_beyond(20);
        assert_eq!((part.bytes(), pool.taken()), (110, 110));
        part.shrink(60);
        assert_eq!(pool.taken(), 50);
        drop(part);
        assert_eq!(pool.taken(), 0);
        let mut none = PoolPart::default();
        none.grow(u64::MAX).unwrap();
        assert_eq!(none.bytes(), 0);
    }
}
