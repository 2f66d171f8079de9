//! `subscribe`: every sample of some tags as it becomes durable, with the position behind which a client resumes.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use arrow::{
    array::{ArrayRef, Decimal128Builder, Float64Builder, StringBuilder, TimestampNanosecondBuilder, UInt32Builder, UInt64Builder},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    record_batch::RecordBatch,
};
use historian_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::Status;
use tracing::Instrument as _;

use super::{
    asker::Asker,
    contract::{Door, QueryKind, Resolved, UnknownNames, refused as not_planned},
};
use crate::{Api, Caller, Services, resolve, sample, status, stream::ResponseStream};
use historian_access::Right;
use historian_model::{Samples, Tag, TagId, TagScope, TagSelection, Value, Values};
use historian_query::{INTEGER_DIGITS, QueryLimits};
use historian_read::feed::{FeedError, Follower};

/// How often it is looked whether a subscriber may still follow.
const TOKENS_ASKED_EVERY: Duration = Duration::from_secs(5);

/// What a subscriber gets at once, in the order of writing; or current values, with the position 0.
pub struct Delivery {
    pub writes: Vec<SelectedWrite>,
}

/// The runs of one write that were selected.
pub struct SelectedWrite {
    pub runs: Vec<(Arc<Tag>, Samples)>,
    /// Where to resume when not all of them have come: the position of what came before.
    pub before: u64,
    /// Where to resume when they have.
    pub position: u64,
}

/// Rows, and bytes about, of one message.
const MESSAGE_ROWS_MAX: usize = 32_768;
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A part of a delivery that is one message.
#[derive(Default)]
struct DeliveryPart<'a> {
    stretches: Vec<RunStretch<'a>>,
}

/// Rows of a run, and the position behind which to resume when they have come.
struct RunStretch<'a> {
    tag: &'a Arc<Tag>,
    run: &'a Samples,
    rows: Range<usize>,
    position: u64,
}

/// Cuts a delivery into messages. Who resumes behind the greatest position that came misses nothing: a write that does not fit one message
/// has messages of its own, and all rows but those of its last one have the position of what came before it.
fn parts(delivery: &Delivery) -> Vec<DeliveryPart<'_>> {
    let mut parts = Vec::new();
    let mut part = DeliveryPart::default();
    let (mut held, mut bytes) = (0, 0);
    let row_bytes = |tag: &Tag, run: &Samples| (run.heap_bytes() / run.len().max(1)).max(1) + tag.name().as_str().len();
    for write in &delivery.writes {
        let rows: usize = write.runs.iter().map(|(_, run)| run.len()).sum();
        let size: usize = write.runs.iter().map(|(tag, run)| run.len() * row_bytes(tag, run)).sum();
        if held > 0 && (held + rows > MESSAGE_ROWS_MAX || bytes + size > MESSAGE_BYTES_MAX) {
            parts.push(std::mem::take(&mut part));
            (held, bytes) = (0, 0);
        }
        for (tag, run) in &write.runs {
            let row_bytes = row_bytes(tag, run);
            let mut from = 0;
            while from < run.len() {
                let room = rows_within(run, from, MESSAGE_BYTES_MAX.saturating_sub(bytes), row_bytes).min(MESSAGE_ROWS_MAX - held);
                if room == 0 && held > 0 {
                    // More of this write follows, and of no other is there anything here.
                    part.stretches.iter_mut().for_each(|stretch| stretch.position = write.before);
                    parts.push(std::mem::take(&mut part));
                    (held, bytes) = (0, 0);
                    continue;
                }
                let to = run.len().min(from + room.max(1));
                part.stretches.push(RunStretch { tag, run, rows: from..to, position: write.position });
                (held, bytes) = (held + to - from, bytes + (to - from) * row_bytes);
                from = to;
            }
        }
    }
    if !part.stretches.is_empty() {
        parts.push(part);
    }
    parts
}

/// How many rows of a run have so many bytes. Texts may be of uneven length, so each counts for itself.
fn rows_within(run: &Samples, from: usize, bytes: usize, row_bytes: usize) -> usize {
    let even = bytes / row_bytes;
    let Values::String(texts) = &run.values else { return even };
    let offsets = &texts.offsets()[from..];
    let long = |end: &i32| (end - offsets[0]) as usize > bytes;
    even.min(offsets.iter().skip(1).position(long).unwrap_or(offsets.len() - 1))
}

fn refused(error: &FeedError) -> Status {
    match error {
        FeedError::Gone { .. } | FeedError::Ahead { .. } => status::out_of_range(error.to_string()),
        FeedError::Store(error) => status::internal(error.to_string()),
    }
}

/// A resolved subscription. Its tags are no list: those made later count as well.
pub struct SubscribeKind {
    selection: TagSelection,
    request: v1::SubscribeRequest,
}

impl QueryKind for SubscribeKind {
    const NAME: &'static str = "subscribe";
    const METHOD: &'static str = "Subscribe";
    const DOOR: Door = Door::Follow;
    const SQL: Option<&'static str> = None;
    type Request = v1::SubscribeRequest;

    fn resolve(asker: &Asker<'_>, request: v1::SubscribeRequest) -> Result<(SubscribeKind, UnknownNames), Status> {
        let selection = resolve::selection_of_some(&request.tags, &asker.services.limits, asker.limits)?;
        Ok((SubscribeKind { selection, request }, Vec::new()))
    }

    fn plan(_asker: &Asker<'_>, _request: v1::SubscribeRequest) -> Result<(Box<dyn Resolved>, UnknownNames), Status> {
        Err(not_planned::<SubscribeKind>())
    }
}

/// Begins a subscription. `convert` makes messages of what is delivered.
///
/// # Errors
/// `INVALID_ARGUMENT` for the tags, `OUT_OF_RANGE` for the position, `RESOURCE_EXHAUSTED` when there are too many subscriptions.
pub async fn follow<T: Send + 'static>(
    api: &Arc<Api>,
    caller: &Caller,
    request: v1::SubscribeRequest,
    mut convert: impl FnMut(Delivery) -> Result<Vec<T>, Status> + Send + 'static,
) -> Result<ResponseStream<T>, Status> {
    let limits = api.limits();
    let place = api.subscriptions.enter(caller.client, Instant::now()).await?;
    let caller = caller.without_headers();
    let begun = api.bounded(&caller, {
        let services = api.services.clone();
        move |limits| {
            let (SubscribeKind { selection, request }, _) = SubscribeKind::resolve(&Asker::new(&services, limits), request)?;
            let follower = services.query.feed().follow(request.position).map_err(|error| refused(&error))?;
            Ok((selection, request, follower))
        }
    });
    let (selection, request, mut follower) = begun.await?;
    let (sender, receiver) = mpsc::channel(limits.query_messages_in_flight);
    let stalled_after = limits.stalled_reader_timeout;
    let (api, services, draining) = (api.clone(), api.services.clone(), api.draining.clone());
    let failure = Arc::new(OnceLock::new());
    let mut last = Some(failure.clone());
    let ending = futures::stream::poll_fn(move |_| {
        let status = last.take().and_then(|failure: Arc<OnceLock<Status>>| failure.get().cloned());
        std::task::Poll::Ready(status.map(Err))
    });
    let following = async move {
        let _place = place;
        let mut tags = SubscribedTags {
            selection,
            scope: caller.principal.scope(Right::Read).clone(),
            known: HashMap::new(),
            delivered: follower.position(),
        };
        let mut first = if request.current {
            let current = api.bounded(&caller, {
                let (services, patterns) = (services.clone(), request.tags.clone());
                move |limits| current(&services, &patterns, limits)
            });
            let current = tokio::select! {
                () = sender.closed() => return,
                current = current => current,
            };
            match current {
                Ok(runs) => Some(Delivery { writes: vec![SelectedWrite { runs, before: 0, position: 0 }] }),
                Err(error) => return drop(failure.set(error)),
            }
        } else {
            None
        };
        loop {
            let delivery = if let Some(delivery) = first.take() {
                Ok(delivery)
            } else {
                let more = tokio::select! {
                    () = draining.cancelled() => false,
                    () = sender.closed() => return,
                    more = follower.wait() => more,
                    // Where nothing is written, too, nobody follows whose token has gone.
                    () = tokio::time::sleep(TOKENS_ASKED_EVERY) => match services.access.still(&caller.principal, &*services.clock) {
                        Ok(()) => continue,
                        Err(refused) => return drop(failure.set(refused)),
                    },
                };
                if !more {
                    let message = format!("the historian is stopping; resume behind position {}", follower.position());
                    return drop(failure.set(status::unavailable(message)));
                }
                if let Err(refused) = services.access.still(&caller.principal, &*services.clock) {
                    return drop(failure.set(refused));
                }
                let (services, limits) = (services.clone(), api.query_limits(&caller));
                let threads = services.work.clone();
                let read = threads.spawn(move || {
                    // Without one where its time is over; what has come is handed on all the same.
                    let _turn = limits.begin();
                    let read = next(&services, &mut follower, &mut tags);
                    (follower, tags, read)
                });
                match read.await {
                    Ok((given_back, tags_back, read)) => {
                        (follower, tags) = (given_back, tags_back);
                        read.map_err(|error| refused(&error))
                    }
                    Err(error) => return drop(failure.set(status::from_join(&error))),
                }
            };
            let messages = match delivery.and_then(&mut convert) {
                Ok(messages) => messages,
                Err(error) => return drop(failure.set(error)),
            };
            for message in messages {
                match sender.send_timeout(Ok(message), stalled_after).await {
                    Ok(()) => {}
                    Err(mpsc::error::SendTimeoutError::Closed(_)) => return,
                    Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                        let seconds = stalled_after.as_secs();
                        let message = format!(
                            "the client did not read for {seconds} s and the subscription was cut; resume behind the last position it read"
                        );
                        return drop(failure.set(status::deadline(message)));
                    }
                }
            }
        }
    };
    tokio::spawn(following.in_current_span());
    Ok(Box::pin(ReceiverStream::new(receiver).chain(ending)))
}

/// Tags by id, and whether they are selected.
struct SubscribedTags {
    selection: TagSelection,
    /// What the subscriber may read.
    scope: TagScope,
    /// As each tag was when it was looked at, and whether it is selected; a tag may get another name.
    known: HashMap<TagId, (Arc<Tag>, bool)>,
    /// Position of what was delivered last; at first where the subscription begins.
    delivered: u64,
}

impl SubscribedTags {
    /// The tag of an id as it is now, where it is selected. Of one that was deleted meanwhile what it was last counts.
    fn selected(&mut self, services: &Services, id: TagId) -> Option<Arc<Tag>> {
        let SubscribedTags { selection, scope, known, .. } = self;
        let held = services.catalog.by_id(id);
        if let Some(tag) = held.filter(|tag| known.get(&id).is_none_or(|(seen, _)| !Arc::ptr_eq(seen, tag))) {
            let name = tag.name().as_str();
            let is_selected = scope.has(name) && selection.matches(name);
            known.insert(id, (tag, is_selected));
        }
        known.get(&id).filter(|(_, is_selected)| *is_selected).map(|(tag, _)| tag.clone())
    }
}

fn next(services: &Services, follower: &mut Follower, tags: &mut SubscribedTags) -> Result<Delivery, FeedError> {
    let mut writes = Vec::new();
    for write in follower.read()? {
        let selected = |(id, run)| tags.selected(services, id).map(|tag| (tag, run));
        let runs: Vec<_> = write.runs.into_iter().filter_map(selected).collect();
        if !runs.is_empty() {
            writes.push(SelectedWrite { runs, before: tags.delivered, position: write.sequence });
            tags.delivered = write.sequence;
        }
    }
    // Behind it nothing was selected so far.
    if let Some(last) = writes.last_mut() {
        last.position = last.position.max(follower.position());
        tags.delivered = last.position;
    }
    Ok(Delivery { writes })
}

fn current(services: &Services, patterns: &[String], limits: &QueryLimits) -> Result<Vec<(Arc<Tag>, Samples)>, Status> {
    let tags = Asker::new(services, limits).tags(patterns)?.tags;
    services.query.current_samples(&tags, limits).map_err(|error| status::from_query(&error))
}

impl SubscribeKind {
    /// A delivery as messages of gRPC; none when it has no samples of the tags selected.
    pub fn messages(delivery: &Delivery) -> Vec<v1::SubscribeResponse> {
        messages(delivery)
    }

    /// Schema of the answer as Arrow.
    pub fn schema() -> SchemaRef {
        schema()
    }

    /// A delivery as record batches; none when it has no samples of the tags selected.
    ///
    /// # Errors
    /// When a batch cannot be formed.
    pub fn batches(delivery: &Delivery) -> Result<Vec<RecordBatch>, Status> {
        parts(delivery).iter().map(batch).collect()
    }
}

fn messages(delivery: &Delivery) -> Vec<v1::SubscribeResponse> {
    let message = |part: DeliveryPart<'_>| {
        let position = part.stretches.last().map_or(0, |stretch| stretch.position);
        let samples = part.stretches.into_iter().map(|RunStretch { tag, run, rows, .. }| sample::of_rows(tag.name().as_str(), run, rows));
        v1::SubscribeResponse { samples: samples.collect(), position }
    };
    parts(delivery).into_iter().map(message).collect()
}

/// Columns tag, timestamp, value (numbers), text (strings), quality, position, integer (i64 and u64, which an f64 may not hold). All of them
/// always: tags of any type may be made later.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("tag", DataType::Utf8, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("value", DataType::Float64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("quality", DataType::UInt32, false),
        Field::new("position", DataType::UInt64, false),
        Field::new("integer", DataType::Decimal128(INTEGER_DIGITS, 0), true),
    ]))
}

fn batch(part: &DeliveryPart<'_>) -> Result<RecordBatch, Status> {
    let (mut tags, mut texts) = (StringBuilder::new(), StringBuilder::new());
    let mut timestamps = TimestampNanosecondBuilder::new().with_timezone("UTC");
    let (mut values, mut qualities, mut positions) = (Float64Builder::new(), UInt32Builder::new(), UInt64Builder::new());
    let mut integers = Decimal128Builder::new().with_data_type(DataType::Decimal128(INTEGER_DIGITS, 0));
    for RunStretch { tag, run, rows, position } in &part.stretches {
        for row in rows.clone() {
            tags.append_value(tag.name().as_str());
            timestamps.append_value(run.timestamps[row]);
            let value = run.value(row);
            integers.append_option(match &value {
                Some(Value::I64(whole)) => Some(i128::from(*whole)),
                Some(Value::U64(whole)) => Some(i128::from(*whole)),
                _ => None,
            });
            match value {
                Some(Value::String(text)) => {
                    values.append_null();
                    texts.append_value(text);
                }
                value => {
                    values.append_option(value.and_then(|value| value.as_f64()));
                    texts.append_null();
                }
            }
            qualities.append_value(run.qualities[row]);
            positions.append_value(*position);
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(tags.finish()),
        Arc::new(timestamps.finish()),
        Arc::new(values.finish()),
        Arc::new(texts.finish()),
        Arc::new(qualities.finish()),
        Arc::new(positions.finish()),
        Arc::new(integers.finish()),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| status::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{TagDefinition, TagName, ValueType};

    fn run(rows: usize, first: i64) -> Samples {
        let mut run = Samples::new(ValueType::F64);
        for row in 0..rows {
            run.push(first + row as i64, Some(&Value::F64(row as f64)), 0).unwrap();
        }
        run
    }

    #[test]
    fn who_resumes_behind_any_message_misses_nothing() {
        let (definition, zero) = (TagDefinition::new(TagName::new("a/b").unwrap(), ValueType::F64), historian_model::Timestamp(0));
        let tag = Arc::new(Tag { id: TagId(1), definition, created: zero, updated: zero });
        let sizes = [(3, vec![5, 7]), (4, vec![30_000]), (6, vec![100_000, 2]), (7, vec![1]), (9, vec![40_000, 1])];
        let (mut at, mut before) = (0, 2);
        let writes = sizes.iter().map(|(position, runs)| SelectedWrite {
            runs: runs
                .iter()
                .map(|&rows| {
                    at += rows as i64;
                    (tag.clone(), run(rows, at - rows as i64))
                })
                .collect(),
            before: std::mem::replace(&mut before, *position),
            position: *position,
        });
        let delivery = Delivery { writes: writes.collect() };
        // Sequence of each sample by its timestamp.
        let mut sequences = Vec::new();
        for (position, runs) in &sizes {
            sequences.extend(std::iter::repeat_n(*position, runs.iter().sum()));
        }
        let batches = SubscribeKind::batches(&delivery).unwrap();
        let messages = messages(&delivery);
        assert!(batches.len() > 4 && batches.len() == messages.len(), "{}", batches.len());
        let (mut next, mut greatest) = (0, 2);
        for (batch, message) in batches.iter().zip(&messages) {
            assert!(batch.num_rows() <= MESSAGE_ROWS_MAX);
            let times: Vec<i64> = message.samples.iter().flat_map(|samples| samples.timestamps.iter().copied()).collect();
            assert_eq!(times, (next..next + batch.num_rows() as i64).collect::<Vec<_>>(), "every sample once and in order");
            next += batch.num_rows() as i64;
            let positions = batch.column(5).as_any().downcast_ref::<arrow::array::UInt64Array>().unwrap();
            let last = positions.value(positions.len() - 1);
            assert!(
                last > greatest || positions.values().iter().all(|position| *position == greatest),
                "all of it, or only a part of one write"
            );
            assert_eq!(message.position, last);
            greatest = last;
            // What comes behind the greatest position begins with a sample that has not come, or one that comes again.
            let first_behind = sequences.iter().position(|sequence| *sequence > greatest).unwrap_or(sequences.len());
            assert!(first_behind as i64 <= next, "a message with position {greatest} is followed by its own write");
        }
        assert_eq!((next as usize, greatest), (sequences.len(), 9));
    }
}
