//! Redundant OPC UA servers from outside: two of asyncua with the same nodes, one of which is killed, comes back, or says that it is not well.

use std::{collections::BTreeMap, io::Write as _, sync::atomic::Ordering, time::Duration};

use historian::model::{Quality, Value};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    delivery,
    opcua::{FIRST, GONE, PATIENCE, Running, build, command, device, plain_tags, server, write},
    opcua_history::{Stored, await_that, good},
    opcua_session::count,
    silence::{gaps, is_good, nanoseconds, rows},
    support::{
        historian::{Historian, serve},
        peer::Peer,
    },
};

/// For what must not happen.
const A_WHILE: Duration = Duration::from_secs(4);
/// The second server has the plant's namespace at another index.
const OTHERWISE: [&str; 4] = ["--nodes", "2", "--namespaces", "urn:new,urn:more,urn:plant"];

fn url(port: &str) -> String {
    format!("opc.tcp://127.0.0.1:{port}")
}

/// A device of the set of these two servers, with two tags.
fn set_of(first: &str, second: &str) -> String {
    let keys = format!("security_policy = \"None\"\nredundant_endpoints = [\"{}\"]", url(second));
    device(&url(first), &keys) + &plain_tags(2)
}

impl Running {
    async fn until_served_by(&self, port: &str) {
        let endpoint = url(port);
        self.until(&endpoint, |r| r.status.endpoint_in_use() == endpoint && r.delivering() == 2).await;
    }

    fn connects(&self) -> u64 {
        self.status.connects.load(Ordering::Relaxed)
    }

    /// Nobody goes anywhere for a while.
    async fn stays_at(&self, port: &str) {
        let connects = self.connects();
        tokio::time::sleep(A_WHILE).await;
        assert_eq!((self.status.endpoint_in_use(), self.connects()), (url(port), connects), "{:?}", self.status.view());
        assert_eq!(self.delivering(), 2);
    }
}

/// A new value comes by the server in use, under its source time.
async fn delivers(running: &Running, peer: &mut Peer, value: f64, at: i64) {
    write(peer, "n0", "Double", &json!(value), 0, at);
    let sample = (at, Some(Value::F64(value)), 0);
    running.until("the new value", |r| r.of("n0").contains(&sample)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_server_takes_the_place_of_one_that_is_killed_and_keeps_it() {
    let (mut first, one) = server(&["--nodes", "2"]);
    let (mut second, two) = server(&OTHERWISE);
    let running = Running::start(&set_of(&one, &two));
    running.until_served_by(&one).await;
    delivers(&running, &mut first, 5.0, FIRST + 1_000).await;
    assert_eq!(count(&mut second), "0 0 0", "one server is used");
    // The value that the plant has now is the same in both.
    write(&mut second, "n0", "Double", &json!(5.0), 0, FIRST + 1_000);

    first.kill();
    running.until_served_by(&two).await;
    let told = running.status.view().last_error;
    assert!(told.starts_with(&url(&one)) && told.ends_with(&format!("; fails over to {}", url(&two))), "{told}");
    delivers(&running, &mut second, 6.0, FIRST + 2_000).await;
    let written = running.of("n0");
    let bad: Vec<_> = written.iter().filter(|sample| Quality(sample.2).is_bad()).collect();
    assert!(matches!(bad[..], [(_, None, GONE)]), "one sample tells of the loss: {written:?}");
    let five = |sample: &&(i64, Option<Value>, u32)| sample.0 == FIRST + 1_000;
    assert_eq!(written.iter().filter(five).count(), 1, "what both servers have is stored once: {written:?}");

    // The first is preferred, and is no reason to leave a sound one.
    let (mut first, _) = server(&["--nodes", "2", "--port", &one]);
    running.stays_at(&two).await;
    assert_eq!(count(&mut first), "0 0 0");
    delivers(&running, &mut second, 7.0, FIRST + 3_000).await;
    second.kill();
    running.until_served_by(&one).await;
    delivers(&running, &mut first, 8.0, FIRST + 4_000).await;
    running.stop().await;
    assert_eq!(count(&mut first), "0 0 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_maintenance_or_degraded_is_left_and_two_degraded_ones_are_not_left_for_each_other() {
    let (mut first, one) = server(&["--nodes", "2"]);
    let (mut second, two) = server(&OTHERWISE);
    let running = Running::start(&set_of(&one, &two));
    running.until_served_by(&one).await;
    command(&mut first, &json!({ "level": 0 }));
    running.until_served_by(&two).await;
    let told = running.status.view().last_error;
    assert!(told.contains("ServiceLevel 0 (maintenance)") && told.contains(&url(&two)), "{told}");
    assert_eq!(count(&mut first), "0 0 0", "the session is closed");
    command(&mut first, &json!({ "level": 255 }));
    running.stays_at(&two).await;

    command(&mut second, &json!({ "level": 150 }));
    running.until_served_by(&one).await;
    let told = running.status.view().last_error;
    assert!(told.contains("ServiceLevel 150 (degraded)") && told.contains("ServiceLevel 255 (healthy)"), "{told}");
    assert!(told.ends_with(&format!("; fails over to {}", url(&one))), "{told}");
    command(&mut first, &json!({ "level": 140 }));
    running.stays_at(&one).await;
    delivers(&running, &mut first, 5.0, FIRST + 1_000).await;

    // Nothing is taken from either while both are in maintenance; a server that is back is used.
    command(&mut second, &json!({ "level": 1 }));
    command(&mut first, &json!({ "level": 0 }));
    running.until("the outage", |r| r.delivering() == 0).await;
    command(&mut second, &json!({ "level": 200 }));
    running.until_served_by(&two).await;
    delivers(&running, &mut second, 6.0, FIRST + 2_000).await;
    running.stop().await;
    // Neither the looks at the other server nor the moves have left a session.
    assert_eq!((count(&mut first), count(&mut second)), ("0 0 0".to_owned(), "0 0 0".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_begins_with_the_first_server_that_can_be_used() {
    let (mut first, one) = server(&["--nodes", "2"]);
    let (_second, two) = server(&OTHERWISE);
    command(&mut first, &json!({ "level": 1 }));
    let running = Running::start(&set_of(&one, &two));
    running.until_served_by(&two).await;
    running.stop().await;
    first.kill();
    let running = Running::start(&set_of(&one, &two));
    running.until_served_by(&two).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_judges_every_server_of_a_set() {
    let (mut first, one) = server(&["--nodes", "2"]);
    let (mut second, two) = server(&["--nodes", "2", "--without", "n1"]);
    command(&mut second, &json!({ "level": 150 }));
    let collector = build(&set_of(&one, &two));
    let rows = collector.check(Duration::from_secs(30)).await;
    let errors: Vec<&str> = rows.iter().map(|row| row.error.as_str()).collect();
    assert_eq!(errors[0], "");
    assert!(errors[1].starts_with(&format!("at {}: ", url(&two))) && errors[1].contains("BadNodeIdUnknown"), "{errors:?}");
    assert_eq!(rows[1].value, Some(Value::F64(1.0)), "the row is that of the first");
    let told = collector.advice(&rows);
    let expected = [
        format!("{}: ServiceLevel 255 (healthy); 2 of 2 tags good", url(&one)),
        format!("{}: ServiceLevel 150 (degraded); 1 of 2 tags good", url(&two)),
    ];
    assert_eq!(told, expected);

    first.kill();
    let rows = collector.check(Duration::from_secs(30)).await;
    assert!(rows[0].error.starts_with(&format!("{} of its set cannot be used: ", url(&one))), "{}", rows[0].error);
    assert_eq!(rows[0].value, Some(Value::F64(0.0)), "the row is that of the second");
}

/// Start, end and detail of the outages of the device as `plant/n0` has them; of those that were recorded twice the second.
fn outages(historian: &Historian) -> Vec<(i64, Option<i64>, String)> {
    let mut found: BTreeMap<i64, (Option<i64>, String)> = BTreeMap::new();
    for gap in gaps(historian).iter().filter(|gap| gap["tag"] == "plant/n0" && gap["reason"] == "device_down") {
        let time = |bound: &str| gap[bound].as_str().map(nanoseconds);
        found.insert(time("start").unwrap(), (time("end"), gap["detail"].as_str().unwrap().to_owned()));
    }
    found.into_iter().map(|(start, (end, detail))| (start, end, detail)).collect()
}

/// What the server has of `n0`.
fn history(peer: &mut Peer) -> Vec<Stored> {
    writeln!(peer.stdin, "{}", json!({ "history": "n0" })).unwrap();
    let told = peer.line_starting("done", PATIENCE);
    serde_json::from_str(told.trim_start_matches("done ")).unwrap()
}

/// A server with a history, whose values change all the time.
fn changing(arguments: &[&str]) -> (Peer, String) {
    let mut all = vec!["--history", "n0,n1"];
    all.extend(arguments);
    let (mut peer, port) = server(&all);
    command(&mut peer, &json!({ "change": ["n0", "n1"], "period_ms": 50 }));
    (peer, port)
}

#[test]
fn a_failover_costs_no_sample_that_the_next_server_has_and_no_gap_names_an_endpoint() {
    let (mut first, one) = changing(&["--nodes", "2"]);
    let (mut second, two) = changing(&OTHERWISE);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("historian.toml");
    let tag = |number| format!("[[opcua.tag]]\nname = \"plant/n{number}\"\naddress = \"nsu=urn:plant;s=n{number}\"\ntype = \"f64\"\n");
    let text = device(&url(&one), &format!("security_policy = \"None\"\nhistory = true\nredundant_endpoints = [\"{}\"]", url(&two)));
    std::fs::write(&file, text + &[0, 1].map(tag).concat()).unwrap();
    let historian = serve(&directory.path().join("data"), &["--config", file.to_str().unwrap()]);
    let served_by = |port: &str| {
        let status = delivery::device(&historian, "peer");
        (status.endpoint == url(port) && status.items_delivering == 2).then_some(())
    };
    await_that("the first server", || served_by(&one));
    await_that("values", || (good(&rows(&historian, "plant/n0")).len() > 40).then_some(()));
    first.kill();
    await_that("the second server", || served_by(&two));
    let lost =
        await_that("a sample that tells of the loss", || rows(&historian, "plant/n0").iter().find(|row| !is_good(row)).map(|row| row.0));
    await_that("what the second server has since then", || {
        let since: Vec<_> = history(&mut second).into_iter().filter(|sample| sample.0 >= lost).collect();
        let stored = good(&rows(&historian, "plant/n0"));
        // The newest are on their way.
        (since.len() > 40 && since[..since.len() - 20].iter().all(|sample| stored.contains(sample))).then_some(())
    });
    assert!(outages(&historian).len() <= 1, "{:?}", gaps(&historian));

    // Neither answers for a while: one gap more at most. Who may read the tag reads why, and not where in the network.
    second.kill();
    std::thread::sleep(Duration::from_secs(3));
    let (_second, _) = changing(&["--nodes", "2", "--port", &two]);
    await_that("the second server again", || served_by(&two));
    let known = await_that("the gap", || Some(outages(&historian)).filter(|outages| !outages.is_empty()));
    assert!(known.len() <= 2, "{known:?}");
    let names_none = |detail: &str| !["opc.tcp", "127.0.0.1", &one, &two].iter().any(|place| detail.contains(place));
    assert!(known.iter().all(|(.., detail)| !detail.is_empty() && names_none(detail)), "{known:?}");
    historian.stop().unwrap();
    // By the end of the historian every gap is over.
    let historian = serve(&directory.path().join("data"), &["--config", file.to_str().unwrap()]);
    let ended = outages(&historian);
    assert!(known.iter().all(|(start, _, _)| ended.iter().any(|(ended, end, _)| ended == start && end.is_some())), "{ended:?}");
    historian.stop().unwrap();
}
