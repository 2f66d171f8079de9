//! An OPC UA server of a plant, behind a line that can make it bad.
//!
//! Each node has a new value five times a second. The values of a node count up, and say which server and which node they are of. What was
//! written is kept with its source timestamp, so that of each sample it is known whether it was written, and of each value whether it came.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use opcua::{
    nodes::VariableBuilder,
    server::{
        ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint, ServerHandle,
        node_manager::memory::{SimpleNodeManager, simple_node_manager},
    },
    types::{DataTypeId, DataValue, DateTime, NodeId, ObjectId, QualifiedName, StatusCode, VariableTypeId, Variant},
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Spoilt,
    line::{Line, LineAilment},
    read::now,
};

/// Nodes of each server, `n0` and so on.
pub const NODES: u64 = 3;
const NAMESPACE: &str = "urn:torture:field";
const PERIOD: Duration = Duration::from_millis(200);
/// How long a server lives that is started again and again.
const LIFE: Duration = Duration::from_millis(1_200);
/// OPC UA times count 100 ns from 1601-01-01; so many of them lie before 1970-01-01.
const TICKS_BEFORE_1970: i64 = 116_444_736_000_000_000;
const TICK_NS: i64 = 100;
/// Values of two nodes are so far apart.
const NODE_STEP: u64 = 1_000_000_000;

/// The value of a node when it counts so far.
pub fn value_of(server: usize, node: u64, count: u64) -> u64 {
    (server as u64 * NODES + node + 1) * NODE_STEP + count
}

/// One round of new values: all nodes of a server have them at one source time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Nanoseconds since 1970; later than that of the round before.
    pub at: i64,
    /// One more than that of the round before.
    pub count: u64,
}

/// One server, which serves until it is dropped.
pub struct FieldServer {
    pub line: Arc<Line>,
    state: Arc<ServerState>,
    _stop: DropGuard,
}

struct ServerState {
    number: usize,
    line: Arc<Line>,
    pki_dir: PathBuf,
    written: Mutex<Vec<Written>>,
    spoil: Mutex<Option<Spoilt>>,
}

impl FieldServer {
    /// Starts server `number` on a free port of loopback. With `certificate` it has one, and an endpoint with security as well.
    ///
    /// # Errors
    /// There is no port, or the certificate cannot be made below `folder`.
    pub async fn start(number: usize, folder: &Path, certificate: bool) -> anyhow::Result<FieldServer> {
        let stop = CancellationToken::new();
        let line = Line::start(&stop).await?;
        let pki_dir = folder.join(format!("server{number}"));
        let state = Arc::new(ServerState { number, line: line.clone(), pki_dir, written: Mutex::default(), spoil: Mutex::default() });
        let server = Running::start(&state, certificate).await?;
        line.lead_to(server.address);
        let living = state.clone();
        let until = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                // A server that cannot be started again stays away, and that is seen.
                _failed = live(&living, server) => {}
                () = until.cancelled() => {}
            }
        });
        Ok(FieldServer { line, state, _stop: stop.drop_guard() })
    }

    /// What was written so far, in order.
    pub fn written(&self) -> Vec<Written> {
        self.state.written.lock().clone()
    }

    pub fn spoil(&self, how: Spoilt) {
        *self.state.spoil.lock() = Some(how);
    }
}

/// Writes values for ever, and starts the server anew while that is its ailment.
async fn live(state: &Arc<ServerState>, mut server: Running) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut born = Instant::now();
    loop {
        ticks.tick().await;
        if state.line.ailment() == Some(LineAilment::Restarts) && born.elapsed() >= LIFE {
            drop(server);
            server = Running::start(state, false).await?;
            state.line.lead_to(server.address);
            born = Instant::now();
        }
        server.write(state)?;
    }
}

impl ServerState {
    /// The next round of values. It counts as written before anybody can have seen it.
    fn next(&self) -> Written {
        let mut written = self.written.lock();
        let last = written.last().copied().unwrap_or(Written { at: 0, count: 0 });
        let next = Written { at: (now() / TICK_NS * TICK_NS).max(last.at + TICK_NS), count: last.count + 1 };
        written.push(next);
        next
    }
}

/// The server as long as it runs.
struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    manager: Arc<SimpleNodeManager>,
    nodes: Vec<NodeId>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Running {
    /// Starts it with the values that were written last, or else with the first.
    async fn start(state: &ServerState, certificate: bool) -> anyhow::Result<Running> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let namespace = opcua::server::diagnostics::NamespaceMetadata { namespace_uri: NAMESPACE.to_owned(), ..Default::default() };
        let mut builder = ServerBuilder::new_anonymous("field")
            .application_uri("urn:torture:field-server")
            .product_uri("urn:torture:field-server")
            .host(address.ip().to_string())
            .port(address.port())
            .pki_dir(&state.pki_dir)
            .create_sample_keypair(certificate)
            .token(stop.clone())
            .with_node_manager(simple_node_manager(namespace, "field"));
        // Every value is a sample; by default the library passes on one in a tenth of a second, and keeps ten.
        builder.limits_mut().subscriptions.min_sampling_interval_ms = 0.0;
        builder.limits_mut().subscriptions.max_monitored_item_queue_size = 1_000;
        if certificate {
            let users = [ANONYMOUS_USER_TOKEN_ID.to_owned()];
            builder = builder
                .certificate_path("own/cert.der")
                .private_key_path("private/private.pem")
                .add_endpoint("encrypted", ServerEndpoint::new_basic256sha256_sign_encrypt("/", &users));
        }
        let (server, handle) = builder.build().map_err(|error| anyhow!("no OPC UA server: {error}"))?;
        let index = handle.get_namespace_index(NAMESPACE).context("the namespace was not registered")?;
        let manager: Arc<SimpleNodeManager> = handle.node_managers().get_of_type().context("there is no node manager")?;
        let nodes: Vec<NodeId> = (0..NODES).map(|node| NodeId::new(index, format!("n{node}"))).collect();
        {
            let mut space = manager.address_space().write();
            for (node, id) in nodes.iter().enumerate() {
                let name = format!("n{node}");
                VariableBuilder::new(id, QualifiedName::new(index, name.as_str()), name.as_str())
                    .data_type(DataTypeId::UInt64)
                    .value(Variant::UInt64(0))
                    .has_type_definition(VariableTypeId::BaseDataVariableType)
                    .organized_by(NodeId::from(ObjectId::ObjectsFolder))
                    .insert(&mut *space);
            }
        }
        let serving = tokio::spawn(async move {
            // What ends it early is seen by whoever waits for its samples.
            let _ = server.run_with(listener).await;
        });
        let running = Running { address, handle, manager, nodes, stop, serving };
        let last = state.written.lock().last().copied();
        match last {
            Some(last) => running.set(last, state.number)?,
            None => running.write(state)?,
        }
        Ok(running)
    }

    /// Gives all nodes their next values.
    fn write(&self, state: &ServerState) -> anyhow::Result<()> {
        let next = state.next();
        let spoilt = state.spoil.lock().take();
        match spoilt {
            None => self.set(next, state.number),
            Some(Spoilt::Crossed) => self.set(next, state.number + 1),
            Some(Spoilt::Skipped) => Ok(()),
        }
    }

    fn set(&self, written: Written, number: usize) -> anyhow::Result<()> {
        let time = DateTime::from(written.at / TICK_NS + TICKS_BEFORE_1970);
        let value = |node: u64| DataValue {
            value: Some(Variant::UInt64(value_of(number, node, written.count))),
            status: Some(StatusCode::Good),
            source_timestamp: Some(time),
            server_timestamp: Some(time),
            ..DataValue::default()
        };
        let values = (0..).zip(&self.nodes).map(|(node, id)| (id, None, value(node)));
        self.manager.set_values(self.handle.subscriptions(), values).map_err(|status| anyhow!("a node is gone: {status}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.abort();
    }
}
