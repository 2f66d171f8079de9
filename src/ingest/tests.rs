//! Ingest against a plain map as model, on both stores: any arrival order, repeats, seals, retirements and restarts give the same samples.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use historian_format::rollup::RollupLevel;

use super::{Ingest, IngestOptions, keep::KeeperOptions, sink::*};
use crate::{
    model::{ManualClock, SampleBatch, Samples, Tag, TagDefinition, TagName, TimeRange, Timestamp, Value, ValueType},
    store::{Catalog, MemoryStore, RocksStore, Store, catalog::TAGS_MAX, rocks::StoreOptions},
};

/// What the store should hold: per tag, per timestamp, value and quality.
type Model = Vec<BTreeMap<i64, (Option<u64>, u32)>>;

#[derive(Clone, Debug)]
enum Step {
    /// Samples of one tag: timestamp, value bits (`None` null).
    Write {
        tag: usize,
        samples: Vec<(i64, Option<u64>)>,
        mode: WriteMode,
    },
    /// Deletes a range of one tag, and writes samples in its place.
    Replace {
        tag: usize,
        from: i64,
        to: i64,
        samples: Vec<(i64, Option<u64>)>,
    },
    Compact,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let timestamp = prop_oneof![8 => 0_i64..60, 1 => any::<i64>().prop_map(|t| t.min(i64::MAX - 1)),
        2 => (0_i64..200).prop_map(|n| n * 41 * 60_000_000_000 - 3 * 86_400_000_000_000)];
    let value = prop_oneof![6 => (0_u64..4).prop_map(|n| Some((n as f64).to_bits())), 2 => any::<u64>().prop_map(Some), 1 => Just(None)];
    let mode = prop_oneof![4 => Just(WriteMode::Upsert), 1 => Just(WriteMode::Insert)];
    let samples = prop::collection::vec((timestamp, value), 1..12);
    let bounds = prop_oneof![3 => (0_i64..60, 0_i64..20).prop_map(|(from, length)| (from, from + length)), 1 => Just((i64::MIN, i64::MAX))];
    let replacement = prop_oneof![1 => Just(Vec::new()), 1 => samples.clone()];
    prop_oneof![
        12 => (0_usize..3, samples, mode).prop_map(|(tag, samples, mode)| Step::Write { tag, samples, mode }),
        2 => (0_usize..3, bounds, replacement).prop_map(|(tag, (from, to), samples)| Step::Replace { tag, from, to, samples }),
        1 => Just(Step::Compact),
        1 => Just(Step::Restart),
    ]
}

struct Machine {
    ingest: Ingest,
    tags: Vec<Arc<Tag>>,
}

/// Small heads and a small journal, so that sealing and retirement happen within a few steps.
fn start(store: &Arc<dyn Store>) -> Machine {
    let catalog = Arc::new(Catalog::open(store.clone(), Arc::new(ManualClock::at(Timestamp(0))), TAGS_MAX).unwrap());
    let definitions = (0..3).map(|n| TagDefinition::new(TagName::new(format!("t{n}")).unwrap(), ValueType::F64)).collect();
    let tags = catalog.get_or_create(definitions).unwrap();
    let keeper = KeeperOptions { chunk_samples: 24, chunks_max: 3, late_max: 2, rollup_samples_min: 1, ..KeeperOptions::default() };
    let options = IngestOptions { head_samples_max: 10, journal_bytes_max: 600, keeper, ..IngestOptions::default() };
    Machine { ingest: Ingest::open(store.clone(), catalog, Arc::new(ManualClock::at(Timestamp(0))), options).unwrap(), tags }
}

fn read(machine: &Machine, tag: &Tag, range: TimeRange) -> Vec<(i64, Option<u64>, u32)> {
    let reader = machine.ingest.reader();
    let mut cursor = reader.cursor(tag, range).unwrap();
    let mut samples = Samples::new(tag.value_type());
    while cursor.next_into(&mut samples).unwrap() {}
    let bits = |index: usize| samples.value(index).map(|value| value.as_f64().unwrap().to_bits());
    (0..samples.len()).map(|index| (samples.timestamps[index], bits(index), samples.qualities[index])).collect()
}

fn check(machine: &Machine, model: &Model) {
    for (tag, expected) in machine.tags.iter().zip(model) {
        for (start, end) in [(i64::MIN, i64::MAX), (10, 30), (29, 30), (30, 30)] {
            let mut wanted: Vec<_> =
                expected.range(start..end).map(|(&timestamp, &(value, quality))| (timestamp, value, quality)).collect();
            let range = TimeRange::new(Timestamp(start), Timestamp(end));
            assert_eq!(read(machine, tag, range), wanted, "{} in {start}..{end}", tag.name());
            wanted.reverse();
            assert_eq!(read(machine, tag, TimeRange { reverse: true, ..range }), wanted, "{} in {start}..{end} backwards", tag.name());
        }
        let current = machine.ingest.reader().current(tag).unwrap();
        let current =
            current.map(|current| (current.timestamp, current.value.map(|value| value.as_f64().unwrap().to_bits()), current.quality));
        assert_eq!(
            current,
            expected.iter().next_back().map(|(&timestamp, &(value, quality))| (timestamp, value, quality)),
            "current value of {}",
            tag.name()
        );
        rollups_change_no_answer(machine, tag);
    }
}

/// States made with rollups equal those made without, to the bit, and those a plain reading of the samples gives.
fn rollups_change_no_answer(machine: &Machine, tag: &Tag) {
    const DAY: i64 = 86_400_000_000_000;
    let reader = machine.ingest.reader();
    for level in RollupLevel::ALL {
        for (start, end) in [(-4 * DAY, 4 * DAY), (0, DAY)] {
            let with = reader.states(tag, level, start, end, true).unwrap();
            let without = reader.states(tag, level, start, end, false).unwrap();
            let differs = with.states.iter().zip(&without.states).find(|(a, b)| format!("{a:?}") != format!("{b:?}"));
            assert!(differs.is_none(), "{level:?} of {} ({} stored): {differs:?}", tag.name(), with.stored);
            assert_eq!(with.states.len(), without.states.len());
            let counted: u64 = with.states.iter().map(|(_, state)| state.count).sum();
            assert_eq!(counted as usize, read(machine, tag, TimeRange::new(Timestamp(start), Timestamp(end))).len());
        }
    }
}

fn run(steps: &[Step], open: &dyn Fn() -> Arc<dyn Store>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut store = open();
    let mut machine = start(&store);
    let mut model: Model = vec![BTreeMap::new(); 3];
    for step in steps {
        match step {
            Step::Write { tag, samples, mode } => {
                let mut run = Samples::new(ValueType::F64);
                let mut new = 0;
                for &(timestamp, bits) in samples {
                    let quality = if bits.is_some() { 0 } else { 0x8031_0000 };
                    run.push(timestamp, bits.map(|bits| Value::F64(f64::from_bits(bits))).as_ref(), quality).unwrap();
                    match mode {
                        WriteMode::Upsert => {
                            model[*tag].insert(timestamp, (bits, quality));
                            new += 1;
                        }
                        WriteMode::Insert => {
                            if let std::collections::btree_map::Entry::Vacant(slot) = model[*tag].entry(timestamp) {
                                slot.insert((bits, quality));
                                new += 1;
                            }
                        }
                    }
                }
                let batch = SampleBatch { runs: vec![(machine.tags[*tag].id, run)] };
                let ingest = &machine.ingest;
                let answer = runtime.block_on(async { ingest.write(batch, *mode, Durability::Sync).await }).unwrap();
                assert_eq!(answer.samples, new, "samples taken");
            }
            Step::Replace { tag, from, to, samples } => {
                let mut run = Samples::new(ValueType::F64);
                let before = model[*tag].len();
                model[*tag].retain(|at, _| !(*from..=*to).contains(at));
                let deleted = (before - model[*tag].len()) as u64;
                for &(timestamp, bits) in samples {
                    let quality = if bits.is_some() { 0 } else { 0x8031_0000 };
                    run.push(timestamp, bits.map(|bits| Value::F64(f64::from_bits(bits))).as_ref(), quality).unwrap();
                    model[*tag].insert(timestamp, (bits, quality));
                }
                let id = machine.tags[*tag].id;
                let correction = Correction {
                    deletions: vec![(id, Timestamp(*from), Timestamp(*to))],
                    batch: SampleBatch { runs: vec![(id, run)] },
                    principal: "tester".into(),
                    reason: "a property".into(),
                };
                let ingest = &machine.ingest;
                let answer = runtime.block_on(async { ingest.correct(correction).await }).unwrap();
                assert_eq!(answer.deleted, deleted);
            }
            Step::Compact => drop(machine.ingest.compact().unwrap()),
            Step::Restart => {
                let watermark = machine.ingest.status().watermark;
                drop(machine);
                drop(store);
                store = open();
                machine = start(&store);
                assert_eq!(machine.ingest.recovered().watermark, watermark);
            }
        }
        check(&machine, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_writes_reads_as_the_model_on_the_memory_store(steps in prop::collection::vec(step(), 1..60)) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        run(&steps, &|| store.clone());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_writes_reads_as_the_model_on_rocksdb(steps in prop::collection::vec(step(), 1..60)) {
        let directory = tempfile::tempdir().unwrap();
        run(&steps, &|| Arc::new(RocksStore::open(directory.path(), &StoreOptions::default()).unwrap()) as Arc<dyn Store>);
    }
}

#[test]
fn after_a_store_fails_nothing_is_acknowledged() {
    use crate::store::StoreError;

    /// Fails the second append.
    struct Failing(MemoryStore, std::sync::atomic::AtomicU32);
    impl crate::store::StoreLayer for Failing {
        fn inner(&self) -> &dyn Store {
            &self.0
        }
        fn append_journal(&self, records: &[(u64, Vec<u8>)], durable: bool) -> Result<(), StoreError> {
            if self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1 {
                return Err(StoreError::Io("input/output error".into()));
            }
            self.0.append_journal(records, durable)
        }
    }

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let store: Arc<dyn Store> = Arc::new(Failing(MemoryStore::default(), std::sync::atomic::AtomicU32::default()));
    let machine = start(&store);
    let write = |value: f64| {
        let mut run = Samples::new(ValueType::F64);
        run.push(1, Some(&Value::F64(value)), 0).unwrap();
        let batch = SampleBatch { runs: vec![(machine.tags[0].id, run)] };
        runtime.block_on(machine.ingest.write(batch, WriteMode::Upsert, Durability::Sync))
    };
    assert_eq!(write(1.0).unwrap().watermark, 1);
    for value in [2.0, 3.0] {
        assert!(matches!(write(value), Err(WriteError::Stopped(_))));
    }
    assert!(!machine.ingest.status().accepting_writes);
    assert_eq!(read(&machine, &machine.tags[0], TimeRange::ALL).len(), 1, "what was acknowledged stays readable");
    assert_eq!(read(&machine, &machine.tags[0], TimeRange::ALL)[0].1, Some(1.0_f64.to_bits()));
}
