//! The exception filter over the samples of one tag, in the order of their times.

use super::{
    number::{nanoseconds, numbers, rounding, same},
    setting::ExceptionFilter,
};
use crate::{Sample, ValueType};

pub(super) struct ExceptionTest {
    deadband: f64,
    min_ns: i64,
    max_ns: i64,
    /// Between samples there is a line, whose arithmetic is rounded.
    lines_of: Option<ValueType>,
    /// The last sample that passed.
    passed: Option<Sample>,
    /// The newest one since, which waits.
    held: Option<HeldSample>,
    /// What was held before it: where a sample of the same time follows, that one takes its place.
    before: Option<HeldSample>,
}

struct HeldSample {
    sample: Sample,
    /// Beyond the deadband; only the minimum interval holds it back.
    beyond: bool,
}

impl ExceptionTest {
    pub(super) fn new(setting: &ExceptionFilter, value_type: ValueType, stepped: bool) -> ExceptionTest {
        ExceptionTest {
            deadband: setting.deadband,
            min_ns: nanoseconds(setting.min_interval_ms),
            max_ns: nanoseconds(setting.max_interval_ms),
            lines_of: (!stepped).then_some(value_type),
            passed: None,
            held: None,
            before: None,
        }
    }

    /// Takes a sample that is not earlier than the one before.
    pub(super) fn take(&mut self, sample: Sample, out: &mut Vec<Sample>) {
        if self.held.as_ref().is_some_and(|held| held.sample.timestamp == sample.timestamp) {
            self.held = self.before.take();
        }
        let Some(last) = &self.passed else { return self.pass(sample, out) };
        if last.timestamp == sample.timestamp {
            return self.pass(sample, out);
        }
        let both = numbers(last, &sample);
        let within = same(last, &sample) || both.is_some_and(|(last, number)| self.is_within(last, number));
        let elapsed = sample.timestamp.saturating_sub(last.timestamp);
        if !within && (both.is_none() || elapsed >= self.min_ns) {
            self.flush(out);
            self.pass(sample, out);
        } else if elapsed < self.max_ns {
            self.before = self.held.replace(HeldSample { sample, beyond: !within });
        } else {
            // The interval ends with the sample before, against which this one stands now.
            match self.held.take() {
                Some(held) => {
                    self.pass(held.sample, out);
                    self.take(sample, out);
                }
                None => self.pass(sample, out),
            }
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
        self.held.as_ref().map(|held| if held.beyond { self.min_ns } else { self.max_ns })
    }

    fn is_within(&self, last: f64, number: f64) -> bool {
        let rounding = self.lines_of.map_or(0.0, |value_type| rounding(value_type, last, number, self.deadband));
        (number - last).abs() <= self.deadband - rounding
    }

    fn pass(&mut self, sample: Sample, out: &mut Vec<Sample>) {
        self.held = None;
        self.before = None;
        self.passed = Some(sample.clone());
        out.push(sample);
    }
}
