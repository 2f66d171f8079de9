//! R1: SIGKILL at random moments while samples stream in. Everything acknowledged is read back bit for bit, nothing that was never sent
//! appears. The same run against a server that acknowledges before it writes must find a loss.
//!
//! 100 cycles by default; `HISTORIAN_CRASH_CYCLES=1000 cargo test --release --test it crash` for the long form. kill -9 leaves the page cache
//! alone, so this proves the order of write and acknowledgement and the recovery, not the fsync.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, AsArray, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array},
    datatypes::{DataType, Field, Float64Type, Int32Type, Schema, TimeUnit, TimestampNanosecondType, UInt32Type},
};
use async_trait::async_trait;
use futures::StreamExt;
use historian::{
    api::{Admin, AdminStatus, ApiLimits, Metrics, Services},
    ingest::{
        Ingest, IngestOptions,
        sink::{Acknowledgement, Durability, SampleSink, WriteError, WriteMode},
    },
    model::{SampleBatch, SystemClock},
    query::QueryEngine,
    store::{Catalog, RocksStore, catalog::TAGS_MAX, rocks::StoreOptions},
};
use tokio_util::sync::CancellationToken;

use crate::support::historian::{Historian, get, put};

const TAGS: usize = 5;
const SAMPLES_PER_TAG: u64 = 40;
const COMMAND: &str = r#"{"write": {"mode": "UPSERT", "durability": "SYNC", "create_tags": true}}"#;
/// Small heads and a small journal, so that kills also fall into sealing and retirement.
const CONFIGURATION: &str = "[storage]\nhead_samples_max = 64\njournal_bytes_max = \"1MiB\"\n";

/// A seeded mix of all bits, so that every sample's value and quality follow from what it is.
fn hash(seed: u64, tag: usize, number: u64) -> u64 {
    let mut bits = seed ^ (tag as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03);
    for shift in [30, 27, 31] {
        bits = (bits ^ (bits >> shift)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    }
    bits
}

/// Value bits and quality of a sample: any float pattern, NaN payloads included.
fn sample(seed: u64, tag: usize, number: u64) -> (u64, u32) {
    let bits = hash(seed, tag, number);
    (bits, [0, 0, 0, 0x4000_0000, 0x8031_0000][bits as usize % 5])
}

fn timestamp(number: u64) -> i64 {
    1_800_000_000_000_000_000 + number as i64 * 1_000_000
}

/// Batch `number` of a run: the next samples of every tag.
fn batch(seed: u64, number: u64) -> RecordBatch {
    let names = Arc::new(StringArray::from_iter_values((0..TAGS).map(|tag| format!("crash/t{tag}"))));
    let rows =
        || (0..TAGS).flat_map(move |tag| (number * SAMPLES_PER_TAG..(number + 1) * SAMPLES_PER_TAG).map(move |sample| (tag, sample)));
    let schema = Schema::new(vec![
        Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("value", DataType::Float64, true),
        Field::new("quality", DataType::UInt32, false),
    ]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from_iter_values(rows().map(|(tag, _)| tag as i32)), names)),
            Arc::new(TimestampNanosecondArray::from_iter_values(rows().map(|(_, number)| timestamp(number))).with_timezone("UTC")),
            Arc::new(Float64Array::from_iter_values(rows().map(|(tag, number)| f64::from_bits(sample(seed, tag, number).0)))),
            Arc::new(UInt32Array::from_iter_values(rows().map(|(tag, number)| sample(seed, tag, number).1))),
        ],
    )
    .unwrap()
}

#[derive(Debug, Default)]
struct Outcome {
    acknowledged: u64,
    lost: u64,
    phantom: u64,
    recovery_max: Duration,
}

/// Runs the cycles; batches go on being numbered over restarts, and each batch is sent at most once.
fn cycles(seed: u64, cycles: u64, data_dir: &Path, start: &dyn Fn() -> Historian) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut outcome = Outcome::default();
    let sent = Arc::new(AtomicU64::new(0));
    let mut acknowledged = BTreeSet::new();
    let mut checked_from = 0;
    for cycle in 0..cycles {
        let mut server = start();
        let first = sent.load(Ordering::SeqCst);
        let life = Duration::from_millis(5 + hash(seed, 77, cycle) % 120);
        let acks = runtime.block_on(async {
            let mut client = server.client().await;
            let sending = sent.clone();
            let batches = futures::stream::iter(0..2_000).map(move |_| batch(seed, sending.fetch_add(1, Ordering::SeqCst)));
            let mut answers = match tokio::time::timeout(life, put(&mut client, COMMAND, batches)).await {
                Ok(answers) => answers.expect("DoPut starts"),
                Err(_) => return 0,
            };
            let mut acks = 0;
            let until = tokio::time::Instant::now() + life;
            while let Ok(Some(Ok(_))) = tokio::time::timeout_at(until, answers.next()).await {
                acks += 1;
            }
            // The kill comes while the stream runs.
            server.kill();
            acks
        });
        server.kill();
        acknowledged.extend(first..first + acks);
        outcome.acknowledged += acks * SAMPLES_PER_TAG * TAGS as u64;

        let server = start();
        let last = sent.load(Ordering::SeqCst);
        let from = if cycle + 1 == cycles { 0 } else { checked_from };
        verify(&runtime, &server, seed, from..last, &acknowledged, &mut outcome);
        checked_from = first;
        drop(server);
    }
    assert!(data_dir.join("rocksdb").exists());
    outcome
}

/// Reads what batches `range` were to bring, and counts what is missing though acknowledged, and what was never sent.
fn verify(
    runtime: &tokio::runtime::Runtime,
    server: &Historian,
    seed: u64,
    range: std::ops::Range<u64>,
    acknowledged: &BTreeSet<u64>,
    outcome: &mut Outcome,
) {
    let (start, end) = (timestamp(range.start * SAMPLES_PER_TAG), timestamp(range.end * SAMPLES_PER_TAG) + 3_600_000_000_000);
    let ticket = format!(r#"{{"range": {{"tags": ["crash/**"], "start": {start}, "end": {end}}}}}"#);
    let batches = runtime.block_on(async { get(&mut server.client().await, &ticket).await }).expect("the range can be read");
    // From the start of the process to the end of its first answer.
    outcome.recovery_max = outcome.recovery_max.max(server.begun.elapsed());
    let mut found: BTreeMap<(usize, i64), (u64, u32)> = BTreeMap::new();
    for batch in &batches {
        let tags = batch.column(0).as_dictionary::<Int32Type>();
        let names = tags.values().as_string::<i32>();
        let times = batch.column(1).as_primitive::<TimestampNanosecondType>();
        let values = batch.column(2).as_primitive::<Float64Type>();
        let qualities = batch.column(3).as_primitive::<UInt32Type>();
        for row in 0..batch.num_rows() {
            let tag: usize = names.value(tags.key(row).unwrap()).trim_start_matches("crash/t").parse().unwrap();
            assert!(values.is_valid(row), "no null was sent");
            let doubled = found.insert((tag, times.value(row)), (values.value(row).to_bits(), qualities.value(row)));
            assert!(doubled.is_none(), "tag {tag} has two samples at {}", times.value(row));
        }
    }
    for batch in acknowledged.range(range.clone()) {
        for tag in 0..TAGS {
            for number in batch * SAMPLES_PER_TAG..(batch + 1) * SAMPLES_PER_TAG {
                if found.get(&(tag, timestamp(number))) != Some(&sample(seed, tag, number)) {
                    outcome.lost += 1;
                }
            }
        }
    }
    for ((tag, time), bits) in found {
        let number = (time - timestamp(0)) as u64 / 1_000_000;
        if time != timestamp(number) || number >= range.end * SAMPLES_PER_TAG || bits != sample(seed, tag, number) {
            outcome.phantom += 1;
        }
    }
}

fn report(seed: u64, cycles: u64, outcome: &Outcome) {
    println!(
        r#"{{"id": "R1", "seed": {seed}, "cycles": {cycles}, "acked": {}, "lost": {}, "phantom": {}, "max_recovery_ms": {}, "pass": {}}}"#,
        outcome.acknowledged,
        outcome.lost,
        outcome.phantom,
        outcome.recovery_max.as_millis(),
        outcome.lost == 0 && outcome.phantom == 0
    );
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_acknowledged_is_lost_to_sigkill() {
    let directory = tempfile::tempdir().unwrap();
    let configuration = directory.path().join("historian.toml");
    std::fs::write(&configuration, CONFIGURATION).unwrap();
    let data_dir = directory.path().join("data");
    let (seed, count) = (setting("HISTORIAN_CRASH_SEED", 20_261_122), setting("HISTORIAN_CRASH_CYCLES", 100));
    let outcome = cycles(seed, count, &data_dir, &|| Historian::serve(&data_dir, &["--config", configuration.to_str().unwrap()]));
    report(seed, count, &outcome);
    assert!(outcome.acknowledged > 0, "no cycle came to an acknowledgement");
    assert_eq!((outcome.lost, outcome.phantom), (0, 0), "{outcome:?}");
}

#[test]
fn a_server_that_acknowledges_before_it_writes_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "crash::mutant_server", "--nocapture"]).env(MUTANT, "1");
        Historian::start(command, &data_dir)
    };
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    for attempt in 0..10 {
        outcome = cycles(7 + attempt, 3, &data_dir, &start);
        if outcome.lost > 0 {
            break;
        }
    }
    assert!(outcome.lost > 0, "the checker did not notice a server that acknowledges early, in {:?}", begun.elapsed());
}

/// Set for the process that is the mutant server.
const MUTANT: &str = "HISTORIAN_TEST_MUTANT_SERVER";

/// Acknowledges at once and writes a little later.
struct Early(Arc<Ingest>);

#[async_trait]
impl SampleSink for Early {
    async fn write(&self, batch: SampleBatch, mode: WriteMode, durability: Durability) -> Result<Acknowledgement, WriteError> {
        let (ingest, samples) = (self.0.clone(), batch.len() as u64);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            ingest.write(batch, mode, durability).await
        });
        Ok(Acknowledgement { watermark: 0, samples })
    }
}

struct NoAdmin;

impl Admin for NoAdmin {
    fn status(&self) -> AdminStatus {
        AdminStatus { accepting_writes: true, ..AdminStatus::default() }
    }

    fn compact(&self) -> Result<u64, WriteError> {
        Ok(0)
    }
}

/// Not a test by itself: the body of the mutant's process.
#[test]
fn mutant_server() {
    if std::env::var_os(MUTANT).is_none() {
        return;
    }
    let setting = |name: &str| std::env::var(name).unwrap();
    let store = Arc::new(RocksStore::open(Path::new(&setting("HISTORIAN_DATA_DIR")), &StoreOptions::default()).unwrap());
    let catalog = Arc::new(Catalog::open(store.clone(), Arc::new(SystemClock), TAGS_MAX).unwrap());
    let ingest = Arc::new(Ingest::open(store, catalog.clone(), IngestOptions::default()).unwrap());
    let services = Services {
        catalog,
        sink: Arc::new(Early(ingest.clone())),
        query: QueryEngine::new(ingest.reader()),
        clock: Arc::new(SystemClock),
        devices: Arc::new(Vec::new),
        admin: Arc::new(NoAdmin),
        limits: ApiLimits::default(),
        metrics: Arc::new(Metrics::default()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(setting("HISTORIAN_LISTEN")).await.unwrap();
        // Ends by itself, should nobody kill it.
        let end = CancellationToken::new();
        let stop = end.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            stop.cancel();
        });
        historian::api::serve(listener, services, end).await.unwrap();
    });
}
