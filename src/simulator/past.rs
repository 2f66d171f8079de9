//! The past of the plant: its course run faster than time, as the samples that the historian would have of it had it collected them. Readings
//! go the way of the wire: converters saturate, counters wrap, a failure is one Bad sample, and of a node of OPC UA only changes are told.

use super::{
    course::{Course, rate},
    instrument::{Failures, InstrumentReading, rounded},
    planted::{EventKind, PLANTED, PlantedEvent, is_on_modbus},
    process::Conditions,
    signal::{NodeType, SIGNALS, SensorFault, Signal, SignalAddress, SignalFormat, Truth},
};
use historian_model::{Quality, Samples, TimeRange, Timestamp, Value, ValueType};

const SECOND: i64 = 1_000_000_000;
/// Time between two scans far in the past, and near to events and to the present. No more than three times as long: a detector of gaps takes
/// what is longer for one.
const COARSE_S: i64 = 3;
const FINE_S: i64 = 1;
/// How near the first start is, and the beginning and the end of an event.
const NEAR_START_S: i64 = 2 * 3600;
const NEAR_EVENT_S: i64 = 600;
/// Period and height of the test signal, in seconds and in the unit of its tag.
const TEST_PERIOD_S: i64 = 120;
const TEST_HEIGHT: f64 = 15.0;

/// A plant in its past, and the samples of it that nobody has taken yet.
pub struct Past {
    course: Course,
    first_start: Timestamp,
    /// Where the plant is, and when its instruments were read last, in seconds.
    at_s: i64,
    scanned_s: i64,
    events: Vec<Event>,
    tags: Vec<TagPast>,
}

/// A planted event that lies in the past that is asked for.
struct Event {
    planted: &'static PlantedEvent,
    /// First second, and the one after the last.
    start_s: i64,
    end_s: i64,
    /// The signal whose reading it changes.
    signal: Option<usize>,
    /// What that shows while it is frozen.
    frozen: Option<Truth>,
    /// What it would have shown, where the history is put right.
    right: Option<Samples>,
}

struct TagPast {
    samples: Samples,
    /// The last sample that was told.
    value: Option<Value>,
    quality: Option<Quality>,
}

/// What was wrong in the history and is put right by a correction.
pub struct PlantedCorrection {
    pub event: &'static PlantedEvent,
    pub signal: &'static Signal,
    pub range: TimeRange,
    /// The samples that belong there; none where the range is to be emptied.
    pub samples: Option<Samples>,
}

impl Past {
    /// A plant whose past begins at `from`, in a demo that was first started at `first_start`. The same seed and times give the same samples.
    pub fn new(seed: u64, from: Timestamp, first_start: Timestamp) -> Past {
        let at_s = from.0.div_euclid(SECOND);
        let events = PLANTED.iter().map(|planted| Event::new(planted, first_start)).filter(|event| event.start_s > at_s + NEAR_EVENT_S);
        let tag = |signal: &Signal| TagPast { samples: Samples::new(signal.value_type), value: None, quality: None };
        Past {
            course: Course::warm(seed, 1.0, at_s, Failures::OF_A_WEEK),
            first_start,
            at_s,
            scanned_s: at_s - COARSE_S,
            events: events.collect(),
            tags: SIGNALS.iter().map(tag).collect(),
        }
    }

    /// Where the plant is.
    pub fn at(&self) -> Timestamp {
        Timestamp(self.at_s * SECOND)
    }

    /// Runs the plant up to `until`, or until there are so many samples; they are in the order of the list of signals.
    pub fn run(&mut self, until: Timestamp, samples_max: usize) -> Vec<Samples> {
        let (until_s, mut samples) = (until.0.div_euclid(SECOND), 0);
        while self.at_s < until_s && samples < samples_max {
            self.at_s += 1;
            self.course.process.conditions = self.conditions();
            self.course.process.step(1.0, &mut self.course.random);
            if self.at_s - self.scanned_s >= self.period_s() {
                self.scan();
                samples += self.tags.len();
            }
        }
        self.tags
            .iter_mut()
            .zip(SIGNALS)
            .map(|(tag, signal)| std::mem::replace(&mut tag.samples, Samples::new(signal.value_type)))
            .collect()
    }

    /// The events that lie in this past.
    pub fn events(&self) -> impl Iterator<Item = &'static PlantedEvent> {
        self.events.iter().map(|event| event.planted)
    }

    /// The events that leave a device without an answer.
    pub fn outages(&self) -> impl Iterator<Item = &'static PlantedEvent> {
        self.events().filter(|event| event.kind == EventKind::DeviceDown)
    }

    /// What is to be put right once its samples are stored.
    pub fn corrections(&self) -> Vec<PlantedCorrection> {
        let correction = |event: &Event| {
            let samples = match event.planted.kind {
                EventKind::WrongScale(_) => Some(event.right.clone()?),
                EventKind::TestSignal => None,
                _ => return None,
            };
            let range = TimeRange::new(Timestamp(event.start_s * SECOND), Timestamp(event.end_s * SECOND));
            Some(PlantedCorrection { event: event.planted, signal: &SIGNALS[event.signal?], range, samples })
        };
        self.events.iter().filter_map(correction).collect()
    }

    /// The plant as it is at `now`, which is near, to go on with. Its instruments are whole, and fail as often as those of a demo.
    pub fn into_course(mut self, now: Timestamp) -> Course {
        self.course.process.conditions = self.conditions();
        let mut left_s = ((now.0 - self.at_s * SECOND) as f64 / SECOND as f64).min(NEAR_EVENT_S as f64);
        while left_s > 0.0 {
            self.course.process.step(left_s.min(1.0), &mut self.course.random);
            left_s -= 1.0;
        }
        self.course.instruments.fail(Failures::OF_A_DEMO, &mut self.course.random);
        self.course
    }

    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions { rate: rate(self.at_s), ..Conditions::default() };
        for event in self.events.iter().filter(|event| event.holds(self.at_s)) {
            match event.planted.kind {
                EventKind::Stiction(percent) => conditions.stiction = percent,
                EventKind::Cleaning => conditions.cleaning = true,
                EventKind::Dips { part, every_s } if (self.at_s - event.start_s) % every_s == every_s / 2 => conditions.mains = 1.0 - part,
                _ => {}
            }
        }
        conditions
    }

    /// Time from one scan to the next.
    fn period_s(&self) -> i64 {
        let near = |at_s: i64, within_s: i64| (self.at_s - at_s).abs() <= within_s;
        let near_event = |event: &Event| near(event.start_s, NEAR_EVENT_S) || near(event.end_s, NEAR_EVENT_S);
        let is_fine = near(self.first_start.0.div_euclid(SECOND), NEAR_START_S) || self.events.iter().any(near_event);
        if is_fine { FINE_S } else { COARSE_S }
    }

    fn scan(&mut self) {
        let dt = (self.at_s - self.scanned_s) as f64;
        self.scanned_s = self.at_s;
        let mut readings = self.course.instruments.read(&self.course.process, dt, &mut self.course.random);
        let at = self.at_s * SECOND;
        let mut is_down = false;
        for event in self.events.iter_mut().filter(|event| event.holds(self.at_s)) {
            is_down |= event.planted.kind == EventKind::DeviceDown;
            let Some(index) = event.signal else { continue };
            event.change(&SIGNALS[index], &mut readings[index], self.at_s);
        }
        for ((signal, reading), tag) in SIGNALS.iter().zip(&readings).zip(&mut self.tags) {
            let collected =
                if is_down && is_on_modbus(signal.wire) { (None, Quality::BAD_NO_COMMUNICATION) } else { collected(signal, reading) };
            tag.tell(signal, at, collected);
        }
    }
}

impl Event {
    fn new(planted: &'static PlantedEvent, first_start: Timestamp) -> Event {
        let range = planted.range(first_start);
        let of_reading = matches!(planted.kind, EventKind::Drift(_) | EventKind::Frozen | EventKind::WrongScale(_) | EventKind::TestSignal);
        let about = planted.tags().first().copied();
        let signal = SIGNALS.iter().position(|signal| Some(signal.tag) == about).filter(|_| of_reading);
        Event {
            planted,
            start_s: range.start.0.div_euclid(SECOND),
            end_s: range.end.0.div_euclid(SECOND),
            signal,
            frozen: None,
            right: matches!(planted.kind, EventKind::WrongScale(_))
                .then(|| signal.map(|index| Samples::new(SIGNALS[index].value_type)))
                .flatten(),
        }
    }

    fn holds(&self, at_s: i64) -> bool {
        (self.start_s..self.end_s).contains(&at_s)
    }

    /// Makes of a reading what the event shows in its place.
    fn change(&mut self, signal: &Signal, reading: &mut InstrumentReading, at_s: i64) {
        let Truth::Number(number) = reading.value else { return };
        let shown = |number: f64| {
            let resolution = signal.sensor.resolution;
            Truth::Number(if resolution > 0.0 { rounded(number, resolution) } else { number })
        };
        let since_s = at_s - self.start_s;
        match self.planted.kind {
            EventKind::Drift(end) => reading.value = shown(number + end * since_s as f64 / (self.end_s - self.start_s) as f64),
            EventKind::Frozen => reading.value = self.frozen.get_or_insert(Truth::Number(number)).clone(),
            EventKind::TestSignal => {
                *reading =
                    InstrumentReading { value: shown(TEST_HEIGHT * (since_s % TEST_PERIOD_S) as f64 / TEST_PERIOD_S as f64), fault: None };
            }
            EventKind::WrongScale(factor) => {
                // The card did not fail meanwhile, so that each sample has one that belongs in its place.
                reading.fault = None;
                let (value, quality) = collected(signal, reading);
                if let Some(right) = &mut self.right {
                    push(right, signal, at_s * SECOND, value.as_ref(), quality);
                }
                reading.value = shown(number * factor);
            }
            _ => {}
        }
    }
}

impl TagPast {
    fn tell(&mut self, signal: &Signal, at: i64, (value, quality): (Option<Value>, Quality)) {
        let is_same = self.quality == Some(quality) && self.value == value;
        // A failure is told once; a value that is polled is told again and again, one that is subscribed to when it changes.
        if is_same && (quality.is_bad() || !is_on_modbus(signal.wire)) {
            return;
        }
        push(&mut self.samples, signal, at, value.as_ref(), quality);
        (self.value, self.quality) = (value, Some(quality));
    }
}

fn push(samples: &mut Samples, signal: &Signal, at: i64, value: Option<&Value>, quality: Quality) {
    if let Err(error) = samples.push(at, value, quality.0) {
        tracing::error!(tag = signal.tag, %error, "a reading does not fit its tag; this is a bug");
    }
}

/// A reading as it comes out of the collector.
fn collected(signal: &Signal, reading: &InstrumentReading) -> (Option<Value>, Quality) {
    let quality = match reading.fault {
        None => Quality::GOOD,
        Some(SensorFault::NotANumber) => Quality::BAD_NO_DATA,
        Some(SensorFault::DeviceFailure) => Quality::BAD_DEVICE_FAILURE,
        Some(SensorFault::SensorFailure) => Quality::BAD_SENSOR_FAILURE,
        Some(SensorFault::NotAccurate) => Quality::UNCERTAIN_SENSOR_NOT_ACCURATE,
    };
    ((!quality.is_bad()).then(|| value(signal, &reading.value)), quality)
}

fn value(signal: &Signal, truth: &Truth) -> Value {
    match (truth, signal.wire) {
        (Truth::Flag(flag), _) => Value::Bool(*flag),
        (Truth::Text(text), _) => Value::String(text.clone()),
        (Truth::State(state), _) => Value::State(u32::from(*state)),
        (Truth::Count(count), SignalAddress::Modbus { format, .. }) => Value::U64(match format.registers() {
            4 => *count,
            registers => count % (1 << (16 * registers)),
        }),
        (Truth::Count(count), SignalAddress::OpcUa { node_type: NodeType::Int32, .. }) => Value::I64(i64::from(*count as i32)),
        (Truth::Count(count), SignalAddress::OpcUa { .. }) => Value::U64(u64::from(*count as u32)),
        (Truth::Number(number), SignalAddress::OpcUa { .. }) => float(signal, *number),
        (Truth::Number(number), SignalAddress::Modbus { format, scale, .. }) => {
            let ends = match format {
                SignalFormat::Bit => (0.0, 1.0),
                SignalFormat::U16 => (0.0, f64::from(u16::MAX)),
                SignalFormat::I16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
                SignalFormat::U32 => (0.0, f64::from(u32::MAX)),
                SignalFormat::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
                SignalFormat::U64 => (0.0, u64::MAX as f64),
                SignalFormat::F32 | SignalFormat::F64 => return float(signal, *number),
            };
            let raw = (number / scale).round().clamp(ends.0, ends.1);
            // A decimal scale comes out as the nearest double to the decimal, as it does of the collector.
            let per_unit = (1.0 / scale).round();
            float(signal, if (per_unit * scale - 1.0).abs() < 1e-12 { raw / per_unit } else { raw * scale })
        }
    }
}

fn float(signal: &Signal, number: f64) -> Value {
    match signal.value_type {
        ValueType::F32 => Value::F32(number as f32),
        ValueType::U64 => Value::U64(number as u64),
        _ => Value::F64(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Monday morning.
    const FIRST_START: Timestamp = Timestamp(1_796_025_600 * SECOND);

    fn days(count: i64) -> i64 {
        count * 86_400 * SECOND
    }

    fn week() -> (Past, Vec<Samples>) {
        let mut past = Past::new(1, Timestamp(FIRST_START.0 - days(7)), FIRST_START);
        let samples = past.run(FIRST_START, usize::MAX);
        (past, samples)
    }

    #[test]
    fn every_signal_has_a_past_of_its_type_in_ascending_order() {
        let (past, week) = week();
        assert_eq!(past.at(), FIRST_START);
        assert_eq!(past.events().count(), PLANTED.len());
        for (signal, samples) in SIGNALS.iter().zip(&week) {
            assert_eq!(samples.value_type(), signal.value_type, "{}", signal.tag);
            assert!(!samples.is_empty() && samples.is_sorted_strictly(), "{}", signal.tag);
        }
        let count: usize = week.iter().map(Samples::len).sum();
        assert!((8_000_000..12_000_000).contains(&count), "{count}");
    }

    #[test]
    fn a_past_in_parts_is_the_past_in_one() {
        let from = Timestamp(FIRST_START.0 - days(1));
        let mut whole = Past::new(5, from, FIRST_START);
        let whole = whole.run(FIRST_START, usize::MAX);
        let mut past = Past::new(5, from, FIRST_START);
        let mut parts: Vec<Samples> = SIGNALS.iter().map(|signal| Samples::new(signal.value_type)).collect();
        while past.at() < FIRST_START {
            for (all, part) in parts.iter_mut().zip(past.run(FIRST_START, 50_000)) {
                all.append(&part).unwrap();
            }
        }
        assert_eq!(format!("{whole:?}"), format!("{parts:?}"));
    }

    #[test]
    fn corrections_cover_what_was_wrong_sample_by_sample() {
        let (past, week) = week();
        let corrections = past.corrections();
        assert_eq!(corrections.len(), 2);
        for correction in corrections {
            let index = SIGNALS.iter().position(|signal| signal.tag == correction.signal.tag).unwrap();
            let wrong = &week[index];
            let within = wrong.slice_time_range(correction.range.start.0, correction.range.end.0);
            assert!(within.len() > 100, "{}", correction.signal.tag);
            let Some(right) = correction.samples else { continue };
            assert_eq!(right.timestamps, wrong.timestamps[within.clone()]);
            let number = |value: Option<Value>| if let Some(Value::F32(number)) = value { f64::from(number) } else { panic!("{value:?}") };
            for (row, at) in within.enumerate() {
                let (right, wrong) = (number(right.value(row)), number(wrong.value(at)));
                assert!((wrong / right - 10.0).abs() < 0.01, "{wrong} for {right}");
            }
        }
    }

    #[test]
    fn an_outage_is_one_bad_sample_of_each_tag_of_the_device() {
        let (past, week) = week();
        let outage = past.outages().next().unwrap().range(FIRST_START);
        for (signal, samples) in SIGNALS.iter().zip(&week) {
            let within = samples.slice_time_range(outage.start.0, outage.end.0);
            if is_on_modbus(signal.wire) {
                assert_eq!(within.len(), 1, "{}", signal.tag);
                assert_eq!(samples.qualities[within.start], Quality::BAD_NO_COMMUNICATION.0);
            } else if signal.tag == "demo/product/tank301/level" {
                assert!(within.len() > 700, "{}", within.len());
            }
        }
    }
}
