//! Reading values by the Read service: what a server has and allows, and values asked for once.

use std::time::Duration;

use opcua::{
    client::Session,
    types::{AttributeId, DataValue, NodeId, ReadValueId, StatusCode, TimestampsToReturn, VariableId, Variant},
};

use super::{
    convert::nanoseconds,
    fault::{ConnectionFault, within},
    redundancy::level::NO_DATA,
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

impl Facts {
    /// Whether a run of the server that began then is that of these facts. Where a server does not say when it began, nobody can know.
    pub fn is_same_run(&self, started: Option<i64>) -> bool {
        started.is_some() && self.started == started
    }
}

/// When this run of the server began; absent where it does not say.
pub async fn started(session: &Session, timeout: Duration) -> Result<Option<i64>, ConnectionFault> {
    time(session, VariableId::Server_ServerStatus_StartTime, timeout).await
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
    // One by one: MaxNodesPerRead may be 1.
    let mut found = [OPERATIONS_MAX, OPERATIONS_MAX, usize::MAX];
    for (most, limit) in found.iter_mut().zip(limits) {
        *most = operation_limit(session, limit, *most, timeout).await?;
    }
    let [nodes_per_read, items_per_call, items_per_subscription] = found;
    let started = started(session, timeout).await?;
    Ok(Facts { namespaces, nodes_per_read, items_per_call, items_per_subscription, started })
}

/// A limit of the server, at most `most`. One that is 0 or not there means none.
pub async fn operation_limit(session: &Session, limit: VariableId, most: usize, timeout: Duration) -> Result<usize, ConnectionFault> {
    let said = match one(session, limit, timeout).await? {
        Some(Variant::UInt32(said)) => said as usize,
        Some(Variant::UInt16(said)) => usize::from(said),
        _ => 0,
    };
    Ok(if said > 0 { most.min(said) } else { most })
}

/// A time that the server tells of itself, in ns since 1970.
pub async fn time(session: &Session, node: VariableId, timeout: Duration) -> Result<Option<i64>, ConnectionFault> {
    Ok(match one(session, node, timeout).await? {
        Some(Variant::DateTime(time)) => nanoseconds(&time, None),
        _ => None,
    })
}

/// What the server says of how well it serves; absent where it says nothing.
pub async fn service_level(session: &Session, timeout: Duration) -> Result<Option<u8>, ConnectionFault> {
    let asked = [attribute(NodeId::from(VariableId::Server_ServiceLevel), AttributeId::Value)];
    Ok(values(session, &asked, 1, timeout).await?.first().and_then(level))
}

/// The level in a value of `ServiceLevel`. A server without the node, or that shows it to nobody like us, says nothing; one whose level is Bad cannot
/// say how well it serves, and is not one to take samples from.
fn level(said: &DataValue) -> Option<u8> {
    match (said.status, &said.value) {
        (
            Some(
                StatusCode::BadNodeIdUnknown
                | StatusCode::BadAttributeIdInvalid
                | StatusCode::BadUserAccessDenied
                | StatusCode::BadNotReadable,
            ),
            _,
        ) => None,
        (Some(status), _) if status.is_bad() => Some(NO_DATA),
        (_, Some(Variant::Byte(level))) => Some(*level),
        _ => None,
    }
}

async fn one(session: &Session, node: VariableId, timeout: Duration) -> Result<Option<Variant>, ConnectionFault> {
    let values = values(session, &[attribute(NodeId::from(node), AttributeId::Value)], 1, timeout).await?;
    Ok(values.into_iter().next().and_then(|value| value.value))
}

/// What is asked for of a node.
pub fn attribute(node: NodeId, attribute: AttributeId) -> ReadValueId {
    ReadValueId { node_id: node, attribute_id: attribute as u32, ..ReadValueId::default() }
}

/// Reads the namespace URIs by index.
///
/// # Errors
/// When the server does not answer, or has none.
pub async fn namespaces(session: &Session, timeout: Duration) -> Result<Vec<String>, ConnectionFault> {
    match one(session, VariableId::Server_NamespaceArray, timeout).await? {
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

/// Reads values and other attributes of nodes, in requests of at most `per_read`, which shrink where an answer is too large or cannot be decoded, down to
/// the one node that is to blame: that has a Bad value then, and the others have theirs. The answer has one value per node, in order.
///
/// # Errors
/// When the server does not answer a request, or refuses it as a whole.
pub async fn values(
    session: &Session,
    nodes: &[ReadValueId],
    per_read: usize,
    timeout: Duration,
) -> Result<Vec<DataValue>, ConnectionFault> {
    let what = "Read";
    let mut read = Vec::with_capacity(nodes.len());
    let mut per_read = per_read.clamp(1, OPERATIONS_MAX);
    while read.len() < nodes.len() {
        let asked = &nodes[read.len()..nodes.len().min(read.len() + per_read)];
        match within(timeout, what, session.read(asked, TimestampsToReturn::Both, 0.0)).await? {
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
pub fn divides(status: StatusCode) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_bad_is_that_of_a_server_without_data_and_one_that_is_not_there_is_none() {
        let said = |status: StatusCode, value| level(&DataValue { status: Some(status), value, ..DataValue::null() });
        assert_eq!(said(StatusCode::Good, Some(Variant::Byte(150))), Some(150));
        assert_eq!(level(&DataValue { value: Some(Variant::Byte(255)), ..DataValue::null() }), Some(255));
        assert_eq!(said(StatusCode::UncertainInitialValue, Some(Variant::Byte(0))), Some(0));
        for bad in [StatusCode::BadWaitingForInitialData, StatusCode::BadOutOfService, StatusCode::BadInternalError] {
            assert_eq!((said(bad, None), said(bad, Some(Variant::Byte(255)))), (Some(1), Some(1)), "{bad}");
        }
        for none in
            [StatusCode::BadNodeIdUnknown, StatusCode::BadAttributeIdInvalid, StatusCode::BadUserAccessDenied, StatusCode::BadNotReadable]
        {
            assert_eq!(said(none, None), None, "{none}");
        }
        assert_eq!(said(StatusCode::Good, Some(Variant::from("full"))), None);
    }
}
