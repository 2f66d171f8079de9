//! The memory that one query may take for what it gathers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// More was to be gathered than fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query needs more than its {} MiB of memory for what it gathers; narrow its range or its tags", .limit >> 20)]
pub struct OutOfMemory {
    /// Bytes.
    pub limit: u64,
}

/// Counts what the parts of a query gather. Clones count together.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    taken: Arc<AtomicU64>,
    limit: u64,
}

/// A part of a budget, given back when dropped.
#[derive(Debug, Default)]
pub struct Reservation(Option<(Arc<AtomicU64>, u64)>);

impl Default for MemoryBudget {
    /// Without a limit.
    fn default() -> MemoryBudget {
        MemoryBudget::new(u64::MAX)
    }
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(limit: u64) -> MemoryBudget {
        MemoryBudget { taken: Arc::default(), limit }
    }

    /// Takes a part.
    ///
    /// # Errors
    /// When there is not that much left; nothing is taken then.
    pub fn take(&self, bytes: u64) -> Result<Reservation, OutOfMemory> {
        if bytes == 0 {
            return Ok(Reservation::default());
        }
        let fits = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= self.limit);
        match self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(Reservation(Some((self.taken.clone(), bytes)))),
            Err(_) => Err(OutOfMemory { limit: self.limit }),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some((taken, bytes)) = self.0.take() {
            taken.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = MemoryBudget::new(100);
        let most = budget.take(90).unwrap();
        assert_eq!(budget.clone().take(11).unwrap_err(), OutOfMemory { limit: 100 });
        let rest = budget.take(10).unwrap();
        drop(most);
        assert!(budget.take(91).is_err());
        drop((budget.take(90).unwrap(), rest));
        assert!(budget.take(100).is_ok());
        assert!(MemoryBudget::default().take(u64::MAX).is_ok());
    }
}
