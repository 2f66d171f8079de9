//! TLS below Modbus TCP ("MODBUS/TCP Security", port 802): the device is known by its certificate, and we by ours.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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
    connected.map(SecureStream).map_err(|error| of_device(&error, host))
}

/// A secure connection, whose end is told in words: with TLS 1.3 a device judges our certificate when the connection seems to be made.
pub struct SecureStream(TlsStream<TcpStream>);

fn in_words(error: io::Error) -> io::Error {
    refused_by_device(&error).map_or(error, io::Error::other)
}

impl AsyncRead for SecureStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer).map_err(in_words)
    }
}

impl AsyncWrite for SecureStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes).map_err(in_words)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context).map_err(in_words)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}
