//! The devices: whether somebody answers at their addresses, and what `historian check` would say of their tags.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use historian_collector::Collector;
use tokio::net::TcpStream;

use super::diagnosis::Diagnosis;

/// Devices that are asked at once.
const AT_ONCE: usize = 32;
const CHECK: &str = "device";

pub async fn look(collectors: &[Arc<dyn Collector>], timeout: Duration) -> Vec<Diagnosis> {
    stream::iter(collectors.iter().cloned()).map(|collector| one(collector, timeout)).buffered(AT_ONCE).collect().await
}

async fn one(collector: Arc<dyn Collector>, timeout: Duration) -> Diagnosis {
    let name = format!("{} {} at {}", collector.protocol(), collector.device(), collector.endpoint());
    if collector.exclusive_port().is_none()
        && let Some(trouble) = unreachable(&name, collector.endpoint(), timeout).await
        && all_unreachable(&name, collector.redundant_endpoints(), timeout).await
    {
        return trouble;
    }
    let Ok(rows) = tokio::time::timeout(timeout * 2, collector.check(timeout)).await else {
        let told = format!("{name} takes connections, and did not answer within {} s", timeout.as_secs());
        return Diagnosis::fail(CHECK, told, "is it the right protocol, and are there places left for connections?");
    };
    let bad: Vec<_> = rows.iter().filter(|row| !row.is_good()).collect();
    let told = format!("{name}: {} of {} tags good", rows.len() - bad.len(), rows.len());
    match bad.first() {
        None => match rows.iter().find(|row| row.readings.is_doubtful()) {
            None => Diagnosis::ok(CHECK, told),
            Some(row) => Diagnosis::warn(
                CHECK,
                format!("{told}; {} is in doubt: {}", row.tag, row.readings.told()),
                "`historian check` shows every reading, and what to set",
            ),
        },
        Some(first) => {
            let reason = if first.error.is_empty() { first.quality.to_string() } else { first.error.clone() };
            let told = format!("{told}; {}: {reason}", first.tag);
            let remedy = "`historian check --bad` shows each of them";
            if bad.len() == rows.len() { Diagnosis::fail(CHECK, told, remedy) } else { Diagnosis::warn(CHECK, told, remedy) }
        }
    }
}

/// Whether none of the further endpoints can be connected to; the check tells of each.
async fn all_unreachable(name: &str, endpoints: &[String], timeout: Duration) -> bool {
    for endpoint in endpoints {
        if unreachable(name, endpoint, timeout).await.is_none() {
            return false;
        }
    }
    true
}

/// Why no connection can be made over the network, if so.
async fn unreachable(name: &str, endpoint: &str, timeout: Duration) -> Option<Diagnosis> {
    let Some(address) = host_and_port(endpoint) else {
        return Some(Diagnosis::fail(CHECK, format!("{name}: no host and port"), "mend the endpoint"));
    };
    match tokio::time::timeout(timeout, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(Diagnosis::fail(
            CHECK,
            format!("{name} cannot be connected to: {error}"),
            "is it on, is the address right, does a firewall stand between?",
        )),
        Err(_) => {
            let told = format!("{name} did not answer within {} s", timeout.as_secs());
            Some(Diagnosis::fail(CHECK, told, "a firewall that drops, another network, or the device is off"))
        }
    }
}

/// `host:port` of an endpoint, which may be a URL.
fn host_and_port(endpoint: &str) -> Option<String> {
    let behind = endpoint.split_once("://").map_or(endpoint, |(_, behind)| behind);
    let authority = behind.split('/').next()?;
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let (_, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok().map(|_| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_an_endpoint_is_found_in_every_form() {
        for (endpoint, address) in [
            ("10.0.0.7:502", Some("10.0.0.7:502")),
            ("opc.tcp://plc.plant:4840/server/x", Some("plc.plant:4840")),
            ("opc.tcp://[fd00::1]:4840", Some("[fd00::1]:4840")),
            ("plc", None),
            ("plc:x", None),
        ] {
            assert_eq!(host_and_port(endpoint).as_deref(), address, "{endpoint}");
        }
    }
}
