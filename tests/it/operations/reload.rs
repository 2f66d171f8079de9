//! A configuration that changes while the historian runs, with real Modbus peers: unchanged devices are not touched, the others are.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use historian::model::{Clock, SystemClock};
use historian_test_support::process::Signal;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::{PATIENCE, Site};
use crate::{
    opcua, opcua_session,
    silence::{await_good, await_rows, gaps, is_good, rows},
    support::{
        historian::{Historian, run},
        peer::Peer,
    },
};

/// A way to a device that counts the connections that are made through it.
pub(super) struct Counted {
    pub port: u16,
    accepted: Arc<AtomicUsize>,
}

impl Counted {
    pub fn start(runtime: &tokio::runtime::Runtime, device: &str) -> Counted {
        let (accepted, device) = (Arc::new(AtomicUsize::new(0)), format!("127.0.0.1:{device}"));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (port, count) = (listener.local_addr().unwrap().port(), accepted.clone());
        runtime.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let device = device.clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(device).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Counted { port, accepted }
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// A device with tags of input registers, each by its name and number.
pub(super) fn device(name: &str, port: u16, tags: &[(&str, u16)]) -> String {
    let mut text = format!("[[modbus]]\nname = \"{name}\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 100\n");
    for (tag, number) in tags {
        text += &format!("[[modbus.tag]]\nname = \"{tag}\"\naddress = \"input:{number}\"\n");
    }
    text
}

fn reloads(historian: &Historian, outcome: &str) -> f64 {
    let metrics = historian.get("/metrics").unwrap().1;
    let name = format!("historian_config_reloads_total{{outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
}

/// Sends SIGHUP and waits until it was seen to.
pub(super) fn hang_up(historian: &mut Historian, outcome: &str) {
    let before = reloads(historian, outcome);
    historian.signal(Signal::HUP).unwrap();
    historian.wait("read again", |historian| reloads(historian, outcome) > before);
}

#[test]
fn only_devices_that_differ_are_connected_anew() {
    let (_peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let [kept, gone, altered, added] = [(); 4].map(|()| Counted::start(&runtime, &port));
    let site = Site::new();
    let kept_text = device("kept", kept.port, &[("kept/a", 10), ("kept/b", 11)]);
    let mut text = format!("[log]\nformat = \"json\"\n{kept_text}");
    text += &device("gone", gone.port, &[("gone/a", 10)]);
    text += &device("altered", altered.port, &[("altered/a", 10), ("altered/out", 12)]);
    site.configure(&text);
    let mut historian = site.start("");
    for tag in ["kept/a", "gone/a", "altered/a", "altered/out"] {
        await_good(&historian, tag, 0, 5);
    }
    assert_eq!([&kept, &gone, &altered, &added].map(Counted::accepted), [1, 1, 1, 0]);

    // The same in other words: comments, spaces, the order of tables. Nothing is touched.
    let same = format!("# moved down\n\n{}", text.replace("scan_ms = 100", "scan_ms    = 100 # as before"));
    site.configure(&same);
    hang_up(&mut historian, "applied");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!([&kept, &gone, &altered, &added].map(Counted::accepted), [1, 1, 1, 0]);

    let mut text = format!("[log]\nformat = \"json\"\nlevel = \"warn\"\n[limits]\nquery_rows_max = 7\n{kept_text}");
    text += &device("altered", altered.port, &[("altered/a", 10), ("altered/new", 13)]);
    text += &device("added", added.port, &[("added/a", 20)]);
    site.configure(&text);
    let (code, out, err) = run(&["reload", "--server", &historian.url()]);
    assert_eq!(code, 0, "{out}{err}");
    let told: Vec<&str> = out.lines().collect();
    assert_eq!(
        told,
        [
            "device added: added",
            "device gone: removed",
            "device altered: changed",
            "1 devices unchanged",
            "tags: 2 added, 0 changed, 2 removed",
            "log.level: the new value holds",
            "limits.query_rows_max: differs from what runs; the new value holds after the next start",
        ]
    );
    let log = historian.log();
    assert!(log.contains("the configuration was read again and applied") && log.contains("limits.query_rows_max"), "{log}");

    // What is new delivers, and what was kept has no hole and was connected to once.
    await_good(&historian, "added/a", 0, 5);
    await_good(&historian, "altered/new", 0, 5);
    let altered_before = rows(&historian, "altered/a").len();
    await_good(&historian, "altered/a", altered_before, 5);
    assert_eq!([&kept, &gone, &altered, &added].map(Counted::accepted), [1, 1, 2, 1]);
    for tag in ["kept/a", "kept/b"] {
        let found = rows(&historian, tag);
        let steps: Vec<i64> = found.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(found.iter().all(is_good) && steps.iter().all(|&step| step < 900_000_000), "{tag}: {steps:?}");
    }

    // What is not collected any more is Bad from then on, and on record, once, as a start would have it.
    for tag in ["gone/a", "altered/out"] {
        let found = rows(&historian, tag);
        let (last, others) = found.split_last().unwrap();
        assert!(last.2.contains("BadNotConnected") && others.iter().all(is_good), "{tag}: {found:?}");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(rows(&historian, tag).len(), found.len(), "{tag} stopped");
    }
    let open = |historian: &Historian| {
        let mut tags: Vec<String> = gaps(historian)
            .iter()
            .filter(|gap| gap["reason"] == "not_configured" && gap["end"].is_null())
            .map(|gap| gap["tag"].as_str().unwrap().to_owned())
            .collect();
        tags.sort();
        tags
    };
    assert_eq!(open(&historian), ["altered/out", "gone/a"]);
    let status = run(&["status", "--server", &historian.url()]).1;
    assert!(!status.contains("gone ") && status.contains("added ") && status.contains("kept "), "{status}");

    // It comes back: its gap ends.
    site.configure(&format!("{text}{}", device("gone", gone.port, &[("gone/a", 10)])));
    let before = rows(&historian, "gone/a").len();
    hang_up(&mut historian, "applied");
    await_good(&historian, "gone/a", before, 5);
    let ended = gaps(&historian).iter().filter(|gap| gap["tag"] == "gone/a" && gap["end"].is_string()).count();
    assert_eq!(ended, 1);
    // A start finds nothing to add.
    historian.stop().unwrap();
    let historian = site.start("");
    assert_eq!(gaps(&historian).iter().filter(|gap| gap["reason"] == "not_configured").count(), 3);
    historian.stop().unwrap();
}

/// An OPC UA device with tags of the nodes n0, n1 and on.
fn opcua_device(name: &str, port: u16, tags: usize) -> String {
    let device = opcua::open_device(&port.to_string()).replace("\"peer\"", &format!("\"{name}\""));
    let tags = opcua::plain_tags(tags).replace("name = \"n", &format!("name = \"{name}/n"));
    device + &tags
}

#[test]
fn sessions_of_opcua_devices_that_do_not_differ_are_kept_and_nothing_is_left_of_the_others() {
    let (mut kept_peer, kept_port) = opcua::server(&["--nodes", "3"]);
    let (mut altered_peer, altered_port) = opcua::server(&["--nodes", "3"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let [kept, altered] = [&kept_port, &altered_port].map(|port| Counted::start(&runtime, port));
    let site = Site::new();
    let text = |tags| opcua_device("kept", kept.port, 2) + &opcua_device("altered", altered.port, tags);
    site.configure(&text(2));
    let mut historian = site.start("");
    for tag in ["kept/n0", "kept/n1", "altered/n0", "altered/n1"] {
        await_good(&historian, tag, 0, 1);
    }
    assert_eq!([&mut kept_peer, &mut altered_peer].map(opcua_session::count), ["1 1 2", "1 1 2"]);
    // Connections are for looking at endpoints, and for the session.
    let before = [&kept, &altered].map(Counted::accepted);

    site.configure(&text(3));
    hang_up(&mut historian, "applied");
    await_good(&historian, "altered/n2", 0, 1);
    assert_eq!([&mut kept_peer, &mut altered_peer].map(opcua_session::count), ["1 1 2", "1 1 3"], "one session each");
    assert!(kept.accepted() == before[0] && altered.accepted() > before[1], "{before:?}");
    // What was kept goes on, and has no hole.
    opcua::write(&mut kept_peer, "n0", "Double", &serde_json::json!(7.5), 0, SystemClock.now().0 / 1_000 * 1_000);
    let found = await_rows(&historian, "kept/n0", |rows| rows.last().is_some_and(|row| row.1 == "7.5"));
    assert!(found.iter().all(is_good), "{found:?}");

    // Gone: its session is closed, not left to its timeout.
    site.configure(&opcua_device("kept", kept.port, 2));
    hang_up(&mut historian, "applied");
    assert_eq!([&mut kept_peer, &mut altered_peer].map(opcua_session::count), ["1 1 2", "0 0 0"]);
    let ended = rows(&historian, "altered/n2");
    assert!(ended.last().is_some_and(|row| row.2.contains("BadNotConnected")), "{ended:?}");
    historian.stop().unwrap();
}

#[test]
fn a_configuration_with_a_mistake_changes_nothing_and_is_told_everywhere() {
    let (_peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let port: u16 = port.parse().unwrap();
    let site = Site::new();
    let good = device("plc", port, &[("plc/a", 10)]);
    site.configure(&good);
    let mut historian = site.start("");
    await_good(&historian, "plc/a", 0, 3);

    for (text, told) in [
        ("[[modbus]]\nname = \"plc\"\n".to_owned(), "historian.toml:1: modbus.plc"),
        (format!("[limit]\nx = 1\n{good}"), "unknown key"),
        (good.replace("input:10\"", "input:10\"\ntype = \"i64\""), "plc/a: the catalog has it with"),
    ] {
        site.configure(&text);
        let (code, out, err) = run(&["reload", "--server", &historian.url()]);
        assert!(code == 1 && err.contains(told) && err.contains("nothing was changed"), "{code} {out}{err}");
        historian.wait("told", |historian| historian.log().contains("the configuration was not applied"));
        let metrics = historian.get("/metrics").unwrap().1;
        assert!(metrics.contains("historian_config_last_reload_successful 0\n"), "{metrics}");
    }
    assert!((reloads(&historian, "refused") - 3.0).abs() < 0.5);
    fs::remove_file(site.path("historian.toml")).unwrap();
    hang_up(&mut historian, "refused");

    // The device runs on as if nothing had been, and a good configuration is applied again.
    let before = rows(&historian, "plc/a").len();
    await_good(&historian, "plc/a", before, 3);
    site.configure(&good);
    hang_up(&mut historian, "applied");
    let metrics = historian.get("/metrics").unwrap().1;
    assert!(metrics.contains("historian_config_last_reload_successful 1\n"), "{metrics}");
    let until = Instant::now() + PATIENCE;
    while rows(&historian, "plc/a").len() < before + 6 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(rows(&historian, "plc/a").iter().all(is_good));
    historian.stop().unwrap();
}

#[test]
fn retention_and_the_level_of_the_log_hold_from_then_on() {
    let site = Site::new();
    site.configure("[log]\nlevel = \"warn\"\n");
    let mut historian = site.start("");
    let status = || run(&["status", "--server", &historian.url()]);
    assert_eq!(status().0, 0);
    assert!(!historian.log().contains("GetServerStatus"));
    site.configure("[log]\nlevel = \"debug\"\n[[retention]]\ntags = [\"a/**\"]\nage = \"30d\"\n");
    let (code, out, err) = run(&["reload", "--server", &historian.url()]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("retention: the new value holds") && out.contains("log.level: the new value holds"), "{out}");
    assert_eq!(run(&["status", "--server", &historian.url()]).0, 0);
    historian.wait("told", |historian| historian.log().contains("GetServerStatus"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let retention = runtime.block_on(historian.status()).unwrap().retention;
    assert_eq!(retention.len(), 1);
    assert_eq!((retention[0].tags.as_slice(), retention[0].age_s), (["a/**".to_owned()].as_slice(), 30 * 86_400));
    historian.stop().unwrap();

    // The variable wins, and that is told.
    site.configure("[log]\nlevel = \"warn\"\n");
    let historian = site.start("info");
    site.configure("[log]\nlevel = \"debug\"\n");
    let (code, out, err) = run(&["reload", "--server", &historian.url()]);
    assert!(code == 0 && out.contains("log.level: differs from what runs"), "{out}{err}");
    historian.stop().unwrap();
}
