//! Threads of statements. Each statement has some of its own while it is planned and runs, a *lane*: the operating system shares the processors
//! among statements, whatever one of them does, and one that works on after its end takes nothing from others but its share. Lanes begin with
//! the first statements and are used again.

use std::{
    cell::RefCell,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Runtime},
    task::{AbortHandle, JoinHandle},
};

use super::{SqlError, SqlOptions, scan};
use historian_query::{QueryError, QueryLimits, TurnGuard};

/// Stack of a thread: plans and expressions are walked recursively, at most `text::OPERATORS_MAX` deep. Only what is used becomes memory.
const STACK_BYTES: usize = 64 << 20;
/// Lanes that are kept for later statements.
const IDLE_MAX: usize = 8;
/// Behind the threads of the wire and of ingest, as those of other queries.
const NICE: i32 = 10;
/// How long a lane is looked at whose last task is just ending.
const LOOKED_AT: Duration = Duration::from_millis(2);

/// All lanes.
pub struct Lanes {
    threads: usize,
    idle: Arc<Idle>,
    number: Arc<AtomicUsize>,
}

impl Lanes {
    pub fn new(options: &SqlOptions) -> Lanes {
        Lanes { threads: options.threads.max(1), idle: Arc::default(), number: Arc::default() }
    }

    /// A lane for one statement, whose threads take their turns as its limits say.
    pub fn enter(&self, limits: &QueryLimits) -> Result<StatementThreads, SqlError> {
        let idle = self.idle.0.lock().pop();
        let lane = idle.map_or_else(|| self.begin(), Ok)?;
        *lane.limits.lock() = Some(limits.clone());
        Ok(StatementThreads { lane: Some(lane), idle: self.idle.clone() })
    }

    fn begin(&self) -> Result<StatementLane, SqlError> {
        let number = self.number.clone();
        let limits: Arc<Mutex<Option<QueryLimits>>> = Arc::default();
        let of_statement = limits.clone();
        let built = Builder::new_multi_thread()
            .worker_threads(self.threads)
            // As many as all scans of a statement: a scan that waited for a thread could be one that others wait for.
            .max_blocking_threads(scan::SCANS_MAX + 1)
            .thread_stack_size(STACK_BYTES)
            .thread_name_fn(move || format!("sql-{}", number.fetch_add(1, Ordering::Relaxed)))
            .on_thread_start(|| {
                // Refused nowhere; where it is, statements are as good as others.
                let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
            })
            // A thread that finds no task to do holds no turn.
            .on_thread_unpark(move || {
                drop(TURN.take());
                let limits = of_statement.lock().clone();
                TURN.set(limits.and_then(|limits| limits.begin().ok().flatten()));
            })
            .on_thread_park(|| drop(TURN.take()))
            .on_thread_stop(|| drop(TURN.take()))
            .enable_time()
            .build();
        built.map(|runtime| StatementLane { runtime, limits }).map_err(|error| SqlError::Internal(format!("no threads for SQL: {error}")))
    }
}

thread_local! {
    /// Of a thread that has tasks to do.
    static TURN: RefCell<Option<TurnGuard>> = const { RefCell::new(None) };
}

/// Threads, and the limits of the statement that has them.
struct StatementLane {
    runtime: Runtime,
    limits: Arc<Mutex<Option<QueryLimits>>>,
}

/// Lanes without a statement.
#[derive(Default)]
struct Idle(Mutex<Vec<StatementLane>>);

impl Drop for Idle {
    fn drop(&mut self) {
        // The last owner may be dropped inside a task, where waiting for threads is not allowed.
        self.0.get_mut().drain(..).for_each(|lane| lane.runtime.shutdown_background());
    }
}

/// The threads of one statement.
pub struct StatementThreads {
    lane: Option<StatementLane>,
    idle: Arc<Idle>,
}

impl StatementThreads {
    /// Starts a task.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SqlError>> + Send + 'static,
    ) -> Result<JoinHandle<Result<T, SqlError>>, SqlError> {
        let lane = self.lane.as_ref().ok_or_else(|| SqlError::Internal("a statement without threads".into()))?;
        Ok(lane.runtime.spawn(work))
    }
}

impl Drop for StatementThreads {
    fn drop(&mut self) {
        let Some(lane) = self.lane.take() else { return };
        *lane.limits.lock() = None;
        // What a task still does is not for the next statement to wait for: such threads end with it.
        let is_free = || lane.runtime.metrics().num_alive_tasks() == 0;
        let begun = Instant::now();
        while !is_free() && begun.elapsed() < LOOKED_AT {
            std::thread::yield_now();
        }
        let freed = is_free();
        let mut idle = self.idle.0.lock();
        if freed && idle.len() < IDLE_MAX {
            idle.push(lane);
        } else {
            drop(idle);
            lane.runtime.shutdown_background();
        }
    }
}

/// Waits on this blocking thread for something, to the deadline or the cancellation at most. It needs no timer of a runtime, whose threads may
/// all be at work.
pub fn wait<T>(limits: &QueryLimits, what: impl Future<Output = T>) -> Result<T, SqlError> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let (mut what, mut cancelled) = (pin!(what), pin!(limits.cancel.cancelled()));
    loop {
        if cancelled.as_mut().poll(&mut context).is_ready() {
            return Err(QueryError::Cancelled.into());
        }
        let left = limits.left()?;
        if let Poll::Ready(found) = what.as_mut().poll(&mut context) {
            return Ok(found);
        }
        limits.away(|| std::thread::park_timeout(left));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Ends a task with its owner.
pub struct AbortOnDrop(pub AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn limits(wait: Duration) -> QueryLimits {
        QueryLimits::new(Instant::now() + wait, u64::MAX, CancellationToken::new())
    }

    #[test]
    fn waiting_ends_with_what_is_waited_for_the_deadline_or_the_cancellation() {
        assert_eq!(wait(&limits(Duration::from_mins(1)), std::future::ready(7)).unwrap(), 7);
        let late = wait(&limits(Duration::from_millis(20)), std::future::pending::<()>());
        assert!(matches!(late, Err(SqlError::Query(QueryError::Deadline))));
        let limits = limits(Duration::from_mins(1));
        let cancel = limits.cancel.clone();
        let canceller = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            cancel.cancel();
        });
        assert!(matches!(wait(&limits, std::future::pending::<()>()), Err(SqlError::Query(QueryError::Cancelled))));
        canceller.join().unwrap();
    }

    #[test]
    fn a_lane_whose_threads_work_on_is_not_given_to_others() {
        let lanes = Lanes::new(&SqlOptions { threads: 1, ..SqlOptions::default() });
        let (release, held) = std::sync::mpsc::channel::<()>();
        let soon = limits(Duration::from_mins(1));
        let lane = lanes.enter(&soon).unwrap();
        let (began, begun) = std::sync::mpsc::channel();
        let _stuck = lane.spawn(async move {
            began.send(()).unwrap();
            let _ = held.recv();
            Ok(())
        });
        begun.recv().unwrap();
        drop(lane);
        let other = lanes.enter(&soon).unwrap();
        let answer = other.spawn(async { Ok(1) }).unwrap();
        assert_eq!(wait(&limits(Duration::from_mins(1)), answer).unwrap().unwrap().unwrap(), 1);
        drop(other);
        assert_eq!(lanes.idle.0.lock().len(), 1);
        drop(release);
    }
}
