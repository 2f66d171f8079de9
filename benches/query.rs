//! `query/range` and `query/current`: the query engine into Arrow batches, without the wire. What is read lies in chunks and in the cache.

use std::{
    cell::OnceCell,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput};
use historian::{
    model::{Tag, TimeRange},
    query::{Layout, QueryEngine, QueryLimits, RangeQuery},
};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::plant::Plant;

/// Tags with a history, and samples of each.
const FILLED: usize = 100;
const SAMPLES: usize = 10_000;

pub fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads start");
    let made = OnceCell::new();
    let plant = || made.get_or_init(|| Plant::with_history(&runtime, FILLED, SAMPLES));

    for (operation, layout, cases) in
        [("range_long", Layout::Long, &[("1_tag", 1), ("100_tags", FILLED)][..]), ("range_wide", Layout::Wide, &[("100_tags", FILLED)][..])]
    {
        let mut group = criterion.benchmark_group(format!("query/{operation}"));
        for &(name, tags) in cases {
            group.throughput(Throughput::Elements((tags * SAMPLES) as u64));
            group.bench_function(BenchmarkId::new(name, tags * SAMPLES), |bencher| {
                let engine = QueryEngine::new(plant().historian.ingest.reader());
                let query = range(plant().tags[..tags].to_vec(), layout);
                bencher.iter(|| black_box(run(&engine, &query)));
                let expected = if layout == Layout::Long { tags * SAMPLES } else { SAMPLES };
                assert!(run(&engine, &query) >= expected, "the answer is whole");
            });
        }
    }

    let mut group = criterion.benchmark_group("query/current");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function(BenchmarkId::new("1000_tags", 1_000), |bencher| {
        let engine = QueryEngine::new(plant().historian.ingest.reader());
        let tags = plant().tags.clone();
        bencher.iter(|| assert_eq!(engine.current(&tags, false, &limits()).expect("the store is readable").num_rows(), 1_000));
    });
}

fn range(tags: Vec<Arc<Tag>>, layout: Layout) -> RangeQuery {
    RangeQuery { layout, ..RangeQuery::new(tags, TimeRange::ALL) }
}

/// Of one query: the next one sees another moment.
fn limits() -> QueryLimits {
    QueryLimits::new(Instant::now() + Duration::from_mins(1), u64::MAX, CancellationToken::new())
}

/// Rows of the answer.
fn run(engine: &QueryEngine, query: &RangeQuery) -> usize {
    let mut rows = 0;
    let ended = engine.range(query, &limits(), &mut |batch| {
        rows += black_box(batch).num_rows();
        true
    });
    ended.expect("the store is readable");
    rows
}
