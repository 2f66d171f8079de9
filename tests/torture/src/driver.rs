//! The driver: fills lanes as fast as the server takes them, and writes down what was acknowledged and when.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::{
    array::{DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array},
    datatypes::{DataType, Field, Int32Type, Schema, TimeUnit},
};
use arrow_flight::{FlightDescriptor, encode::FlightDataEncoderBuilder, flight_service_client::FlightServiceClient};
use futures::StreamExt;
use historian_format::Value;
use historian_proto::v1::{Rejection, WriteAcknowledgement, write_service_client::WriteServiceClient};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};

use crate::lane::{Door, Lane};

/// Calls of a gRPC lane at the same time, and batches of a Flight stream that wait for their answer.
const CALLS_AT_ONCE: usize = 4;
const BATCHES_AHEAD: usize = 16;
/// What a `DoPut` stream says it is.
pub const COMMAND: &str = r#"{"write": {"mode": "UPSERT", "durability": "SYNC", "create_tags": true}}"#;

/// What a driver does besides writing at full speed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Pause after each answer.
    pub pause: Duration,
    /// Send batches again whose fate an earlier run did not learn.
    pub resend: bool,
    /// After a refusal wait and send the same batch again, instead of ending.
    pub retry: Option<Duration>,
    /// A Flight lane has a batch each time so much has passed, and not as soon as there is room. What the server holds up is made up for, and
    /// the time of a batch counts from when it was due.
    pub every: Option<Duration>,
}

/// Something that happened to a batch.
#[derive(Clone, Debug)]
pub struct Event {
    /// When the batch was handed to the connection, and when its answer came.
    pub sent: Instant,
    pub at: Instant,
    /// None: acknowledged. Else why not.
    pub refusal: Option<Status>,
}

/// Everything that happened in a run of the driver.
#[derive(Default)]
pub struct Events {
    list: std::sync::Mutex<Vec<Event>>,
    acked: AtomicU64,
}

impl Events {
    fn add(&self, event: Event) {
        if event.refusal.is_none() {
            self.acked.fetch_add(1, Ordering::Relaxed);
        }
        self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event);
    }

    /// Batches acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    pub fn all(&self) -> Vec<Event> {
        self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The first refusal that came before a moment.
    pub fn refused_before(&self, moment: Instant) -> Option<Status> {
        self.all().into_iter().find(|event| event.at < moment && event.refusal.is_some()).and_then(|event| event.refusal)
    }

    /// What happened since the last look, and is kept here no longer.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// When the first refusal came.
    pub fn first_refusal(&self) -> Option<Instant> {
        self.all().into_iter().filter(|event| event.refusal.is_some()).map(|event| event.at).min()
    }

    /// Time from sending to acknowledgement that 99 of 100 batches kept.
    pub fn p99(&self) -> Duration {
        let mut took: Vec<Duration> =
            self.all().iter().filter(|event| event.refusal.is_none()).map(|event| event.at.duration_since(event.sent)).collect();
        took.sort_unstable();
        took.get((took.len() * 99 / 100).min(took.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Writes all lanes until `stop`, or until each has met a refusal.
pub async fn run(channel: &Channel, lanes: &[Arc<Lane>], pace: Pace, events: &Arc<Events>, stop: &CancellationToken) {
    let mut writers = tokio::task::JoinSet::new();
    for lane in lanes {
        let (channel, lane, events, stop) = (channel.clone(), lane.clone(), events.clone(), stop.clone());
        match lane.door {
            Door::Grpc => {
                for _ in 0..CALLS_AT_ONCE {
                    writers.spawn(calls(channel.clone(), lane.clone(), pace, events.clone(), stop.clone()));
                }
            }
            Door::Flight => drop(writers.spawn(streams(channel, lane, pace, events, stop))),
        }
    }
    while writers.join_next().await.is_some() {}
}

fn pick(lane: &Lane, pace: Pace) -> u64 {
    let open = if pace.resend { lane.next_open() } else { None };
    open.unwrap_or_else(|| lane.next())
}

async fn calls(channel: Channel, lane: Arc<Lane>, pace: Pace, events: Arc<Events>, stop: CancellationToken) {
    let mut client = WriteServiceClient::new(channel);
    'batches: while !stop.is_cancelled() {
        let batch = pick(&lane, pace);
        let request = lane.request(batch);
        loop {
            let sent = Instant::now();
            // A call under way is not dropped at the stop: its answer counts.
            let answer = client.write_samples(request.clone()).await.map(tonic::Response::into_inner);
            let refusal = match answer {
                Ok(answer) => match answer.failures.first() {
                    None if answer.rejected > 0 => Some(rejected(answer.rejected, &answer.rejections)),
                    None => {
                        lane.acknowledged(batch, answer.watermark);
                        None
                    }
                    Some(failure) => Some(Status::new(failure.code.into(), format!("tag {}: {}", failure.tag, failure.message))),
                },
                Err(status) => Some(status),
            };
            let refused = refusal.is_some();
            events.add(Event { sent, at: Instant::now(), refusal });
            if !refused {
                break;
            }
            match pace.retry {
                Some(wait) if !stop.is_cancelled() => tokio::time::sleep(wait).await,
                _ => {
                    lane.unanswered(batch);
                    break 'batches;
                }
            }
        }
        if !pace.pause.is_zero() {
            tokio::time::sleep(pace.pause).await;
        }
    }
}

async fn streams(channel: Channel, lane: Arc<Lane>, pace: Pace, events: Arc<Events>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let refused = stream(channel.clone(), &lane, pace, &events, &stop).await;
        match (refused, pace.retry) {
            (true, None) => return,
            (true, Some(wait)) => tokio::time::sleep(wait).await,
            (false, _) => {}
        }
    }
}

/// Samples of a batch that were not taken while others were: to the oracle the batch is not acknowledged.
fn rejected(count: u64, shown: &[Rejection]) -> Status {
    Status::out_of_range(format!("{count} samples rejected: {}", shown.first().map_or("", |rejection| rejection.reason.as_str())))
}

/// One `DoPut` stream; true when it ended with a refusal.
async fn stream(channel: Channel, lane: &Arc<Lane>, pace: Pace, events: &Arc<Events>, stop: &CancellationToken) -> bool {
    let mut client = FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX);
    // The channel holds what may be ahead of the answers: the receiver is emptied by the encoder, the permits by the answers.
    let (batches, receiver) = mpsc::channel::<RecordBatch>(1);
    let ahead = Arc::new(tokio::sync::Semaphore::new(BATCHES_AHEAD));
    let waiting = Arc::new(std::sync::Mutex::new(std::collections::VecDeque::<(u64, Instant)>::new()));
    let lock = |waiting: &std::sync::Mutex<std::collections::VecDeque<(u64, Instant)>>| {
        waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..).collect::<Vec<_>>()
    };
    let producer = {
        let (lane, stop, ahead, waiting) = (lane.clone(), stop.clone(), ahead.clone(), waiting.clone());
        tokio::spawn(async move {
            // A stream that was opened carries at least one batch: the server refuses an empty one, whenever the stop comes.
            let mut begun = false;
            let mut due = Due::new(pace.every, lane.index);
            loop {
                let due = tokio::select! {
                    due = due.next() => due,
                    () = stop.cancelled(), if begun => break,
                };
                let Ok(permit) = ahead.acquire().await else { break };
                if stop.is_cancelled() && begun {
                    break;
                }
                begun = true;
                permit.forget();
                let batch = pick(&lane, pace);
                let rows = record_batch(&lane, batch);
                waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push_back((batch, due.unwrap_or_else(Instant::now)));
                if batches.send(rows).await.is_err() {
                    break;
                }
            }
        })
    };
    let rows = futures::stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|batch| (Ok(batch), receiver)) });
    let data = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(COMMAND.as_bytes().to_vec())))
        .build(rows)
        .filter_map(|data| async { data.ok() });
    let mut refusal = None;
    match client.do_put(data).await {
        Err(status) => refusal = Some(status),
        Ok(answers) => {
            let mut answers = answers.into_inner();
            while let Some(answer) = answers.next().await {
                let Some((batch, sent)) = waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front() else { break };
                let acknowledgement = answer.and_then(|answer| {
                    serde_json::from_slice::<WriteAcknowledgement>(&answer.app_metadata)
                        .map_err(|error| Status::data_loss(format!("the acknowledgement cannot be read: {error}")))
                });
                match acknowledgement {
                    Ok(acknowledgement) if acknowledgement.rejected > 0 => {
                        lane.unanswered(batch);
                        refusal = Some(rejected(acknowledgement.rejected, &acknowledgement.rejections));
                        break;
                    }
                    Ok(acknowledgement) => {
                        lane.acknowledged(batch, acknowledgement.watermark);
                        events.add(Event { sent, at: Instant::now(), refusal: None });
                        ahead.add_permits(1);
                    }
                    Err(status) => {
                        lane.unanswered(batch);
                        refusal = Some(status);
                        break;
                    }
                }
                if !pace.pause.is_zero() {
                    tokio::time::sleep(pace.pause).await;
                }
            }
        }
    }
    ahead.close();
    producer.abort();
    let _ = producer.await;
    let unanswered = lock(&waiting);
    let sent = unanswered.first().map_or_else(Instant::now, |(_, sent)| *sent);
    for (batch, _) in unanswered {
        lane.unanswered(batch);
    }
    let refused = refusal.is_some();
    if refused {
        events.add(Event { sent, at: Instant::now(), refusal });
    }
    refused
}

/// The beat of a stream, where it has one.
struct Due(Option<tokio::time::Interval>);

impl Due {
    /// Lanes have their beats one after another, and not all at once.
    fn new(every: Option<Duration>, lane: usize) -> Due {
        const LANES: u32 = 10;
        Due(every.map(|every| tokio::time::interval_at(tokio::time::Instant::now() + every / LANES * (lane as u32 % LANES), every)))
    }

    /// Waits for the next beat; when that was, if there is a beat.
    async fn next(&mut self) -> Option<Instant> {
        match &mut self.0 {
            Some(beat) => Some(beat.tick().await.into_std()),
            None => None,
        }
    }
}

/// A batch as Flight takes it.
pub fn record_batch(lane: &Lane, batch: u64) -> RecordBatch {
    let names = Arc::new(StringArray::from_iter_values(lane.tags.iter().map(|tag| tag.name.as_str())));
    let rows = || lane.tags.iter().zip(0..).flat_map(|(tag, index)| lane.numbers(batch).map(move |number| (tag, index, number)));
    let schema = Schema::new(vec![
        Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("value", DataType::Float64, true),
        Field::new("quality", DataType::UInt32, false),
    ]);
    let value = |value: Option<Value>| if let Some(Value::F64(value)) = value { Some(value) } else { None };
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from_iter_values(rows().map(|(_, index, _)| index)), names)),
            Arc::new(TimestampNanosecondArray::from_iter_values(rows().map(|(tag, _, number)| tag.timestamp(number))).with_timezone("UTC")),
            Arc::new(rows().map(|(tag, _, number)| value(tag.value(number))).collect::<Float64Array>()),
            Arc::new(UInt32Array::from_iter_values(rows().map(|(tag, _, number)| tag.quality(number)))),
        ],
    )
    .expect("the columns fit the schema")
}
