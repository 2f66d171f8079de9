//! Both filters of one tag, one behind the other.

use std::time::Duration;

use super::{door::SwingingDoor, exception::ExceptionTest, setting::TagFilter};
use crate::{Sample, ValueType};

/// Passes and leaves out the samples of one tag. Holds at most two of them back.
pub struct SampleFilter {
    exception: Option<ExceptionTest>,
    door: Option<SwingingDoor>,
    /// Time of the newest sample taken.
    newest: Option<i64>,
    /// Time of the newest sample passed.
    passed: Option<i64>,
    /// Samples taken and not passed, those that wait included.
    behind: u64,
    between: Vec<Sample>,
}

impl SampleFilter {
    /// `None` where the settings leave nothing out.
    pub fn new(setting: &TagFilter, value_type: ValueType, stepped: bool) -> Option<SampleFilter> {
        let exception = setting.exception.as_ref().map(|setting| ExceptionTest::new(setting, value_type, stepped));
        let door = setting.compression.as_ref().map(|setting| SwingingDoor::new(setting, value_type));
        let (newest, passed, behind, between) = (None, None, 0, Vec::new());
        (!setting.is_off()).then_some(SampleFilter { exception, door, newest, passed, behind, between })
    }

    /// Takes a sample and appends to `out` what passes now, in the order of time.
    ///
    /// A sample that is earlier than the newest one is late: it passes by itself, and before it what waits, where it lies behind the last
    /// sample passed. One of the same time takes the place of the one before.
    pub fn take(&mut self, sample: Sample, out: &mut Vec<Sample>) {
        let before = out.len();
        let at = sample.timestamp;
        if self.newest.is_some_and(|newest| at < newest) {
            if self.passed.is_none_or(|passed| passed < at) {
                self.flush(out);
            }
            out.push(sample);
            return;
        }
        self.newest = Some(at);
        self.behind += 1;
        match &mut self.exception {
            None => self.hand_on(sample, out),
            Some(exception) => {
                let mut between = std::mem::take(&mut self.between);
                exception.take(sample, &mut between);
                between.drain(..).for_each(|sample| self.hand_on(sample, out));
                self.between = between;
            }
        }
        self.count_passed(before, out);
    }

    /// Appends to `out` what waits.
    pub fn flush(&mut self, out: &mut Vec<Sample>) {
        let before = out.len();
        let mut between = std::mem::take(&mut self.between);
        if let Some(exception) = &mut self.exception {
            exception.flush(&mut between);
        }
        between.drain(..).for_each(|sample| self.hand_on(sample, out));
        self.between = between;
        if let Some(door) = &mut self.door {
            door.flush(out);
        }
        self.count_passed(before, out);
    }

    /// How long what waits may wait at most since a sample passed last; `None` where nothing waits.
    pub fn patience(&self) -> Option<Duration> {
        let of_exception = self.exception.as_ref().and_then(ExceptionTest::patience);
        let of_door = self.door.as_ref().and_then(SwingingDoor::patience);
        let shortest = of_exception.into_iter().chain(of_door).min()?;
        Some(Duration::from_nanos(u64::try_from(shortest).unwrap_or(0)))
    }

    /// Samples taken that did not pass; those that wait count.
    pub fn left_out(&self) -> u64 {
        self.behind
    }

    fn hand_on(&mut self, sample: Sample, out: &mut Vec<Sample>) {
        match &mut self.door {
            Some(door) => door.take(sample, out),
            None => out.push(sample),
        }
    }

    fn count_passed(&mut self, before: usize, out: &[Sample]) {
        if let Some(last) = out[before..].last() {
            self.passed = Some(last.timestamp);
        }
        self.behind = self.behind.saturating_sub((out.len() - before) as u64);
    }
}
