//! What of a batch is taken: its tags and types, its size, timestamps that exist already or lie in the future.

use std::collections::{HashMap, HashSet};

use super::ingest::Ingest;
use historian_model::{
    SampleBatch, Samples, TagId, TimeBounds, Timestamp,
    sink::{Rejected, RejectedTag, Rejection, WriteError},
};
use historian_read::ReadError;

impl Ingest {
    /// Checks a batch against the catalog.
    pub(crate) fn validate(&self, batch: &SampleBatch) -> Result<(), WriteError> {
        self.check_size(batch)?;
        for (id, run) in &batch.runs {
            let tag = self.catalog.by_id(*id).ok_or(WriteError::UnknownTag(id.0))?;
            if tag.value_type() != run.value_type() {
                return Err(WriteError::WrongType {
                    tag: tag.name().to_string(),
                    expected: tag.value_type().to_string(),
                    found: run.value_type().to_string(),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn check_size(&self, batch: &SampleBatch) -> Result<(), WriteError> {
        let (found, limit) = (batch.len(), self.options.batch_samples_max);
        if found > limit { Err(WriteError::TooLarge { found, limit }) } else { Ok(()) }
    }

    /// Drops the samples whose tag and timestamp exist, and repeats within the batch.
    pub(crate) fn without_existing(&self, batch: &SampleBatch) -> Result<SampleBatch, ReadError> {
        let mut seen: HashMap<TagId, HashSet<i64>> = HashMap::new();
        let mut kept = SampleBatch::default();
        for (id, run) in &batch.runs {
            let Some(tag) = self.catalog.by_id(*id) else { continue };
            let (Some(&first), Some(&last)) = (run.timestamps.iter().min(), run.timestamps.iter().max()) else { continue };
            let seen = seen.entry(*id).or_default();
            let mut existing = Samples::new(run.value_type());
            let mut cursor = self.reader.cursor(&tag, TimeBounds { first, last }.to_range())?;
            while cursor.next_into(&mut existing)? {
                seen.extend(existing.timestamps.drain(..));
                existing.clear();
            }
            let new: Vec<u32> = (0..run.len() as u32).filter(|&index| seen.insert(run.timestamps[index as usize])).collect();
            kept.runs.push((*id, run.take(&new)));
        }
        Ok(kept)
    }

    /// Takes out of a batch what lies further in the future than is allowed.
    pub(crate) fn without_future(&self, batch: &mut SampleBatch) -> Rejected {
        let name = |id| Some(self.catalog.by_id(id).map(|tag| tag.name().to_string()).unwrap_or_default());
        self.without_future_of(batch, &name)
    }

    /// The same, of the runs for which `name` answers the tag's name.
    pub(crate) fn without_future_of(&self, batch: &mut SampleBatch, name: &dyn Fn(TagId) -> Option<String>) -> Rejected {
        let mut rejected = Rejected::default();
        let Some(future_max) = self.options.future_max else { return rejected };
        let now = self.clock.now();
        let ahead = i64::try_from(future_max.as_nanos()).unwrap_or(i64::MAX);
        let limit = now.0.saturating_add(ahead);
        for (id, run) in &mut batch.runs {
            if run.timestamps.iter().fold(i64::MIN, |latest, &at| latest.max(at)) <= limit {
                continue;
            }
            let Some(name) = name(*id) else { continue };
            let tag = self.catalog.by_id(*id);
            let reason = || {
                format!(
                    "lies more than {} s ahead of the historian's clock ({now}); correct the clock of the source, or raise future_max_s",
                    future_max.as_secs()
                )
            };
            let kept: Vec<u32> = (0..run.len() as u32).filter(|&index| run.timestamps[index as usize] <= limit).collect();
            for &timestamp in run.timestamps.iter().filter(|&&at| at > limit) {
                rejected.add(|| Rejection { tag: name.clone(), timestamp: Timestamp(timestamp), reason: reason() });
            }
            let last = run.timestamps.last().is_some_and(|&at| at > limit);
            *run = run.take(&kept);
            // No look into the store: what a collector writes to was looked up when it began.
            let stored = tag.and_then(|tag| self.reader.known_current(&tag)).flatten().map(|current| current.timestamp);
            let newest = stored.max(run.timestamps.iter().copied().max()).map(Timestamp);
            rejected.tags.push(RejectedTag { tag: *id, value_type: run.value_type(), reason: reason(), newest, last });
        }
        rejected
    }
}
