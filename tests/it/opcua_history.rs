//! What an outage has cost comes from the history of an OPC UA server, from outside: asyncua with a history changes values all the time, the
//! historian is stopped or its link is cut, and afterwards everything that the server has is in the store once, bit for bit and in order.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::{
    silence::{Row, gaps, is_good, nanoseconds, rows, told},
    support::{
        historian::{Historian, serve},
        peer::Peer,
        proxy::{Link, Proxy},
    },
};

const PATIENCE: Duration = Duration::from_mins(1);
const SECOND: i64 = 1_000_000_000;
/// The server forgets what it holds for a client whose link is cut.
const FORGETFUL: [&str; 2] = ["--no-reactivation", "--no-transfer"];

/// Time and bits of the value.
pub type Stored = (i64, u64);

/// A server of two nodes with histories, and where the historian keeps its data.
struct Plant {
    peer: Peer,
    port: String,
    directory: TempDir,
}

impl Plant {
    fn new(arguments: &[&str]) -> Plant {
        let mut all = vec!["--nodes", "2", "--history", "n0,n1"];
        all.extend(arguments);
        let (peer, port) = Peer::python("opcua_server.py", &all);
        let mut plant = Plant { peer, port, directory: TempDir::new().unwrap() };
        plant.ask(&json!({ "change": ["n0", "n1"], "period_ms": 50 }));
        plant
    }

    fn ask(&mut self, command: &Json) -> Json {
        writeln!(self.peer.stdin, "{command}").unwrap();
        serde_json::from_str(self.peer.line_starting("done", PATIENCE).trim_start_matches("done ")).unwrap()
    }

    /// What the server has of a node.
    fn history(&mut self, node: &str) -> Vec<Stored> {
        self.stored(&json!({ "history": node }))
    }

    /// A new namespace in the server, and what its one node, `late`, has of the past.
    fn later(&mut self, uri: &str) -> Vec<Stored> {
        self.stored(&json!({ "later": uri }))
    }

    fn stored(&mut self, command: &Json) -> Vec<Stored> {
        let values = self.ask(command);
        values.as_array().unwrap().iter().map(|pair| (pair[0].as_i64().unwrap(), pair[1].as_u64().unwrap())).collect()
    }

    /// Node, start and end of every `HistoryRead` so far.
    fn reads(&mut self) -> Vec<(String, i64, i64)> {
        let reads = self.ask(&json!({ "reads": true }));
        let read = |read: &Json| (read[0].as_str().unwrap().to_owned(), read[1].as_i64().unwrap(), read[2].as_i64().unwrap());
        reads.as_array().unwrap().iter().map(read).collect()
    }

    /// `port` is that of the server, or of a link to it; `keys` are further keys of the device.
    fn serve(&self, port: &str, keys: &str) -> Historian {
        let file = self.directory.path().join("historian.toml");
        let tag = |number| format!("[[opcua.tag]]\nname = \"plant/n{number}\"\naddress = \"nsu=urn:plant;s=n{number}\"\ntype = \"f64\"\n");
        let tags = [0, 1].map(tag).concat();
        let device = format!(
            "[[opcua]]\nname = \"scada\"\nendpoint = \"opc.tcp://127.0.0.1:{port}\"\nsecurity_policy = \"None\"\npublishing_ms = 100\n\
             watchdog_ms = 3000\nreconnect_max_ms = 400\n{keys}\n"
        );
        std::fs::write(&file, device + &tags).unwrap();
        serve(&self.directory.path().join("data"), &["--config", file.to_str().unwrap()])
    }
}

pub fn await_that<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Good samples of a tag, as time and bits.
pub fn good(rows: &[Row]) -> Vec<Stored> {
    rows.iter().filter(|row| is_good(row)).map(|row| (row.0, row.1.parse::<f64>().unwrap().to_bits())).collect()
}

/// Start, end and detail of the gaps of a tag for a reason.
fn gaps_of(historian: &Historian, tag: &str, reason: &str) -> Vec<(i64, Option<i64>, String)> {
    let of_tag = gaps(historian).into_iter().filter(|gap| gap["tag"] == tag && gap["reason"] == reason);
    let bound = |gap: &Json, bound: &str| gap[bound].as_str().map(nanoseconds);
    of_tag.map(|gap| (bound(&gap, "start").unwrap(), bound(&gap, "end"), gap["detail"].as_str().unwrap().to_owned())).collect()
}

/// Everything that the server has of a node since the tag's first sample is stored once, as it is, and nothing else is Good.
fn holds_all(plant: &mut Plant, historian: &Historian, number: usize) {
    let tag = format!("plant/n{number}");
    let history = plant.history(&format!("n{number}"));
    let newest = *history.last().unwrap();
    let until = Instant::now() + PATIENCE;
    let found = loop {
        let found = rows(historian, &tag);
        let stored = good(&found);
        let expected: Vec<Stored> = history.iter().copied().filter(|sample| sample.0 >= stored[0].0).collect();
        if stored == expected {
            break found;
        }
        if Instant::now() > until {
            assert_eq!(stored, expected, "{tag}");
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let bad: Vec<&Row> = found.iter().filter(|row| !is_good(row)).collect();
    assert!(bad.iter().all(|row| row.1.is_empty()), "{bad:?}");
    let current = told(historian, &["query", "current", &tag, "--format", "json"]);
    assert!(current.contains(&f64::from_bits(newest.1).to_string()), "{current}");
}

/// The link is cut for some seconds; answers when it was, once the tags deliver again.
async fn cut(proxy: &Proxy, historian: &Historian, link: Link) -> i64 {
    let before = rows(historian, "plant/n0").len();
    await_that("values", || (good(&rows(historian, "plant/n0")).len() >= before + 10).then_some(()));
    let last = rows(historian, "plant/n0").last().unwrap().0;
    proxy.set(link);
    tokio::time::sleep(Duration::from_secs(3)).await;
    proxy.set(Link::Cut);
    proxy.set(Link::Up);
    await_that("values after the cut", || {
        let found = rows(historian, "plant/n0");
        let bad = found.iter().rposition(|row| !is_good(row) && row.0 >= last)?;
        (found.len() > bad + 10).then_some(())
    });
    last
}

#[test]
fn a_historian_that_was_stopped_reads_what_it_missed_and_that_once() {
    let mut plant = Plant::new(&[]);
    let port = plant.port.clone();
    let historian = plant.serve(&port, "history = true");
    await_that("values", || (good(&rows(&historian, "plant/n0")).len() > 10).then_some(()));
    historian.stop().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let historian = plant.serve(&port, "history = true");
    let first = await_that("the gap is filled", || gaps_of(&historian, "plant/n0", "backfilled").pop());
    await_that("the other gap is filled", || gaps_of(&historian, "plant/n1", "backfilled").pop());
    let down = gaps(&historian).into_iter().rfind(|gap| gap["reason"] == "collector_down").unwrap();
    assert_eq!((first.0, first.1), (nanoseconds(down["start"].as_str().unwrap()), down["end"].as_str().map(nanoseconds)));
    assert!(first.2.contains("samples came from the device's own history, up to that of"), "{}", first.2);
    let counted: usize = first.2.split(' ').next().unwrap().parse().unwrap();
    assert!(counted >= 50, "{}", first.2);
    assert!(
        historian.get("/metrics").unwrap().1.contains("historian_device_samples_backfilled_total{device=\"scada\",protocol=\"opcua\"}")
    );

    // What is filled is not asked for again.
    std::thread::sleep(Duration::from_secs(3));
    historian.stop().unwrap();
    // A stop in which the server has no value has nothing to fill.
    std::thread::sleep(Duration::from_secs(1));
    let before = plant.reads().len();
    let historian = plant.serve(&port, "history = true");
    await_that("the next gap is filled", || gaps_of(&historian, "plant/n0", "backfilled").get(1).cloned());
    await_that("the next gap of the other is filled", || gaps_of(&historian, "plant/n1", "backfilled").get(1).cloned());
    let again: Vec<_> = plant.reads().into_iter().skip(before).collect();
    assert!(!again.is_empty() && again.iter().all(|(_, start, _)| *start > first.1.unwrap()), "{again:?} {first:?}");
    plant.ask(&json!({ "halt": true }));
    for number in 0..2 {
        holds_all(&mut plant, &historian, number);
    }
    let sql = told(
        &historian,
        &["sql", "SELECT count(*) AS filled FROM gaps WHERE reason = 'backfilled' AND tag = 'plant/n0'", "--format", "csv"],
    );
    assert_eq!(sql.lines().nth(1), Some("2"), "{sql}");
    historian.stop().unwrap();
}

/// What a server loads while it runs: the session has read its namespaces, and histories, before.
#[test]
fn a_node_whose_namespace_comes_later_has_its_history_in_the_same_session() {
    let mut plant = Plant::new(&[]);
    let port = plant.port.clone();
    let late = "[[opcua.tag]]\nname = \"plant/late\"\naddress = \"nsu=urn:later;s=late\"\ntype = \"f64\"\n";
    let keys = format!("history = true\nretry_ms = 500\n{late}");
    let historian = plant.serve(&port, &keys);
    await_that("values", || (good(&rows(&historian, "plant/n0")).len() > 10).then_some(()));
    historian.stop().unwrap();
    let historian = plant.serve(&port, &keys);
    await_that("the gap is filled", || gaps_of(&historian, "plant/n0", "backfilled").pop());

    let past = plant.later("urn:later");
    await_that("the history of the node that came", || {
        let stored = good(&rows(&historian, "plant/late"));
        past.iter().all(|sample| stored.contains(sample)).then_some(())
    });
    let status: Json = serde_json::from_str(told(&historian, &["status", "--format", "json"]).trim()).unwrap();
    assert_eq!(status["devices"][0]["connects"], 1, "{status}");
    historian.stop().unwrap();
}

async fn a_cut_is_filled(arguments: &[&str], keys: &str, link: Link) -> Vec<(String, i64, i64)> {
    let mut all = FORGETFUL.to_vec();
    all.extend(arguments);
    let mut plant = Plant::new(&all);
    let proxy = Proxy::start(&plant.port).await;
    let historian = plant.serve(&proxy.port, &format!("history = true\n{keys}"));
    let last = cut(&proxy, &historian, link).await;
    plant.ask(&json!({ "halt": true }));
    for number in 0..2 {
        holds_all(&mut plant, &historian, number);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The gap is over, and filled, once the tag has delivered for a minute, or the historian ends.
    historian.stop().unwrap();
    let historian = plant.serve(&proxy.port, "history = true");
    for tag in ["plant/n0", "plant/n1"] {
        let (down, filled) = (gaps_of(&historian, tag, "device_down"), gaps_of(&historian, tag, "backfilled"));
        let down = down.last().unwrap_or_else(|| panic!("{tag} was absent: {:?}", gaps(&historian)));
        let filled = filled.first().unwrap_or_else(|| panic!("{tag} is filled: {:?}", gaps(&historian)));
        assert_eq!((filled.0, filled.1), (down.0, down.1), "{tag}");
        assert!(last < filled.0 + SECOND && filled.2.contains("samples came from"), "{filled:?}");
    }
    historian.stop().unwrap();
    plant.reads()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_is_filled_from_its_beginning() {
    a_cut_is_filled(&[], "", Link::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_link_is_filled_by_small_pages_the_newest_first() {
    let keys = "history_order = \"newest\"\nhistory_values_per_request = 10\nhistory_nodes_per_request = 1\nhistory_pause_ms = 0";
    let reads = a_cut_is_filled(&[], keys, Link::Held).await;
    assert!(reads.len() > 10, "the answers are cut off without a word: {}", reads.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn continuation_points_are_followed_and_may_expire() {
    for order in ["oldest", "newest"] {
        let keys = format!("history_order = \"{order}\"");
        let reads = a_cut_is_filled(&["--history-page", "7", "--history-expire"], &keys, Link::Cut).await;
        assert!(reads.len() > 14, "{}", reads.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_lags_is_asked_again() {
    a_cut_is_filled(&["--history-lag-s", "2.5"], "", Link::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_the_gap_stays_with_its_reason() {
    let mut plant = Plant::new(&FORGETFUL);
    let proxy = Proxy::start(&plant.port).await;
    let historian = plant.serve(&proxy.port, "");
    let last = cut(&proxy, &historian, Link::Cut).await;
    historian.stop().unwrap();
    let historian = plant.serve(&proxy.port, "");
    let down = gaps_of(&historian, "plant/n0", "device_down");
    let (start, end, _) = down.last().unwrap_or_else(|| panic!("{:?}", gaps(&historian)));
    let within = good(&rows(&historian, "plant/n0")).into_iter().filter(|sample| (*start..end.unwrap()).contains(&sample.0)).count();
    assert!(last < start + SECOND && end.unwrap() - start > 2 * SECOND, "{down:?}");
    assert_eq!((within, gaps_of(&historian, "plant/n0", "backfilled").len(), plant.reads().len()), (0, 0, 0));
    historian.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_had_queued_is_not_asked_for() {
    let mut plant = Plant::new(&[]);
    let proxy = Proxy::start(&plant.port).await;
    let historian = plant.serve(&proxy.port, "history = true\nqueue_size = 1000");
    await_that("values", || (good(&rows(&historian, "plant/n0")).len() > 10).then_some(()));
    proxy.set(Link::Cut);
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.set(Link::Up);
    let seen = good(&rows(&historian, "plant/n0")).len();
    await_that("what was queued", || (good(&rows(&historian, "plant/n0")).len() > seen + 60).then_some(()));
    plant.ask(&json!({ "halt": true }));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(plant.reads(), []);
    historian.stop().unwrap();
}

/// Both ways of a server without histories: it says so, or refuses.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_histories_is_told_of_once_and_collected_from() {
    for (argument, reads) in [("--history-hidden", 0), ("--history-refuse", 6)] {
        let mut arguments = FORGETFUL.to_vec();
        arguments.push(argument);
        let mut plant = Plant::new(&arguments);
        let proxy = Proxy::start(&plant.port).await;
        let historian = plant.serve(&proxy.port, "history = true");
        for _ in 0..2 {
            cut(&proxy, &historian, Link::Cut).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        // In the second session there are the gaps of both cuts.
        assert_eq!(plant.reads().len(), reads, "once per gap of a node and session");
        let log = historian.log();
        assert_eq!(log.matches("the server gives no history of 2 tags").count(), 1, "{log}");
        assert_eq!(gaps_of(&historian, "plant/n0", "backfilled"), []);
        plant.ask(&json!({ "halt": true }));
        let newest = *plant.history("n0").last().unwrap();
        await_that("the newest value", || (good(&rows(&historian, "plant/n0")).last() == Some(&newest)).then_some(()));
        historian.stop().unwrap();
    }
}
