//! What of each tag is not yet in the store, as readers see it; and the seam through which they ask for it, [`ReadHeads`].
//!
//! The write path keeps the heads and hands out [`Unstored`], which shares the samples of one moment and costs two counters. A head that is
//! being sealed stays visible until its chunk can be read from the store, so a reader that asks the head first and the store second misses
//! nothing (it may see a sample twice, which merging by timestamp makes one).

use std::{collections::HashMap, sync::Arc, time::Instant};

use historian_format::current::CurrentEntry;
use parking_lot::RwLockReadGuard;

use super::ReadError;
use historian_model::{Sample, Samples, TagId, TimeBounds, ValueType};

/// The latest sample that the store's entry tells of a tag of this type; `None` where it tells nothing.
pub fn sample_of_entry(bytes: &[u8], value_type: ValueType) -> Option<Sample> {
    let entry = CurrentEntry::decode(bytes)?;
    (entry.value_type == value_type).then_some(entry.sample)
}

/// Looks up what the store holds as the latest sample of a tag.
pub type StoredCurrent<'a> = &'a mut dyn FnMut() -> Result<Option<Sample>, ReadError>;

/// What readers ask of the heads. Each call is for a whole tag, never for a sample.
pub trait ReadHeads: Send + Sync {
    /// While this is held no write is applied. `None` when the one under way takes longer than until the deadline.
    fn between_writes(&self, deadline: Instant) -> Option<RwLockReadGuard<'_, ()>>;

    /// What of a tag is not yet in the store, as it is now.
    fn unstored(&self, tag: TagId) -> Unstored;

    /// The current value; `stored` is asked once per tag for what lay in the store before this process started.
    ///
    /// # Errors
    /// Those of `stored`.
    fn current(&self, tag: TagId, stored: StoredCurrent<'_>) -> Result<Option<Sample>, ReadError>;

    /// The same where that takes no look into the store; `None` where it would.
    fn known_current(&self, tag: TagId) -> Option<Option<Sample>>;
}

/// What of a tag is not yet in the store. Shared with the snapshots that hold it: who writes then writes to a copy.
#[derive(Clone, Debug, Default)]
pub struct Unstored {
    pub head: Option<Arc<Samples>>,
    /// Sequence number of the newest sample in the head.
    pub sequence: u64,
    /// Taken from the head, sorted, and not yet in the store.
    pub sealing: Option<Arc<Samples>>,
    /// Versions that others of `sealing` replaced, while they are in no other place.
    pub sealing_superseded: Option<Arc<Samples>>,
}

impl Unstored {
    /// Samples within the bounds: sorted, each timestamp once, the newest write winning. `None` for none.
    pub fn read(&self, bounds: TimeBounds) -> Option<Samples> {
        let runs = [self.sealing.as_deref(), self.head.as_deref()];
        let mut samples = Samples::new(runs.iter().flatten().next()?.value_type());
        for run in runs.into_iter().flatten() {
            copy_within(run, bounds, &mut samples);
        }
        samples.sort_and_dedup();
        (!samples.is_empty()).then_some(samples)
    }

    /// Everything, oldest layer first, with the sequence number of its newest sample; unsorted.
    pub fn layers(&self) -> Vec<(u64, Samples)> {
        let sealing = self.sealing.as_deref().map(|samples| {
            let mut layer = self.sealing_superseded.as_deref().cloned().unwrap_or_else(|| Samples::new(samples.value_type()));
            let whole = layer.append(samples);
            debug_assert!(whole.is_ok(), "samples of one tag are of one type");
            layer
        });
        sealing.into_iter().chain(self.head.as_deref().cloned()).map(|samples| (self.sequence, samples)).collect()
    }
}

/// The heads of some tags as they were at one moment.
#[derive(Debug, Default)]
pub struct FrozenHeads(HashMap<TagId, Unstored>);

impl FrozenHeads {
    /// The heads of these tags as they are now.
    pub fn freeze(heads: &dyn ReadHeads, tags: impl Iterator<Item = TagId>) -> FrozenHeads {
        FrozenHeads(tags.map(|tag| (tag, heads.unstored(tag))).collect())
    }

    /// Whether a tag is among those that were asked for.
    pub fn has(&self, tag: TagId) -> bool {
        self.0.contains_key(&tag)
    }

    /// `None` for a tag that is not among those that were asked for.
    pub fn of(&self, tag: TagId) -> Option<&Unstored> {
        self.0.get(&tag)
    }
}

/// Appends the samples of a run that lie within the bounds, in their order.
fn copy_within(run: &Samples, bounds: TimeBounds, out: &mut Samples) {
    let copied = if run.is_sorted_strictly() {
        out.extend_range(run, bounds.rows(&run.timestamps))
    } else {
        let inside = |index: &u32| bounds.contains(run.timestamps[*index as usize]);
        let indexes: Vec<u32> = (0..run.len() as u32).filter(inside).collect();
        out.append(&run.take(&indexes))
    };
    debug_assert!(copied.is_ok(), "head and sealing samples of one tag are of one type");
}
