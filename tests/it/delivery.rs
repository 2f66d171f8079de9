//! What becomes of collected samples that the store does not take at once, or at all: a store without room, and source times of the future.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use historian::{
    model::{Clock, SystemClock},
    server::{
        self, World,
        config::{self, Overrides},
    },
    store::{Store, StoreError, StoreLayer},
};
use historian_proto::v1::{DeviceStatus, GetStatusRequest, collector_service_client::CollectorServiceClient};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    silence::{Serving, await_good, is_good, rows},
    support::{
        historian::{Historian, free_address},
        peer::Peer,
    },
};

/// A store that has no room while it is told so.
struct Tight {
    inner: Arc<dyn Store>,
    full: Arc<AtomicBool>,
}

impl StoreLayer for Tight {
    fn inner(&self) -> Arc<dyn Store> {
        self.inner.clone()
    }

    fn append_journal(&self, records: &[(u64, Vec<u8>)], durable: bool) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full("the disk is full, says the test".into()));
        }
        self.inner.append_journal(records, durable)
    }
}

fn device(server: &impl Serving, name: &str) -> DeviceStatus {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let devices = runtime.block_on(async {
        let mut client = CollectorServiceClient::connect(format!("http://{}", server.address())).await.unwrap();
        client.get_status(GetStatusRequest {}).await.unwrap().into_inner().devices
    });
    devices.into_iter().find(|device| device.device == name).unwrap()
}

#[test]
fn a_store_without_room_for_a_while_costs_no_collected_sample() {
    let (_peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("historian.toml");
    let device_text = format!("[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 100\n");
    std::fs::write(&file, format!("{device_text}[[modbus.tag]]\nname = \"plc/a\"\naddress = \"input:10\"\n")).unwrap();
    let (listen, http) = (free_address(), free_address());
    let data_dir = Some(directory.path().join("data"));
    let overrides = Overrides { listen: Some(listen), http: Some(http), data_dir, ..Overrides::default() };
    let configuration = config::load(Some(&file), &overrides).unwrap();
    let full = Arc::new(AtomicBool::default());
    let layer = full.clone();
    let world = World { store: Box::new(move |inner| Arc::new(Tight { inner, full: layer })), ..World::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let stop = CancellationToken::new();
    let server = runtime.spawn(server::run_in(world, configuration, stop.clone()));
    let until = Instant::now() + Duration::from_mins(1);
    while std::net::TcpStream::connect(listen).is_err() {
        assert!(Instant::now() < until, "the historian listens");
        std::thread::sleep(Duration::from_millis(10));
    }

    let before = await_good(&listen, "plc/a", 0, 5).len();
    full.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(10));
    let waiting = device(&listen, "plc");
    full.store(false, Ordering::SeqCst);
    assert!(waiting.last_error.contains("says the test") && waiting.last_error_time > 0, "{waiting:?}");

    let found = await_good(&listen, "plc/a", before, 120);
    let steps: Vec<i64> = found.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(found.iter().all(is_good) && steps.iter().all(|&step| step < 900_000_000), "a sample every 100 ms: {steps:?}");
    let status = device(&listen, "plc");
    assert_eq!((status.samples_dropped, status.samples_rejected), (0, 0));
    stop.cancel();
    runtime.block_on(server).unwrap().unwrap();
}

#[test]
fn samples_too_far_in_the_future_are_counted_and_told_with_tag_and_reason() {
    let (mut opcua, port) = Peer::python("opcua_server.py", &[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("historian.toml");
    let tags: String = [("Double", "f64"), ("Boolean", "bool")]
        .map(|(node, kind)| format!("[[opcua.tag]]\nname = \"scada/{node}\"\naddress = \"nsu=urn:plant;s={node}\"\ntype = \"{kind}\"\n"))
        .concat();
    let scada = format!("[[opcua]]\nname = \"scada\"\nendpoint = \"opc.tcp://127.0.0.1:{port}\"\nsecurity_policy = \"None\"\n");
    std::fs::write(&file, format!("{scada}publishing_ms = 100\n{tags}")).unwrap();
    let now = Clock::now(&SystemClock).0 / 1_000 * 1_000;
    let write = |opcua: &mut Peer, node: &str, value: serde_json::Value, source: i64| {
        writeln!(opcua.stdin, "{}", json!({ "write": [[node, node, value, 0, source, source]] })).unwrap();
        opcua.line_starting("done", Duration::from_secs(30));
    };
    write(&mut opcua, "Boolean", json!(false), now);
    write(&mut opcua, "Double", json!(6.5), now);
    let historian = Historian::serve(&directory.path().join("data"), &["--config", file.to_str().unwrap()]);
    let until = Instant::now() + Duration::from_mins(1);
    let await_status = |what: &str, is: &dyn Fn(&DeviceStatus) -> bool| {
        loop {
            let status = device(&historian, "scada");
            if is(&status) {
                return status;
            }
            assert!(Instant::now() < until, "{what}: {status:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    await_status("both deliver", &|status| status.items_delivering == 2);
    let stored = device(&historian, "scada").samples;
    write(&mut opcua, "Double", json!(7.5), now + 3 * 86_400 * 1_000_000_000);
    let status = await_status("it is rejected", &|status| status.samples_rejected > 0);
    assert_eq!(status.samples, stored, "what is rejected is not counted as stored");
    assert_eq!((status.items_delivering, status.state.as_str(), status.undelivered_tags), (1, "degraded", 1), "{status:?}");
    assert!(status.last_error.contains("scada/Double") && status.last_error.contains("ahead of the historian's clock"), "{status:?}");
    assert_eq!(status.undelivered[0].tag, "scada/Double");
    write(&mut opcua, "Double", json!(8.5), now + 1_000_000_000);
    await_status("both deliver again", &|status| status.items_delivering == 2 && status.undelivered_tags == 0);
    assert!(rows(&historian, "scada/Double").iter().any(|row| row.1.starts_with("8.5")));
}
