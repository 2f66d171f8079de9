//! A catalog of tags and an ingest over a store, as the server puts them together: what the benches of the upper layers write to and read.

use std::sync::Arc;

use historian::{
    ingest::{Ingest, IngestOptions},
    model::{
        SampleBatch, SystemClock, Tag, TagDefinition, TagName, ValueType,
        sink::{Durability, SampleSink, WriteMode},
    },
    store::{Catalog, MemoryStore, RocksStore, Store, catalog::TAGS_MAX, rocks::StoreOptions},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::shape::{SECOND, Shape, Source};

pub struct Plant {
    pub catalog: Arc<Catalog>,
    pub ingest: Arc<Ingest>,
    /// All of type f64, in the order of their names.
    pub tags: Vec<Arc<Tag>>,
    _directory: Option<TempDir>,
}

/// Where a plant keeps its samples.
#[derive(Clone, Copy, Debug)]
pub enum Kept {
    Memory,
    /// In a temporary directory, with the durability of the product.
    RocksDb,
}

impl Plant {
    /// A plant of f64 tags without samples.
    pub fn new(kept: Kept, tags: usize) -> Plant {
        let (store, directory): (Arc<dyn Store>, _) = match kept {
            Kept::Memory => (Arc::new(MemoryStore::default()), None),
            Kept::RocksDb => {
                let directory = tempfile::tempdir().expect("a temporary directory can be made");
                let store = RocksStore::open(directory.path(), &StoreOptions::default()).expect("a new store opens");
                (Arc::new(store), Some(directory))
            }
        };
        let catalog = Arc::new(Catalog::open(store.clone(), Arc::new(SystemClock), TAGS_MAX).expect("a new catalog opens"));
        let definitions = (0..tags)
            .map(|tag| {
                let name = TagName::new(format!("area{}/unit{:02}/t{tag:05}", tag / 1000, tag / 100 % 10)).expect("the name is valid");
                TagDefinition::new(name, ValueType::F64)
            })
            .collect();
        let tags = catalog.get_or_create(definitions).expect("tags can be made");
        let ingest = Arc::new(Ingest::open(store, catalog.clone(), Arc::new(SystemClock), IngestOptions::default()).expect("ingest opens"));
        Plant { catalog, ingest, tags, _directory: directory }
    }

    /// A plant of 1,000 tags: the first `filled` have `samples` samples in chunks, the others one each.
    pub fn with_history(runtime: &Runtime, filled: usize, samples: usize) -> Plant {
        let plant = Plant::new(Kept::RocksDb, 1_000);
        for (index, tag) in plant.tags.iter().enumerate() {
            let run = source(index).take(if index < filled { samples } else { 1 });
            let batch = SampleBatch { runs: vec![(tag.id, run)] };
            let written = runtime.block_on(plant.ingest.write(batch, WriteMode::Upsert, Durability::Interval));
            written.expect("the batch is taken");
        }
        plant.ingest.compact().expect("the store compacts");
        plant
    }
}

/// Samples of a plant's tag: the analog shapes in turn, each tag with its own seed.
pub fn source(index: usize) -> Source {
    Source::new(Shape::ANALOG[index % Shape::ANALOG.len()], index as u64)
}

/// The same samples for every batch, but each batch later than the one before: nothing is written twice.
pub struct Batches {
    template: SampleBatch,
    step: i64,
    next: i64,
}

impl Batches {
    pub fn new(tags: &[Arc<Tag>], samples: usize) -> Batches {
        let runs = tags.iter().enumerate().map(|(index, tag)| (tag.id, source(index).take(samples))).collect();
        Batches { template: SampleBatch { runs }, step: samples as i64 * SECOND, next: 0 }
    }

    pub fn next_batch(&mut self) -> SampleBatch {
        let mut batch = self.template.clone();
        for (_, run) in &mut batch.runs {
            run.timestamps.iter_mut().for_each(|timestamp| *timestamp += self.next);
        }
        self.next += self.step;
        batch
    }
}
