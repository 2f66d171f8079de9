//! Independent units of work on several threads, what they give in order.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use parking_lot::{Condvar, Mutex};

use crate::{QueryError, QueryLimits};
use historian_read::memory::Reservation;

/// Stretches of units that may be under way or finished beyond the one whose turn it is, per thread.
const AHEAD_PER_THREAD: usize = 4;
/// Most units that a thread takes on at once; the taker is woken for all of them together. Many small ones would else cost as much in
/// switches between threads as in work.
const STRETCH_MAX: usize = 8;
/// Stretches per thread that must be left, so that all threads have work until the end.
const STRETCHES_PER_THREAD: usize = 32;
/// A portion of so many bytes is worth a switch of its own.
const LARGE_BYTES: u64 = 4 << 10;
/// Portions of one unit that may wait.
const PORTIONS_AHEAD: usize = 4;

/// What units work with.
#[derive(Clone, Copy)]
pub struct Workers<'a> {
    /// At most so many threads.
    pub threads: usize,
    /// Of the query. What waits for its turn counts in its memory: a unit that finds no room waits until its turn comes.
    pub limits: &'a QueryLimits,
}

/// Receives a portion of a unit's result; false tells the unit to end.
pub type Put<'a, R> = &'a mut dyn FnMut(R) -> bool;

/// What one unit has given so far.
struct Given<R> {
    waiting: VecDeque<(R, Reservation)>,
    ended: Option<Result<(), QueryError>>,
}

struct ParallelState<R> {
    given: BTreeMap<usize, Given<R>>,
    /// The unit whose portions are taken.
    turn: usize,
}

/// Does `work` on every unit, which puts its result in portions, and gives them to `take` in the order of the units. `take` answers false to
/// stop. `weight` tells the bytes of a portion.
///
/// # Errors
/// The first error in the order of the units, of `work` or of `take`.
pub fn in_order<U: Sync, R: Send>(
    workers: Workers<'_>,
    units: &[U],
    weight: impl Fn(&R) -> usize + Sync,
    work: impl Fn(&U, Put<'_, R>) -> Result<(), QueryError> + Sync,
    mut take: impl FnMut(R) -> Result<bool, QueryError>,
) -> Result<(), QueryError> {
    let Workers { threads, limits } = workers;
    let threads = threads.min(units.len());
    let (threads, _further) = if threads > 1 { limits.further_threads(threads) } else { (threads, None) };
    if threads <= 1 {
        return one_by_one(units, work, take);
    }
    let stretch = (units.len() / (threads * STRETCHES_PER_THREAD)).clamp(1, STRETCH_MAX);
    let shared = Mutex::new(ParallelState { given: BTreeMap::new(), turn: 0 });
    let (more, room) = (Condvar::new(), Condvar::new());
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let is_stopped = || stopped.load(Ordering::SeqCst);
    // Whoever works on the unit whose turn it is wakes the taker.
    let wake = |shared: &ParallelState<R>, index: usize| {
        if shared.turn / stretch == index / stretch {
            more.notify_one();
        }
    };
    let put = |index: usize, portion: R| {
        let bytes = weight(&portion) as u64;
        let mut shared = shared.lock();
        let taken = loop {
            if is_stopped() {
                return false;
            }
            let waiting = shared.given.get(&index).map_or(0, |given| given.waiting.len());
            if waiting < PORTIONS_AHEAD {
                match limits.memory.take(bytes) {
                    Ok(taken) => break taken,
                    // It is taken at once.
                    Err(_) if shared.turn == index => break Reservation::default(),
                    Err(_) => {}
                }
            }
            wake(&shared, index);
            limits.wait_for(&room, &mut shared);
        };
        shared.given.entry(index).or_default().waiting.push_back((portion, taken));
        if stretch == 1 || bytes >= LARGE_BYTES {
            wake(&shared, index);
        }
        true
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let turn = limits.begin();
                loop {
                    let first = next.fetch_add(stretch, Ordering::SeqCst);
                    if first >= units.len() {
                        return;
                    }
                    let last = (first + stretch).min(units.len()) - 1;
                    {
                        let mut shared = shared.lock();
                        while first >= shared.turn + threads * AHEAD_PER_THREAD * stretch && !is_stopped() {
                            limits.wait_for(&room, &mut shared);
                        }
                    }
                    for (index, unit) in (first..=last).zip(&units[first..=last]) {
                        if is_stopped() {
                            return;
                        }
                        // A panic must not leave the taker waiting; it becomes an error of this query.
                        let ended = match &turn {
                            Ok(_) => catch_unwind(AssertUnwindSafe(|| work(unit, &mut |portion| put(index, portion)))),
                            Err(error) => Ok(Err(error.clone())),
                        };
                        let mut shared = shared.lock();
                        let failed = !matches!(ended, Ok(Ok(())));
                        shared.given.entry(index).or_default().ended = Some(ended.unwrap_or(Err(QueryError::Bug)));
                        if index == last || failed {
                            wake(&shared, index);
                        }
                    }
                }
            });
        }
        // A panic of `take` must not leave the threads waiting.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            for index in 0..units.len() {
                loop {
                    let portion = {
                        let mut shared = shared.lock();
                        shared.turn = index;
                        let given = loop {
                            let given = shared.given.entry(index).or_default();
                            if !given.waiting.is_empty() || given.ended.is_some() {
                                break given;
                            }
                            limits.wait_for(&more, &mut shared);
                        };
                        let portion = given.waiting.pop_front();
                        let ended = if portion.is_none() { given.ended.take() } else { None };
                        if let Some(ended) = ended {
                            shared.given.remove(&index);
                            shared.turn = index + 1;
                            room.notify_all();
                            ended?;
                            break;
                        }
                        room.notify_all();
                        portion
                    };
                    if let Some((portion, taken)) = portion {
                        drop(taken);
                        if !take(portion)? {
                            return Ok(());
                        }
                    }
                }
            }
            Ok(())
        }));
        {
            let _order = shared.lock();
            stopped.store(true, Ordering::SeqCst);
            room.notify_all();
        }
        ended.unwrap_or(Err(QueryError::Bug))
    })
}

fn one_by_one<U, R>(
    units: &[U],
    work: impl Fn(&U, Put<'_, R>) -> Result<(), QueryError>,
    mut take: impl FnMut(R) -> Result<bool, QueryError>,
) -> Result<(), QueryError> {
    let mut ended = Ok(true);
    for unit in units {
        work(unit, &mut |portion| {
            if matches!(ended, Ok(true)) {
                ended = take(portion);
            }
            matches!(ended, Ok(true))
        })?;
        if !matches!(ended, Ok(true)) {
            break;
        }
    }
    ended.map(drop)
}

impl<R> Default for Given<R> {
    fn default() -> Given<R> {
        Given { waiting: VecDeque::new(), ended: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_read::memory::MemoryBudget;

    fn run(
        threads: usize,
        memory: &MemoryBudget,
        units: &[u64],
        work: impl Fn(&u64, Put<'_, u64>) -> Result<(), QueryError> + Sync,
        take: impl FnMut(u64) -> Result<bool, QueryError>,
    ) -> Result<(), QueryError> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(5);
        let unbounded = QueryLimits::new(deadline, u64::MAX, tokio_util::sync::CancellationToken::new());
        let limits = QueryLimits { memory: memory.clone(), ..unbounded };
        in_order(Workers { threads, limits: &limits }, units, |_| 8, work, take)
    }

    #[test]
    fn portions_come_in_order_on_any_number_of_threads_and_with_little_memory() {
        let units: Vec<u64> = (0..200).collect();
        let expected: Vec<u64> = units.iter().flat_map(|unit| (0..unit % 7).map(move |portion| unit * 10 + portion)).collect();
        for (threads, bytes) in [(1, 0), (2, u64::MAX), (5, 17), (3, 0)] {
            let memory = MemoryBudget::new(bytes);
            let mut seen = Vec::new();
            let work = |unit: &u64, put: Put<'_, u64>| {
                std::thread::sleep(std::time::Duration::from_micros((unit * 7919) % 300));
                let _ = (0..unit % 7).all(|portion| put(unit * 10 + portion));
                Ok(())
            };
            run(threads, &memory, &units, work, |portion| {
                seen.push(portion);
                Ok(true)
            })
            .unwrap();
            assert_eq!(seen, expected);
            assert!(bytes == 0 || memory.take(bytes).is_ok(), "all is given back");
        }
    }

    #[test]
    fn errors_panics_and_stops_end_it_and_nothing_hangs() {
        let units: Vec<u64> = (0..100).collect();
        let memory = MemoryBudget::default();
        let done = AtomicUsize::new(0);
        let work = |unit: &u64, put: Put<'_, u64>| {
            done.fetch_add(1, Ordering::SeqCst);
            match unit {
                40 => {
                    put(*unit);
                    Err(QueryError::Cancelled)
                }
                60 => panic!("a bug"),
                unit => {
                    let _ = (0..20).all(|_| put(*unit));
                    Ok(())
                }
            }
        };
        let mut seen = 0;
        let ended = run(3, &memory, &units, work, |_| {
            seen += 1;
            Ok(true)
        });
        assert!(matches!(ended, Err(QueryError::Cancelled)));
        assert_eq!(seen, 40 * 20 + 1, "what came before the error is given");
        assert!(done.load(Ordering::SeqCst) < 100, "work goes only so far ahead");
        assert!(run(3, &memory, &units[..30], work, |unit| Ok(unit < 10)).is_ok());
        assert!(matches!(run(3, &memory, &units[50..], work, |_| Ok(true)), Err(QueryError::Bug)));
        assert!(matches!(run(3, &memory, &units[..30], work, |_| Err(QueryError::Deadline)), Err(QueryError::Deadline)));
        assert!(matches!(run(1, &memory, &units[..30], work, |_| Err(QueryError::Deadline)), Err(QueryError::Deadline)));
        assert!(matches!(run(2, &memory, &units[..30], work, |_| panic!("another bug")), Err(QueryError::Bug)));
    }
}
