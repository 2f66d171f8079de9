//! A sample sink that keeps everything, for tests of collectors without a store.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use historian::model::{
    SampleBatch, Samples, TagId,
    sink::{Acknowledgement, Durability, Loss, RefusedWrite, SampleSink, WriteError, WriteMode},
};
use parking_lot::Mutex;

#[derive(Default)]
pub struct Recorder {
    samples: Mutex<BTreeMap<TagId, Samples>>,
    sequence: AtomicU64,
    losses: Mutex<Vec<Loss>>,
}

impl Recorder {
    /// Everything written for a tag, in the order of writing.
    pub fn of(&self, tag: TagId) -> Option<Samples> {
        self.samples.lock().get(&tag).cloned()
    }

    /// What was put on record of a tag, in that order.
    pub fn losses(&self, tag: TagId) -> Vec<Loss> {
        self.losses.lock().iter().filter(|loss| loss.tag == tag).cloned().collect()
    }

    pub fn count(&self, tag: TagId) -> usize {
        self.samples.lock().get(&tag).map_or(0, Samples::len)
    }
}

#[async_trait]
impl SampleSink for Recorder {
    async fn write(&self, batch: SampleBatch, _mode: WriteMode, _durability: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
        let samples = batch.len() as u64;
        let mut kept = self.samples.lock();
        for (tag, run) in batch.runs {
            match kept.entry(tag) {
                std::collections::btree_map::Entry::Vacant(slot) => {
                    slot.insert(run);
                }
                std::collections::btree_map::Entry::Occupied(mut slot) => {
                    let _ = slot.get_mut().append(&run);
                }
            }
        }
        Ok(Acknowledgement { watermark: self.sequence.fetch_add(1, Ordering::SeqCst) + 1, samples, ..Acknowledgement::default() })
    }

    async fn record_losses(&self, losses: &[Loss]) -> Result<(), WriteError> {
        self.losses.lock().extend_from_slice(losses);
        Ok(())
    }
}
