//! Devices that are quick enough to measure the collectors with; `benches/field.py` starts them.
//!
//! `modbus DEVICES`: so many Modbus TCP devices, each on a port of its own, of one unit with 65,536 holding registers. Two registers are an f32
//! whose value is the number of the current tenth of a second, the same in all of one answer.
//! `opcua NODES PERIOD_MS`: one OPC UA server without security, whose nodes `s=0`, `s=1`, … of [`NAMESPACE`] get a new Double every period,
//! all with the same source timestamp.
//!
//! Prints its ports in one line, then what it has answered or published, a line of JSON for each line that comes, until its standard input
//! ends.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use opcua::{
    nodes::VariableBuilder,
    server::{
        ServerBuilder,
        node_manager::memory::{SimpleNodeManager, simple_node_manager},
    },
    types::{DataTypeId, DataValue, DateTime, NodeId, ObjectId, QualifiedName, StatusCode, VariableTypeId, Variant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Namespace of the nodes.
const NAMESPACE: &str = "urn:historian:field";
const HEADER: usize = 7;
const REGISTERS_MAX: u16 = 125;
/// How often the OPC UA server looks whether a subscription is due.
const TICK_MS: u64 = 20;
const MESSAGE_BYTES_MAX: usize = 64 << 20;
const ITEMS_PER_CALL: usize = 1_000;

/// What was answered or published since the start.
#[derive(Default)]
struct Told {
    requests: AtomicU64,
    values: AtomicU64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let told = Arc::new(Told::default());
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    match (words.first().map(String::as_str), number(1), number(2)) {
        (Some("modbus"), Some(devices), None) => modbus(devices, &told).await,
        (Some("opcua"), Some(nodes), Some(period)) => opcua(nodes, Duration::from_millis(period), told.clone()).await,
        _ => {
            eprintln!("field_peers modbus DEVICES | opcua NODES PERIOD_MS");
            std::process::exit(2);
        }
    }
    let mut asked = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = asked.next_line().await {
        println!("{{\"requests\": {}, \"values\": {}}}", told.requests.load(Relaxed), told.values.load(Relaxed));
    }
}

async fn modbus(devices: u64, told: &Arc<Told>) {
    let mut ports = Vec::new();
    let begun = Instant::now();
    for _ in 0..devices {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        ports.push(listener.local_addr().expect("a bound port").port().to_string());
        let told = told.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let told = told.clone();
                tokio::spawn(async move {
                    // The client went away.
                    let _ = answer(stream, begun, &told).await;
                });
            }
        });
    }
    println!("{}", ports.join(" "));
}

/// Answers reads of holding registers until the client goes.
async fn answer(stream: TcpStream, begun: Instant, told: &Told) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut request = [0; HEADER + 5];
    let mut answer = Vec::with_capacity(HEADER + 2 + 2 * usize::from(REGISTERS_MAX));
    loop {
        stream.read_exact(&mut request).await?;
        let count = u16::from_be_bytes([request[10], request[11]]);
        answer.clear();
        answer.extend_from_slice(&request[..4]);
        if request[7] != 3 || count == 0 || count > REGISTERS_MAX {
            answer.extend_from_slice(&[0, 3, request[6], request[7] | 0x80, 1]);
        } else {
            let bytes = 2 * count as u8;
            answer.extend_from_slice(&[0, 3 + bytes, request[6], 3, bytes]);
            let value = ((begun.elapsed().as_millis() / 100) as f32).to_be_bytes();
            answer.extend(value.iter().cycle().take(usize::from(bytes)));
            told.values.fetch_add(u64::from(count), Relaxed);
        }
        told.requests.fetch_add(1, Relaxed);
        stream.write_all(&answer).await?;
    }
}

async fn opcua(nodes: u64, period: Duration, told: Arc<Told>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    let pki = std::env::temp_dir().join(format!("historian-field-{}", std::process::id()));
    let namespace = opcua::server::diagnostics::NamespaceMetadata { namespace_uri: NAMESPACE.to_owned(), ..Default::default() };
    let mut builder = ServerBuilder::new_anonymous("Field")
        .application_uri("urn:historian:field-server")
        .product_uri("urn:historian:field-server")
        .host("127.0.0.1")
        .port(port)
        .pki_dir(&pki)
        .create_sample_keypair(false)
        .subscription_poll_interval_ms(TICK_MS)
        .with_node_manager(simple_node_manager(namespace, "field"));
    // By default the library passes on a value in a tenth of a second, keeps ten, and sends no message of more than 320 KiB. Here every value
    // counts, and all nodes may be in one notification.
    let limits = builder.limits_mut();
    limits.max_message_size = MESSAGE_BYTES_MAX;
    limits.max_chunk_count = MESSAGE_BYTES_MAX >> 16;
    limits.max_array_length = nodes as usize + ITEMS_PER_CALL;
    limits.operational.max_monitored_items_per_call = ITEMS_PER_CALL;
    limits.subscriptions.min_sampling_interval_ms = 0.0;
    limits.subscriptions.min_publishing_interval_ms = TICK_MS as f64;
    limits.subscriptions.max_monitored_items_per_sub = nodes as usize;
    limits.subscriptions.max_monitored_item_queue_size = 1_000;
    limits.subscriptions.max_queued_notifications = 1_000;
    let (server, handle) = builder.build().expect("a server");
    let index = handle.get_namespace_index(NAMESPACE).expect("the namespace is registered");
    let manager = handle.node_managers().get_of_type::<SimpleNodeManager>().expect("a node manager");
    let ids: Vec<NodeId> = (0..nodes).map(|node| NodeId::new(index, node.to_string())).collect();
    {
        let space = manager.address_space();
        let mut space = space.write();
        for id in &ids {
            let name = id.identifier.to_string();
            VariableBuilder::new(id, QualifiedName::new(index, name.clone()), name)
                .data_type(DataTypeId::Double)
                .value(0.0)
                .has_type_definition(VariableTypeId::BaseDataVariableType)
                .organized_by(ObjectId::ObjectsFolder)
                .insert(&mut *space);
        }
    }
    println!("{port}");
    tokio::spawn(async move { server.run_with(listener).await });
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(period);
        let mut value = 0.0;
        loop {
            ticks.tick().await;
            value += 1.0;
            let now = DateTime::now();
            let next = || DataValue {
                value: Some(Variant::Double(value)),
                status: Some(StatusCode::Good),
                source_timestamp: Some(now),
                server_timestamp: Some(now),
                ..DataValue::default()
            };
            manager.set_values(handle.subscriptions(), ids.iter().map(|id| (id, None, next()))).expect("the nodes are there");
            told.requests.fetch_add(1, Relaxed);
            told.values.fetch_add(nodes, Relaxed);
        }
    });
}
