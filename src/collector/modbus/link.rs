//! One connection to an endpoint and its rules: connect with a limit of time, one request at a time, pauses between them, and after any
//! timeout or wrong answer the connection is dropped, for a late reply must never be taken for the answer to another request.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};

use super::{
    outcome::Failure,
    transport::{Connector, ReadRequest, Reply, Transport},
};
use crate::{
    collector::DeviceStatus,
    model::{Clock, Timestamp},
};

/// Timing of one device.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Limit for connecting, and for each answer.
    pub timeout: Duration,
    pub pause_after_connect: Duration,
    pub pause_between_requests: Duration,
}

/// A reply with the time at which it was received.
#[derive(Debug)]
pub struct Received {
    pub reply: Reply,
    pub at: Timestamp,
    /// From request to reply.
    pub latency: Duration,
}

/// Waits for a time that may have come already. The runtime's timer alone would round that up to a millisecond, longer than most requests.
pub async fn wait_until(at: Instant) {
    if Instant::now() < at {
        sleep_until(at).await;
    }
}

pub struct Link {
    connector: Arc<dyn Connector>,
    endpoint: String,
    pace: Pace,
    status: Arc<DeviceStatus>,
    clock: Arc<dyn Clock>,
    connection: Option<Connection>,
}

struct Connection {
    transport: Box<dyn Transport>,
    /// Replies received on it.
    replies: u64,
    /// Not to be used before.
    ready_at: Instant,
}

impl Link {
    pub fn new(connector: Arc<dyn Connector>, endpoint: String, pace: Pace, status: Arc<DeviceStatus>, clock: Arc<dyn Clock>) -> Link {
        Link { connector, endpoint, pace, status, clock, connection: None }
    }

    /// Reads once, connecting first where needed. A connection that had been answering and turns out closed, as devices do with idle ones,
    /// is replaced once without a failure: the request is a read, and nothing of the old connection can reach the new one.
    pub async fn read(&mut self, request: ReadRequest) -> Result<Received, Failure> {
        loop {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            wait_until(connection.ready_at).await;
            DeviceStatus::count(&self.status.requests, 1);
            let sent = Instant::now();
            match timeout(self.pace.timeout, connection.transport.read(request)).await {
                Ok(Ok(reply)) => {
                    let received = Received { reply, at: self.clock.now(), latency: sent.elapsed() };
                    if matches!(received.reply, Reply::Exception(_)) {
                        DeviceStatus::count(&self.status.exceptions, 1);
                    }
                    connection.replies += 1;
                    connection.ready_at = Instant::now() + self.pace.pause_between_requests;
                    self.connection = Some(connection);
                    return Ok(received);
                }
                // On every other way out the connection is gone with its variable.
                Ok(Err(error)) => match error.into() {
                    Failure::Closed(_) if connection.replies > 0 => {}
                    failure => return Err(failure),
                },
                Err(_) => {
                    DeviceStatus::count(&self.status.timeouts, 1);
                    return Err(Failure::Timeout(self.pace.timeout));
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Connection, Failure> {
        let endpoint = self.endpoint.clone();
        let refused = |reason| Failure::Connect { endpoint, reason };
        match timeout(self.pace.timeout, self.connector.connect()).await {
            Ok(Ok(transport)) => {
                DeviceStatus::count(&self.status.connects, 1);
                Ok(Connection { transport, replies: 0, ready_at: Instant::now() + self.pace.pause_after_connect })
            }
            Ok(Err(reason)) => Err(refused(reason)),
            Err(_) => {
                DeviceStatus::count(&self.status.timeouts, 1);
                Err(refused(format!("no connection within {:?}", self.pace.timeout)))
            }
        }
    }
}
