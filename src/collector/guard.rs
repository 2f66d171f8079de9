//! Calls into protocol libraries, which must not take the program with them.
//!
//! A device may send what a library's author did not expect, and the library panics. That is the device's fault and the library's, and an
//! operator needs one sentence about it, not a stack trace; so a guarded call gives the panic back as an error with its place, and nothing
//! is printed. Everything that is not guarded panics as it always did.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
    task::Poll,
};

thread_local! {
    /// Guarded calls that this thread is inside of.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Where the last panic of a guarded call was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

static HOOK: Once = Once::new();

/// A library panicked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{BEGIN}: {0}")]
pub struct Panicked(String);

const BEGIN: &str = "internal error of the protocol library";

/// True for the message of a [`Panicked`].
pub fn is_panic(message: &str) -> bool {
    message.contains(BEGIN)
}

/// Calls `work`.
///
/// # Errors
/// What it panicked with, and where.
pub fn call<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if DEPTH.get() == 0 {
                usual(info);
            } else {
                PLACE.set(info.location().map(ToString::to_string).unwrap_or_default());
            }
        }));
    });
    DEPTH.set(DEPTH.get() + 1);
    let ended = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    ended.map_err(|payload| Panicked(format!("{} (at {})", words(&*payload), PLACE.take())))
}

fn words(payload: &(dyn Any + Send)) -> &str {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}

/// Awaits `work`; after an error it is not polled again.
///
/// # Errors
/// What it panicked with, and where.
pub fn run<F: Future>(work: F) -> impl Future<Output = Result<F::Output, Panicked>> {
    let mut work = Box::pin(work);
    std::future::poll_fn(move |context| match call(|| work.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_that_says_what_and_where() {
        assert_eq!(call(|| 7), Ok(7));
        let error = call(|| std::hint::black_box(None::<u32>).expect("no certificate")).unwrap_err().to_string();
        assert!(error.contains("no certificate") && error.contains("guard.rs:"), "{error}");
        assert!(is_panic(&error) && !is_panic("no certificate"));
        let later = run(async {
            tokio::task::yield_now().await;
            let number = 3_usize;
            [1, 2, 3][std::hint::black_box(number)]
        });
        let error = later.await.unwrap_err().to_string();
        assert!(error.contains("index out of bounds"), "{error}");
        assert_eq!(run(async { 5 }).await, Ok(5));
    }
}
