//! The transport over `tokio-modbus`: Modbus TCP, and RTU frames over TCP.
//!
//! The crate leaves some checks to its user, made here: the count of values in a reply (a release build hands out short vectors), and bytes
//! beyond the one reply that was asked for. The latter matters most for RTU, whose frames carry no transaction id: a doubled or late reply
//! to the request before would otherwise be taken for the answer to the next one.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_modbus::{
    Error, Request, Response, Slave,
    client::{self, Client},
    slave::SlaveContext,
};

use super::{
    address::Area,
    config::Framing,
    transport::{Connector, ReadRequest, Reply, Transport, TransportError},
};

/// Connects to `host:port` with one framing.
pub struct TcpConnector {
    pub endpoint: String,
    pub framing: Framing,
}

#[async_trait]
impl Connector for TcpConnector {
    async fn connect(&self) -> Result<Box<dyn Transport>, String> {
        let stream = TcpStream::connect(&self.endpoint).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let received = Arc::new(AtomicU64::new(0));
        let stream = Metered { stream, received: received.clone() };
        let unit = Slave(0); // replaced by each request
        let client = match self.framing {
            Framing::Tcp => client::tcp::attach_slave(stream, unit),
            Framing::RtuOverTcp => client::rtu::attach_slave(stream, unit),
        };
        Ok(Box::new(TcpTransport { client, framing: self.framing, received }))
    }
}

struct TcpTransport {
    client: client::Context,
    framing: Framing,
    /// Bytes received on the connection.
    received: Arc<AtomicU64>,
}

#[async_trait]
impl Transport for TcpTransport {
    async fn read(&mut self, request: ReadRequest) -> Result<Reply, TransportError> {
        let ReadRequest { unit, area, start, count } = request;
        let before = self.received.load(Ordering::Relaxed);
        self.client.set_slave(Slave(unit));
        let answer = self.client.call(match area {
            Area::Coil => Request::ReadCoils(start, count),
            Area::Discrete => Request::ReadDiscreteInputs(start, count),
            Area::Holding => Request::ReadHoldingRegisters(start, count),
            Area::Input => Request::ReadInputRegisters(start, count),
        });
        let reply = match answer.await.map_err(told_apart)? {
            Err(exception) => Reply::Exception(exception.into()),
            Ok(Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits)) => Reply::Bits(whole_bytes(bits, count)?),
            Ok(Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words)) => {
                if words.len() != usize::from(count) {
                    return Err(TransportError::Protocol(format!("{count} registers asked for, {} answered", words.len())));
                }
                Reply::Registers(words)
            }
            Ok(_) => return Err(TransportError::Protocol("reply to another function".into())),
        };
        let received = self.received.load(Ordering::Relaxed) - before;
        let expected = frame_bytes(self.framing, &reply);
        if received != expected {
            return Err(TransportError::Protocol(format!("{received} bytes received where the reply has {expected}")));
        }
        Ok(reply)
    }
}

/// Bytes of the frame that carries a reply.
fn frame_bytes(framing: Framing, reply: &Reply) -> u64 {
    let data = match reply {
        Reply::Registers(words) => 2 + 2 * words.len(),
        Reply::Bits(bits) => 2 + bits.len().div_ceil(8),
        Reply::Exception(_) => 2,
    };
    (data
        + match framing {
            Framing::Tcp => 7,
            Framing::RtuOverTcp => 3,
        }) as u64
}

/// The crate hands out whole bytes; there must be just as many as `count` bits need.
fn whole_bytes(mut bits: Vec<bool>, count: u16) -> Result<Vec<bool>, TransportError> {
    let count = usize::from(count);
    if bits.len() != count.div_ceil(8) * 8 {
        return Err(TransportError::Protocol(format!("{count} bits asked for, {} bytes answered", bits.len() / 8)));
    }
    bits.truncate(count);
    Ok(bits)
}

fn told_apart(error: Error) -> TransportError {
    match error {
        Error::Protocol(error) => TransportError::Protocol(error.to_string()),
        Error::Transport(error) => match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => TransportError::Protocol(error.to_string()),
            // At the end of the stream the crate reports the last error of the operating system, whatever that was.
            _ if error.raw_os_error().is_some_and(|code| !is_connection_error(code)) => closed(),
            io::ErrorKind::BrokenPipe => closed(),
            _ => TransportError::Closed(error.to_string()),
        },
    }
}

fn closed() -> TransportError {
    TransportError::Closed("the other side closed the connection".into())
}

fn is_connection_error(code: i32) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        io::Error::from_raw_os_error(code).kind(),
        Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
    )
}

/// A TCP stream that counts what it receives, and refuses to send a request while bytes that nobody asked for wait to be read.
#[derive(Debug)]
struct Metered {
    stream: TcpStream,
    received: Arc<AtomicU64>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.stream.try_read(&mut [0; 64]) {
            Ok(0) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, "the other side closed the idle connection"))),
            Ok(count) => {
                let message = format!("{count} or more bytes arrived that nobody asked for, perhaps a late or doubled reply");
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, message)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
