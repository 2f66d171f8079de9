//! What a server has to collect, for `historian browse`: the variables below Objects ([`walk`]), each with what the server says of it
//! ([`describe`]) in terms of its type ([`data_type`]). What the globs of a device find is [`scan()`].

mod data_type;
mod describe;
mod scan;
mod walk;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use opcua::client::Session;

use super::{
    address::NodeAddress,
    connection::{CLOSE_MAX, OpcUaConnection},
    device::OpcUaSettings,
    fault::ConnectionFault,
    path_filter::PathFilter,
    publish::Publisher,
    read,
};
use historian_collector::{BrowseAnswer, BrowseRequest};
use historian_model::{Clock, SystemClock};

pub(super) use data_type::known_types;
pub(super) use scan::{GlobScan, ScannedVariable, browse_names, scan};
pub(super) use walk::AddressSpace;

/// Addresses read to name one for an unknown node.
const ADDRESSES_MAX: usize = 20_000;

/// Connects and lists.
///
/// # Errors
/// Why the server cannot be read, or what is wrong with the glob.
pub(super) async fn run(device: &OpcUaSettings, request: &BrowseRequest) -> Result<BrowseAnswer, String> {
    let filter = PathFilter::parse(&request.paths)?;
    let until = Instant::now() + request.timeout;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut connection = open(device, &clock).await?;
    let session = connection.session();
    let publisher = Publisher::default();
    let work = list(&session, device, &filter, request.variables_max, until);
    let ended = Box::pin(connection.drive(&publisher, |_| (), work)).await.and_then(|ended| ended);
    connection.close(&publisher, CLOSE_MAX).await;
    ended.map_err(|fault| fault.message)
}

/// Of a set of redundant servers, whose address spaces are the same, the first that answers.
async fn open(device: &OpcUaSettings, clock: &Arc<dyn Clock>) -> Result<OpcUaConnection, String> {
    let mut refused = Vec::new();
    for member in 0..device.servers() {
        let endpoint = device.endpoint_of(member);
        match OpcUaConnection::open(device, endpoint, 0, clock).await {
            Ok(connection) => return Ok(connection),
            Err(fault) => refused.push(if device.is_redundant() { format!("{endpoint}: {fault}") } else { fault.message }),
        }
    }
    Err(refused.join("; "))
}

async fn list(
    session: &Session,
    device: &OpcUaSettings,
    filter: &PathFilter,
    variables_max: usize,
    until: Instant,
) -> Result<BrowseAnswer, ConnectionFault> {
    let facts = read::facts(session, device.timeout).await?;
    let mut space = AddressSpace::new(session, device.timeout, &facts).await?;
    let mut found = space.walk(filter, variables_max, until).await?;
    let variables = describe::variables(&mut space, &found.variables).await?;
    if variables.is_empty() && found.notes.is_empty() {
        found.notes.push("the server has no variable at such a path".to_owned());
    }
    Ok(BrowseAnswer { variables, notes: found.notes })
}

/// Addresses of variables of the server, as far as they are found within `limit`.
pub(super) async fn addresses(session: &Session, timeout: Duration, limit: Duration) -> Result<Vec<String>, ConnectionFault> {
    let until = Instant::now() + limit;
    let facts = read::facts(session, timeout).await?;
    let mut space = AddressSpace::new(session, timeout, &facts).await?;
    let found = space.walk(&PathFilter::all(), ADDRESSES_MAX, until).await?;
    let address = |node: &opcua::types::NodeId| NodeAddress::of(node, &facts.namespaces).map(|address| address.to_string());
    Ok(found.variables.iter().filter_map(|variable| address(&variable.node)).collect())
}
