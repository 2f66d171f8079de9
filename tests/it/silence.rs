//! Time in which the historian did not collect, from outside: a Modbus peer, `serve` killed or stopped, tags taken out of the configuration,
//! value types that contradict the catalog. What is asked is asked through the program's own clients; times are compared among samples.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use historian::model::{Quality, Timestamp};
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::{
    historian::{Historian, Started, command, launcher, serve, text},
    peer::Peer,
};

/// A plant of one Modbus device, and a data directory that lasts over several runs.
struct Plant {
    _peer: Peer,
    port: String,
    directory: TempDir,
}

/// A sample as `query range` writes it: timestamp, value, quality.
pub type Row = (i64, String, String);

impl Plant {
    fn new() -> Plant {
        let (peer, port) = Peer::python("modbus_server.py", &["tcp"]);
        Plant { _peer: peer, port, directory: TempDir::new().unwrap() }
    }

    fn configuration(&self, tags: &str) -> PathBuf {
        let file = self.directory.path().join("historian.toml");
        let written = self.directory.path().join("written.csv");
        fs::write(&written, "name,type\nlab/ph,f64\n").unwrap();
        let device = format!("[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 100\n", self.port);
        fs::write(&file, format!("tag_files = [\"written.csv\"]\n\n{device}{tags}")).unwrap();
        file
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn serve(&self, tags: &str) -> Historian {
        let file = self.configuration(tags);
        serve(&self.data_dir(), &["--config", file.to_str().unwrap()])
    }
}

fn tag(name: &str, address: &str, more: &str) -> String {
    format!("[[modbus.tag]]\nname = \"{name}\"\naddress = \"{address}\"\n{more}\n")
}

/// Somebody who answers.
pub trait Serving {
    fn address(&self) -> SocketAddr;
}

impl Serving for Historian {
    fn address(&self) -> SocketAddr {
        self.grpc
    }
}

impl Serving for SocketAddr {
    fn address(&self) -> SocketAddr {
        *self
    }
}

/// Runs a client command; its exit code, standard output and error.
fn ask(server: Option<SocketAddr>, arguments: &[&str]) -> (i32, String, String) {
    let mut command = command(arguments);
    if let Some(server) = server {
        command.env("HISTORIAN_SERVER", format!("grpc://{server}"));
    }
    let output = command.output().unwrap();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

pub fn told(historian: &impl Serving, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = ask(Some(historian.address()), arguments);
    assert_eq!(code, 0, "{arguments:?}: {stdout}{stderr}");
    stdout
}

fn table(text: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (header, reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect())
}

pub fn nanoseconds(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| i64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap())
}

pub fn rows(historian: &impl Serving, tag: &str) -> Vec<Row> {
    samples(&told(historian, &["query", "range", tag, "--start", "2020-01-01T00:00:00Z", "--end", "*+1d", "--format", "csv"]))
}

fn samples(text: &str) -> Vec<Row> {
    let (header, rows) = table(text);
    let place = |name: &str| header.iter().position(|column| column == name).unwrap_or_else(|| panic!("{name} in {header:?}"));
    let (at, value, quality) = (place("timestamp"), place("value"), place("quality"));
    rows.into_iter().map(|row| (nanoseconds(&row[at]), row[value].clone(), symbol(&row[quality]))).collect()
}

fn symbol(quality: &str) -> String {
    quality.parse().map_or_else(|_| quality.to_owned(), |code| Quality(code).to_string())
}

fn current(historian: &impl Serving, tag: &str) -> Row {
    samples(&told(historian, &["query", "current", tag, "--format", "csv"])).remove(0)
}

pub fn percent_good(historian: &impl Serving, tag: &str, start: i64, end: i64) -> f64 {
    let (start, end) = (rfc3339(start), rfc3339(end));
    let arguments = ["query", "aggregate", tag, "--functions", "percent_good", "--start", &start, "--end", &end, "--format", "csv"];
    let (header, rows) = table(&told(historian, &arguments));
    let place = header.iter().position(|column| column == "value").unwrap_or_else(|| panic!("{header:?}"));
    rows[0][place].parse().unwrap()
}

fn rfc3339(at: i64) -> String {
    Timestamp(at).to_string()
}

pub fn gaps(historian: &impl Serving) -> Vec<Json> {
    told(historian, &["gaps", "--format", "json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until a tag has `count` more Good samples than `before`.
pub fn await_good(historian: &impl Serving, tag: &str, before: usize, count: usize) -> Vec<Row> {
    await_rows(historian, tag, |found| found.iter().filter(|row| is_good(row)).count() >= before + count)
}

/// Waits until a tag has samples like this.
pub fn await_rows(historian: &impl Serving, tag: &str, are_there: impl Fn(&[Row]) -> bool) -> Vec<Row> {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let found = rows(historian, tag);
        if are_there(&found) {
            return found;
        }
        assert!(Instant::now() < until, "{tag}: {found:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn is_good(row: &Row) -> bool {
    row.2 == "Good"
}

/// The one sample that ends the run before: where it lies among the others.
fn end_of_run(rows: &[Row], quality: &str) -> usize {
    let found: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].2 == quality).collect();
    assert_eq!(found.len(), 1, "{rows:?}");
    assert_eq!(rows[found[0]].1, "", "it has no value");
    found[0]
}

/// A restart after `end` of the first run: Bad from its end until the device is read again.
fn a_restart_is_no_good_time(end: impl FnOnce(Historian)) {
    let plant = Plant::new();
    let tags = tag("plc/level", "input:10", "scale = 0.5\noffset = -40.0");
    let historian = plant.serve(&tags);
    await_good(&historian, "plc/level", 0, 5);
    let sample = plant.directory.path().join("lab.csv");
    fs::write(&sample, "tag,timestamp,value\nlab/ph,2026-01-01T00:00:00Z,7.5\n").unwrap();
    told(&historian, &["import", sample.to_str().unwrap()]);
    let before = await_good(&historian, "plc/level", 5, 5);
    end(historian);
    std::thread::sleep(Duration::from_secs(3));

    let historian = plant.serve(&tags);
    let rows = await_good(&historian, "plc/level", before.len(), 5);
    let bad = end_of_run(&rows, "BadDataLost");
    assert!(rows[..bad].iter().chain(&rows[bad + 1..]).all(is_good), "{rows:?}");
    let (from, to) = (rows[bad].0, rows[bad + 1].0);
    assert!(bad >= before.len() && to - from > 2_500_000_000, "{rows:?}");
    assert!(percent_good(&historian, "plc/level", from, to).abs() < 1e-9);
    assert!((percent_good(&historian, "plc/level", rows[0].0, from) - 100.0).abs() < 1e-9);
    assert!((percent_good(&historian, "plc/level", to, rows[rows.len() - 1].0) - 100.0).abs() < 1e-9);
    assert!(is_good(&current(&historian, "plc/level")));
    let gaps = gaps(&historian);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!((&gaps[0]["reason"], &gaps[0]["tag"]), (&Json::from("collector_down"), &Json::Null));
    let (start, end) = (nanoseconds(gaps[0]["start"].as_str().unwrap()), nanoseconds(gaps[0]["end"].as_str().unwrap()));
    assert!(start <= from && from < end && end <= to, "{start} {from} {end} {to}");
    assert_eq!(self::rows(&historian, "lab/ph").len(), 1, "a tag that clients write is none of the collectors' business");
}

#[test]
fn the_time_after_a_kill_is_bad_and_a_gap() {
    a_restart_is_no_good_time(|mut historian| historian.kill());
}

#[test]
fn the_time_after_a_clean_stop_is_bad_and_a_gap() {
    a_restart_is_no_good_time(|historian| historian.stop().unwrap());
}

#[test]
fn a_tag_taken_out_of_the_configuration_is_bad_until_it_is_back() {
    let plant = Plant::new();
    let (kept, gone) = (tag("plc/a", "input:10", ""), tag("plc/b", "input:11", ""));
    let historian = plant.serve(&format!("{kept}{gone}"));
    let before = await_good(&historian, "plc/b", 0, 5).len();
    historian.stop().unwrap();
    for run in 0..2 {
        let historian = plant.serve(&kept);
        let good = rows(&historian, "plc/a").iter().filter(|row| is_good(row)).count();
        await_good(&historian, "plc/a", good, 10);
        let (at, value, quality) = current(&historian, "plc/b");
        assert_eq!((value.as_str(), quality.as_str()), ("", "BadNotConnected"), "run {run}");
        assert!(percent_good(&historian, "plc/b", at, at + 500_000_000).abs() < 1e-9);
        let told: Vec<Json> = gaps(&historian).into_iter().filter(|gap| gap["tag"] == "plc/b").collect();
        assert_eq!(told.len(), 1, "one gap, however often it is started without the tag: {told:?}");
        assert_eq!((&told[0]["reason"], &told[0]["end"]), (&Json::from("not_configured"), &Json::Null));
        historian.stop().unwrap();
    }
    let historian = plant.serve(&format!("{kept}{gone}"));
    let rows = await_good(&historian, "plc/b", before, 3);
    let bad = end_of_run(&rows, "BadNotConnected");
    assert!(is_good(&current(&historian, "plc/b")));
    let told: Vec<Json> = gaps(&historian).into_iter().filter(|gap| gap["tag"] == "plc/b").collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let (start, end) = (nanoseconds(told[1]["start"].as_str().unwrap()), nanoseconds(told[1]["end"].as_str().unwrap()));
    assert!(start == rows[bad].0 && end <= rows[bad + 1].0, "{told:?} {rows:?}");
}

#[test]
fn a_value_type_that_changed_stops_one_tag_and_no_other() {
    let plant = Plant::new();
    let steady = tag("plc/a", "input:10", "");
    let historian = plant.serve(&format!("{steady}{}", tag("plc/b", "input:11", "")));
    let before = await_good(&historian, "plc/b", 0, 3).len();
    historian.stop().unwrap();

    let changed = format!("{steady}{}{}", tag("plc/b", "input:11", "scale = 0.1"), tag("plc/new", "input:12", ""));
    let data_dir = plant.data_dir();
    let file = plant.configuration(&changed);
    let check = |listen: &str| {
        let data_dir = data_dir.to_str().unwrap();
        ask(None, &["check", "--config", file.to_str().unwrap(), "--data-dir", data_dir, "--listen", listen])
    };
    let (code, stdout, _) = check("127.0.0.1:1");
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("plc/b: the catalog has it with u64 values, the configuration asks for f64"), "{stdout}");

    let historian = plant.serve(&changed);
    let (code, running, _) = check(&historian.grpc.to_string());
    assert!(code == 1 && running.contains("plc/b: the catalog has it"), "{running}");
    let good = rows(&historian, "plc/a").len();
    await_good(&historian, "plc/a", good, 3);
    await_good(&historian, "plc/new", 0, 3);
    let status = told(&historian, &["status"]);
    assert!(status.contains("2 of 3") && status.contains("plc/b") && status.contains("historian tag retype plc/b f64"), "{status}");
    assert_eq!(current(&historian, "plc/b").2, "BadDataLost");

    // At once, while the device is collected.
    let answer = told(&historian, &["tag", "retype", "plc/b", "f64"]);
    assert!(answer.contains("device plc writes to plc/b from now on"), "{answer}");
    let collected = await_good(&historian, "plc/b", 0, 3);
    let value: f64 = collected[0].1.parse().unwrap();
    assert!((value - 8.0).abs() < 1e-12, "input:11 holds 80: {value}");
    let status = told(&historian, &["status"]);
    assert!(status.contains("3 of 3") && !status.contains("DOES NOT DELIVER"), "{status}");
    let gaps: Vec<Json> = gaps(&historian).into_iter().filter(|gap| gap["tag"] == "plc/b").collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!(gaps[0]["end"].is_null() && gaps[0]["start"] == gaps[1]["start"], "{gaps:?}");
    let ended = nanoseconds(gaps[1]["end"].as_str().unwrap());
    assert!(collected[0].0 <= ended + 1_000_000_000 && ended <= collected[2].0 + 1_000_000_000, "{gaps:?} {collected:?}");
    let (code, ..) = check(&historian.grpc.to_string());
    assert_eq!(code, 0);
    // Into another type than the configuration says: told, and collected on as before.
    let answer = told(&historian, &["tag", "retype", "plc/a", "string"]);
    assert!(answer.contains("device plc is not configured for string values"), "{answer}");
    let stored = rows(&historian, "plc/a_u64").len();
    await_good(&historian, "plc/a_u64", stored, 3);
    historian.stop().unwrap();
    let historian = plant.serve(&changed.replace("plc/a", "plc/a_u64"));
    await_good(&historian, "plc/b", collected.len(), 3);
    assert_eq!(rows(&historian, "plc/b_u64").iter().filter(|row| is_good(row)).count(), before, "what it held is kept");
    let (code, ..) = check(&historian.grpc.to_string());
    assert_eq!(code, 0);
}

#[test]
fn a_start_that_is_refused_changes_nothing_in_the_catalog() {
    let plant = Plant::new();
    let historian = plant.serve(&tag("plc/a", "input:10", ""));
    await_good(&historian, "plc/a", 0, 1);
    historian.stop().unwrap();
    // One tag more than the catalog may hold, and it is one of the second device: refused, whole.
    let file = plant.configuration(&tag("plc/x", "input:11", ""));
    let text = fs::read_to_string(&file).unwrap();
    let (files, device) = text.split_once("\n\n").unwrap();
    let second = device.replace("plc", "second");
    fs::write(&file, format!("{files}\n\n[storage]\ntags_max = 3\n\n{device}\n{second}")).unwrap();
    match launcher(&plant.data_dir(), &["--config", file.to_str().unwrap()]).try_start().unwrap() {
        Started::Refused { status, said } => assert!(!status.success() && said.contains("limit of 3 tags"), "{status}: {said}"),
        Started::Serving(_) => panic!("it serves"),
    }
    let historian = serve(&plant.data_dir(), &[]);
    let tags = told(&historian, &["tag", "list", "--format", "csv"]);
    assert!(tags.contains("plc/a") && !tags.contains("plc/x") && !tags.contains("second/x"), "{tags}");
}

#[test]
fn a_deleted_tag_costs_the_other_tags_of_its_device_nothing() {
    let plant = Plant::new();
    let names = ["plc/a", "plc/b", "plc/c"];
    let tags: String = names.iter().enumerate().map(|(place, name)| tag(name, &format!("input:{}", 10 + place), "")).collect();
    let historian = plant.serve(&tags);
    await_good(&historian, "plc/c", 0, 3);
    delete(&historian, "plc/b");
    for name in ["plc/a", "plc/c"] {
        let before = rows(&historian, name).len();
        let all = await_good(&historian, name, before, 10);
        let steps = all.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or(0);
        assert!(steps < 900_000_000, "a sample every 100 ms: {all:?}");
    }
    let status = told(&historian, &["status"]);
    assert!(status.contains("2 of 3") && status.contains("plc/b") && status.contains("the tag was deleted"), "{status}");
}

fn delete(historian: &impl Serving, name: &str) {
    use historian_proto::v1::{DeleteTagRequest, tag_service_client::TagServiceClient};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = TagServiceClient::connect(format!("http://{}", historian.address())).await.unwrap();
        client.delete_tag(DeleteTagRequest { name: name.to_owned(), ..DeleteTagRequest::default() }).await.unwrap();
    });
}

/// The file of a data directory is not part of what a person edits: losing it costs precision only.
#[test]
fn without_the_mark_of_the_last_run_the_newest_sample_tells_its_end() {
    let plant = Plant::new();
    let tags = tag("plc/a", "input:10", "");
    let mut historian = plant.serve(&tags);
    let before = await_good(&historian, "plc/a", 0, 5).len();
    historian.kill();
    fs::remove_file(Path::new(&plant.data_dir()).join("RUN_MARK")).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let historian = plant.serve(&tags);
    let rows = await_good(&historian, "plc/a", before, 3);
    let bad = end_of_run(&rows, "BadDataLost");
    assert_eq!(rows[bad].0, rows[bad - 1].0 + 1);
}
