//! Listeners: addresses that are taken before anybody is answered on them, and those of zones.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use historian_api::NetworkZone;
use tokio::net::{TcpListener, TcpSocket};

use super::config::ZoneSettings;

/// Connections that the system takes before we do.
pub const CONNECTIONS_WAITING_MAX: u32 = 1024;

/// Takes an address without listening on it.
pub fn reserve(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As every listener does: connections of the process before may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// An address of a zone that nobody else has any more, and that nobody is answered on yet.
pub type ReservedZone = (TcpSocket, Arc<NetworkZone>);

/// Takes the addresses of gRPC.
///
/// # Errors
/// One cannot be taken.
pub fn reserved(zones: &[ZoneSettings]) -> anyhow::Result<Vec<ReservedZone>> {
    let listening = zones.iter().filter_map(|zone| Some((zone.listen?, zone.zone.clone())));
    listening
        .map(|(address, zone)| {
            let socket = reserve(address).with_context(|| format!("zone {} cannot listen on {address}", zone.name))?;
            Ok((socket, zone))
        })
        .collect()
}

/// Listens on them.
///
/// # Errors
/// One cannot be listened on.
pub fn of_zones(reserved: Vec<ReservedZone>) -> anyhow::Result<Vec<(TcpListener, Arc<NetworkZone>)>> {
    let listening = reserved.into_iter().map(|(socket, zone)| {
        let listener = socket.listen(CONNECTIONS_WAITING_MAX).with_context(|| format!("zone {} cannot listen", zone.name))?;
        tracing::info!(zone = zone.name, listen = %listener.local_addr()?, "serving a zone");
        Ok((listener, zone))
    });
    listening.collect()
}

/// Listens on the addresses of HTTP.
///
/// # Errors
/// One cannot be listened on.
pub async fn http_of_zones(zones: &[ZoneSettings]) -> anyhow::Result<Vec<(TcpListener, Arc<NetworkZone>)>> {
    let mut listeners = Vec::new();
    for settings in zones {
        let Some(address) = settings.http else { continue };
        let zone = settings.zone.clone();
        let listener = TcpListener::bind(address).await.with_context(|| format!("zone {} cannot listen on {address}", zone.name))?;
        tracing::info!(zone = zone.name, http = %listener.local_addr()?, "serving a zone over HTTP");
        listeners.push((listener, zone));
    }
    Ok(listeners)
}
