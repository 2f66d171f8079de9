//! Threads of statements: a runtime of its own, started by the first statement. Sorting and joining would keep the workers that serve the wire
//! from their work.

use std::{
    future::Future,
    io,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    runtime::{Builder, Runtime},
    task::{AbortHandle, JoinHandle},
};

use super::{SqlError, SqlOptions, scan};
use crate::query::{QueryError, QueryLimits};

/// Stack of a thread: plans and expressions are walked recursively, at most `text::OPERATORS_MAX` deep. Only what is used becomes memory.
const STACK_BYTES: usize = 64 << 20;

/// The runtime, once it is needed.
pub struct Lazy {
    threads: usize,
    blocking_max: usize,
    runtime: OnceLock<Result<Runtime, io::ErrorKind>>,
}

impl Lazy {
    pub fn new(options: &SqlOptions) -> Lazy {
        Lazy {
            threads: options.threads.max(1),
            // As many as all scans of all statements: a scan that waited for a thread could be one that others wait for.
            blocking_max: options.statements_max.max(1).saturating_mul(scan::SCANS_MAX) + 1,
            runtime: OnceLock::new(),
        }
    }

    fn started(&self) -> Result<&Runtime, SqlError> {
        let build = || {
            let number = AtomicUsize::new(0);
            Builder::new_multi_thread()
                .worker_threads(self.threads)
                .max_blocking_threads(self.blocking_max)
                .thread_stack_size(STACK_BYTES)
                .thread_name_fn(move || format!("sql-{}", number.fetch_add(1, Ordering::Relaxed)))
                .enable_time()
                .build()
                .map_err(|error| error.kind())
        };
        self.runtime.get_or_init(build).as_ref().map_err(|kind| SqlError::Internal(format!("no threads for SQL: {kind}")))
    }

    /// Starts a task.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SqlError>> + Send + 'static,
    ) -> Result<JoinHandle<Result<T, SqlError>>, SqlError> {
        Ok(self.started()?.spawn(work))
    }

    /// Runs a task to its end, or to the deadline or the cancellation.
    pub fn run<T: Send + 'static>(
        &self,
        limits: &QueryLimits,
        work: impl Future<Output = Result<T, SqlError>> + Send + 'static,
    ) -> Result<T, SqlError> {
        let running = self.spawn(work)?;
        let _stop = AbortOnDrop(running.abort_handle());
        self.wait(limits, running)?
            .unwrap_or_else(|_| Err(SqlError::Internal("a bug stopped this statement; please report it with the lines of the log".into())))
    }

    /// Waits on this blocking thread for something of the runtime.
    pub fn wait<T>(&self, limits: &QueryLimits, what: impl Future<Output = T>) -> Result<T, SqlError> {
        let left = limits.left()?;
        #[expect(clippy::disallowed_methods, reason = "runs on a blocking thread, never inside a task")]
        self.started()?.handle().block_on(async {
            tokio::select! {
                biased;
                () = limits.cancel.cancelled() => Err(QueryError::Cancelled.into()),
                result = tokio::time::timeout(left, what) => result.map_err(|_| QueryError::Deadline.into()),
            }
        })
    }
}

impl Drop for Lazy {
    fn drop(&mut self) {
        // The last owner may be dropped inside a task, where waiting for threads is not allowed.
        if let Some(Ok(runtime)) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Ends a task with its owner.
pub struct AbortOnDrop(pub AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
