//! What one query sees while others write: the same writes in all tags, each of them whole; what it gathers is bounded; and several threads
//! answer what one does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, Int32Type, TimestampNanosecondType},
    record_batch::RecordBatch,
};

use super::limits;
use crate::{AggregateQuery, ClientKey, MemoryBudget, QueryEngine, QueryError, QueryLimits, RangeQuery, Turns};
use historian_ingest::{Ingest, IngestOptions};
use historian_maintenance::KeeperOptions;
use historian_model::{
    Quality, SampleBatch, Samples, Tag, TimeRange, Timestamp, Value, ValueType,
    sink::{Actor, Correction, CorrectionSink, Durability, SampleSink, WriteMode},
};
use historian_operators::aggregate::{AggregateConfiguration, AggregateFunction, Intervals};
use historian_store::{LiveStore, MemoryStore, RocksStore, Store, rocks::StoreOptions};
use historian_test_support::engine::{TestHistorian, tag};

struct Plant {
    ingest: Arc<Ingest>,
    engine: QueryEngine,
    tags: Vec<Arc<Tag>>,
}

fn plant(store: Arc<dyn Store>, tags: usize, background: bool) -> Plant {
    let keeper = KeeperOptions { chunk_samples: 64, rollup_samples_min: 1, background, ..KeeperOptions::default() };
    let options = IngestOptions { head_samples_max: 30, keeper, ..IngestOptions::default() };
    let historian = TestHistorian::over(store).options(options).open();
    let tags = historian.tags((0..tags).map(|index| tag(&format!("t{index:03}"), ValueType::F64)));
    let ingest = historian.ingest;
    let engine = QueryEngine::new(ingest.reader()).with_threads(2);
    Plant { ingest, engine, tags }
}

fn write(plant: &Plant, runs: Vec<(usize, Samples)>) {
    let runs = runs.into_iter().map(|(tag, run)| (plant.tags[tag].id, run)).collect();
    let written = plant.ingest.write(SampleBatch { runs }, WriteMode::Upsert, Durability::Interval);
    futures::executor::block_on(written).unwrap();
}

fn run(samples: impl Iterator<Item = (i64, f64)>) -> Samples {
    let mut run = Samples::new(ValueType::F64);
    for (timestamp, value) in samples {
        run.push(timestamp, Some(&Value::F64(value)), 0).unwrap();
    }
    run
}

const ALL: (i64, i64) = (0, 1 << 60);

fn all(plant: &Plant) -> RangeQuery {
    RangeQuery::new(plant.tags.clone(), TimeRange::new(Timestamp(ALL.0), Timestamp(ALL.1)))
}

/// Samples of each tag.
fn by_tag(batches: &[RecordBatch], tags: usize) -> Vec<Vec<(i64, u64)>> {
    let mut found = vec![Vec::new(); tags];
    for batch in batches {
        let keys = batch.column(0).as_dictionary::<Int32Type>().keys();
        let (times, values) = (batch.column(1).as_primitive::<TimestampNanosecondType>(), batch.column(2).as_primitive::<Float64Type>());
        for row in 0..batch.num_rows() {
            let value = if values.is_valid(row) { values.value(row).to_bits() } else { u64::MAX };
            found[keys.value(row) as usize].push((times.value(row), value));
        }
    }
    found
}

fn read(engine: &QueryEngine, query: &RangeQuery, limits: &QueryLimits) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    engine
        .range(query, limits, &mut |batch| {
            batches.push(batch);
            true
        })
        .unwrap();
    batches
}

/// Writes go to all tags at once, some late, some as corrections; whoever reads meanwhile finds the same samples in all tags.
fn writes_are_seen_whole(store: Arc<dyn Store>) {
    const TAGS: usize = 12;
    let plant = plant(store, TAGS, true);
    let done = AtomicBool::new(false);
    let (mut reads, mut partly) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            for number in 0_i64.. {
                let at = if number % 7 == 3 { number - 20 } else { number }.max(0);
                let samples = || run((0..3).map(|step| (at * 10 + step, number as f64)));
                if number % 11 == 5 {
                    let correction = Correction {
                        deletions: plant
                            .tags
                            .iter()
                            .map(|tag| (tag.id, TimeRange::new(Timestamp(at * 10 - 40), Timestamp(at * 10 + 10))))
                            .collect(),
                        batch: SampleBatch { runs: plant.tags.iter().map(|tag| (tag.id, samples())).collect() },
                        actor: Actor::new("test"),
                        reason: "test".into(),
                    };
                    futures::executor::block_on(plant.ingest.correct(correction)).unwrap();
                } else {
                    write(&plant, (0..TAGS).map(|tag| (tag, samples())).collect());
                }
                if number % 100 == 50 {
                    plant.ingest.compact().unwrap();
                }
                if begun.elapsed() > Duration::from_secs(3) && number > 300 {
                    break;
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            let found = by_tag(&read(&plant.engine, &all(&plant), &limits(u64::MAX)), TAGS);
            assert!(found.iter().all(|samples| *samples == found[0]), "a write is there in part, or not in every tag");
            // Two queries with the same limits are two parts of one.
            let together = limits(u64::MAX);
            let query = AggregateQuery {
                tags: plant.tags.clone(),
                intervals: Intervals::new(ALL.0, ALL.1, 0).unwrap(),
                functions: vec![AggregateFunction::Count, AggregateFunction::Maximum],
                configuration: AggregateConfiguration::default(),
                stepped: None,
                use_rollups: true,
            };
            let mut figures = Vec::new();
            let take = &mut |batch: RecordBatch| {
                figures.extend(batch.column(3).as_primitive::<Float64Type>().iter());
                true
            };
            plant.engine.operate(&query, &together, take).unwrap();
            let found = by_tag(&read(&plant.engine, &all(&plant), &together), TAGS);
            let largest = found[0].iter().map(|(_, value)| f64::from_bits(*value)).reduce(f64::max);
            for pair in figures.chunks(2) {
                assert_eq!(
                    (pair[0].unwrap_or(0.0) as usize, pair[1]),
                    (found[0].len(), largest),
                    "another moment than the one of the samples"
                );
            }
            let current = plant.engine.current(&plant.tags, false, &limits(u64::MAX)).unwrap();
            let values = current.column(2).as_primitive::<Float64Type>();
            assert!(values.iter().all(|value| value == values.iter().next().flatten()), "current values of several moments");
            partly += usize::from(!found[0].is_empty());
            reads += 1;
        }
    });
    assert!(reads > 5 && partly > 3, "{reads} reads, {partly} of them with samples");
}

#[test]
fn every_write_is_seen_whole_and_in_all_tags() {
    writes_are_seen_whole(Arc::new(MemoryStore::default()));
    let directory = tempfile::tempdir().unwrap();
    writes_are_seen_whole(Arc::new(RocksStore::open(directory.path(), &StoreOptions::default()).unwrap()));
    let directory = tempfile::tempdir().unwrap();
    writes_are_seen_whole(Arc::new(LiveStore::open(directory.path(), &StoreOptions::default()).unwrap()));
}

#[test]
fn a_long_answer_is_of_the_moment_of_its_beginning() {
    const TAGS: usize = 6;
    const SAMPLES: i64 = 60_000;
    let directory = tempfile::tempdir().unwrap();
    let plant = plant(Arc::new(LiveStore::open(directory.path(), &StoreOptions::default()).unwrap()), TAGS, true);
    for tag in 0..TAGS {
        write(&plant, vec![(tag, run((0..SAMPLES).map(|at| (at * 10, at as f64))))]);
    }
    let expected: Vec<(i64, u64)> = (0..SAMPLES).map(|at| (at * 10, (at as f64).to_bits())).collect();
    for threads in [1, 3] {
        let mut batches = Vec::new();
        let engine = plant.engine.clone().with_threads(threads);
        let query = all(&plant);
        let mut first = true;
        engine
            .range(&query, &limits(u64::MAX), &mut |batch| {
                if std::mem::take(&mut first) {
                    // All of this comes too late for this answer.
                    let late = (0..TAGS).map(|tag| (tag, run((0..SAMPLES).map(|at| (at * 10 + threads as i64, -1.0)))));
                    write(&plant, late.collect());
                    plant.ingest.compact().unwrap();
                    let correction = Correction {
                        deletions: plant
                            .tags
                            .iter()
                            .map(|tag| (tag.id, TimeRange::new(Timestamp(SAMPLES), Timestamp(SAMPLES * 5 + 1))))
                            .collect(),
                        batch: SampleBatch::default(),
                        actor: Actor::new("test"),
                        reason: "test".into(),
                    };
                    futures::executor::block_on(plant.ingest.correct(correction)).unwrap();
                }
                batches.push(batch);
                true
            })
            .unwrap();
        let found = by_tag(&batches, TAGS);
        assert!(found.iter().all(|samples| *samples == expected), "with {threads} threads");
        // As before, for the next turn.
        let correction = Correction {
            deletions: plant.tags.iter().map(|tag| (tag.id, TimeRange::new(Timestamp(0), Timestamp(SAMPLES * 20 + 1)))).collect(),
            batch: SampleBatch { runs: plant.tags.iter().map(|tag| (tag.id, run((0..SAMPLES).map(|at| (at * 10, at as f64))))).collect() },
            actor: Actor::new("test"),
            reason: "test".into(),
        };
        futures::executor::block_on(plant.ingest.correct(correction)).unwrap();
    }
}

#[test]
fn several_threads_answer_what_one_does() {
    // One dense tag, many short ones, one that is dense at its end; some samples Bad.
    let plant = plant(Arc::new(MemoryStore::default()), 300, false);
    let quality = |at: i64| if at % 17 == 0 { Quality::BAD_SENSOR_FAILURE.0 } else { 0 };
    let mut runs: Vec<(usize, Samples)> = Vec::new();
    for tag in 0..300 {
        let (count, step) = match tag {
            2 => (700_000, 1_000),
            150 => (250_000, 7_001),
            _ => (50 + tag as i64 % 13, 10_000_000),
        };
        let mut samples = Samples::new(ValueType::F64);
        for at in 0..count {
            let timestamp = if tag == 150 { 1_000_000_000 + at } else { at * step };
            samples.push(timestamp, Some(&Value::F64((at % 1_013) as f64)), quality(at)).unwrap();
        }
        runs.push((tag, samples));
    }
    write(&plant, runs);
    for quality in [crate::QualityFilter::Any, crate::QualityFilter::Good] {
        for range in [TimeRange::new(Timestamp(0), Timestamp(1_000_250_001)), TimeRange::ALL] {
            let query = RangeQuery { range, quality, ..all(&plant) };
            let answers = [1, 3].map(|threads| read(&plant.engine.clone().with_threads(threads), &query, &limits(u64::MAX)));
            let [alone, together] = answers.map(|batches| by_tag(&batches, 300));
            assert!(alone.iter().map(Vec::len).sum::<usize>() > 800_000);
            assert!(alone == together, "the answers differ");
        }
    }
    let refused = plant.engine.clone().with_threads(3).range(&all(&plant), &limits(600_000), &mut |_| true);
    assert!(matches!(refused, Err(QueryError::TooManyRows(600_000))), "{refused:?}");
    let mut batches = 0;
    let stopped = plant.engine.clone().with_threads(3).range(&all(&plant), &limits(u64::MAX), &mut |_| {
        batches += 1;
        batches < 8
    });
    assert!(stopped.is_ok() && batches == 8);
}

#[test]
fn what_a_query_gathers_is_bounded() {
    let plant = plant(Arc::new(MemoryStore::default()), 1, false);
    write(&plant, vec![(0, run((0..100_000).map(|at| (at * 10, 0.0))))]);
    // Late, and not merged: the keeper has not been there.
    write(&plant, vec![(0, run((0..99_000).map(|at| (at * 10 + 5, 1.0))))]);
    let small = QueryLimits { memory: MemoryBudget::new(1 << 20), ..limits(u64::MAX) };
    let mut rows = 0;
    let ended = plant.engine.range(&all(&plant), &small, &mut |batch| {
        rows += batch.num_rows();
        true
    });
    let Err(QueryError::Memory(error)) = ended else { panic!("{ended:?} after {rows} rows") };
    assert!(error.to_string().contains("1 MiB"), "{error}");
    let enough = QueryLimits { memory: MemoryBudget::new(64 << 20), ..limits(u64::MAX) };
    assert_eq!(read(&plant.engine, &all(&plant), &enough).iter().map(RecordBatch::num_rows).sum::<usize>(), 199_000);
    assert!(enough.memory.take(64 << 20).is_ok(), "all is given back");
}

/// Writes wait while current values are read at one moment, and queries that begin wait behind these writes. Who has used up its turn there must not
/// wait for another one: it would be had by one of those who wait for it.
#[test]
fn who_reads_current_values_does_not_wait_for_a_turn_while_writes_wait_for_it() {
    let historian = TestHistorian::in_memory().open();
    let tags = historian.tags([tag("t", ValueType::F64)]);
    let write = |at: i64| {
        let mut run = Samples::new(ValueType::F64);
        run.push(at, Some(&Value::F64(1.0)), 0).unwrap();
        historian.write(vec![(tags[0].id, run)]);
    };
    write(1);
    let engine = QueryEngine::new(historian.ingest.reader());
    // From now on it is known what is stored, and nothing is looked up apart from the moment.
    engine.current(&tags, false, &limits(u64::MAX)).unwrap();
    let turns = Turns::new(1, 0);
    let (first, second) = (ClientKey::of(1), ClientKey::of(2));
    let with_turns = |client, seconds| QueryLimits {
        turns: Some(turns.of(client)),
        ..QueryLimits::new(Instant::now() + Duration::from_secs(seconds), u64::MAX, tokio_util::sync::CancellationToken::new())
    };
    let (reads, waits) = (with_turns(first, 5), with_turns(second, 60));
    std::thread::scope(|scope| {
        let turn = reads.begin().unwrap();
        let writer = scope.spawn(|| {
            let turn = waits.begin().unwrap();
            write(2);
            drop(turn);
        });
        // The turn is used up, and another one waits for it.
        while turns.waiting() == 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let read = engine.current(&tags, false, &reads);
        drop(turn);
        writer.join().unwrap();
        assert_eq!(read.unwrap().num_rows(), 1);
    });
}
