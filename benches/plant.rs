//! A historian with many tags: what the benches of the upper layers write to and read.

use std::sync::Arc;

use historian::model::{
    SampleBatch, SystemClock, Tag, ValueType,
    sink::{Durability, SampleSink, WriteMode},
};
use historian_test_support::engine::{Setup, TestHistorian, tag};
use tokio::runtime::Runtime;

use crate::shape::{SECOND, Shape, Source};

pub struct Plant {
    pub historian: TestHistorian,
    /// All of type f64, in the order of their names.
    pub tags: Vec<Arc<Tag>>,
}

impl Plant {
    /// A plant of f64 tags without samples.
    pub fn new(setup: Setup, tags: usize) -> Plant {
        let historian = setup.clock(Arc::new(SystemClock)).open();
        let definition = |index| tag(&format!("area{}/unit{:02}/t{index:05}", index / 1000, index / 100 % 10), ValueType::F64);
        let tags = historian.tags((0..tags).map(definition));
        Plant { historian, tags }
    }

    /// A plant of 1,000 tags: the first `filled` have `samples` samples in chunks, the others one each.
    pub fn with_history(runtime: &Runtime, filled: usize, samples: usize) -> Plant {
        let plant = Plant::new(TestHistorian::on_disk(), 1_000);
        for (index, tag) in plant.tags.iter().enumerate() {
            let run = source(index).take(if index < filled { samples } else { 1 });
            let batch = SampleBatch { runs: vec![(tag.id, run)] };
            let written = runtime.block_on(plant.historian.ingest.write(batch, WriteMode::Upsert, Durability::Interval));
            written.expect("the batch is taken");
        }
        plant.historian.ingest.compact().expect("the store compacts");
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
