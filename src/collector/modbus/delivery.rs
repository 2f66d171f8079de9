//! From outcomes to samples, tag by tag: a good answer is a sample, a failure is one Bad sample at its moment, and what each tag last
//! delivered is the truth that the device's status shows.
//!
//! Where no answer came, or the address is refused, samples are absent, and that goes on record from the poll on that brought none. A device
//! that answers and has no value, or is broken or busy, delivers that: its Bad sample tells.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use historian_collector::{Absence, DeviceStatus, Spool, distinct::Distinct, not_available::MissingValue};
use historian_model::{Quality, TagId, Timestamp, Value, ValueType, sink::LossReason};

/// Polls answered with "busy" before a tag's last value is no longer usable.
const BUSY_POLLS_MAX: u32 = 3;
/// A clock that steps back by less than this is followed by timestamps that still ascend; after a larger step its new time is taken.
const CLOCK_STEP_NS: i64 = 1_000_000_000;
/// Polls without an answer that are no gap yet, and how long they take at least.
const TOLERATED_POLLS: u32 = 2;
const TOLERATED_MIN: Duration = Duration::from_secs(1);

/// A tag of a device, as [`DeviceDelivery::new`] takes it.
pub struct PolledTag {
    /// `None` where nothing of it is stored: what it delivers is for formulas.
    pub id: Option<TagId>,
    /// Where the device has it.
    pub address: String,
    pub value_type: ValueType,
    pub period: Duration,
}

/// What the tags of one device deliver.
pub struct DeviceDelivery {
    tags: Vec<TagDelivery>,
    spool: Spool,
    status: Arc<DeviceStatus>,
    /// Some tag changed between delivering and not delivering since the status was last brought up to date.
    changed: bool,
    /// When collecting began.
    begun: Timestamp,
}

struct TagDelivery {
    id: Option<TagId>,
    address: String,
    value_type: ValueType,
    period: Duration,
    /// When the device last answered for it.
    answered: Option<Timestamp>,
    /// Quality of the last sample.
    quality: Quality,
    /// Latest good value, for Uncertain samples.
    value: Option<Value>,
    timestamps: Distinct,
    /// Busy answers in a row.
    busy: u32,
    /// The address has answered, and was not refused since.
    accepted: bool,
}

impl DeviceDelivery {
    pub fn new(tags: impl IntoIterator<Item = PolledTag>, spool: Spool, status: Arc<DeviceStatus>, begun: Timestamp) -> DeviceDelivery {
        let tags = tags.into_iter().map(|PolledTag { id, address, value_type, period }| TagDelivery {
            id,
            address,
            value_type,
            period,
            answered: None,
            quality: Quality::BAD_WAITING_FOR_INITIAL_DATA,
            value: None,
            timestamps: Distinct::new(),
            busy: 0,
            accepted: false,
        });
        let tags: Vec<TagDelivery> = tags.collect();
        status.items_wanted.store(tags.len() as u64, Ordering::Relaxed);
        status.set_intervals(tags.iter().filter_map(|tag| Some((tag.id?, tag.period))));
        DeviceDelivery { tags, spool, status, changed: true, begun }
    }

    /// A value was read.
    pub fn good(&mut self, tag: usize, value: Value, at: Timestamp) {
        let state = &mut self.tags[tag];
        self.changed |= !state.quality.is_good() || !state.accepted;
        state.busy = 0;
        state.accepted = true;
        state.answered = Some(at);
        if !state.quality.is_good() {
            state.present(&self.spool, at);
        }
        state.quality = Quality::GOOD;
        push(&self.spool, state, Some(&value), at);
        state.value = Some(value);
    }

    /// A value that is Uncertain, for a reason in words. A run of the same one is one sample, which stands until the next.
    pub fn uncertain(&mut self, tag: usize, value: Value, quality: Quality, at: Timestamp, why: &str) {
        let state = &mut self.tags[tag];
        self.changed |= state.quality != quality || !state.accepted;
        state.busy = 0;
        state.accepted = true;
        state.answered = Some(at);
        if state.quality.is_bad() {
            state.present(&self.spool, at);
        }
        if state.quality == quality && state.value.as_ref() == Some(&value) {
            return;
        }
        state.quality = quality;
        if let Some(id) = state.id {
            self.status.explain(id, quality, why, &state.address);
        }
        push(&self.spool, state, Some(&value), at);
        state.value = Some(value);
    }

    /// What a tag delivers now: its quality, its value where it is not Bad, and when the device last answered for it.
    pub fn state(&self, tag: usize) -> (Quality, Option<&Value>, Option<Timestamp>) {
        let state = &self.tags[tag];
        (state.quality, state.value.as_ref(), state.answered)
    }

    /// The tag has no value for a reason, which `why` has in words. Only the first of a run of the same failure is a sample: it stands until
    /// the next one.
    pub fn bad(&mut self, tag: usize, quality: Quality, at: Timestamp, why: &dyn fmt::Display) {
        let state = &mut self.tags[tag];
        state.busy = 0;
        state.value = None;
        if quality == Quality::BAD_CONFIGURATION_ERROR {
            state.accepted = false;
        }
        let missing_since = state.missing_since(at, self.begun);
        if absence(quality).is_none() {
            state.answered = Some(at);
        }
        if state.quality == quality || state.quality.is_outage() && quality.is_outage() {
            return;
        }
        self.changed = true;
        state.quality = quality;
        let Some(id) = state.id else { return };
        let why = why.to_string();
        self.status.explain(id, quality, &why, &state.address);
        match absence(quality) {
            Some(reason) => {
                let polls = if reason == LossReason::DeviceDown { TOLERATED_POLLS } else { 0 };
                let tolerated = TOLERATED_MIN.max(state.period.saturating_mul(polls));
                let absence = Absence { start: missing_since, reason, detail: why.into(), tolerated };
                self.spool.absent(id, absence);
            }
            None => self.spool.present(id, at),
        }
        push(&self.spool, state, None, at);
    }

    /// The device was read, and has no value of the tag.
    pub fn missing(&mut self, tag: usize, missing: &MissingValue, at: Timestamp) {
        self.no_result(tag, missing.quality(), at, &"");
    }

    /// As [`DeviceDelivery::bad`] for a value that is calculated: where the device answered for its inputs, it did so for the tag.
    pub fn no_result(&mut self, tag: usize, quality: Quality, at: Timestamp, why: &dyn fmt::Display) {
        let state = &mut self.tags[tag];
        if absence(quality).is_none() {
            self.changed |= !state.accepted;
            state.accepted = true;
        }
        self.bad(tag, quality, at, why);
    }

    /// The device was busy: the last value is kept as Uncertain, once, and is Bad when that goes on.
    pub fn busy(&mut self, tag: usize, quality_after: Quality, at: Timestamp) {
        let state = &mut self.tags[tag];
        let busy = state.busy + 1;
        state.answered = Some(at);
        match state.value.clone() {
            Some(value) if busy <= BUSY_POLLS_MAX => {
                state.busy = busy;
                if state.quality.is_good() {
                    state.quality = Quality::UNCERTAIN_LAST_USABLE_VALUE;
                    self.changed = true;
                    let why = "the device is busy: this is its last value";
                    if let Some(id) = state.id {
                        self.status.explain(id, state.quality, why, &state.address);
                    }
                    push(&self.spool, state, Some(&value), at);
                }
            }
            _ => self.bad(tag, quality_after, at, &""),
        }
    }

    /// Brings the item counters up to date. Returns whether every tag delivers.
    pub fn publish(&mut self) -> bool {
        let delivering = |state: &&TagDelivery| !state.quality.is_bad() || state.is_told_elsewhere();
        if std::mem::take(&mut self.changed) {
            let accepted = || self.tags.iter().filter(|state| state.accepted);
            self.status.items_created.store(accepted().count() as u64, Ordering::Relaxed);
            self.status.set_created(accepted().filter_map(|state| state.id));
            self.status.items_delivering.store(self.tags.iter().filter(delivering).count() as u64, Ordering::Relaxed);
        }
        self.status.items_delivering.load(Ordering::Relaxed) == self.tags.len() as u64
    }
}

impl TagDelivery {
    /// The device was asked for an input of formulas, and has none: what is calculated without it tells if it is missed.
    fn is_told_elsewhere(&self) -> bool {
        self.id.is_none() && self.quality == Quality::BAD_NO_DATA
    }

    /// Samples come again.
    fn present(&self, spool: &Spool, at: Timestamp) {
        if let Some(id) = self.id {
            spool.present(id, at);
        }
    }

    /// From when on samples are missing where none came `at` a time: when the poll was due, or since the device answered with another refusal.
    fn missing_since(&self, at: Timestamp, begun: Timestamp) -> Timestamp {
        if absence(self.quality).is_some() {
            return at;
        }
        let period = i64::try_from(self.period.as_nanos()).unwrap_or(i64::MAX);
        self.answered.map_or(begun, |answered| Timestamp(answered.0.saturating_add(period))).min(at)
    }
}

/// Why there is no sample where a tag is Bad like this; `None` where the device answered, and the Bad sample is its answer.
fn absence(quality: Quality) -> Option<LossReason> {
    match quality {
        Quality::BAD_CONFIGURATION_ERROR => Some(LossReason::Refused),
        quality if quality.is_outage() => Some(LossReason::DeviceDown),
        _ => None,
    }
}

fn push(spool: &Spool, state: &mut TagDelivery, value: Option<&Value>, at: Timestamp) {
    let Some(id) = state.id else { return };
    let at = state.timestamps.next(at.0, CLOCK_STEP_NS - 1);
    if let Err(error) = spool.push_sample(id, state.value_type, Timestamp(at), value, state.quality) {
        tracing::error!(tag = id.0, %error, "decoded value does not fit its tag; this is a bug");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{ManualClock, TagName};

    fn delivery() -> (DeviceDelivery, Spool, Arc<DeviceStatus>) {
        let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
        let spool = Spool::new(1000, status.clone());
        let tag = |id| PolledTag {
            id: Some(TagId(id)),
            address: format!("holding:{id}"),
            value_type: ValueType::U64,
            period: Duration::from_secs(1),
        };
        (DeviceDelivery::new([1, 2].map(tag), spool.clone(), status.clone(), Timestamp(0)), spool, status)
    }

    fn written(spool: &Spool) -> Vec<(i64, Option<Value>, Quality)> {
        let batch = spool.take();
        let of_tag = batch.runs.iter().filter(|(tag, _)| *tag == TagId(1));
        of_tag.flat_map(|(_, run)| (0..run.len()).map(|row| (run.timestamps[row], run.value(row), Quality(run.qualities[row])))).collect()
    }

    #[test]
    fn an_outage_is_one_bad_sample_and_ends_with_the_next_good_one() {
        let (mut delivery, spool, status) = delivery();
        delivery.good(0, Value::U64(5), Timestamp(10));
        delivery.bad(0, Quality::BAD_TIMEOUT, Timestamp(20), &"why");
        delivery.bad(0, Quality::BAD_NO_COMMUNICATION, Timestamp(30), &"why");
        delivery.bad(0, Quality::BAD_TIMEOUT, Timestamp(40), &"why");
        assert!(!delivery.publish());
        assert_eq!((status.items_created.load(Ordering::Relaxed), status.items_delivering.load(Ordering::Relaxed)), (1, 0));
        delivery.good(0, Value::U64(6), Timestamp(50));
        delivery.good(1, Value::U64(6), Timestamp(50));
        assert!(delivery.publish());
        assert_eq!(
            written(&spool),
            [(10, Some(Value::U64(5)), Quality::GOOD), (20, None, Quality::BAD_TIMEOUT), (50, Some(Value::U64(6)), Quality::GOOD),]
        );
    }

    /// It counts as what it is, and nothing of it leaves the collector.
    #[test]
    fn what_is_not_stored_has_a_state_and_no_sample() {
        let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
        let spool = Spool::new(1000, status.clone());
        let input = PolledTag { id: None, address: "holding:0".into(), value_type: ValueType::U64, period: Duration::from_secs(1) };
        let mut delivery = DeviceDelivery::new([input], spool.clone(), status.clone(), Timestamp(0));
        delivery.good(0, Value::U64(5), Timestamp(10));
        assert_eq!(delivery.state(0), (Quality::GOOD, Some(&Value::U64(5)), Some(Timestamp(10))));
        assert!(delivery.publish());
        delivery.busy(0, Quality::BAD_OUT_OF_SERVICE, Timestamp(20));
        assert_eq!(delivery.state(0).0, Quality::UNCERTAIN_LAST_USABLE_VALUE);
        delivery.bad(0, Quality::BAD_CONFIGURATION_ERROR, Timestamp(30), &"why");
        delivery.bad(0, Quality::BAD_TIMEOUT, Timestamp(40), &"why");
        assert_eq!(delivery.state(0), (Quality::BAD_TIMEOUT, None, Some(Timestamp(20))));
        assert!(!delivery.publish());
        delivery.missing(0, &MissingValue::NotANumber, Timestamp(45));
        assert!(delivery.publish(), "the device has none, and formulas tell whether they miss it");
        delivery.uncertain(0, Value::U64(6), Quality::UNCERTAIN_LAST_USABLE_VALUE, Timestamp(50), "why");
        assert!(spool.take().runs.is_empty());
    }

    #[test]
    fn a_device_that_was_never_reached_is_bad_from_the_start() {
        let (mut delivery, spool, _) = delivery();
        delivery.bad(0, Quality::BAD_NO_COMMUNICATION, Timestamp(1), &"why");
        assert_eq!(written(&spool), [(1, None, Quality::BAD_NO_COMMUNICATION)]);
    }

    #[test]
    fn another_kind_of_failure_is_another_sample() {
        let (mut delivery, spool, _) = delivery();
        delivery.bad(0, Quality::BAD_NO_COMMUNICATION, Timestamp(1), &"why");
        delivery.bad(0, Quality::BAD_CONFIGURATION_ERROR, Timestamp(2), &"why");
        delivery.bad(0, Quality::BAD_CONFIGURATION_ERROR, Timestamp(3), &"why");
        assert_eq!(written(&spool).len(), 2);
    }

    #[test]
    fn busy_is_uncertain_with_the_last_value_and_bad_when_it_goes_on() {
        let (mut delivery, spool, status) = delivery();
        status.set_scene(Arc::new(ManualClock::at(Timestamp(9))), vec![(TagId(1), TagName::new("t").unwrap())]);
        let why = |quality| status.tag_states()[0].why_uncertain(quality).map(str::to_owned);
        delivery.good(0, Value::U64(5), Timestamp(10));
        assert_eq!(why(Quality::GOOD), None);
        for at in 1..=5 {
            delivery.busy(0, Quality::BAD_OUT_OF_SERVICE, Timestamp(10 + at));
            if at == 1 {
                assert!(why(Quality::UNCERTAIN_LAST_USABLE_VALUE).unwrap().contains("busy"));
                assert_eq!((why(Quality::UNCERTAIN), why(Quality::GOOD)), (None, None), "of another quality nothing is known");
            }
        }
        assert_eq!(why(Quality::BAD_OUT_OF_SERVICE), None, "that is no Uncertain value");
        assert_eq!(
            written(&spool),
            [
                (10, Some(Value::U64(5)), Quality::GOOD),
                (11, Some(Value::U64(5)), Quality::UNCERTAIN_LAST_USABLE_VALUE),
                (14, None, Quality::BAD_OUT_OF_SERVICE),
            ]
        );
    }

    #[test]
    fn no_two_samples_share_a_timestamp_even_when_the_clock_stands_or_steps_back() {
        let (mut delivery, spool, _) = delivery();
        for at in [1_000, 1_000, 990, 5_000, 5_000 - 2 * CLOCK_STEP_NS] {
            delivery.good(0, Value::U64(1), Timestamp(at));
        }
        let timestamps: Vec<i64> = written(&spool).iter().map(|sample| sample.0).collect();
        assert_eq!(timestamps, [1_000, 1_001, 1_002, 5_000, 5_000 - 2 * CLOCK_STEP_NS]);
    }
}
