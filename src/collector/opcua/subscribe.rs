//! What one session shall hold, and making it so: subscriptions, monitored items, retries, watchdog.
//!
//! The desired state is the list of the device's items; it never depends on what an earlier session had. A new session starts from
//! nothing: namespaces are resolved anew, limits are read first, items are created in requests no larger than the server allows (and
//! smaller ones where it finds them too large), over as many subscriptions as it needs, and every single result is looked at. Refused
//! items are tried again for ever, slowly. A session in which nothing arrives, not even a keep-alive, is given up.
//!
//! After a cut of the link the same subscriptions go on: with the session where the server still has it, else transferred to the new one.
//! What was sent and did not arrive is asked for again first, then what the server has queued comes. What it does not give back is
//! made anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use opcua::{
    client::{
        Session, UARequest,
        services::{CreateMonitoredItems, CreateSubscription, DeleteSubscriptions, Republish, TransferSubscriptions},
    },
    types::{MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId, StatusCode, TimestampsToReturn},
};

use super::{
    deliver::Deliveries,
    device::OpcUaSettings,
    fault::{ConnectionFault, End, within},
    left_out::LeftOut,
    publish::{NotificationSink, Publisher, SubscriptionFeed, after},
    read::{self, Facts},
};
use historian_collector::{CollectorContext, DeviceStatus, status::DeviceState};
use historian_model::Quality;

/// How often the loop looks at clocks and counters.
const TICK: Duration = Duration::from_millis(200);
/// Values the server may put into one notification: the rest follows at once in the next.
const NOTIFICATION_VALUES_MAX: u32 = 10_000;
/// Refused items that the status names.
const HOLES_SHOWN_MAX: usize = 100;
/// Notifications taken from a server's memory after a loss, per subscription.
const REPUBLISHED_MAX: usize = 10_000;
/// Losses in a row, each before everything had caught up, after which everything is made anew.
const STALLED_MAX: u32 = 5;

/// A session and what is asked of it.
pub(super) struct On<'a> {
    pub device: &'a OpcUaSettings,
    pub session: &'a Session,
    pub publisher: &'a Publisher,
    pub left_out: &'a LeftOut,
}

/// What a session holds. It outlives the connection.
pub(super) struct LinkSession {
    facts: Facts,
    pub subscriptions: Vec<Subscription>,
    /// Items without a monitored item, by index, and why.
    pub refused: BTreeMap<usize, StatusCode>,
    /// Every item was made or refused once.
    complete: bool,
    /// Losses in a row since everything had last caught up.
    stalled: u32,
}

pub(super) struct Subscription {
    id: u32,
    pub items: Vec<Made>,
    pub feed: Arc<SubscriptionFeed>,
    /// As the server granted it.
    pub publishing: Duration,
    /// Silence after which the session is given up.
    silence_max: Duration,
    made: Instant,
    /// It goes on after a loss, and what changed meanwhile has not all come yet.
    catching_up: bool,
}

/// A monitored item as the server granted it.
pub(super) struct Made {
    pub index: usize,
    pub queue: u32,
    /// Sampling interval in milliseconds.
    pub sampling: f64,
}

/// Subscribes to everything, or goes on with what is held, and watches, until the session is of no more use. Ends only with an error;
/// dropping it is the other way. `fresh` when the session is another one than that in which `held` was made.
pub(super) async fn run(
    on: &On<'_>,
    held: &mut Option<LinkSession>,
    fresh: bool,
    deliveries: &Arc<Deliveries>,
    context: &CollectorContext,
) -> ConnectionFault {
    match hold(on, held, fresh, deliveries, context).await {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

async fn hold(
    on: &On<'_>,
    held: &mut Option<LinkSession>,
    fresh: bool,
    deliveries: &Arc<Deliveries>,
    context: &CollectorContext,
) -> Result<Infallible, ConnectionFault> {
    let status = &context.status;
    // What a lost answer may have left half made is made anew.
    if let Some(half) = held.take_if(|held| !held.complete)
        && !fresh
    {
        half.give_up(on).await;
    }
    if fresh || held.is_none() {
        let facts = read::facts(on.session, on.device.timeout).await?;
        match held {
            // Ids of subscriptions belong to one run of a server; in another they may be somebody else's.
            Some(held) if held.facts.started.is_some() && held.facts.started == facts.started => {
                held.refused.clear();
                held.facts = facts;
            }
            _ => {
                deliveries.forget(0..on.device.items.len());
                *held = Some(LinkSession { facts, subscriptions: Vec::new(), refused: BTreeMap::new(), complete: false, stalled: 0 });
            }
        }
    }
    let Some(held) = held else { return Err(ConnectionFault::new("nothing is held")) };
    held.take_up(on, fresh, deliveries, context).await?;
    let take: NotificationSink = {
        let deliveries = deliveries.clone();
        Arc::new(move |values, at| deliveries.deliver(values, at))
    };
    on.left_out.sweep(on.device, on.session, &held.facts.namespaces, held.facts.nodes_per_read).await?;
    let missing = held.missing(on.device);
    held.create(on, &take, missing).await?;
    held.complete = true;
    held.report(on, deliveries, context);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut retried = Instant::now();
    loop {
        ticks.tick().await;
        held.watch()?;
        held.ask_again(on, deliveries, context).await?;
        held.settle(deliveries);
        delete(on, on.publisher.take_strays()).await;
        if !held.refused.is_empty() && retried.elapsed() >= on.device.retry {
            held.retry(on, &take, deliveries, context).await?;
            retried = Instant::now();
        }
        let complete = status.items_delivering.load(Ordering::Relaxed) == on.device.items.len() as u64;
        status.set_state(if complete { DeviceState::Running } else { DeviceState::Degraded });
    }
}

/// Subscribes to everything once, as [`run`] does, for a look at what the server grants.
pub(super) async fn attempt(on: &On<'_>, take: &NotificationSink) -> Result<LinkSession, ConnectionFault> {
    let facts = read::facts(on.session, on.device.timeout).await?;
    let mut held = LinkSession { facts, subscriptions: Vec::new(), refused: BTreeMap::new(), complete: false, stalled: 0 };
    held.create(on, take, (0..on.device.items.len()).collect()).await?;
    Ok(held)
}

/// Deletes subscriptions, as far as the server lets us.
async fn delete(on: &On<'_>, ids: BTreeSet<u32>) {
    if !ids.is_empty() {
        let request = DeleteSubscriptions::new(on.session).subscription_ids(ids.into_iter().collect());
        let _ = tokio::time::timeout(on.device.timeout, request.send(on.session.channel())).await;
    }
}

/// What a server answered when it was asked for what a subscription has sent.
enum Memory {
    /// Everything came.
    Whole,
    /// Some of it is gone, or the server keeps nothing.
    Partial,
    /// The subscription is gone.
    Gone,
}

impl LinkSession {
    /// Deletes every subscription, as far as the server lets us.
    pub async fn give_up(self, on: &On<'_>) {
        delete(on, self.subscriptions.iter().map(|subscription| subscription.id).collect()).await;
    }

    /// Goes on with the subscriptions of before a loss. Those that the server does not have any more are forgotten.
    async fn take_up(
        &mut self,
        on: &On<'_>,
        fresh: bool,
        deliveries: &Deliveries,
        context: &CollectorContext,
    ) -> Result<(), ConnectionFault> {
        if self.subscriptions.is_empty() {
            return Ok(());
        }
        self.stalled += 1;
        if fresh {
            self.transfer(on, deliveries).await?;
        }
        let mut kept = Vec::new();
        for mut subscription in std::mem::take(&mut self.subscriptions) {
            deliveries.take_up(subscription.items.iter().map(|item| item.index));
            subscription.feed.take_up();
            match remembered(on, &subscription).await? {
                Memory::Gone => {
                    deliveries.forget(subscription.items.iter().map(|item| item.index));
                    continue;
                }
                Memory::Partial => subscription.feed.set_incomplete(),
                Memory::Whole => {}
            }
            subscription.catching_up = true;
            subscription.made = Instant::now();
            kept.push(subscription);
        }
        self.subscriptions = kept;
        for subscription in &self.subscriptions {
            on.publisher.add(subscription.id, subscription.feed.clone());
        }
        if !self.subscriptions.is_empty() {
            let how = if fresh { "transferred to a new session" } else { "taken up with their session" };
            tracing::info!(device = on.device.name, subscriptions = self.subscriptions.len(), "subscriptions {how}");
        }
        context.status.items_created.store(self.created(), Ordering::Relaxed);
        Ok(())
    }

    /// Moves the subscriptions of the session before to this one. Those that do not come are deleted, in case they are still there.
    async fn transfer(&mut self, on: &On<'_>, deliveries: &Deliveries) -> Result<(), ConnectionFault> {
        let ids: Vec<u32> = self.subscriptions.iter().map(|subscription| subscription.id).collect();
        let request = TransferSubscriptions::new(on.session).subscription_ids(ids).send_initial_values(false);
        let results = match within(on.device.timeout, "TransferSubscriptions", request.send(on.session.channel())).await? {
            Ok(answer) => answer.results.unwrap_or_default(),
            // Many servers do not know the service.
            Err(_) => Vec::new(),
        };
        let mut left = BTreeSet::new();
        let mut results = results.into_iter();
        self.subscriptions.retain(|subscription| {
            let moved = results.next().is_some_and(|result| result.status_code.is_good());
            if !moved {
                left.insert(subscription.id);
                deliveries.forget(subscription.items.iter().map(|item| item.index));
            }
            moved
        });
        delete(on, left).await;
        Ok(())
    }

    /// Indexes of the items that have no monitored item and were not refused.
    fn missing(&self, device: &OpcUaSettings) -> Vec<usize> {
        let mut missing: BTreeSet<usize> = (0..device.items.len()).collect();
        for item in self.subscriptions.iter().flat_map(|subscription| &subscription.items) {
            missing.remove(&item.index);
        }
        for index in self.refused.keys() {
            missing.remove(index);
        }
        missing.into_iter().collect()
    }

    fn created(&self) -> u64 {
        self.subscriptions.iter().map(|subscription| subscription.items.len() as u64).sum()
    }

    /// Makes monitored items for these indexes. What the server refuses is in `refused` afterwards.
    async fn create(&mut self, on: &On<'_>, take: &NotificationSink, indexes: Vec<usize>) -> Result<(), ConnectionFault> {
        let mut pending = Vec::with_capacity(indexes.len());
        for index in indexes {
            match on.device.items[index].address.resolve(&self.facts.namespaces) {
                Some(_) if on.left_out.has(index) => _ = self.refused.insert(index, read::BROKEN),
                Some(node) => pending.push((index, node)),
                None => _ = self.refused.insert(index, StatusCode::BadNodeIdUnknown),
            }
        }
        while !pending.is_empty() {
            let room = self.subscriptions.last().map_or(0, |last| self.facts.items_per_subscription.saturating_sub(last.items.len()));
            if room == 0 {
                if !self.subscribe(on, take).await? {
                    self.refuse_all(pending);
                    return Ok(());
                }
                continue;
            }
            let before = pending.len();
            let fresh = self.subscriptions.last().is_some_and(|last| last.items.is_empty());
            let rest = pending.split_off(room.min(before));
            let mut over = self.fill(on, pending).await?;
            let progress = over.len() + rest.len() < before;
            if !over.is_empty() {
                if fresh && !progress {
                    // An empty subscription takes none of them: the server is full, not the subscription.
                    over.extend(rest);
                    self.refuse_all(over);
                    return Ok(());
                }
                if !self.subscribe(on, take).await? {
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
        self.refused.extend(pending.into_iter().map(|(index, _)| (index, StatusCode::BadTooManyMonitoredItems)));
    }

    /// One more subscription; false when the server allows no more than there are.
    async fn subscribe(&mut self, on: &On<'_>, take: &NotificationSink) -> Result<bool, ConnectionFault> {
        let device = on.device;
        let keep_alive = count(device.watchdog / 3, device.publishing);
        let lifetime = count(device.watchdog * 4, device.publishing).max(keep_alive.saturating_mul(3));
        let what = "CreateSubscription";
        let request = CreateSubscription::new(on.session)
            .publishing_interval(device.publishing)
            .max_lifetime_count(lifetime)
            .max_keep_alive_count(keep_alive)
            .max_notifications_per_publish(NOTIFICATION_VALUES_MAX)
            .publishing_enabled(true);
        let answer = match within(device.timeout, what, request.send(on.session.channel())).await? {
            Ok(answer) => answer,
            Err(error) if error.status() == StatusCode::BadTooManySubscriptions && !self.subscriptions.is_empty() => return Ok(false),
            Err(error) => return Err(ConnectionFault::status(what, error.status(), "")),
        };
        let publishing = Duration::try_from_secs_f64(answer.revised_publishing_interval / 1000.0).unwrap_or(device.publishing);
        let granted = publishing.saturating_mul(answer.revised_max_keep_alive_count);
        let feed = Arc::new(SubscriptionFeed::new(take.clone()));
        on.publisher.add(answer.subscription_id, feed.clone());
        self.subscriptions.push(Subscription {
            id: answer.subscription_id,
            items: Vec::new(),
            feed,
            publishing,
            silence_max: device.watchdog.max(granted.saturating_mul(3)),
            made: Instant::now(),
            catching_up: false,
        });
        Ok(true)
    }

    /// Makes items in the last subscription; returns those for which it has no room.
    async fn fill(&mut self, on: &On<'_>, mut pending: Vec<(usize, NodeId)>) -> Result<Vec<(usize, NodeId)>, ConnectionFault> {
        let what = "CreateMonitoredItems";
        let mut over = Vec::new();
        let Some(subscription) = self.subscriptions.last_mut() else { return Ok(pending) };
        while !pending.is_empty() {
            let asked = pending.len().min(self.facts.items_per_call.max(1));
            let wanted = pending[..asked].iter().map(|(index, node)| request(on.device, *index, node)).collect();
            let request = CreateMonitoredItems::new(subscription.id, on.session)
                .timestamps_to_return(TimestampsToReturn::Both)
                .items_to_create(wanted);
            let results = match within(on.device.timeout, what, request.send(on.session.channel())).await? {
                Ok(answer) => answer.results,
                Err(error) if read::too_large(error.status()) && asked > 1 => {
                    self.facts.items_per_call = asked.div_ceil(2);
                    continue;
                }
                // Some servers refuse a whole request that would fill the subscription beyond its limit.
                Err(error) if error.status() == StatusCode::BadTooManyMonitoredItems => {
                    if subscription.items.is_empty() && asked > 1 {
                        self.facts.items_per_call = asked.div_ceil(2);
                        continue;
                    }
                    over.append(&mut pending);
                    break;
                }
                Err(error) => return Err(ConnectionFault::status(what, error.status(), "")),
            };
            for ((index, node), created) in pending.drain(..asked).zip(results) {
                let status = created.result.status_code;
                if status.is_good() {
                    let queue = created.result.revised_queue_size;
                    subscription.items.push(Made { index, queue, sampling: created.result.revised_sampling_interval });
                    self.refused.remove(&index);
                } else if status == StatusCode::BadTooManyMonitoredItems {
                    over.push((index, node));
                } else {
                    self.refused.insert(index, status);
                }
            }
        }
        Ok(over)
    }

    /// Tries the refused items again; namespaces may have come since.
    async fn retry(
        &mut self,
        on: &On<'_>,
        take: &NotificationSink,
        deliveries: &Deliveries,
        context: &CollectorContext,
    ) -> Result<(), ConnectionFault> {
        self.facts.namespaces = read::namespaces(on.session, on.device.timeout).await?;
        on.left_out.recheck(on.device, on.session, &self.facts.namespaces).await?;
        let before = self.refused.len();
        self.create(on, take, self.refused.keys().copied().collect()).await?;
        if self.refused.len() == before {
            self.refuse(deliveries);
        } else {
            self.report(on, deliveries, context);
        }
        Ok(())
    }

    fn refuse(&self, deliveries: &Deliveries) {
        for (index, status) in &self.refused {
            deliveries.refuse(*index, Quality(status.bits()));
        }
    }

    /// Tells tags and status what the server accepted and what not.
    fn report(&self, on: &On<'_>, deliveries: &Deliveries, context: &CollectorContext) {
        self.refuse(deliveries);
        let status = &context.status;
        let created = self.created();
        status.items_created.store(created, Ordering::Relaxed);
        let made = self.subscriptions.iter().flat_map(|subscription| &subscription.items);
        deliveries.created(made.map(|item| (item.index, item.sampling)));
        let describe = |index: usize, why: StatusCode| {
            let item = &on.device.items[index];
            let advice = if why == StatusCode::BadNodeIdUnknown && item.address.resolve(&self.facts.namespaces).is_none() {
                format!("; {}", item.address.advice(&self.facts.namespaces))
            } else {
                String::new()
            };
            format!("{} ({}): {why}{advice}", item.definition.name, item.address_text)
        };
        status.set_holes(self.refused.iter().take(HOLES_SHOWN_MAX).map(|(index, why)| describe(*index, *why)).collect());
        if let Some((index, why)) = self.refused.first_key_value() {
            DeviceStatus::count(&status.exceptions, 1);
            let (refused, wanted) = (self.refused.len(), on.device.items.len());
            let message = format!("the server refuses {refused} of {wanted} nodes, first {}", describe(*index, *why));
            tracing::warn!(device = on.device.name, "{message}");
            status.record_error(context.clock.now(), message);
        }
        tracing::info!(
            device = on.device.name,
            created,
            wanted = on.device.items.len(),
            subscriptions = self.subscriptions.len(),
            "subscribed"
        );
    }

    /// The data watchdog.
    fn watch(&self) -> Result<(), ConnectionFault> {
        for subscription in &self.subscriptions {
            let feed = &subscription.feed;
            if let Some(ended) = feed.ended() {
                return Err(ConnectionFault {
                    end: End::Subscriptions,
                    ..ConnectionFault::status("the server ended a subscription", ended, "")
                });
            }
            let silence = feed.silence();
            if silence > subscription.silence_max {
                return Err(ConnectionFault {
                    message: format!("neither data nor keep-alive for {} ms; the session is rebuilt", silence.as_millis()),
                    timeout: true,
                    end: End::Silence,
                });
            }
            let mute = !subscription.items.is_empty() && !feed.values_seen();
            if mute && subscription.made.elapsed() > subscription.silence_max * 2 {
                let message = "keep-alives come, but no value of any node; the subscriptions are rebuilt";
                return Err(ConnectionFault { end: End::Subscriptions, ..ConnectionFault::new(message) });
            }
        }
        Ok(())
    }

    /// Asks again for notifications that did not arrive although later ones did.
    async fn ask_again(&self, on: &On<'_>, deliveries: &Deliveries, context: &CollectorContext) -> Result<(), ConnectionFault> {
        for subscription in &self.subscriptions {
            for number in subscription.feed.overdue() {
                let lost = match republish(on, subscription, number).await? {
                    Ok(()) => continue,
                    Err(lost) => lost,
                };
                if let Some(around) = subscription.feed.lose(number) {
                    deliveries.miss(subscription.items.iter().map(|item| item.index), around);
                }
                DeviceStatus::count(&context.status.exceptions, 1);
                let message = format!("samples of one notification are lost: the server does not have it any more ({lost})");
                tracing::warn!(device = on.device.name, sequence_number = number, "{message}");
                context.status.record_error(context.clock.now(), message);
            }
        }
        Ok(())
    }

    /// Ends the outage of the tags whose subscriptions have caught up.
    fn settle(&mut self, deliveries: &Deliveries) {
        for subscription in self.subscriptions.iter_mut().filter(|subscription| subscription.catching_up) {
            if subscription.feed.has_caught_up() {
                subscription.catching_up = false;
                deliveries.settle(subscription.items.iter().map(|item| (item.index, item.queue)), !subscription.feed.is_incomplete());
            }
        }
        if self.subscriptions.iter().all(|subscription| !subscription.catching_up) {
            self.stalled = 0;
        }
    }
}

/// Whether it makes sense to go on with this after a loss of this kind.
pub(super) fn may_go_on(held: Option<&LinkSession>, end: End) -> bool {
    let stalled = held.map_or(0, |held| held.stalled);
    match end {
        End::Lost(status) => stalled <= STALLED_MAX && !undecodable(status),
        End::Silence => stalled == 0,
        _ => false,
    }
}

/// The client library closes the channel over a message that it cannot read; taken up, the session would send it again.
fn undecodable(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadDecodingError
            | StatusCode::BadEncodingError
            | StatusCode::BadEncodingLimitsExceeded
            | StatusCode::BadTcpMessageTooLarge
            | StatusCode::BadResponseTooLarge
            | StatusCode::BadUnexpectedError
    )
}

/// Asks for what a subscription has sent and we did not get, number after number, until there is no more.
async fn remembered(on: &On<'_>, subscription: &Subscription) -> Result<Memory, ConnectionFault> {
    let mut number = subscription.feed.next_number();
    for _ in 0..REPUBLISHED_MAX {
        match republish(on, subscription, number).await? {
            Ok(()) => number = after(number),
            Err(StatusCode::BadMessageNotAvailable) => return Ok(Memory::Whole),
            Err(StatusCode::BadSubscriptionIdInvalid) => return Ok(Memory::Gone),
            Err(_) => return Ok(Memory::Partial),
        }
    }
    Ok(Memory::Partial)
}

/// Asks for one notification; the inner error says why it did not come.
async fn republish(on: &On<'_>, subscription: &Subscription, number: u32) -> Result<Result<(), StatusCode>, ConnectionFault> {
    let request = Republish::new(subscription.id, number, on.session);
    Ok(match within(on.device.timeout, "Republish", request.send(on.session.channel())).await? {
        Ok(answer) => {
            let came = subscription.feed.republished(number, answer.notification_message);
            // Some servers answer with an empty message instead.
            if came { Ok(()) } else { Err(StatusCode::BadMessageNotAvailable) }
        }
        Err(error) => Err(error.status()),
    })
}

fn count(span: Duration, step: Duration) -> u32 {
    u32::try_from(span.as_millis() / step.as_millis().max(1)).unwrap_or(u32::MAX).max(1)
}

fn request(device: &OpcUaSettings, index: usize, node: &NodeId) -> MonitoredItemCreateRequest {
    let item = &device.items[index];
    MonitoredItemCreateRequest {
        item_to_monitor: item.value_of(node.clone()),
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle: handle(index),
            sampling_interval: item.sampling.as_secs_f64() * 1000.0,
            filter: item.filter(),
            queue_size: item.queue_size,
            discard_oldest: true,
        },
    }
}

/// Client handle of an item. 0 has another meaning for the client library.
fn handle(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}
