//! What becomes of collected samples that the store does not take at once, or at all: a store without room, and source times of the future.

use std::{
    io::Write as _,
    net::SocketAddr,
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
    store::{Gap, Store, StoreError, StoreLayer},
};
use historian_proto::v1::{DeviceStatus, GetStatusRequest, collector_service_client::CollectorServiceClient};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    silence::{Serving, await_good, await_rows, gaps, is_good, nanoseconds, percent_good, rows},
    support::{
        historian::{free_addresses, serve},
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

    fn append_gaps(&self, gaps: &[Gap]) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full("the disk is full, says the test".into()));
        }
        self.inner.append_gaps(gaps)
    }
}

/// A historian in this process with one Modbus device, over a store whose room the test decides on.
pub struct Narrow {
    _peer: Peer,
    directory: tempfile::TempDir,
    file: std::path::PathBuf,
    runtime: tokio::runtime::Runtime,
    pub full: Arc<AtomicBool>,
}

/// A run of it.
pub struct Run<'a> {
    narrow: &'a Narrow,
    pub listen: SocketAddr,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Narrow {
    /// Polls `plc/a` every 100 ms. `more` stands before the device in the configuration.
    pub fn new(more: &str) -> Narrow {
        Narrow::of(more, 100, "[[modbus.tag]]\nname = \"plc/a\"\naddress = \"input:10\"\n")
    }

    /// Polls these tags.
    pub fn of(more: &str, scan_ms: u32, tags: &str) -> Narrow {
        let (peer, port) = Peer::python("modbus_server.py", &["tcp"]);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("historian.toml");
        let device = format!("[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = {scan_ms}\n");
        std::fs::write(&file, format!("{more}{device}{tags}")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Narrow { _peer: peer, directory, file, runtime, full: Arc::default() }
    }

    pub fn run(&self) -> Run<'_> {
        let [listen, http] = free_addresses();
        let data_dir = Some(self.directory.path().join("data"));
        let overrides = Overrides { listen: Some(listen), http: Some(http), data_dir, ..Overrides::default() };
        let configuration = config::load(Some(&self.file), &overrides).unwrap();
        let full = self.full.clone();
        let world = World { store: Box::new(move |inner| Arc::new(Tight { inner, full })), ..World::default() };
        let stop = CancellationToken::new();
        let server = self.runtime.spawn(server::run_in(world, configuration, stop.clone()));
        let until = Instant::now() + Duration::from_mins(1);
        while std::net::TcpStream::connect(listen).is_err() {
            assert!(Instant::now() < until, "the historian listens");
            std::thread::sleep(Duration::from_millis(10));
        }
        Run { narrow: self, listen, stop, server }
    }
}

impl Run<'_> {
    pub fn stop(self) {
        self.stop.cancel();
        self.narrow.runtime.block_on(self.server).unwrap().unwrap();
    }
}

/// Waits for this many gaps of a reason: tag, start, end.
pub fn await_gaps(server: &impl Serving, reason: &str, count: usize) -> Vec<(Option<String>, i64, i64)> {
    let time = |gap: &serde_json::Value, bound: &str| gap[bound].as_str().map_or(i64::MAX, nanoseconds);
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let found: Vec<_> = gaps(server).into_iter().filter(|gap| gap["reason"] == reason).collect();
        if found.len() >= count {
            return found.into_iter().map(|gap| (gap["tag"].as_str().map(str::to_owned), time(&gap, "start"), time(&gap, "end"))).collect();
        }
        assert!(Instant::now() < until, "{count} gaps of {reason} are recorded, once there is room: {found:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn device(server: &impl Serving, name: &str) -> DeviceStatus {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let devices = runtime.block_on(async {
        let mut client = CollectorServiceClient::connect(format!("http://{}", server.address())).await.unwrap();
        client.get_status(GetStatusRequest {}).await.unwrap().into_inner().devices
    });
    devices.into_iter().find(|device| device.device == name).unwrap()
}

#[test]
fn a_store_without_room_for_a_while_costs_no_collected_sample() {
    let narrow = Narrow::new("");
    let run = narrow.run();
    let (listen, full) = (run.listen, &narrow.full);
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
    run.stop();
}

#[test]
fn what_a_full_spool_drops_is_bad_and_a_gap_from_the_first_lost_sample_to_the_next_kept_one() {
    let narrow = Narrow::new("[storage]\nspool_samples_max = 32\n[spool]\nbytes_max = 0\n");
    let run = narrow.run();
    let before = await_good(&run.listen, "plc/a", 0, 5).len();
    narrow.full.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(10));
    let dropped = device(&run.listen, "plc").samples_dropped;
    assert!(dropped > 40, "some 100 samples came, and 34 can wait: {dropped}");
    narrow.full.store(false, Ordering::SeqCst);
    let found = await_good(&run.listen, "plc/a", before, 50);
    let bad: Vec<usize> = (0..found.len()).filter(|&row| !is_good(&found[row])).collect();
    assert_eq!(bad.len(), 1, "{found:?}");
    let (lost, next) = (&found[bad[0]], &found[bad[0] + 1]);
    assert_eq!((lost.1.as_str(), lost.2.as_str()), ("", "BadDataLost"));
    assert!(next.0 - lost.0 > 4_000_000_000, "{found:?}");
    let good: Vec<i64> = found.iter().filter(|row| is_good(row)).map(|row| row.0).collect();
    let steps = good.windows(2).filter(|pair| pair[1] - pair[0] > 900_000_000).count();
    assert_eq!(steps, 1, "nothing is absent but what is told: {good:?}");
    assert!(percent_good(&run.listen, "plc/a", lost.0, next.0).abs() < 1e-9);
    assert_eq!(await_gaps(&run.listen, "spool_overflow", 1), [(Some("plc/a".to_owned()), lost.0, next.0)]);
    run.stop();
}

#[test]
fn what_waits_for_room_in_memory_when_the_historian_stops_is_told_by_the_next_start() {
    let narrow = Narrow::new("[spool]\nbytes_max = 0\n");
    let run = narrow.run();
    let before = await_good(&run.listen, "plc/a", 0, 5);
    narrow.full.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(4));
    run.stop();
    // The disk is as full when it starts again, and when it is stopped once more.
    let run = narrow.run();
    let stored = rows(&run.listen, "plc/a");
    let last = stored[stored.len() - 1].0;
    assert!(stored.iter().all(is_good) && stored.len() >= before.len());
    std::thread::sleep(Duration::from_secs(3));
    assert!(gaps(&run.listen).is_empty());
    run.stop();
    let run = narrow.run();
    std::thread::sleep(Duration::from_secs(1));
    narrow.full.store(false, Ordering::SeqCst);
    // Both waited for room: the samples, which come at once, and what tells the silence before them, which has a way of its own.
    await_good(&run.listen, "plc/a", stored.len(), 5);
    let found = await_rows(&run.listen, "plc/a", |found| !found.iter().all(is_good));
    let bad: Vec<usize> = (0..found.len()).filter(|&row| !is_good(&found[row])).collect();
    assert_eq!(bad.len(), 1, "{found:?}");
    let (lost, next) = (found[bad[0]].0, found[bad[0] + 1].0);
    assert!(lost - last < 1_000_000_000 && next - lost > 8_000_000_000, "since the disk was full: {last} {found:?}");
    let gaps = await_gaps(&run.listen, "collector_down", 1);
    let [(None, start, end)] = gaps.as_slice() else { panic!("{gaps:?}") };
    assert!(*start <= lost && lost - start < 1_500_000_000 && *end <= next && next - end < 3_000_000_000, "{gaps:?} {lost} {next}");
    run.stop();
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
    let historian = serve(&directory.path().join("data"), &["--config", file.to_str().unwrap()]);
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
    // Counted as delivering when they come, and as samples when they are stored.
    await_status("both deliver", &|status| status.items_delivering == 2 && status.samples >= 2);
    let stored = device(&historian, "scada").samples;
    write(&mut opcua, "Double", json!(7.5), now + 3 * 86_400 * 1_000_000_000);
    let status = await_status("it is rejected", &|status| status.samples_rejected > 0);
    assert_eq!(status.samples, stored, "what is rejected is not counted as stored");
    assert_eq!((status.items_delivering, status.state.as_str(), status.undelivered_tags), (1, "degraded", 1), "{status:?}");
    assert!(status.last_error.contains("scada/Double") && status.last_error.contains("ahead of the historian's clock"), "{status:?}");
    assert_eq!(status.undelivered[0].tag, "scada/Double");
    // The value of before is over where the one that was not taken came.
    let ended = rows(&historian, "scada/Double");
    let bad = &ended[ended.len() - 1];
    assert_eq!((bad.1.as_str(), bad.2.as_str()), ("", "BadDataLost"), "{ended:?}");
    assert!((percent_good(&historian, "scada/Double", bad.0, bad.0 + 1_000_000)).abs() < 1e-9);
    assert_eq!(rows(&historian, "scada/Boolean").iter().filter(|row| !is_good(row)).count(), 0);
    let told = await_gaps(&historian, "rejected", 1);
    assert_eq!(told, [(Some("scada/Double".to_owned()), bad.0, i64::MAX)]);
    let later = Clock::now(&SystemClock).0 / 1_000 * 1_000;
    write(&mut opcua, "Double", json!(8.5), later);
    await_status("both deliver again", &|status| status.items_delivering == 2 && status.undelivered_tags == 0);
    let found = rows(&historian, "scada/Double");
    assert_eq!((found[found.len() - 1].1.as_str(), found[found.len() - 1].0), ("8.5", later), "{found:?}");
    historian.stop().unwrap();
    // The gap ends with the run at the latest.
    let historian = serve(&directory.path().join("data"), &["--config", file.to_str().unwrap()]);
    let told = await_gaps(&historian, "rejected", 2);
    assert_eq!(told[1], (Some("scada/Double".to_owned()), bad.0, later));
}
