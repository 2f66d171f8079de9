//! The way of messages between a server and the client library: our own transport in place of the library's.
//!
//! The library's transport has four faults that a plant meets: it closes the connection for one value that it cannot decode; it renews
//! the channel's keys by comparing the server's clock with ours; it takes no chain of certificates; and it panics on bytes that it does
//! not expect. The library lets a transport be given, so this one is: [`frame`] cuts the stream into chunks, [`transport`] joins them to
//! messages and renews the channel by the monotonic clock ([`channel`]), [`sieve`] makes their values decodable, and the library's
//! decoder runs guarded. What is sent is still encoded, signed and encrypted by the library.

pub mod certificate;
mod channel;
mod findings;
mod frame;
pub mod fuzz;
mod sieve;
mod transport;
pub mod walk;

use std::sync::Arc;

use opcua::{
    client::{
        ConnectionSource,
        transport::{Connector, RequestRecv, SecureChannelState, TransportConfiguration},
    },
    core::comms::url::hostname_port_from_url,
    types::{EndpointDescription, Error, StatusCode},
};

use self::transport::WireTransport;

pub use findings::ReplacedValues;
pub use sieve::{BROKEN, ReplacedValue, SieveLimits, clean, raw_structure, reason};
pub use transport::{CHANNEL_LIFETIME_MS, WireConnector, decode};

const PORT: u16 = 4840;

impl ConnectionSource for WireConnector {
    type Builder = WireConnector;

    fn get_connector(&self, _: &EndpointDescription) -> Result<WireConnector, Error> {
        Ok(self.clone())
    }
}

impl Connector for WireConnector {
    type Transport = WireTransport;

    async fn connect(
        &self,
        channel: Arc<SecureChannelState>,
        outgoing: RequestRecv,
        config: TransportConfiguration,
    ) -> Result<WireTransport, Error> {
        let (host, port) =
            hostname_port_from_url(&self.url, PORT).map_err(|status| Error::new(status, "the endpoint names no host and port"))?;
        // Every address of the host is tried.
        let stream = tokio::net::TcpStream::connect(format!("{host}:{port}"))
            .await
            .map_err(|error| Error::new(StatusCode::BadCommunicationError, error))?;
        let _ = stream.set_nodelay(true);
        WireTransport::open(stream, self.clone(), channel, outgoing, config).await
    }

    fn default_endpoint(&self) -> EndpointDescription {
        EndpointDescription::from(self.url.as_str())
    }
}
