//! The OPC UA collector against servers: asyncua (`tests/peers/opcua_server.py`), async-opcua with small limits, and ones that misbehave.

use std::{
    io::Write,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use historian::{
    collector::{Collector, CollectorContext, ConfigProblem, DeviceStatus, FoundTags, Spool, status::DeviceState},
    model::{Clock, Quality, SystemClock, TagId, Value},
    server::config::{self, Overrides},
};
use opcua::{
    nodes::VariableBuilder,
    server::{
        ServerBuilder,
        diagnostics::NamespaceMetadata,
        node_manager::memory::{SimpleNodeManager, simple_node_manager},
    },
    types::{DataTypeId, NodeId, ObjectId, VariableTypeId},
};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use historian_test_support::process::{Signal, send};

use super::support::{peer::Peer, recorder::Recorder};

/// Long enough for a loaded machine; nothing waits so long when it works.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// 2026-01-01T00:00:00Z, the source time of the first values of plain nodes.
pub const FIRST: i64 = 1_767_225_600_000_000_000;
pub const GONE: u32 = Quality::BAD_NO_COMMUNICATION.0;

pub type Sample = (i64, Option<Value>, u32);

/// Builds the collector of the one device of a configuration, as the server does.
pub fn try_build(text: &str) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>> {
    let read = config::parse("historian.toml", text, Path::new("."), &Overrides::default())?;
    let [collector] = &read.collectors[..] else { panic!("one device: {text}") };
    Ok(collector.clone())
}

pub fn build(text: &str) -> Arc<dyn Collector> {
    try_build(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Configuration of a device with short times; `more` are further keys.
pub fn device(endpoint: &str, more: &str) -> String {
    format!(
        "[[opcua]]\nname = \"peer\"\nendpoint = \"{endpoint}\"\npublishing_ms = 100\nqueue_size = 1000\nretry_ms = 300\n\
         reconnect_max_ms = 400\nwatchdog_ms = 3000\ntimeout_ms = 20000\n{more}\n"
    )
}

pub fn open_device(port: &str) -> String {
    device(&format!("opc.tcp://127.0.0.1:{port}"), "security_policy = \"None\"")
}

pub fn tag(name: &str, value_type: &str) -> String {
    format!("[[opcua.tag]]\nname = \"{name}\"\naddress = \"nsu=urn:plant;s={name}\"\ntype = \"{value_type}\"\n")
}

pub fn plain_tags(count: usize) -> String {
    (0..count).map(|number| tag(&format!("n{number}"), "f64")).collect()
}

/// A collector at work with a recorder behind it.
pub struct Running {
    pub collector: Arc<dyn Collector>,
    pub recorder: Arc<Recorder>,
    pub status: Arc<DeviceStatus>,
    pub stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    pub fn start(text: &str) -> Running {
        let collector = build(text);
        let recorder = Arc::new(Recorder::default());
        let status = Arc::new(DeviceStatus::new("peer", "opcua", collector.endpoint()));
        let spool = Spool::new(1_000_000, status.clone());
        let (stop, drained) = (CancellationToken::new(), CancellationToken::new());
        let ids: Vec<TagId> = (0..collector.tags().len() as u32).map(TagId).collect();
        status.set_scene(Arc::new(SystemClock), ids.iter().copied().zip(collector.tags().into_iter().map(|tag| tag.name)).collect());
        let context = CollectorContext {
            spool: spool.clone(),
            clock: Arc::new(SystemClock),
            status: status.clone(),
            last: Vec::new(),
            unfilled: Vec::new(),
            found: FoundTags::default(),
            shutdown: stop.clone(),
        };
        let running = collector.clone();
        let tasks = vec![
            tokio::spawn({
                let drained = drained.clone();
                async move {
                    running.run(ids, context).await;
                    drained.cancel();
                }
            }),
            tokio::spawn(spool.drain(recorder.clone(), drained)),
        ];
        Running { collector, recorder, status, stop, tasks }
    }

    pub fn of(&self, name: &str) -> Vec<Sample> {
        let index = self.collector.tags().iter().position(|tag| tag.name.as_str() == name).expect("the tag is configured");
        let Some(run) = self.recorder.of(TagId(index as u32)) else { return Vec::new() };
        (0..run.len()).map(|row| (run.timestamps[row], run.value(row), run.qualities[row])).collect()
    }

    /// Tags that deliver, by what the collector tells and by what was handed on: of the two the one that lags.
    pub fn delivering(&self) -> u64 {
        let told = self.status.items_delivering.load(Ordering::Relaxed);
        let is_good = |tag| {
            let run = self.recorder.of(TagId(tag));
            run.is_some_and(|run| run.qualities.last().is_some_and(|last| !Quality(*last).is_bad()))
        };
        // What the collector tells first is asked first: most waits end there.
        let count = self.collector.tags().len() as u32;
        if told == 0 { 0 } else { told.min((0..count).filter(|tag| is_good(*tag)).count() as u64) }
    }

    /// The state of the device, and the last quality of each tag.
    fn told(&self) -> String {
        let count = self.collector.tags().len().min(20) as u32;
        let last = |tag| self.recorder.of(TagId(tag)).and_then(|run| run.qualities.last().map(|last| Quality(*last)));
        format!("last qualities {:?}, status {:?}", (0..count).map(last).collect::<Vec<_>>(), self.status.view())
    }

    pub async fn until(&self, what: &str, condition: impl Fn(&Running) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(begun.elapsed() < PATIENCE, "{what} did not come; {} delivering, {}", self.delivering(), self.told());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            tokio::time::timeout(Duration::from_secs(10), task).await.expect("stops in time").expect("does not panic");
        }
        assert_eq!(self.status.view().state, DeviceState::Stopped);
    }
}

pub fn server(arguments: &[&str]) -> (Peer, String) {
    Peer::python("opcua_server.py", arguments)
}

pub fn command(peer: &mut Peer, command: &Json) {
    writeln!(peer.stdin, "{command}").expect("the peer takes commands");
    peer.line_starting("done", PATIENCE);
}

pub fn write(peer: &mut Peer, node: &str, kind: &str, value: &Json, status: u32, source: i64) {
    command(peer, &json!({ "write": [[node, kind, value, status, source, source]] }));
}

/// What is sent: value and status; and the value that must be recorded.
type Change = (Json, u32, Option<Value>);

/// What asyncua sends of every type, with the samples that must come of it: values in time order.
fn known_signals() -> Vec<(&'static str, &'static str, Vec<Change>)> {
    let uncertain = Quality::UNCERTAIN_SENSOR_NOT_ACCURATE.0;
    let failed = Quality::BAD_SENSOR_FAILURE.0;
    vec![
        (
            "Double",
            "f64",
            vec![
                (json!(1.5), 0, Some(Value::F64(1.5))),
                (json!(-0.25), uncertain, Some(Value::F64(-0.25))),
                (json!(7.0), failed, None),
                (json!(0.1), 0x0000_0480, Some(Value::F64(0.1))), // Good, and samples were lost in the server
                (json!(1e308), 0x4094_0000 | 0x0600, Some(Value::F64(1e308))),
                (Json::Null, 0, None),
                (json!(2.5), 0x0096_0000, Some(Value::F64(2.5))), // GoodLocalOverride
            ],
        ),
        ("Float", "f32", vec![(json!(0.1), 0, Some(Value::F32(0.1))), (json!(-3.25e38_f32), 0, Some(Value::F32(-3.25e38_f32)))]),
        ("SByte", "i64", vec![(json!(-128), 0, Some(Value::I64(-128))), (json!(127), 0, Some(Value::I64(127)))]),
        ("Byte", "u64", vec![(json!(255), 0, Some(Value::U64(255))), (json!(0), 0, Some(Value::U64(0)))]),
        ("Int16", "i64", vec![(json!(-32768), 0, Some(Value::I64(-32768)))]),
        ("UInt16", "u64", vec![(json!(65535), 0, Some(Value::U64(65535)))]),
        ("Int32", "state", vec![(json!(3), 0, Some(Value::State(3))), (json!(-1), 0, None), (json!(0), 0, Some(Value::State(0)))]),
        ("UInt32", "f64", vec![(json!(4_294_967_295_u32), 0, Some(Value::F64(4_294_967_295.0)))]),
        ("Int64", "i64", vec![(json!(i64::MIN), 0, Some(Value::I64(i64::MIN))), (json!(i64::MAX), 0, Some(Value::I64(i64::MAX)))]),
        ("UInt64", "u64", vec![(json!(u64::MAX), 0, Some(Value::U64(u64::MAX)))]),
        ("Boolean", "bool", vec![(json!(true), 0, Some(Value::Bool(true))), (json!(false), failed, None)]),
        (
            "String",
            "string",
            vec![(json!("Größe ✓"), 0, Some(Value::String("Größe ✓".into()))), (json!(""), 0, Some(Value::String(String::new())))],
        ),
        ("LocalizedText", "string", vec![(json!("open"), 0, Some(Value::String("open".into())))]),
        (
            "Guid",
            "string",
            vec![(json!("09087e75-8e5e-499b-954f-f2a9603db28a"), 0, Some(Value::String("09087e75-8e5e-499b-954f-f2a9603db28a".into())))],
        ),
    ]
}

fn quality_of(value: Option<&Value>, status: u32, sent: &Json) -> u32 {
    match value {
        None if sent.is_null() => Quality::BAD_NO_DATA.0,
        None if status == 0 => Quality::BAD_OUT_OF_RANGE.0,
        _ => status,
    }
}

/// Commands every known change, some at once within one publishing interval and some one by one, and returns what must be recorded.
fn play(peer: &mut Peer, from: usize, to: usize, expected: &mut [Vec<Sample>]) {
    for (tag, (node, _, changes)) in known_signals().into_iter().enumerate() {
        let mut writes = Vec::new();
        for (step, (sent, status, value)) in changes.into_iter().enumerate() {
            if (from..to).contains(&step) {
                let source = FIRST + step as i64 * 1_000_000_000 + tag as i64 * 1_000 + 123_456_000;
                expected[tag].push((source, value.clone(), quality_of(value.as_ref(), status, &sent)));
                writes.push(json!([node, node, sent, status, source, source + 1_000]));
            }
        }
        if !writes.is_empty() {
            command(peer, &json!({ "write": writes }));
        }
    }
}

async fn collects_exactly(peer: &mut Peer, text: &str) {
    let text = text.to_owned() + &known_signals().iter().map(|(node, value_type, _)| tag(node, value_type)).collect::<String>();
    let mut expected = vec![Vec::new(); known_signals().len()];
    play(peer, 0, 1, &mut expected);
    let running = Running::start(&text);
    running.until("the first values", |r| r.delivering() == known_signals().len() as u64).await;
    running.until("the state", |r| r.status.view().state == DeviceState::Running).await;
    play(peer, 1, 2, &mut expected);
    play(peer, 2, 9, &mut expected);
    let wanted: usize = expected.iter().map(Vec::len).sum();
    let recorded = |r: &Running| known_signals().iter().map(|(node, ..)| r.of(node).len()).sum::<usize>();
    let begun = Instant::now();
    while recorded(&running) < wanted && begun.elapsed() < PATIENCE / 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await; // time for anything doubled
    for ((node, ..), expected) in known_signals().iter().zip(&expected) {
        assert_eq!(&running.of(node), expected, "{node}");
    }
    assert_eq!(running.status.connects.load(Ordering::Relaxed), 1);
    assert_eq!(running.status.exceptions.load(Ordering::Relaxed), 0, "{:?}", running.status.view());
    assert!(running.status.requests.load(Ordering::Relaxed) > 0);
    assert_eq!(running.status.samples.load(Ordering::Relaxed), wanted as u64);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_time_and_status_comes_through_exactly() {
    let (mut peer, port) = server(&[]);
    collects_exactly(&mut peer, &open_device(&port)).await;
}

pub fn text_of(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

pub fn password_file(folder: &Path, password: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_with_user_and_trust() {
    let folder = tempfile::tempdir().unwrap();
    let (mut peer, port) = server(&["--secure", text_of(folder.path()), "--user", "historian", "--password", "s3cret"]);
    let pki = folder.path().join("pki");
    let password = password_file(folder.path(), "s3cret");
    let text = device(
        &format!("opc.tcp://127.0.0.1:{port}"),
        &format!(
            "user = \"historian\"\npassword_file = \"{password}\"\npki_dir = \"{}\"\ncertificate_hostname = \"localhost\"",
            text_of(&pki)
        ),
    );
    let one = tag("Double", "f64");

    // An unknown certificate: the message names the file to move, and moving it is all there is to do.
    let running = Running::start(&(text.clone() + &one));
    running.until("the refusal", |r| r.status.view().last_error.contains("not trusted")).await;
    let message = running.status.view().last_error;
    let rejected = std::fs::read_dir(pki.join("rejected")).unwrap().next().expect("the certificate is kept").unwrap().path();
    assert!(message.contains(text_of(&rejected)) && message.contains("trusted/"), "{message}");
    assert_eq!(running.status.connects.load(Ordering::Relaxed), 0);
    std::fs::rename(&rejected, pki.join("trusted").join(rejected.file_name().unwrap())).unwrap();
    running.until("the connection", |r| r.status.connects.load(Ordering::Relaxed) == 1).await;
    running.stop().await;
    let key = std::fs::metadata(pki.join("private/private.pem")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);

    collects_exactly(&mut peer, &text).await;

    // Each wrong setting has a message of its own; none hangs.
    let wrong_password = password_file(&pki, "wrong");
    let readable = folder.path().join("readable");
    std::fs::write(&readable, "s3cret").unwrap();
    // It is there when the configuration is read, and gone when the collector connects.
    let vanished = folder.path().join("vanished");
    std::fs::write(&vanished, "s3cret").unwrap();
    for (from, to, expected) in [
        (password.as_str(), wrong_password.as_str(), "check user and password_file"),
        (password.as_str(), text_of(&readable), "chmod 600"),
        (password.as_str(), text_of(&vanished), text_of(&vanished)),
        ("certificate_hostname = \"localhost\"", "", "does not name the host \"127.0.0.1\""),
        ("timeout_ms", "security_policy = \"Aes128Sha256RsaOaep\"\ntimeout_ms", "it offers: Basic256Sha256 SignAndEncrypt"),
        ("user = \"historian\"\npassword_file", "#", "takes no anonymous user"),
        ("pki_dir", "application_uri = \"urn:other\"\npki_dir", "application URI \"urn:other\""),
    ] {
        let collector = build(&(text.replace(from, to) + &one));
        if to == text_of(&vanished) {
            std::fs::remove_file(&vanished).unwrap();
        }
        let rows = collector.check(Duration::from_secs(30)).await;
        assert!(rows[0].error.contains(expected), "{to}: {}", rows[0].error);
        assert!(!rows[0].error.contains("s3cret") && !rows[0].error.contains("wrong\""), "{}", rows[0].error);
    }
    for allowed in ["verify_hostname = false", "security_policy = \"Aes256Sha256RsaPss\"\ncertificate_hostname = \"localhost\""] {
        let rows = build(&(text.replace("certificate_hostname = \"localhost\"", allowed) + &one)).check(Duration::from_secs(30)).await;
        assert_eq!((rows[0].error.as_str(), rows[0].value.clone()), ("", Some(Value::F64(2.5))), "{allowed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_with_other_namespaces_and_a_missing_node() {
    const COUNT: usize = 1_000;
    let (mut first, port) = server(&["--nodes", "1000"]);
    let running = Running::start(&(open_device(&port) + &plain_tags(COUNT)));
    running.until("all values", |r| r.delivering() == COUNT as u64).await;
    assert_eq!(running.status.items_created.load(Ordering::Relaxed), COUNT as u64);

    first.kill();
    running.until("the outage", |r| (0..COUNT).all(|n| r.of(&format!("n{n}")).len() == 2)).await;
    assert_eq!(running.delivering(), 0);
    running.until("the waiting", |r| r.status.view().state == DeviceState::Backoff).await;

    let again = ["--nodes", "1000", "--port", &port, "--namespaces", "urn:new,urn:more,urn:plant", "--without", "n7"];
    let (mut second, _) = server(&again);
    running.until("the recovery", |r| r.delivering() == COUNT as u64 - 1).await;
    running.until("the refusal", |r| r.of("n7").len() == 3).await;
    let view = running.status.view();
    assert_eq!((view.state, view.holes.len()), (DeviceState::Degraded, 1));
    assert!(view.last_error.contains("n7") && view.last_error.contains("BadNodeIdUnknown"), "{}", view.last_error);

    command(&mut second, &json!({ "add": ["n7"] }));
    write(&mut second, "n7", "Double", &json!(7.0), 0, FIRST);
    running.until("the last node", |r| r.delivering() == COUNT as u64).await;
    running.until("the state", |r| r.status.view().state == DeviceState::Running).await;
    write(&mut second, "n5", "Double", &json!(5.5), 0, FIRST + 1_000);
    running.until("a change", |r| r.of("n5").len() >= 4).await;
    let now = SystemClock.now().0;
    for number in 0..COUNT {
        let samples = running.of(&format!("n{number}"));
        let value = Some(Value::F64(number as f64));
        // The value is old, so it is written again after the Bad sample: the latest sample is Good.
        assert_eq!(samples[0], (FIRST, value.clone(), 0), "{samples:?}");
        assert_eq!((&samples[1].1, samples[1].2), (&None, GONE), "{samples:?}");
        assert!(samples[1].0 > FIRST && samples[1].0 < now);
        match number {
            7 => {
                assert_eq!((&samples[2].1, samples[2].2), (&None, Quality::BAD_NODE_ID_UNKNOWN.0), "{samples:?}");
                let last = samples.last().unwrap();
                assert_eq!((&last.1, last.2), (&value, 0), "{samples:?}");
            }
            5 => {
                assert_eq!((&samples[2].1, samples[2].2), (&value, 0), "{samples:?}");
                assert_eq!(samples[3], (FIRST + 1_000, Some(Value::F64(5.5)), 0), "{samples:?}");
                // Older than the extra sample, so the newer value follows that.
                assert_eq!(samples[4], (samples[2].0 + 1, Some(Value::F64(5.5)), 0), "{samples:?}");
            }
            _ => {
                assert_eq!(samples.len(), 3, "{samples:?}");
                assert_eq!((&samples[2].1, samples[2].2), (&value, 0), "{samples:?}");
            }
        }
        assert!(samples[2].0 > samples[1].0 && samples[2].0 <= now, "{samples:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_noticed_by_its_silence() {
    let (mut peer, port) = server(&["--nodes", "3"]);
    let running = Running::start(&(open_device(&port).replace("timeout_ms = 20000", "timeout_ms = 1000") + &plain_tags(3)));
    running.until("all values", |r| r.delivering() == 3).await;
    send(peer.pid(), Signal::STOP).unwrap();
    running.until("the watchdog", |r| r.status.view().last_error.contains("neither data nor keep-alive")).await;
    running.until("the outage", |r| r.of("n0").last().unwrap().2 == GONE).await;
    // It still accepts connections, and never answers.
    running.until("a timeout", |r| r.status.view().last_error.contains("no answer within 1000 ms")).await;
    assert!(running.status.timeouts.load(Ordering::Relaxed) >= 2);
    send(peer.pid(), Signal::CONT).unwrap();
    running.until("the recovery", |r| r.delivering() == 3).await;
    write(&mut peer, "n0", "Double", &json!(9.0), 0, SystemClock.now().0 / 1000 * 1000);
    running.until("a change", |r| r.of("n0").last().unwrap().1 == Some(Value::F64(9.0))).await;
    assert_eq!(running.of("n0").iter().filter(|sample| sample.2 == GONE).count(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_never_answers_holds_up_nobody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("opc.tcp://{}", listener.local_addr().unwrap());
    let (_peer, port) = server(&["--nodes", "3"]);
    let hung =
        Running::start(&(device(&mute, "security_policy = \"None\"").replace("timeout_ms = 20000", "timeout_ms = 300") + &plain_tags(3)));
    let fine = Running::start(&(open_device(&port) + &plain_tags(3)));
    fine.until("all values", |r| r.delivering() == 3).await;
    hung.until("two timeouts", |r| r.status.timeouts.load(Ordering::Relaxed) >= 2).await;
    assert!(hung.status.view().last_error.contains("no answer within 300 ms"), "{:?}", hung.status.view());
    // Never connected: each tag is Bad, once.
    hung.until("Bad samples", |r| r.of("n2").len() == 1).await;
    assert_eq!((hung.of("n0").len(), hung.of("n0")[0].2), (1, GONE));
    let begun = Instant::now();
    let rows = hung.collector.check(Duration::from_secs(2)).await;
    assert_eq!(rows.len(), 3);
    assert!(begun.elapsed() < Duration::from_secs(10) && rows.iter().all(|row| row.error.contains("no answer")), "{rows:?}");
    assert_eq!(fine.delivering(), 3);
    hung.stop().await;
    fine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_limits_is_asked_for_in_parts() {
    const COUNT: usize = 250;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let pki = tempfile::tempdir().unwrap();
    let namespace = NamespaceMetadata { namespace_uri: "urn:plant".into(), ..Default::default() };
    let mut builder = ServerBuilder::new_anonymous("limits")
        .application_uri("urn:limits")
        .host("127.0.0.1")
        .port(port)
        .pki_dir(pki.path())
        .token(stop.clone())
        .with_node_manager(simple_node_manager(namespace, "plant"));
    builder.limits_mut().operational.max_monitored_items_per_call = 40;
    builder.limits_mut().operational.max_nodes_per_read = 7;
    builder.limits_mut().subscriptions.max_monitored_items_per_sub = 110;
    let (server, handle) = builder.build().unwrap();
    let index = handle.get_namespace_index("urn:plant").unwrap();
    let manager = handle.node_managers().get_of_type::<SimpleNodeManager>().unwrap();
    for number in 0..COUNT {
        let name = format!("n{number}");
        VariableBuilder::new(&NodeId::new(index, name.as_str()), name.as_str(), name.as_str())
            .data_type(DataTypeId::Double)
            .value(number as f64)
            .has_type_definition(VariableTypeId::BaseDataVariableType)
            .organized_by(ObjectId::ObjectsFolder)
            .insert(&mut *manager.address_space().write());
    }
    let serving = tokio::spawn(server.run_with(listener));
    let text = open_device(&port.to_string()) + &plain_tags(COUNT);
    let running = Running::start(&text);
    running.until("all values", |r| r.delivering() == COUNT as u64).await;
    assert_eq!(running.status.items_created.load(Ordering::Relaxed), COUNT as u64);
    let rows = build(&text).check(Duration::from_secs(30)).await;
    for (number, row) in rows.iter().enumerate() {
        assert_eq!((row.error.as_str(), &row.value), ("", &Some(Value::F64(number as f64))), "{row:?}");
        assert!(row.latency.is_some());
    }
    running.stop().await;
    stop.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(10), serving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_shows_value_or_reason_per_tag() {
    let (mut peer, port) = server(&["--nodes", "2"]);
    write(&mut peer, "Boolean", "Boolean", &json!(true), 0, FIRST);
    write(&mut peer, "Double", "Double", &json!(1.0), Quality::BAD_SENSOR_FAILURE.0, FIRST);
    write(&mut peer, "Float", "Doubles", &json!([1.0, 2.0]), 0, FIRST);
    let unknown = "[[opcua.tag]]\nname = \"gone\"\naddress = \"nsu=urn:gone;s=x\"\n[[opcua.tag]]\nname = \"none\"\naddress = \"nsu=urn:plant;s=none\"\n";
    let text = open_device(&port) + &plain_tags(2) + &tag("Boolean", "f64") + &tag("Double", "f64") + &tag("String", "string") + unknown;
    let rows = build(&text).check(Duration::from_secs(30)).await;
    let seen: Vec<_> = rows.iter().map(|row| (row.tag.as_str(), row.value.clone(), row.quality, row.error.as_str())).collect();
    let expected = [
        ("n0", Some(Value::F64(0.0)), Quality::GOOD, ""),
        ("n1", Some(Value::F64(1.0)), Quality::GOOD, ""),
        ("Boolean", None, Quality::BAD_TYPE_MISMATCH, "the node holds a Boolean, the tag is f64; set type = \"bool\""),
        ("Double", None, Quality::BAD_SENSOR_FAILURE, "the server says BadSensorFailure"),
        ("String", None, Quality::BAD_NO_DATA, "the node has no value"),
        ("gone", None, Quality::BAD_NODE_ID_UNKNOWN, "the server has no namespace urn:gone"),
        ("none", None, Quality::BAD_NODE_ID_UNKNOWN, "the server says BadNodeIdUnknown"),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_line() {
    let good = "[[opcua]]\nname = \"d\"\nendpoint = \"opc.tcp://h:4840\"\nsecurity_policy = \"None\"\n\n\
                [[opcua.tag]]\nname = \"a/b\"\naddress = \"nsu=urn:p;s=x\"\n";
    build(good);
    let second = "\n[[opcua.tag]]\nname = \"c\"\naddress = \"nsu=urn:p;s=y\"\n";
    build(&(good.to_owned() + second));
    for (change, to, line, key, message) in [
        ("name = \"d\"", "name = \"\"", 1, "name", "empty"),
        ("opc.tcp://h:4840", "http://h", 1, "endpoint", "opc.tcp://"),
        ("opc.tcp://h:4840", "opc.tcp://", 1, "endpoint", "host:port"),
        ("opc.tcp://h:4840", "opc.tcp://h:99999", 1, "endpoint", "port"),
        ("\"None\"", "\"None\"\nredundant_endpoints = [\"h:4840\"]", 1, "redundant_endpoints", "opc.tcp://"),
        ("\"None\"", "\"None\"\nredundant_endpoints = [\"opc.tcp://h:4840\"]", 1, "redundant_endpoints", "there twice"),
        ("\"None\"", "\"Basic1\"", 1, "security_policy", "known are None, Basic256Sha256"),
        ("\"None\"", "\"Basic256\"", 1, "security_policy", "withdrawn"),
        ("\"None\"", "\"Basic256Sha256\"", 1, "pki_dir", "certificates"),
        ("\"None\"", "\"None\"\nsecurity_mode = \"Sign\"", 1, "security_mode", "policy None"),
        ("\"None\"", "\"None\"\nsecurity_mode = \"Half\"", 1, "security_mode", "known are"),
        ("\"None\"", "\"None\"\nuser = \"u\"", 1, "password_file", "missing"),
        ("\"None\"", concat!("\"None\"\npassword_file = \"", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml\""), 1, "user", "missing"),
        ("\"None\"", "\"None\"\npublishing_ms = 1", 1, "publishing_ms", "allowed are 10"),
        ("\"None\"", "\"None\"\nqueue_size = 0", 1, "queue_size", "allowed are 1"),
        ("\"None\"", "\"None\"\ntimeout_ms = 99999999999", 1, "timeout_ms", "allowed are"),
        ("\"None\"", "\"None\"\nwatchdog_ms = 600", 1, "watchdog_ms", "three times"),
        ("name = \"c\"", "name = \"a/b\"", 10, "name", "line 6"),
        ("name = \"c\"", "name = \"c//\"", 10, "name", "empty level"),
        ("nsu=urn:p;s=y", "ns=two;s=y", 10, "address", "NamespaceArray"),
        ("\"None\"", "\"None\"\nnamespaces = { two = \"urn:p\" }", 1, "namespaces", "an index from 1"),
        ("nsu=urn:p;s=y", "s", 10, "address", "s=<text>"),
        ("name = \"c\"", "name = \"c\"\ntype = \"real\"", 10, "type", "known are f64"),
        ("name = \"c\"", "name = \"c\"\nformat = \"u16\"", 10, "format", "Modbus"),
        ("name = \"c\"", "name = \"c\"\nword_order = \"ABCD\"", 10, "word_order", "Modbus"),
        ("name = \"c\"", "name = \"c\"\nscale = 0.0", 10, "scale", "every value the offset"),
        ("name = \"c\"", "name = \"c\"\nindex_range = \"1:2\"", 10, "index_range", "takes one"),
        ("name = \"c\"", "name = \"c\"\nfield = \"a..b\"", 10, "field", "without a name"),
        ("name = \"c\"", "name = \"c\"\nscan_ms = 100", 10, "scan_ms", "sampling_ms"),
        ("name = \"c\"", "name = \"c\"\ndeadband = -1.0", 10, "deadband", "positive"),
        ("name = \"c\"", "name = \"c\"\ntimestamps = \"plc\"", 10, "timestamps", "known are source, server, reception"),
        ("\"None\"", "\"None\"\ntimestamps = \"gather\"", 1, "timestamps", "known are source, server, reception"),
        ("name = \"c\"", "name = \"c\"\ntype = \"bool\"\ndeadband = 1.0", 10, "deadband", "bool"),
        ("name = \"c\"", "name = \"c\"\nsampling_ms = 99999999", 10, "sampling_ms", "allowed are"),
        ("name = \"c\"", "name = \"c\"\nrange_low = 2.0\nrange_high = 1.0", 10, "range_low", "below"),
    ] {
        let text = good.to_owned() + second;
        assert!(text.contains(change));
        let text = text.replacen(change, to, 1);
        let problems = try_build(&text).err().unwrap_or_else(|| panic!("{to} is taken"));
        assert_eq!(problems.len(), 1, "{to}: {problems:?}");
        assert!(problems[0].key.ends_with(&format!(".{key}")), "{to}: {}", problems[0]);
        assert!(problems[0].message.contains(message), "{to}: {}", problems[0]);
        // The line of the key itself, or of its table where the key is not written.
        let mut table = text.lines().skip(line - 1).enumerate().take_while(|(at, text)| *at == 0 || !text.starts_with('['));
        let line = line + table.find(|(_, text)| text.starts_with(&format!("{key} ="))).map_or(0, |(at, _)| at);
        assert_eq!((problems[0].position.file.as_str(), problems[0].position.line), ("historian.toml", line), "{to}: {}", problems[0]);
    }
    let all = try_build("[[opcua]]\nname = \"d\"\nendpoint = \"x\"\n").err().unwrap();
    assert_eq!(all.len(), 3, "{all:?}"); // endpoint, pki_dir, no tags
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("t.csv"), "name,device,address,scan_ms\n,,,\ncsv,d,bad,100\n").unwrap();
    let text = format!("tag_files = [\"t.csv\"]\n{good}");
    let problems = config::parse("historian.toml", &text, directory.path(), &Overrides::default()).err().unwrap();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let prefix = format!("{}/t.csv:3: opcua.d.tag.csv", directory.path().display());
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(
        told[0],
        format!(
            "{prefix}.scan_ms: is a key of Modbus tags; OPC UA tags have index_range, field, scale, offset, sampling_ms, queue_size, trigger, deadband, deadband_percent, timestamps, history, \
             not_available; the server sends typed values"
        )
    );
    assert!(told[1].starts_with(&format!("{prefix}.address: ")), "{told:?}");
    let told = try_build(&good.replace("endpoint", "endpont")).err().unwrap();
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "historian.toml:1: opcua.d.endpoint: this key is needed and is not there",
            "historian.toml:3: opcua.d.endpont: unknown key; did you mean \"endpoint\"?"
        ]
    );
}
