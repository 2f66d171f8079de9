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
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use opcua::{
    client::{
        UARequest,
        services::{CreateMonitoredItems, CreateSubscription, TransferSubscriptions},
    },
    types::{MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId, StatusCode, TimestampsToReturn},
};

use super::{
    browse::{self, GlobScan},
    deliver::Deliveries,
    device::IdentityGuard,
    fault::{ConnectionFault, End, within},
    found::GlobTags,
    identity::OTHER_NODE,
    item::OpcUaTag,
    publish::{NotificationSink, SubscriptionFeed},
    read::{self, Facts},
    structure::learn,
    subscription::{Made, Memory, On, Subscription, delete, remembered, republish},
};
use historian_collector::{CollectorContext, DeviceStatus, status::DeviceState};
use historian_model::Quality;

/// How often the loop looks at clocks and counters.
const TICK: Duration = Duration::from_millis(200);
/// Values the server may put into one notification: the rest follows at once in the next.
const NOTIFICATION_VALUES_MAX: u32 = 10_000;
/// Refused items that the status names.
const HOLES_SHOWN_MAX: usize = 100;
/// How long a scan for globs may take.
const SCAN_MAX: Duration = Duration::from_mins(10);
/// Losses in a row, each before everything had caught up, after which everything is made anew.
const STALLED_MAX: u32 = 5;

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
    // Servers that count their tokens from one number in each run let us into the session that somebody else has there now, with
    // subscriptions that have the ids of ours.
    if let Some(held) = held.as_ref().filter(|_| !fresh)
        && !held.facts.is_same_run(read::started(on.session, on.device.timeout).await?)
    {
        let message =
            "the session may be somebody else's: the server has started anew, or does not say when it started; a new one is opened";
        return Err(ConnectionFault { end: End::Session, ..ConnectionFault::new(message) });
    }
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
            Some(held) if held.facts.is_same_run(facts.started) => {
                held.refused.clear();
                held.facts = facts;
            }
            _ => {
                deliveries.forget(0..on.items.len());
                on.items.await_found();
                compare_nodes(on, deliveries, context).await?;
                *held = Some(LinkSession { facts, subscriptions: Vec::new(), refused: BTreeMap::new(), complete: false, stalled: 0 });
            }
        }
    }
    let Some(held) = held else { return Err(ConnectionFault::new("nothing is held")) };
    if fresh || !held.complete {
        learn::begin(deliveries.structures(), on, &held.facts).await?;
    }
    held.take_up(on, fresh, deliveries, context).await?;
    held.remove(on, deliveries, &[]).await?;
    let take: NotificationSink = {
        let deliveries = deliveries.clone();
        Arc::new(move |values, at| deliveries.deliver(values, at))
    };
    on.left_out.sweep(on.items, on.session, &held.facts, on.device.timeout).await?;
    let missing = held.missing(on);
    held.create(on, &take, missing).await?;
    held.complete = true;
    held.report(on, deliveries, context);
    let mut scanning = on.globs.map(|_| scan(on));
    let mut scan_at: Option<Instant> = None;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut retried = Instant::now();
    loop {
        let scanned = tokio::select! {
            _ = ticks.tick() => None,
            scanned = next(&mut scanning) => Some(scanned),
        };
        if let Some(scanned) = scanned {
            scanning = None;
            let wait = if scanned.is_ok() { on.device.rescan } else { Some(on.device.retry) };
            scan_at = wait.map(|wait| Instant::now() + wait);
            held.take_scan(scanned, on, &take, deliveries, context).await?;
        }
        if scanning.is_none() && scan_at.is_some_and(|at| at <= Instant::now()) {
            scan_at = None;
            scanning = Some(scan(on));
        }
        held.watch()?;
        held.ask_again(on, deliveries, context).await?;
        held.settle(deliveries);
        held.learn(on, &take, deliveries).await?;
        delete(on, on.publisher.take_strays()).await;
        if !held.refused.is_empty() && retried.elapsed() >= on.device.retry {
            held.retry(on, &take, deliveries, context).await?;
            retried = Instant::now();
        }
        let complete = status.items_delivering.load(Ordering::Relaxed) == on.items.len() as u64;
        status.set_state(if complete { DeviceState::Running } else { DeviceState::Degraded });
    }
}

/// Subscribes to everything once, as [`run`] does, for a look at what the server grants.
pub(super) async fn attempt(on: &On<'_>, take: &NotificationSink) -> Result<LinkSession, ConnectionFault> {
    let facts = read::facts(on.session, on.device.timeout).await?;
    let mut held = LinkSession { facts, subscriptions: Vec::new(), refused: BTreeMap::new(), complete: false, stalled: 0 };
    held.create(on, take, on.items.wanted()).await?;
    Ok(held)
}

/// Browses the server for the globs of the device.
type Scanning<'a> = Pin<Box<dyn Future<Output = Result<GlobScan, ConnectionFault>> + Send + 'a>>;

fn scan<'a>(on: &On<'a>) -> Scanning<'a> {
    let (session, device) = (on.session, on.device);
    Box::pin(browse::scan(session, &device.globs, device.timeout, Instant::now() + SCAN_MAX))
}

/// Waits for the end of a scan; for ever where there is none.
async fn next(scanning: &mut Option<Scanning<'_>>) -> Result<GlobScan, ConnectionFault> {
    match scanning {
        Some(scanning) => scanning.await,
        None => std::future::pending().await,
    }
}

/// Compares the nodes of configured tags with those of the run of the server before, and says what differs.
async fn compare_nodes(on: &On<'_>, deliveries: &Deliveries, context: &CollectorContext) -> Result<(), ConnectionFault> {
    for news in on.identities.compare(on.device, on.items, on.session).await? {
        tracing::warn!(device = on.device.name, "{news}");
        context.status.record_error(context.clock.now(), news);
    }
    for index in 0..on.items.configured() {
        deliveries.expect(index, &on.items.item(index).address_text, on.identities.doubt(index).as_deref());
    }
    Ok(())
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

    /// Indexes of the wanted items that have no monitored item and were not refused.
    fn missing(&self, on: &On<'_>) -> Vec<usize> {
        let mut missing: BTreeSet<usize> = on.items.wanted().into_iter().collect();
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
            match on.items.item(index).address.resolve(&self.facts.namespaces) {
                _ if on.items.gone(index).is_some() => _ = self.refused.insert(index, StatusCode::BadNodeIdUnknown),
                _ if on.device.identity == IdentityGuard::Refuse && on.identities.doubt(index).is_some() => {
                    self.refused.insert(index, OTHER_NODE);
                }
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
            let wanted = pending[..asked].iter().map(|(index, node)| request(&on.items.item(*index), *index, node)).collect();
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
                    let id = created.result.monitored_item_id;
                    subscription.items.push(Made { id, index, queue, sampling: created.result.revised_sampling_interval });
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
        on.left_out.recheck(on.items, on.session, &self.facts, on.device.timeout).await?;
        let before = self.refused.len();
        self.create(on, take, self.refused.keys().copied().collect()).await?;
        if self.refused.len() == before {
            self.refuse(on, deliveries);
        } else {
            self.report(on, deliveries, context);
        }
        Ok(())
    }

    fn refuse(&self, on: &On<'_>, deliveries: &Deliveries) {
        for (index, status) in &self.refused {
            let why = on.items.gone(*index).or_else(|| on.identities.doubt(*index).filter(|_| *status == OTHER_NODE));
            deliveries.refuse(*index, Quality(status.bits()), why.as_deref());
        }
    }

    /// Monitors no more what is not wanted, and what is at another node now. If the link is lost meanwhile, all is made anew: an item that is
    /// left at its old node would speak for the new one.
    async fn remove(&mut self, on: &On<'_>, deliveries: &Deliveries, moved: &[usize]) -> Result<(), ConnectionFault> {
        let mut stays: BTreeSet<usize> = on.items.wanted().into_iter().collect();
        for index in moved {
            stays.remove(index);
        }
        let monitored = self.subscriptions.iter().flat_map(|subscription| &subscription.items);
        let out: BTreeSet<usize> = monitored.map(|made| made.index).filter(|index| !stays.contains(index)).collect();
        if !out.is_empty() {
            for index in &out {
                deliveries.mute(*index);
            }
            let complete = std::mem::take(&mut self.complete);
            for subscription in &mut self.subscriptions {
                subscription.remove(on, &out, self.facts.items_per_call).await?;
            }
            self.complete = complete;
        }
        self.refused.extend(on.items.all_gone().into_iter().map(|index| (index, StatusCode::BadNodeIdUnknown)));
        Ok(())
    }

    /// Takes what a scan has found: monitors what is new, and no more what is gone. A scan that failed has found nothing, and proves nothing.
    async fn take_scan(
        &mut self,
        scanned: Result<GlobScan, ConnectionFault>,
        on: &On<'_>,
        take: &NotificationSink,
        deliveries: &Deliveries,
        context: &CollectorContext,
    ) -> Result<(), ConnectionFault> {
        let Some(globs) = on.globs else { return Ok(()) };
        let scan = scanned.unwrap_or_else(|fault| GlobScan {
            notes: vec![format!("the server cannot be browsed: {}; it is tried again", fault.message)],
            ..GlobScan::default()
        });
        let changes = globs.take(scan, on.session).await?;
        self.remove(on, deliveries, &changes.remove).await?;
        for index in &changes.create {
            self.refused.remove(index);
            deliveries.expect(*index, &on.items.item(*index).address_text, None);
        }
        // The namespace of what is new may be new.
        self.facts.namespaces = read::namespaces(on.session, on.device.timeout).await?;
        self.create(on, take, changes.create).await?;
        self.report(on, deliveries, context);
        Ok(())
    }

    /// Reads the types of structures that came and were not known, and monitors anew what waits for them: its value comes once more.
    async fn learn(&mut self, on: &On<'_>, take: &NotificationSink, deliveries: &Deliveries) -> Result<(), ConnectionFault> {
        if !learn::go_on(deliveries.structures(), on, &self.facts).await? {
            return Ok(());
        }
        let wanted: BTreeSet<usize> = on.items.wanted().into_iter().collect();
        let waiting: Vec<usize> = deliveries.waiting_for_types().into_iter().filter(|index| wanted.contains(index)).collect();
        self.remove(on, deliveries, &waiting).await?;
        for index in &waiting {
            deliveries.expect(*index, &on.items.item(*index).address_text, on.identities.doubt(*index).as_deref());
        }
        self.create(on, take, waiting).await
    }

    /// Tells tags and status what the server accepted and what not.
    fn report(&self, on: &On<'_>, deliveries: &Deliveries, context: &CollectorContext) {
        self.refuse(on, deliveries);
        let status = &context.status;
        let created = self.created();
        status.items_created.store(created, Ordering::Relaxed);
        let made = self.subscriptions.iter().flat_map(|subscription| &subscription.items);
        deliveries.created(made.map(|item| (item.index, item.sampling)));
        let describe = |index: usize, why: StatusCode| {
            let item = on.items.item(index);
            let words = match (on.items.gone(index), on.identities.doubt(index)) {
                (Some(gone), _) => gone,
                (None, Some(doubt)) if why == OTHER_NODE => doubt,
                _ if why == StatusCode::BadNodeIdUnknown && item.address.resolve(&self.facts.namespaces).is_none() => {
                    item.address.advice(&self.facts.namespaces)
                }
                _ => String::new(),
            };
            let words = if words.is_empty() { words } else { format!("; {words}") };
            format!("{} ({}): {why}{words}", item.definition.name, item.address_text)
        };
        let doubts = on.identities.doubts().into_iter().filter(|(index, _)| !self.refused.contains_key(index)).map(|(index, doubt)| {
            let item = on.items.item(index);
            format!("{} ({}): Uncertain; {doubt}", item.definition.name, item.address_text)
        });
        let refused = self.refused.iter().map(|(index, why)| describe(*index, *why));
        let untaken = on.globs.map(GlobTags::told).unwrap_or_default();
        status.set_holes(refused.chain(doubts).chain(untaken).take(HOLES_SHOWN_MAX).collect());
        if let Some((index, why)) = self.refused.first_key_value() {
            DeviceStatus::count(&status.exceptions, 1);
            let (refused, wanted) = (self.refused.len(), on.items.len());
            let message = format!("the server refuses {refused} of {wanted} nodes, first {}", describe(*index, *why));
            tracing::warn!(device = on.device.name, "{message}");
            status.record_error(context.clock.now(), message);
        }
        tracing::info!(device = on.device.name, created, wanted = on.items.len(), subscriptions = self.subscriptions.len(), "subscribed");
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
                let message = format!("neither data nor keep-alive for {} ms; the session is rebuilt", silence.as_millis());
                return Err(ConnectionFault { timeout: true, end: End::Silence, ..ConnectionFault::new(message) });
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

fn count(span: Duration, step: Duration) -> u32 {
    u32::try_from(span.as_millis() / step.as_millis().max(1)).unwrap_or(u32::MAX).max(1)
}

fn request(item: &OpcUaTag, index: usize, node: &NodeId) -> MonitoredItemCreateRequest {
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
