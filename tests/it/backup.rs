//! Backups from outside: made under load through the command line, restored, and compared sample by sample with what was acknowledged;
//! copied once, and found out when a byte of them changes.
//!
//! R14 of the reliability targets in short; the long form is in `tests/torture`.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::AsArray,
    datatypes::{Float64Type, Int32Type, TimestampNanosecondType, UInt32Type},
};
use historian_proto::v1::{
    DoubleColumn, TagSamples, Values, WriteRequest, WriteSamplesRequest, values::Column, write_service_client::WriteServiceClient,
};
use serde_json::Value;

use crate::support::{
    historian::{Historian, client, command, get, serve},
    peer::Peer,
};

const SAMPLES: u64 = 50;
const START: i64 = 1_700_000_000_000_000_000;
/// Small heads and a small journal, so that backups also fall into sealing and retirement.
const CONFIGURATION: &str = "[storage]\nhead_samples_max = 64\njournal_bytes_max = \"1MiB\"\n[backup]\ndirectory = \"backups\"\n";

/// Value bits and quality of sample `n`, as `backup_writer.py` makes them: any float pattern.
fn sample(n: u64) -> (u64, u32) {
    ((n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15), [0, 0x4000_0000, 0x8031_0000][n as usize % 3])
}

fn timestamp(n: u64) -> i64 {
    START + n as i64 * 1_000_000
}

fn historian(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Standard output of a command that must succeed.
fn told(arguments: &[&str]) -> String {
    let output = historian(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let text = told(arguments);
    serde_json::from_str(text.lines().last().unwrap()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| panic!("{key} in {row}"))
}

struct Plant {
    directory: tempfile::TempDir,
    configuration: PathBuf,
}

impl Plant {
    fn new() -> Plant {
        let directory = tempfile::tempdir().unwrap();
        let configuration = directory.path().join("historian.toml");
        fs::write(&configuration, CONFIGURATION).unwrap();
        Plant { directory, configuration }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// From the next start on, so many backups are kept.
    fn keep(&self, backups: usize) {
        fs::write(&self.configuration, format!("{CONFIGURATION}keep = {backups}\n")).unwrap();
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn serve(&self, data_dir: &str) -> Historian {
        serve(&self.path(data_dir), &["--config", self.configuration.to_str().unwrap()])
    }
}

fn server(historian: &Historian) -> String {
    historian.url()
}

/// One batch over gRPC; the watermark it was acknowledged with.
async fn write(client: &mut WriteServiceClient<tonic::transport::Channel>, tag: &str, batch: u64) -> u64 {
    let numbers = batch * SAMPLES..(batch + 1) * SAMPLES;
    let request = WriteSamplesRequest {
        options: Some(WriteRequest { create_tags: true, ..WriteRequest::default() }),
        samples: vec![TagSamples {
            tag: tag.to_owned(),
            timestamps: numbers.clone().map(timestamp).collect(),
            values: Some(Values {
                column: Some(Column::F64(DoubleColumn { values: numbers.clone().map(|n| f64::from_bits(sample(n).0)).collect() })),
            }),
            qualities: numbers.map(|n| sample(n).1).collect(),
            nulls: Vec::new(),
        }],
    };
    let answer = client.write_samples(request).await.unwrap().into_inner();
    assert_eq!((answer.samples, answer.failures.len()), (SAMPLES, 0));
    answer.watermark
}

/// Samples of each tag: timestamp, value bits, quality.
async fn read(historian: &Historian) -> BTreeMap<String, Vec<(i64, u64, u32)>> {
    let mut client = self::client(historian).await;
    let batches = get(&mut client, r#"{"range": {"tags": ["**"], "start": "0", "end": "9000000000000000000"}}"#).await.unwrap();
    let mut found: BTreeMap<String, Vec<(i64, u64, u32)>> = BTreeMap::new();
    for batch in &batches {
        let tags = batch.column(0).as_dictionary::<Int32Type>();
        let names = tags.values().as_string::<i32>();
        let times = batch.column(1).as_primitive::<TimestampNanosecondType>();
        let values = batch.column(2).as_primitive::<Float64Type>();
        let qualities = batch.column(3).as_primitive::<UInt32Type>();
        for row in 0..batch.num_rows() {
            let name = names.value(tags.key(row).unwrap());
            found.entry(name.to_owned()).or_default().push((times.value(row), values.value(row).to_bits(), qualities.value(row)));
        }
    }
    found
}

/// What a restored historian must hold of a writer that waited for each acknowledgement, given the sequence its backup states.
fn check(tag: &str, found: &[(i64, u64, u32)], acknowledged: &[u64], sequence: u64) {
    assert_eq!(found.len() as u64 % SAMPLES, 0, "{tag}: a write is whole or not there");
    let batches = found.len() / SAMPLES as usize;
    for (n, row) in (0..).zip(found) {
        let (bits, quality) = sample(n);
        assert_eq!(*row, (timestamp(n), bits, quality), "{tag}: sample {n}");
    }
    // A watermark at or below the sequence proves that the write is contained; one at or above it, that the writes after it are not.
    let at_least = acknowledged.iter().filter(|watermark| **watermark <= sequence).count();
    let at_most = acknowledged.iter().filter(|watermark| **watermark < sequence).count() + 1;
    assert!((at_least..=at_most).contains(&batches), "{tag}: {batches} writes at sequence {sequence}, expected {at_least} to {at_most}");
}

#[test]
fn a_backup_under_load_restores_bit_exact_at_the_sequence_it_states() {
    let plant = Plant::new();
    let live = plant.serve("data");
    let server = server(&live);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut python, _) = Peer::python("backup_writer.py", &[&live.grpc.to_string(), "load/pyarrow"]);
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (stop, address) = (stop.clone(), format!("http://{}", live.grpc));
        runtime.spawn(async move {
            let mut client = WriteServiceClient::connect(address).await.unwrap();
            let mut acknowledged = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                acknowledged.push(write(&mut client, "load/grpc", acknowledged.len() as u64).await);
            }
            acknowledged
        })
    };
    let mut backups = Vec::new();
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(400));
        backups.push(json(&["backup", "--server", &server, "--format", "json"]));
    }
    stop.store(true, Ordering::SeqCst);
    let grpc = runtime.block_on(writing).unwrap();
    writeln!(python.stdin).unwrap();
    let mut pyarrow = Vec::new();
    loop {
        let line = python.line_starting("", Duration::from_secs(30));
        let Some(ack) = line.strip_prefix("ack ") else { break };
        pyarrow.push(ack.split(' ').nth(1).unwrap().parse::<u64>().unwrap());
    }
    drop(live);
    assert!(grpc.len() > 20 && pyarrow.len() > 20, "{} and {} writes are no load", grpc.len(), pyarrow.len());
    let sequences: Vec<u64> = backups.iter().map(|row| number(row, "sequence")).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
    assert!(sequences[3] < grpc.len() as u64 + pyarrow.len() as u64, "the last backup was made under load: {sequences:?}");

    for (index, row) in backups.iter().enumerate() {
        let (name, chosen) = (format!("restored-{index}"), number(row, "number").to_string());
        let restored =
            json(&["restore", "--from", &plant.text("backups"), "--number", &chosen, "--data-dir", &plant.text(&name), "--format", "json"]);
        assert_eq!(restored["sequence"], row["sequence"]);
        let again = plant.serve(&name);
        let found = runtime.block_on(read(&again));
        check("load/grpc", &found["load/grpc"], &grpc, sequences[index]);
        check("load/pyarrow", &found["load/pyarrow"], &pyarrow, sequences[index]);
        let audit = told(&["audit", "--server", &again.url(), "--format", "json"]);
        assert!(audit.contains("\"action\":\"restore\""), "{audit}");
    }
    // The long-lived store itself is still there, and a second restore over a restored one is refused.
    let refused = historian(&["restore", "--from", &plant.text("backups"), "--data-dir", &plant.text("restored-0")]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("is not empty"));
}

#[test]
fn the_check_notices_a_lost_write_a_later_one_and_a_changed_bit() {
    let rows = |writes: u64| -> Vec<(i64, u64, u32)> { (0..writes * SAMPLES).map(|n| (timestamp(n), sample(n).0, sample(n).1)).collect() };
    // Five writes, acknowledged as 10, 20, … 50 by a historian that serves others too; the backup states 30.
    let acknowledged = [10, 20, 30, 40, 50];
    let noticed = |rows: Vec<(i64, u64, u32)>| std::panic::catch_unwind(|| check("t", &rows, &acknowledged, 30)).is_err();
    assert!(!noticed(rows(3)), "what was acknowledged up to 30");
    assert!(noticed(rows(2)), "a lost write");
    assert!(noticed(rows(4)), "a write after the stated one");
    let mut changed = rows(3);
    changed[7].1 ^= 1;
    assert!(noticed(changed), "a changed bit");
    assert!(noticed(rows(3)[1..].to_vec()), "half a write");
}

/// A plant with some chunks and two backups; the rows of the backups.
fn backed_up(plant: &Plant, runtime: &tokio::runtime::Runtime) -> (Historian, Vec<Value>) {
    let live = plant.serve("data");
    let server = server(&live);
    runtime.block_on(async {
        let mut client = WriteServiceClient::connect(format!("http://{}", live.grpc)).await.unwrap();
        for batch in 0..200 {
            write(&mut client, "one", batch).await;
            write(&mut client, "two", batch).await;
        }
    });
    told(&["compact", "--server", &server]);
    let first = json(&["backup", "create", "--server", &server, "--format", "json"]);
    let second = json(&["backup", "--server", &server, "--format", "json"]);
    (live, vec![first, second])
}

#[test]
fn a_second_backup_copies_only_what_changed_and_old_ones_go_as_configured() {
    let plant = Plant::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (live, rows) = backed_up(&plant, &runtime);
    let server = server(&live);
    let [first, second] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(number(first, "files_new"), number(first, "files"));
    let shared = || fs::read_dir(plant.path("backups/files")).unwrap().count() as u64;
    // Nothing was written between the two: only CURRENT, manifest, options and log are their own.
    assert!(number(second, "files_new") <= 8 && number(second, "files") - number(second, "files_new") >= 4, "{second}");
    assert!(number(second, "bytes_new") < number(second, "bytes"), "{second}");
    // And one table of its own: the entry of the audit log that tells of the first.
    assert_eq!(shared(), number(second, "files") - number(second, "files_new") + 1);
    let listed = told(&["backup", "list", "--server", &server]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert_eq!(listed, told(&["backup", "list", "--from", &plant.text("backups")]));
    // No client removes any; the configuration does.
    let refused = historian(&["backup", "--keep", "1", "--server", &server]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    plant.keep(1);
    drop(live);
    let live = plant.serve("data");
    let server = self::server(&live);
    let third = json(&["backup", "--server", &server, "--format", "json"]);
    assert_eq!((number(&third, "number"), number(&third, "pruned")), (3, 2));
    assert_eq!(told(&["backup", "list", "--server", &server, "--format", "json"]).lines().count(), 1);
    assert!(told(&["backup", "verify", "--server", &server]).contains("backup 3 is whole"));
    drop(live);
    let unconfigured = serve(&plant.path("data"), &[]);
    let refused = historian(&["backup", "--server", &unconfigured.url()]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("--backup-dir") && text.contains("failed precondition"), "{text}");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_changed_byte_anywhere_in_a_backup_is_found_and_never_restored() {
    let plant = Plant::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (live, _) = backed_up(&plant, &runtime);
    // Only the newest one: what it shares with the first is one file.
    plant.keep(1);
    drop(live);
    let live = plant.serve("data");
    let server = server(&live);
    json(&["backup", "--server", &server, "--format", "json"]);
    let backups = plant.text("backups");
    let files: Vec<PathBuf> = files(&plant.path("backups"))
        .into_iter()
        .filter(|path| path.file_name().unwrap() != "LOCK" && fs::metadata(path).unwrap().len() > 0)
        .collect();
    let total: u64 = files.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    let mut seed: u64 = 20_261_122;
    for trial in 0..24 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Half of them by bytes, half of them by files, so that the small ones have their turn.
        let (path, at) = if trial % 2 == 0 {
            let mut left = (seed >> 11) % total;
            let path = files.iter().find(|path| {
                let length = fs::metadata(path).unwrap().len();
                let here = left < length;
                left -= if here { 0 } else { length };
                here
            });
            (path.unwrap(), left)
        } else {
            let path = &files[(seed >> 33) as usize % files.len()];
            (path, (seed >> 11) % fs::metadata(path).unwrap().len())
        };
        let whole = fs::read(path).unwrap();
        let mut damaged = whole.clone();
        damaged[at as usize] ^= 1 << (trial % 8);
        fs::write(path, &damaged).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().split('.').next().unwrap();
        let verified = if trial % 3 == 0 {
            historian(&["backup", "verify", "--all", "--server", &server])
        } else {
            historian(&["backup", "verify", "--from", &backups])
        };
        let text = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.code() == Some(1) && text.contains("DAMAGED") && text.contains(name), "{name} at {at}: {text}");
        let refused = historian(&["restore", "--from", &backups, "--data-dir", &plant.text("restored")]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && text.contains(name), "{name} at {at}: {text}");
        assert!(!plant.path("restored").exists());
        fs::write(path, &whole).unwrap();
    }
    assert!(told(&["restore", "--from", &backups, "--data-dir", &plant.text("restored")]).contains("is restored and opens"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if path.is_file() {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A stopped plant with three tags in chunks, in `data`.
fn at_rest(plant: &Plant, runtime: &tokio::runtime::Runtime) {
    let live = plant.serve("data");
    runtime.block_on(async {
        let mut client = WriteServiceClient::connect(format!("http://{}", live.grpc)).await.unwrap();
        for batch in 0..200 {
            for tag in ["area/one", "area/three", "area/two"] {
                write(&mut client, tag, batch).await;
            }
        }
    });
    told(&["compact", "--server", &server(&live)]);
    let refused = historian(&["scrub", "--data-dir", &plant.text("data")]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && text.contains("is running on it"), "{text}");
    assert!(told(&["scrub", "--server", &server(&live)]).contains("all is sound"));
}

fn rows(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn scrub_names_the_tag_of_a_flipped_byte_and_reads_everything_else() {
    let plant = Plant::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    at_rest(&plant, &runtime);
    copy(&plant.path("data"), &plant.path("copy"));
    let sound = rows(&historian(&["scrub", "--data-dir", &plant.text("copy"), "--format", "json"])).pop().unwrap();
    assert_eq!(number(&sound, "damaged"), 0);
    assert!(number(&sound, "samples") >= 30_000, "{sound}");

    // Chunks of the three tags lie one after the other in the largest table: its middle belongs to the second.
    let table = files(&plant.path("copy/rocksdb"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&table, &bytes).unwrap();

    let check = |output: &Output| {
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let mut rows = rows(output);
        let summary = rows.pop().unwrap();
        assert_eq!((rows.len(), number(&summary, "damaged")), (1, 1), "{rows:?}");
        assert_eq!(rows[0]["family"], "chunks", "{rows:?}");
        // A block of 16 KiB may hold the end of one tag's chunks and the begin of the next one's.
        let tags: Vec<&str> = rows[0]["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
        assert!((1..=2).contains(&tags.len()) && tags.contains(&"area/three"), "{rows:?}");
        assert!(rows[0]["message"].as_str().unwrap().contains(table.file_name().unwrap().to_str().unwrap()), "{rows:?}");
        // The chunks of one block of 16 KiB.
        let lost = number(&sound, "samples") - number(&summary, "samples");
        assert!((1..=number(&sound, "samples") / 2).contains(&lost), "{lost} samples were not read");
    };
    check(&historian(&["scrub", "--data-dir", &plant.text("copy"), "--format", "json"]));

    // The same by a running historian, which then tells it in its metrics and goes on.
    let live = serve(&plant.path("copy"), &[]);
    check(&historian(&["scrub", "--server", &server(&live), "--format", "json"]));
    let metrics = live.get("/metrics").unwrap().1;
    assert!(metrics.contains("historian_scrub_damage_total 1\n") && metrics.contains("historian_scrub_last_damage 1\n"), "{metrics}");
    let inspected = historian(&["inspect", "--server", &server(&live), "--format", "json"]);
    assert_eq!(inspected.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&inspected.stderr).contains("area/three"));
    assert!((2..=3).contains(&rows(&inspected).len()), "the sound tags and the total");
}

#[test]
fn a_store_is_scrubbed_in_the_background_and_remembers_it() {
    let plant = Plant::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    at_rest(&plant, &runtime);
    // As if the last scrub were long ago, by the report that the scrub of `at_rest` left.
    let report = plant.path("data/SCRUB.json");
    let mut told: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    told["ended"] = 1_000.into();
    fs::write(&report, told.to_string()).unwrap();
    let _live = plant.serve("data");
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    loop {
        let told: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        if told["ended"].as_i64().unwrap() > 1_000 {
            assert!(number(&told, "samples") >= 30_000 && number(&told, "damaged") == 0, "{told}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "no scrub in the background");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn inspect_adds_up_to_what_is_stored() {
    use historian::{
        model::{TagId, TimeBounds},
        store::{ChunkFamily, Direction, ReadStore, RocksStore, rocks::StoreOptions},
    };

    let plant = Plant::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    at_rest(&plant, &runtime);
    let data = plant.text("data");
    let tags = rows(&historian(&["inspect", "--data-dir", &data, "--format", "json"]));
    let chunks = rows(&historian(&["inspect", "--chunks", "--data-dir", &data, "--format", "json"]));
    let total = tags.last().unwrap();
    assert_eq!((tags.len(), number(total, "tags"), number(total, "samples")), (4, 3, 30_000), "{total}");
    let parts = ["header_bytes", "timestamp_bytes", "presence_bytes", "value_bytes", "quality_bytes"];
    let sum = |rows: &[&Value], key: &str| rows.iter().map(|row| number(row, key)).sum::<u64>();
    for row in &tags {
        let of_tag: Vec<&Value> = chunks.iter().filter(|chunk| row["tag"].is_null() || chunk["tag"] == row["tag"]).collect();
        for key in parts.iter().chain(&["bytes", "samples"]) {
            assert_eq!(number(row, key), sum(&of_tag, key), "{key} of {row}");
        }
        assert_eq!(number(row, "bytes"), parts.iter().map(|part| number(row, part)).sum::<u64>());
        let used = row["codecs"]["values"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
        assert_eq!(used, of_tag.len() as u64);
        assert_eq!(used, number(row, "chunks_hot") + number(row, "chunks_cold") + number(row, "chunks_late"));
    }
    let one = rows(&historian(&["inspect", "area/o*", "--data-dir", &data, "--format", "json"]));
    assert_eq!((one.len(), &one[0]), (2, &tags[0]));
    let csv = told(&["inspect", "--data-dir", &data, "--format", "csv"]);
    assert!(csv.starts_with("tag,samples,hot,cold,late,first,last,bytes,bytes_per_sample,") && csv.lines().count() == 4, "{csv}");
    assert_eq!(historian(&["inspect", "area/nine", "--data-dir", &data]).status.code(), Some(1));

    // What the store itself holds.
    let store = RocksStore::open(&plant.path("data"), &StoreOptions::default()).unwrap();
    let stored = |family| {
        let of = |tag| store.chunks(family, TagId(tag), TimeBounds::ALL, Direction::Forward, usize::MAX).unwrap();
        (1..=3).flat_map(of).map(|chunk| chunk.bytes.len() as u64).sum::<u64>()
    };
    assert_eq!(number(total, "bytes"), stored(ChunkFamily::Chunks) + stored(ChunkFamily::Late));
    drop(store);
    let live = plant.serve("data");
    // Background work may have made other chunks of them by now, but not other samples.
    let running = rows(&historian(&["inspect", "--server", &server(&live), "--format", "json"]));
    assert_eq!(running.len(), tags.len());
    for (running, at_rest) in running.iter().zip(&tags) {
        for key in ["tag", "samples", "first_timestamp", "last_timestamp"] {
            assert_eq!(running[key], at_rest[key]);
        }
    }
}
