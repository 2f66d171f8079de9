//! The accept loop of a port.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::Stream;
use historian_tls::ServerTls;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use super::{
    gate::{ConnectionGate, ConnectionSeat, RareLog},
    leave::leave,
    reason::RefusalReason,
    secure::{self, Arrival, NO_ROOM},
    stream::PortStream,
    watch::{ConnectionTimes, WatchedConnection},
};

/// How long accepting rests when the system has no more descriptors or memory: at first, and at most.
const REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How often a place is looked for, a millisecond apart, while others give way.
const LOOKS_FOR_PLACE_MAX: usize = 1_000;
/// Clients that are refused and may read why. Each holds a descriptor meanwhile.
const LEAVING_MAX: usize = 16;

/// A listener, and the TLS of its connections.
pub struct PortListener {
    pub listener: TcpListener,
    pub tls: Option<Arc<ServerTls>>,
}

impl From<TcpListener> for PortListener {
    /// One without TLS.
    fn from(listener: TcpListener) -> PortListener {
        PortListener { listener, tls: None }
    }
}

/// Takes connections of a listener as its gate allows.
pub struct ConnectionAcceptor {
    listener: TcpListener,
    gate: Arc<ConnectionGate>,
    is_secured: bool,
    failed: RareLog,
    leaving: Arc<Semaphore>,
}

/// A connection that is awaited, and what awaits it.
type Arriving = Pin<Box<dyn Future<Output = (ConnectionAcceptor, Arrival)> + Send>>;

impl ConnectionAcceptor {
    /// All connections that may be served, without end. Those with TLS come when their handshake is done, which each makes in a task of its own:
    /// whoever takes long for it, or never ends it, holds up nobody.
    pub fn connections(
        port: PortListener,
        gate: Arc<ConnectionGate>,
        times: ConnectionTimes,
    ) -> impl Stream<Item = io::Result<WatchedConnection<PortStream>>> + Unpin {
        let PortListener { listener, tls } = port;
        let leaving = Arc::new(Semaphore::new(LEAVING_MAX));
        let acceptor = ConnectionAcceptor { listener, gate, is_secured: tls.is_some(), failed: RareLog::default(), leaving };
        let connections = Connections { arriving: Box::pin(acceptor.next()), handshakes: JoinSet::new(), tls, times };
        Box::pin(futures::stream::unfold(connections, |mut connections| async {
            let connection = connections.next().await;
            Some((Ok(connection), connections))
        }))
    }

    /// As [`ConnectionAcceptor::accept`], for who cannot wait for it to the end.
    async fn next(mut self) -> (ConnectionAcceptor, Arrival) {
        let arrival = self.accept().await;
        (self, arrival)
    }

    /// The next connection that has a place. Never fails: what hinders accepting passes, and ending would close the port for good.
    async fn accept(&mut self) -> Arrival {
        let mut rest = REST.0;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    rest = REST.0;
                    let begun = Instant::now();
                    // Without it every small answer waits for the client's delayed acknowledgement. It fails where the client has gone again.
                    if stream.set_nodelay(true).is_err() {
                        continue;
                    }
                    match self.place(peer.ip()).await {
                        Ok(seat) => return Arrival { stream, peer, seat, begun },
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
        // A handshake for each one that is refused would be work for whoever floods us: in TLS there is one word for it without any.
        let told = if self.is_secured { NO_ROOM.to_vec() } else { self.gate.port().refusal(reason) };
        let Ok(permit) = self.leaving.clone().try_acquire_owned() else {
            // As much as a new socket takes without waiting, which is all of it.
            let _ = stream.into_std().and_then(|mut stream| stream.write(&told));
            return;
        };
        tokio::spawn(async move {
            let _leaving = permit;
            leave(stream, &told).await;
        });
    }
}

/// Connections of a port as they become ready to be served.
struct Connections {
    /// Kept while handshakes end: a connection that has come and waits for its place must not be dropped for that.
    arriving: Arriving,
    handshakes: JoinSet<Option<WatchedConnection<PortStream>>>,
    tls: Option<Arc<ServerTls>>,
    times: ConnectionTimes,
}

impl Connections {
    async fn next(&mut self) -> WatchedConnection<PortStream> {
        loop {
            tokio::select! {
                (acceptor, arrival) = &mut self.arriving => {
                    self.arriving = Box::pin(acceptor.next());
                    let times = self.times;
                    let Some(tls) = self.tls.clone() else {
                        let Arrival { stream, peer, seat, begun } = arrival;
                        return WatchedConnection::new(PortStream::plain(stream, peer), peer.ip(), seat, times, begun);
                    };
                    self.handshakes.spawn(secure::secured(arrival, tls, times));
                }
                // One that failed has been told of.
                Some(ended) = self.handshakes.join_next() => if let Ok(Some(connection)) = ended {
                    return connection;
                }
            }
        }
    }
}

/// Errors that say nothing of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | WouldBlock)
}
