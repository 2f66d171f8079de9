//! `Handshake`: clients that were given a user, a password or a token begin with it. This version has no authentication: every handshake ends
//! well, whatever was said in it, and the log tells once that nothing is checked.

use std::sync::Once;

use arrow_flight::{HandshakeRequest, HandshakeResponse};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    Status, Streaming,
    metadata::{MetadataMap, MetadataValue},
};

/// What clients get in the place of a token, and send with their later calls: it says what it is worth.
const TOKEN: &str = "no-authentication";
/// Messages of one handshake that are answered; two are the most that a known client sends.
const MESSAGES_MAX: usize = 16;
const AUTHORIZATION: &str = "authorization";

/// Tells the operator, once for the run of the process, that credentials are sent to a historian that checks none.
pub fn told() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            "a client begins with a handshake, as clients do that were given a user, a password or a token: this version has no \
             authentication and checks none of them; whoever reaches the port may read and write"
        );
    });
}

/// Header of the answer: clients with user and password take a token from it.
pub fn token(headers: &MetadataMap) -> Option<(&'static str, MetadataValue<tonic::metadata::Ascii>)> {
    let basic = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic ")));
    basic.then(|| (AUTHORIZATION, MetadataValue::from_static("Bearer no-authentication")))
}

/// One answer for each message. The older form of a handshake has the credentials in a message and takes a token from the answer; the newer
/// one has them in a header, and an empty message.
pub fn answers(messages: Streaming<HandshakeRequest>) -> impl Stream<Item = Result<HandshakeResponse, Status>> {
    messages.take(MESSAGES_MAX).map(|message| {
        message.map(|HandshakeRequest { protocol_version, payload }| HandshakeResponse {
            protocol_version,
            payload: if payload.is_empty() { payload } else { TOKEN.into() },
        })
    })
}
