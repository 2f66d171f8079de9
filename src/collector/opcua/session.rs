//! A session and the channel under it: opened, taken up again on a new channel after a loss, kept alive, closed.
//!
//! The client library has a loop of its own for this, which is not used. Its re-activation after a reconnect signs with the nonce of the new
//! channel instead of the session's, which a server refuses under any security; it keeps the session's granted timeout to itself, and its
//! keep-alive has one fixed period. What is used of the library's `Session` is the channel and the headers of requests.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use opcua::{
    client::{
        ClientConfig, IdentityToken, Session, SessionBuilder, UARequest,
        services::{ActivateSession, CloseSession, CreateSession},
        transport::{Connector, RequestRecv, SecureChannelEventLoop, SecureChannelState, TransportConfiguration, TransportPollResult},
    },
    core::config::Config,
    types::{AttributeId, ByteString, EndpointDescription, Error, NodeId, ReadValueId, StatusCode, TimestampsToReturn, VariableId},
};
use parking_lot::Mutex;

use super::{
    fault::{ConnectionFault, End, within},
    pki::SharedStore,
    wire::{ReplacedValues, WireConnector},
};

/// Connects the transport under a channel.
pub type Carrier = WireConnector;
/// Moves a channel while it is polled.
pub type Transport = SecureChannelEventLoop<<Carrier as Connector>::Transport>;

/// Number of a session in the log lines of the library.
const LOG_NUMBER: u32 = 0;
/// What is asked for; the server may grant another.
const SESSION_TIMEOUT_MS: f64 = 60_000.0;
const KEEP_ALIVE_MIN: Duration = Duration::from_millis(250);
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(10);

/// A session in the server, with all that is needed to take it up on another channel.
pub struct Logon {
    pub session: Arc<Session>,
    /// How long the server keeps the session without a request.
    pub timeout: Duration,
    /// Bound of each step.
    limit: Duration,
    connector: Remembering,
    store: SharedStore,
    endpoint: EndpointDescription,
    identity: IdentityToken,
    token: NodeId,
    /// The server's last nonce of the session; the next activation signs it.
    nonce: ByteString,
}

/// Why a session was not taken up again.
pub enum Refusal {
    /// The server did not answer; the session may still be there.
    Unreachable(ConnectionFault),
    /// The server does not have it any more, or does not let us in.
    Refused(ConnectionFault),
}

impl Logon {
    /// Opens a channel and a new session on it.
    ///
    /// # Errors
    /// Why the server did not let us in.
    pub async fn open(
        config: &ClientConfig,
        name: &str,
        carrier: Carrier,
        endpoint: EndpointDescription,
        identity: IdentityToken,
        store: SharedStore,
        limit: Duration,
    ) -> Result<(Logon, Transport), ConnectionFault> {
        let what = "opening a session";
        let fail = |error: Error| ConnectionFault::library(what, &error);
        let (session, _) = SessionBuilder::new(config)
            .connect_to_endpoint_directly(endpoint.clone())
            .and_then(|builder| builder.user_identity_token(identity.clone()).build(store.clone()))
            .map_err(|error| ConnectionFault::library("endpoint", &error))?;
        let connector = Remembering { inner: carrier, state: Mutex::default() };
        let mut logon = Logon {
            session,
            timeout: Duration::ZERO,
            limit,
            connector,
            store,
            endpoint,
            identity,
            token: NodeId::null(),
            nonce: ByteString::null(),
        };
        let mut transport = within(limit, what, logon.session.channel().connect_no_retry(&logon.connector)).await?.map_err(fail)?;
        let opening = async {
            let created = drive(&mut transport, Box::pin(logon.create(config, name))).await?.map_err(fail)?;
            logon.timeout = granted(created.revised_session_timeout);
            logon.token = created.authentication_token;
            logon.activate(&mut transport).await?.map_err(fail)
        };
        if let Err(refused) = within(limit, what, opening).await? {
            // A session that is made and not let in stays in the server until its timeout, and takes the place of one that is.
            if !logon.token.is_null() {
                let _ = within(limit, what, drive(&mut transport, Box::pin(logon.close()))).await;
            }
            return Err(refused);
        }
        Ok((logon, transport))
    }

    pub fn findings(&self) -> Arc<ReplacedValues> {
        self.connector.inner.findings.clone()
    }

    /// Activates the session on a new channel; each of the two steps takes at most `limit`.
    ///
    /// # Errors
    /// Whether it makes sense to try again.
    pub async fn take_up(&mut self, limit: Duration) -> Result<Transport, Refusal> {
        let limit = limit.min(self.limit);
        let what = "taking up the session";
        let channel = self.session.channel();
        let connecting = within(limit, what, channel.connect_no_retry(&self.connector)).await.map_err(Refusal::Unreachable)?;
        let mut transport = connecting.map_err(|error| {
            let fault = ConnectionFault::library(what, &error);
            if unreachable(error.status()) { Refusal::Unreachable(fault) } else { Refusal::Refused(fault) }
        })?;
        // The new channel has put its own nonce in the place of the session's.
        self.connector.set_nonce(&self.nonce);
        let activated = within(limit, what, self.activate(&mut transport)).await.and_then(|driven| driven).map_err(Refusal::Unreachable)?;
        activated.map_err(|error| refusal(what, &error))?;
        Ok(transport)
    }

    fn create<'a>(
        &'a self,
        config: &ClientConfig,
        name: &str,
    ) -> impl Future<Output = Result<opcua::types::CreateSessionResponse, Error>> + use<'a> {
        let channel = self.session.channel();
        CreateSession::new_manual(&self.store, &self.endpoint, LOG_NUMBER, self.limit, NodeId::null(), channel.request_handle())
            .client_description(config.application_description())
            .endpoint_url(self.endpoint.endpoint_url.clone())
            .session_name(name)
            .client_cert_from_store(&self.store)
            .session_timeout(SESSION_TIMEOUT_MS)
            .send(channel)
    }

    async fn activate(&mut self, transport: &mut Transport) -> Result<Result<(), Error>, ConnectionFault> {
        let key = self.store.read().read_own_pkey().ok();
        let channel = self.session.channel();
        let mut request =
            ActivateSession::new_manual(self.endpoint.clone(), LOG_NUMBER, self.limit, self.token.clone(), channel.request_handle())
                .identity_token(self.identity.clone());
        if let Some(key) = key {
            request = request.private_key(key);
        }
        Ok(drive(transport, Box::pin(request.send(channel))).await?.map(|answer| self.nonce = answer.server_nonce))
    }

    /// Reads so often that the server does not take the session for abandoned. Ends when the server does not know it any more.
    pub async fn keep_alive(&self) -> ConnectionFault {
        let period = (self.timeout / 4).clamp(KEEP_ALIVE_MIN, KEEP_ALIVE_MAX);
        let state = ReadValueId {
            node_id: VariableId::Server_ServerStatus_State.into(),
            attribute_id: AttributeId::Value as u32,
            ..ReadValueId::default()
        };
        loop {
            tokio::time::sleep(period).await;
            // Silence is judged by the watchdog.
            if let Err(error) = self.session.read(std::slice::from_ref(&state), TimestampsToReturn::Neither, 0.0).await
                && gone(error.status())
            {
                return ConnectionFault { end: End::Session, ..ConnectionFault::status("the session is lost", error.status(), "") };
            }
        }
    }

    /// Ends the session in the server, with its subscriptions. To be driven with the transport.
    pub async fn close(&self) {
        let channel = self.session.channel();
        let request = CloseSession::new_manual(LOG_NUMBER, self.limit, self.token.clone(), channel.request_handle());
        // A server that does not answer forgets the session after its timeout.
        let _ = request.delete_subscriptions(true).send(channel).await;
        channel.close_channel().await;
    }
}

/// Statuses that say that the server has no such session (any more).
pub fn gone(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadSessionIdInvalid
            | StatusCode::BadSessionClosed
            | StatusCode::BadSessionNotActivated
            | StatusCode::BadSecureChannelIdInvalid
            | StatusCode::BadSecureChannelClosed
    )
}

/// Why a session was not activated. Where the token is not to be had, the server was not asked: another program may be writing the file.
fn refusal(what: &str, error: &Error) -> Refusal {
    let fault = ConnectionFault::library(what, error);
    if error.status() == StatusCode::BadConfigurationError { Refusal::Unreachable(fault) } else { Refusal::Refused(fault) }
}

/// Statuses that say nothing about the session.
fn unreachable(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadCommunicationError
            | StatusCode::BadConnectionClosed
            | StatusCode::BadConnectionRejected
            | StatusCode::BadNotConnected
            | StatusCode::BadServerNotConnected
            | StatusCode::BadTimeout
            | StatusCode::BadTcpServerTooBusy
            | StatusCode::BadTcpNotEnoughResources
            | StatusCode::BadTcpEndpointUrlInvalid
    )
}

fn granted(milliseconds: f64) -> Duration {
    Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default().max(Duration::from_secs(1))
}

/// Polls the transport beside `work` until that ends.
///
/// # Errors
/// The loss of the connection.
pub async fn drive<T>(transport: &mut Transport, work: impl Future<Output = T>) -> Result<T, ConnectionFault> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            event = transport.poll() => if let TransportPollResult::Closed(status) = event {
                return Err(ConnectionFault { end: End::Lost(status), ..ConnectionFault::status("the connection is lost", status, "") });
            },
        }
    }
}

/// A connector that remembers the state of the channel that it connected.
struct Remembering {
    inner: Carrier,
    state: Mutex<Option<Arc<SecureChannelState>>>,
}

impl Remembering {
    fn set_nonce(&self, nonce: &ByteString) {
        if let (Some(state), Some(nonce)) = (&*self.state.lock(), &nonce.value) {
            opcua::core::trace_write_lock!(state.secure_channel()).set_remote_nonce(nonce);
        }
    }
}

impl Connector for Remembering {
    type Transport = <Carrier as Connector>::Transport;

    async fn connect(
        &self,
        channel: Arc<SecureChannelState>,
        outgoing: RequestRecv,
        config: TransportConfiguration,
    ) -> Result<Self::Transport, Error> {
        *self.state.lock() = Some(channel.clone());
        self.inner.connect(channel, outgoing, config).await
    }

    fn default_endpoint(&self) -> EndpointDescription {
        self.inner.default_endpoint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_missing_for_a_moment_does_not_cost_the_session() {
        let refused = |status| matches!(refusal("x", &Error::new(status, "why")), Refusal::Refused(_));
        assert!(!refused(StatusCode::BadConfigurationError));
        assert!(refused(StatusCode::BadIdentityTokenRejected) && refused(StatusCode::BadSessionIdInvalid));
    }
}
