//! Connections of both ports: how many are taken and of whom ([`gate`]), how long each may keep us waiting ([`watch`]), and what a client may
//! send that serves nothing ([`http2`]).
//!
//! All of it stands below HTTP and above TLS ([`secure`]), which is made between the place that a connection gets and its first request. What the HTTP/2 library does for a connection it does as before; it is told
//! nothing and asked nothing. Its frames are followed on their way in both directions, which tells whether a request is open and whether its
//! client takes the answer.

mod accept;
mod allowance;
mod frame;
pub mod fuzz;
mod gate;
mod http2;
mod leave;
mod reason;
mod request;
mod secure;
mod stream;
mod watch;

pub use self::{
    accept::{ConnectionAcceptor, PortListener},
    allowance::Allowance,
    gate::{ConnectionGate, Port, RareLog, network},
    http2::PENDING_RESETS_MAX,
    request::timed_requests,
    stream::{NO_ADDRESS, NetworkZone, Peer, PortStream},
    watch::{ConnectionTimes, WatchedConnection},
};
