//! Devices behind a network cable that is pulled: no end and no reset comes of the connections, so that nothing but silence tells of it. What
//! the historian says of that time is on record, what the other end kept for it is there once, and nothing is Good that was not delivered.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use historian::model::{Clock, SystemClock};
use historian_test_support::{process::Process, program::free_port};
use serde_json::json;

use crate::{
    gap_ledger::{Place, account, await_gap, told_of},
    silence::{Row, await_good, await_rows, is_good, rows, told},
    support::{
        cable::Cable,
        mqtt::Client,
        peer::{Peer, interpreter, root},
    },
};

const PATIENCE: Duration = Duration::from_mins(1);
const SECOND: i64 = 1_000_000_000;

/// A peer of `tests/peers` at the other end, on a port that is reached through the cable.
fn behind(cable: &mut Cable, script: &str, arguments: &[&str], port: Option<u16>) -> Option<(Peer, u16)> {
    let mut command = cable.command(interpreter());
    command.arg("-u").arg(root().join("tests/peers").join(script)).args(arguments);
    let mut peer = Peer::start(&mut command);
    let ready: u16 = peer.line_starting("ready", PATIENCE).trim_start_matches("ready").trim().parse().unwrap();
    if port.is_none() {
        cable.forward(ready)?;
    }
    Some((peer, ready))
}

fn modbus(cable: &Cable, port: u16) -> Place {
    Place::new(&format!(
        "[[modbus]]\nname = \"plc\"\nendpoint = \"{}:{port}\"\nscan_ms = 100\ntimeout_ms = 500\n\
         [[modbus.tag]]\nname = \"plc/a\"\naddress = \"input:10\"\n",
        cable.address
    ))
}

#[test]
fn a_modbus_device_is_back_on_its_own_connection_or_a_new_one_and_the_gap_is_all_of_the_time() {
    let Some(mut cable) = Cable::new() else { return };
    let Some((mut peer, port)) = behind(&mut cable, "modbus_server.py", &["tcp"], None) else { return };
    let place = modbus(&cable, port);
    let historian = place.serve();
    let mut found = await_good(&historian, "plc/a", 0, 10);
    // The second time the device is another one when the cable is plugged: it knows nothing of the connections.
    for restarts in [false, true] {
        cable.pull();
        let open = await_gap(&historian, "plc/a", "device_down", true);
        let bad = await_rows(&historian, "plc/a", |rows| rows.last().is_some_and(|row| row.2 == "BadTimeout"));
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(rows(&historian, "plc/a").len(), bad.len(), "nothing is stored of the time");
        if restarts {
            peer.kill();
            (peer, _) = behind(&mut cable, "modbus_server.py", &["tcp", &port.to_string()], Some(port)).unwrap();
        }
        cable.plug();
        found = await_good(&historian, "plc/a", bad.iter().filter(|row| is_good(row)).count(), 10);
        // The end is on record a moment after the sample.
        let begun = Instant::now();
        while told_of(&historian, "plc/a").last().is_none_or(|last| (last.1, last.2 < i64::MAX) != (open.1, true)) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", told_of(&historian, "plc/a"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let gaps = told_of(&historian, "plc/a");
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    account(&found, &gaps, SECOND / 10);
    historian.stop().unwrap();
    drop(peer);
}

/// Writes a node's values and tells what was written: times and values.
fn change(peer: &mut Peer, from: i64, count: i64) -> Vec<(i64, f64)> {
    let mut written = Vec::new();
    for value in from..from + count {
        let now = SystemClock.now().0 / 1_000 * 1_000;
        writeln!(peer.stdin, "{}", json!({ "write": [["Double", "Double", value as f64, 0, now, now]] })).unwrap();
        peer.line_starting("done", PATIENCE);
        written.push((now, value as f64));
        std::thread::sleep(Duration::from_millis(100));
    }
    written
}

fn has(rows: &[Row], at: i64, value: f64) -> bool {
    rows.iter().any(|row| row.0 == at && is_good(row) && row.1.parse() == Ok(value))
}

#[test]
fn what_an_opc_ua_server_queued_meanwhile_is_there_once() {
    let Some(mut cable) = Cable::new() else { return };
    let Some((mut peer, port)) = behind(&mut cable, "opcua_server.py", &[], None) else { return };
    let place = Place::new(&format!(
        "[[opcua]]\nname = \"scada\"\nendpoint = \"opc.tcp://{}:{port}\"\nsecurity_policy = \"None\"\npublishing_ms = 100\n\
         watchdog_ms = 3000\nreconnect_max_ms = 500\ntimeout_ms = 2000\nqueue_size = 200\n\
         [[opcua.tag]]\nname = \"scada/a\"\naddress = \"nsu=urn:plant;s=Double\"\ntype = \"f64\"\n",
        cable.address
    ));
    change(&mut peer, 1, 1);
    let historian = place.serve();
    await_good(&historian, "scada/a", 0, 1);
    let mut written = change(&mut peer, 2, 5);
    cable.pull();
    written.extend(change(&mut peer, 100, 20));
    await_rows(&historian, "scada/a", |rows| rows.last().is_some_and(|row| row.2 == "BadNoCommunication"));
    written.extend(change(&mut peer, 200, 10));
    cable.plug();
    await_rows(&historian, "scada/a", |rows| written.iter().all(|(at, value)| has(rows, *at, *value)));
    written.extend(change(&mut peer, 300, 5));
    let found = await_rows(&historian, "scada/a", |rows| written.iter().all(|(at, value)| has(rows, *at, *value)));
    let mut times: Vec<i64> = found.iter().map(|row| row.0).collect();
    times.dedup();
    assert_eq!(times.len(), found.len(), "nothing twice: {found:?}");
    let others: Vec<&Row> = found.iter().filter(|row| row.0 > written[0].0 && !written.iter().any(|(at, _)| *at == row.0)).collect();
    assert!(
        others.len() <= 1 && others.iter().all(|row| is_good(row)),
        "the Bad sample has become the value that was in force: {others:?}"
    );
    historian.stop().unwrap();
}

#[test]
fn what_a_broker_kept_meanwhile_is_there_once() {
    let Some(mut cable) = Cable::new() else { return };
    let port = free_port();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mosquitto.conf");
    std::fs::write(&file, format!("user root\nlistener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")).unwrap();
    let mut command = cable.command("mosquitto");
    command.env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin").arg("-c").arg(&file);
    let broker = Process::start(command.stderr(std::process::Stdio::null())).unwrap();
    // socat connects anew for each client, so it may listen before the broker does.
    if cable.forward(port).is_none() {
        return;
    }
    let place = Place::new(&format!(
        "[[mqtt]]\nname = \"broker\"\nendpoint = \"{}:{port}\"\nkeep_alive_s = 1\ntimeout_ms = 1000\nreconnect_max_ms = 500\n\
         [[mqtt.tag]]\nname = \"lab/ph\"\naddress = \"lab/ph#/v\"\ntype = \"f64\"\ntime = \"/t\"\ntime_format = \"unix_ns\"\n",
        cable.address
    ));
    let historian = place.serve();
    let mut client = Client::behind(&cable, port, &[]);
    let mut publish = |value: f64| {
        let at = SystemClock.now().0;
        client.command(&json!({ "publish": "lab/ph", "text": json!({ "v": value, "t": at }).to_string(), "qos": 1 }));
        (at, value)
    };
    let begun = Instant::now();
    while rows(&historian, "lab/ph").iter().all(|row| !is_good(row)) {
        assert!(begun.elapsed() < PATIENCE, "{}", told(&historian, &["status"]));
        publish(0.0);
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut written = vec![publish(1.0)];
    await_rows(&historian, "lab/ph", |rows| has(rows, written[0].0, 1.0));
    cable.pull();
    written.extend((0..20).map(|value| publish(f64::from(value) + 100.0)));
    await_rows(&historian, "lab/ph", |rows| rows.last().is_some_and(|row| row.2 == "BadNoCommunication"));
    written.extend((0..20).map(|value| publish(f64::from(value) + 200.0)));
    cable.plug();
    let found = await_rows(&historian, "lab/ph", |rows| written.iter().all(|(at, value)| has(rows, *at, *value)));
    let mut times: Vec<i64> = found.iter().map(|row| row.0).collect();
    times.dedup();
    assert_eq!(times.len(), found.len(), "nothing twice: {found:?}");
    let (at, value) = publish(300.0);
    let found = await_rows(&historian, "lab/ph", |rows| has(rows, at, value));
    assert!(is_good(found.last().unwrap()), "{:?}", found.last());
    historian.stop().unwrap();
    drop(broker);
}
