//! Reading values by the Read service: what a server has and allows, and values asked for once.

use std::time::Duration;

use opcua::{
    client::Session,
    types::{AttributeId, DataValue, NodeId, ReadValueId, StatusCode, TimestampsToReturn, VariableId, Variant},
};

use super::{
    convert::nanoseconds,
    fault::{ConnectionFault, within},
};

/// Operations asked for in one request, where the server allows more or says nothing.
const OPERATIONS_MAX: usize = 1000;

/// Status of a value that could not be decoded.
pub const BROKEN: StatusCode = StatusCode::BadDecodingError;

/// What must be known of a server before anything is asked of it. Read anew in every session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Namespace URIs by index.
    pub namespaces: Vec<String>,
    pub nodes_per_read: usize,
    pub items_per_call: usize,
    pub items_per_subscription: usize,
    /// When this run of the server began; absent where it does not say.
    pub started: Option<i64>,
}

/// Reads namespaces and limits. A limit that is 0 or not there means none, and our own bound holds.
///
/// # Errors
/// When the server does not answer, or has no namespaces.
pub async fn facts(session: &Session, timeout: Duration) -> Result<Facts, ConnectionFault> {
    let namespaces = namespaces(session, timeout).await?;
    let limits = [
        VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
        VariableId::Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
        VariableId::Server_ServerCapabilities_MaxMonitoredItemsPerSubscription,
    ];
    let nodes: Vec<NodeId> = limits.into_iter().map(NodeId::from).collect();
    // One by one: MaxNodesPerRead may be 1.
    let mut found = [OPERATIONS_MAX, OPERATIONS_MAX, usize::MAX];
    for (limit, node) in found.iter_mut().zip(&nodes) {
        let values = values(session, std::slice::from_ref(node), 1, timeout).await?;
        let said = match values.first().and_then(|value| value.value.as_ref()) {
            Some(Variant::UInt32(said)) => *said as usize,
            Some(Variant::UInt16(said)) => usize::from(*said),
            _ => 0,
        };
        if said > 0 {
            *limit = (*limit).min(said);
        }
    }
    let [nodes_per_read, items_per_call, items_per_subscription] = found;
    let start = NodeId::from(VariableId::Server_ServerStatus_StartTime);
    let started = match values(session, &[start], 1, timeout).await?.into_iter().next().and_then(|value| value.value) {
        Some(Variant::DateTime(time)) => nanoseconds(&time, None),
        _ => None,
    };
    Ok(Facts { namespaces, nodes_per_read, items_per_call, items_per_subscription, started })
}

/// Reads the namespace URIs by index.
///
/// # Errors
/// When the server does not answer, or has none.
pub async fn namespaces(session: &Session, timeout: Duration) -> Result<Vec<String>, ConnectionFault> {
    let node = NodeId::from(VariableId::Server_NamespaceArray);
    let values = values(session, &[node], 1, timeout).await?;
    match values.into_iter().next().and_then(|value| value.value) {
        Some(Variant::Array(array)) => Ok(array
            .values
            .into_iter()
            .map(|value| match value {
                Variant::String(uri) => uri.as_ref().to_owned(),
                _ => String::new(),
            })
            .collect()),
        _ => Err(ConnectionFault::new("the server has no NamespaceArray (i=2255); without it no address can be resolved")),
    }
}

/// Reads the values of nodes, in requests of at most `per_read`, which shrink where an answer is too large or cannot be decoded, down to
/// the one node that is to blame: that has a Bad value then, and the others have theirs. The answer has one value per node, in order.
///
/// # Errors
/// When the server does not answer a request, or refuses it as a whole.
pub async fn values(session: &Session, nodes: &[NodeId], per_read: usize, timeout: Duration) -> Result<Vec<DataValue>, ConnectionFault> {
    let what = "Read";
    let mut read = Vec::with_capacity(nodes.len());
    let mut per_read = per_read.clamp(1, OPERATIONS_MAX);
    while read.len() < nodes.len() {
        let asked = &nodes[read.len()..nodes.len().min(read.len() + per_read)];
        let request: Vec<ReadValueId> = asked
            .iter()
            .map(|node| ReadValueId { node_id: node.clone(), attribute_id: AttributeId::Value as u32, ..ReadValueId::default() })
            .collect();
        match within(timeout, what, session.read(&request, TimestampsToReturn::Both, 0.0)).await? {
            Ok(values) if values.len() == asked.len() => read.extend(values),
            // It ends with a value that cannot be decoded; the rest is asked for again.
            Ok(values) if values.len() < asked.len() && values.last().is_some_and(|last| last.status == Some(BROKEN)) => {
                read.extend(values);
            }
            Ok(values) => return Err(ConnectionFault::new(format!("Read: {} values came for {} nodes", values.len(), asked.len()))),
            Err(error) if divides(error.status()) && asked.len() > 1 => per_read = asked.len().div_ceil(2),
            Err(error) if divides(error.status()) => {
                read.push(DataValue { value: None, status: Some(error.status()), ..DataValue::null() });
            }
            Err(error) => return Err(ConnectionFault::status(what, error.status(), "")),
        }
    }
    Ok(read)
}

/// True when the answer for fewer nodes may be whole.
fn divides(status: StatusCode) -> bool {
    too_large(status) || status == BROKEN
}

/// True when a smaller request may succeed.
pub fn too_large(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadTooManyOperations
            | StatusCode::BadRequestTooLarge
            | StatusCode::BadResponseTooLarge
            | StatusCode::BadEncodingLimitsExceeded
            | StatusCode::BadTcpMessageTooLarge
    )
}
