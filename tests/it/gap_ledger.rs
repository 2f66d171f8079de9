//! The ledger of gaps accounts for every second in which a tag has no samples, from outside: peers that are killed and come back, an address
//! and a node that are refused, a historian that is killed meanwhile.

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use historian::model::{Clock, SystemClock};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::{
    silence::{Row, await_good, await_rows, gaps, is_good, nanoseconds, rows, told},
    support::{
        historian::{Historian, serve},
        peer::Peer,
    },
};

const PATIENCE: Duration = Duration::from_mins(1);
const SECOND: i64 = 1_000_000_000;
/// Samples that are no further apart are there: ten polls, on a machine under load.
const TOGETHER: i64 = SECOND;
/// What a collector may take to begin, or to connect, after a start.
const BEGINNING: i64 = 3 * SECOND;

/// A gap as it stands in the end: reason, start, end.
pub type Told = (String, i64, i64);

/// Gaps that concern a tag; of those that were recorded twice the second. An open one lasts to the end of time.
pub fn told_of(historian: &Historian, tag: &str) -> Vec<Told> {
    let mut found: Vec<Told> = Vec::new();
    for gap in gaps(historian) {
        if gap["tag"] != tag && !gap["tag"].is_null() {
            continue;
        }
        let time = |bound: &str| gap[bound].as_str().map(nanoseconds);
        let (reason, start) = (gap["reason"].as_str().unwrap().to_owned(), time("start").unwrap());
        found.retain(|(before, begun, _)| (before, begun) != (&reason, &start));
        found.push((reason, start, time("end").unwrap_or(i64::MAX)));
    }
    found.sort_by_key(|(_, start, _)| *start);
    found
}

/// Waits until a tag has a gap like this.
pub fn await_gap(historian: &Historian, tag: &str, reason: &str, is_open: bool) -> Told {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = told_of(historian, tag);
        if let Some(gap) = found.iter().rfind(|gap| gap.0 == reason && (gap.2 == i64::MAX) == is_open) {
            return gap.clone();
        }
        assert!(Instant::now() < until, "{tag} has a gap {reason}, open: {is_open}: {found:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Where a tag has no Good sample for longer than a moment there is a gap, from the poll on that should have brought one to the sample
/// that comes next, and nowhere else: samples and gaps together are all of the time.
pub fn account(rows: &[Row], gaps: &[Told], period: i64) {
    let good: Vec<i64> = rows.iter().filter(|row| is_good(row)).map(|row| row.0).collect();
    let (mut sampled, mut covered) = (0, 0);
    for pair in good.windows(2) {
        let (before, next) = (pair[0], pair[1]);
        if next - before <= TOGETHER {
            sampled += next - before;
            continue;
        }
        let mut known = before + period;
        for (reason, start, end) in gaps.iter().filter(|(_, start, end)| *start < next && *end > before) {
            // Only a start of the historian takes a moment that nobody records.
            let slack = if reason == "collector_down" || known != before + period { BEGINNING } else { 0 };
            assert!(*start <= known + slack, "nothing tells of {known} to {start}: {gaps:?}");
            known = known.max(*end);
        }
        let after_start = gaps.iter().any(|(reason, _, end)| reason == "collector_down" && *end == known);
        assert!(
            known <= next && next - known <= if after_start { BEGINNING } else { 0 },
            "the gap ends at {known}, and {next} is Good: {gaps:?}"
        );
        covered += next - before;
    }
    for (_, start, end) in gaps.iter().filter(|gap| gap.2 < i64::MAX) {
        // The mark of a run is a second old at most when it is killed.
        let within = good.iter().filter(|&&at| start + TOGETHER < at && at < *end).count();
        assert_eq!(within, 0, "no gap where samples are: {start} {end}");
    }
    assert_eq!(sampled + covered, good[good.len() - 1] - good[0], "every moment is one or the other");
    assert!(covered > 0, "something was absent: {good:?}");
}

pub struct Place {
    directory: TempDir,
    file: std::path::PathBuf,
}

impl Place {
    pub fn new(configuration: &str) -> Place {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("historian.toml");
        std::fs::write(&file, configuration).unwrap();
        Place { directory, file }
    }

    pub fn serve(&self) -> Historian {
        serve(&Path::new(self.directory.path()).join("data"), &["--config", self.file.to_str().unwrap()])
    }

    fn restarted(&self, historian: Historian) -> Historian {
        historian.stop().unwrap();
        self.serve()
    }
}

/// Polls `plc/a` and an address that the peer does not have.
fn modbus(port: &str) -> Place {
    Place::new(&format!(
        "[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 100\ntimeout_ms = 500\n\
         [[modbus.tag]]\nname = \"plc/a\"\naddress = \"input:10\"\n[[modbus.tag]]\nname = \"plc/none\"\naddress = \"input:5000\"\n"
    ))
}

#[test]
fn a_modbus_device_that_was_killed_and_an_address_that_it_refuses() {
    let (mut peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let place = modbus(&port);
    let historian = place.serve();
    await_good(&historian, "plc/a", 0, 10);
    let refused = await_gap(&historian, "plc/none", "refused", true);
    peer.kill();
    let open = await_gap(&historian, "plc/a", "device_down", true);
    std::thread::sleep(Duration::from_secs(2));
    let before = rows(&historian, "plc/a").len();
    let (_peer, _) = Peer::python("modbus_server.py", &["tcp", &port]);
    let found = await_good(&historian, "plc/a", before, 10);
    let historian = place.restarted(historian);
    let found = await_good(&historian, "plc/a", found.len(), 10);
    let told = told_of(&historian, "plc/a");
    assert_eq!(told.iter().map(|gap| gap.0.as_str()).collect::<Vec<_>>(), ["device_down", "collector_down"], "{told:?}");
    assert_eq!((&told[0].0, told[0].1), (&open.0, open.1));
    account(&found, &told, SECOND / 10);

    // The tag that never had a sample: from the first start to now, one reason or another.
    await_gap(&historian, "plc/none", "refused", true);
    let told = told_of(&historian, "plc/none");
    assert_eq!(told.iter().map(|gap| gap.0.as_str()).collect::<Vec<_>>(), ["refused", "collector_down", "refused"], "{told:?}");
    assert!(told[0].1 == refused.1 && told[0].1 <= found[0].0 + SECOND, "{told:?}");
    for pair in told.windows(2) {
        assert!((pair[1].1 - pair[0].2).abs() <= BEGINNING, "{told:?}");
    }
    historian.stop().unwrap();
}

#[test]
fn a_historian_that_is_killed_while_the_device_is_down() {
    let (mut peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let place = modbus(&port);
    let mut historian = place.serve();
    await_good(&historian, "plc/a", 0, 10);
    peer.kill();
    let open = await_gap(&historian, "plc/a", "device_down", true);
    historian.kill();
    std::thread::sleep(Duration::from_secs(2));
    // The device is down still, and the historian is killed before that is on record.
    let mut historian = place.serve();
    await_rows(&historian, "plc/a", |rows| rows.last().is_some_and(|row| row.2 == "BadNoCommunication"));
    std::thread::sleep(Duration::from_millis(2500));
    historian.kill();
    let historian = place.serve();
    std::thread::sleep(Duration::from_secs(2));
    let before = rows(&historian, "plc/a").len();
    let (_peer, _) = Peer::python("modbus_server.py", &["tcp", &port]);
    let found = await_good(&historian, "plc/a", before, 10);
    let historian = place.restarted(historian);
    let found = await_good(&historian, "plc/a", found.len(), 10);
    let told = told_of(&historian, "plc/a");
    let reasons = ["device_down", "collector_down", "device_down", "collector_down", "device_down", "collector_down"];
    assert_eq!(told.iter().map(|gap| gap.0.as_str()).collect::<Vec<_>>(), reasons, "{told:?}");
    assert_eq!(told[0].1, open.1);
    account(&found, &told, SECOND / 10);
    historian.stop().unwrap();
}

#[test]
fn an_opc_ua_server_that_was_killed_and_a_node_that_it_refuses() {
    let (mut peer, port) = Peer::python("opcua_server.py", &[]);
    let place = Place::new(&format!(
        "[[opcua]]\nname = \"scada\"\nendpoint = \"opc.tcp://127.0.0.1:{port}\"\nsecurity_policy = \"None\"\npublishing_ms = 100\n\
         watchdog_ms = 3000\nreconnect_max_ms = 500\n\
         [[opcua.tag]]\nname = \"scada/a\"\naddress = \"nsu=urn:plant;s=Double\"\ntype = \"f64\"\n\
         [[opcua.tag]]\nname = \"scada/none\"\naddress = \"nsu=urn:plant;s=Nothing\"\ntype = \"f64\"\n"
    ));
    let write = |peer: &mut Peer, value: f64| {
        let now = SystemClock.now().0 / 1_000 * 1_000;
        writeln!(peer.stdin, "{}", json!({ "write": [["Double", "Double", value, 0, now, now]] })).unwrap();
        peer.line_starting("done", PATIENCE);
    };
    write(&mut peer, 1.0);
    let historian = place.serve();
    await_good(&historian, "scada/a", 0, 1);
    let refused = await_gap(&historian, "scada/none", "refused", true);
    for value in 2..6 {
        write(&mut peer, f64::from(value));
        std::thread::sleep(Duration::from_millis(300));
    }
    let before = await_good(&historian, "scada/a", 0, 5);
    peer.kill();
    let open = await_gap(&historian, "scada/a", "device_down", true);
    std::thread::sleep(Duration::from_secs(2));
    // It is another run of it, whose node has no value at first: that is a sample as well.
    let (mut peer, _) = Peer::python("opcua_server.py", &["--port", &port]);
    write(&mut peer, 9.0);
    await_good(&historian, "scada/a", before.len(), 1);
    let historian = place.restarted(historian);
    let found = rows(&historian, "scada/a");
    let told = told_of(&historian, "scada/a");
    assert_eq!(told.iter().map(|gap| gap.0.as_str()).collect::<Vec<_>>(), ["device_down", "collector_down"], "{told:?}");
    let bad = found.iter().find(|row| row.2 == "BadNoCommunication").unwrap_or_else(|| panic!("{found:?}")).0;
    let last = before[before.len() - 1].0;
    let next = found.iter().find(|row| row.0 > bad).unwrap().0;
    let (_, start, end) = told[0];
    assert_eq!((start, end), (open.1, next), "{told:?} {found:?}");
    assert!(last < start && start <= bad && bad - start <= 3 * SECOND, "from the last sign of life on: {last} {start} {bad}");
    let told = told_of(&historian, "scada/none");
    assert_eq!((told[0].0.as_str(), told[0].1), ("refused", refused.1), "{told:?}");
    assert!(told[0].2 > end && told[1].0 == "collector_down", "refused it was through the outage too: {told:?}");
    historian.stop().unwrap();
}

/// What the page and other clients ask for: the gaps of one tag in a range.
#[test]
fn a_range_has_the_gap_that_lies_in_it_once_and_none_that_is_over() {
    let (mut peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let place = modbus(&port);
    let historian = place.serve();
    await_good(&historian, "plc/a", 0, 5);
    peer.kill();
    let open = await_gap(&historian, "plc/a", "device_down", true);
    let before = rows(&historian, "plc/a").len();
    let (_peer, _) = Peer::python("modbus_server.py", &["tcp", &port]);
    await_good(&historian, "plc/a", before, 5);
    let historian = place.restarted(historian);
    let (_, start, end) = await_gap(&historian, "plc/a", "device_down", false);
    assert_eq!(start, open.1);
    let list = |from: i64, to: i64| -> Vec<Json> {
        use historian_proto::v1::{ListGapsRequest, admin_service_client::AdminServiceClient};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let time = |at: i64| historian::model::Timestamp(at).to_string();
        let request = ListGapsRequest { tags: vec!["plc/a".into()], start: time(from), end: time(to), ..ListGapsRequest::default() };
        let listed = runtime.block_on(async {
            let mut client = AdminServiceClient::connect(format!("http://{}", historian.grpc)).await.unwrap();
            client.list_gaps(request).await.unwrap().into_inner()
        });
        listed.gaps.into_iter().filter(|gap| gap.reason == "device_down").map(|gap| json!([gap.start, gap.end])).collect()
    };
    assert_eq!(list(start - SECOND, end + SECOND), [json!([start, end])]);
    assert_eq!(list(end + 1, end + SECOND), [Json::Null; 0]);
    assert_eq!(told(&historian, &["gaps"]).matches("device_down").count(), 2, "the ledger itself has both records");
}

/// As a kill leaves it that comes after the gaps of the file are on record, and before the file is gone.
#[test]
fn gaps_that_waited_for_room_are_on_record_once_after_a_kill_in_between() {
    use historian::store::{Gap, GapReason, PendingGaps};

    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    serve(&data, &[]).stop().unwrap();
    let gap = |tag: &str| Gap {
        time: historian::model::Timestamp(30 * SECOND),
        tag: Some(tag.to_owned()),
        start: Some(10 * SECOND),
        end: Some(20 * SECOND),
        reason: GapReason::CollectorDown,
        detail: "the historian was not running".to_owned(),
    };
    for (kept, recorded) in [(&["a"][..], 1), (&["a"], 1), (&["a", "b"], 2)] {
        let kept: Vec<Gap> = kept.iter().map(|tag| gap(tag)).collect();
        PendingGaps::open(&data).0.keep(&kept).unwrap();
        let historian = serve(&data, &[]);
        let told = gaps(&historian);
        assert_eq!(told.len(), recorded, "{told:?}");
        historian.stop().unwrap();
        assert_eq!(PendingGaps::open(&data).1, [], "they are on record");
    }
}
