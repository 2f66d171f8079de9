//! Subscriptions: every sample of some tags as it becomes durable, with the position behind which a client resumes.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use arrow::{
    array::{ArrayRef, Float64Builder, StringBuilder, TimestampNanosecondBuilder, UInt32Builder, UInt64Builder},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    record_batch::RecordBatch,
};
use historian_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Status, metadata::MetadataMap};

use super::{Api, Services, blocking, resolve, sample, status};
use crate::{
    ingest::feed::{FeedError, Follower},
    model::{Samples, Tag, TagId, TagSelection, Value},
    query::QueryLimits,
};

/// What a subscriber gets at once: runs in the order of writing, and where to resume behind them; 0 with current values.
pub struct Delivery {
    pub runs: Vec<(Arc<Tag>, Samples)>,
    pub position: u64,
}

type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn refused(error: &FeedError) -> Status {
    match error {
        FeedError::Gone { .. } | FeedError::Ahead { .. } => status::out_of_range(error.to_string()),
        error => status::internal(error.to_string()),
    }
}

/// Begins a subscription. `convert` makes messages of what is delivered.
///
/// # Errors
/// `INVALID_ARGUMENT` for the tags, `OUT_OF_RANGE` for the position, `RESOURCE_EXHAUSTED` when there are too many subscriptions.
pub fn start<T: Send + 'static>(
    api: &Arc<Api>,
    request: v1::SubscribeRequest,
    mut convert: impl FnMut(Delivery) -> Result<Vec<T>, Status> + Send + 'static,
) -> Result<Answer<T>, Status> {
    let limits = api.limits();
    let permit = api.subscriptions.clone().try_acquire_owned().map_err(|_| {
        status::busy(format!("{} subscriptions are open, which is the limit; end one, or try again later", limits.subscriptions_max))
    })?;
    if request.tags.is_empty() {
        return Err(status::invalid("tags", "name at least one tag or glob; \"**\" selects all"));
    }
    let selection = resolve::selection(&request.tags, limits)?;
    let mut follower = api.services.query.feed().follow(request.position).map_err(|error| refused(&error))?;
    let (sender, receiver) = mpsc::channel(limits.query_messages_in_flight);
    let stalled_after = limits.stalled_reader_timeout;
    let (services, draining) = (api.services.clone(), api.draining.clone());
    let current_limits = api.query_limits(&MetadataMap::new());
    let failure = Arc::new(OnceLock::new());
    let mut last = Some(failure.clone());
    let ending = futures::stream::poll_fn(move |_| {
        let status = last.take().and_then(|failure: Arc<OnceLock<Status>>| failure.get().cloned());
        std::task::Poll::Ready(status.map(Err))
    });
    tokio::spawn(async move {
        let _permit = permit;
        let mut tags = Tags { selection, known: HashMap::new() };
        let mut first = if request.current {
            match blocking({
                let (services, patterns, limits) = (services.clone(), request.tags.clone(), current_limits);
                move || current(&services, &patterns, &limits)
            })
            .await
            {
                Ok(runs) => Some(Delivery { runs, position: 0 }),
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
                };
                if !more {
                    let message = format!("the historian is stopping; resume behind position {}", follower.position());
                    return drop(failure.set(status::unavailable(message)));
                }
                let services = services.clone();
                let read = tokio::task::spawn_blocking(move || {
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
    });
    Ok(Box::pin(ReceiverStream::new(receiver).chain(ending)))
}

/// Tags by id, and whether they are selected.
struct Tags {
    selection: TagSelection,
    known: HashMap<TagId, Option<Arc<Tag>>>,
}

impl Tags {
    fn selected(&mut self, services: &Services, id: TagId) -> Option<Arc<Tag>> {
        let Tags { selection, known } = self;
        let found = known.entry(id).or_insert_with(|| services.catalog.by_id(id).filter(|tag| selection.matches(tag.name().as_str())));
        found.clone()
    }
}

fn next(services: &Services, follower: &mut Follower, tags: &mut Tags) -> Result<Delivery, FeedError> {
    let mut runs = Vec::new();
    for write in follower.read()? {
        for (id, run) in write.runs {
            if let Some(tag) = tags.selected(services, id) {
                runs.push((tag, run));
            }
        }
    }
    Ok(Delivery { runs, position: follower.position() })
}

fn current(services: &Services, patterns: &[String], limits: &QueryLimits) -> Result<Vec<(Arc<Tag>, Samples)>, Status> {
    let tags = resolve::tags(services, patterns)?.tags;
    services.query.current_samples(&tags, limits).map_err(|error| status::from_query(&error))
}

/// A delivery as the message of gRPC; none when it has no samples of the tags selected.
pub fn message(delivery: &Delivery) -> Vec<v1::SubscribeResponse> {
    if delivery.runs.is_empty() {
        return Vec::new();
    }
    let samples = delivery.runs.iter().map(|(tag, run)| sample::of_columns(tag.name().as_str(), run)).collect();
    vec![v1::SubscribeResponse { samples, position: delivery.position }]
}

/// Columns tag, timestamp, value (numbers), text (strings), quality, position.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("tag", DataType::Utf8, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("value", DataType::Float64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("quality", DataType::UInt32, false),
        Field::new("position", DataType::UInt64, false),
    ]))
}

/// A delivery as a record batch; `None` when it has no samples of the tags selected.
///
/// # Errors
/// When a batch cannot be formed.
pub fn batch(delivery: &Delivery) -> Result<Option<RecordBatch>, Status> {
    if delivery.runs.is_empty() {
        return Ok(None);
    }
    let (mut tags, mut texts) = (StringBuilder::new(), StringBuilder::new());
    let mut timestamps = TimestampNanosecondBuilder::new().with_timezone("UTC");
    let (mut values, mut qualities, mut positions) = (Float64Builder::new(), UInt32Builder::new(), UInt64Builder::new());
    for (tag, run) in &delivery.runs {
        for row in 0..run.len() {
            tags.append_value(tag.name().as_str());
            timestamps.append_value(run.timestamps[row]);
            match run.value(row) {
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
            positions.append_value(delivery.position);
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(tags.finish()),
        Arc::new(timestamps.finish()),
        Arc::new(values.finish()),
        Arc::new(texts.finish()),
        Arc::new(qualities.finish()),
        Arc::new(positions.finish()),
    ];
    RecordBatch::try_new(schema(), columns).map(Some).map_err(|error| status::internal(error.to_string()))
}
