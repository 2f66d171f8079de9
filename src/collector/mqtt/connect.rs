//! The connection below MQTT: TCP, and TLS where it is asked for.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use historian_tls::{ClientTls, ServerName};

/// Where to connect, and how.
#[derive(Clone, Debug)]
pub struct BrokerAddress {
    pub host: String,
    pub port: u16,
    pub tls: Option<BrokerTls>,
}

/// How the broker is known, and what we show.
#[derive(Clone, Debug)]
pub struct BrokerTls {
    pub files: ClientTls,
    /// The name that its certificate must have.
    pub server_name: String,
}

/// A stream of either kind.
pub trait BrokerStream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin> BrokerStream for Stream {}

/// Connects. The files of TLS are read each time, so that new certificates need no restart.
///
/// # Errors
/// What failed, in words.
pub async fn connect(address: BrokerAddress, timeout: Duration) -> io::Result<Box<dyn BrokerStream>> {
    let BrokerAddress { host, port, tls } = address;
    let connecting = async {
        let stream = TcpStream::connect((host.as_str(), port)).await;
        let stream = stream.map_err(|error| io::Error::new(error.kind(), format!("{host}:{port}: {error}")))?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return Ok(Box::new(stream) as Box<dyn BrokerStream>) };
        let mut config = tls.files.config().map_err(|problem| io::Error::new(io::ErrorKind::InvalidInput, problem.to_string()))?;
        // That of gRPC.
        config.alpn_protocols.clear();
        let name = ServerName::try_from(tls.server_name.clone())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{:?} is no name of a server", tls.server_name)))?;
        let stream = TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await;
        let stream = stream.map_err(|error| io::Error::new(error.kind(), historian_tls::of_device(&error, &tls.server_name)))?;
        Ok(Box::new(stream) as Box<dyn BrokerStream>)
    };
    match tokio::time::timeout(timeout, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("{host}:{port}: no connection within {} ms", timeout.as_millis()))),
    }
}
