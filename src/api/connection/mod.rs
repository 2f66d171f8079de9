//! Connections of both ports: how many are taken and of whom ([`gate`]), how long each may keep us waiting ([`watch`]), and what a client may
//! send that serves nothing ([`http2`]).
//!
//! All of it stands below HTTP, so that TLS can be put between. What the HTTP/2 library does for a connection it does as before; it is told
//! nothing and asked nothing. Its frames are followed on their way in both directions, which tells whether a request is open and whether its
//! client takes the answer.

mod accept;
mod allowance;
mod frame;
pub mod fuzz;
mod gate;
mod http2;
mod reason;
mod request;
mod watch;

pub use self::{
    accept::ConnectionAcceptor,
    gate::{ConnectionGate, Port, network},
    http2::PENDING_RESETS_MAX,
    request::timed_requests,
    watch::{ConnectionTimes, WatchedConnection},
};
