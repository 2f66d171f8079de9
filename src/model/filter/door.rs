//! The swinging door over the samples of one tag, in the order of their times.
//!
//! From the last sample passed, each later one opens a door: the slopes of lines that keep it within the deviation. A sample may end the line
//! only if its own slope goes through the doors of all between (Bristol 1990 takes any slope that does, and stores a point that none measured;
//! with ends that are samples the bound is that of each, and not twice it).

use super::{
    number::{nanoseconds, numbers, rounding, same},
    setting::CompressionFilter,
};
use crate::{Sample, ValueType};

pub(super) struct SwingingDoor {
    deviation: f64,
    max_ns: i64,
    value_type: ValueType,
    /// The last sample that passed: the line begins there.
    start: Option<Sample>,
    /// The newest one since: the line could end there.
    held: Option<LineEnd>,
    /// The end before it: where a sample of the same time follows, that one takes its place.
    before: Option<LineEnd>,
}

struct LineEnd {
    sample: Sample,
    /// Slopes per nanosecond of the lines that keep everything up to here within the deviation.
    low: f64,
    high: f64,
}

impl SwingingDoor {
    pub(super) fn new(setting: &CompressionFilter, value_type: ValueType) -> SwingingDoor {
        let max_ns = nanoseconds(setting.max_interval_ms);
        SwingingDoor { deviation: setting.deviation, max_ns, value_type, start: None, held: None, before: None }
    }

    /// Takes a sample that is not earlier than the one before.
    pub(super) fn take(&mut self, sample: Sample, out: &mut Vec<Sample>) {
        if self.held.as_ref().is_some_and(|held| held.sample.timestamp == sample.timestamp) {
            self.held = self.before.take();
        }
        let Some(start) = &self.start else { return self.pass(sample, out) };
        let elapsed = sample.timestamp.saturating_sub(start.timestamp);
        if elapsed == 0 {
            return self.pass(sample, out);
        }
        let door = match numbers(start, &sample) {
            Some((start, number)) => self.door(start, number, elapsed as f64),
            None => same(start, &sample).then_some((f64::NEG_INFINITY, f64::INFINITY)),
        };
        match door.filter(|_| elapsed <= self.max_ns) {
            Some((low, high)) => self.before = self.held.replace(LineEnd { sample, low, high }),
            None => match self.held.take() {
                Some(held) => {
                    self.pass(held.sample, out);
                    self.take(sample, out);
                }
                None => self.pass(sample, out),
            },
        }
    }

    /// Passes what waits.
    pub(super) fn flush(&mut self, out: &mut Vec<Sample>) {
        if let Some(held) = self.held.take() {
            self.pass(held.sample, out);
        }
    }

    /// How long what waits may wait at most, in nanoseconds since the last sample passed; `None` where nothing waits.
    pub(super) fn patience(&self) -> Option<i64> {
        self.held.as_ref().map(|_| self.max_ns)
    }

    /// The door behind a sample, where the line to it goes through those before.
    fn door(&self, start: f64, number: f64, elapsed: f64) -> Option<(f64, f64)> {
        let (low, high) = self.held.as_ref().map_or((f64::NEG_INFINITY, f64::INFINITY), |held| (held.low, held.high));
        let slope = (number - start) / elapsed;
        if !slope.is_finite() || slope < low || slope > high {
            return None;
        }
        let room = self.deviation - rounding(self.value_type, start, number, self.deviation);
        Some((low.max((number - room - start) / elapsed), high.min((number + room - start) / elapsed)))
    }

    fn pass(&mut self, sample: Sample, out: &mut Vec<Sample>) {
        self.held = None;
        self.before = None;
        self.start = Some(sample.clone());
        out.push(sample);
    }
}
