//! The handshake of TLS: between the place that a connection has and its first byte of HTTP. It must end in time, gives way as others do that
//! have not asked anything, and what fails is told.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use historian_tls::{ServerTls, ShownCertificate, of_client};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    gate::{ConnectionSeat, Port},
    leave::leave,
    reason::CutReason,
    stream::{FIRST_BYTE, NetworkZone, PortStream},
    watch::{ConnectionTimes, WatchedConnection},
};

/// Longest handshake, however long a first request may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The alert `internal_error`, fatal: the one word for "not now, and not your fault" (RFC 8446, 6.2).
pub(super) const NO_ROOM: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// A connection with its place.
pub(super) struct Arrival {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub seat: ConnectionSeat,
    pub begun: Instant,
    pub zone: Option<Arc<NetworkZone>>,
}

/// Why there is no connection.
enum Unsecured {
    /// The client speaks, and not TLS.
    Plain(TcpStream),
    /// The client went away without a word, as those do that only look whether a port is open.
    Silent,
    /// The client has been sent the alert that says why.
    Failed(io::Error, TcpStream),
}

/// A connection after its handshake; `None` where there is none, which has been told.
pub(super) async fn secured(arrival: Arrival, tls: Arc<ServerTls>, times: ConnectionTimes) -> Option<WatchedConnection<PortStream>> {
    let Arrival { stream, peer, seat, begun, zone } = arrival;
    let until = begun + times.first_request.min(HANDSHAKE_MAX);
    let port = seat.gate().port();
    // Asked before the handshake: what is taken during it is judged again.
    let taken = tls.taken();
    let ended = {
        let asked_to_leave = poll_fn(|context| if seat.is_asked_to_leave(context) { Poll::Ready(()) } else { Poll::Pending });
        tokio::select! {
            ended = tokio::time::timeout_at(until.into(), handshake(stream, port, &tls)) => ended.map_err(|_| CutReason::HandshakeLate),
            () = asked_to_leave => Err(CutReason::GaveWay),
        }
    };
    match ended {
        Ok(Ok(stream)) => {
            let shown = ShownCertificate::of(&tls, taken, stream.get_ref().1.peer_certificates());
            let stream = PortStream::secured(stream, peer, zone);
            Some(WatchedConnection::new(stream, peer.ip(), seat, times, begun).with_certificate(shown))
        }
        Ok(Err(Unsecured::Silent)) => None,
        Ok(Err(Unsecured::Failed(error, stream))) => {
            seat.gate().was_not_secured(peer.ip(), &of_client(&error));
            // With TLS 1.3 its first request is on the way: closed on that, the connection would be reset, and the alert lost.
            leave(stream, &[]).await;
            None
        }
        Ok(Err(Unsecured::Plain(stream))) => {
            seat.gate().was_cut(peer.ip(), CutReason::Plaintext);
            leave(stream, &port.only_tls()).await;
            None
        }
        Err(reason) => {
            seat.gate().was_cut(peer.ip(), reason);
            None
        }
    }
}

async fn handshake(stream: TcpStream, port: Port, tls: &ServerTls) -> Result<TlsStream<TcpStream>, Unsecured> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => return Err(Unsecured::Silent),
        Ok(_) if first[0] == FIRST_BYTE => {}
        Ok(_) => return Err(Unsecured::Plain(stream)),
    }
    // Of this moment: what was replaced while the client took its time is not used any more.
    let config = match port {
        Port::Grpc => tls.grpc(),
        Port::Http => tls.http(),
    };
    TlsAcceptor::from(config).accept(stream).into_fallible().await.map_err(|(error, stream)| Unsecured::Failed(error, stream))
}
