//! Writing, once for every door: options, samples and the conversion of their values, tags that a write makes, acknowledgements, corrections.

pub mod acknowledge;
pub mod answers;
pub mod correct;
pub mod exact;
pub mod new_tag;
pub mod options;
pub mod sample;

use futures::FutureExt;

/// Polls a write once, so that its batch stands in the sink's queue before the next one of the stream is handed over.
pub async fn started<T: Send + 'static>(mut write: futures::future::BoxFuture<'static, T>) -> futures::future::BoxFuture<'static, T> {
    match futures::poll!(&mut write) {
        std::task::Poll::Ready(done) => async move { done }.boxed(),
        std::task::Poll::Pending => write,
    }
}
