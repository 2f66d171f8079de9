//! A stream of writes against a sink that answers when it is told to.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{super::draft::WriteDraft, *};
use crate::{
    Admin, AdminStatus, ApiLimits, AuditTrail, Caller, ClientMemory, Metrics, WorkThreads,
    write::{Options, incoming::IncomingSamples},
};
use historian_access::Principal;
use historian_ingest::{Ingest, IngestOptions};
use historian_model::{
    Clock, SampleBatch, Samples, SystemClock, Value, ValueType,
    sink::{Acknowledgement, Durability, RefusedWrite, SampleSink, WriteError, WriteMode},
};
use historian_query::QueryEngine;
use historian_sql::TableOptions;
use historian_store::{Annotations, AuditLog, Catalog, MemoryStore, SavedViews, Store, catalog::TAGS_MAX};

/// Keeps each write until it is answered, in the order in which they came.
#[derive(Default)]
struct SlowSink {
    waiting: Mutex<Vec<Option<oneshot::Sender<u64>>>>,
}

impl SlowSink {
    fn taken(&self) -> usize {
        self.waiting.lock().len()
    }

    async fn answer(&self, write: usize, watermark: u64) {
        while self.taken() <= write {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let sender = self.waiting.lock()[write].take();
        sender.unwrap().send(watermark).unwrap();
    }
}

#[async_trait::async_trait]
impl SampleSink for SlowSink {
    async fn write(&self, batch: SampleBatch, _mode: WriteMode, _durability: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
        let (sender, answered) = oneshot::channel();
        self.waiting.lock().push(Some(sender));
        match answered.await {
            Ok(watermark) => Ok(Acknowledgement { watermark, samples: batch.len() as u64, ..Acknowledgement::default() }),
            Err(_) => Err(RefusedWrite::whole(WriteError::Stopped("the test is over".into()), batch)),
        }
    }
}

struct NoAdmin;

impl Admin for NoAdmin {
    fn status(&self) -> AdminStatus {
        AdminStatus { watermark: 4711, ..AdminStatus::default() }
    }

    fn compact(&self) -> Result<u64, WriteError> {
        Ok(0)
    }
}

enum Message {
    /// A write of so many samples, which counts as no bytes of the wire.
    Samples(usize),
    /// A write of one sample, which counts as so many bytes.
    Write(usize),
    /// A write without samples.
    Empty,
    /// No write, such as a schema.
    Other,
    Bad,
    Panic,
}

/// Counts the messages that were read.
struct Counting(Arc<AtomicUsize>);

impl WriteReader for Counting {
    type Message = Message;

    fn bytes(message: &Message) -> usize {
        if let Message::Write(bytes) = message { *bytes } else { 0 }
    }

    fn read(&mut self, services: &Services, message: Message) -> Result<Option<PreparedWrite>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let options = Options { mode: WriteMode::Upsert, durability: Durability::Sync, create_tags: true };
        let writer = Caller { principal: Principal::anonymous(), ..Caller::of(&tonic::Request::new(())) };
        let mut draft = WriteDraft::new(services, &writer, options);
        match message {
            Message::Write(_) => {
                let mut samples = Samples::new(ValueType::F64);
                samples.push(1, Some(&Value::F64(1.0)), 0).unwrap();
                draft.add("a", IncomingSamples::new(samples).unwrap()).unwrap();
            }
            Message::Samples(count) => {
                let mut samples = Samples::new(ValueType::F64);
                (0..count as i64).for_each(|at| samples.push(at, Some(&Value::F64(1.0)), 0).unwrap());
                draft.add("a", IncomingSamples::new(samples).unwrap()).unwrap();
            }
            Message::Empty => {}
            Message::Other => return Ok(None),
            Message::Bad => return Err(status::invalid("value", "is bad")),
            Message::Panic => panic!("a bug"),
        }
        draft.prepare().map(Some)
    }
}

struct Stream {
    sink: Arc<SlowSink>,
    read: Arc<AtomicUsize>,
    stop: CancellationToken,
    messages: mpsc::UnboundedSender<Result<Message, Status>>,
    answers: futures::stream::BoxStream<'static, Result<u64, Status>>,
}

/// Of the writes.
fn of_client() -> ClientKey {
    ClientKey::of(1)
}

impl Stream {
    fn start(limits: ApiLimits) -> Stream {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let catalog = Arc::new(Catalog::open(store.clone(), clock.clone(), TAGS_MAX).unwrap());
        let ingest = Arc::new(Ingest::open(store.clone(), catalog.clone(), clock.clone(), IngestOptions::default()).unwrap());
        let sink = Arc::new(SlowSink::default());
        let services = Services {
            catalog,
            sink: sink.clone(),
            corrections: ingest.clone(),
            query: QueryEngine::new(ingest.reader()),
            annotations: Arc::new(Annotations::open(store.clone(), clock.clone()).unwrap()),
            views: Arc::new(SavedViews::open(store.clone(), clock.clone()).unwrap()),
            tables: TableOptions::default(),
            audit: AuditTrail::new(Arc::new(AuditLog::with_new_key(store, clock.clone()).unwrap())),
            clock,
            access: crate::Access::default(),
            devices: Arc::new(Vec::new),
            admin: Arc::new(NoAdmin),
            memory: ClientMemory::new(limits.memory_bytes_max),
            work: WorkThreads::new(|| ()).unwrap(),
            limits,
            metrics: Arc::new(Metrics::new()),
            calls: crate::CallLog::default(),
        };
        let (stop, read) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let api = Api::new(services, stop.clone());
        let (sender, messages) = mpsc::unbounded_channel();
        let answers = start(api, of_client(), Arc::default(), Counting(read.clone()), UnboundedReceiverStream::new(messages), |written| {
            written.acknowledgement.watermark
        });
        Stream { sink, read, stop, messages: sender, answers: answers.boxed() }
    }

    fn send(&self, messages: impl IntoIterator<Item = Message>) {
        messages.into_iter().for_each(|message| assert!(self.messages.send(Ok(message)).is_ok()));
    }

    /// Waits until so many messages were read, and then whether another one is.
    async fn reads_no_more_than(&self, count: usize) {
        while self.read.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(self.read.load(Ordering::SeqCst), count);
    }

    /// The next answer: a watermark, or the code of the error.
    async fn next(&mut self) -> Option<Result<u64, Code>> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.answers.next()).await.expect("an answer, or the end");
        next.map(|answer| answer.map_err(|error| error.code()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_writes_wait_than_may_and_they_are_answered_in_their_order() {
    let mut stream = Stream::start(ApiLimits { write_batches_in_flight: 3, ..ApiLimits::default() });
    stream.send((0..5).map(|_| Message::Write(1)));
    stream.reads_no_more_than(3).await;
    assert_eq!(stream.sink.taken(), 3);
    stream.sink.answer(2, 30).await;
    stream.sink.answer(1, 20).await;
    stream.reads_no_more_than(3).await;
    stream.sink.answer(0, 10).await;
    for watermark in [10, 20, 30] {
        assert_eq!(stream.next().await, Some(Ok(watermark)));
    }
    stream.reads_no_more_than(5).await;
    stream.sink.answer(3, 40).await;
    stream.sink.answer(4, 50).await;
    drop(std::mem::replace(&mut stream.messages, mpsc::unbounded_channel().0));
    assert_eq!([stream.next().await, stream.next().await, stream.next().await], [Some(Ok(40)), Some(Ok(50)), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_bytes_wait_than_may() {
    let mut stream = Stream::start(ApiLimits { write_bytes_in_flight: 100, ..ApiLimits::default() });
    stream.send((0..4).map(|_| Message::Write(60)));
    stream.reads_no_more_than(2).await;
    stream.sink.answer(0, 1).await;
    assert_eq!(stream.next().await, Some(Ok(1)));
    stream.reads_no_more_than(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_count_as_what_they_have_become() {
    let mut stream = Stream::start(ApiLimits { write_bytes_in_flight: 100, ..ApiLimits::default() });
    stream.send((0..4).map(|_| Message::Samples(3)));
    stream.reads_no_more_than(2).await;
    stream.sink.answer(0, 1).await;
    assert_eq!(stream.next().await, Some(Ok(1)));
    stream.reads_no_more_than(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_comes_after_the_answers_to_what_came_before_and_ends_the_stream() {
    for (bad, code) in
        [(Ok(Message::Bad), Code::InvalidArgument), (Ok(Message::Panic), Code::Internal), (Err(Status::cancelled("")), Code::Cancelled)]
    {
        let mut stream = Stream::start(ApiLimits::default());
        stream.send([Message::Write(1), Message::Other]);
        assert!(stream.messages.send(bad).is_ok());
        stream.send([Message::Write(1)]);
        let read = if code == Code::Cancelled { 2 } else { 3 };
        stream.reads_no_more_than(read).await;
        stream.sink.answer(0, 1).await;
        assert_eq!([stream.next().await, stream.next().await, stream.next().await], [Some(Ok(1)), Some(Err(code)), None]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_historian_that_stops_answers_what_it_took_and_reads_no_more() {
    let mut stream = Stream::start(ApiLimits::default());
    stream.send([Message::Write(1)]);
    stream.reads_no_more_than(1).await;
    stream.stop.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.send([Message::Write(1)]);
    stream.reads_no_more_than(1).await;
    stream.sink.answer(0, 1).await;
    assert_eq!([stream.next().await, stream.next().await, stream.next().await], [Some(Ok(1)), Some(Err(Code::Unavailable)), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_nothing_is_answered_with_the_watermark_and_what_is_no_write_is_not_answered() {
    let mut stream = Stream::start(ApiLimits::default());
    stream.send([Message::Other, Message::Empty, Message::Other]);
    stream.reads_no_more_than(3).await;
    drop(std::mem::replace(&mut stream.messages, mpsc::unbounded_channel().0));
    assert_eq!([stream.next().await, stream.next().await], [Some(Ok(4711)), None]);
    assert_eq!(stream.sink.taken(), 0);
}
