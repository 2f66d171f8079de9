//! The level of the server in use, looked at beside its subscriptions. While it is degraded, the others are asked how they are, over connections of
//! their own: the one in use ends only when a better one stands. Such a connection is used or closed, however the look at it ends.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use opcua::client::Session;
use parking_lot::Mutex;

use super::level::ServiceLevel;
use crate::{
    connection::{CLOSE_MAX, OpcUaConnection},
    device::OpcUaSettings,
    fault::{ConnectionFault, End},
    publish::Publisher,
    read,
};
use historian_model::Clock;

/// How often the level is read: a request of one node, which a server in maintenance is to be left within.
const PERIOD: Duration = Duration::from_secs(1);

/// A connection that was made to a better server, waiting to be used.
#[derive(Default)]
pub struct ReadyServer(Mutex<Option<(usize, OpcUaConnection)>>);

impl ReadyServer {
    /// The connection, where there is one, and the server of the set that it is to. Whoever takes it uses or closes it.
    pub fn take(&self) -> Option<(usize, OpcUaConnection)> {
        self.0.lock().take()
    }

    fn put(&self, member: usize, connection: OpcUaConnection) {
        *self.0.lock() = Some((member, connection));
    }
}

/// The server in use and the set that it is of.
pub(crate) struct WatchedServer<'a> {
    pub device: &'a OpcUaSettings,
    pub member: usize,
    /// Tags that the globs of the device had made when it was connected.
    pub found: usize,
    pub session: &'a Session,
    pub clock: &'a Arc<dyn Clock>,
    /// Before this no better server is looked for.
    pub rest_until: Instant,
    pub ready: &'a ReadyServer,
}

/// A server that was asked how it is.
pub(crate) struct ProbedServer {
    member: usize,
    level: ServiceLevel,
    /// Where it is healthy. A degraded one is connected to once more when it is chosen.
    connection: Option<OpcUaConnection>,
}

/// A look at the other servers.
pub(crate) type Probing<'a> = Pin<Box<dyn Future<Output = Option<ProbedServer>> + Send + 'a>>;

/// Ends when another server is to be used, which is never where there is none. What is left in `probing` then, or when this is dropped, is for
/// [`leave`] to end.
pub(crate) async fn run<'a>(watched: &'a WatchedServer<'a>, probing: &mut Option<Probing<'a>>) -> ConnectionFault {
    let device = watched.device;
    if !device.is_redundant() {
        return std::future::pending().await;
    }
    let mut probe_at = watched.rest_until;
    let mut used = ServiceLevel::of(None);
    let mut reading = Box::pin(level_after(watched, Duration::ZERO));
    loop {
        // Beside each other: a server that answers no more must not keep the others from being asked.
        let found = tokio::select! {
            said = &mut reading => {
                reading = Box::pin(level_after(watched, PERIOD));
                // Silence is judged by the watchdog, and the end of the session by the keep-alive.
                if let Ok(said) = said {
                    used = ServiceLevel::of(said);
                    if let Some(fault) = standby(used) {
                        return fault;
                    }
                    if !used.is_healthy() && probing.is_none() && Instant::now() >= probe_at {
                        *probing = Some(Box::pin(probe(watched, used)));
                    }
                }
                continue;
            }
            found = probed(probing) => found,
        };
        *probing = None;
        probe_at = Instant::now() + device.reconnect_max;
        let Some(ProbedServer { member, level, connection }) = found else { continue };
        // The one in use may have recovered meanwhile.
        let moves = level.is_worth_a_move_from(used);
        match connection {
            Some(connection) if moves => watched.ready.put(member, connection),
            Some(connection) => connection.close(&Publisher::default(), CLOSE_MAX).await,
            None => {}
        }
        if moves {
            // Which one it is, is said with the endpoint of the server that is left.
            let message = format!("{used}, and another server has {level}");
            return ConnectionFault { end: End::Better(member), ..ConnectionFault::new(message) };
        }
    }
}

/// Lets a look at the other servers come to its end, as far as it does within `limit`, and closes the connection that it was made over: a session
/// that nobody closes has a place in the server until its timeout, and there may be only one.
pub(crate) async fn leave(probing: &mut Option<Probing<'_>>, limit: Duration) {
    let Some(probing) = probing.take() else { return };
    if let Ok(Some(ProbedServer { connection: Some(connection), .. })) = tokio::time::timeout(limit, probing).await {
        connection.close(&Publisher::default(), CLOSE_MAX).await;
    }
}

/// What the server in use says of itself after a while.
async fn level_after(watched: &WatchedServer<'_>, wait: Duration) -> Result<Option<u8>, ConnectionFault> {
    tokio::time::sleep(wait).await;
    read::service_level(watched.session, watched.device.timeout).await
}

/// Why a server of this level is not used, if it is not.
pub(crate) fn standby(level: ServiceLevel) -> Option<ConnectionFault> {
    let refused = !level.is_usable();
    refused.then(|| ConnectionFault { end: End::Standby, ..ConnectionFault::new(format!("the server is not to be used now: {level}")) })
}

/// Waits for the end of a probe; for ever where there is none.
async fn probed(probing: &mut Option<Probing<'_>>) -> Option<ProbedServer> {
    match probing {
        Some(probing) => probing.await,
        None => std::future::pending().await,
    }
}

/// Asks the other servers in their order; answers the first healthy one, else the best that is worth a move.
async fn probe(watched: &WatchedServer<'_>, used: ServiceLevel) -> Option<ProbedServer> {
    let mut best: Option<ProbedServer> = None;
    for member in 0..watched.device.servers() {
        if member == watched.member {
            continue;
        }
        // One that cannot be asked is told of when it is needed.
        let Ok((connection, level)) = ask(watched, watched.device.endpoint_of(member)).await else { continue };
        if level.is_healthy() {
            return Some(ProbedServer { member, level, connection: Some(connection) });
        }
        connection.close(&Publisher::default(), CLOSE_MAX).await;
        if level.is_worth_a_move_from(used) && best.as_ref().is_none_or(|best| level > best.level) {
            best = Some(ProbedServer { member, level, connection: None });
        }
    }
    best
}

async fn ask(watched: &WatchedServer<'_>, endpoint: &str) -> Result<(OpcUaConnection, ServiceLevel), ConnectionFault> {
    let timeout = watched.device.timeout;
    let mut connection = Box::pin(OpcUaConnection::open(watched.device, endpoint, watched.found, watched.clock)).await?;
    let session = connection.session();
    let publisher = Publisher::default();
    let said = Box::pin(connection.drive(&publisher, |_| (), read::service_level(&session, timeout))).await.and_then(|said| said);
    match said {
        Ok(said) => Ok((connection, ServiceLevel::of(said))),
        Err(fault) => {
            connection.close(&publisher, CLOSE_MAX).await;
            Err(fault)
        }
    }
}
