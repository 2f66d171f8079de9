//! The accept loop of a port.

use std::{
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _};
use historian_tls::ServerTls;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};

use super::{
    gate::{ConnectionGate, ConnectionSeat, RareLog},
    leave::leave,
    reason::RefusalReason,
    secure::{self, Arrival, NO_ROOM},
    stream::{NO_ADDRESS, NetworkZone, PortStream},
    watch::{ConnectionTimes, WatchedConnection},
};

/// How long accepting rests when the system has no more descriptors or memory: at first, and at most.
const REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How often a place is looked for, a millisecond apart, while others give way.
const LOOKS_FOR_PLACE_MAX: usize = 1_000;
/// Clients that are refused and may read why. Each holds a descriptor meanwhile.
const LEAVING_MAX: usize = 16;

/// A listener, the TLS of its connections, and what is served beside it.
pub struct PortListener {
    pub listener: TcpListener,
    pub tls: Option<Arc<ServerTls>>,
    /// The socket for users of this machine.
    pub local: Option<UnixListener>,
    /// Listeners that let only some rights through; with the same TLS.
    pub zones: Vec<(TcpListener, Arc<NetworkZone>)>,
}

impl From<TcpListener> for PortListener {
    /// One without TLS.
    fn from(listener: TcpListener) -> PortListener {
        PortListener { listener, tls: None, local: None, zones: Vec::new() }
    }
}

/// Where connections come from.
enum Listener {
    Address(TcpListener),
    Local(UnixListener),
}

/// What was accepted, and who it is.
enum Socket {
    Address(TcpStream, SocketAddr),
    /// By a user of this machine.
    Local(UnixStream, u32),
}

impl Listener {
    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Listener::Address(listener) => listener.accept().await.map(|(stream, address)| Socket::Address(stream, address)),
            Listener::Local(listener) => {
                let (stream, _) = listener.accept().await?;
                // It fails where the client has gone again.
                let user = stream.peer_cred().map_err(|_| io::ErrorKind::ConnectionAborted)?.uid();
                Ok(Socket::Local(stream, user))
            }
        }
    }
}

impl Socket {
    /// What its place is counted by.
    fn peer(&self) -> IpAddr {
        match self {
            Socket::Address(_, address) => address.ip(),
            Socket::Local(..) => NO_ADDRESS,
        }
    }
}

/// A connection that has its place.
struct Seated {
    socket: Socket,
    seat: ConnectionSeat,
    begun: Instant,
}

/// Takes connections of a listener as its gate allows.
pub struct ConnectionAcceptor {
    listener: Listener,
    gate: Arc<ConnectionGate>,
    is_secured: bool,
    failed: RareLog,
    leaving: Arc<Semaphore>,
}

/// A connection that is awaited, and what awaits it.
type Arriving = Pin<Box<dyn Future<Output = (ConnectionAcceptor, Seated)> + Send>>;

impl ConnectionAcceptor {
    /// All connections that may be served, without end. Those with TLS come when their handshake is done, which each makes in a task of its own:
    /// whoever takes long for it, or never ends it, holds up nobody.
    pub fn connections(
        port: PortListener,
        gate: &Arc<ConnectionGate>,
        times: ConnectionTimes,
    ) -> impl Stream<Item = io::Result<WatchedConnection<PortStream>>> + Unpin {
        let PortListener { listener, tls, local, zones } = port;
        let leaving = Arc::new(Semaphore::new(LEAVING_MAX));
        let of = |listener, tls: Option<Arc<ServerTls>>, zone: Option<Arc<NetworkZone>>| {
            let (gate, leaving, is_secured) = (gate.clone(), leaving.clone(), tls.is_some());
            let acceptor = ConnectionAcceptor { listener, gate, is_secured, failed: RareLog::default(), leaving };
            let connections = Connections { arriving: Box::pin(acceptor.next()), handshakes: JoinSet::new(), tls, times, zone };
            futures::stream::unfold(connections, |mut connections| async {
                let connection = connections.next().await;
                Some((Ok(connection), connections))
            })
            .boxed()
        };
        // What does not leave the machine needs no TLS. It has its place among the others all the same.
        let local = local.map(|listener| of(Listener::Local(listener), None, None));
        let zones = zones.into_iter().map(|(listener, zone)| of(Listener::Address(listener), tls.clone(), Some(zone)));
        let listeners: Vec<_> = zones.chain(local).chain([of(Listener::Address(listener), tls.clone(), None)]).collect();
        futures::stream::select_all(listeners)
    }

    /// As [`ConnectionAcceptor::accept`], for who cannot wait for it to the end.
    async fn next(mut self) -> (ConnectionAcceptor, Seated) {
        let arrival = self.accept().await;
        (self, arrival)
    }

    /// The next connection that has a place. Never fails: what hinders accepting passes, and ending would close the port for good.
    async fn accept(&mut self) -> Seated {
        let mut rest = REST.0;
        loop {
            match self.listener.accept().await {
                Ok(socket) => {
                    rest = REST.0;
                    let begun = Instant::now();
                    // Without it every small answer waits for the client's delayed acknowledgement. It fails where the client has gone again.
                    if let Socket::Address(stream, _) = &socket
                        && stream.set_nodelay(true).is_err()
                    {
                        continue;
                    }
                    match self.place(socket.peer()).await {
                        Ok(seat) => return Seated { socket, seat, begun },
                        Err(reason) => {
                            self.gate.was_refused(socket.peer(), reason);
                            self.refuse(socket, reason);
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
    fn refuse(&self, socket: Socket, reason: RefusalReason) {
        // A handshake for each one that is refused would be work for whoever floods us: in TLS there is one word for it without any.
        let told = if self.is_secured { NO_ROOM.to_vec() } else { self.gate.port().refusal(reason) };
        let Ok(permit) = self.leaving.clone().try_acquire_owned() else {
            // As much as a new socket takes without waiting, which is all of it.
            let _ = match socket {
                Socket::Address(stream, _) => stream.into_std().and_then(|mut stream| stream.write(&told)),
                Socket::Local(stream, _) => stream.into_std().and_then(|mut stream| stream.write(&told)),
            };
            return;
        };
        tokio::spawn(async move {
            let _leaving = permit;
            match socket {
                Socket::Address(stream, _) => leave(stream, &told).await,
                Socket::Local(stream, _) => leave(stream, &told).await,
            }
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
    zone: Option<Arc<NetworkZone>>,
}

impl Connections {
    async fn next(&mut self) -> WatchedConnection<PortStream> {
        loop {
            tokio::select! {
                (acceptor, Seated { socket, seat, begun }) = &mut self.arriving => {
                    self.arriving = Box::pin(acceptor.next());
                    let (times, from, zone) = (self.times, socket.peer(), self.zone.clone());
                    let ready = match (socket, self.tls.clone()) {
                        (Socket::Local(stream, user), _) => PortStream::local(stream, user),
                        (Socket::Address(stream, peer), None) => PortStream::plain(stream, peer, zone),
                        (Socket::Address(stream, peer), Some(tls)) => {
                            self.handshakes.spawn(secure::secured(Arrival { stream, peer, seat, begun, zone }, tls, times));
                            continue;
                        }
                    };
                    return WatchedConnection::new(ready, from, seat, times, begun);
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
