//! One connection to an endpoint and its rules of time: connect with a limit, one request at a time, pauses between them, and no answer is
//! ever taken for the answer to another request.
//!
//! Where answers carry transaction ids, late ones are known by them: the connection is kept over a time-out, and the request sent again.
//! Where they carry none (RTU, and gateways that do not repeat the id), there is never more than one request under way: after a time-out the
//! line is listened to for at least a full time-out more, longer where answers have been later than that, and over a new connection too. What
//! comes in this time can only be the answer to the one request, and is taken.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{
    client::ModbusConnection,
    endpoint::{Endpoint, LineCarrier},
    lateness::Lateness,
    outcome::Failure,
    transport::{ModbusReply, ReadRequest, TransportError},
};
use historian_collector::DeviceStatus;
use historian_model::{Clock, Timestamp};

/// After such a pause a connection may have been forgotten, by a firewall for example; a second attempt is made over a new one.
const IDLE: Duration = Duration::from_secs(1);
/// No second attempt is begun when the first took longer.
const RETRY_WITHIN: Duration = Duration::from_secs(15);
/// A line that brings bytes for so many time-outs is not going to be silent.
const UNSETTLED_MAX: u32 = 10;

/// Timing of one device.
#[derive(Clone, Copy, Debug)]
pub struct LinkTiming {
    /// Limit for connecting, and for each answer.
    pub timeout: Duration,
    pub pause_after_connect: Duration,
    pub pause_between_requests: Duration,
}

/// A reply with the time at which it was received.
#[derive(Debug)]
pub struct Received {
    pub reply: ModbusReply,
    pub at: Timestamp,
    /// From request to reply.
    pub latency: Duration,
}

/// How often a request is made before it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempts {
    One,
    Two,
}

/// Waits for a time that may have come already. The runtime's timer alone would round that up to a millisecond, longer than most requests.
pub async fn wait_until(at: Instant) {
    if Instant::now() < at {
        sleep_until(at).await;
    }
}

pub struct Link {
    endpoint: Endpoint,
    pace: LinkTiming,
    status: Arc<DeviceStatus>,
    clock: Arc<dyn Clock>,
    open: Option<OpenLink>,
    lateness: Lateness,
    /// Bytes may arrive until then that belong to an earlier request. Outlives connections.
    unsettled_until: Option<Instant>,
    /// The delay that was last told.
    told: Duration,
    /// A first answer on a connection was waited for in vain.
    impatient: bool,
}

struct OpenLink {
    connection: ModbusConnection,
    /// Replies received on it.
    replies: u64,
    used_at: Instant,
    /// Not to be used before.
    ready_at: Instant,
}

impl Link {
    pub fn new(endpoint: Endpoint, pace: LinkTiming, status: Arc<DeviceStatus>, clock: Arc<dyn Clock>) -> Link {
        let lateness = Lateness::new(pace.timeout);
        Link { endpoint, pace, status, clock, open: None, lateness, unsettled_until: None, told: Duration::ZERO, impatient: false }
    }

    /// Reads once, connecting first where needed. A connection that had been answering and turns out closed, as devices do with idle ones,
    /// is replaced without a failure: the request is a read, and nothing of the old connection can reach the new one.
    pub async fn read(&mut self, request: ReadRequest, attempts: Attempts) -> Result<Received, Failure> {
        let begin = Instant::now();
        let mut second = false;
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.connect().await?,
            };
            let fresh = open.replies == 0;
            let idle = begin.saturating_duration_since(open.used_at) >= IDLE;
            let failure = match self.attempt(&mut open, request, second).await {
                Ok(received) => {
                    self.open = Some(open);
                    self.status.record_latencies([received.latency]);
                    return Ok(received);
                }
                Err(failure) => failure,
            };
            let retry = attempts == Attempts::Two && !second && begin.elapsed() < RETRY_WITHIN;
            match &failure {
                Failure::Closed(_) if !fresh => continue,
                // The device answered; asking once more would bring the same.
                Failure::Unusable(_) => {
                    self.open = Some(open);
                    return Err(failure);
                }
                // A connection that never answered was waited for, and one that was idle may have been forgotten. What failed twice may
                // be the connection's fault as well.
                Failure::Timeout { .. } | Failure::Garbled(_) => {
                    if retry && !fresh && !idle {
                        self.open = Some(open);
                    }
                }
                Failure::Closed(_) | Failure::Protocol(_) => {}
                Failure::Connect { .. } => return Err(failure),
            }
            if !retry {
                return Err(failure);
            }
            second = true;
        }
    }

    /// Ends the connection; the next request makes another one.
    pub fn close(&mut self) {
        self.open = None;
    }

    async fn attempt(&mut self, open: &mut OpenLink, request: ReadRequest, second: bool) -> Result<Received, Failure> {
        wait_until(open.ready_at).await;
        if self.endpoint.is_ambiguous() {
            self.settle(open).await?;
        }
        DeviceStatus::count(&self.status.requests, 1);
        let sent = Instant::now();
        let in_time = timeout_at(sent + self.pace.timeout, exchange(open, request, second)).await;
        let received = if let Ok(received) = in_time {
            received
        } else {
            DeviceStatus::count(&self.status.timeouts, 1);
            self.listen_on(open, request, second, sent).await
        };
        open.used_at = Instant::now();
        let late = open.connection.take_late();
        let settled = if open.connection.take_untidy() { Some(Instant::now() + self.pace.timeout) } else { None };
        self.unsettled_until = self.unsettled_until.max(settled);
        match received {
            Ok(reply) => {
                let latency = sent.elapsed();
                self.came(late, latency, request.unit);
                if matches!(reply, ModbusReply::Exception(_)) {
                    DeviceStatus::count(&self.status.exceptions, 1);
                }
                open.replies += 1;
                self.impatient = false;
                open.ready_at = Instant::now() + self.pace.pause_between_requests;
                Ok(Received { reply, at: self.clock.now(), latency })
            }
            Err(failure) => {
                self.came(late, Duration::ZERO, request.unit);
                match &failure {
                    Failure::Timeout { .. } | Failure::Garbled(_) => {
                        self.lateness.never_came();
                        let heard = open.connection.received_at().map(|at| at + self.pace.timeout).filter(|until| *until > Instant::now());
                        self.unsettled_until = self.unsettled_until.max(heard);
                    }
                    // The answer may yet come, over the next connection.
                    Failure::Closed(_) => self.unsettled_until = self.unsettled_until.max(Some(sent + self.lateness.horizon())),
                    _ => {}
                }
                Err(failure)
            }
        }
    }

    /// Waits for an answer beyond the time-out, as long as it makes sense.
    async fn listen_on(&mut self, open: &mut OpenLink, request: ReadRequest, second: bool, sent: Instant) -> Result<ModbusReply, Failure> {
        let timeout = self.pace.timeout;
        let ambiguous = self.endpoint.is_ambiguous();
        let wait = if ambiguous { self.lateness.horizon() } else { self.lateness.patience() };
        // The first answer on a connection may take a device long, and one more connection would be the first again. In vain, every other
        // first answer is waited for, so that the units beside do not suffer.
        let first = open.replies == 0 && !second;
        let wait = if first && !self.impatient { wait.max(self.lateness.first()) } else { wait };
        loop {
            // What came was perhaps the answer, damaged: then only the silence after it is waited for.
            let damaged = ambiguous && open.replies > 0 && open.connection.heard_instead().is_some();
            let until = match open.connection.received_at() {
                Some(at) if damaged => (at + timeout).min(sent + timeout * UNSETTLED_MAX),
                _ => sent + wait,
            };
            if until <= Instant::now() {
                break;
            }
            if let Ok(received) = timeout_at(until, open.connection.receive(request)).await {
                return received.map_err(Failure::from);
            }
        }
        self.impatient ^= first;
        Err(match open.connection.heard_instead() {
            Some(what) => Failure::Garbled(what),
            None => Failure::Timeout { timeout, seen: self.lateness.worst() },
        })
    }

    /// Reads and throws away what arrives until nothing that belongs to an earlier request can come any more.
    async fn settle(&mut self, open: &mut OpenLink) -> Result<(), Failure> {
        let begin = Instant::now();
        if open.connection.tidy().await? {
            self.unsettled_until = self.unsettled_until.max(Some(Instant::now() + self.pace.timeout));
        }
        while let Some(until) = self.unsettled_until.filter(|until| *until > Instant::now()) {
            match timeout_at(until, open.connection.discard()).await {
                Err(_) => break,
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(())) => self.unsettled_until = Some(until.max(Instant::now() + self.pace.timeout)),
            }
            if begin.elapsed() > self.pace.timeout * UNSETTLED_MAX {
                return Err(Failure::Protocol("bytes keep coming that nobody asked for; is another master on the line?".into()));
            }
        }
        self.unsettled_until = None;
        Ok(())
    }

    /// An answer came after this time, and perhaps one to an earlier request too late. A delay beyond the time-out is told, to the log again
    /// only when it grew.
    fn came(&mut self, late: Option<Duration>, latency: Duration, unit: u8) {
        let timeout = self.pace.timeout;
        let delay = late.unwrap_or_default().max(latency);
        self.lateness.came(delay);
        if delay <= timeout && late.is_none() {
            return;
        }
        let delay = delay.max(timeout);
        let text = format!("unit {unit} answered after {delay:.1?}, later than timeout_ms = {}; raise timeout_ms", timeout.as_millis());
        if delay > self.told + self.told / 4 {
            self.told = delay;
            tracing::warn!(device = self.status.device, endpoint = self.endpoint.address, "{text}");
        }
        self.status.record_error(self.clock.now(), text);
    }

    async fn connect(&mut self) -> Result<OpenLink, Failure> {
        let refused = |reason| Failure::Connect {
            endpoint: self.endpoint.address.clone(),
            reason,
            reason_names_endpoints: !matches!(self.endpoint.carrier, LineCarrier::Tcp),
        };
        match timeout(self.pace.timeout, self.endpoint.connect()).await {
            Ok(Ok(connection)) => {
                DeviceStatus::count(&self.status.connects, 1);
                let now = Instant::now();
                Ok(OpenLink { connection, replies: 0, used_at: now, ready_at: now + self.pace.pause_after_connect })
            }
            Ok(Err(reason)) => Err(refused(reason)),
            Err(_) => {
                DeviceStatus::count(&self.status.timeouts, 1);
                Err(refused(format!("no connection within {:?}", self.pace.timeout)))
            }
        }
    }
}

async fn exchange(open: &mut OpenLink, request: ReadRequest, second: bool) -> Result<ModbusReply, Failure> {
    open.connection.send(request, second).await?;
    Ok(open.connection.receive(request).await?)
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Failure {
        match error {
            TransportError::Closed(reason) => Failure::Closed(reason),
            TransportError::Protocol(reason) => Failure::Protocol(reason),
            TransportError::Unusable(reason) => Failure::Unusable(reason),
        }
    }
}
