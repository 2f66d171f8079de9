//! The one place at which samples of collected tags are left out, whatever their protocol: between the collector and the queue of its spool.
//!
//! A filter holds back the newest sample of its tag until the next one shows whether it is needed. It goes on when it has waited for as long as
//! the settings allow (by the clock of the process, since a device that reports changes only may be silent for hours), and when the collector
//! ends. Absences are told by the collector and not by samples, so that stillness is never a gap.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use historian_model::{Sample, Samples, TagDefinition, TagId, Timestamp, ValueType, filter::SampleFilter};

/// How often it is looked at what has waited for long enough.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Filters of the tags that have one.
#[derive(Default)]
pub(super) struct TagFilters {
    /// Some tag has one.
    any: AtomicBool,
    tags: Mutex<HashMap<TagId, FilteredTag>>,
}

struct FilteredTag {
    filter: SampleFilter,
    value_type: ValueType,
    /// When something began to wait since a sample passed last.
    waits_since: Option<Timestamp>,
    out: Vec<Sample>,
}

impl TagFilters {
    /// Filters the samples of a tag as its definition says from now on. What an earlier filter of the tag holds is handed on before.
    pub(super) fn set(&self, tag: TagId, definition: &TagDefinition, now: impl FnOnce() -> Timestamp, pass: impl FnOnce(Samples)) {
        let value_type = definition.value_type;
        let filter = SampleFilter::new(&definition.filter, value_type, definition.stepped);
        let mut tags = self.tags.lock();
        if let Some(before) = tags.get_mut(&tag) {
            before.filter.flush(&mut before.out);
            before.hand_on(now(), pass);
        }
        match filter {
            Some(filter) => drop(tags.insert(tag, FilteredTag { filter, value_type, waits_since: None, out: Vec::new() })),
            None => drop(tags.remove(&tag)),
        }
        self.any.store(!tags.is_empty(), Ordering::Release);
    }

    /// Takes samples of a tag and hands on what passes; false where the tag has no filter, and nothing was done. While `pass` runs no other
    /// sample of the device goes through a filter, so that those of a tag keep their order.
    pub(super) fn take(
        &self,
        tag: TagId,
        samples: impl Iterator<Item = Sample>,
        now: impl FnOnce() -> Timestamp,
        pass: impl FnOnce(Samples),
    ) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut tags = self.tags.lock();
        let Some(filtered) = tags.get_mut(&tag) else { return false };
        samples.for_each(|sample| filtered.filter.take(sample, &mut filtered.out));
        filtered.hand_on(now(), pass);
        true
    }

    /// Hands on what has waited for as long as it may; with `all`, whatever waits.
    pub(super) fn release(&self, now: impl FnOnce() -> Timestamp, all: bool, mut pass: impl FnMut(TagId, Samples)) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let now = now();
        for (tag, filtered) in self.tags.lock().iter_mut() {
            let Some((patience, since)) = filtered.filter.patience().zip(filtered.waits_since) else { continue };
            let waited = u64::try_from(now.0.saturating_sub(since.0)).unwrap_or(0);
            if all || Duration::from_nanos(waited) >= patience {
                filtered.filter.flush(&mut filtered.out);
                filtered.hand_on(now, |run| pass(*tag, run));
            }
        }
    }

    /// How many samples of each filtered tag did not pass so far, those that wait included.
    pub(super) fn left_out(&self) -> HashMap<TagId, u64> {
        self.tags.lock().iter().map(|(tag, filtered)| (*tag, filtered.filter.left_out())).collect()
    }
}

impl FilteredTag {
    fn hand_on(&mut self, now: Timestamp, pass: impl FnOnce(Samples)) {
        if self.filter.patience().is_none() {
            self.waits_since = None;
        } else if self.waits_since.is_none() || !self.out.is_empty() {
            self.waits_since = Some(now);
        }
        if !self.out.is_empty() {
            pass(run_of(self.value_type, &self.out));
            self.out.clear();
        }
    }
}

/// Samples of a tag as a run.
fn run_of(value_type: ValueType, samples: &[Sample]) -> Samples {
    let mut run = Samples::with_capacity(value_type, samples.len());
    for Sample { timestamp, value, quality } in samples {
        if let Err(error) = run.push(*timestamp, value.as_ref(), *quality) {
            tracing::error!(%error, "a sample does not fit its tag; this is a bug");
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Spool;
    use crate::DeviceStatus;
    use historian_model::{
        Clock, ManualClock, Quality, Samples, TagDefinition, TagId, TagName, Timestamp, Value, ValueType,
        filter::{CompressionFilter, ExceptionFilter, TagFilter},
    };

    const TAG: TagId = TagId(1);
    const SECOND: i64 = 1_000_000_000;

    fn spool(filter: TagFilter) -> (Spool, Arc<ManualClock>, Arc<DeviceStatus>) {
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
        let name = TagName::new("t").unwrap();
        status.set_scene(clock.clone(), vec![(TAG, name.clone())]);
        let spool = Spool::new(1_000, status.clone());
        spool.set_filter(TAG, &TagDefinition { filter, ..TagDefinition::new(name, ValueType::F64) });
        (spool, clock, status)
    }

    fn exception(deadband: f64) -> TagFilter {
        TagFilter { exception: Some(ExceptionFilter { deadband, min_interval_ms: 0, max_interval_ms: 60_000 }), compression: None }
    }

    fn push(spool: &Spool, second: i64, value: f64) {
        spool.push_sample(TAG, ValueType::F64, Timestamp(second * SECOND), Some(&Value::F64(value)), Quality::GOOD).unwrap();
    }

    /// Times of what waits to be written.
    fn queued(spool: &Spool) -> Vec<i64> {
        spool.take().runs.iter().flat_map(|(_, run)| run.timestamps.iter().map(|at| at / SECOND)).collect()
    }

    #[test]
    fn single_samples_and_runs_pass_one_filter_and_other_tags_none() {
        let (spool, _, status) = spool(exception(1.0));
        push(&spool, 0, 0.0);
        let mut run = Samples::new(ValueType::F64);
        for (second, value) in [(1, 0.5), (2, 0.5), (3, 9.0)] {
            run.push(second * SECOND, Some(&Value::F64(value)), 0).unwrap();
        }
        spool.push(TAG, run.clone());
        push(&spool, 4, 9.0);
        assert_eq!(queued(&spool), [0, 2, 3]);
        assert_eq!(status.tag_states()[0].left_out, Some(2));
        spool.push(TagId(2), run);
        assert_eq!(queued(&spool), [1, 2, 3]);
    }

    #[test]
    fn what_waits_goes_on_in_time_and_when_the_collector_ends() {
        let (spool, clock, status) = spool(exception(1.0));
        push(&spool, 0, 0.0);
        push(&spool, 1, 0.5);
        clock.set(Timestamp(59 * SECOND));
        spool.release(false);
        assert_eq!(queued(&spool), [0]);
        clock.set(Timestamp(60 * SECOND));
        spool.release(false);
        assert_eq!(queued(&spool), [1]);
        // Within the longest interval since the one that passed.
        push(&spool, 31, 0.5);
        assert_eq!((queued(&spool).len(), status.tag_states()[0].left_out), (0, Some(1)));
        spool.release(true);
        assert_eq!((queued(&spool), status.tag_states()[0].left_out), (vec![31], Some(0)));
    }

    #[test]
    fn a_line_is_two_samples_and_a_loss_of_the_device_ends_it() {
        let compression = Some(CompressionFilter { deviation: 0.1, max_interval_ms: 600_000 });
        let (spool, _, _) = spool(TagFilter { exception: None, compression });
        for second in 0..100_i32 {
            push(&spool, second.into(), second.into());
        }
        spool.push_sample(TAG, ValueType::F64, Timestamp(100 * SECOND), None, Quality::BAD_NO_COMMUNICATION).unwrap();
        push(&spool, 101, 5.0);
        assert_eq!(queued(&spool), [0, 99, 100, 101]);
    }

    #[test]
    fn a_value_of_another_type_is_refused_before_the_filter() {
        let (spool, clock, _) = spool(exception(1.0));
        assert!(spool.push_sample(TAG, ValueType::F64, clock.now(), Some(&Value::Bool(true)), Quality::GOOD).is_err());
        assert!(queued(&spool).is_empty());
    }
}
