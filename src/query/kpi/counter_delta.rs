//! How far a counter went: produced pieces, meter readings, running hours.

use std::{ops::Range, str::FromStr};

use historian_format::{Samples, ValueType};

use super::{
    Coverage, KpiError, Scope,
    feed::{Feed, Hold, Kind, Reading},
};

/// What a counter that fell without rolling over has counted since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResetPolicy {
    /// It began again at 0: its new value counts.
    #[default]
    FromZero,
    /// Nothing is known: counting goes on from its new value.
    Skip,
}

impl FromStr for ResetPolicy {
    type Err = KpiError;

    fn from_str(text: &str) -> Result<ResetPolicy, KpiError> {
        match text {
            "from_zero" => Ok(ResetPolicy::FromZero),
            "skip" => Ok(ResetPolicy::Skip),
            _ => Err(KpiError::ResetPolicy(text.chars().take(40).collect())),
        }
    }
}

/// What a counter counted.
#[derive(Clone, Debug, PartialEq)]
pub struct CounterSum {
    /// The sum of all steps; `None` when there is no usable sample in the window.
    pub delta: Option<f64>,
    /// The same without rounding, for tags of type i64 and u64 with a whole rollover.
    pub exact: Option<i128>,
    /// The reading from which the first step is counted: that of the last usable sample before the window. `None` when there was none; the
    /// first sample in the window is taken then and counts nothing.
    pub baseline: Option<f64>,
    /// Reading of the last usable sample in the window.
    pub reading: Option<f64>,
    /// Times the counter rolled over.
    pub rollovers: u64,
    /// Times it was reset.
    pub resets: u64,
    /// Usable samples in the window.
    pub samples: u64,
    /// Data quality; its `window_ns` is the denominator of a rate.
    pub coverage: Coverage,
}

/// Adds up the steps of a counter.
///
/// A step belongs to the window in which its later sample lies, so the sums of the parts of a window add up. A fall is a rollover when the
/// rollover is known and the step `rollover - previous + next` is not more than half of it, and otherwise a reset. Samples that are not usable
/// are ignored.
#[derive(Debug)]
pub struct CounterDelta {
    feed: Feed,
    hold: Hold,
    steps: Steps,
}

#[derive(Clone, Copy, Debug)]
struct Steps {
    value_type: ValueType,
    rollover: Option<f64>,
    /// Whole, for integer tags.
    rollover_exact: Option<i128>,
    policy: ResetPolicy,
    previous: Option<Reading>,
    baseline: Option<f64>,
    sum: f64,
    low: f64,
    exact: Option<i128>,
    rollovers: u64,
    resets: u64,
    samples: u64,
}

impl CounterDelta {
    /// Nothing fed yet. `rollover` is the reading at which the counter stands at 0 again: 65536 for 16 bits, 1000000 for six digits.
    ///
    /// # Errors
    /// For tags that are not numbers, a rollover that is not above 0, and neighbours of another type or inside the window.
    pub fn new(scope: &Scope, rollover: Option<f64>, policy: ResetPolicy) -> Result<CounterDelta, KpiError> {
        if !matches!(scope.value_type, ValueType::F64 | ValueType::F32 | ValueType::I64 | ValueType::U64) {
            let allowed = "f64, f32, i64 or u64";
            return Err(KpiError::NotNumeric { primitive: "counter delta", allowed, found: scope.value_type });
        }
        if let Some(rollover) = rollover.filter(|rollover| !(rollover.is_finite() && *rollover > 0.0)) {
            return Err(KpiError::Rollover(rollover));
        }
        let mut feed = Feed::new(scope, scope.window.start, scope.window.end, false)?;
        let previous = feed.usable_before(scope)?;
        let before = scope.before.as_ref().map(|before| feed.neighbour(before)).transpose()?;
        let is_whole = matches!(scope.value_type, ValueType::I64 | ValueType::U64);
        let whole_rollover = rollover.is_none_or(|rollover| rollover.fract() == 0.0 && rollover < 1e30);
        let steps = Steps {
            value_type: scope.value_type,
            rollover,
            rollover_exact: rollover.filter(|_| whole_rollover).map(|rollover| rollover as i128),
            policy,
            previous,
            baseline: previous.map(|previous| previous.number),
            sum: 0.0,
            low: 0.0,
            exact: (is_whole && whole_rollover).then_some(0),
            rollovers: 0,
            resets: 0,
            samples: 0,
        };
        Ok(CounterDelta { feed, hold: Hold::new(scope, before.map_or(Kind::Unknown, |before| before.kind)), steps })
    }

    /// Takes rows that follow all before; those outside the window are passed over.
    ///
    /// # Errors
    /// When type, order or rows are not as said.
    pub fn push(&mut self, samples: &Samples, rows: Range<usize>) -> Result<(), KpiError> {
        let CounterDelta { feed, hold, steps } = self;
        feed.each(samples, rows, |reading| {
            hold.change(reading.timestamp, reading.kind);
            if reading.kind.is_usable() && reading.timestamp < hold.until() {
                steps.take(reading);
            }
        })
    }

    /// The sum.
    pub fn finish(self) -> CounterSum {
        let Steps { previous, baseline, sum, low, exact, rollovers, resets, samples, .. } = self.steps;
        let any = samples > 0;
        CounterSum {
            delta: any.then(|| exact.map_or(sum + low, |exact| exact as f64)),
            exact: exact.filter(|_| any),
            baseline,
            reading: previous.filter(|_| any).map(|previous| previous.number),
            rollovers,
            resets,
            samples,
            coverage: self.hold.finish().1,
        }
    }
}

impl Steps {
    fn take(&mut self, next: Reading) {
        self.samples += 1;
        let Some(previous) = self.previous.replace(next) else { return };
        // Readings as whole numbers, where they are such and may be further apart than an f64 tells.
        if let Some(exact) = &mut self.exact {
            let whole = |reading: Reading| match self.value_type {
                ValueType::I64 => i128::from(reading.bits.cast_signed()),
                _ => i128::from(reading.bits),
            };
            let (before, after) = (whole(previous), whole(next));
            let rolled = self.rollover_exact.map(|rollover| (rollover - before + after, rollover));
            let step = if after >= before {
                after - before
            } else if let Some((step, _)) = rolled.filter(|(step, rollover)| before <= *rollover && after >= 0 && step * 2 <= *rollover) {
                self.rollovers += 1;
                step
            } else {
                self.resets += 1;
                if self.policy == ResetPolicy::FromZero { after.max(0) } else { 0 }
            };
            *exact += step;
            return;
        }
        let (before, after) = (previous.number, next.number);
        let rolled = self.rollover.map(|rollover| (rollover - before + after, rollover));
        let step = if after >= before {
            after - before
        } else if let Some((step, _)) = rolled.filter(|(step, rollover)| before <= *rollover && after >= 0.0 && step * 2.0 <= *rollover) {
            self.rollovers += 1;
            step
        } else {
            self.resets += 1;
            if self.policy == ResetPolicy::FromZero { after.max(0.0) } else { 0.0 }
        };
        (self.sum, self.low) = super::integrate::add(self.sum, self.low, step);
    }
}
