//! `ingest/write`: batches of 1,000 tags × 100 samples through the sample sink, each acknowledged as durable, with sealing and retirement of
//! the journal under way. `one` waits for each acknowledgement, `eight` has eight batches waiting for the journal together.

use std::{
    cell::OnceCell,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use futures::future::join_all;
use historian::{
    ingest::Ingest,
    model::{
        SampleBatch,
        sink::{Durability, SampleSink, WriteMode},
    },
};
use historian_test_support::engine::{Setup, TestHistorian};
use tokio::runtime::Runtime;

use crate::plant::{Batches, Plant};

const TAGS: usize = 1_000;
const SAMPLES: usize = 100;

pub fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads start");
    for (store, setup) in [("memory", TestHistorian::in_memory as fn() -> Setup), ("rocksdb", TestHistorian::on_disk)] {
        let mut group = criterion.benchmark_group(format!("ingest/write_{store}"));
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements((TAGS * SAMPLES) as u64));
        for (name, at_once) in [("one", 1), ("eight", 8)] {
            let made = OnceCell::new();
            let mut batches = None;
            group.bench_function(BenchmarkId::new(name, format!("{TAGS}x{SAMPLES}")), |bencher| {
                let plant = made.get_or_init(|| Plant::new(setup(), TAGS));
                let batches = batches.get_or_insert_with(|| Batches::new(&plant.tags, SAMPLES));
                bencher.iter_custom(|count| {
                    let mut left = count as usize;
                    let mut spent = Duration::ZERO;
                    while left > 0 {
                        let together: Vec<SampleBatch> = (0..left.min(at_once)).map(|_| batches.next_batch()).collect();
                        left -= together.len();
                        let start = Instant::now();
                        runtime.block_on(write(&plant.historian.ingest, together));
                        spent += start.elapsed();
                    }
                    spent
                });
            });
        }
    }
}

async fn write(ingest: &Ingest, batches: Vec<SampleBatch>) {
    let writes = batches.into_iter().map(|batch| ingest.write(batch, WriteMode::Upsert, Durability::Sync));
    for written in join_all(writes).await {
        assert_eq!(written.expect("the batch is taken").samples, (TAGS * SAMPLES) as u64);
    }
}
