//! Connections with TLS, made below the client library: it has no say in whom we trust, and what fails is told in our words.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use anyhow::anyhow;
use historian_tls::{ClientConfig, ServerName, of_server, refused_later};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::codegen::{Service, http::Uri};

/// Why the server ended a connection, once it has: with TLS 1.3 it judges us when we take the connection to be made, and the client library keeps
/// the reason of a failed read to itself. A command speaks with one server.
static REFUSED: OnceLock<String> = OnceLock::new();

/// Why the server ended a connection that was made, where it did and said so.
pub fn refused() -> Option<&'static str> {
    REFUSED.get().map(String::as_str)
}

/// Connects to one host.
#[derive(Clone)]
pub struct Connector {
    host: String,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Connector {
    /// # Errors
    /// No host is called so.
    pub fn new(host: &str, config: ClientConfig) -> anyhow::Result<Connector> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| anyhow!("{host} is no name of a host"))?;
        Ok(Connector { host: host.to_owned(), name, tls: TlsConnector::from(Arc::new(config)) })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Overheard>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Connector { host, name, tls } = self.clone();
        Box::pin(async move {
            let port = uri.port_u16().unwrap_or_default();
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            let secured = tls.connect(name, stream).await.map_err(|error| io::Error::other(of_server(&error, &host)))?;
            Ok(TokioIo::new(Overheard(secured)))
        })
    }
}

/// A connection whose end is noted.
pub struct Overheard(TlsStream<TcpStream>);

impl AsyncRead for Overheard {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.get_mut().0).poll_read(context, buffer);
        if let Poll::Ready(Err(error)) = &read
            && let Some(reason) = refused_later(error)
        {
            let _ = REFUSED.set(reason);
        }
        read
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}
