//! What all primitives share: samples checked and taken one after another, and the time that each quality holds.

use std::{collections::HashMap, ops::Range};

use historian_format::{Samples, Scalar, Value, ValueType, Values};
use historian_model::TimeRange;

use super::{Coverage, KpiError, STATES_MAX, Sample, Scope};
use crate::downsample::column::{self, ColumnNumber, numbers};

/// What holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    Unknown,
    Bad,
    Uncertain,
    Good,
}

impl Validity {
    pub const fn is_usable(self) -> bool {
        matches!(self, Validity::Good | Validity::Uncertain)
    }

    /// Of a sample with a value that is not NaN.
    const fn of(quality: u32, uncertain_as_bad: bool) -> Validity {
        match quality >> 30 {
            0 => Validity::Good,
            1 if !uncertain_as_bad => Validity::Uncertain,
            _ => Validity::Bad,
        }
    }
}

/// One sample as primitives see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CheckedSample {
    pub timestamp: i64,
    pub kind: Validity,
    /// Equal for equal values: -0 is 0, a text is its number in the feed. 0 when not usable.
    pub bits: u64,
    /// The nearest f64; 0 for text and when not usable.
    pub number: f64,
}

/// Checks the samples of one tag and hands them out.
#[derive(Debug)]
pub(super) struct CheckedSamples {
    value_type: ValueType,
    uncertain_as_bad: bool,
    /// What is handed on.
    range: TimeRange,
    last: Option<i64>,
    /// Infinities are as good as Bad: nothing can be added to them.
    only_finite: bool,
    /// Texts by their first occurrence, where they are told apart.
    texts: Option<HashMap<String, u64>>,
}

impl CheckedSamples {
    /// A feed of the samples in a range; `tell_texts` where one text has to be told from another.
    pub fn new(scope: &Scope, range: TimeRange, tell_texts: bool) -> Result<CheckedSamples, KpiError> {
        let named = [("before", &scope.before), ("usable_before", &scope.usable_before), ("after", &scope.after)];
        for (neighbour, sample) in named.into_iter().filter_map(|(name, sample)| Some((name, sample.as_ref()?))) {
            if let Some(found) = sample.value.as_ref().map(Value::value_type).filter(|found| *found != scope.value_type) {
                return Err(KpiError::ValueType { parameter: neighbour, expected: scope.value_type, found });
            }
            let outside = if neighbour == "after" { sample.timestamp >= scope.window.end } else { sample.timestamp < scope.window.start };
            if !outside {
                return Err(KpiError::Neighbour { neighbour, timestamp: sample.timestamp });
            }
        }
        let texts = (tell_texts && scope.value_type == ValueType::String).then(HashMap::new);
        Ok(CheckedSamples {
            value_type: scope.value_type,
            uncertain_as_bad: scope.uncertain_as_bad,
            range,
            last: None,
            only_finite: false,
            texts,
        })
    }

    /// As it is, and infinities count as Bad.
    pub fn only_finite(self) -> CheckedSamples {
        CheckedSamples { only_finite: true, ..self }
    }

    /// Hands the rows that lie in the feed's range to `take`. Timestamps that do not rise, none of them twice, are an error, and so are
    /// samples that are not of the tag's type.
    pub fn each(&mut self, samples: &Samples, rows: Range<usize>, mut take: impl FnMut(CheckedSample)) -> Result<(), KpiError> {
        if samples.value_type() != self.value_type {
            return Err(KpiError::ValueType { parameter: "a run of samples", expected: self.value_type, found: samples.value_type() });
        }
        if rows.start > rows.end || rows.end > samples.len() {
            return Err(KpiError::Rows { start: rows.start, end: rows.end, len: samples.len() });
        }
        let timestamps = &samples.timestamps[rows.clone()];
        if let Some(pair) = timestamps.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(KpiError::Order { timestamp: pair[1], last: pair[0] });
        }
        let from = rows.start + timestamps.partition_point(|timestamp| *timestamp < self.range.start.0);
        let to = rows.start + timestamps.partition_point(|timestamp| *timestamp < self.range.end.0);
        if from >= to {
            return Ok(());
        }
        if let Some(last) = self.last.filter(|last| samples.timestamps[from] <= *last) {
            return Err(KpiError::Order { timestamp: samples.timestamps[from], last });
        }
        self.last = Some(samples.timestamps[to - 1]);
        if let Values::String(column) = &samples.values {
            for row in from..to {
                let mut reading = CheckedSample { timestamp: samples.timestamps[row], kind: Validity::Bad, bits: 0, number: 0.0 };
                if samples.is_valid(row) {
                    reading.kind = Validity::of(samples.qualities[row], self.uncertain_as_bad);
                    reading.bits = if reading.kind.is_usable() { self.text(column.get(row))? } else { 0 };
                }
                take(reading);
            }
        }
        numbers!(samples, column => self.each_number(column, samples, from..to, take));
        Ok(())
    }

    fn each_number<T: ColumnNumber>(&self, column: &[T], samples: &Samples, rows: Range<usize>, mut take: impl FnMut(CheckedSample)) {
        for row in rows {
            let timestamp = samples.timestamps[row];
            let kind = Validity::of(samples.qualities[row], self.uncertain_as_bad);
            let number = column[row].number();
            if kind.is_usable() && column::is_drawn(column, samples, row) && (number.is_finite() || !self.only_finite) {
                let bits = if number == 0.0 { 0 } else { column[row].bits() };
                take(CheckedSample { timestamp, kind, bits, number });
            } else {
                take(CheckedSample { timestamp, kind: Validity::Bad, bits: 0, number: 0.0 });
            }
        }
    }

    /// A neighbour as a reading.
    pub fn neighbour(&mut self, sample: &Sample) -> Result<CheckedSample, KpiError> {
        let mut reading = CheckedSample { timestamp: sample.timestamp, kind: Validity::Bad, bits: 0, number: 0.0 };
        let counts = |number: f64| number.is_finite() || (number.is_infinite() && !self.only_finite);
        if let Some(value) = sample.value.as_ref().filter(|value| value.as_f64().is_none_or(counts)) {
            reading.kind = Validity::of(sample.quality, self.uncertain_as_bad);
            if reading.kind.is_usable() {
                (reading.bits, reading.number) = (self.bits(value)?, value.as_f64().unwrap_or(0.0));
            }
        }
        Ok(reading)
    }

    /// The last usable sample before the window.
    pub fn usable_before(&mut self, scope: &Scope) -> Result<Option<CheckedSample>, KpiError> {
        for sample in [&scope.before, &scope.usable_before].into_iter().flatten() {
            let reading = self.neighbour(sample)?;
            if reading.kind.is_usable() {
                return Ok(Some(reading));
            }
        }
        Ok(None)
    }

    /// The bits by which a value is told from others.
    pub fn bits(&mut self, value: &Value) -> Result<u64, KpiError> {
        match value {
            Value::String(text) => self.text(text),
            number if number.as_f64() == Some(0.0) => Ok(0),
            number => Ok(Scalar::of(number).map_or(0, |scalar| scalar.bits)),
        }
    }

    /// The value that has these bits.
    pub fn value(&self, bits: u64) -> Value {
        match &self.texts {
            Some(texts) => {
                let text = texts.iter().find(|(_, number)| **number == bits).map_or("", |(text, _)| text);
                Value::String(text.to_owned())
            }
            None => Scalar { value_type: self.value_type, bits }.value(),
        }
    }

    fn text(&mut self, text: &str) -> Result<u64, KpiError> {
        let Some(texts) = &mut self.texts else { return Ok(0) };
        if let Some(number) = texts.get(text) {
            return Ok(*number);
        }
        if texts.len() >= STATES_MAX {
            return Err(KpiError::States(STATES_MAX));
        }
        let number = texts.len() as u64;
        texts.insert(text.to_owned(), number);
        Ok(number)
    }
}

/// Adds up how long each kind holds within a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// Present kind, and since when.
    kind: Validity,
    since: i64,
    until: i64,
    coverage: Coverage,
}

impl Hold {
    /// At the start of the window, with what holds there.
    pub fn new(scope: &Scope, kind: Validity) -> Hold {
        let window = scope.window;
        let until = scope.known_until.clamp(window.start, window.end);
        let coverage = Coverage {
            window_ns: window.duration_ns(),
            good_ns: 0,
            uncertain_ns: 0,
            bad_ns: 0,
            // What is not known yet.
            unknown_ns: window.end.abs_diff(until),
        };
        Hold { kind, since: window.start, until, coverage }
    }

    /// From `at` on `kind` holds. Gives the ns for which the kind before did.
    pub fn change(&mut self, at: i64, kind: Validity) -> u64 {
        let at = at.clamp(self.since, self.until);
        let held = at.abs_diff(self.since);
        match self.kind {
            Validity::Unknown => self.coverage.unknown_ns += held,
            Validity::Bad => self.coverage.bad_ns += held,
            Validity::Uncertain => self.coverage.uncertain_ns += held,
            Validity::Good => self.coverage.good_ns += held,
        }
        (self.since, self.kind) = (at, kind);
        held
    }

    /// End of what is known of the window.
    pub fn until(&self) -> i64 {
        self.until
    }

    /// Ends the window. Gives the ns for which the last kind held, and all.
    pub fn finish(mut self) -> (u64, Coverage) {
        let held = self.change(self.until, Validity::Unknown);
        (held, self.coverage)
    }
}
