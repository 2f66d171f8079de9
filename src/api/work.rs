//! Threads of the work that clients ask for. Ingest, collectors, health and metrics have others, which come before these at the processors.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

/// Behind the threads of the wire and of ingest at the processors, and beside those of upkeep.
const NICE: i32 = 10;
/// Threads at most. Places bound what runs at the same time; what has been cut and still ends has a thread as well.
const THREADS_MAX: usize = 4_096;
/// A thread is kept so long for the next call. What it has allocated and others free later, such as messages on their way to a client, stays with it
/// until it works again or ends.
const KEPT: Duration = Duration::from_millis(500);

/// The threads. Clones are the same ones.
#[derive(Clone)]
pub struct WorkThreads {
    handle: Handle,
    after: fn(),
    owned: Arc<OwnedRuntime>,
}

struct OwnedRuntime(Mutex<Option<Runtime>>);

impl WorkThreads {
    /// Threads that do this after each piece of work; it is to be short.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(after: fn()) -> std::io::Result<WorkThreads> {
        let runtime = Builder::new_multi_thread()
            // It runs no tasks but those that block.
            .worker_threads(1)
            .max_blocking_threads(THREADS_MAX)
            .thread_keep_alive(KEPT)
            .thread_name("work")
            .on_thread_start(|| {
                // Refused nowhere; where it is, queries are as good as others.
                let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
            })
            .build()?;
        Ok(WorkThreads { handle: runtime.handle().clone(), after, owned: Arc::new(OwnedRuntime(Mutex::new(Some(runtime)))) })
    }

    /// Does work that blocks or computes. After the end of the threads it is not begun, and waiting for it fails.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let (after, span) = (self.after, tracing::Span::current());
        self.handle.spawn_blocking(move || {
            // What is logged there belongs to the call.
            let done = span.in_scope(|| tracing::info_span!(target: historian_trace::STAGE, "compute").in_scope(work));
            after();
            done
        })
    }

    /// Ends the threads: waits for what still works, after it has been told to end. A process must not end while threads read the store.
    /// Blocks.
    pub fn end(&self, wait: Duration) {
        if let Some(runtime) = self.owned.0.lock().take() {
            runtime.shutdown_timeout(wait);
        }
    }
}

impl Drop for OwnedRuntime {
    fn drop(&mut self) {
        // The last owner may be dropped inside a task, where waiting for threads is not allowed.
        if let Some(runtime) = self.0.get_mut().take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_is_under_way_is_waited_for_and_nothing_is_begun_after_the_end() {
        let threads = WorkThreads::new(|| ()).unwrap();
        let (begin, begun) = std::sync::mpsc::channel();
        let work = threads.spawn(move || {
            begin.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            7
        });
        begun.recv().unwrap();
        let ending = threads.clone();
        tokio::task::spawn_blocking(move || ending.end(Duration::from_secs(30))).await.unwrap();
        assert!(work.is_finished());
        assert_eq!(work.await.unwrap(), 7);
        assert!(threads.spawn(|| 7).await.is_err());
    }
}
