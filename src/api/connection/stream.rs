//! The socket of a connection, with TLS around it or without, and who is at its other end.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use historian_access::RightSet;
use historian_tls::ClientIdentity;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// What every connection with TLS begins with: a record of a handshake (RFC 8446, 5.1). Neither HTTP/1 nor HTTP/2 begins so.
pub(super) const FIRST_BYTE: u8 = 22;

/// The client of what comes from no address: over the local socket, or over no connection at all.
pub const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A listener of its own for some clients, and what they may do through it at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkZone {
    pub name: String,
    pub rights: RightSet,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// Of the certificate that a client has shown; its authority is one of ours.
    pub identity: Option<Arc<ClientIdentity>>,
    /// The user of this machine that has connected to the local socket, as the system says.
    pub user: Option<u32>,
    /// Through which it has come; `None` for the listener that lets everything through.
    pub zone: Option<Arc<NetworkZone>>,
}

/// What bytes of a connection go through.
pub enum PortTransport {
    Plain(TcpStream),
    Local(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection before anybody speaks HTTP on it.
pub struct PortStream {
    transport: PortTransport,
    peer: Peer,
}

impl PortStream {
    pub fn plain(stream: TcpStream, address: SocketAddr, zone: Option<Arc<NetworkZone>>) -> PortStream {
        PortStream { transport: PortTransport::Plain(stream), peer: Peer { address, identity: None, user: None, zone } }
    }

    pub fn secured(stream: TlsStream<TcpStream>, address: SocketAddr, zone: Option<Arc<NetworkZone>>) -> PortStream {
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let identity = shown.and_then(|certificate| ClientIdentity::of(certificate)).map(Arc::new);
        PortStream { transport: PortTransport::Tls(Box::new(stream)), peer: Peer { address, identity, user: None, zone } }
    }

    /// One of the local socket, by a user of this machine.
    pub fn local(stream: UnixStream, user: u32) -> PortStream {
        let peer = Peer { address: (NO_ADDRESS, 0).into(), identity: None, user: Some(user), zone: None };
        PortStream { transport: PortTransport::Local(stream), peer }
    }
}

impl Connected for PortStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Calls a method of whatever the bytes go through.
macro_rules! through {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match &mut $stream.get_mut().transport {
            PortTransport::Plain(stream) => Pin::new(stream).$method($($argument),*),
            PortTransport::Local(stream) => Pin::new(stream).$method($($argument),*),
            PortTransport::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for PortStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        through!(self, poll_read(context, buffer))
    }
}

impl AsyncWrite for PortStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        through!(self, poll_write(context, bytes))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        through!(self, poll_write_vectored(context, parts))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, poll_shutdown(context))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            PortTransport::Plain(stream) => stream.is_write_vectored(),
            PortTransport::Local(stream) => stream.is_write_vectored(),
            PortTransport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
