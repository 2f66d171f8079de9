//! What one session shall hold, and making it so: subscriptions, monitored items, retries, watchdog.
//!
//! The desired state is the list of the device's items; it never depends on what an earlier session had. Each new session starts from
//! nothing: namespaces are resolved anew, limits are read first, items are created in requests no larger than the server allows (and
//! smaller ones where it finds them too large), over as many subscriptions as it needs, and every single result is looked at. Refused
//! items are tried again for ever, slowly. A session in which nothing arrives, not even a keep-alive, is given up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use opcua::{
    client::{MonitoredItemMap, OnSubscriptionNotificationCore, Session},
    types::{
        AttributeId, DataChangeFilter, DataChangeNotification, DataChangeTrigger, DeadbandType, ExtensionObject,
        MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId, NotificationMessage, ReadValueId,
        StatusChangeNotification, StatusCode, TimestampsToReturn,
    },
};
use parking_lot::Mutex;

use super::{
    Device,
    connection::{Fault, within},
    convert::nanoseconds,
    deliver::Deliveries,
    read::{self, Facts},
};
use crate::{
    collector::{CollectorContext, DeviceStatus, status::DeviceState},
    model::Quality,
};

/// How often the loop looks at clocks and counters.
const TICK: Duration = Duration::from_millis(200);
/// Values the server may put into one notification: the rest follows at once in the next.
const NOTIFICATION_VALUES_MAX: u32 = 10_000;
/// Refused items that the status names.
const HOLES_SHOWN_MAX: usize = 100;
/// Lost notifications asked for again at most, per subscription.
const MISSING_MAX: usize = 100;

/// Subscribes to everything and watches, until the session is of no more use. Ends only with an error; dropping it is the other way.
pub(super) async fn run(device: &Device, session: &Session, deliveries: &Arc<Deliveries>, context: &CollectorContext) -> Fault {
    match hold(device, session, deliveries, context).await {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

async fn hold(
    device: &Device,
    session: &Session,
    deliveries: &Arc<Deliveries>,
    context: &CollectorContext,
) -> Result<std::convert::Infallible, Fault> {
    let facts = read::facts(session, device.timeout).await?;
    let mut holding =
        Holding { device, session, deliveries, context, facts, subscriptions: Vec::new(), refused: BTreeMap::new(), created: 0 };
    holding.create((0..device.items.len()).collect()).await?;
    holding.report();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut retried = Instant::now();
    loop {
        ticks.tick().await;
        holding.watch()?;
        holding.ask_again().await?;
        if !holding.refused.is_empty() && retried.elapsed() >= device.retry {
            holding.retry().await?;
            retried = Instant::now();
        }
        let status = &context.status;
        let complete = status.items_delivering.load(Ordering::Relaxed) == device.items.len() as u64;
        status.set_state(if complete { DeviceState::Running } else { DeviceState::Degraded });
    }
}

struct Holding<'a> {
    device: &'a Device,
    session: &'a Session,
    deliveries: &'a Arc<Deliveries>,
    context: &'a CollectorContext,
    facts: Facts,
    subscriptions: Vec<Subscription>,
    /// Items without a monitored item, by index, and why.
    refused: BTreeMap<usize, StatusCode>,
    created: u64,
}

struct Subscription {
    id: u32,
    items: usize,
    feed: Arc<Feed>,
    /// Silence after which the session is given up.
    silence_max: Duration,
    made: Instant,
}

impl Holding<'_> {
    /// Makes monitored items for these indexes. What the server refuses is in `refused` afterwards, and its tag is Bad.
    async fn create(&mut self, indexes: Vec<usize>) -> Result<(), Fault> {
        let mut pending = Vec::with_capacity(indexes.len());
        for index in indexes {
            match self.device.items[index].address.resolve(&self.facts.namespaces) {
                Some(node) => pending.push((index, node)),
                None => self.refuse(index, StatusCode::BadNodeIdUnknown),
            }
        }
        while !pending.is_empty() {
            let room = self.subscriptions.last().map_or(0, |last| self.facts.items_per_subscription.saturating_sub(last.items));
            if room == 0 {
                if !self.subscribe().await? {
                    self.refuse_all(pending);
                    return Ok(());
                }
                continue;
            }
            let before = pending.len();
            let fresh = self.subscriptions.last().is_some_and(|last| last.items == 0);
            let rest = pending.split_off(room.min(before));
            let mut over = self.fill(pending).await?;
            let progress = over.len() + rest.len() < before;
            if !over.is_empty() {
                if fresh && !progress {
                    // An empty subscription takes none of them: the server is full, not the subscription.
                    over.extend(rest);
                    self.refuse_all(over);
                    return Ok(());
                }
                if !self.subscribe().await? {
                    over.extend(rest);
                    self.refuse_all(over);
                    return Ok(());
                }
            }
            pending = over;
            pending.extend(rest);
        }
        Ok(())
    }

    fn refuse_all(&mut self, pending: Vec<(usize, NodeId)>) {
        for (index, _) in pending {
            self.refuse(index, StatusCode::BadTooManyMonitoredItems);
        }
    }

    /// One more subscription; false when the server allows no more than there are.
    async fn subscribe(&mut self) -> Result<bool, Fault> {
        let device = self.device;
        let keep_alive = count(device.watchdog / 3, device.publishing);
        let lifetime = count(device.watchdog * 4, device.publishing).max(keep_alive.saturating_mul(3));
        let feed = Arc::new(Feed {
            deliveries: self.deliveries.clone(),
            last: Mutex::new(Instant::now()),
            values_seen: AtomicBool::new(false),
            ended: AtomicU32::new(0),
            sequence: Mutex::new(Sequence::default()),
        });
        let what = "CreateSubscription";
        let request = self.session.create_subscription(
            device.publishing,
            lifetime,
            keep_alive,
            NOTIFICATION_VALUES_MAX,
            0,
            true,
            Callback(feed.clone()),
        );
        let id = match within(device.timeout, what, request).await? {
            Ok(id) => id,
            Err(error) if error.status() == StatusCode::BadTooManySubscriptions && !self.subscriptions.is_empty() => return Ok(false),
            Err(error) => return Err(Fault::status(what, error.status(), "")),
        };
        let granted =
            self.session.subscription_state().lock().get(id).map(|s| s.publishing_interval().saturating_mul(s.max_keep_alive_count()));
        let silence_max = device.watchdog.max(granted.unwrap_or_default().saturating_mul(3));
        self.subscriptions.push(Subscription { id, items: 0, feed, silence_max, made: Instant::now() });
        Ok(true)
    }

    /// Makes items in the last subscription; returns those for which it has no room.
    async fn fill(&mut self, mut pending: Vec<(usize, NodeId)>) -> Result<Vec<(usize, NodeId)>, Fault> {
        let what = "CreateMonitoredItems";
        let mut over = Vec::new();
        let Some(subscription) = self.subscriptions.last_mut() else { return Ok(pending) };
        while !pending.is_empty() {
            let asked = pending.len().min(self.facts.items_per_call.max(1));
            let requests = pending[..asked].iter().map(|(index, node)| request(self.device, *index, node)).collect();
            let answer = self.session.create_monitored_items(subscription.id, TimestampsToReturn::Both, requests);
            let results = match within(self.device.timeout, what, answer).await? {
                Ok(results) => results,
                Err(error) if read::too_large(error.status()) && asked > 1 => {
                    self.facts.items_per_call = asked.div_ceil(2);
                    continue;
                }
                // Some servers refuse a whole request that would fill the subscription beyond its limit.
                Err(error) if error.status() == StatusCode::BadTooManyMonitoredItems => {
                    if subscription.items == 0 && asked > 1 {
                        self.facts.items_per_call = asked.div_ceil(2);
                        continue;
                    }
                    over.append(&mut pending);
                    break;
                }
                Err(error) => return Err(Fault::status(what, error.status(), "")),
            };
            for ((index, node), result) in pending.drain(..asked).zip(results) {
                let status = result.result.status_code;
                if status.is_good() {
                    subscription.items += 1;
                    self.created += 1;
                    self.refused.remove(&index);
                } else if status == StatusCode::BadTooManyMonitoredItems {
                    over.push((index, node));
                } else {
                    self.deliveries.refuse(index, Quality(status.bits()));
                    self.refused.insert(index, status);
                }
            }
        }
        Ok(over)
    }

    fn refuse(&mut self, index: usize, status: StatusCode) {
        self.deliveries.refuse(index, Quality(status.bits()));
        self.refused.insert(index, status);
    }

    /// Tries the refused items again; namespaces may have come since.
    async fn retry(&mut self) -> Result<(), Fault> {
        self.facts.namespaces = read::namespaces(self.session, self.device.timeout).await?;
        let before = self.refused.len();
        self.create(self.refused.keys().copied().collect()).await?;
        if self.refused.len() != before {
            self.report();
        }
        Ok(())
    }

    /// Tells the status what the server accepted and what not.
    fn report(&self) {
        let status = &self.context.status;
        status.items_created.store(self.created, Ordering::Relaxed);
        let describe = |index: usize, why: StatusCode| {
            let item = &self.device.items[index];
            format!("{} ({}): {why}", item.definition.name, item.address_text)
        };
        status.set_holes(self.refused.iter().take(HOLES_SHOWN_MAX).map(|(index, why)| describe(*index, *why)).collect());
        if let Some((index, why)) = self.refused.first_key_value() {
            DeviceStatus::count(&status.exceptions, 1);
            let message =
                format!("the server refuses {} of {} nodes, first {}", self.refused.len(), self.device.items.len(), describe(*index, *why));
            tracing::warn!(device = self.device.name, "{message}");
            status.record_error(self.context.clock.now(), message);
        }
        tracing::info!(
            device = self.device.name,
            created = self.created,
            wanted = self.device.items.len(),
            subscriptions = self.subscriptions.len(),
            "subscribed"
        );
    }

    /// The data watchdog.
    fn watch(&self) -> Result<(), Fault> {
        for subscription in &self.subscriptions {
            let feed = &subscription.feed;
            let ended = StatusCode::from(feed.ended.load(Ordering::Relaxed));
            if ended.is_bad() {
                return Err(Fault::status("the server ended a subscription", ended, ""));
            }
            let silence = feed.last.lock().elapsed();
            if silence > subscription.silence_max {
                return Err(Fault {
                    message: format!("neither data nor keep-alive for {} ms; the session is rebuilt", silence.as_millis()),
                    timeout: true,
                });
            }
            let mute = subscription.items > 0 && !feed.values_seen.load(Ordering::Relaxed);
            if mute && subscription.made.elapsed() > subscription.silence_max * 2 {
                return Err(Fault::new("keep-alives come, but no value of any node; the session is rebuilt"));
            }
        }
        Ok(())
    }

    /// Asks again for notifications that did not arrive although later ones did.
    async fn ask_again(&self) -> Result<(), Fault> {
        for subscription in &self.subscriptions {
            let missing = subscription.feed.sequence.lock().overdue();
            for sequence_number in missing {
                let what = "Republish";
                match within(self.device.timeout, what, self.session.republish(subscription.id, sequence_number)).await? {
                    Ok(message) => subscription.feed.take(message),
                    Err(error) => {
                        DeviceStatus::count(&self.context.status.exceptions, 1);
                        let message =
                            format!("samples of one notification are lost: the server does not have it any more ({})", error.status());
                        tracing::warn!(device = self.device.name, sequence_number, "{message}");
                        self.context.status.record_error(self.context.clock.now(), message);
                    }
                }
            }
        }
        Ok(())
    }
}

fn count(span: Duration, step: Duration) -> u32 {
    u32::try_from(span.as_millis() / step.as_millis().max(1)).unwrap_or(u32::MAX).max(1)
}

fn request(device: &Device, index: usize, node: &NodeId) -> MonitoredItemCreateRequest {
    let item = &device.items[index];
    MonitoredItemCreateRequest {
        item_to_monitor: ReadValueId { node_id: node.clone(), attribute_id: AttributeId::Value as u32, ..ReadValueId::default() },
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle: handle(index),
            sampling_interval: item.sampling.as_secs_f64() * 1000.0,
            // Without a filter the standard's default holds: status or value changed, no deadband. Some servers know no filters.
            filter: item.deadband.map_or_else(ExtensionObject::null, |deadband| {
                ExtensionObject::from_message(DataChangeFilter {
                    trigger: DataChangeTrigger::StatusValue,
                    deadband_type: DeadbandType::Absolute as u32,
                    deadband_value: deadband,
                })
            }),
            queue_size: device.queue_size,
            discard_oldest: true,
        },
    }
}

/// Client handle of an item. 0 has another meaning for the client library.
fn handle(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

/// Receiver of one subscription's notifications. Runs inside the client library and does not wait.
struct Callback(Arc<Feed>);

impl OnSubscriptionNotificationCore for Callback {
    fn on_subscription_notification(&mut self, notification: NotificationMessage, _: MonitoredItemMap<'_>) {
        self.0.take(notification);
    }
}

struct Feed {
    deliveries: Arc<Deliveries>,
    /// Last notification or keep-alive.
    last: Mutex<Instant>,
    values_seen: AtomicBool,
    /// Status with which the server ended the subscription.
    ended: AtomicU32,
    sequence: Mutex<Sequence>,
}

impl Feed {
    fn take(&self, notification: NotificationMessage) {
        *self.last.lock() = Instant::now();
        let mut values = Vec::new();
        let Some(parts) = notification.notification_data.filter(|parts| !parts.is_empty()) else { return };
        self.sequence.lock().saw(notification.sequence_number);
        for part in parts {
            if let Some(ended) = part.inner_as::<StatusChangeNotification>() {
                self.ended.store(ended.status.bits(), Ordering::Relaxed);
            } else if let Some(change) = part.into_inner_as::<DataChangeNotification>() {
                let changes = change.monitored_items.into_iter().flatten();
                values.extend(changes.filter_map(|item| Some(((item.client_handle as usize).checked_sub(1)?, item.value))));
            }
        }
        if !values.is_empty() {
            self.values_seen.store(true, Ordering::Relaxed);
            self.deliveries.deliver(values, nanoseconds(&notification.publish_time, None));
        }
    }
}

/// Sequence numbers of the notifications of one subscription: which are missing.
#[derive(Default)]
struct Sequence {
    next: Option<u32>,
    /// Missing numbers and whether they were looked at before: one that is only late gets a tick of time.
    missing: Vec<(u32, bool)>,
}

impl Sequence {
    fn saw(&mut self, number: u32) {
        if let Some(at) = self.missing.iter().position(|(missing, _)| *missing == number) {
            self.missing.remove(at);
            return;
        }
        if let Some(mut next) = self.next {
            // Numbers are repeated by a server that counts keep-alives or starts anew; nothing is missing then.
            if number.wrapping_sub(next) as usize <= MISSING_MAX {
                while next != number && self.missing.len() < MISSING_MAX {
                    self.missing.push((next, false));
                    next = after(next);
                }
            }
        }
        self.next = Some(after(number));
    }

    fn overdue(&mut self) -> Vec<u32> {
        let overdue = self.missing.iter().filter(|(_, seen)| *seen).map(|(number, _)| *number).collect();
        self.missing.retain_mut(|(_, seen)| !std::mem::replace(seen, true));
        overdue
    }
}

/// Numbers begin again at 1.
fn after(number: u32) -> u32 {
    number.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_notifications_are_asked_for_once_and_late_ones_not() {
        let mut sequence = Sequence::default();
        for number in [7, 8, 11, 9] {
            sequence.saw(number);
        }
        assert_eq!(sequence.overdue(), [0_u32; 0]);
        assert_eq!(sequence.overdue(), [10]);
        assert_eq!(sequence.overdue(), [0_u32; 0]);
        sequence.saw(10);
        sequence.saw(11);
        assert_eq!(sequence.missing, []);
        let mut wrapped = Sequence::default();
        for number in [u32::MAX - 1, u32::MAX, 1, 2] {
            wrapped.saw(number);
        }
        assert_eq!(wrapped.missing, []);
        let mut restarted = Sequence::default();
        for number in [1000, 1, 1_000_000] {
            restarted.saw(number);
        }
        assert_eq!(restarted.missing, []);
    }
}
