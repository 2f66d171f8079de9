//! The OPC UA side of the plant: a server with one node per signal under `Objects/Plant`, anonymous and unencrypted on loopback, whose
//! nodes carry source timestamps and full status codes. It can be read and subscribed, not written.

use std::{collections::BTreeSet, net::SocketAddr, path::Path, sync::Arc};

use opcua::{
    nodes::VariableBuilder,
    server::{
        ServerBuilder, ServerHandle,
        address_space::AddressSpace,
        node_manager::memory::{SimpleNodeManager, simple_node_manager},
    },
    types::{DataTypeId, DataValue, DateTime, NodeId, ObjectId, QualifiedName, StatusCode, VariableTypeId, Variant},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    instrument::InstrumentReading,
    signal::{NodeType, SIGNALS, SensorFault, SignalAddress, Truth},
};
use historian_model::Timestamp;

/// Namespace of the plant's nodes.
pub const NAMESPACE: &str = "urn:historian:demo-plant";
/// OPC UA times count 100 ns from 1601-01-01; so many of them lie before 1970-01-01.
const TICKS_BEFORE_1970: i64 = 116_444_736_000_000_000;

/// The running server and its nodes, in the order of [`SIGNALS`].
pub(super) struct OpcUaDevice {
    handle: ServerHandle,
    manager: Arc<SimpleNodeManager>,
    nodes: Vec<(usize, NodeId, NodeType)>,
}

impl OpcUaDevice {
    pub fn start(
        listener: TcpListener,
        address: SocketAddr,
        pki_dir: &Path,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Result<OpcUaDevice, String> {
        let namespace = opcua::server::diagnostics::NamespaceMetadata { namespace_uri: NAMESPACE.to_owned(), ..Default::default() };
        let (server, handle) = ServerBuilder::new_anonymous("Demo plant")
            // Not the plant's namespace: the server's diagnostics own the one that is named after the application.
            .application_uri("urn:historian:demo-server")
            .product_uri("urn:historian:demo-server")
            .host(address.ip().to_string())
            .port(address.port())
            .pki_dir(pki_dir)
            .create_sample_keypair(false)
            .token(stop.clone())
            .with_node_manager(simple_node_manager(namespace, "plant"))
            .build()?;
        let index = handle.get_namespace_index(NAMESPACE).ok_or("the namespace of the plant was not registered")?;
        let manager = handle.node_managers().get_of_type::<SimpleNodeManager>().ok_or("the plant has no node manager")?;
        let nodes = Self::add_nodes(&mut manager.address_space().write(), index);
        tasks.spawn(async move {
            if let Err(error) = server.run_with(listener).await {
                tracing::error!(%error, "the simulated OPC UA device stopped");
            }
        });
        Ok(OpcUaDevice { handle, manager, nodes })
    }

    /// Folders by the first level of the node identifiers (`Product.T301.Level` lies in `Plant/Product`), and a variable per signal.
    fn add_nodes(space: &mut AddressSpace, index: u16) -> Vec<(usize, NodeId, NodeType)> {
        let plant = NodeId::new(index, "Plant");
        space.add_folder(&plant, QualifiedName::new(index, "Plant"), "Plant", &ObjectId::ObjectsFolder.into());
        let mut folders = BTreeSet::new();
        let mut nodes = Vec::new();
        for (position, signal) in SIGNALS.iter().enumerate() {
            let SignalAddress::OpcUa { node, node_type } = signal.wire else { continue };
            let (folder, name) = node.split_once('.').unwrap_or(("Plant", node));
            let parent = if folder == "Plant" { plant.clone() } else { NodeId::new(index, folder) };
            if folder != "Plant" && folders.insert(folder) {
                space.add_folder(&parent, QualifiedName::new(index, folder), folder, &plant);
            }
            let id = NodeId::new(index, node);
            VariableBuilder::new(&id, QualifiedName::new(index, name), name)
                .description(signal.description)
                .data_type(node_type.data_type())
                .value(Variant::Empty)
                .has_type_definition(VariableTypeId::BaseDataVariableType)
                .organized_by(parent)
                .insert(space);
            nodes.push((position, id, node_type));
        }
        nodes
    }

    /// Gives the readings of one scan to the nodes and to whoever subscribes to them, with the time of the scan as source timestamp.
    pub fn publish(&self, readings: &[InstrumentReading], at: Timestamp) {
        let time = DateTime::from(at.0 / 100 + TICKS_BEFORE_1970);
        let values = self.nodes.iter().filter_map(|(position, id, node_type)| {
            let value = data_value(readings.get(*position)?, *node_type, time);
            Some((id, None, value))
        });
        if let Err(status) = self.manager.set_values(self.handle.subscriptions(), values) {
            tracing::error!(%status, "the simulated OPC UA device lost a node");
        }
    }
}

fn data_value(reading: &InstrumentReading, node_type: NodeType, time: DateTime) -> DataValue {
    let (status, value) = match reading.fault {
        // The null value, since the library keeps no status beside an absent one.
        Some(SensorFault::SensorFailure) => (StatusCode::BadSensorFailure, Some(Variant::Empty)),
        Some(SensorFault::NotAccurate) => (StatusCode::UncertainSensorNotAccurate, Some(node_type.variant(&reading.value))),
        _ => (StatusCode::Good, Some(node_type.variant(&reading.value))),
    };
    DataValue { value, status: Some(status), source_timestamp: Some(time), server_timestamp: Some(time), ..DataValue::default() }
}

impl NodeType {
    fn data_type(self) -> DataTypeId {
        match self {
            NodeType::Double => DataTypeId::Double,
            NodeType::Float => DataTypeId::Float,
            NodeType::Int32 => DataTypeId::Int32,
            NodeType::UInt32 => DataTypeId::UInt32,
            NodeType::Boolean => DataTypeId::Boolean,
            NodeType::Text => DataTypeId::String,
        }
    }

    fn variant(self, truth: &Truth) -> Variant {
        match (self, truth) {
            (NodeType::Double, Truth::Number(number)) => Variant::Double(*number),
            (NodeType::Float, Truth::Number(number)) => Variant::Float(*number as f32),
            (NodeType::Int32, Truth::Count(count)) => Variant::Int32(*count as i32),
            (NodeType::Int32, Truth::State(state)) => Variant::Int32(i32::from(*state)),
            (NodeType::UInt32, Truth::Count(count)) => Variant::UInt32(*count as u32),
            (NodeType::Boolean, Truth::Flag(flag)) => Variant::Boolean(*flag),
            (NodeType::Text, Truth::Text(text)) => Variant::String(text.as_str().into()),
            // The list of signals has no such pair; a test walks it.
            _ => Variant::Empty,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        instrument::{Failures, Instruments},
        process::Process,
    };

    #[test]
    fn every_signal_fits_the_type_of_its_node() {
        let mut random = StdRng::seed_from_u64(1);
        let readings = Instruments::new(Failures::OF_A_DEMO, &mut random).read(&Process::new(), 0.2, &mut random);
        for (signal, reading) in SIGNALS.iter().zip(&readings) {
            if let SignalAddress::OpcUa { node_type, .. } = signal.wire {
                assert_ne!(node_type.variant(&reading.value), Variant::Empty, "{}", signal.tag);
            }
        }
    }

    #[test]
    fn a_failed_sensor_has_a_bad_status_and_no_value() {
        let mut reading = InstrumentReading { value: Truth::Number(7.0), fault: Some(SensorFault::SensorFailure) };
        let value = data_value(&reading, NodeType::Double, DateTime::now());
        assert_eq!((value.status(), value.value), (StatusCode::BadSensorFailure, Some(Variant::Empty)));
        reading.fault = Some(SensorFault::NotAccurate);
        let value = data_value(&reading, NodeType::Double, DateTime::now());
        assert_eq!((value.status(), value.value), (StatusCode::UncertainSensorNotAccurate, Some(Variant::Double(7.0))));
    }
}
