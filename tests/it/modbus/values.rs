//! Values from servers that no one here wrote, exactly: every format in every word order, from pymodbus over both framings and from
//! libmodbus.

use std::{
    process::Command,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use historian::model::{Quality, Value};
use historian_test_support::skip;

use super::{eventually, start};
use crate::support::peer::{Peer, root};

const ORDERS: [&str; 4] = ["ABCD", "CDAB", "BADC", "DCBA"];

/// `(format, value)` in the order of `FORMATS` in `tests/peers/modbus_server.py`.
fn formats() -> [(&'static str, Value); 8] {
    [
        ("u16", Value::U64(65_432)),
        ("i16", Value::I64(-12_345)),
        ("u32", Value::U64(4_000_000_001)),
        ("i32", Value::I64(-2_000_000_003)),
        ("u64", Value::U64(18_000_000_000_000_000_007)),
        ("i64", Value::I64(-9_000_000_000_000_000_011)),
        ("f32", Value::F32(-1234.5678)),
        ("f64", Value::F64(2.718_281_828_459_045e-100)),
    ]
}

/// All tags of the plant of `tests/peers/modbus_server.py`: name, the rest of the table, and the value expected.
fn plant() -> Vec<(String, String, Value)> {
    let mut tags = Vec::new();
    for (place, (format, value)) in formats().into_iter().enumerate() {
        for (number, order) in ORDERS.into_iter().enumerate() {
            let address = place * 16 + number * 4;
            let table = format!("address = \"holding:{address}\"\nformat = \"{format}\"\nword_order = \"{order}\"");
            tags.push((format!("{format}/{order}"), table, value.clone()));
        }
    }
    let mut one = |name: &str, table: &str, value: Value| tags.push((name.into(), table.into(), value));
    one("text", "address = \"holding:200\"\nformat = \"string:5\"", Value::String("BOILER-7".into()));
    one("half", "address = \"holding:210\"\nformat = \"f16\"", Value::F32(1.0));
    one("word", "address = \"holding:211\"", Value::U64(0b1010_0000_0000_0101));
    one("bit0", "address = \"holding:211.0\"", Value::Bool(true));
    one("bit1", "address = \"holding:211.1\"", Value::Bool(false));
    one("bit15", "address = \"holding:211.15\"", Value::Bool(true));
    one("low", "address = \"holding:211\"\nformat = \"u8-low\"", Value::U64(5));
    one("high", "address = \"holding:211\"\nformat = \"i8-high\"", Value::I64(-96));
    one("last", "address = \"holding:65533\"\nformat = \"f32\"", Value::F32(42.25));
    one("very_last", "address = \"holding:65535\"", Value::U64(65_535));
    // The same register raw, scaled, and in other types.
    one("scaled", "address = \"holding:16\"\nformat = \"i16\"\nscale = 0.1\noffset = -40.0", Value::F64(-1274.5));
    one("as_f64", "address = \"holding:16\"\nformat = \"i16\"\ntype = \"f64\"", Value::F64(-12_345.0));
    one("as_f32", "address = \"holding:0\"\ntype = \"f32\"\nformat = \"u16\"", Value::F32(65_432.0));
    one("as_i64", "address = \"holding:32\"\nformat = \"u32\"\ntype = \"i64\"", Value::I64(4_000_000_001));
    one("as_state", "address = \"holding:211\"\ntype = \"state\"", Value::State(0b1010_0000_0000_0101));
    one("numbered", "address = \"40001\"", Value::U64(65_432));
    for address in [0_u64, 1, 124, 125, 126, 250, 1999] {
        tags.push((format!("input/{address}"), format!("address = \"input:{address}\""), Value::U64((address * 7 + 3) & 0xFFFF)));
    }
    for address in [0, 1, 2, 3, 9, 15, 16, 17, 300, 639] {
        tags.push((format!("coil/{address}"), format!("address = \"coil:{address}\""), Value::Bool(address % 3 == 0)));
        tags.push((format!("discrete/{address}"), format!("address = \"discrete:{address}\""), Value::Bool(address % 5 == 1)));
    }
    for address in [0_u64, 10, 199] {
        tags.push((format!("second/{address}"), format!("address = \"2!holding:{address}\""), Value::U64(20_000 + address)));
    }
    tags
}

/// The server of `tests/peers/modbus_server.py`, and the rest of its line `ready`: a port.
pub(super) async fn server(arguments: &[&str]) -> (Peer, String) {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let start = move || Peer::python("modbus_server.py", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(start).await.unwrap()
}

async fn pymodbus(framer: &str, transport: &str) {
    let (_peer, port) = server(&[framer]).await;
    reads_exactly(&format!("endpoint = \"127.0.0.1:{port}\"\ntransport = \"{transport}\"\nscan_ms = 400\n")).await;
}

/// Reads all of the plant over a connection with these keys.
pub(super) async fn reads_exactly(keys: &str) {
    let plant = plant();
    let mut text = format!("name = \"plant\"\n{keys}timeout_ms = 5000\n");
    for (name, table, _) in &plant {
        text += &format!("[[tag]]\nname = \"{name}\"\n{table}\n");
    }
    let mut running = start(&text);
    eventually("two samples of every tag", || running.tags().iter().all(|tag| running.count(tag) >= 2)).await;
    // The plant has addresses between those of the tags that do not exist. They are found by the first reading and cost nothing later.
    let exceptions = running.status.exceptions.load(Ordering::Relaxed);
    assert!(exceptions > 0);
    eventually("five samples of every tag", || running.tags().iter().all(|tag| running.count(tag) >= 5)).await;
    running.stop().await;
    for (name, table, value) in &plant {
        let samples = running.samples(name);
        for (_, found, quality) in &samples {
            assert_eq!((found.as_ref(), *quality), (Some(value), Quality::GOOD), "{name}: {table}");
        }
    }
    running.assert_lost_no_poll();
    assert_eq!(running.status.exceptions.load(Ordering::Relaxed), exceptions);
    assert!(running.status.view().holes.is_empty(), "no tag's own address is refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pymodbus_values_are_exact_over_tcp() {
    pymodbus("tcp", "tcp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pymodbus_values_are_exact_over_rtu() {
    pymodbus("rtu", "rtu-over-tcp").await;
}

/// A second implementation: a server of Debian's libmodbus, compiled here. It is fast enough to show what the collector can take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libmodbus_values_are_exact_at_full_speed() {
    const REGISTERS: u16 = 12_500;
    let folder = tempfile::tempdir().unwrap();
    let server = folder.path().join("server");
    let compiled = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&server)
        .arg(root().join("tests/peers/modbus_libmodbus.c"))
        .args(["-I/usr/include/modbus", "-lmodbus"])
        .output();
    match compiled {
        Ok(output) if output.status.success() => {}
        Ok(output) if !std::path::Path::new("/usr/include/modbus/modbus.h").exists() => {
            skip::without("libmodbus", &format!("libmodbus-dev is not installed: {}", String::from_utf8_lossy(&output.stderr)));
            return;
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("the C compiler does not start: {error}"),
    }
    let mut peer = Peer::start(&mut Command::new(&server));
    let port = peer.line_starting("ready", Duration::from_secs(20)).trim_start_matches("ready").trim().to_owned();

    let mut text = format!("name = \"fast\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 10\ntimeout_ms = 5000\n");
    for address in (0..REGISTERS).step_by(2) {
        text += &format!("[[tag]]\nname = \"r{address}\"\naddress = \"holding:{address}\"\nformat = \"u32\"\n");
    }
    let mut running = start(&text);
    eventually("the first poll", || running.count(&format!("r{}", REGISTERS - 2)) > 0).await;
    let (begin, before) = (Instant::now(), running.status.requests.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let requests = running.status.requests.load(Ordering::Relaxed) - before;
    let registers = requests as f64 * 124.0 / begin.elapsed().as_secs_f64();
    println!("libmodbus: {registers:.0} registers/s, {:.0} samples/s in one connection", registers / 2.0);
    running.stop().await;
    assert_eq!(running.status.timeouts.load(Ordering::Relaxed), 0);
    for address in (0..REGISTERS).step_by(2) {
        let word = |address: u16| u64::from(address.wrapping_mul(31).wrapping_add(7));
        let samples = running.samples(&format!("r{address}"));
        assert!(!samples.is_empty());
        for sample in samples {
            assert_eq!((sample.1, sample.2), (Some(Value::U64(word(address) << 16 | word(address + 1))), Quality::GOOD));
        }
    }
}
