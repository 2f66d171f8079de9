//! From a blocking query to the wire: one thread of work per query, a short channel bounded in messages and bytes, and an end for every way a query
//! can end.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use prost::Message;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_stream::Stream;
use tokio_util::sync::DropGuard;
use tonic::{Status, metadata::MetadataMap};

use super::{CallRecord, Caller, places::Place, shared::Api, status};
use historian_access::Right;
use historian_query::{MemoryBudget, PoolPart, QueryLimits};

/// Longest upkeep: what takes longer has been forgotten.
const UPKEEP_MAX: Duration = Duration::from_hours(720);
/// Bytes of messages between a query and the wire. One that is longer is there alone.
const WAITING_BYTES_MAX: usize = 512 << 10;
/// What bytes of messages are counted in.
const UNIT_BYTES: usize = 1 << 10;

/// Messages of a call, as they go to the wire.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Runs a short blocking call of the layers below on a blocking thread, for writers and upkeep: what a client asks to be read or computed goes
/// through [`Api::stream`] or [`Api::bounded`].
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Status> + Send + 'static) -> Result<T, Status> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await.map_err(|error| status::from_join(&error))?
}

/// Messages of a running query, in order, then its error if it failed. Dropping it (the client is gone) cancels the query.
pub struct QueryStream<T> {
    /// The first message, until it is read.
    first: Option<(T, OwnedSemaphorePermit)>,
    messages: mpsc::Receiver<(T, OwnedSemaphorePermit)>,
    /// Set before the channel closes, when the query did not end well. Not sent through the channel: a stalled reader leaves no room there.
    failure: Arc<OnceLock<Status>>,
    ended: bool,
    _cancel_on_drop: DropGuard,
}

impl<T> QueryStream<T> {
    /// Waits for the first message: what fails before it is the answer of the call, and not the end of a stream.
    async fn begun(mut self) -> Result<QueryStream<T>, Status> {
        self.first = self.messages.recv().await;
        if self.first.is_none() {
            self.ended = true;
            if let Some(failure) = self.failure.get() {
                return Err(failure.clone());
            }
        }
        Ok(self)
    }
}

/// Nothing in it is pinned.
impl<T> Unpin for QueryStream<T> {}

impl<T> Stream for QueryStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some((message, _room)) = self.first.take() {
            return Poll::Ready(Some(Ok(message)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        match self.messages.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some((message, _room))) => Poll::Ready(Some(Ok(message))),
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(self.failure.get().cloned().map(Err))
            }
        }
    }
}

/// What the work of a query gets to hand on its messages.
pub struct Emitter<T> {
    messages: mpsc::Sender<(T, OwnedSemaphorePermit)>,
    /// Of the messages that wait, in units.
    room: Arc<Semaphore>,
    runtime: Handle,
    limits: QueryLimits,
    stalled_after: Duration,
    /// Bytes per second that a reader takes at least; 0 for any.
    pace: u64,
    /// How long is waited for it in all before it must have taken that.
    patience: Duration,
    /// Nanoseconds that were waited for the reader.
    waited: AtomicU64,
    failure: Arc<OnceLock<Status>>,
    /// Bytes of a message, and of all so far.
    weight: fn(&T) -> usize,
    bytes: AtomicU64,
    bytes_max: u64,
    call: Arc<CallRecord>,
}

impl<T> Emitter<T> {
    /// Counts rows of the answer, which are in messages of any form.
    pub fn count_rows(&self, rows: usize) {
        self.call.add_rows(rows as u64);
    }

    /// Hands one message on, waiting for room. False: the query is to stop, because nobody reads, the reader is too slow, or the answer too long.
    pub fn emit(&self, message: T) -> bool {
        let bytes = (self.weight)(&message) as u64;
        if self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.bytes_max {
            let message = format!("the answer has more than {} bytes; narrow the range, or ask in parts", self.bytes_max);
            let _ = self.failure.set(status::too_much("query_bytes_max", message));
            return false;
        }
        let units = units(bytes);
        let message = match self.room.clone().try_acquire_many_owned(units) {
            Ok(room) => match self.messages.try_send((message, room)) {
                Ok(()) => return true,
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
                Err(mpsc::error::TrySendError::Full((message, _room))) => message,
            },
            Err(_) => message,
        };
        let began = Instant::now();
        let wait = self.stalled_after.min(self.limits.deadline.saturating_duration_since(began));
        let handing_on = async {
            let room = self.room.clone().acquire_many_owned(units).await.map_err(|_| ())?;
            self.messages.send((message, room)).await.map_err(|_| ())
        };
        let handing_on = async {
            tokio::select! {
                // A reader that is gone frees no room.
                () = self.messages.closed() => Err(()),
                handed_on = handing_on => handed_on,
            }
        };
        #[expect(clippy::disallowed_methods, reason = "runs on a blocking thread, never inside a task")]
        let (sent, waited) = self.limits.away(|| {
            let sent = self.runtime.block_on(async { tokio::time::timeout(wait, handing_on).await });
            // Without the time that the thread waits for its next turn, which is not the reader's.
            (sent, began.elapsed())
        });
        if let Ok(sent) = sent {
            return sent.is_ok() && self.is_in_time(waited);
        }
        let message = format!("the client did not read for {} s; the query was cut, ask again from the last timestamp", wait.as_secs());
        let _ = self.failure.set(status::deadline(message));
        false
    }

    /// Whether the reader takes as much as it must, after it was waited for again. A query that it holds open keeps its snapshot, and what was
    /// replaced since cannot go.
    fn is_in_time(&self, waited: Duration) -> bool {
        let nanoseconds = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        let waited = Duration::from_nanos(self.waited.fetch_add(nanoseconds, Ordering::Relaxed).saturating_add(nanoseconds));
        let taken = self.bytes.load(Ordering::Relaxed);
        let Some(seconds) = taken.checked_div(self.pace) else { return true };
        if waited <= self.patience + Duration::from_secs(seconds) {
            return true;
        }
        let message = format!(
            "the client read less than {} bytes/s for more than {} s; the query was cut, ask again from the last timestamp, or for less",
            self.pace,
            self.patience.as_secs()
        );
        let _ = self.failure.set(status::deadline(message));
        false
    }

    /// Hands one message on if there is room; else it is not missed. False: nobody reads any more.
    pub fn offer(&self, message: T) -> bool {
        match self.room.clone().try_acquire_many_owned(units((self.weight)(&message) as u64)) {
            Ok(room) => !matches!(self.messages.try_send((message, room)), Err(mpsc::error::TrySendError::Closed(_))),
            Err(_) => !self.messages.is_closed(),
        }
    }
}

/// Units of room that a message takes.
fn units(bytes: u64) -> u32 {
    u32::try_from((bytes as usize).min(WAITING_BYTES_MAX).div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

impl Api {
    /// Runs `work` on a thread of work and streams what it emits. What a request means is found there, too, so that a short query costs one thread
    /// and one turn.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when too many queries run already, of all or of the client; and those of the work before its first message.
    pub async fn stream<T, W>(&self, caller: &Caller, work: W) -> Result<QueryStream<T>, Status>
    where
        T: Message + 'static,
        W: FnOnce(&QueryLimits, &Emitter<T>) -> Result<(), Status> + Send + 'static,
    {
        self.start(caller, work).await?.begun().await
    }

    /// As [`Api::stream`], and does not wait for the first message: for calls whose client speaks only when the answer has begun.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when too many queries run already, of all or of the client.
    pub async fn start<T, W>(&self, caller: &Caller, work: W) -> Result<QueryStream<T>, Status>
    where
        T: Message + 'static,
        W: FnOnce(&QueryLimits, &Emitter<T>) -> Result<(), Status> + Send + 'static,
    {
        let limits = self.query_limits(caller);
        let place = self.queries.enter(caller.client, limits.deadline).await?;
        let held = (place, self.services.memory.for_answer());
        Ok(self.run(Some(held), caller.call.clone(), limits, T::encoded_len, work))
    }

    /// As [`Api::stream`] for upkeep, which is bounded otherwise and may take hours: not one of the queries, and without a deadline.
    pub fn upkeep<T, W>(&self, work: W) -> QueryStream<T>
    where
        T: Send + 'static,
        W: FnOnce(&QueryLimits, &Emitter<T>) -> Result<(), Status> + Send + 'static,
    {
        let deadline = Instant::now() + UPKEEP_MAX;
        self.run(None, Arc::default(), QueryLimits::new(deadline, u64::MAX, self.draining.child_token()), |_| 0, work)
    }

    fn run<T, W>(
        &self,
        held: Option<(Place, PoolPart)>,
        call: Arc<CallRecord>,
        limits: QueryLimits,
        weight: fn(&T) -> usize,
        work: W,
    ) -> QueryStream<T>
    where
        T: Send + 'static,
        W: FnOnce(&QueryLimits, &Emitter<T>) -> Result<(), Status> + Send + 'static,
    {
        let (sender, messages) = mpsc::channel(self.limits().query_messages_in_flight);
        let failure = Arc::new(OnceLock::new());
        let emitter = Emitter {
            messages: sender,
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX / UNIT_BYTES)),
            runtime: Handle::current(),
            limits: limits.clone(),
            stalled_after: self.limits().stalled_reader_timeout,
            pace: self.limits().reader_bytes_per_s_min,
            patience: self.limits().reader_patience,
            waited: AtomicU64::new(0),
            failure: failure.clone(),
            weight,
            bytes: AtomicU64::new(0),
            bytes_max: self.limits().query_bytes_max,
            call,
        };
        let cancel_on_drop = limits.cancel.clone().drop_guard();
        self.services.work.spawn(move || {
            // A panic must reach the client as an error, not as a short answer that looks whole: the failure is set before the channel closes.
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _turn = limits.begin().map_err(|error| status::from_query(&error))?;
                work(&limits, &emitter)
            }));
            let failed = match ended {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(_) => Some(status::internal("a bug stopped this query; please report it with the lines of the log at this time")),
            };
            if let Some(error) = failed {
                let _ = emitter.failure.set(error);
            }
            drop(emitter);
            drop(held);
        });
        QueryStream { first: None, messages, failure, ended: false, _cancel_on_drop: cancel_on_drop }
    }

    /// Bounds of one query: the client's deadline or the default, its share of memory and of the processors, and the tags that it may read.
    pub fn query_limits(&self, caller: &Caller) -> QueryLimits {
        let limits = self.limits();
        let wait = grpc_timeout(&caller.headers).map_or(limits.query_deadline_default, |asked| asked.min(limits.query_deadline_max));
        QueryLimits {
            memory: MemoryBudget::of(limits.query_memory_bytes_max as u64, &self.services.memory.for_queries(caller.client)),
            turns: Some(self.turns.of(caller.client).metered(caller.call.meter())),
            scope: caller.principal.scope(Right::Read).clone(),
            ..QueryLimits::new(Instant::now() + wait, limits.query_rows_max, self.cut.child_token())
        }
    }
}

/// The client's deadline as gRPC writes it: up to eight digits and a unit.
fn grpc_timeout(headers: &MetadataMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_of_clients_are_read() {
        let of = |text: &'static str| {
            let mut headers = MetadataMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            grpc_timeout(&headers)
        };
        assert_eq!(of("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(of("2H"), Some(Duration::from_hours(2)));
        assert_eq!(of("99999999H"), Some(Duration::from_hours(99_999_999)));
        for bad in ["", "5", "S", "5x", "123456789S", "-1S"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
