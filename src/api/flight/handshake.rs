//! `Handshake`: clients that were given a user and a password begin with it. The password is a token, which the answer gives back for the calls that
//! follow. A historian that asks for no tokens lets every handshake end well, whatever was said in it, and the log tells once that nothing is
//! checked.

use std::{net::IpAddr, sync::Once};

use arrow_flight::{BasicAuth, HandshakeRequest, HandshakeResponse};
use historian_access::Principal;
use prost::Message as _;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    Code, Status, Streaming,
    metadata::{Ascii, MetadataMap, MetadataValue},
};

use crate::{Services, access::token, connection::Peer, status};

/// What clients get in the place of a token where none is asked for, and send with their later calls: it says what it is worth.
const NO_TOKEN: &str = "no-authentication";
/// Messages of one handshake that are answered; two are the most that a known client sends.
const MESSAGES_MAX: usize = 16;
const AUTHORIZATION: &str = "authorization";

/// Tells the operator, once for the run of the process, that credentials are sent to a historian that checks none.
fn tell_that_nothing_is_checked() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            "a client begins with a handshake, as clients do that were given a user, a password or a token: this historian asks for no tokens \
             and checks none of them; whoever reaches the port may read and write"
        );
    });
}

/// Header of the answer: clients with user and password take a token from it.
///
/// # Errors
/// `UNAUTHENTICATED` for credentials in the header that are not valid.
pub async fn header(
    services: &Services,
    headers: &MetadataMap,
    peer: Option<&Peer>,
) -> Result<Option<(&'static str, MetadataValue<Ascii>)>, Status> {
    let headers = headers.clone().into_headers();
    let Some(credentials) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let secret = if services.access.is_closed() {
        services.access.principal(&headers, peer, &*services.clock).await?;
        token(&headers)
    } else {
        tell_that_nothing_is_checked();
        let is_basic = credentials.to_str().is_ok_and(|value| value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic ")));
        is_basic.then(|| NO_TOKEN.to_owned())
    };
    let value = secret.and_then(|secret| MetadataValue::try_from(format!("Bearer {secret}")).ok());
    Ok(value.map(|value| (AUTHORIZATION, value)))
}

/// One answer for each message. The older form of a handshake has the credentials in a message and takes a token from the answer; the newer
/// one has them in a header, and an empty message.
pub fn answers(
    services: Services,
    address: Option<IpAddr>,
    messages: Streaming<HandshakeRequest>,
) -> impl Stream<Item = Result<HandshakeResponse, Status>> {
    messages.take(MESSAGES_MAX).then(move |message| {
        let services = services.clone();
        async move {
            let answered = match message {
                Ok(message) => answer(&services, message).await,
                Err(broken) => Err(broken),
            };
            if let Err(refused) = &answered
                && refused.code() == Code::Unauthenticated
            {
                services.audit.denied(&Principal::nobody(), address, "a handshake of Flight", refused).await;
            }
            answered
        }
    })
}

async fn answer(services: &Services, message: HandshakeRequest) -> Result<HandshakeResponse, Status> {
    let HandshakeRequest { protocol_version, payload } = message;
    if payload.is_empty() {
        return Ok(HandshakeResponse { protocol_version, payload });
    }
    if !services.access.is_closed() {
        tell_that_nothing_is_checked();
        return Ok(HandshakeResponse { protocol_version, payload: NO_TOKEN.into() });
    }
    // User and password; or the token by itself.
    let password = BasicAuth::decode(payload.clone()).ok().map(|auth| auth.password).filter(|password| !password.is_empty());
    let secret = password.or_else(|| String::from_utf8(payload.to_vec()).ok()).unwrap_or_default();
    services.access.by_secret(&secret, &*services.clock).await.map_err(|refused| match refused.code() {
        Code::Unauthenticated => status::unauthenticated("the password is no valid token: unknown, expired or revoked"),
        _ => refused,
    })?;
    Ok(HandshakeResponse { protocol_version, payload: secret.into() })
}
