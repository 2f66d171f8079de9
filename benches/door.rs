//! `door/…`: what it costs to be let in: calls plain, with a token, and with TLS and a token; and a glob resolved for somebody with many grants.

use std::{cell::OnceCell, hint::black_box};

use arrow_flight::Ticket;
use criterion::{BenchmarkId, Criterion, Throughput};
use historian::{
    access::{AccessBook, AccessFile, Grant, NewToken, Right, Role},
    model::{TagSelection, Timestamp, ValueType},
};
use historian_test_support::engine::{TestHistorian, tag};
use tokio::runtime::Runtime;

use crate::{
    flight::served::{Order, Protection, Puts, Served},
    plant::Plant,
};

const TAGS: usize = 1_000_000;
const GRANTS: usize = 10_000;
const FILLED: usize = 100;
const SAMPLES: usize = 10_000;
const PUT_BATCHES: usize = 10;
const PUT_TAGS: usize = 1_000;
const PUT_SAMPLES: usize = 100;

const KINDS: [(&str, Protection); 3] = [("plain", Protection::None), ("token", Protection::Token), ("tls", Protection::TlsAndToken)];

pub fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads start");
    calls(criterion, &runtime);
    puts(criterion, &runtime);
    selections(criterion);
}

/// One small call on a kept connection, and a large answer.
fn calls(criterion: &mut Criterion, runtime: &Runtime) {
    let cases = [
        ("call", 1, r#"{"current": {"tags": ["area0/unit00/t00000"]}}"#),
        ("range", FILLED * SAMPLES, r#"{"range": {"tags": ["area0/unit00/*"], "start": 0, "end": 9000000000000000000}}"#),
    ];
    let served: Vec<OnceCell<Served>> = KINDS.iter().map(|_| OnceCell::new()).collect();
    for (operation, rows, json) in cases {
        let mut group = criterion.benchmark_group(format!("door/{operation}"));
        group.throughput(Throughput::Elements(rows as u64));
        for ((name, protection), made) in KINDS.into_iter().zip(&served) {
            group.bench_function(BenchmarkId::new(name, rows), |bencher| {
                let server = made.get_or_init(|| Served::protected(runtime, Plant::with_history(runtime, FILLED, SAMPLES), protection));
                bencher.iter(|| assert_eq!(runtime.block_on(server.rows(Ticket::new(json))), rows));
            });
        }
    }
}

fn puts(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("door/put");
    let total = PUT_BATCHES * PUT_TAGS * PUT_SAMPLES;
    group.throughput(Throughput::Elements(total as u64));
    for (name, protection) in KINDS {
        let made = OnceCell::new();
        group.bench_function(BenchmarkId::new(name, total), |bencher| {
            let (server, puts) = made.get_or_init(|| {
                let plant = Plant::new(TestHistorian::on_disk(), PUT_TAGS);
                let puts = std::cell::RefCell::new(Puts::new(&plant.tags, PUT_SAMPLES, Order::ByTag));
                (Served::protected(runtime, plant, protection), puts)
            });
            bencher.iter_custom(|count| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..count {
                    let messages = runtime.block_on(puts.borrow_mut().next_stream(PUT_BATCHES));
                    let start = std::time::Instant::now();
                    assert!(runtime.block_on(server.put(messages)) >= PUT_BATCHES, "every batch is acknowledged");
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
}

/// A glob over a million tags: of an administrator, and of somebody with ten thousand grants, each of a name or of a glob.
fn selections(criterion: &mut Criterion) {
    let name = |number: usize| format!("area{}/unit{:03}/tag {number:07}", number % 10, number / 10 % 100);
    let directory = std::env::temp_dir().join(format!("historian-bench-door-{}", std::process::id()));
    let _ = std::fs::create_dir_all(&directory);
    let path = AccessFile::in_directory(&directory);
    let token = |who: &str, grants: Vec<Grant>| {
        let new = NewToken { name: who.to_owned(), grants, expires: None };
        AccessFile::create_token(&path, new, Timestamp(1)).expect("a token can be made").secret
    };
    let admin = token("admin", vec![Grant { role: Role::Admin, tags: Vec::new() }]);
    let named = |number: usize| Grant { role: Role::Reader, tags: vec![name(number * 97 % TAGS)] };
    let names = token("names", (0..GRANTS).map(named).collect());
    let globbed = |number: usize| Grant {
        role: Role::Reader,
        tags: vec![format!("area{}/unit{:03}/*{:03}", number % 10, number / 10 % 100, number / 10)],
    };
    let globs = token("globs", (0..1_000).map(globbed).collect());
    let book = AccessBook::open(&path).expect("the tokens can be read");

    let historian = TestHistorian::in_memory().open();
    historian.tags((0..TAGS).map(|number| tag(&name(number), ValueType::F64)));
    let selection = TagSelection::parse(&["area3/**".to_owned()]).expect("the glob is valid");
    let mut group = criterion.benchmark_group("door/select");
    group.throughput(Throughput::Elements(TAGS as u64));
    for (who, secret) in [("admin", admin), ("10000_names", names), ("1000_globs", globs)] {
        let principal = book.authenticate(&secret, Timestamp(2)).expect("the token is valid");
        group.bench_function(BenchmarkId::new(who, TAGS), |bencher| {
            let scope = principal.scope(Right::Read);
            bencher.iter(|| historian.catalog.within(scope).select(black_box(&selection)).0.len());
        });
    }
    group.finish();
    let _ = std::fs::remove_dir_all(&directory);
}
