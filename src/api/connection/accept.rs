//! The accept loop of a port.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures::Stream;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::{
    gate::{ConnectionGate, ConnectionSeat, RareLog},
    reason::RefusalReason,
    watch::{ConnectionTimes, WatchedConnection},
};

/// How long accepting rests when the system has no more descriptors or memory: at first, and at most.
const REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How often a place is looked for, a millisecond apart, while others give way.
const LOOKS_FOR_PLACE_MAX: usize = 1_000;
/// Clients that are refused and may read why, and how long. Each holds a descriptor meanwhile.
const LEAVING_MAX: usize = 16;
const LEAVING_MAX_TIME: Duration = Duration::from_secs(1);

/// Takes connections of a listener as its gate allows.
pub struct ConnectionAcceptor {
    listener: TcpListener,
    gate: Arc<ConnectionGate>,
    times: ConnectionTimes,
    failed: RareLog,
    leaving: Arc<Semaphore>,
}

impl ConnectionAcceptor {
    pub fn new(listener: TcpListener, gate: Arc<ConnectionGate>, times: ConnectionTimes) -> ConnectionAcceptor {
        ConnectionAcceptor { listener, gate, times, failed: RareLog::default(), leaving: Arc::new(Semaphore::new(LEAVING_MAX)) }
    }

    /// The next connection that may be served. Never fails: what hinders accepting passes, and ending would close the port for good.
    async fn accept(&mut self) -> WatchedConnection<TcpStream> {
        let mut rest = REST.0;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    rest = REST.0;
                    // Without it every small answer waits for the client's delayed acknowledgement. It fails where the client has gone again.
                    if stream.set_nodelay(true).is_err() {
                        continue;
                    }
                    match self.place(peer.ip()).await {
                        Ok(seat) => return WatchedConnection::new(stream, peer.ip(), seat, self.times),
                        Err(reason) => {
                            self.gate.was_refused(peer.ip(), reason);
                            self.refuse(stream, reason);
                        }
                    }
                }
                // The client's doing.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let port = self.gate.port().name();
                    self.failed.tell(|others| tracing::error!(port, others, "connections cannot be accepted for now: {error}"));
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(REST.1);
                }
            }
        }
    }

    /// A place for a connection, waiting for those that give way to go.
    async fn place(&self, peer: IpAddr) -> Result<ConnectionSeat, RefusalReason> {
        for _ in 0..LOOKS_FOR_PLACE_MAX {
            if let Some(seat) = self.gate.enter(peer)? {
                return Ok(seat);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(RefusalReason::Total)
    }

    /// Tells a client why it is not served. Closing at once would take what it is told with it, where the client has said something.
    fn refuse(&self, stream: TcpStream, reason: RefusalReason) {
        let told = self.gate.port().refusal(reason);
        let Ok(permit) = self.leaving.clone().try_acquire_owned() else {
            // As much as a new socket takes without waiting, which is all of it.
            let _ = stream.into_std().and_then(|mut stream| stream.write(&told));
            return;
        };
        tokio::spawn(async move {
            let _leaving = permit;
            let _ = tokio::time::timeout(LEAVING_MAX_TIME, leave(stream, &told)).await;
        });
    }

    /// All connections that may be served, without end.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<WatchedConnection<TcpStream>>> + Unpin {
        Box::pin(futures::stream::unfold(self, |mut acceptor| async {
            let connection = acceptor.accept().await;
            Some((Ok(connection), acceptor))
        }))
    }
}

async fn leave(mut stream: TcpStream, told: &[u8]) -> io::Result<()> {
    stream.write_all(told).await?;
    stream.shutdown().await?;
    let mut unheard = [0; 1024];
    while stream.read(&mut unheard).await? > 0 {}
    Ok(())
}

/// Errors that say nothing of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | WouldBlock)
}
