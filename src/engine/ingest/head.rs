//! Heads: the open, not yet sealed samples of each tag, and its current value.
//!
//! Only the applier thread of [`super::journal`] changes heads, in the order of sequence numbers; queries read them at any time, through
//! [`ReadHeads`].

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use historian_model::{Sample, Samples, TagId};
use historian_read::{
    ReadError,
    unstored::{ReadHeads, StoredCurrent, Unstored},
    versions::sort_versions,
};

const SHARDS: usize = 64;

/// What is known of the samples that were in the store when the process started.
#[derive(Clone, Debug, Default)]
enum StoredState {
    #[default]
    Unknown,
    Known(Option<Sample>),
}

#[derive(Default)]
struct HeadTagState {
    unstored: Unstored,
    /// Latest sample applied since start.
    latest: Option<Sample>,
    stored: StoredState,
    /// How often stored samples were corrected: what was looked up before does not count.
    corrections: u32,
}

/// Samples taken from a head for sealing: sorted, each timestamp once.
pub struct Sealing {
    pub tag: TagId,
    pub sequence: u64,
    pub samples: Arc<Samples>,
    /// Versions that others in the same head replaced.
    pub superseded: Option<Samples>,
}

pub struct Heads {
    shards: Vec<RwLock<HashMap<TagId, HeadTagState>>>,
    samples: AtomicUsize,
    /// Held by the applier for the time in which a write is there in part.
    applying: RwLock<()>,
}

impl Default for Heads {
    fn default() -> Heads {
        Heads { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), samples: AtomicUsize::new(0), applying: RwLock::new(()) }
    }
}

impl Heads {
    fn shard(&self, tag: TagId) -> &RwLock<HashMap<TagId, HeadTagState>> {
        &self.shards[tag.0 as usize % SHARDS]
    }

    /// To be held while a write is applied that readers must see whole or not at all.
    pub(super) fn applying(&self) -> RwLockWriteGuard<'_, ()> {
        self.applying.write()
    }

    /// Samples in all heads.
    pub fn samples(&self) -> usize {
        self.samples.load(Ordering::Relaxed)
    }

    /// Appends a run and returns the head's length. A run of another type than the head's (the tag was deleted and its id cannot return, so
    /// this is a mistake of the caller) is not taken.
    pub(super) fn apply(&self, tag: TagId, run: &Samples, sequence: u64) -> usize {
        let mut shard = self.shard(tag).write();
        let state = shard.entry(tag).or_default();
        let head = Arc::make_mut(state.unstored.head.get_or_insert_with(|| Arc::new(Samples::new(run.value_type()))));
        if head.append(run).is_err() {
            debug_assert!(false, "a run of type {} for a head of type {}", run.value_type(), head.value_type());
            return head.len();
        }
        let length = head.len();
        state.unstored.sequence = sequence;
        if let Some(index) = latest_index(run)
            && state.latest.as_ref().is_none_or(|latest| latest.timestamp <= run.timestamps[index])
        {
            state.latest = Some(run.sample(index));
        }
        self.samples.fetch_add(run.len(), Ordering::Relaxed);
        length
    }

    /// Takes the samples of a head for sealing; they stay visible until [`Heads::sealed`]. `None` when the head is empty.
    pub(super) fn start_sealing(&self, tag: TagId) -> Option<Sealing> {
        let mut shard = self.shard(tag).write();
        let state = shard.get_mut(&tag)?;
        let unstored = &mut state.unstored;
        let mut samples = mem::take(&mut unstored.head).filter(|head| !head.is_empty()).map(Arc::unwrap_or_clone)?;
        self.samples.fetch_sub(samples.len(), Ordering::Relaxed);
        let superseded = sort_versions(&mut samples);
        let samples = Arc::new(samples);
        unstored.sealing = Some(samples.clone());
        unstored.sealing_superseded = superseded.clone().map(Arc::new);
        Some(Sealing { tag, sequence: unstored.sequence, samples, superseded })
    }

    /// The samples taken from this head could not be sealed and go back.
    pub(super) fn unseal(&self, sealing: &Sealing) {
        let mut shard = self.shard(sealing.tag).write();
        let Some(HeadTagState { unstored, .. }) = shard.get_mut(&sealing.tag) else { return };
        unstored.sealing = None;
        unstored.sealing_superseded = None;
        let newer = mem::take(&mut unstored.head);
        // Replaced versions first, then what replaced them, then what came since: in the order of writing again.
        let mut head = Samples::new(sealing.samples.value_type());
        for run in sealing.superseded.iter().chain([&*sealing.samples]).chain(newer.as_deref()) {
            let appended = head.append(run);
            debug_assert!(appended.is_ok(), "samples of one tag are of one type");
        }
        let added = head.len() - newer.map_or(0, |newer| newer.len());
        self.samples.fetch_add(added, Ordering::Relaxed);
        unstored.head = Some(Arc::new(head));
    }

    /// The stored samples of a tag have changed: its current value is looked up anew. The head is empty.
    pub(super) fn corrected(&self, tag: TagId) {
        let mut shard = self.shard(tag).write();
        let state = shard.entry(tag).or_default();
        state.latest = None;
        state.stored = StoredState::Unknown;
        state.corrections = state.corrections.wrapping_add(1);
    }

    /// The samples taken from this head can be read from the store now.
    pub(super) fn sealed(&self, tag: TagId) {
        if let Some(state) = self.shard(tag).write().get_mut(&tag) {
            state.unstored.sealing = None;
            state.unstored.sealing_superseded = None;
        }
    }

    /// Forgets a tag that was deleted.
    pub(super) fn forget(&self, tag: TagId) {
        if let Some(state) = self.shard(tag).write().remove(&tag) {
            self.samples.fetch_sub(state.unstored.head.map_or(0, |head| head.len()), Ordering::Relaxed);
        }
    }

    /// Tags with samples in their heads, and how many.
    pub(super) fn filled(&self) -> Vec<(TagId, usize)> {
        let mut filled = Vec::new();
        for shard in &self.shards {
            filled.extend(shard.read().iter().filter_map(|(tag, state)| Some((*tag, state.unstored.head.as_ref()?.len()))));
        }
        filled.sort_unstable();
        filled
    }

    /// A copy of a head as it is, unsorted.
    pub(super) fn copy(&self, tag: TagId) -> Option<Samples> {
        self.shard(tag).read().get(&tag).and_then(|state| state.unstored.head.as_deref().cloned())
    }
}

impl ReadHeads for Heads {
    fn between_writes(&self, deadline: Instant) -> Option<RwLockReadGuard<'_, ()>> {
        self.applying.try_read_until(deadline)
    }

    fn unstored(&self, tag: TagId) -> Unstored {
        self.shard(tag).read().get(&tag).map(|state| state.unstored.clone()).unwrap_or_default()
    }

    fn current(&self, tag: TagId, stored: StoredCurrent<'_>) -> Result<Option<Sample>, ReadError> {
        let corrections = {
            let shard = self.shard(tag).read();
            match shard.get(&tag) {
                Some(HeadTagState { latest, stored: StoredState::Known(known), .. }) => return Ok(later(latest.as_ref(), known.as_ref())),
                Some(state) => state.corrections,
                None => 0,
            }
        };
        let loaded = stored()?;
        let mut shard = self.shard(tag).write();
        let state = shard.entry(tag).or_default();
        let answer = later(state.latest.as_ref(), loaded.as_ref());
        if state.corrections == corrections {
            state.stored = StoredState::Known(loaded);
        }
        Ok(answer)
    }

    fn known_current(&self, tag: TagId) -> Option<Option<Sample>> {
        match self.shard(tag).read().get(&tag) {
            Some(HeadTagState { latest, stored: StoredState::Known(known), .. }) => Some(later(latest.as_ref(), known.as_ref())),
            _ => None,
        }
    }
}

/// The later of two; of equal timestamps the one applied since start.
fn later(latest: Option<&Sample>, stored: Option<&Sample>) -> Option<Sample> {
    match (latest, stored) {
        (Some(latest), Some(stored)) if latest.timestamp < stored.timestamp => Some(stored.clone()),
        (Some(latest), _) => Some(latest.clone()),
        (None, stored) => stored.cloned(),
    }
}

/// Index of the sample with the greatest timestamp, the last of several.
fn latest_index(run: &Samples) -> Option<usize> {
    let last = run.len().checked_sub(1)?;
    if run.is_sorted_strictly() {
        return Some(last);
    }
    (0..run.len()).max_by_key(|&index| (run.timestamps[index], index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{TimeBounds, Value, ValueType};

    fn run(samples: &[(i64, f64)]) -> Samples {
        let mut run = Samples::new(ValueType::F64);
        for &(timestamp, value) in samples {
            run.push(timestamp, Some(&Value::F64(value)), 0).unwrap();
        }
        run
    }

    #[test]
    fn what_is_being_sealed_stays_visible_and_newer_writes_win() {
        let heads = Heads::default();
        let tag = TagId(1);
        heads.apply(tag, &run(&[(2, 2.0), (1, 1.0)]), 1);
        let sealing = heads.start_sealing(tag).unwrap();
        assert_eq!(sealing.samples.timestamps, [1, 2]);
        heads.apply(tag, &run(&[(2, 20.0), (3, 3.0)]), 2);
        assert_eq!(heads.unstored(tag).read(TimeBounds::ALL).unwrap(), run(&[(1, 1.0), (2, 20.0), (3, 3.0)]));
        assert_eq!(heads.unstored(tag).read(TimeBounds { first: 2, last: 2 }).unwrap(), run(&[(2, 20.0)]));
        heads.sealed(tag);
        assert_eq!(heads.unstored(tag).read(TimeBounds::ALL).unwrap(), run(&[(2, 20.0), (3, 3.0)]));
        assert_eq!(heads.samples(), 2);
    }

    #[test]
    fn the_current_value_goes_by_source_time_and_asks_the_store_once() {
        let heads = Heads::default();
        let tag = TagId(1);
        heads.apply(tag, &run(&[(5, 5.0), (4, 4.0)]), 1);
        let stored = Sample { timestamp: 9, value: Some(Value::F64(9.0)), quality: 0 };
        let asked = heads.current(tag, &mut || Ok(Some(stored.clone()))).unwrap();
        assert_eq!(asked, Some(stored));
        heads.apply(tag, &run(&[(9, 90.0)]), 2);
        let again = heads.current(tag, &mut || panic!("asked twice")).unwrap().unwrap();
        assert_eq!((again.timestamp, again.value), (9, Some(Value::F64(90.0))));
    }
}
