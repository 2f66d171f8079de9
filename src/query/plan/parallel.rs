//! Independent units of work on several threads, their results in order.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use parking_lot::{Condvar, Mutex};

use crate::query::QueryError;

/// Units that may be finished or under way beyond the one whose result is taken next, per thread: what bounds the memory.
const AHEAD_PER_THREAD: usize = 4;

struct Shared<R> {
    done: BTreeMap<usize, Result<R, QueryError>>,
    /// Results taken.
    taken: usize,
}

/// Does `work` on every unit on up to `threads` threads, and gives the results to `take` in the order of the units. `take` answers false to
/// stop.
///
/// # Errors
/// The first error in the order of the units, of `work` or of `take`.
pub fn in_order<U: Sync, R: Send>(
    threads: usize,
    units: &[U],
    work: impl Fn(&U) -> Result<R, QueryError> + Sync,
    mut take: impl FnMut(R) -> Result<bool, QueryError>,
) -> Result<(), QueryError> {
    let threads = threads.min(units.len());
    if threads <= 1 {
        for unit in units {
            if !take(work(unit)?)? {
                break;
            }
        }
        return Ok(());
    }
    let shared = Mutex::new(Shared { done: BTreeMap::new(), taken: 0 });
    let (finished, room) = (Condvar::new(), Condvar::new());
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let stop = || {
        let _order = shared.lock();
        stopped.store(true, Ordering::SeqCst);
        room.notify_all();
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(unit) = units.get(index) else { return };
                    {
                        let mut shared = shared.lock();
                        while index >= shared.taken + threads * AHEAD_PER_THREAD && !stopped.load(Ordering::SeqCst) {
                            room.wait(&mut shared);
                        }
                    }
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    // A panic must not leave the taker waiting; it becomes an error of this query.
                    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(unit)));
                    let result = result.unwrap_or_else(|_| Err(QueryError::Bug));
                    shared.lock().done.insert(index, result);
                    finished.notify_one();
                }
            });
        }
        let mut ended = Ok(());
        for index in 0..units.len() {
            let result = {
                let mut shared = shared.lock();
                loop {
                    if let Some(result) = shared.done.remove(&index) {
                        shared.taken = index + 1;
                        room.notify_all();
                        break result;
                    }
                    finished.wait(&mut shared);
                }
            };
            match result.and_then(&mut take) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        stop();
        ended
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_on_any_number_of_threads() {
        let units: Vec<u64> = (0..200).collect();
        for threads in [1, 2, 5] {
            let mut seen = Vec::new();
            let work = |unit: &u64| {
                std::thread::sleep(std::time::Duration::from_micros((unit * 7919) % 300));
                Ok(unit * 2)
            };
            in_order(threads, &units, work, |result| {
                seen.push(result);
                Ok(true)
            })
            .unwrap();
            assert_eq!(seen, units.iter().map(|unit| unit * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn errors_panics_and_stops_end_it_and_nothing_hangs() {
        let units: Vec<u64> = (0..100).collect();
        let done = AtomicUsize::new(0);
        let work = |unit: &u64| {
            done.fetch_add(1, Ordering::SeqCst);
            match unit {
                40 => Err(QueryError::Cancelled),
                60 => panic!("a bug"),
                unit => Ok(*unit),
            }
        };
        let mut seen = 0;
        let ended = in_order(3, &units, work, |_| {
            seen += 1;
            Ok(true)
        });
        assert!(matches!(ended, Err(QueryError::Cancelled)));
        assert_eq!(seen, 40);
        assert!(done.load(Ordering::SeqCst) < 100, "work goes only so far ahead");
        assert!(in_order(3, &units[..30], work, |unit| Ok(unit < 10)).is_ok());
        assert!(matches!(in_order(3, &units[50..], work, |_| Ok(true)), Err(QueryError::Bug)));
    }
}
