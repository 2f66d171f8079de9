//! Health tells the truth: what it says while the disk is full, after the journal failed, and during a stop. What it says while the store is opened is
//! told in `told/start.rs`.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use historian::{
    server::{
        self, World,
        config::{self, Overrides},
    },
    store::{Store, StoreError, StoreLayer},
};
use historian_proto::v1::{
    DoubleColumn, TagSamples, Values, WriteRequest, WriteSamplesRequest, values::Column, write_service_client::WriteServiceClient,
};
use historian_test_support::http;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::PATIENCE;
use crate::support::historian::free_addresses;

/// A store that has no room, or whose disk fails, while it is told so.
#[derive(Clone, Default)]
struct Fate {
    full: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
}

struct Fated {
    inner: Arc<dyn Store>,
    fate: Fate,
}

impl StoreLayer for Fated {
    fn inner(&self) -> Arc<dyn Store> {
        self.inner.clone()
    }

    fn room(&self) -> Result<(), StoreError> {
        if self.fate.full.load(Ordering::SeqCst) {
            Err(StoreError::Full("the disk is full, says the test".into()))
        } else {
            self.inner.room()
        }
    }

    fn append_journal(&self, records: &[(u64, Vec<u8>)], durable: bool) -> Result<(), StoreError> {
        if self.fate.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Io("the disk does not answer, says the test".into()));
        }
        StoreLayer::room(self)?;
        self.inner.append_journal(records, durable)
    }
}

/// A historian in this process over such a store.
struct Running {
    runtime: tokio::runtime::Runtime,
    listen: SocketAddr,
    http: SocketAddr,
    fate: Fate,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<anyhow::Result<()>>,
    _directory: tempfile::TempDir,
}

impl Running {
    fn start(text: &str) -> Running {
        Running::start_with(text, Fate::default())
    }

    fn start_with(text: &str, fate: Fate) -> Running {
        let directory = tempfile::tempdir().unwrap();
        let [listen, http] = free_addresses();
        let overrides =
            Overrides { listen: Some(listen), http: Some(http), data_dir: Some(directory.path().join("data")), ..Overrides::default() };
        let configuration = config::parse("f.toml", text, directory.path(), &overrides).unwrap();
        let stop = CancellationToken::new();
        let world = {
            let fate = fate.clone();
            World { store: Box::new(move |inner| Arc::new(Fated { inner, fate })), ..World::default() }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let server = runtime.spawn(server::run_in(world, configuration, stop.clone()));
        let running = Running { runtime, listen, http, fate, stop, server, _directory: directory };
        running.until("/healthz", 200);
        running
    }

    fn get(&self, path: &str) -> (u16, String) {
        http::get(self.http, path).unwrap_or_else(|error| (0, error.to_string()))
    }

    /// Waits for an answer with this code; its text.
    fn until(&self, path: &str, code: u16) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let (found, text) = self.get(path);
            if found == code {
                return text;
            }
            assert!(Instant::now() < until, "{path}: {found} {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn verbose(&self, path: &str) -> Json {
        let text = self.get(&format!("{path}?verbose")).1;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn write(&self) -> Result<(), Code> {
        self.runtime
            .block_on(async {
                let mut client = WriteServiceClient::connect(format!("http://{}", self.listen)).await.unwrap();
                client.write_samples(WriteSamplesRequest { options: Some(OPTIONS), samples: vec![samples()] }).await.map(drop)
            })
            .map_err(|status| status.code())
    }

    fn end(self) {
        self.stop.cancel();
        self.runtime.block_on(self.server).unwrap().unwrap();
    }
}

const OPTIONS: WriteRequest = WriteRequest { mode: 0, durability: 0, create_tags: true };

fn samples() -> TagSamples {
    TagSamples {
        tag: "a/b".into(),
        timestamps: vec![1_767_225_600_000_000_000],
        values: Some(Values { column: Some(Column::F64(DoubleColumn { values: vec![1.0] })) }),
        ..TagSamples::default()
    }
}

#[test]
fn while_the_disk_is_full_it_is_alive_and_not_ready_and_says_why() {
    let running = Running::start("");
    assert_eq!(running.verbose("/readyz")["ok"], true);
    running.fate.full.store(true, Ordering::SeqCst);
    // Although nobody has tried to write yet.
    let (code, text) = running.get("/readyz");
    assert!(code == 503 && text.starts_with("not accepting writes, no room: ") && text.contains("says the test"), "{code} {text}");
    assert_eq!(running.write(), Err(Code::ResourceExhausted));
    // It ends by itself, so nobody need restart anything.
    assert_eq!(running.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(running.get("/livez"), (200, "ok\n".to_owned()));
    let told = running.verbose("/readyz");
    let room = told["checks"].as_array().unwrap().iter().find(|check| check["name"] == "room").unwrap();
    assert!(told["ok"] == false && room["ok"] == false && room["reason"].as_str().unwrap().contains("says the test"), "{told}");
    assert_eq!(running.verbose("/healthz")["ok"], true);

    // There is room again, and still nobody writes.
    running.fate.full.store(false, Ordering::SeqCst);
    assert_eq!(running.get("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(running.write(), Ok(()));
    running.end();
}

#[test]
fn after_the_journal_failed_it_is_alive_and_neither_ready_nor_well() {
    let running = Running::start("");
    assert_eq!(running.write(), Ok(()));
    running.fate.broken.store(true, Ordering::SeqCst);
    assert_eq!(running.write(), Err(Code::Unavailable));
    // What the disk did is not known: only a restart helps.
    running.fate.broken.store(false, Ordering::SeqCst);
    for path in ["/readyz", "/healthz"] {
        let (code, text) = running.get(path);
        assert!(code == 503 && text.starts_with("not accepting writes: ") && text.contains("says the test"), "{path}: {code} {text}");
        let told = running.verbose(path);
        let journal = told["checks"].as_array().unwrap().iter().find(|check| check["name"] == "journal").unwrap();
        assert!(told["ok"] == json!(false) && journal["reason"].as_str().unwrap().contains("says the test"), "{path}: {told}");
    }
    assert_eq!(running.get("/livez"), (200, "ok\n".to_owned()));
    running.end();
}

#[test]
fn while_it_stops_new_connections_hear_so_until_it_has_stopped() {
    // A device that does not answer, and a disk that is full: what was collected waits for room during the stop, for some seconds.
    let device = "[[modbus]]\nname = \"d\"\nendpoint = \"127.0.0.1:1\"\n[[modbus.tag]]\nname = \"t\"\naddress = \"holding:1\"\n";
    let fate = Fate::default();
    fate.full.store(true, Ordering::SeqCst);
    let running = Running::start_with(device, fate);
    let until = Instant::now() + PATIENCE;
    while !running.get("/metrics").1.lines().any(|line| line.starts_with("historian_device_spool_samples{") && !line.ends_with(" 0")) {
        assert!(Instant::now() < until, "{}", running.get("/metrics").1);
        std::thread::sleep(Duration::from_millis(20));
    }
    // A connection on which somebody is in the middle of a request.
    let mut slow = TcpStream::connect(running.http).unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
    running.stop.cancel();
    for _ in 0..20 {
        assert_eq!(running.get("/readyz"), (503, "stopping\n".to_owned()));
        assert_eq!(running.get("/healthz"), (503, "not accepting writes: stopping\n".to_owned()));
        assert_eq!(running.get("/livez"), (200, "ok\n".to_owned()));
        std::thread::sleep(Duration::from_millis(50));
    }
    slow.write_all(b"Host: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.to_ascii_lowercase().contains("x-request-id: "), "{answer}");
    let http = running.http;
    running.end();
    assert!(TcpStream::connect(http).is_err(), "it has stopped");
}
