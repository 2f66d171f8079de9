//! Turns of the processors among queries. A query works in turns of some milliseconds: only so many work at the same time, and when others
//! wait, those of each client come one after the other, however many a client has. The threads of ingest and of collectors need no turn.
//!
//! A thread takes its turn with [`ClientTurns::begin`]; what it works through calls [`pass`] between portions, and [`away`] around whatever it
//! waits for, so that no turn is held by one who does not work.

use std::{
    cell::RefCell,
    collections::VecDeque,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::Thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// How long a thread works while others wait.
const TURN: Duration = Duration::from_millis(10);
/// How often a thread that waits looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// By what the share of a client is counted: a short form of its name or address, made for this process. Two clients have the same one with a chance
/// of one in 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey(u64);

impl ClientKey {
    pub fn of(client: impl Hash) -> ClientKey {
        static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        ClientKey(STATE.hash_one(client))
    }
}

/// The turns of a process. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Mutex<TurnState>>);

/// Further threads of a query, given back when dropped. What they are ahead of their reader is memory, so that all queries together have only a few
/// of them, also when most of them wait.
#[derive(Debug)]
pub struct FurtherThreads {
    turns: Turns,
    count: usize,
}

#[derive(Debug)]
struct TurnState {
    /// Turns that nobody has.
    free: usize,
    /// Further threads that no query has.
    further: usize,
    /// Clients that wait, the next one in front, each with its threads in the order in which they came. None is without a thread.
    waiting: VecDeque<(ClientKey, VecDeque<Arc<Waiter>>)>,
}

#[derive(Debug)]
struct Waiter {
    thread: Thread,
    /// It has a turn.
    called: AtomicBool,
}

/// The turns of a process, for the threads of one client.
#[derive(Clone, Debug)]
pub struct ClientTurns {
    turns: Turns,
    client: ClientKey,
    meter: Option<TurnMeter>,
}

/// How long threads have had turns, all of them together. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct TurnMeter(Arc<AtomicU64>);

impl TurnMeter {
    /// Time of the turns that have ended.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Until it is dropped, the thread takes turns.
#[must_use]
pub struct TurnGuard {
    /// What the thread had before.
    before: Option<Turn>,
}

/// What a thread has.
struct Turn {
    of: ClientTurns,
    since: Instant,
}

/// Whether a thread is still wanted that waits for its turn.
pub type StillWanted<'a> = &'a dyn Fn() -> bool;

thread_local! {
    static CURRENT: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

impl Turns {
    /// So many turns at the same time.
    pub fn new(at_once: usize, further_threads: usize) -> Turns {
        Turns(Arc::new(Mutex::new(TurnState { free: at_once.max(1), further: further_threads, waiting: VecDeque::new() })))
    }

    /// For the threads of a client.
    pub fn of(&self, client: ClientKey) -> ClientTurns {
        ClientTurns { turns: self.clone(), client, meter: None }
    }

    /// Threads that wait for a turn.
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting.iter().map(|(_, threads)| threads.len()).sum()
    }

    fn give_back(&self) {
        self.0.lock().hand_on();
    }
}

impl TurnState {
    /// A turn that has ended becomes that of who is next.
    fn hand_on(&mut self) {
        let Some((client, mut threads)) = self.waiting.pop_front() else {
            self.free += 1;
            return;
        };
        if let Some(next) = threads.pop_front() {
            next.called.store(true, Ordering::SeqCst);
            next.thread.unpark();
        }
        if !threads.is_empty() {
            self.waiting.push_back((client, threads));
        }
    }

    fn wait(&mut self, client: ClientKey) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter { thread: std::thread::current(), called: AtomicBool::new(false) });
        match self.waiting.iter_mut().find(|(other, _)| *other == client) {
            Some((_, threads)) => threads.push_back(waiter.clone()),
            None => self.waiting.push_back((client, VecDeque::from([waiter.clone()]))),
        }
        waiter
    }

    fn leave(&mut self, client: ClientKey, waiter: &Arc<Waiter>) {
        for (_, threads) in self.waiting.iter_mut().filter(|(other, _)| *other == client) {
            threads.retain(|other| !Arc::ptr_eq(other, waiter));
        }
        self.waiting.retain(|(_, threads)| !threads.is_empty());
    }
}

impl ClientTurns {
    /// The same ones, whose time is added to this meter.
    #[must_use]
    pub fn metered(self, meter: TurnMeter) -> ClientTurns {
        ClientTurns { meter: Some(meter), ..self }
    }

    /// Further threads for a query, of those that it wants: none where others wait.
    pub fn further_threads(&self, wanted: usize) -> FurtherThreads {
        let mut state = self.turns.0.lock();
        let is_crowded = state.free == 0 || !state.waiting.is_empty();
        let count = if is_crowded { 0 } else { wanted.min(state.further) };
        state.further -= count;
        FurtherThreads { turns: self.turns.clone(), count }
    }

    /// Waits for a turn of this thread. `None` when it is wanted no more.
    pub fn begin(&self, still_wanted: StillWanted<'_>) -> Option<TurnGuard> {
        let turn = self.wait(still_wanted)?;
        Some(TurnGuard { before: CURRENT.replace(Some(turn)) })
    }

    fn wait(&self, still_wanted: StillWanted<'_>) -> Option<Turn> {
        let waiter = {
            let mut state = self.turns.0.lock();
            if state.free > 0 && state.waiting.is_empty() {
                state.free -= 1;
                None
            } else {
                Some(state.wait(self.client))
            }
        };
        if let Some(waiter) = waiter {
            self.wait_as(&waiter, still_wanted)?;
        }
        Some(Turn { of: self.clone(), since: Instant::now() })
    }

    fn wait_as(&self, waiter: &Arc<Waiter>, still_wanted: StillWanted<'_>) -> Option<()> {
        while !waiter.called.load(Ordering::SeqCst) {
            if !still_wanted() {
                let mut state = self.turns.0.lock();
                // It may have been called meanwhile.
                if waiter.called.load(Ordering::SeqCst) {
                    state.hand_on();
                } else {
                    state.leave(self.client, waiter);
                }
                return None;
            }
            std::thread::park_timeout(LOOK);
        }
        Some(())
    }
}

impl Turn {
    /// Adds its time to what is measured.
    fn measure(&self) {
        if let Some(TurnMeter(total)) = &self.of.meter {
            total.fetch_add(u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Lets another one work if one waits and this one has had its time; comes back when it is its turn again.
    fn pass(self, still_wanted: StillWanted<'_>) -> Option<Turn> {
        if self.since.elapsed() < TURN {
            return Some(self);
        }
        self.measure();
        let waiter = {
            let mut state = self.of.turns.0.lock();
            if state.waiting.is_empty() {
                drop(state);
                return Some(Turn { since: Instant::now(), ..self });
            }
            let waiter = state.wait(self.of.client);
            state.hand_on();
            waiter
        };
        self.of.wait_as(&waiter, still_wanted)?;
        Some(Turn { since: Instant::now(), ..self })
    }
}

impl FurtherThreads {
    pub fn count(&self) -> usize {
        self.count
    }
}

impl Drop for FurtherThreads {
    fn drop(&mut self) {
        self.turns.0.lock().further += self.count;
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        if let Some(turn) = CURRENT.replace(self.before.take()) {
            turn.measure();
            turn.of.turns.give_back();
        }
    }
}

/// Lets others work whose turn it is, if this thread takes turns and has had its time. Returns early when the thread is wanted no more: it has
/// no turn then, and is to end.
pub fn pass(still_wanted: StillWanted<'_>) {
    if let Some(turn) = CURRENT.take() {
        CURRENT.set(turn.pass(still_wanted));
    }
}

/// Does something that waits, without a turn while it does.
pub fn away<T>(waiting: impl FnOnce() -> T, still_wanted: StillWanted<'_>) -> T {
    let Some(turn) = CURRENT.take() else { return waiting() };
    turn.measure();
    let of = turn.of;
    of.turns.give_back();
    let waited = waiting();
    CURRENT.set(of.wait(still_wanted));
    waited
}

/// Waits for a condition, without a turn while it does. Who waits for a turn holds no lock: who has one may need it.
pub fn wait_for<T>(condition: &Condvar, lock: &mut MutexGuard<'_, T>, still_wanted: StillWanted<'_>) {
    let Some(turn) = CURRENT.take() else { return condition.wait(lock) };
    turn.measure();
    let of = turn.of;
    of.turns.give_back();
    condition.wait(lock);
    MutexGuard::unlocked(lock, || CURRENT.set(of.wait(still_wanted)));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const FIRST: ClientKey = ClientKey(1);
    const SECOND: ClientKey = ClientKey(2);

    fn wanted() -> bool {
        true
    }

    /// Works for some time, between portions of which others may come.
    fn work(portions: usize) {
        for _ in 0..portions {
            std::thread::sleep(Duration::from_millis(2));
            pass(&wanted);
        }
    }

    #[test]
    fn a_meter_has_the_time_of_turns_and_not_what_is_waited() {
        let (turns, meter) = (Turns::new(1, 0), TurnMeter::default());
        let metered = turns.of(FIRST).metered(meter.clone());
        let guard = metered.begin(&wanted).unwrap();
        std::thread::sleep(Duration::from_millis(15));
        away(|| std::thread::sleep(Duration::from_millis(200)), &wanted);
        work(10);
        drop(guard);
        // Of somebody without a meter nothing is added.
        let guard = turns.of(SECOND).begin(&wanted).unwrap();
        work(1);
        drop(guard);
        assert!(meter.total() >= Duration::from_millis(35) && meter.total() < Duration::from_millis(200), "{:?}", meter.total());
    }

    #[test]
    fn only_so_many_work_at_once_and_all_come_to_their_end() {
        let turns = Turns::new(2, 0);
        let (working, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let guard = turns.of(FIRST).begin(&wanted).unwrap();
                    for _ in 0..10 {
                        most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(2));
                        working.fetch_sub(1, Ordering::SeqCst);
                        pass(&wanted);
                    }
                    drop(guard);
                });
            }
        });
        assert_eq!(most.into_inner(), 2);
        assert_eq!(turns.0.lock().free, 2);
    }

    #[test]
    fn one_of_a_client_does_not_wait_for_all_of_another() {
        let turns = Turns::new(1, 0);
        let (started, begun) = std::sync::mpsc::channel();
        let ended = AtomicUsize::new(0);
        let ended = &ended;
        std::thread::scope(|scope| {
            for _ in 0..20 {
                let (turns, started) = (turns.clone(), started.clone());
                scope.spawn(move || {
                    let _turn = turns.of(FIRST).begin(&wanted).unwrap();
                    let _ = started.send(());
                    work(30);
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
            begun.recv().unwrap();
            let _turn = turns.of(SECOND).begin(&wanted).unwrap();
            assert_eq!(ended.load(Ordering::SeqCst), 0, "it comes after the turns of one, not after their work");
        });
        assert_eq!(turns.0.lock().free, 1);
    }

    #[test]
    fn who_waits_for_something_else_holds_no_turn() {
        let turns = Turns::new(1, 0);
        let _turn = turns.of(FIRST).begin(&wanted).unwrap();
        let another = || std::thread::scope(|scope| scope.spawn(|| turns.of(FIRST).begin(&wanted).is_some()).join().unwrap());
        let came = away(another, &wanted);
        assert!(came);
        assert_eq!(turns.0.lock().free, 0, "it is back");
    }

    #[test]
    fn queries_have_a_few_further_threads_together_and_none_where_others_wait() {
        let turns = Turns::new(1, 2);
        let first = turns.of(FIRST).further_threads(1);
        let second = turns.of(SECOND).further_threads(2);
        assert_eq!((first.count(), second.count()), (1, 1));
        drop((first, second));
        let turn = turns.of(FIRST).begin(&wanted).unwrap();
        assert_eq!(turns.of(SECOND).further_threads(2).count(), 0);
        drop(turn);
        assert_eq!(turns.of(SECOND).further_threads(2).count(), 2);
    }

    #[test]
    fn who_is_wanted_no_more_leaves_the_queue() {
        let turns = Turns::new(1, 0);
        let turn = turns.of(FIRST).begin(&wanted).unwrap();
        assert!(turns.of(SECOND).begin(&|| false).is_none());
        assert!(turns.0.lock().waiting.is_empty());
        drop(turn);
        assert_eq!(turns.0.lock().free, 1);
        // A thread without a turn has nothing to pass.
        pass(&wanted);
    }
}
