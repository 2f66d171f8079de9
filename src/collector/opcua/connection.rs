//! One connection: discovery, choice of the endpoint, secure channel and session. It is used once; after a loss a new one is made.
//!
//! The client library can reconnect and re-create subscriptions by itself; that is not used ([`super::session`] says why). What a session
//! shall hold is decided in [`super::subscribe`] alone.
//!
//! The channel moves only while it is polled; [`OpcUaConnection::drive`] polls it beside the work, the Publish requests and the keep-alive, in
//! one task, so that nothing outlives the connection. Bytes go through [`super::wire`], and every call into the library is guarded: what it
//! panics with is a [`ConnectionFault`] like any other.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use opcua::{
    client::{ClientBuilder, ClientConfig, Session, SessionBuilder, transport::TransportPollResult},
    core::ResponseMessage,
    crypto::{CertificateStore, SecurityPolicy},
    types::{EndpointDescription, GetEndpointsRequest, NodeId, RequestHeader, StatusCode},
};

use super::{
    convert::protocol_time,
    device::OpcUaSettings,
    endpoint,
    fault::{ConnectionFault, within},
    pki,
    publish::Publisher,
    session::{self, Logon, Transport},
    user,
    wire::{CHANNEL_LIFETIME_MS, ReplacedValues, SieveLimits, WireConnector},
};
use historian_collector::guard;
use historian_model::{Clock, Timestamp};

const CHUNK_BYTES: usize = 65_535;
/// How long a parting session may take to be closed in the server.
pub const CLOSE_MAX: Duration = Duration::from_secs(1);

/// A session that was activated, and the channel under it.
pub struct OpcUaConnection {
    logon: Logon,
    transport: Transport,
}

impl OpcUaConnection {
    /// Connects to the server at `url`, which is one of the endpoints of the device; `found` is how many tags the globs of the device have made
    /// so far. Ends within about three timeouts of the device, whatever the server does.
    ///
    /// # Errors
    /// Why not, in words that tell an operator where to look.
    pub async fn open(device: &OpcUaSettings, url: &str, found: usize, clock: &Arc<dyn Clock>) -> Result<OpcUaConnection, ConnectionFault> {
        guard::run(OpcUaConnection::open_unguarded(device, url, found, clock)).await?
    }

    async fn open_unguarded(
        device: &OpcUaSettings,
        url: &str,
        found: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<OpcUaConnection, ConnectionFault> {
        let identity = user::read_identity(&device.user)
            .map_err(|why| ConnectionFault::of_place(why, "a file of the user's identity cannot be used"))?;
        let store = pki::open(device).await.map_err(|why| ConnectionFault::of_place(why, "the files of pki_dir cannot be used"))?;
        let config = client_config(device);
        let limits = SieveLimits { text_bytes_max: device.text_bytes_max, handle_max: device.handles_max(found), certificate: None };
        let nobody = Arc::new(opcua::sync::RwLock::new(CertificateStore::new(std::path::Path::new("/dev/null"))));
        let findings = Arc::new(ReplacedValues::default());
        let mut wire = WireConnector { url: url.to_owned(), limits, store: nobody, clock: clock.clone(), findings };
        let offered = within(device.timeout, "discovery", discover(device, &config, &wire, clock.now())).await??;
        let mut endpoint = endpoint::choose(device, &offered)
            .map_err(|why| ConnectionFault::of_place(why, "the server offers no endpoint that can be used"))?;
        // The way there is the configured one: behind a port mapping or in a container the server knows itself by other names.
        endpoint.endpoint_url = endpoint::with_path_of(url, endpoint.endpoint_url.as_ref()).into();
        pki::judge(device, &store, &endpoint, clock.now())
            .map_err(|why| ConnectionFault::of_place(why, "the server's certificate is not trusted"))?;
        wire.url = endpoint.endpoint_url.as_ref().to_owned();
        wire.store = store.clone();
        if device.policy == SecurityPolicy::None {
            wire.limits.certificate = Some(endpoint.server_certificate.as_ref().to_vec());
        }
        let name = format!("historian {}", device.name);
        let opened = Logon::open(&config, &name, wire, endpoint, identity, store, device.timeout).await;
        let (logon, transport) = opened.map_err(|fault| user::explain(device, fault, clock.now()))?;
        Ok(OpcUaConnection { logon, transport })
    }

    /// Values in notifications that were not as the server sent them.
    pub fn findings(&self) -> Arc<ReplacedValues> {
        self.logon.findings()
    }

    /// A session that was taken up again on another channel.
    pub fn again(logon: Logon, transport: Transport) -> OpcUaConnection {
        OpcUaConnection { logon, transport }
    }

    /// The session without its channel, which is closed.
    pub fn into_logon(self) -> Logon {
        self.logon
    }

    pub fn session(&self) -> Arc<Session> {
        self.logon.session.clone()
    }

    /// Moves the channel, the Publish requests and the keep-alive beside `work` until that ends, or until the connection is lost. `told`
    /// is called for each answer to a Publish request.
    ///
    /// # Errors
    /// The loss of the connection, the session or the subscriptions.
    pub fn drive<'a, T: 'a>(
        &'a mut self,
        publisher: &'a Publisher,
        told: impl FnMut(Result<(), StatusCode>) + 'a,
        work: impl Future<Output = T> + 'a,
    ) -> impl Future<Output = Result<T, ConnectionFault>> + 'a {
        let driven = guard::run(self.drive_unguarded(publisher, told, work));
        async move { driven.await? }
    }

    async fn drive_unguarded<T>(
        &mut self,
        publisher: &Publisher,
        told: impl FnMut(Result<(), StatusCode>),
        work: impl Future<Output = T>,
    ) -> Result<T, ConnectionFault> {
        let OpcUaConnection { logon, transport } = self;
        let all = async {
            tokio::select! {
                done = work => Ok(done),
                fault = publisher.run(&logon.session, told) => Err(fault),
                fault = logon.keep_alive() => Err(fault),
            }
        };
        session::drive(transport, all).await?
    }

    /// Closes the session so that the server forgets its subscriptions at once; gives up after `limit`. What the server still sends
    /// meanwhile is taken.
    pub async fn close(self, publisher: &Publisher, limit: Duration) {
        let OpcUaConnection { logon, mut transport } = self;
        let goodbye = async {
            tokio::select! {
                () = logon.close() => {}
                _ = publisher.run(&logon.session, |_| ()) => logon.close().await,
            }
            // The channel closes when the last message is sent.
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(limit, guard::run(session::drive(&mut transport, goodbye))).await;
    }
}

fn client_config(device: &OpcUaSettings) -> ClientConfig {
    ClientBuilder::new()
        .application_name("historian")
        .application_uri(device.application_uri.as_str())
        .product_uri("urn:historian")
        .request_timeout(device.timeout)
        // The server holds a Publish request for up to a keep-alive interval; the watchdog decides about silence.
        .publish_timeout(device.watchdog * 4 + Duration::from_mins(1))
        .channel_lifetime(CHANNEL_LIFETIME_MS)
        // The library's defaults (arrays of 1,000, 5 chunks) lose large notifications.
        .max_message_size(device.message_bytes_max)
        .max_chunk_count(device.message_bytes_max / CHUNK_BYTES + 1)
        .max_array_length(device.message_bytes_max)
        // What a value may be is decided before the library decodes it.
        .max_string_length(device.message_bytes_max)
        .max_byte_string_length(device.message_bytes_max)
        .into_config()
}

/// Asks the server for its endpoints over an unsecured channel, as the standard has it.
async fn discover(
    device: &OpcUaSettings,
    config: &ClientConfig,
    wire: &WireConnector,
    now: Timestamp,
) -> Result<Vec<EndpointDescription>, ConnectionFault> {
    let what = "discovery";
    let fail = |error: opcua::types::Error| ConnectionFault::library(what, &error);
    let channel = SessionBuilder::new(config)
        .connect_to_endpoint_directly(wire.url.as_str())
        .and_then(|builder| builder.build_channel(wire.store.clone()))
        .map_err(fail)?;
    let mut transport = channel.connect_no_retry(wire).await.map_err(fail)?;
    let request = GetEndpointsRequest {
        request_header: RequestHeader::new(&NodeId::null(), &protocol_time(now), 1),
        endpoint_url: wire.url.as_str().into(),
        locale_ids: None,
        profile_uris: None,
    };
    let mut answer = pin!(channel.send(request, device.timeout));
    let answer = loop {
        tokio::select! {
            answer = &mut answer => break answer.map_err(fail)?,
            event = transport.poll() => if let TransportPollResult::Closed(status) = event {
                return Err(ConnectionFault::status(what, status, "the server closed the connection"));
            }
        }
    };
    match answer {
        ResponseMessage::GetEndpoints(answer) if answer.response_header.service_result.is_good() => {
            Ok(answer.endpoints.unwrap_or_default())
        }
        ResponseMessage::GetEndpoints(answer) => Err(ConnectionFault::status(what, answer.response_header.service_result, "")),
        ResponseMessage::ServiceFault(fault) => Err(ConnectionFault::status(what, fault.response_header.service_result, "")),
        _ => Err(ConnectionFault::new("discovery: the server answered something else")),
    }
}
