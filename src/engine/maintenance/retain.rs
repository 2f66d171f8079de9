//! Retention: whole weeks of a group's samples go when they are older than the group keeps, or when the group holds more bytes than it may.
//!
//! Age is a matter of source time. A tag's samples are measured against its own newest sample, and never against more than the retention
//! clock, which is not the clock on the wall: it follows that one at twice the pace of real time at most. So a clock that jumps ahead
//! deletes nothing, be it the historian's or a device's.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use historian_format::keys::week_of;

use super::{keeper::Keeper, rewrite::SealError};
use historian_model::{Tag, TimeBounds, TimeRange};
use historian_store::{AuditEntry, Change, ChunkFamily, StoreError};

impl Keeper {
    /// Applies retention now and answers how many bytes went, about.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn retain_now(&self) -> Result<u64, StoreError> {
        let _working = self.working.lock();
        self.retain().map_err(store_error)
    }

    fn retain(&self) -> Result<u64, SealError> {
        let retention = self.retention();
        if retention.is_empty() {
            return Ok(0);
        }
        let clock = self.retention_clock.lock().advance(self.clock.now());
        self.store.apply(&Change { retention_clock: Some(clock), ..Change::default() })?;
        let weeks = self.store.weeks_present()?;
        let Some(oldest) = weeks.first().copied() else { return Ok(0) };

        // Tags of each group, and below which week nothing is kept of each.
        let tags: Vec<_> = self.catalog.ids().into_iter().filter_map(|id| self.catalog.by_id(id)).collect();
        let mut cuts: BTreeMap<u32, i32> = BTreeMap::new();
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); retention.len()];
        for tag in &tags {
            let Some(group) = retention.iter().position(|group| group.selection.matches(tag.name().as_str())) else {
                continue;
            };
            members[group].push(tag.id.0);
            if let Some(age) = retention[group].age
                && let Some(cut) = self.cut(tag, clock, age, oldest)?
            {
                cuts.insert(tag.id.0, cut);
            }
        }
        for (group, members) in retention.iter().zip(&members) {
            let Some(mut room) = group.bytes_max else { continue };
            let runs = runs(members.iter().copied());
            let mut newest = true;
            for &week in weeks.iter().rev() {
                let bytes = self.store.week_bytes(week, &runs)?;
                if bytes <= room || newest {
                    room = room.saturating_sub(bytes);
                    newest &= bytes == 0;
                    continue;
                }
                for id in members {
                    cuts.entry(*id).and_modify(|cut| *cut = (*cut).max(week + 1)).or_insert(week + 1);
                }
                break;
            }
        }
        self.drop_weeks(&weeks, &cuts, tags.len())
    }

    /// The week before which nothing of a tag is kept, if that is after `oldest`.
    fn cut(&self, tag: &Tag, clock: i64, age: Duration, oldest: i32) -> Result<Option<i32>, SealError> {
        let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        if week_of(clock.saturating_sub(age)) <= oldest {
            return Ok(None);
        }
        let Some(last) = self.store.last_chunk(ChunkFamily::Chunks, tag.id)? else { return Ok(None) };
        let newest = last.header_in(ChunkFamily::Chunks)?.statistics.last_timestamp;
        let cut = week_of(newest.min(clock).saturating_sub(age));
        Ok((cut > oldest).then_some(cut))
    }

    fn drop_weeks(&self, weeks: &[i32], cuts: &BTreeMap<u32, i32>, tags: usize) -> Result<u64, SealError> {
        let mut freed = 0;
        for &week in weeks {
            let doomed = runs(cuts.iter().filter(|(_, cut)| **cut > week).map(|(id, _)| *id));
            if doomed.is_empty() {
                break;
            }
            let count: u64 = doomed.iter().map(|run| u64::from(run.end() - run.start()) + 1).sum();
            // What was dropped stays gone, but late samples may have come since.
            if !self.store.week_holds(week, &doomed)? {
                continue;
            }
            let bytes = self.store.week_bytes(week, &doomed)?;
            let whole = count as usize == tags;
            let TimeRange { start, end, .. } = TimeBounds::of_week(week).to_range();
            // Before the week goes: cut short in between it is told and done again, never done and not told.
            self.store.append_audit(&[AuditEntry {
                time: self.clock.now(),
                action: "retention".into(),
                principal: "historian".into(),
                start: Some(start.0),
                end: Some(end.0),
                detail: format!(
                    "one week of {count} tags, about {bytes} bytes; {}",
                    if whole { "files dropped" } else { "rewritten without them" }
                ),
                ..AuditEntry::default()
            }])?;
            self.store.drop_week(week, (!whole).then_some(&doomed))?;
            tracing::info!(week_start = %start, tags = count, bytes, "retention dropped a week");
            freed += bytes;
        }
        Ok(freed)
    }
}

/// Ascending ids as runs of neighbours.
fn runs(ids: impl Iterator<Item = u32>) -> Vec<RangeInclusive<u32>> {
    let mut runs: Vec<RangeInclusive<u32>> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some(run) if run.end() + 1 == id => *run = *run.start()..=id,
            _ => runs.push(id..=id),
        }
    }
    runs
}

/// Why retention could not be applied.
fn store_error(error: SealError) -> StoreError {
    match error {
        SealError::Store(error) => error,
        error => StoreError::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_run() {
        assert_eq!(runs([1, 2, 3, 7, 9, 10].into_iter()), [1..=3, 7..=7, 9..=10]);
        assert_eq!(runs(std::iter::empty()), []);
    }
}
