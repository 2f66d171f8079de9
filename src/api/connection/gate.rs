//! How many connections a port takes, in all and of one address. Each is a file descriptor, and the store needs its own.
//!
//! Where there is no place, the connection that has waited longest for its request gives way: whoever opens connections only to keep them must
//! not keep others out, least of all the supervisor that asks whether the process lives. Over gRPC this is one that never asked anything. Over
//! HTTP it is any, for requests are short there.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Context,
    time::{Duration, Instant},
};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::{
    http2,
    reason::{CutReason, RefusalReason},
};
use crate::metrics::{ConnectionMetrics, Metrics};

/// What speaks behind a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Grpc,
    Http,
}

impl Port {
    pub fn name(self) -> &'static str {
        match self {
            Port::Grpc => "grpc",
            Port::Http => "http",
        }
    }

    /// What a client is told that there is no room for.
    pub(super) fn refusal(self, reason: RefusalReason) -> Vec<u8> {
        let text = reason.text();
        match self {
            Port::Grpc => http2::refusal(text),
            Port::Http => answer("503 Service Unavailable\r\nretry-after: 5", text),
        }
    }

    /// What a client is told that speaks without TLS where there is nothing else.
    pub(super) fn only_tls(self) -> Vec<u8> {
        match self {
            Port::Grpc => http2::only_tls("this port speaks TLS only: connect with grpc+tls:// and trust its authority"),
            Port::Http => answer("400 Bad Request", "this port speaks TLS only: use https:// and trust its authority"),
        }
    }
}

/// An answer of HTTP/1 that ends its connection.
fn answer(status: &str, text: &str) -> Vec<u8> {
    let length = text.len() + 1;
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{text}\n").into_bytes()
}

/// Connections that gave way and have not ended yet.
const LEAVING_MAX: usize = 16;

/// How often the log tells of connections that were refused or cut.
const TELL_AFTER: Duration = Duration::from_secs(10);

/// Counts the connections of one port and refuses those beyond its bounds.
pub struct ConnectionGate {
    port: Port,
    total_max: usize,
    per_address_max: usize,
    open: Mutex<OpenConnections>,
    metrics: ConnectionMetrics,
    refused: RareLog,
    cut: RareLog,
    unsecured: RareLog,
}

#[derive(Default)]
struct OpenConnections {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Those that wait for a request, in the order in which they began to.
    waiting: BTreeMap<u64, Arc<LeaveRequest>>,
    /// The last number given.
    last: u64,
}

/// Asks a connection to give way.
#[derive(Default)]
struct LeaveRequest {
    asked: AtomicBool,
    waker: AtomicWaker,
}

impl OpenConnections {
    fn wait(&mut self, leave: &Arc<LeaveRequest>) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, leave.clone());
        self.last
    }

    /// Lets the one that has waited longest give way. It still has its place until it has gone.
    fn make_room(&mut self) -> bool {
        let Some((_, leave)) = self.waiting.pop_first() else { return false };
        leave.asked.store(true, Ordering::SeqCst);
        leave.waker.wake();
        true
    }
}

impl ConnectionGate {
    pub fn new(port: Port, total_max: usize, per_address_max: usize, metrics: &Metrics) -> Arc<ConnectionGate> {
        let metrics = metrics.connections(port.name());
        // Told from the beginning on, so that the first one is an increase.
        for reason in RefusalReason::ALL {
            metrics.refused(reason.name());
        }
        for reason in CutReason::ALL {
            metrics.cut(reason.name());
        }
        Arc::new(ConnectionGate {
            port,
            total_max,
            per_address_max,
            open: Mutex::default(),
            metrics,
            refused: RareLog::default(),
            cut: RareLog::default(),
            unsecured: RareLog::default(),
        })
    }

    pub(super) fn port(&self) -> Port {
        self.port
    }

    /// A place for a connection, held until it is dropped; `None` where there is one as soon as others that give way have gone.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Option<ConnectionSeat>, RefusalReason> {
        let address = network(peer);
        let mut open = self.open.lock();
        let from_address = open.by_address.get(&address).copied().unwrap_or(0);
        if from_address >= self.per_address_max && self.per_address_max < self.total_max {
            return Err(RefusalReason::Address);
        }
        if open.total >= self.total_max + LEAVING_MAX {
            return Ok(None);
        }
        if open.total >= self.total_max && !open.make_room() {
            return Err(RefusalReason::Total);
        }
        open.total += 1;
        open.by_address.insert(address, from_address + 1);
        self.metrics.open.inc();
        let leave = Arc::default();
        let waits = Some(open.wait(&leave));
        Ok(Some(ConnectionSeat { gate: self.clone(), address, leave, waits }))
    }

    /// Counts and tells of a connection that was not taken.
    pub(super) fn was_refused(&self, peer: IpAddr, reason: RefusalReason) {
        self.metrics.refused(reason.name()).inc();
        let (port, text) = (self.port.name(), reason.text());
        self.refused.tell(|others| tracing::warn!(port, %peer, others, "a connection was refused: {text}"));
    }

    /// Counts a connection that is not served on, and tells of it if an operator should know.
    pub(super) fn was_cut(&self, peer: IpAddr, reason: CutReason) {
        self.metrics.cut(reason.name()).inc();
        let (port, text) = (self.port.name(), reason.text());
        if reason.is_told() {
            self.cut.tell(|others| tracing::warn!(port, %peer, others, "a connection was cut: {text}"));
        } else {
            tracing::debug!(port, %peer, "a connection was cut: {text}");
        }
    }

    /// Tells why the certificate of an open connection is not taken any more. Each is told: clients cannot cause them.
    pub(super) fn was_not_taken_on(&self, peer: IpAddr, why: &str) {
        let port = self.port.name();
        tracing::warn!(port, %peer, "a connection was cut: the client's certificate {why}");
    }

    /// Counts a handshake that failed, and tells why.
    pub(super) fn was_not_secured(&self, peer: IpAddr, why: &str) {
        self.metrics.cut(CutReason::HandshakeFailed.name()).inc();
        let port = self.port.name();
        self.unsecured.tell(|others| tracing::warn!(port, %peer, others, "a TLS handshake failed: {why}"));
    }
}

/// What counts as one address: of IPv6 the network, of which one machine has all.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

/// The place of one connection.
pub struct ConnectionSeat {
    gate: Arc<ConnectionGate>,
    address: IpAddr,
    leave: Arc<LeaveRequest>,
    /// Its number among those that wait.
    waits: Option<u64>,
}

impl ConnectionSeat {
    pub(super) fn gate(&self) -> &ConnectionGate {
        &self.gate
    }

    /// Whether it is to give way; its task is woken when it is.
    pub(super) fn is_asked_to_leave(&self, context: &Context<'_>) -> bool {
        self.leave.waker.register(context.waker());
        self.leave.asked.load(Ordering::SeqCst)
    }

    /// It has a request, and gives way to nobody.
    pub(super) fn is_used(&mut self) {
        if let Some(number) = self.waits.take() {
            self.gate.open.lock().waiting.remove(&number);
        }
    }

    /// It waits for its next request.
    pub(super) fn waits_anew(&mut self) {
        self.is_used();
        if !self.leave.asked.load(Ordering::SeqCst) {
            self.waits = Some(self.gate.open.lock().wait(&self.leave));
        }
    }
}

impl Drop for ConnectionSeat {
    fn drop(&mut self) {
        self.is_used();
        let mut open = self.gate.open.lock();
        open.total -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
        self.gate.metrics.open.dec();
    }
}

/// A line in the log that any client can cause, which must not fill it.
#[derive(Default)]
pub struct RareLog(Mutex<(Option<Instant>, u64)>);

impl RareLog {
    /// Tells, with how many times it was not told since the last; or counts one more of these.
    pub fn tell(&self, tell: impl FnOnce(u64)) {
        let mut told = self.0.lock();
        let (last, others) = &mut *told;
        if last.is_some_and(|last| last.elapsed() < TELL_AFTER) {
            *others += 1;
            return;
        }
        *last = Some(Instant::now());
        tell(std::mem::take(others));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_in_all_and_by_address_until_they_end() {
        let gate = ConnectionGate::new(Port::Grpc, 3, 2, &Metrics::new());
        let [first, second, third] = [1, 2, 3].map(|host| IpAddr::from([192, 0, 2, host]));
        let enter = |peer| gate.enter(peer).map(|seat| seat.unwrap()).map_err(RefusalReason::name);
        let held = [enter(first), enter(first)];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(enter(first).err(), Some("address"));
        // The same machine by its other name.
        assert_eq!(enter("::ffff:192.0.2.1".parse().unwrap()).err(), Some("address"));
        let other = enter(second);
        assert!(other.is_ok());
        // One that never asked gives way, and is counted until it has gone.
        assert!(enter(third).is_ok_and(|third| !third.leave.asked.load(Ordering::SeqCst)));
        assert!(held[0].as_ref().is_ok_and(|held| held.leave.asked.load(Ordering::SeqCst)));
        let mut held: Vec<ConnectionSeat> = held.into_iter().chain([other]).flatten().collect();
        held.iter_mut().for_each(ConnectionSeat::is_used);
        assert_eq!(enter(third).err(), Some("total"));
        held.pop();
        assert!(enter(third).is_ok());
        drop(held);
        assert!(gate.open.lock().by_address.is_empty() && gate.open.lock().total == 0);
    }

    #[test]
    fn all_addresses_of_a_network_of_ipv6_are_one() {
        let gate = ConnectionGate::new(Port::Grpc, 10, 1, &Metrics::new());
        let enter = |peer: &str| gate.enter(peer.parse().unwrap()).ok().flatten();
        let held = enter("2001:db8:1:2::1");
        assert!(held.is_some() && enter("2001:db8:1:2:ffff::7").is_none() && enter("2001:db8:1:3::1").is_some());
        assert!(enter("::1").is_some());
    }

    #[test]
    fn what_any_client_can_cause_is_told_once_in_a_while() {
        let log = RareLog::default();
        let told = std::cell::Cell::new(0);
        for _ in 0..100 {
            log.tell(|others| told.set(told.get() + 1 + others));
        }
        assert_eq!(told.get(), 1);
        *log.0.lock() = (Instant::now().checked_sub(TELL_AFTER), 99);
        log.tell(|others| told.set(told.get() + 1 + others));
        assert_eq!(told.get(), 101);
    }
}
