//! From the writes of a stream to the wire: their answers in order, bounded for a client that does not read them.

use std::{
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::Status;

use crate::status;

/// Way of the answers of a write stream to the wire.
pub struct AcknowledgementSender<T> {
    sender: mpsc::Sender<Result<T, Status>>,
    unread_for: Duration,
    failure: Arc<OnceLock<Status>>,
}

/// A bounded way for answers: at most `unread_max` wait for a client that does not read them, each for `unread_for`.
pub fn answers<T: Send + 'static>(
    unread_max: usize,
    unread_for: Duration,
) -> (AcknowledgementSender<T>, impl Stream<Item = Result<T, Status>> + Send) {
    let (answers, receiver) = mpsc::channel(unread_max);
    let failure = Arc::new(OnceLock::new());
    let mut last = Some(failure.clone());
    let ending = futures::stream::poll_fn(move |_| Poll::Ready(last.take().and_then(|failure| failure.get().cloned()).map(Err)));
    (AcknowledgementSender { sender: answers, unread_for, failure }, ReceiverStream::new(receiver).chain(ending))
}

impl<T> AcknowledgementSender<T> {
    /// Hands one answer on, waiting for room. False: the stream is to end, because nobody reads or an error was handed on.
    pub async fn send(&self, answer: Result<T, Status>) -> bool {
        let failed = answer.is_err();
        match self.sender.send_timeout(answer, self.unread_for).await {
            Ok(()) => !failed,
            Err(mpsc::error::SendTimeoutError::Closed(_)) => false,
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                let seconds = self.unread_for.as_secs();
                let message =
                    format!("the client did not read its acknowledgements for {seconds} s; what was not acknowledged must be sent again");
                let _ = self.failure.set(status::deadline(message));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_writer_that_reads_no_answers_is_told_so_after_those_it_has() {
        let (answers, stream) = answers(2, Duration::from_millis(20));
        assert!(answers.send(Ok(1)).await && answers.send(Ok(2)).await && !answers.send(Ok(3)).await);
        drop(answers);
        let seen: Vec<Result<i32, Status>> = stream.collect().await;
        assert_eq!(seen.len(), 3);
        assert_eq!((seen[0].as_ref().ok(), seen[1].as_ref().ok()), (Some(&1), Some(&2)));
        assert_eq!(seen[2].as_ref().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }
}
