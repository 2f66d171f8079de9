//! Ways to a historian beside the plain one: over TLS, and by its local socket.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use historian::tls::ClientConfig;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    codegen::{Service, http::Uri},
    transport::{Channel, Endpoint, Error},
};

type Connecting<S> = Pin<Box<dyn Future<Output = io::Result<TokioIo<S>>> + Send>>;

/// Connects by a function.
struct Connector<F>(F);

impl<S, F: Fn() -> Connecting<S>> Service<Uri> for Connector<F> {
    type Response = TokioIo<S>;
    type Error = io::Error;
    type Future = Connecting<S>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        (self.0)()
    }
}

/// Over TLS and from an address of this machine, to a server that is called `localhost` by its certificate.
pub async fn secured(address: SocketAddr, from: Ipv4Addr, config: ClientConfig) -> Result<Channel, Error> {
    let config = Arc::new(config);
    let connect = move || -> Connecting<TlsStream<TcpStream>> {
        let config = config.clone();
        Box::pin(async move {
            let socket = TcpSocket::new_v4()?;
            socket.bind((from, 0).into())?;
            let stream = socket.connect(address).await?;
            let name = "localhost".try_into().map_err(io::Error::other)?;
            Ok(TokioIo::new(TlsConnector::from(config).connect(name, stream).await?))
        })
    };
    Endpoint::from_static("http://localhost").connect_with_connector(Connector(connect)).await
}

/// By a socket of this machine.
pub async fn local(path: PathBuf) -> Result<Channel, Error> {
    let connect = move || -> Connecting<UnixStream> {
        let path = path.clone();
        Box::pin(async move { Ok(TokioIo::new(UnixStream::connect(path).await?)) })
    };
    Endpoint::from_static("http://localhost").connect_with_connector(Connector(connect)).await
}
