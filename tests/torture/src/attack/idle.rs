//! Connections that are held and not used, and those that begin something and do not go on.

use std::{net::SocketAddr, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    honest::ATTACKER,
    wire::{HEADERS, PREFACE, Wire, begun, call, fields, frame, greeting},
};

/// As many files as this process may open, from now on; a client needs one for each of its connections, too.
///
/// # Errors
/// The system does not permit what it says is permitted.
pub fn files() -> anyhow::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(1 << 20))
}

/// Opens connections until there are so many, each of which asks something once: those that never have give way to others. Ends before where
/// one is not served in time.
///
/// # Errors
/// Nobody takes one.
pub async fn hold(address: SocketAddr, count: usize, served_within: Duration, held: &mut Vec<Wire>) -> std::io::Result<()> {
    while held.len() < count {
        let mut wire = Wire::open(address, ATTACKER, &[greeting(&[]), call(1)].concat()).await?;
        if !wire.is_answered(1, served_within).await {
            break;
        }
        held.push(wire);
    }
    Ok(())
}

/// What a client may begin and not go on with: what it does, at which address, and what it says there.
pub fn beginnings(grpc: SocketAddr, http: SocketAddr) -> Vec<(&'static str, SocketAddr, Vec<u8>)> {
    let settled = greeting(&[]);
    let headers = begun(1);
    vec![
        ("says nothing", grpc, Vec::new()),
        ("sends half a preface", grpc, PREFACE[..12].to_vec()),
        ("sends no settings", grpc, PREFACE.to_vec()),
        ("asks nothing", grpc, settled.clone()),
        ("sends a part of a frame", grpc, [&settled[..], &headers[..30]].concat()),
        ("sends headers without an end", grpc, [&settled[..], &frame(HEADERS, 0, 1, &fields())].concat()),
        ("says nothing over HTTP", http, Vec::new()),
        ("sends half a head", http, b"GET /livez HTTP/1.1\r\nHos".to_vec()),
    ]
}
