//! One connection: discovery, choice of the endpoint, secure channel and session. It is used once; after a loss a new one is made.
//!
//! The client library can reconnect and re-create subscriptions by itself; that is not used ([`super::session`] says why). What a session
//! shall hold is decided in [`super::subscribe`] alone.
//!
//! The channel moves only while it is polled; [`Connection::drive`] polls it beside the work, the Publish requests and the keep-alive, in
//! one task, so that nothing outlives the connection.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use opcua::{
    client::{
        ClientBuilder, ClientConfig, IdentityToken, Session, SessionBuilder,
        transport::{TcpConnector, TransportPollResult},
    },
    core::ResponseMessage,
    crypto::{CertificateStore, SecurityPolicy},
    types::{EndpointDescription, GetEndpointsRequest, NodeId, RequestHeader, StatusCode, UserTokenType},
};

use super::{
    Device,
    convert::protocol_time,
    pki,
    publish::Publisher,
    session::{self, Logon, Transport},
};
use crate::model::{Clock, Timestamp};

/// Largest message taken from a server. A notification of 100,000 numbers is about 4 MB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
const CHUNK_BYTES: usize = 65_535;

/// Why a connection was not made or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub message: String,
    /// The server did not answer in time.
    pub timeout: bool,
    pub end: End,
}

/// What is left after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum End {
    /// Nothing that could be gone on with.
    #[default]
    Unknown,
    /// The channel ended with this status; the session may still be in the server.
    Lost(StatusCode),
    /// Nothing comes any more; the session may still be in the server.
    Silence,
    /// The session is sound, its subscriptions are not.
    Subscriptions,
    /// The server has forgotten the session.
    Session,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Fault {
        Fault { message: message.into(), timeout: false, end: End::Unknown }
    }

    pub fn timeout(what: &str, after: Duration) -> Fault {
        Fault { message: format!("{what}: no answer within {} ms", after.as_millis()), timeout: true, end: End::Unknown }
    }

    /// A status that a service or the channel ended with.
    pub fn status(what: &str, status: StatusCode, detail: &str) -> Fault {
        let hint = hint(status);
        let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        Fault { message: format!("{what}: {status}{detail}{hint}"), timeout: status == StatusCode::BadTimeout, end: End::Unknown }
    }

    pub fn library(what: &str, error: &opcua::types::Error) -> Fault {
        Fault::status(what, error.status(), &error.to_string())
    }
}

/// What an operator does about a status.
fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BadUserAccessDenied | StatusCode::BadIdentityTokenRejected | StatusCode::BadIdentityTokenInvalid => {
            "; the server refuses the user: check user and password_file, and the user's rights in the server"
        }
        StatusCode::BadCertificateUntrusted
        | StatusCode::BadSecurityChecksFailed
        | StatusCode::BadCertificateInvalid
        | StatusCode::BadCertificateUriInvalid => {
            "; the server may not trust our certificate: let it trust own/cert.der of pki_dir, and look at the server's log"
        }
        StatusCode::BadTooManySessions => "; the server has no session left: close other clients, or wait until theirs expire",
        StatusCode::BadCommunicationError | StatusCode::BadConnectionClosed => {
            "; is the server running, and does it listen at this endpoint?"
        }
        _ => "",
    }
}

/// A session that was activated, and the channel under it.
pub struct Connection {
    logon: Logon,
    transport: Transport,
}

impl Connection {
    /// Connects. Ends within about three timeouts of the device, whatever the server does.
    ///
    /// # Errors
    /// Why not, in words that tell an operator where to look.
    pub async fn open(device: &Device, clock: &dyn Clock) -> Result<Connection, Fault> {
        let identity = match (&device.user, &device.password_file) {
            (Some(user), Some(file)) => IdentityToken::new_user_name(user.as_str(), pki::read_password(file).map_err(Fault::new)?),
            _ => IdentityToken::new_anonymous(),
        };
        let store = pki::open(device).await.map_err(Fault::new)?;
        let config = client_config(device);
        let offered = within(device.timeout, "discovery", discover(device, &config, clock.now())).await??;
        let endpoint = choose(device, &offered)?;
        pki::judge(device, &store, &endpoint, clock.now()).map_err(Fault::new)?;
        let name = format!("historian {}", device.name);
        let carrier = TcpConnector::new(endpoint.endpoint_url.as_ref()).map_err(|error| Fault::library("endpoint", &error))?;
        let (logon, transport) = Logon::open(&config, &name, carrier, endpoint, identity, store, device.timeout).await?;
        Ok(Connection { logon, transport })
    }

    /// A session that was taken up again on another channel.
    pub fn again(logon: Logon, transport: Transport) -> Connection {
        Connection { logon, transport }
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
    pub async fn drive<T>(
        &mut self,
        publisher: &Publisher,
        told: impl FnMut(Result<(), StatusCode>),
        work: impl Future<Output = T>,
    ) -> Result<T, Fault> {
        let Connection { logon, transport } = self;
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
        let Connection { logon, mut transport } = self;
        let goodbye = async {
            tokio::select! {
                () = logon.close() => {}
                _ = publisher.run(&logon.session, |_| ()) => logon.close().await,
            }
            // The channel closes when the last message is sent.
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(limit, session::drive(&mut transport, goodbye)).await;
    }
}

/// Bounds a step.
///
/// # Errors
/// A [`Fault`] when it has not ended in time.
pub async fn within<T>(limit: Duration, what: &str, step: impl Future<Output = T>) -> Result<T, Fault> {
    tokio::time::timeout(limit, step).await.map_err(|_| Fault::timeout(what, limit))
}

fn client_config(device: &Device) -> ClientConfig {
    ClientBuilder::new()
        .application_name("historian")
        .application_uri(device.application_uri.as_str())
        .product_uri("urn:historian")
        .request_timeout(device.timeout)
        // The server holds a Publish request for up to a keep-alive interval; the watchdog decides about silence.
        .publish_timeout(device.watchdog * 4 + Duration::from_mins(1))
        .channel_lifetime(600_000)
        // The library's defaults (arrays of 1,000, 5 chunks) lose large notifications.
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_chunk_count(MESSAGE_BYTES_MAX / CHUNK_BYTES + 1)
        .max_array_length(1_000_000)
        .max_string_length(1 << 20)
        .max_byte_string_length(4 << 20)
        .into_config()
}

/// Asks the server for its endpoints over an unsecured channel, as the standard has it.
async fn discover(device: &Device, config: &ClientConfig, now: Timestamp) -> Result<Vec<EndpointDescription>, Fault> {
    let what = "discovery";
    let fail = |error: opcua::types::Error| Fault::library(what, &error);
    let store = CertificateStore::new(std::path::Path::new("/dev/null"));
    let channel = SessionBuilder::new(config)
        .connect_to_endpoint_directly(device.endpoint.as_str())
        .and_then(|builder| builder.build_channel(Arc::new(opcua::sync::RwLock::new(store))))
        .map_err(fail)?;
    let connector = TcpConnector::new(&device.endpoint).map_err(fail)?;
    let mut transport = channel.connect_no_retry(&connector).await.map_err(fail)?;
    let request = GetEndpointsRequest {
        request_header: RequestHeader::new(&NodeId::null(), &protocol_time(now), 1),
        endpoint_url: device.endpoint.as_str().into(),
        locale_ids: None,
        profile_uris: None,
    };
    let mut answer = pin!(channel.send(request, device.timeout));
    let answer = loop {
        tokio::select! {
            answer = &mut answer => break answer.map_err(fail)?,
            event = transport.poll() => if let TransportPollResult::Closed(status) = event {
                return Err(Fault::status(what, status, "the server closed the connection"));
            }
        }
    };
    match answer {
        ResponseMessage::GetEndpoints(answer) if answer.response_header.service_result.is_good() => {
            Ok(answer.endpoints.unwrap_or_default())
        }
        ResponseMessage::GetEndpoints(answer) => Err(Fault::status(what, answer.response_header.service_result, "")),
        ResponseMessage::ServiceFault(fault) => Err(Fault::status(what, fault.response_header.service_result, "")),
        _ => Err(Fault::new("discovery: the server answered something else")),
    }
}

/// The offered endpoint with the configured security and a way for the configured user to log on.
fn choose(device: &Device, offered: &[EndpointDescription]) -> Result<EndpointDescription, Fault> {
    let policy_of = |endpoint: &EndpointDescription| SecurityPolicy::from_uri(endpoint.security_policy_uri.as_ref());
    let secured: Vec<_> =
        offered.iter().filter(|endpoint| policy_of(endpoint) == device.policy && endpoint.security_mode == device.mode).collect();
    if secured.is_empty() {
        let offers: Vec<_> = offered.iter().map(|endpoint| format!("{} {}", policy_of(endpoint), endpoint.security_mode)).collect();
        return Err(Fault::new(format!(
            "the server has no endpoint with security {} {}; it offers: {}",
            device.policy,
            device.mode,
            offers.join(", ")
        )));
    }
    let wanted = if device.user.is_some() { UserTokenType::UserName } else { UserTokenType::Anonymous };
    for endpoint in secured {
        let known = |uri: &str| uri.is_empty() || SecurityPolicy::from_uri(uri) != SecurityPolicy::Unknown;
        let token = endpoint
            .user_identity_tokens
            .iter()
            .flatten()
            .find(|token| token.token_type == wanted && known(token.security_policy_uri.as_ref()));
        let Some(token) = token else { continue };
        let mut endpoint = endpoint.clone();
        // Only what was chosen: the library takes the first policy of the type and does not expect an unknown one.
        endpoint.user_identity_tokens = Some(vec![token.clone()]);
        // The way there is the configured one: behind a port mapping or in a container the server knows itself by other names.
        endpoint.endpoint_url = with_path_of(&device.endpoint, endpoint.endpoint_url.as_ref()).into();
        return Ok(endpoint);
    }
    Err(Fault::new(if device.user.is_some() {
        "the server's endpoint takes no user name and password; remove user and password_file, or let the server take them"
    } else {
        "the server's endpoint takes no anonymous user; set user and password_file"
    }))
}

/// Host and port of `configured` with the path that the server advertises.
fn with_path_of(configured: &str, advertised: &str) -> String {
    let split = |url: &str| {
        let rest = url.strip_prefix("opc.tcp://").unwrap_or(url);
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        (authority.to_owned(), path.to_owned())
    };
    format!("opc.tcp://{}{}", split(configured).0, split(advertised).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_host_and_port_win_over_the_advertised() {
        for (configured, advertised, expected) in [
            ("opc.tcp://10.0.0.5:14840", "opc.tcp://plc7:4840/freeopcua/server/", "opc.tcp://10.0.0.5:14840/freeopcua/server/"),
            ("opc.tcp://10.0.0.5:4840/x", "opc.tcp://plc7:4840", "opc.tcp://10.0.0.5:4840"),
            ("opc.tcp://[::1]:4840", "opc.tcp://0.0.0.0:4840/a", "opc.tcp://[::1]:4840/a"),
        ] {
            assert_eq!(with_path_of(configured, advertised), expected);
        }
    }
}
