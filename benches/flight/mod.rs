//! `flight/…`: whole calls over loopback TCP, client included (the client decodes every batch), against a server in the same process.
//!
//! `flight/do_get_bare` fetches the same messages, byte for byte, from a server that holds them in memory: what transport and client cost
//! alone. The ratio of the two is what the historian adds.

mod bare;
pub mod served;

use std::{
    cell::{OnceCell, RefCell},
    time::{Duration, Instant},
};

use arrow_flight::{FlightData, Ticket};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use historian_test_support::engine::TestHistorian;
use tokio::runtime::Runtime;

use self::{
    bare::Bare,
    served::{Order, Puts, Served},
};
use crate::plant::Plant;

const FILLED: usize = 100;
const SAMPLES: usize = 10_000;
/// One `DoPut` stream: so many batches of 1,000 tags × 100 samples.
const PUT_BATCHES: usize = 10;
const PUT_TAGS: usize = 1_000;
const PUT_SAMPLES: usize = 100;

pub fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads start");
    put(criterion, &runtime);
    get(criterion, &runtime);
}

fn get(criterion: &mut Criterion, runtime: &Runtime) {
    let cases = [
        ("1_tag", SAMPLES, r#"{"range": {"tags": ["area0/unit00/t00000"], "start": 0, "end": 9000000000000000000}}"#),
        ("100_tags", FILLED * SAMPLES, r#"{"range": {"tags": ["area0/unit00/*"], "start": 0, "end": 9000000000000000000}}"#),
        ("current", 1_000, r#"{"current": {"tags": ["**"]}}"#),
    ];
    let made = OnceCell::new();
    let historian = || made.get_or_init(|| Served::historian(runtime, Plant::with_history(runtime, FILLED, SAMPLES)));
    let recorded = OnceCell::new();
    let bare = || {
        recorded.get_or_init(|| {
            let answers: Vec<Vec<FlightData>> =
                cases.iter().map(|(.., json)| runtime.block_on(historian().messages(Ticket::new(*json)))).collect();
            Served::bare(runtime, Bare::new(answers))
        })
    };
    for operation in ["do_get", "do_get_bare"] {
        let mut group = criterion.benchmark_group(format!("flight/{operation}"));
        for (index, &(name, rows, json)) in cases.iter().enumerate() {
            group.throughput(Throughput::Elements(rows as u64));
            group.bench_function(BenchmarkId::new(name, rows), |bencher| {
                let (server, ticket) = if operation == "do_get" { (historian(), Ticket::new(json)) } else { (bare(), Bare::ticket(index)) };
                bencher.iter(|| assert_eq!(runtime.block_on(server.rows(ticket.clone())), rows));
            });
        }
    }
}

fn put(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("flight/do_put");
    group.sampling_mode(SamplingMode::Flat);
    let cases = [
        ("by_tag", PUT_BATCHES, PUT_TAGS, PUT_SAMPLES, Order::ByTag),
        ("by_time", PUT_BATCHES, PUT_TAGS, PUT_SAMPLES, Order::ByTime),
        ("single", 1, 1, 1, Order::ByTag),
    ];
    for (name, batches, tags, samples, order) in cases {
        let made = OnceCell::new();
        let total = batches * tags * samples;
        group.throughput(Throughput::Elements(total as u64));
        group.bench_function(BenchmarkId::new(name, total), |bencher| {
            let (server, puts) = made.get_or_init(|| {
                let plant = Plant::new(TestHistorian::on_disk(), tags);
                let puts = RefCell::new(Puts::new(&plant.tags, samples, order));
                (Served::historian(runtime, plant), puts)
            });
            bencher.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count {
                    let messages = runtime.block_on(puts.borrow_mut().next_stream(batches));
                    let start = Instant::now();
                    let acknowledged = runtime.block_on(server.put(messages));
                    spent += start.elapsed();
                    assert!(acknowledged >= batches, "every batch is acknowledged");
                }
                spent
            });
        });
    }
}
