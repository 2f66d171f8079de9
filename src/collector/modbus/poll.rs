//! The loop of a running collector: polls scan classes when they are due, and keeps the trouble of one unit away from the others.
//!
//! A unit that fails is suspended with growing delays while the others go on; its first reading after the delay covers all its scan
//! classes, so that an outage ends as soon as the device is back and not at the next slot of a slow class. When no connection can be made,
//! all units are suspended together.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    calculated::{CalculatedTag, CalculationResult, InputState, NoResult},
    delivery::{DeviceDelivery, PolledTag},
    device::{ModbusCollector, PolledItem},
    group::ScanGroup,
    link::{Attempts, Link, wait_until},
    outcome::{Exception, Failure, RequestTrouble, exception_text},
    plan::{Block, RegisterSpan},
    read::{Interrupted, Learning, Outcome, Outcomes, UnitPoll},
    tag::ModbusTag,
};
use historian_collector::{CollectorContext, DeviceStatus, schedule::Schedule, status::DeviceState, supervise::Backoff};
use historian_model::{Clock, Quality, TagId, Timestamp};

/// Delays between attempts to reach a device or unit. The longest one bounds how late its return is noticed.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// After a vain attempt to reach a suspended unit, its neighbours have the connection to themselves for this many times as long as the
/// attempt took, however many units are suspended.
const NEIGHBOUR_SHARE: u32 = 4;
/// Refusals followed up in one reading of a group.
const HALVINGS_MAX: usize = 64;

/// Collects until `context.shutdown`.
pub async fn run(collector: &ModbusCollector, ids: Vec<TagId>, context: CollectorContext) {
    let status = context.status.clone();
    let shutdown = context.shutdown.clone();
    status.set_state(DeviceState::Connecting);
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = Poller::new(collector, ids, context).run() => {}
    }
    status.set_state(DeviceState::Stopped);
}

struct Poller<'a> {
    collector: &'a ModbusCollector,
    link: Link,
    schedule: Schedule,
    units: Vec<PolledUnit>,
    sink: OutcomeSink<'a>,
    /// Delays while no connection can be made.
    connect_backoff: Backoff,
    /// No suspended unit that failed by itself is tried before.
    probe_after: Instant,
}

struct PolledUnit {
    number: u8,
    groups: Vec<ScanGroup>,
    /// Set while suspended, and before the first reading.
    retry_at: Option<Instant>,
    backoff: Backoff,
    /// The last reading failed.
    failed: bool,
    /// It failed for a reason of the unit's own.
    failed_alone: bool,
}

/// Where outcomes become samples and counts.
struct OutcomeSink<'a> {
    tags: &'a [ModbusTag],
    /// Numbered on behind them, each with its scan class.
    calculated: Vec<(usize, &'a CalculatedTag)>,
    delivery: DeviceDelivery,
    status: Arc<DeviceStatus>,
    clock: Arc<dyn Clock>,
    /// The first thing that went wrong in the present reading.
    trouble: Option<String>,
    /// The last good answer of the present reading.
    good_at: Option<Timestamp>,
}

impl<'a> Poller<'a> {
    fn new(collector: &'a ModbusCollector, ids: Vec<TagId>, context: CollectorContext) -> Poller<'a> {
        let now = Instant::now();
        let (classes, units) = collector.plan();
        let mut ids = ids.into_iter();
        let tags = collector.items().map(|PolledItem { definition, value_type, scan_ms, stored }| {
            let address = definition.source.as_ref().map(|source| source.address.clone()).unwrap_or_default();
            let id = if stored { ids.next() } else { None };
            PolledTag { id, address, value_type, period: Duration::from_millis(scan_ms) }
        });
        let class_of = |scan_ms: u64| classes.iter().take_while(|class| class.period < Duration::from_millis(scan_ms)).count();
        let backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        Poller {
            link: collector.link(context.status.clone(), context.clock.clone()),
            schedule: Schedule::new(&classes, now),
            units: units
                .into_iter()
                .map(|(number, groups)| PolledUnit {
                    number,
                    groups,
                    retry_at: Some(now),
                    backoff: backoff.clone(),
                    failed: false,
                    failed_alone: false,
                })
                .collect(),
            sink: OutcomeSink {
                tags: &collector.tags,
                calculated: collector.calculated.iter().map(|tag| (class_of(tag.scan_ms), tag)).collect(),
                delivery: DeviceDelivery::new(tags, context.spool, context.status.clone(), context.clock.now()),
                status: context.status,
                clock: context.clock,
                trouble: None,
                good_at: None,
            },
            connect_backoff: backoff,
            probe_after: now,
            collector,
        }
    }

    async fn run(mut self) {
        self.sink.delivery.publish();
        loop {
            let due = self.schedule.next();
            let retry = self.next_retry();
            match (due, retry) {
                (None, None) => return std::future::pending().await, // no tags
                (Some((class, at)), retry) if retry.is_none_or(|(_, retry_at)| at <= retry_at) => {
                    wait_until(at).await;
                    self.poll(class).await;
                }
                (_, Some((unit, at))) => {
                    wait_until(at).await;
                    self.retry(unit).await;
                }
                (Some(_), None) => {}
            }
            self.publish();
        }
    }

    /// Suspended unit whose turn comes first, and when.
    fn next_retry(&self) -> Option<(usize, Instant)> {
        let times = self.units.iter().enumerate().filter_map(|(number, unit)| {
            let at = unit.retry_at?;
            Some((number, if unit.failed_alone { at.max(self.probe_after) } else { at }))
        });
        times.min_by_key(|&(_, at)| at)
    }

    /// Reads one scan class of every unit that is not suspended.
    async fn poll(&mut self, class: usize) {
        let mut missed = self.schedule.take(class, Instant::now());
        let in_class = |unit: &PolledUnit| unit.groups.iter().any(|group| group.class == class);
        let ready: Vec<usize> = (0..self.units.len()).filter(|unit| self.units[*unit].retry_at.is_none()).collect();
        let ready: Vec<usize> = ready.into_iter().filter(|unit| in_class(&self.units[*unit])).collect();
        if ready.is_empty() {
            missed += 1;
        } else {
            DeviceStatus::count(&self.sink.status.polls, 1);
        }
        DeviceStatus::count(&self.sink.status.polls_missed, missed);
        for unit in ready {
            // A failed connection has suspended the rest meanwhile.
            if self.units[unit].retry_at.is_none() {
                self.read_unit(unit, Some(class)).await;
            }
        }
        self.end_poll();
    }

    /// A device that is polled by others as well gets its connection back.
    fn end_poll(&mut self) {
        if self.collector.close_after_poll {
            self.link.close();
        }
    }

    /// Reads everything of a suspended unit.
    async fn retry(&mut self, unit: usize) {
        let started = Instant::now();
        self.units[unit].retry_at = None;
        self.read_unit(unit, None).await;
        let others_run = self.units.iter().any(|unit| unit.retry_at.is_none());
        if self.units[unit].retry_at.is_some() && others_run {
            self.probe_after = Instant::now() + started.elapsed() * NEIGHBOUR_SHARE;
        }
        self.end_poll();
    }

    /// Reads the groups of a unit, of one class or of all, and draws the consequences of a failure.
    async fn read_unit(&mut self, unit: usize, class: Option<usize>) {
        let Poller { collector, link, units, sink, .. } = self;
        let PolledUnit { groups, failed, .. } = &mut units[unit];
        // A unit in trouble is not waited for longer than it takes to see that it still is.
        let attempts = if *failed { Attempts::One } else { Attempts::Two };
        let learning = Learning { halvings_max: HALVINGS_MAX, reprobe: collector.reprobe, attempts, is_repeated: true };
        let notation = |group: &ScanGroup, block: &Block| collector.notation(group.unit, group.area, block.start, block.count);
        let holes = |groups: &[ScanGroup]| groups.iter().map(|group| group.holes().len()).sum::<usize>();
        let before = holes(groups);
        sink.trouble = None;
        let mut due: Vec<&mut ScanGroup> = groups.iter_mut().filter(|group| class.is_none_or(|class| group.class == class)).collect();
        let interrupted = UnitPoll::new(link, &collector.tags, learning, sink, &notation).read(&mut due).await.err();
        let after = holes(groups);
        if after != before {
            tracing::info!(device = collector.name, unit = units[unit].number, holes = after, "read plan changed");
        }
        match interrupted {
            None => {
                let unit = &mut self.units[unit];
                unit.backoff.reset();
                unit.failed = false;
                unit.failed_alone = false;
                self.sink.calculate(unit.number, class);
                self.connect_backoff.reset();
            }
            Some(Interrupted::Failed(failure @ Failure::Connect { .. })) => self.fail_all(&failure),
            Some(Interrupted::Failed(failure)) => {
                let text = format!("unit {}: {failure}", self.units[unit].number);
                self.fail_unit(unit, failure.quality(), text);
            }
            Some(Interrupted::Unreachable(code)) => {
                let text = format!("unit {}: {}", self.units[unit].number, exception_text(code));
                self.fail_unit(unit, Exception::of(code).quality(), text);
            }
        }
        if let Some(at) = self.sink.good_at.take() {
            self.sink.status.record_good(at);
        }
        if let Some(trouble) = self.sink.trouble.take() {
            self.sink.status.record_error(self.sink.clock.now(), trouble);
        }
    }

    /// One unit does not answer: its tags are Bad, and it is tried again after a while.
    fn fail_unit(&mut self, unit: usize, quality: Quality, text: String) {
        let now = Instant::now();
        let unit = &mut self.units[unit];
        unit.retry_at = Some(now + unit.backoff.next_delay());
        unit.failed = true;
        unit.failed_alone = true;
        self.sink.fail(&mut unit.groups, quality, now, &text);
        tracing::warn!(device = self.collector.name, endpoint = self.collector.endpoint.address, "{text}");
        self.sink.trouble = Some(text);
    }

    /// The endpoint cannot be reached: so it is with every unit.
    fn fail_all(&mut self, failure: &Failure) {
        let now = Instant::now();
        let retry_at = now + self.connect_backoff.next_delay();
        let told = failure.without_endpoint();
        for unit in &mut self.units {
            unit.retry_at = Some(retry_at);
            unit.failed = true;
            unit.failed_alone = false;
            self.sink.fail(&mut unit.groups, failure.quality(), now, &told);
        }
        tracing::warn!(device = self.collector.name, "{failure}");
        self.sink.trouble = Some(failure.to_string());
    }

    fn publish(&mut self) {
        let complete = self.sink.delivery.publish();
        let status = &self.sink.status;
        status.set_state(if self.units.iter().all(|unit| unit.retry_at.is_some()) {
            if status.connects.load(Ordering::Relaxed) == 0 && status.view().last_error.is_empty() {
                DeviceState::Connecting
            } else {
                DeviceState::Backoff
            }
        } else if complete {
            DeviceState::Running
        } else {
            DeviceState::Degraded
        });
        let holes = self.units.iter().flat_map(|unit| &unit.groups).flat_map(|group| {
            group.holes().iter().map(|hole| {
                let addresses = self.collector.notation(group.unit, group.area, hole.block.start, hole.block.count);
                format!("{addresses} ({})", hole.reason)
            })
        });
        status.set_holes(holes.collect());
    }
}

impl OutcomeSink<'_> {
    /// Keeps the first thing that went wrong with a tag.
    fn tell(&mut self, item: &RegisterSpan, what: &dyn fmt::Display) {
        if self.trouble.is_none() {
            let tag = &self.tags[item.tag].definition;
            let address = tag.source.as_ref().map_or("", |source| &source.address);
            self.trouble = Some(format!("tag {} at {address}: {what}", tag.name));
        }
    }

    /// Every tag of some groups has no value from now on.
    fn fail(&mut self, groups: &mut [ScanGroup], quality: Quality, now: Instant, why: &dyn fmt::Display) {
        let at = self.clock.now();
        // All inputs of a calculated tag are of one unit, as the groups are.
        let unit = groups.first().map(|group| group.unit);
        for group in groups {
            group.probe_soon(now);
            for item in group.items() {
                self.delivery.bad(item.tag, quality, at, why);
            }
        }
        for (place, (_, tag)) in self.calculated.iter().enumerate() {
            if Some(tag.unit) == unit {
                self.delivery.bad(self.tags.len() + place, quality, at, why);
            }
        }
    }

    /// Calculates what follows from a reading of a unit, of one class or of all.
    fn calculate(&mut self, unit: u8, class: Option<usize>) {
        for (place, (own_class, tag)) in self.calculated.iter().enumerate() {
            if tag.unit != unit || class.is_some_and(|class| class != *own_class) {
                continue;
            }
            let number = self.tags.len() + place;
            let result = tag.calculate(|input| {
                let (quality, value, answered) = self.delivery.state(input);
                InputState { quality, value, at: answered.unwrap_or(Timestamp(0)) }
            });
            match result {
                Ok(CalculationResult { value, quality, at, .. }) if quality.is_good() => self.delivery.good(number, value, at),
                Ok(CalculationResult { value, quality, at, doubt }) => self.delivery.uncertain(number, value, quality, at, &doubt),
                Err(NoResult { quality, reason }) => {
                    if self.trouble.is_none() {
                        self.trouble = Some(format!("tag {} ({}): {reason}", tag.definition.name, tag.address()));
                    }
                    self.delivery.no_result(number, quality, self.clock.now(), &reason);
                }
            }
        }
    }
}

impl Outcomes for OutcomeSink<'_> {
    fn item(&mut self, item: &RegisterSpan, outcome: Outcome, at: Timestamp, _latency: Duration) {
        match outcome {
            Outcome::Good(value) => {
                self.good_at = Some(at);
                self.delivery.good(item.tag, value, at);
            }
            Outcome::Missing(missing) => {
                self.good_at = Some(at);
                // Formulas tell of an input that they miss.
                if self.tags[item.tag].stored {
                    self.tell(item, &missing);
                }
                self.delivery.missing(item.tag, &missing, at);
            }
            Outcome::Trouble(trouble) => {
                self.tell(item, &trouble);
                if let RequestTrouble::Exception(code) = trouble
                    && Exception::of(code) == Exception::Busy
                {
                    self.delivery.busy(item.tag, Exception::Busy.quality(), at);
                } else {
                    self.delivery.bad(item.tag, trouble.quality(), at, &trouble);
                }
            }
        }
    }

    fn note(&mut self, text: String) {
        tracing::warn!(device = self.status.device, endpoint = self.status.endpoint, "{text}");
        self.trouble = Some(text);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
