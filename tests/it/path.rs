//! The whole path: pymodbus and asyncua servers → collectors → store → pyarrow.grpc, exactly equal, nothing missing or doubled; over a
//! restart as well.

use std::{fmt::Write as _, io::Write as _, time::Duration};

use arrow::record_batch::RecordBatch;
use serde_json::{Value as Json, json};

use crate::support::{
    historian::{Historian, client, get, serve},
    peer::Peer,
    pytest::{Run, suite},
};

const ORDERS: [&str; 4] = ["ABCD", "CDAB", "BADC", "DCBA"];
/// As `tests/peers/modbus_server.py` holds them: format, its value, its place.
fn formats() -> Vec<(&'static str, Json)> {
    vec![
        ("u16", json!(65_432)),
        ("i16", json!(-12_345)),
        ("u32", json!(4_000_000_001_u32)),
        ("i32", json!(-2_000_000_003)),
        ("u64", json!(18_000_000_000_000_000_007_u64)),
        ("i64", json!(-9_000_000_000_000_000_011_i64)),
        ("f32", json!(f64::from(-1234.5678_f32))),
        ("f64", json!(2.718_281_828_459_045e-100)),
    ]
}

const FIRST: i64 = 1_767_225_600_000_000_000;

/// Value and status of a change.
type Change = (Json, u32);

/// Node, its type, and the changes to send.
fn changes() -> Vec<(&'static str, &'static str, Vec<Change>)> {
    vec![
        ("Double", "f64", vec![(json!(1.5), 0), (json!(-0.0), 0), (json!(0.1), 0x4093_0000), (Json::Null, 0x808C_0000), (json!(1e308), 0)]),
        ("Int64", "i64", vec![(json!(i64::MIN), 0), (json!(i64::MAX), 0)]),
        ("UInt64", "u64", vec![(json!(u64::MAX), 0)]),
        ("Boolean", "bool", vec![(json!(true), 0), (json!(false), 0)]),
        ("String", "string", vec![(json!("Größe ✓"), 0), (json!(""), 0)]),
    ]
}

suite!(
    PATH,
    "path",
    from_devices_over_a_restart,
    [each_change_of_a_value_is_there_once_bit_for_bit, a_value_that_holds_is_there_at_every_poll_bit_for_bit,]
);

fn from_devices_over_a_restart(run: &mut Run) {
    let (_modbus, modbus_port) = Peer::python("modbus_server.py", &["tcp"]);
    let (mut opcua, opcua_port) = Peer::python("opcua_server.py", &[]);

    let mut text = format!("[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:{modbus_port}\"\nscan_ms = 50\n");
    let mut steady = serde_json::Map::new();
    for (place, (format, value)) in formats().into_iter().enumerate() {
        for (number, order) in ORDERS.into_iter().enumerate() {
            let (tag, address) = (format!("plc/{format}/{order}"), place * 16 + number * 4);
            writeln!(
                text,
                "[[modbus.tag]]\nname = \"{tag}\"\naddress = \"holding:{address}\"\nformat = \"{format}\"\nword_order = \"{order}\""
            )
            .unwrap();
            steady.insert(tag, value.clone());
        }
    }
    for (address, value) in [("coil:3", true), ("coil:4", false), ("discrete:6", true), ("discrete:7", false)] {
        let tag = format!("plc/{}", address.replace(':', ""));
        writeln!(text, "[[modbus.tag]]\nname = \"{tag}\"\naddress = \"{address}\"").unwrap();
        steady.insert(tag, json!(value));
    }
    // 10 × 7 + 3 = 73 raw: 73 × 0.5 − 40.
    writeln!(text, "[[modbus.tag]]\nname = \"plc/scaled\"\naddress = \"input:10\"\nformat = \"u16\"\nscale = 0.5\noffset = -40.0").unwrap();
    steady.insert("plc/scaled".into(), json!(-3.5));

    writeln!(text, "[[opcua]]\nname = \"scada\"\nendpoint = \"opc.tcp://127.0.0.1:{opcua_port}\"\nsecurity_policy = \"None\"\npublishing_ms = 100\nqueue_size = 100").unwrap();
    let mut exact = serde_json::Map::new();
    let mut sent = Vec::new();
    for (number, (node, value_type, changes)) in changes().into_iter().enumerate() {
        writeln!(text, "[[opcua.tag]]\nname = \"scada/{node}\"\naddress = \"nsu=urn:plant;s={node}\"\ntype = \"{value_type}\"").unwrap();
        let source = |step: usize| FIRST + step as i64 * 1_000_000_000 + number as i64 * 7_000;
        let samples = changes.iter().enumerate().map(|(step, (value, status))| json!([source(step), value, status]));
        exact.insert(format!("scada/{node}"), samples.collect());
        sent.push(
            changes
                .iter()
                .enumerate()
                .map(|(step, (value, status))| json!([node, node, value, status, source(step), source(step)]))
                .collect::<Vec<_>>(),
        );
    }

    // The first change of each node is there before anyone subscribes; the others come while it runs.
    let first: Vec<&Json> = sent.iter().map(|writes| &writes[0]).collect();
    command(&mut opcua, &json!({ "write": first }));
    let directory = tempfile::tempdir().unwrap();
    let (configuration, expected) = (directory.path().join("historian.toml"), directory.path().join("expected.json"));
    std::fs::write(&configuration, text).unwrap();
    std::fs::write(&expected, json!({ "exact": exact, "steady": steady, "samples_min": 20 }).to_string()).unwrap();
    let data_dir = directory.path().join("data");
    let mut historian = serve(&data_dir, &["--config", configuration.to_str().unwrap()]);
    await_rows(&historian, "scada/*", sent.len());
    command(&mut opcua, &json!({ "write": sent.iter().flat_map(|writes| &writes[1..]).collect::<Vec<_>>() }));
    await_rows(&historian, "scada/*", sent.iter().map(Vec::len).sum());
    await_rows(&historian, "plc/scaled", 20);
    let mut check = |historian: &Historian, phase| {
        let (address, expected) = (historian.grpc.to_string(), expected.display().to_string());
        run.cases(&[("HISTORIAN_ADDRESS", &address), ("HISTORIAN_EXPECTED", &expected), ("HISTORIAN_PHASE", phase)]);
    };
    check(&historian, "running");

    // Killed and started without its devices: all of it is there, and nothing else but the sample that ends the last value.
    historian.kill();
    let historian = serve(&data_dir, &[]);
    check(&historian, "ended");
}

fn command(peer: &mut Peer, command: &Json) {
    writeln!(peer.stdin, "{command}").expect("the peer takes commands");
    peer.line_starting("done", Duration::from_secs(30));
}

/// Waits until the tags have so many samples.
fn await_rows(historian: &Historian, tags: &str, rows: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let until = std::time::Instant::now() + Duration::from_mins(1);
    let ticket = json!({ "range": { "tags": [tags], "start": 0, "end": "*+1d" } }).to_string();
    loop {
        let found = runtime
            .block_on(async { get(&mut client(historian).await, &ticket).await })
            .map_or(0, |batches| batches.iter().map(RecordBatch::num_rows).sum());
        if found >= rows {
            return;
        }
        assert!(std::time::Instant::now() < until, "{tags}: {found} samples of {rows} within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}
