//! Writing, decided once for every door: what of a write is taken and why not, which tags it makes, how it is acknowledged, how a stream of
//! writes is held to bounds, and how what is stored is corrected.
//!
//! A door (`DoPut`, `WriteService`) only translates. It reads its messages into [`Options`] and into [`incoming::IncomingSamples`] columns of named
//! tags, puts these into a [`draft::WriteDraft`], and makes its answer of what was [written](draft::WriteOutcome).

pub mod acknowledge;
pub mod answers;
pub mod correct;
pub mod draft;
pub mod exact;
pub mod incoming;
mod new_tag;
mod options;
pub mod refusal;
pub mod sample;

pub use options::Options;

use futures::FutureExt;

/// Polls a write once, so that its batch stands in the sink's queue before the next one of the stream is handed over.
pub async fn started<T: Send + 'static>(mut write: futures::future::BoxFuture<'static, T>) -> futures::future::BoxFuture<'static, T> {
    match futures::poll!(&mut write) {
        std::task::Poll::Ready(done) => async move { done }.boxed(),
        std::task::Poll::Pending => write,
    }
}
