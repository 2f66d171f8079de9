//! A link for a short time, for `historian check`: what comes for the configured tags, and which tags would be made. Nothing is published, and
//! nothing is left in the broker: the client has another id and no session.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{device::MqttSettings, intake::Intake, session::BrokerSession};
use historian_collector::{CheckRow, CollectorContext, DeviceStatus, FoundTags, Readings, Spool, TagMaker};
use historian_model::{Quality, SystemClock, TagDefinition, TagId, TagName};

/// How long values are waited for at most.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Rows of tags that would be made.
const FOUND_SHOWN: usize = 1_000;
/// Kept of the time for the answer.
const MARGIN: Duration = Duration::from_millis(300);
/// How often it is looked whether all configured tags have a value.
const LOOK: Duration = Duration::from_millis(50);

/// Gives numbers, and makes nothing.
#[derive(Default)]
struct ShownTags(Mutex<HashMap<TagName, u32>>);

#[async_trait]
impl TagMaker for ShownTags {
    async fn make(&self, definitions: Vec<TagDefinition>) -> Vec<Result<TagId, String>> {
        let mut known = self.0.lock();
        let number = |definition: TagDefinition| {
            let next = u32::MAX / 2 + known.len() as u32;
            Ok(TagId(*known.entry(definition.name).or_insert(next)))
        };
        definitions.into_iter().map(number).collect()
    }
}

/// A row per configured tag in their order, then one per tag that would be made. Ends within about `timeout`.
pub(super) async fn run(device: &MqttSettings, timeout: Duration) -> Vec<CheckRow> {
    let status = Arc::new(DeviceStatus::new(device.name.clone(), "mqtt", device.endpoint.clone()));
    // Nobody drains it: what is shown is what the tags hold.
    let spool = Spool::new(100_000, status.clone());
    let shutdown = CancellationToken::new();
    let found = FoundTags { maker: Arc::new(ShownTags::default()), kept: Vec::new() };
    let clock = Arc::new(SystemClock);
    status.set_scene(clock.clone(), Vec::new());
    let context = CollectorContext {
        spool,
        clock,
        status: status.clone(),
        last: Vec::new(),
        unfilled: Vec::new(),
        found,
        shutdown: shutdown.clone(),
    };
    let ids: Vec<TagId> = (0..device.tags.len() as u32).map(TagId).collect();
    let mut intake = Intake::new(device, &ids, &context);
    let mut session = BrokerSession {
        device,
        status: &status,
        shutdown: &shutdown,
        announces: false,
        client_id: format!("{}-check", device.client_id),
        session_expiry: Duration::ZERO,
        subscribed: None,
    };
    let wait = timeout.saturating_sub(MARGIN).min(WAIT_MAX).max(LOOK);
    let is_open = device.sparkplug.is_some() || !device.topics.is_empty();
    let began = Instant::now();
    let stopping = async {
        loop {
            tokio::time::sleep(LOOK).await;
            let all = !is_open && status.items_delivering.load(Ordering::Relaxed) == device.tags.len() as u64;
            if all || began.elapsed() >= wait {
                shutdown.cancel();
                return;
            }
        }
    };
    let (held, ()) = tokio::join!(
        async {
            let held = Box::pin(session.hold(&mut intake)).await;
            shutdown.cancel();
            held
        },
        stopping
    );
    let fault = match (held, session.subscribed) {
        (Err(fault), _) => Some(fault),
        (Ok(()), None) => Some(format!("no answer within {} ms", wait.as_millis())),
        (Ok(()), Some(_)) => None,
    };
    rows(device, &intake, fault.as_deref(), began.elapsed(), &status.view().last_error)
}

fn rows(device: &MqttSettings, intake: &Intake<'_>, fault: Option<&str>, waited: Duration, last_error: &str) -> Vec<CheckRow> {
    let configured = device.tags.len();
    let found = intake.held.count_all() - configured;
    let mut rows: Vec<CheckRow> = Vec::new();
    for (number, held) in intake.held.all().enumerate().take(configured + FOUND_SHOWN) {
        let (value, quality) = match &held.last {
            Some(last) => (last.value.clone(), Quality(last.quality)),
            None => (None, Quality::BAD_WAITING_FOR_INITIAL_DATA),
        };
        let error = match (&held.last, fault) {
            (None, Some(fault)) => fault.to_owned(),
            (None, None) if last_error.starts_with(topic_of(&held.address)) => last_error.to_owned(),
            (None, None) => {
                format!("no message within {:.1} s; one that is not retained comes when it is published next", waited.as_secs_f64())
            }
            (Some(_), _) => held.fault.clone(),
        };
        let note = if number >= configured { format!("would be made by itself, as {}", held.value_type) } else { String::new() };
        rows.push(CheckRow {
            tag: held.name.to_string(),
            address: held.address.clone(),
            value,
            quality,
            latency: None,
            error,
            note,
            readings: Readings::default(),
            excused: false,
        });
    }
    if let Some(first) = rows.first_mut()
        && found > FOUND_SHOWN
    {
        first.note = format!("{found} tags would be made by themselves, {FOUND_SHOWN} of them are shown");
    }
    rows
}

fn topic_of(address: &str) -> &str {
    address.split('#').next().unwrap_or(address)
}
