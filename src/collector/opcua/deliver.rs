//! What each tag delivered last, and the samples that the collector itself adds around an outage.
//!
//! # Samples of the collector
//! When a session is lost, each tag gets **one** Bad sample (`BadNoCommunication`, null) at the time of the loss, strictly after its last
//! sample; a node that the server refuses gets one with the refusal's status. After that the tag waits for the device.
//!
//! **A new subscription** begins with the present value under its *old* source timestamp. When that is not later than the Bad sample, the
//! stored order alone would leave the tag Bad although the device is back. Then, and only then, the value is written once more with the
//! time at which the server sampled it (its server timestamp, or else the time of reception). That extra sample stands in the way in
//! the same manner when the device's next sample has an earlier source timestamp (a change just around the reconnect): it is followed by
//! one a nanosecond later with the newer value. In short: **after a sample of the collector, the last sample that came from the device is
//! also the latest in time.** Where source timestamps advance, nothing is added.
//!
//! **A subscription that is taken up again** brings what changed during the outage, and nothing for a tag that did not change. When all of
//! it has come, the value of every moment is known, so the Bad sample is replaced: its place takes the value that was in force then. It stays
//! where the server's queue may have overflowed, or a notification is lost.
//!
//! # Clocks
//! Samples carry the device's clock, as [`TagTimes`] decides. Where the server's clock (its `PublishTime`) differs from ours by more than a
//! second, the samples of the collector follow the server's clock too, so that a tag's samples stay in one time base; the difference is
//! logged.
//!
//! # Gaps
//! From the last sign of life of the server before a loss on, and from the refusal of its node on, a tag has no samples, which goes on
//! record. The gap ends with the tag's first sample behind the loss, whatever its quality; one in which the server has kept everything
//! turns out to be none.
//!
//! # Repeats
//! A sample equal to the last one of its tag in time, value and quality is not written again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use opcua::types::DataValue;
use parking_lot::Mutex;

use super::{
    conversion::Conversion,
    convert::DataValueSample,
    delivered::Delivered,
    history::backlog::HistoryBacklog,
    structure::types::StructureTypes,
    times::{Oddity, TagTimes},
};
use historian_collector::{Absence, DeviceStatus, Spool, UnfilledGap};
use historian_model::{Clock, Quality, Sample, Samples, TagId, Timestamp, Value, ValueType, sink::LossReason};

/// Difference of clocks below which latency explains it.
const CLOCK_OFFSET_IGNORED_NS: i64 = 1_000_000_000;
/// Difference of clocks worth a line in the log.
const CLOCK_OFFSET_LOGGED_NS: i64 = 10_000_000_000;
/// Info bits of a value before which others were lost in the server's queue (`DataValue` information, overflow).
const OVERFLOW_BITS: u32 = 0x0000_0480;
/// Oddities of tags that get a line of their own in the log.
const TOLD_MAX: u32 = 20;
/// A loss that is over sooner is no gap.
const TOLERATED: Duration = Duration::from_secs(1);

/// The tags of one device on their way to the spool. Shared by the notification callback and the loop around the session; calls never wait
/// for more than each other.
pub struct Deliveries {
    items: Mutex<Items>,
    spool: Spool,
    clock: Arc<dyn Clock>,
    status: Arc<DeviceStatus>,
    /// What is to be read from the server's history.
    history: Option<Arc<HistoryBacklog>>,
    /// What the structures of the server are made of.
    structures: StructureTypes,
    /// Server's clock − ours in ns, as far as it counts.
    clock_offset: AtomicI64,
    /// When the server last gave a sign of life, by our clock; when collecting began, where it gave none.
    heard: AtomicI64,
    told: AtomicU32,
}

struct Items {
    all: Vec<MonitoredTag>,
    delivering: u64,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any of them may hold with any other")]
struct MonitoredTag {
    id: TagId,
    name: String,
    address: String,
    value_type: ValueType,
    conversion: Conversion,
    times: TagTimes,
    /// Last sample of the device.
    last: Option<Sample>,
    /// Sample of the collector that no later sample of the device has followed.
    added: Option<Added>,
    /// Since the loss, while its subscription is being taken up again.
    meanwhile: Option<Meanwhile>,
    /// The device's last sample in this session was not Bad.
    delivering: bool,
    /// No sample came since then, source time; `None` while the tag's samples come.
    absent_since: Option<i64>,
    told_time: bool,
    told_value: bool,
    /// What comes is not the tag's.
    muted: bool,
    /// Why what comes may mean something else than before.
    doubt: Option<String>,
}

struct Meanwhile {
    /// The device's sample that was in force at the collector's Bad one.
    held: Option<Sample>,
    /// Of the earliest sample that came behind the Bad one.
    first: Option<i64>,
    arrived: u32,
    overflowed: bool,
}

#[derive(Clone, Copy)]
enum Added {
    Bad { at: i64, quality: Quality },
    Restored { at: i64 },
}

impl Deliveries {
    /// Tags by index, as the caller numbers them.
    pub fn new(tags: impl IntoIterator<Item = Delivered>, spool: Spool, clock: Arc<dyn Clock>, status: Arc<DeviceStatus>) -> Self {
        Deliveries {
            items: Mutex::new(Items { all: tags.into_iter().map(MonitoredTag::new).collect(), delivering: 0 }),
            heard: AtomicI64::new(clock.now().0),
            history: None,
            structures: StructureTypes::default(),
            spool,
            clock,
            status,
            clock_offset: AtomicI64::new(0),
            told: AtomicU32::new(0),
        }
    }

    /// Times in which samples are absent are told to the reader of the server's history.
    pub fn fill_from(&mut self, history: Option<Arc<HistoryBacklog>>) {
        self.history = history;
    }

    /// What the structures of the server are made of, as its session tells it.
    pub fn structures(&self) -> &StructureTypes {
        &self.structures
    }

    /// Tags whose last sample has no value because the type of its structure was not known yet.
    pub fn waiting_for_types(&self) -> Vec<usize> {
        let waits = |item: &MonitoredTag| {
            let takes_structures = item.value_type == ValueType::String || item.conversion.field.is_some();
            takes_structures && item.last.as_ref().is_some_and(|last| last.quality == Quality::BAD_WAITING_FOR_INITIAL_DATA.0)
        };
        self.items.lock().all.iter().enumerate().filter(|(_, item)| waits(item)).map(|(index, _)| index).collect()
    }

    /// Continues from what an earlier run stored: a tag whose last sample is Bad waits for the device as if the outage had begun in this
    /// run. `last` is by index; what is missing is unknown.
    pub fn resume(&self, last: &[Option<Sample>]) {
        for (item, last) in self.items.lock().all.iter_mut().zip(last) {
            if let Some(last) = last {
                item.resume(last);
            }
        }
    }

    /// Adds a tag that goes on from its latest stored sample, where there is one; it has the next index. `unfilled` are the gaps on record
    /// that the server's history may fill; `None` where that is not wanted.
    pub fn add(&self, tag: Delivered, last: Option<&Sample>, unfilled: Option<&[UnfilledGap]>) {
        let mut item = MonitoredTag::new(tag);
        if let Some(last) = last {
            item.resume(last);
        }
        let mut items = self.items.lock();
        if let Some(history) = &self.history {
            history.add(unfilled, last);
        }
        items.all.push(item);
    }

    /// The tag of an index.
    pub fn id(&self, index: usize) -> Option<TagId> {
        self.items.lock().all.get(index).map(|item| item.id)
    }

    /// Says where a tag has its samples from now on, and that there are some again. `doubt` says in words why they may mean something else than
    /// before: those that would be Good are Uncertain then.
    pub fn expect(&self, index: usize, address: &str, doubt: Option<&str>) {
        if let Some(item) = self.items.lock().all.get_mut(index) {
            item.muted = false;
            address.clone_into(&mut item.address);
            if item.doubt.as_deref() != doubt {
                item.doubt = doubt.map(str::to_owned);
                item.told_value = false;
            }
        }
    }

    /// Takes no samples of a tag, whatever still comes. What its subscription has queued since a loss will not come either.
    pub fn mute(&self, index: usize) {
        if let Some(item) = self.items.lock().all.get_mut(index) {
            item.muted = true;
            item.meanwhile = None;
        }
    }

    /// Takes the values of one notification, in the order in which the device sent them. Indexes outside the tags are passed over.
    pub fn deliver(&self, mut values: Vec<(usize, DataValue)>, publish_time: Option<i64>) {
        let received = self.clock.now();
        self.heard.store(received.0, Ordering::Relaxed);
        if let Some(publish_time) = publish_time {
            self.compare_clocks(publish_time, received);
        }
        let now = self.present(received);
        let mut items = self.items.lock();
        let mut latencies = Vec::new();
        // Stable: the values of one tag keep their order and come together.
        values.sort_by_key(|(index, _)| *index);
        let mut values = values.into_iter().peekable();
        while let Some((index, first)) = values.next() {
            let Some(item) = items.all.get_mut(index).filter(|item| !item.muted) else { continue };
            let was_delivering = item.delivering;
            let mut run = Samples::new(item.value_type);
            let mut reading = item.read(first, &self.structures);
            let mut oddity = self.take(item, &mut run, &reading, received, now);
            while let Some((_, next)) = values.next_if(|(next, _)| *next == index) {
                reading = item.read(next, &self.structures);
                oddity = self.take(item, &mut run, &reading, received, now);
            }
            // A first value, and one that the server kept over a cut, is older than its way.
            if let Some(source) = reading.source.filter(|_| was_delivering && item.meanwhile.is_none()) {
                latencies.push(Duration::from_nanos(u64::try_from(now.saturating_sub(source)).unwrap_or(0)));
            }
            item.restore(&mut run, reading.server, now);
            item.delivering = !reading.quality.is_bad();
            // A Good value is Uncertain where its time is not that of the device.
            let odd = oddity.filter(|_| reading.quality.is_good());
            let quality = item.last.as_ref().filter(|_| odd.is_some()).map_or(reading.quality, |last| Quality(last.quality));
            if !quality.is_good() {
                let why = odd.map_or(reading.problem, Oddity::text);
                self.status.explain(item.id, quality, &why, &item.address);
            }
            let (id, delivering) = (item.id, item.delivering);
            if let Some(at) = item.came(&run) {
                self.spool.present(id, at);
                if let Some(history) = &self.history {
                    history.present(index, &run.timestamps, item.restored_at());
                }
            }
            items.count(was_delivering, delivering);
            self.spool.push(id, run);
        }
        self.status.items_delivering.store(items.delivering, Ordering::Relaxed);
        self.status.record_good(received);
        self.status.record_latencies(latencies);
    }

    /// The server monitors these items, each at an interval of so many milliseconds.
    pub fn created(&self, made: impl IntoIterator<Item = (usize, f64)>) {
        let items = self.items.lock();
        let interval = |(index, milliseconds): (usize, f64)| {
            let interval = Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default();
            Some((items.all.get(index)?.id, interval))
        };
        let made: Vec<(TagId, Duration)> = made.into_iter().filter_map(interval).collect();
        self.status.set_created(made.iter().map(|(id, _)| *id));
        self.status.set_intervals(made);
    }

    /// The server gave a sign of life.
    pub fn heard(&self) {
        self.heard.store(self.clock.now().0, Ordering::Relaxed);
    }

    /// Takes a reading; answers what is odd about its time.
    fn take(&self, item: &mut MonitoredTag, run: &mut Samples, reading: &DataValueSample, received: Timestamp, now: i64) -> Option<Oddity> {
        let oddity = item.take(run, reading, received, now);
        match oddity {
            Some(oddity) if !item.told_time => {
                item.told_time = true;
                self.tell(&item.name, &oddity.text());
            }
            None if item.told_time && item.times.is_plausible() => item.told_time = false,
            _ => {}
        }
        if reading.value.is_some() && !reading.problem.is_empty() && !item.told_value {
            item.told_value = true;
            self.tell(&item.name, &reading.problem);
        }
        oddity
    }

    /// What a person should know of a tag that delivers all the same: in the status, and in the log while it is not too much.
    fn tell(&self, name: &str, what: &str) {
        self.status.record_error(self.clock.now(), format!("{name}: {what}"));
        match self.told.fetch_add(1, Ordering::Relaxed) {
            told if told < TOLD_MAX => tracing::warn!(device = self.status.device, tag = name, "{what}"),
            TOLD_MAX => tracing::warn!(device = self.status.device, "more tags like these; the log names no further ones, the status does"),
            _ => {}
        }
    }

    /// Writes one Bad sample for a tag whose node the server refuses, unless the tag's last sample says so already. `why` has more words than
    /// the quality, where there are some.
    pub fn refuse(&self, index: usize, quality: Quality, why: Option<&str>) {
        let now = self.present(self.clock.now());
        let mut items = self.items.lock();
        let Some(item) = items.all.get_mut(index) else { return };
        let was_delivering = std::mem::take(&mut item.delivering);
        item.meanwhile = None;
        // Refused after an outage, or where nothing else was missing before.
        let after_loss = matches!(item.added, Some(Added::Bad { quality: Quality::BAD_NO_COMMUNICATION, .. }));
        let since = item.missing_since(if after_loss { now } else { self.present(Timestamp(self.heard.load(Ordering::Relaxed))) });
        let detail = match why {
            Some(why) => why.into(),
            None => format!("the server refuses the node {}: {quality}", item.address).into(),
        };
        self.status.explain(item.id, quality, why.unwrap_or_default(), &item.address);
        let absence = Absence { start: Timestamp(since), reason: LossReason::Refused, detail, tolerated: TOLERATED };
        let gap = self.spool.absent(item.id, absence);
        if let Some(history) = &self.history {
            history.absent(index, (since, item.stored_to()), gap.0, LossReason::Refused);
        }
        let run = item.mark_bad(now, quality);
        let id = item.id;
        items.count(was_delivering, false);
        self.status.items_delivering.store(items.delivering, Ordering::Relaxed);
        if let Some(run) = run {
            self.spool.push(id, run);
        }
    }

    /// Writes the Bad samples of a lost connection. A tag that already waits for the device since an earlier loss gets none. `why` has the
    /// fault in words.
    pub fn lose(&self, why: &str) {
        let now = self.present(self.clock.now());
        let heard = self.present(Timestamp(self.heard.load(Ordering::Relaxed)));
        let detail: Arc<str> = why.into();
        let mut items = self.items.lock();
        for (index, item) in items.all.iter_mut().enumerate() {
            item.delivering = false;
            // A second loss before the first had settled: the first ended where values came, and this one begins.
            if item.meanwhile.is_some()
                && let (Some(Added::Bad { at, .. }), Some(last)) = (item.added, &item.last)
                && last.timestamp > at
            {
                item.meanwhile = None;
                item.added = None;
            }
            let (start, detail) = (Timestamp(item.missing_since(heard)), detail.clone());
            let gap = self.spool.absent(item.id, Absence { start, reason: LossReason::DeviceDown, detail, tolerated: TOLERATED });
            if let Some(history) = &self.history {
                history.absent(index, (start.0, item.stored_to()), gap.0, LossReason::DeviceDown);
            }
            if let Some(run) = item.mark_bad(now, Quality::BAD_NO_COMMUNICATION) {
                self.spool.push(item.id, run);
            }
        }
        items.delivering = 0;
        self.status.items_delivering.store(0, Ordering::Relaxed);
    }

    /// The subscription of these tags is taken up again after a loss: what comes next is what changed meanwhile.
    pub fn take_up(&self, indexes: impl IntoIterator<Item = usize>) {
        let mut items = self.items.lock();
        for index in indexes {
            let Some(item) = items.all.get_mut(index) else { continue };
            if item.meanwhile.is_none() && matches!(item.added, Some(Added::Bad { quality: Quality::BAD_NO_COMMUNICATION, .. })) {
                item.meanwhile = Some(Meanwhile { held: item.last.clone(), first: None, arrived: 0, overflowed: false });
            }
        }
    }

    /// The subscription of these tags could not be taken up: they wait for a new one.
    pub fn forget(&self, indexes: impl IntoIterator<Item = usize>) {
        let mut items = self.items.lock();
        for index in indexes {
            if let Some(item) = items.all.get_mut(index) {
                item.meanwhile = None;
            }
        }
    }

    /// All that changed meanwhile has come. Each tag comes with the length of its queue in the server; `complete` when no notification is
    /// missing.
    pub fn settle(&self, tags: impl IntoIterator<Item = (usize, u32)>, complete: bool) {
        let now = self.present(self.clock.now());
        let mut items = self.items.lock();
        for (index, queue) in tags {
            let Some(item) = items.all.get_mut(index) else { continue };
            let Some(meanwhile) = item.meanwhile.take() else { continue };
            let known = complete && !meanwhile.overflowed && meanwhile.arrived < queue.max(1);
            let mut run = Samples::new(item.value_type);
            match (item.added, meanwhile.held) {
                (Some(Added::Bad { at, .. }), Some(held)) if known => {
                    item.write(&mut run, at, held.value.as_ref(), Quality(held.quality));
                    item.added = None;
                    item.absent_since = None;
                    self.spool.nothing_missed(item.id);
                    self.history.iter().for_each(|history| history.nothing_missed(index));
                }
                _ => {
                    item.restore(&mut run, None, now);
                    // Where the queue ran over, what it kept is whole; where a notification is lost, nobody knows what was in it.
                    let latest = item.last.as_ref().map(|last| last.timestamp);
                    let kept = if complete { meanwhile.first } else { latest.filter(|_| meanwhile.first.is_some()) };
                    let at = kept.or_else(|| run.timestamps.last().copied()).unwrap_or(now);
                    item.absent_since = None;
                    self.spool.present(item.id, Timestamp(at));
                    self.history.iter().for_each(|history| history.present(index, &[at], item.restored_at()));
                }
            }
            let was_delivering = item.delivering;
            item.delivering = item.last.as_ref().is_some_and(|last| !Quality(last.quality).is_bad());
            let (id, delivering) = (item.id, item.delivering);
            items.count(was_delivering, delivering);
            self.spool.push(id, run);
        }
        self.status.items_delivering.store(items.delivering, Ordering::Relaxed);
    }

    /// A notification with samples of some of these tags is lost for good. It was sent between two others, at these times.
    pub fn miss(&self, indexes: impl IntoIterator<Item = usize>, (before, behind): (i64, i64)) {
        if let Some(history) = &self.history {
            indexes.into_iter().for_each(|index| history.missed(index, before, behind));
        }
    }

    /// Nothing delivers any more, and nothing is written about it: the collector stops.
    pub fn stop(&self) {
        let mut items = self.items.lock();
        items.all.iter_mut().for_each(|item| item.delivering = false);
        items.delivering = 0;
        self.status.items_delivering.store(0, Ordering::Relaxed);
    }

    fn compare_clocks(&self, publish_time: i64, received: Timestamp) {
        let offset = publish_time.saturating_sub(received.0);
        self.status.record_clock_offset(offset);
        let counts = if offset.saturating_abs() > CLOCK_OFFSET_IGNORED_NS { offset } else { 0 };
        let before = self.clock_offset.swap(counts, Ordering::Relaxed);
        if offset.saturating_abs() > CLOCK_OFFSET_LOGGED_NS && before == 0 {
            tracing::warn!(
                device = self.status.device,
                offset_ms = offset / 1_000_000,
                "the server's clock differs from ours; source timestamps are stored as the server sends them, look at its time synchronisation"
            );
        }
    }

    /// The present by the server's clock.
    fn present(&self, now: Timestamp) -> i64 {
        now.0.saturating_add(self.clock_offset.load(Ordering::Relaxed))
    }
}

impl Items {
    fn count(&mut self, before: bool, after: bool) {
        self.delivering = self.delivering + u64::from(after) - u64::from(before);
    }
}

impl MonitoredTag {
    fn new(Delivered { id, name, address, value_type, time, conversion }: Delivered) -> MonitoredTag {
        MonitoredTag {
            id,
            name,
            address,
            value_type,
            conversion,
            times: TagTimes::new(time),
            last: None,
            added: None,
            meanwhile: None,
            delivering: false,
            absent_since: Some(i64::MIN),
            told_time: false,
            told_value: false,
            muted: false,
            doubt: None,
        }
    }

    fn resume(&mut self, last: &Sample) {
        let quality = Quality(last.quality);
        let bad = quality.is_bad();
        self.times.resume(last.timestamp, last.value.as_ref(), quality, !bad);
        self.last = (!bad).then(|| last.clone());
        self.added = bad.then_some(Added::Bad { at: last.timestamp, quality });
    }

    fn read(&self, value: DataValue, structures: &StructureTypes) -> DataValueSample {
        self.conversion.sample(value, self.value_type, structures).in_doubt(self.doubt.as_deref())
    }

    fn take(&mut self, run: &mut Samples, reading: &DataValueSample, received: Timestamp, now: i64) -> Option<Oddity> {
        let stamp = self.times.stamp(reading, received, now)?;
        if !stamp.known {
            self.write(run, stamp.at, reading.value.as_ref(), stamp.quality);
        }
        let sample = Sample { timestamp: stamp.at, value: reading.value.clone(), quality: stamp.quality.0 };
        if let (Some(meanwhile), Some(Added::Bad { at, .. })) = (&mut self.meanwhile, self.added) {
            meanwhile.arrived += 1;
            meanwhile.overflowed |= reading.quality.0 & OVERFLOW_BITS == OVERFLOW_BITS;
            if sample.timestamp <= at {
                meanwhile.held = Some(sample.clone());
            } else {
                meanwhile.first = Some(meanwhile.first.map_or(sample.timestamp, |first| first.min(sample.timestamp)));
            }
        }
        self.last = Some(sample);
        stamp.oddity
    }

    /// Keeps the last sample of the device the latest in time: see the head of this file.
    fn restore(&mut self, run: &mut Samples, server: Option<i64>, now: i64) {
        if self.meanwhile.is_some() {
            return;
        }
        let (Some(added), Some(last)) = (self.added, self.last.clone()) else { return };
        let again = match added {
            Added::Bad { at, .. } | Added::Restored { at } if last.timestamp > at => {
                self.added = None;
                return;
            }
            // The Bad sample that an earlier run left was the device's own.
            Added::Bad { at, quality } if last.timestamp == at && last.quality == quality.0 => {
                self.added = None;
                return;
            }
            Added::Bad { at, .. } => match server {
                Some(server) if at < server && server <= now => server,
                _ => now.max(at.saturating_add(1)),
            },
            Added::Restored { at } => at.saturating_add(1),
        };
        self.write(run, again, last.value.as_ref(), Quality(last.quality));
        self.added = Some(Added::Restored { at: again });
    }

    /// Where the collector wrote the device's last value once more, as long as that is the latest.
    fn restored_at(&self) -> Option<i64> {
        match self.added {
            Some(Added::Restored { at }) => Some(at),
            _ => None,
        }
    }

    /// The device's latest sample that this run has taken.
    fn stored_to(&self) -> i64 {
        self.last.as_ref().map_or(i64::MIN, |last| last.timestamp)
    }

    /// Samples are absent, from the time `from` on but for what has come already. Answers since when they are.
    fn missing_since(&mut self, from: i64) -> i64 {
        let behind = self.last.as_ref().map_or(i64::MIN, |last| last.timestamp.saturating_add(1));
        match self.absent_since {
            Some(since) if since > i64::MIN => since.max(from),
            _ => *self.absent_since.insert(from.max(behind)),
        }
    }

    /// Samples were written. Answers where those begin that had been absent, if they had.
    fn came(&mut self, run: &Samples) -> Option<Timestamp> {
        let since = self.absent_since.filter(|_| self.meanwhile.is_none() && !run.is_empty())?;
        self.absent_since = None;
        let behind = run.timestamps.iter().copied().filter(|&at| at > since).min();
        behind.or_else(|| run.timestamps.last().copied()).map(Timestamp)
    }

    fn mark_bad(&mut self, now: i64, quality: Quality) -> Option<Samples> {
        if matches!(self.added, Some(Added::Bad { quality: before, .. }) if before == quality) {
            return None;
        }
        let at = self.times.newest().map_or(now, |newest| now.max(newest.saturating_add(1)));
        let mut run = Samples::new(self.value_type);
        self.write(&mut run, at, None, quality);
        self.added = Some(Added::Bad { at, quality });
        Some(run)
    }

    fn write(&mut self, run: &mut Samples, at: i64, value: Option<&Value>, quality: Quality) {
        match run.push(at, value, quality.0) {
            Ok(()) => self.times.wrote(at),
            Err(error) => tracing::error!(tag = self.id.0, %error, "sample not taken"),
        }
    }
}

#[cfg(test)]
mod tests;
