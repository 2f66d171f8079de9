//! The loop around the sessions of one device: connect, hold, lose, wait, again, until told to stop. Of a set of redundant servers the next is tried
//! instead of the wait, as [`super::redundancy`] says.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use opcua::{crypto::SecurityPolicy, types::StatusCode};

use super::{
    connection::{CLOSE_MAX, OpcUaConnection},
    deliver::Deliveries,
    delivered::Delivered,
    device::{OpcUaSettings, UserIdentity},
    fault::{ConnectionFault, End},
    found::GlobTags,
    history::{self, HistorySource, backlog::HistoryBacklog},
    identity::NodeIdentities,
    left_out::LeftOut,
    publish::{self, Publisher},
    read,
    redundancy::{
        level::ServiceLevel,
        set::{MemberEnd, NextTry, ServerSet},
        watch::{self, Probing, ReadyServer, WatchedServer},
    },
    session::{Logon, Refusal},
    subscribe::{self, LinkSession},
    subscription::On,
    wanted::WantedItems,
    wire::ReplacedValue,
};
use historian_collector::{CollectorContext, DeviceStatus, guard, status::DeviceState, supervise::Backoff};
use historian_model::TagId;

/// How long before an outage its history is read, beside two publishings: what was sampled and not sent yet, a mark of the run that is a second
/// old, clocks that differ a little.
const UNSENT: Duration = Duration::from_secs(2);
const RECONNECT_FIRST: Duration = Duration::from_millis(500);
/// Longest wait while there is a session to take up: the server keeps it, and what it queues, for a short time only.
const TAKE_UP_DELAY_MAX: Duration = Duration::from_secs(2);

/// How long a look at another server may go on when the connection beside which it was begun is over.
const PROBE_END_MAX: Duration = Duration::from_secs(1);

/// The same while other servers are there: how long one step of taking up a session may take before they are tried.
const TAKE_UP_IN_SET_MAX: Duration = Duration::from_secs(2);
/// A connection that held for so long, and by which the server answered, was a sound one: values come only where something changes.
const HELD_MIN: Duration = Duration::from_secs(5);

/// Time for what came with a value that cannot be decoded to be stored, before the subscriptions are given up for it.
const BROKEN_GRACE: Duration = Duration::from_millis(200);

/// What outlives a cut link.
struct KeptSession {
    /// The server of the set that has it.
    member: usize,
    logon: Logon,
    held: Option<LinkSession>,
    lost: Instant,
    /// The server does not have the session any more.
    gone: bool,
}

/// Which server of the set is connected to.
struct UsedServer {
    set: ServerSet,
    /// Before this no better one is looked for: the last was left for its level.
    rest_until: Instant,
    ready: ReadyServer,
}

impl UsedServer {
    fn new(device: &OpcUaSettings) -> UsedServer {
        UsedServer { set: ServerSet::new(device.servers()), rest_until: Instant::now(), ready: ReadyServer::default() }
    }

    fn member(&self) -> usize {
        self.set.current()
    }

    /// Goes on to the next server after this end of a connection, which was a sound one if it `held`. `kept` is the server that has its session.
    fn advance(&mut self, device: &OpcUaSettings, end: End, held: bool, kept: Option<usize>) -> NextTry {
        if matches!(end, End::Standby | End::Better(_)) {
            self.rest_until = Instant::now() + device.reconnect_max;
        }
        let end = match end {
            End::Better(member) => MemberEnd::Better(member),
            _ if !held => MemberEnd::Failed,
            End::Lost(_) if kept == Some(self.member()) => MemberEnd::Cut,
            _ => MemberEnd::Spent,
        };
        self.set.advance(end, kept)
    }
}

/// What is known of the tags of a device, from one connection to the next.
struct WatchedTags<'a> {
    globs: Option<&'a GlobTags<'a>>,
    identities: NodeIdentities,
    /// Of a device whose server's history fills gaps.
    backlog: Option<&'a HistoryBacklog>,
}

/// Collects until shutdown; `ids` are in the order of the device's items.
pub(super) async fn run(device: &OpcUaSettings, ids: &[TagId], context: &CollectorContext) {
    let status = &context.status;
    let tags = device.items.iter().zip(ids).map(|(item, id)| Delivered::of(*id, item));
    let mut deliveries = Deliveries::new(tags, context.spool.clone(), context.clock.clone(), status.clone());
    deliveries.resume(&context.last);
    let backlog = device.history.map(|history| {
        let wanted = device.items.iter().map(|item| item.history);
        Arc::new(HistoryBacklog::new(history, device.publishing * 2 + UNSENT, wanted, &context.unfilled, &context.last))
    });
    deliveries.fill_from(backlog.clone());
    let deliveries = Arc::new(deliveries);
    let items = WantedItems::new(&device.items);
    status.items_wanted.store(items.len() as u64, Ordering::Relaxed);
    let globs = GlobTags::new(device, &items, &deliveries, context);
    if device.policy == SecurityPolicy::None {
        tracing::warn!(
            device = device.name,
            secret = match device.user {
                UserIdentity::Password { .. } => "the password may go over the network in clear text",
                UserIdentity::Token { .. } => "the token is encrypted for whoever shows a certificate as the server's, or not sent",
                UserIdentity::Anonymous | UserIdentity::Certificate { .. } => "none is sent",
            },
            "security_policy is None: nobody checks who the server is, and the network can read and change what it sends"
        );
    }
    let mut backoff = Backoff::new(RECONNECT_FIRST.min(device.reconnect_max), device.reconnect_max);
    let mut last_errors = vec![String::new(); device.servers()];
    let mut server = UsedServer::new(device);
    let mut kept: Option<KeptSession> = None;
    let unfit = Unfit { device, context, left_out: LeftOut::default(), items: &items, told: parking_lot::Mutex::default() };
    let tags = WatchedTags {
        globs: (!device.globs.is_empty()).then_some(&globs),
        identities: NodeIdentities::default(),
        backlog: backlog.as_deref(),
    };
    loop {
        status.set_state(DeviceState::Connecting);
        let (values_before, answers_before) = (status.view().last_good_at, status.requests.load(Ordering::Relaxed));
        let begun = Instant::now();
        // A panic in the client library must cost a session, not the device.
        let fault = match Box::pin(guard::run(attempt(&unfit, &tags, &deliveries, &server, &mut kept))).await {
            Ok(Some(fault)) => fault,
            Ok(None) => break,
            Err(panicked) => panicked.into(),
        };
        // What the library panics at comes again with the next session: it is not asked at once, whatever came before.
        let is_panic = guard::is_panic(&fault.message);
        let delivered = status.view().last_good_at != values_before && !is_panic;
        let answered = status.requests.load(Ordering::Relaxed) != answers_before && !is_panic;
        let kept_by = kept.as_ref().filter(|kept| !kept.gone).map(|kept| kept.member);
        let member = server.member();
        let next = server.advance(device, fault.end, (delivered || answered) && begun.elapsed() >= HELD_MIN, kept_by);
        let instead = server.set.instead_of(member).map(|other| device.endpoint_of(other));
        // Whoever may read a tag reads this of its gap, and not where in the network which server is.
        deliveries.lose(fault.for_tags());
        let fault = if device.is_redundant() { fault.of_server(device.endpoint_of(member), instead) } else { fault };
        status.items_created.store(0, Ordering::Relaxed);
        status.set_created([]);
        DeviceStatus::count(if fault.timeout { &status.timeouts } else { &status.exceptions }, 1);
        status.record_error(context.clock.now(), fault.message.as_str());
        if delivered {
            backoff.reset();
        }
        let longest = if kept_by.is_some() { TAKE_UP_DELAY_MAX } else { device.reconnect_max };
        let delay = match next {
            NextTry::AtOnce => Duration::ZERO,
            NextTry::AfterWait => backoff.next_delay().min(longest),
        };
        if fault.message == last_errors[member] {
            tracing::debug!(device = device.name, error = fault.message, ?delay, "still not connected");
        } else {
            tracing::warn!(device = device.name, error = fault.message, ?delay, "not connected");
            last_errors[member] = fault.message;
        }
        if next == NextTry::AtOnce {
            // Not without a look at the others of this thread, whatever the servers do.
            tokio::task::yield_now().await;
            continue;
        }
        status.set_state(DeviceState::Backoff);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = context.shutdown.cancelled() => break,
        }
    }
    if let Some((_, connection)) = server.ready.take() {
        connection.close(&Publisher::default(), CLOSE_MAX).await;
    }
    deliveries.stop();
    status.items_created.store(0, Ordering::Relaxed);
    status.set_created([]);
    status.set_state(DeviceState::Stopped);
}

/// One connection from beginning to end; `None` at shutdown. What can be gone on with after it is in `kept`.
async fn attempt(
    unfit: &Unfit<'_>,
    tags: &WatchedTags<'_>,
    deliveries: &Arc<Deliveries>,
    server: &UsedServer,
    kept: &mut Option<KeptSession>,
) -> Option<ConnectionFault> {
    let (device, context) = (unfit.device, unfit.context);
    let status = &context.status;
    let connected = tokio::select! {
        connected = connect(device, unfit.items, context, server, kept) => connected,
        () = context.shutdown.cancelled() => return None,
    };
    let (mut connection, mut held, mut fresh) = match connected {
        Ok(connected) => connected,
        Err(fault) => return Some(fault),
    };
    let endpoint = device.endpoint_of(server.member());
    DeviceStatus::count(&status.connects, 1);
    tracing::info!(device = device.name, endpoint, "connected");
    let session = connection.session();
    let publisher = Publisher::default();
    let on = On {
        device,
        session: &session,
        publisher: &publisher,
        left_out: &unfit.left_out,
        items: unfit.items,
        globs: tags.globs,
        identities: &tags.identities,
    };
    let source = HistorySource {
        device,
        session: &session,
        items: unfit.items,
        deliveries,
        identities: &tags.identities,
        backlog: tags.backlog,
        context,
    };
    let findings = connection.findings();
    let told = |answer: Result<(), StatusCode>| {
        match answer {
            Ok(()) => {
                deliveries.heard();
                DeviceStatus::count(&status.requests, 1);
            }
            Err(StatusCode::BadTimeout) => DeviceStatus::count(&status.timeouts, 1),
            Err(_) => DeviceStatus::count(&status.exceptions, 1),
        }
        unfit.tell(findings.take());
    };
    // Before anything is taken from it. Afterwards it is watched.
    if device.is_redundant() {
        let said = tokio::select! {
            said = Box::pin(connection.drive(&publisher, told, read::service_level(&session, device.timeout))) => Some(said),
            () = context.shutdown.cancelled() => None,
        };
        let Some(said) = said else {
            connection.close(&publisher, CLOSE_MAX).await;
            return None;
        };
        match said.and_then(|said| said).map(|said| watch::standby(ServiceLevel::of(said))) {
            Ok(None) => {}
            Ok(Some(refused)) => {
                connection.close(&publisher, CLOSE_MAX).await;
                return Some(refused);
            }
            Err(fault) => {
                let parted = part(connection, held, &publisher, server.member(), fault.end).await;
                // What another server still has is more than this new session.
                if kept.is_none() {
                    *kept = parted;
                }
                return Some(fault);
            }
        }
        // What another server of the set still has is nothing that could be gone on with: this one has taken its place.
        *kept = None;
        status.set_endpoint_in_use(endpoint);
    }
    let watched = WatchedServer {
        device,
        member: server.member(),
        found: unfit.items.found(),
        session: &session,
        clock: &context.clock,
        rest_until: server.rest_until,
        ready: &server.ready,
    };
    let mut probing: Option<Probing<'_>> = None;
    let mut rebuilt: Option<Instant> = None;
    loop {
        let work = async {
            let broken = async {
                findings.broken().await;
                tokio::time::sleep(BROKEN_GRACE).await;
                unfit.tell(findings.take());
            };
            tokio::select! {
                () = broken => Some(ConnectionFault {
                    end: End::Subscriptions,
                    ..ConnectionFault::new("a value cannot be decoded; the subscriptions are made anew without its node")
                }),
                fault = subscribe::run(&on, &mut held, fresh, deliveries, context) => Some(fault),
                fault = watch::run(&watched, &mut probing) => Some(fault),
                never = history::run(&source) => match never {},
                () = context.shutdown.cancelled() => None,
            }
        };
        let (Ok(Some(fault)) | Err(fault)) = Box::pin(connection.drive(&publisher, told, work)).await else {
            // Without a goodbye the server would keep the session and its subscriptions until they expire.
            watch::leave(&mut probing, PROBE_END_MAX).await;
            connection.close(&publisher, CLOSE_MAX).await;
            return None;
        };
        publisher.clear();
        // At once, but not without end: a server that drops them again soon is left alone for a while.
        if fault.end == End::Subscriptions && rebuilt.is_none_or(|at| at.elapsed() > device.watchdog) {
            deliveries.lose(fault.for_tags());
            tracing::warn!(device = device.name, error = fault.message, "subscriptions are made anew");
            status.record_error(context.clock.now(), fault.message);
            if let Some(held) = held.take() {
                let given_up = connection.drive(&publisher, told, held.give_up(&on)).await;
                if let Err(fault) = given_up {
                    *kept = part(connection, None, &publisher, server.member(), fault.end).await;
                    watch::leave(&mut probing, PROBE_END_MAX).await;
                    return Some(fault);
                }
            }
            fresh = true;
            rebuilt = Some(Instant::now());
            continue;
        }
        *kept = part(connection, held, &publisher, server.member(), fault.end).await;
        watch::leave(&mut probing, PROBE_END_MAX).await;
        return Some(fault);
    }
}

/// Leaves a connection as its end wants it: what can be gone on with is answered, and a server that still listens hears a goodbye, without which it would
/// keep the session until its timeout.
async fn part(
    connection: OpcUaConnection,
    held: Option<LinkSession>,
    publisher: &Publisher,
    member: usize,
    end: End,
) -> Option<KeptSession> {
    match end {
        End::Lost(_) | End::Silence if subscribe::may_go_on(held.as_ref(), end) => {
            Some(KeptSession { member, logon: connection.into_logon(), held, lost: Instant::now(), gone: false })
        }
        End::Lost(_) | End::Session => None,
        // The transport still stands.
        End::Unknown | End::Silence | End::Subscriptions | End::Standby | End::Better(_) => {
            connection.close(publisher, CLOSE_MAX).await;
            None
        }
    }
}

/// Takes up the session of before a cut, or opens a new one. The last of the three is true for a new one.
async fn connect(
    device: &OpcUaSettings,
    items: &WantedItems,
    context: &CollectorContext,
    server: &UsedServer,
    kept: &mut Option<KeptSession>,
) -> Result<(OpcUaConnection, Option<LinkSession>, bool), ConnectionFault> {
    let endpoint = device.endpoint_of(server.member());
    if let Some(mut before) = kept.take_if(|before| before.member == server.member()) {
        if !before.gone {
            let limit = if device.is_redundant() { TAKE_UP_IN_SET_MAX } else { device.timeout };
            match before.logon.take_up(limit).await {
                Ok(transport) => return Ok((OpcUaConnection::again(before.logon, transport), before.held, false)),
                Err(Refusal::Unreachable(fault)) if before.lost.elapsed() < before.logon.timeout => {
                    *kept = Some(before);
                    return Err(fault);
                }
                Err(Refusal::Unreachable(fault) | Refusal::Refused(fault)) => {
                    tracing::info!(
                        device = device.name,
                        reason = fault.message,
                        "the session of before is not taken up; a new one is opened"
                    );
                    before.gone = true;
                }
            }
        }
        // Its subscriptions may outlive it, and be transferred.
        return match OpcUaConnection::open(device, endpoint, items.found(), &context.clock).await {
            Ok(connection) => Ok((connection, before.held, true)),
            Err(fault) => {
                *kept = Some(before);
                Err(fault)
            }
        };
    }
    match server.ready.take() {
        Some((member, connection)) if member == server.member() => return Ok((connection, None, true)),
        Some((_, other)) => other.close(&Publisher::default(), CLOSE_MAX).await,
        None => {}
    }
    Ok((OpcUaConnection::open(device, endpoint, items.found(), &context.clock).await?, None, true))
}

/// Values that could not be taken as they came: told once each, and left out where they break more than themselves.
struct Unfit<'a> {
    device: &'a OpcUaSettings,
    context: &'a CollectorContext,
    left_out: LeftOut,
    items: &'a WantedItems,
    /// What was told of an item last.
    told: parking_lot::Mutex<HashMap<usize, String>>,
}

impl Unfit<'_> {
    fn tell(&self, findings: Vec<ReplacedValue>) {
        for ReplacedValue { handle, mut reason, broken, lost } in findings {
            if lost > 0 {
                // Which tags they are of nobody knows: all of them are Bad until they are read anew.
                DeviceStatus::count(&self.context.status.samples_dropped, lost as u64);
            }
            let Some(index) = publish::index(handle) else { continue };
            let Some(item) = self.items.get(index) else { continue };
            if broken {
                self.left_out.add(index, reason.clone());
            }
            if lost > 0 {
                reason = format!("{reason}; {lost} values behind it in the same notification are lost");
            } else if self.told.lock().get(&index) == Some(&reason) {
                continue;
            }
            let message = format!("{} ({}) is Bad: {reason}", item.definition.name, item.address_text);
            tracing::warn!(device = self.device.name, "{message}");
            self.context.status.record_error(self.context.clock.now(), message);
            self.told.lock().insert(index, reason);
        }
    }
}
