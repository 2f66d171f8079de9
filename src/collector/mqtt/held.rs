//! What each tag held last, and the samples that the collector itself adds around an outage.
//!
//! When the link is lost, or an edge dies, each of its tags that held a value gets **one** Bad sample, strictly after its last one. The next
//! value of the tag makes it Good again: where its time is not later than that of the Bad sample (a message that the broker kept, a birth
//! that repeats an old value), the stored order alone would leave the tag Bad although its device is back. Then, and only then, the value is
//! written once more, with the time of its receipt; that one sample takes the value of each newer one until a later time comes. So after a
//! sample of the collector, the newest value that came is also the latest in time.
//!
//! A sample that is older than the newest one of its tag is late: it is written, and the tag's current value stays.
//!
//! A message **without a time** has that of its receipt. The broker repeats a retained one at each new subscription, which says nothing new:
//! it is taken only where it differs from what the tag holds, or where the tag is Bad since an outage.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use historian_collector::{Absence, CollectorContext, DeviceStatus, Spool};
use historian_model::{Clock, Quality, Sample, TagDefinition, TagId, TagName, Timestamp, Value, ValueType, sink::LossReason};

/// Outages that are over sooner are no gap: a link that is made again at once loses nothing that the broker keeps.
const TOLERATED: Duration = Duration::from_secs(1);

/// All tags of a device, by their numbers here.
pub struct HeldTags {
    spool: Spool,
    clock: Arc<dyn Clock>,
    status: Arc<DeviceStatus>,
    tags: Vec<HeldTag>,
    delivering: u64,
}

/// One tag.
pub struct HeldTag {
    pub id: TagId,
    pub name: TagName,
    pub address: String,
    pub value_type: ValueType,
    /// The newest sample of the device.
    pub last: Option<Sample>,
    /// What is wrong with it, in words; empty where nothing is.
    pub fault: String,
    mark: Option<OutageMark>,
    /// Time of its latest sample of all.
    newest: Option<i64>,
    delivering: bool,
}

/// A sample of the collector that no later one of the device has followed.
#[derive(Clone, Copy)]
enum OutageMark {
    Bad {
        at: i64,
        quality: Quality,
    },
    /// The value that ended the outage, where its own time is too early.
    Restored {
        at: i64,
    },
}

/// What came for a tag.
#[derive(Clone, Debug)]
pub struct ReceivedValue {
    /// `None` for the time of receipt.
    pub at: Option<i64>,
    pub value: Option<Value>,
    pub quality: Quality,
    /// The broker kept the message.
    pub retained: bool,
    /// Of the past: not the current value, whatever its time.
    pub historical: bool,
}

impl HeldTags {
    pub fn new(context: &CollectorContext) -> HeldTags {
        let (spool, clock, status) = (context.spool.clone(), context.clock.clone(), context.status.clone());
        HeldTags { spool, clock, status, tags: Vec::new(), delivering: 0 }
    }

    /// Adds a tag that goes on from its latest stored sample; answers its number.
    pub fn add(&mut self, id: TagId, definition: &TagDefinition, last: Option<Sample>) -> usize {
        let bad = last.as_ref().is_some_and(|last| Quality(last.quality).is_bad());
        let mark = last.as_ref().filter(|_| bad).map(|last| OutageMark::Bad { at: last.timestamp, quality: Quality(last.quality) });
        self.tags.push(HeldTag {
            id,
            name: definition.name.clone(),
            address: definition.source.as_ref().map(|source| source.address.clone()).unwrap_or_default(),
            value_type: definition.value_type,
            newest: last.as_ref().map(|last| last.timestamp),
            // Of the device or of the collector, that cannot be seen: no first value is late.
            last: last.filter(|_| !bad).map(|last| Sample { timestamp: i64::MIN, ..last }),
            fault: String::new(),
            mark,
            delivering: false,
        });
        self.tags.len() - 1
    }

    pub fn get(&self, tag: usize) -> Option<&HeldTag> {
        self.tags.get(tag)
    }

    pub fn all(&self) -> impl Iterator<Item = &HeldTag> {
        self.tags.iter()
    }

    pub fn count_all(&self) -> usize {
        self.tags.len()
    }

    /// Takes a value of a tag. A value of another type than the tag's is Bad, and told.
    pub fn take(&mut self, tag: usize, received: ReceivedValue) {
        self.take_doubted(tag, received, "");
    }

    /// As [`HeldTags::take`]; `doubt` says why the value is Uncertain, where it is and that is known.
    pub fn take_doubted(&mut self, tag: usize, received: ReceivedValue, doubt: &str) {
        let Some(held) = self.tags.get_mut(tag) else { return };
        let ReceivedValue { at, mut value, mut quality, retained, historical } = received;
        if let Some(other) = value.as_ref().filter(|value| value.value_type() != held.value_type) {
            let reason = format!("a value of type {}, the tag has {}", other.value_type(), held.value_type);
            (value, quality) = (None, Quality::BAD_TYPE_MISMATCH);
            held.fault.clone_from(&reason);
            self.status.explain(held.id, quality, &reason, &held.address);
        } else if !quality.is_bad() {
            held.fault.clear();
        }
        let now = self.clock.now().0;
        if at.is_none() && retained && held.mark.is_none() && held.holds(value.as_ref(), quality) {
            return;
        }
        let at = at.unwrap_or_else(|| held.newest.map_or(now, |newest| now.max(newest.saturating_add(1))));
        held.push(&self.spool, at, value.as_ref(), quality);
        if historical || held.last.as_ref().is_some_and(|last| at < last.timestamp) {
            return;
        }
        if !quality.is_good() && !quality.is_bad() {
            self.status.explain(held.id, quality, doubt, &held.address);
        }
        held.last = Some(Sample { timestamp: at, value: value.clone(), quality: quality.0 });
        let ended = matches!(held.mark, Some(OutageMark::Bad { .. }));
        match held.mark {
            Some(OutageMark::Bad { at: marked, .. } | OutageMark::Restored { at: marked }) if at > marked => held.mark = None,
            // The Bad sample that is on record is this very one.
            Some(OutageMark::Bad { at: marked, quality: before }) if at == marked && before == quality => held.mark = None,
            Some(OutageMark::Bad { at: marked, .. }) => {
                let again = now.max(marked.saturating_add(1));
                held.push(&self.spool, again, value.as_ref(), quality);
                held.mark = Some(OutageMark::Restored { at: again });
            }
            Some(OutageMark::Restored { at: again }) => held.push(&self.spool, again, value.as_ref(), quality),
            None => {}
        }
        if ended {
            let since = if let Some(OutageMark::Restored { at: again }) = held.mark { again } else { at };
            self.spool.present(held.id, Timestamp(since));
        }
        let was_delivering = std::mem::replace(&mut held.delivering, !quality.is_bad());
        self.count(was_delivering, !quality.is_bad());
    }

    /// A message that is for a tag and cannot be taken: the tag is Bad from `at`, or from now, on. What is Bad for the same reason already gets no
    /// second sample where the message has no time of its own.
    pub fn fault(&mut self, tag: usize, at: Option<i64>, quality: Quality, reason: &str) {
        let Some(held) = self.tags.get_mut(tag) else { return };
        let known = held.last.as_ref().is_some_and(|last| last.quality == quality.0 && last.value.is_none()) && held.mark.is_none();
        reason.clone_into(&mut held.fault);
        self.status.explain(held.id, quality, reason, &held.address);
        if at.is_none() && known {
            return;
        }
        self.take(tag, ReceivedValue { at, value: None, quality, retained: false, historical: false });
    }

    /// Nothing is known of these tags from `at` on, for a reason in words.
    pub fn end(&mut self, tags: impl IntoIterator<Item = usize>, at: i64, reason: &str) {
        let mut ended = 0;
        for tag in tags {
            let Some(held) = self.tags.get_mut(tag) else { continue };
            ended += u64::from(std::mem::take(&mut held.delivering));
            if let Some(start) = held.mark_bad(&self.spool, at, Quality::BAD_NO_COMMUNICATION) {
                let absence = Absence { start, reason: LossReason::DeviceDown, detail: reason.into(), tolerated: TOLERATED };
                self.spool.absent(held.id, absence);
                reason.clone_into(&mut held.fault);
                self.status.explain(held.id, Quality::BAD_NO_COMMUNICATION, reason, &held.address);
            }
        }
        self.delivering -= ended;
        self.status.items_delivering.store(self.delivering, Ordering::Relaxed);
    }

    /// The link is lost: every tag that held a value holds it no more.
    pub fn lose(&mut self) {
        let now = self.clock.now().0;
        self.end(0..self.tags.len(), now, "the link to the broker is lost");
    }

    /// Nothing delivers any more, and nothing is written about it: the collector stops.
    pub fn stop(&mut self) {
        self.tags.iter_mut().for_each(|held| held.delivering = false);
        self.delivering = 0;
        self.status.items_delivering.store(0, Ordering::Relaxed);
    }

    /// Where the samples are that were taken so far, on their way to the store.
    pub fn place(&self) -> u64 {
        self.spool.place()
    }

    /// The place up to which the store has them.
    pub fn written(&self) -> u64 {
        self.spool.written()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn count(&mut self, before: bool, after: bool) {
        self.delivering = self.delivering + u64::from(after) - u64::from(before);
        self.status.items_delivering.store(self.delivering, Ordering::Relaxed);
    }
}

impl HeldTag {
    /// Quality of what it holds now, the samples of the collector included; `None` where nothing is known of it.
    pub fn quality(&self) -> Option<Quality> {
        match self.mark {
            Some(OutageMark::Bad { quality, .. }) => Some(quality),
            _ => self.last.as_ref().map(|last| Quality(last.quality)),
        }
    }

    fn holds(&self, value: Option<&Value>, quality: Quality) -> bool {
        self.last.as_ref().is_some_and(|last| last.value.as_ref() == value && last.quality == quality.0)
    }

    /// Since when it is Bad; `None` where it is already, or never held anything.
    fn mark_bad(&mut self, spool: &Spool, at: i64, quality: Quality) -> Option<Timestamp> {
        if matches!(self.mark, Some(OutageMark::Bad { .. })) || self.last.as_ref().is_none_or(|last| Quality(last.quality).is_bad()) {
            return None;
        }
        let at = self.newest.map_or(at, |newest| at.max(newest.saturating_add(1)));
        self.push(spool, at, None, quality);
        self.mark = Some(OutageMark::Bad { at, quality });
        Some(Timestamp(at))
    }

    fn push(&mut self, spool: &Spool, at: i64, value: Option<&Value>, quality: Quality) {
        match spool.push_sample(self.id, self.value_type, Timestamp(at), value, quality) {
            Ok(()) => self.newest = Some(self.newest.map_or(at, |newest| newest.max(at))),
            Err(error) => tracing::error!(tag = self.id.0, %error, "sample not taken; this is a bug"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_collector::FoundTags;
    use historian_model::ManualClock;
    use tokio_util::sync::CancellationToken;

    const GOOD: u32 = 0;
    const LOST: u32 = Quality::BAD_NO_COMMUNICATION.0;

    struct Bench {
        held: HeldTags,
        spool: Spool,
        clock: Arc<ManualClock>,
        status: Arc<DeviceStatus>,
    }

    fn bench(last: Option<Sample>) -> Bench {
        let clock = Arc::new(ManualClock::at(Timestamp(100)));
        let status = Arc::new(DeviceStatus::new("d", "mqtt", "e"));
        let spool = Spool::new(10_000, status.clone());
        let context = CollectorContext {
            spool: spool.clone(),
            clock: clock.clone(),
            status: status.clone(),
            last: Vec::new(),
            unfilled: Vec::new(),
            found: FoundTags::default(),
            shutdown: CancellationToken::new(),
        };
        let mut held = HeldTags::new(&context);
        held.add(TagId(1), &TagDefinition::new(TagName::new("t").unwrap(), ValueType::F64), last);
        Bench { held, spool, clock, status }
    }

    #[test]
    fn an_uncertain_value_has_its_reason_until_one_comes_of_which_nothing_is_known() {
        let mut bench = bench(None);
        bench.status.set_scene(bench.clock.clone(), vec![(TagId(1), TagName::new("t").unwrap())]);
        let why = |bench: &Bench| bench.status.tag_states()[0].why_uncertain(Quality::UNCERTAIN).map(str::to_owned);
        let uncertain = |at| ReceivedValue {
            at: Some(at),
            value: Some(Value::F64(1.0)),
            quality: Quality::UNCERTAIN,
            retained: false,
            historical: false,
        };
        bench.held.take_doubted(0, uncertain(90), "it is rounded");
        assert_eq!(why(&bench).as_deref(), Some("it is rounded"));
        bench.held.take_doubted(0, uncertain(80), "a late one");
        assert_eq!(why(&bench).as_deref(), Some("it is rounded"), "a late value is not the current one");
        bench.held.take(0, uncertain(95));
        assert_eq!(why(&bench), None, "the device itself says so");
    }

    impl Bench {
        fn at(&mut self, now: i64) -> &mut Bench {
            self.clock.set(Timestamp(now));
            self
        }

        fn take(&mut self, at: Option<i64>, value: f64) -> &mut Bench {
            let value = Some(Value::F64(value));
            self.held.take(0, ReceivedValue { at, value, quality: Quality::GOOD, retained: false, historical: false });
            self
        }

        fn retained(&mut self, value: f64) -> &mut Bench {
            let value = Some(Value::F64(value));
            self.held.take(0, ReceivedValue { at: None, value, quality: Quality::GOOD, retained: true, historical: false });
            self
        }

        /// Time, value and quality of what was written, in the order of time; a later one of the same time wins.
        fn written(&self) -> Vec<(i64, Option<f64>, u32)> {
            let mut written = std::collections::BTreeMap::new();
            for (_, run) in self.spool.take().runs {
                for row in 0..run.len() {
                    let value = match run.sample(row).value {
                        Some(Value::F64(value)) => Some(value),
                        _ => None,
                    };
                    written.insert(run.timestamps[row], (value, run.qualities[row]));
                }
            }
            written.into_iter().map(|(at, (value, quality))| (at, value, quality)).collect()
        }
    }

    #[test]
    fn a_lost_link_is_one_bad_sample_and_the_next_value_ends_it() {
        let mut bench = bench(None);
        bench.held.lose();
        bench.take(Some(90), 1.0).at(120).held.lose();
        bench.at(130).held.lose();
        bench.at(200).take(Some(150), 2.0);
        assert_eq!(bench.written(), [(90, Some(1.0), GOOD), (120, None, LOST), (150, Some(2.0), GOOD)]);
        assert_eq!(bench.status.items_delivering.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_value_of_before_the_outage_is_written_once_more_and_replaced_by_newer_ones() {
        let mut bench = bench(None);
        bench.take(Some(90), 1.0).at(120).held.lose();
        bench.at(200).take(Some(90), 1.0);
        assert_eq!(bench.written(), [(90, Some(1.0), GOOD), (120, None, LOST), (200, Some(1.0), GOOD)]);
        bench.at(210).take(Some(110), 3.0).take(Some(100), 2.0);
        assert_eq!(bench.written(), [(100, Some(2.0), GOOD), (110, Some(3.0), GOOD), (200, Some(3.0), GOOD)]);
        bench.take(Some(205), 4.0).take(Some(206), 5.0);
        assert_eq!(bench.written(), [(205, Some(4.0), GOOD), (206, Some(5.0), GOOD)]);
    }

    #[test]
    fn a_retained_value_without_a_time_is_news_once() {
        let mut bench = bench(None);
        bench.retained(1.0).at(110).retained(1.0).at(120).retained(2.0).at(130).retained(2.0);
        assert_eq!(bench.written(), [(100, Some(1.0), GOOD), (120, Some(2.0), GOOD)]);
        bench.at(140).held.lose();
        bench.at(150).retained(2.0).at(160).retained(2.0);
        assert_eq!(bench.written(), [(140, None, LOST), (150, Some(2.0), GOOD)]);
        // Not retained, it was published again.
        bench.at(170).take(None, 2.0).take(None, 2.0);
        assert_eq!(bench.written(), [(170, Some(2.0), GOOD), (171, Some(2.0), GOOD)]);
    }

    #[test]
    fn a_run_goes_on_from_what_is_stored() {
        let stored = |value, quality: Quality| Some(Sample { timestamp: 50, value, quality: quality.0 });
        let mut good = bench(stored(Some(Value::F64(1.0)), Quality::GOOD));
        good.retained(1.0);
        assert!(good.written().is_empty());
        good.held.lose();
        assert_eq!(good.written(), [(100, None, LOST)]);
        let mut bad = bench(stored(None, Quality::BAD_DATA_LOST));
        bad.held.lose();
        bad.take(Some(40), 1.0);
        assert_eq!(bad.written(), [(40, Some(1.0), GOOD), (100, Some(1.0), GOOD)]);
    }

    #[test]
    fn a_value_that_is_repeated_after_every_run_ends_each_of_them() {
        let stored = |timestamp| Some(Sample { timestamp, value: Some(Value::F64(1.0)), quality: GOOD });
        // The first run wrote the value of 40 once more at 70; the second begins.
        let mut bench = bench(stored(70));
        bench.held.lose();
        bench.at(130).take(Some(40), 1.0);
        assert_eq!(bench.written(), [(40, Some(1.0), GOOD), (100, None, LOST), (130, Some(1.0), GOOD)]);
        assert_eq!(bench.status.items_delivering.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_late_or_historical_is_written_and_is_not_the_current_value() {
        let mut bench = bench(None);
        bench.take(Some(90), 1.0).take(Some(80), 0.5);
        let old = ReceivedValue { at: Some(95), value: Some(Value::F64(9.0)), quality: Quality::GOOD, retained: false, historical: true };
        bench.held.take(0, old);
        assert_eq!(bench.held.get(0).unwrap().last.as_ref().unwrap().value, Some(Value::F64(1.0)));
        assert_eq!(bench.written(), [(80, Some(0.5), GOOD), (90, Some(1.0), GOOD), (95, Some(9.0), GOOD)]);
    }

    #[test]
    fn another_type_and_a_fault_are_bad_and_told() {
        let mut bench = bench(None);
        bench.take(Some(90), 1.0);
        let text =
            ReceivedValue { at: Some(91), value: Some(Value::Bool(true)), quality: Quality::GOOD, retained: false, historical: false };
        bench.held.take(0, text);
        bench.held.fault(0, None, Quality::BAD_DECODING_ERROR, "is no JSON");
        bench.at(110).held.fault(0, None, Quality::BAD_DECODING_ERROR, "is no JSON");
        let (mismatch, decoding) = (Quality::BAD_TYPE_MISMATCH.0, Quality::BAD_DECODING_ERROR.0);
        assert_eq!(bench.written(), [(90, Some(1.0), GOOD), (91, None, mismatch), (100, None, decoding)]);
        assert_eq!(bench.status.items_delivering.load(Ordering::Relaxed), 0);
        // A second Bad sample for the same outage would say nothing new.
        bench.at(120).held.lose();
        assert!(bench.written().is_empty());
    }
}
