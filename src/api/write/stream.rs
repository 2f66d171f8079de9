//! A stream of writes: several wait for the journal at the same time, so that one fsync serves them all, and they are acknowledged in order.

use std::{sync::Arc, task::Poll};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio_stream::Stream;
use tonic::Status;
use tracing::Instrument as _;

use super::{
    answers::{AcknowledgementSender, answers},
    draft::{PreparedWrite, WriteOutcome},
};
use crate::{Api, CallRecord, Services, blocking, kind::WRITE, status};
use historian_query::{ClientKey, PoolPart};

/// What a door knows of the messages of its stream.
pub trait WriteReader: Send + 'static {
    type Message: Send + 'static;

    /// Bytes that a message counts among those that wait.
    fn bytes(message: &Self::Message) -> usize;

    /// The write that a message asks for; `None` where it asks for none. Runs on a blocking thread, message after message.
    ///
    /// # Errors
    /// Why it cannot be taken. The stream ends with it, after the acknowledgements of what came before.
    fn read(&mut self, services: &Services, message: Self::Message) -> Result<Option<PreparedWrite>, Status>;
}

/// Takes the writes of a stream; what comes back is the stream of their answers.
///
/// As many messages are read ahead as [`ApiLimits::write_batches_in_flight`](crate::ApiLimits::write_batches_in_flight) and
/// `write_bytes_in_flight` allow; then the client waits. The first error ends the stream, after the answers to what came before it.
pub fn start<R: WriteReader, A: Send + 'static>(
    api: Arc<Api>,
    client: ClientKey,
    call: Arc<CallRecord>,
    reader: R,
    messages: impl Stream<Item = Result<R::Message, Status>> + Send + Unpin + 'static,
    answer: impl Fn(WriteOutcome) -> A + Copy + Send + 'static,
) -> impl Stream<Item = Result<A, Status>> + Send {
    let (answers, stream) = answers(api.limits().acknowledgements_unread_max, api.limits().stalled_reader_timeout);
    let memory = api.services.memory.for_messages(client).take(0).unwrap_or_default();
    call.is_of(WRITE);
    let counted = move |written: WriteOutcome| {
        call.add_rows(written.acknowledgement.samples);
        answer(written)
    };
    tokio::spawn(run(api, memory, reader, messages, counted, answers).in_current_span());
    stream
}

async fn run<R: WriteReader, A: Send + 'static>(
    api: Arc<Api>,
    mut memory: PoolPart,
    reader: R,
    mut messages: impl Stream<Item = Result<R::Message, Status>> + Send + Unpin,
    answer: impl Fn(WriteOutcome) -> A + Clone + Send + 'static,
    answers: AcknowledgementSender<A>,
) {
    let (batches_max, bytes_max) = (api.limits().write_batches_in_flight, api.limits().write_bytes_in_flight);
    let failed = |error: Status| async { (0, Err(error)) }.boxed();
    let mut waiting: FuturesOrdered<BoxFuture<'static, (usize, Result<A, Status>)>> = FuturesOrdered::new();
    let mut bytes_waiting = 0;
    // What waits takes more memory than the client's share has.
    let mut is_short = false;
    // None when nothing more is read.
    let mut reader = Some(reader);
    loop {
        // Where memory is short, one batch waits at a time.
        let room = waiting.is_empty() || waiting.len() < batches_max && bytes_waiting < bytes_max && !is_short;
        tokio::select! {
            biased;
            Some((bytes, written)) = waiting.next(), if !waiting.is_empty() => {
                bytes_waiting -= bytes;
                memory.shrink(bytes as u64);
                is_short = false;
                if !answers.send(written).await {
                    return;
                }
            }
            () = api.draining.cancelled(), if reader.is_some() => {
                reader = None;
                waiting.push_back(failed(status::stopping()));
            }
            message = messages.next(), if room && reader.is_some() => {
                // Put back when the next message may be read: not after the end, and not after an error.
                let Some((message, mut taken)) = message.zip(reader.take()) else { continue };
                let read = match message {
                    Err(error) => Err(error),
                    Ok(message) => {
                        let bytes = R::bytes(&message);
                        let services = api.services.clone();
                        // A panic takes the reader with it; the stream ends then, and needs none.
                        blocking(move || Ok((taken.read(&services, message)?, bytes, taken))).await
                    }
                };
                match read {
                    Err(error) => waiting.push_back(failed(error)),
                    Ok((None, _, taken)) => reader = Some(taken),
                    Ok((Some(prepared), bytes, taken)) => {
                        reader = Some(taken);
                        // What was compressed waits as what it has become.
                        let bytes = bytes.max(prepared.bytes());
                        bytes_waiting += bytes;
                        if memory.grow(bytes as u64).is_err() {
                            memory.grow_beyond(bytes as u64);
                            is_short = true;
                        }
                        let written = started(prepared.write(api.services.clone()).boxed()).await;
                        let answer = answer.clone();
                        waiting.push_back(written.map(move |written| (bytes, written.map(answer))).boxed());
                    }
                }
            },
            else => return,
        }
    }
}

/// Polls a write once, so that its batch stands in the sink's queue before the next one of the stream is handed over.
async fn started<T: Send + 'static>(mut write: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
    match futures::poll!(&mut write) {
        Poll::Ready(done) => async move { done }.boxed(),
        Poll::Pending => write,
    }
}

#[cfg(test)]
mod tests;
