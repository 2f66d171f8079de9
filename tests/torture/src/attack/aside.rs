//! Where attackers of this process work: on threads of their own, behind all others at the processors. In a plant they have machines of their
//! own; here they share those of the server, and what they compute themselves is no part of what they do to it.

use anyhow::Context;
use tokio::sync::oneshot;

/// As far behind as the system lets anybody be.
pub const NICE: i32 = 19;

/// Puts this thread behind all others at the processors, for good.
pub fn step_back() {
    // Refused nowhere; where it is, attackers are as good as others.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

/// Does work on a thread that has stepped back, with a runtime of its own.
///
/// # Errors
/// There is no thread or runtime for it, or it panicked.
pub async fn aside<T, F>(work: impl FnOnce() -> F + Send + 'static) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("attacker".into()).spawn(move || {
        step_back();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Nobody waits for it where the test was interrupted.
        let _ = sender.send(runtime.map(|runtime| runtime.block_on(work())));
    })?;
    Ok(receiver.await.context("the thread of an attacker panicked")??)
}
