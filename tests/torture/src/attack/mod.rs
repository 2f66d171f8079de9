//! What one client, or some, can send so that nothing is left for the others: calls that are permitted, by the hundred, and messages that are
//! larger than they look. How they end is held against what was promised: refused by name, and in time.

pub mod aside;
pub mod call;
pub mod flood;
pub mod idle;
mod kind;
pub mod malformed;
mod message;
mod outcome;
pub mod silent;
pub mod turn;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio_util::sync::CancellationToken;

use self::{aside::aside, call::Caller, outcome::Call};
pub use self::{
    kind::{KINDS, Kind, Material},
    message::Messages,
    outcome::Outcomes,
};

/// An attacker has several addresses: what is bounded for one client must be bounded for all of them together.
const SOURCES: [IpAddr; 4] = [source(11), source(12), source(13), source(14)];

const fn source(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// Makes all calls at once, a connection from each address, until all have ended or `stop`. It has a thread of its own, so that honest
/// clients of this process are slow only where the server is.
///
/// # Errors
/// There is no thread for it.
pub async fn strike(server: SocketAddr, calls: Vec<Call>, stop: CancellationToken) -> anyhow::Result<Outcomes> {
    aside(move || async move {
        let callers = SOURCES.map(|source| Caller::new(server, source));
        Outcomes::of(calls, &callers, &stop).await
    })
    .await
}
