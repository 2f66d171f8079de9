//! TLS below Modbus TCP ("MODBUS/TCP Security", port 802): the device is known by its certificate, and we by ours.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use historian_tls::{ClientTls, ServerName, of_device, refused_by_device};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Whom a connection trusts, what it shows, and what it calls the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecureSettings {
    pub tls: ClientTls,
    /// Name in the device's certificate; by default the host of the endpoint.
    pub server_name: Option<String>,
}

/// Makes a connection a secure one. The files are read now: certificates that were renewed are used from the next connection on.
///
/// # Errors
/// The reason in words.
pub async fn secured(stream: TcpStream, host: &str, settings: &SecureSettings) -> Result<SecureStream, String> {
    let host = settings.server_name.as_deref().unwrap_or(host);
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no name that a certificate can have; set server_name"))?;
    let tls = settings.tls.clone();
    let config = tokio::task::spawn_blocking(move || tls.device_config())
        .await
        .map_err(|error| error.to_string())?
        .map_err(|problem| problem.to_string())?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = connected.map_err(|error| of_device(&error, host))?;
    Ok(SecureStream { stream, anonymous: settings.tls.pair.is_none(), heard: false })
}

/// A secure connection, whose end is told in words: with TLS 1.3 a device judges our certificate when the connection seems to be made. Some
/// send no reason, and end the connection.
pub struct SecureStream {
    stream: TlsStream<TcpStream>,
    /// We have shown no certificate.
    anonymous: bool,
    /// The device has said something.
    heard: bool,
}

impl SecureStream {
    fn in_words(&self, error: io::Error) -> io::Error {
        // A device that leaves without the farewell of TLS has closed the connection, and nothing worse.
        let is_closed = error.kind() == io::ErrorKind::UnexpectedEof;
        match (refused_by_device(&error), self.heard) {
            (Some(reason), _) => io::Error::other(reason),
            (None, true) if is_closed => io::Error::other("the other side closed the connection"),
            (None, true) => error,
            (None, false) if is_closed => self.unheard(&"closed"),
            (None, false) => self.unheard(&error),
        }
    }

    /// The end of a connection on which the device never said anything.
    fn unheard(&self, error: &dyn fmt::Display) -> io::Error {
        let perhaps = if self.anonymous {
            "perhaps it asks for a certificate of its clients: certificate_file and key_file"
        } else {
            "perhaps it does not take our certificate"
        };
        io::Error::other(format!("the device ended the connection right after the handshake ({error}); {perhaps}"))
    }
}

impl AsyncRead for SecureStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(context, buffer));
        let came = buffer.filled().len() > before;
        this.heard |= came;
        Poll::Ready(match read {
            Ok(()) if !this.heard && buffer.remaining() > 0 => Err(this.unheard(&"closed")),
            read => read.map_err(|error| this.in_words(error)),
        })
    }
}

impl AsyncWrite for SecureStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        Pin::new(&mut this.stream).poll_write(context, bytes).map_err(|error| this.in_words(error))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        Pin::new(&mut this.stream).poll_flush(context).map_err(|error| this.in_words(error))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
