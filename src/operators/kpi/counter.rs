//! What a counter counted from one reading to the next, and which readings are none.
//!
//! A reading follows another *plainly* when it is not below it, beyond noise, and not further above than a step may be. One that does not is
//! in doubt until the next one: where that follows plainly from the reading before the doubtful one, the doubtful one was an error (a register
//! that read 0 once, a spike) and is passed over. Else it stands: the counter rolled over, began again, or another one took its place.

use std::str::FromStr;

use historian_format::{Scalar, Value, ValueType};

use super::{
    KpiError,
    feed::{CheckedSample, Validity},
};

/// Of a reading: a fall by less is rounding or play, and never a counter that began again and came that far within one step.
const NOISE: f64 = 1e-4;
/// Readings before a window that are looked at, for two of which one follows plainly from the other.
const LOOK_BACK_MAX: usize = 1_024;

/// What a counter that fell without rolling over has counted since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResetPolicy {
    /// It began again at 0: its new value counts.
    #[default]
    FromZero,
    /// Nothing is known: counting goes on from its new value.
    Skip,
    /// As `FromZero`, and no fall is in doubt: for counters that may be back above their old reading by the next one.
    Always,
}

impl FromStr for ResetPolicy {
    type Err = KpiError;

    fn from_str(text: &str) -> Result<ResetPolicy, KpiError> {
        match text {
            "from_zero" => Ok(ResetPolicy::FromZero),
            "skip" => Ok(ResetPolicy::Skip),
            "always" => Ok(ResetPolicy::Always),
            _ => Err(KpiError::ResetPolicy(text.chars().take(40).collect())),
        }
    }
}

/// How the readings of a counter are judged.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct CounterRules {
    /// The reading at which the counter stands at 0 again: 65536 for 16 bits, 1000000 for six digits.
    pub rollover: Option<f64>,
    pub reset: ResetPolicy,
    /// A counter counts no more than this from one reading to the next.
    pub max_step: Option<f64>,
    /// A counter counts no more than this in a second.
    pub max_rate_per_s: Option<f64>,
    /// Falls of no more than this are noise, beside those that are noise by themselves.
    pub dead_band: f64,
}

impl CounterRules {
    /// # Errors
    /// Names the first rule that makes no sense.
    pub fn check(&self) -> Result<(), KpiError> {
        if let Some(rollover) = self.rollover.filter(|rollover| !(rollover.is_finite() && *rollover > 0.0)) {
            return Err(KpiError::Rollover(rollover));
        }
        for (parameter, found) in [("max_step", self.max_step), ("max_rate", self.max_rate_per_s)] {
            if let Some(found) = found.filter(|found| !(found.is_finite() && *found > 0.0)) {
                return Err(KpiError::CounterRule { parameter, found, allowed: "finite numbers above 0" });
            }
        }
        let found = self.dead_band;
        if !(found.is_finite() && found >= 0.0) {
            return Err(KpiError::CounterRule { parameter: "dead_band", found, allowed: "finite numbers from 0 on" });
        }
        Ok(())
    }
}

/// So much of a counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Amount {
    pub number: f64,
    /// Without rounding, where that can be told.
    pub whole: i128,
}

const NOTHING: Amount = Amount { number: 0.0, whole: 0 };

/// How a step came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CounterStep {
    Plain,
    Rollover,
    Reset,
    /// Too far: counting goes on behind it.
    Leap,
}

/// Judges steps of one tag.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Judge {
    value_type: ValueType,
    rules: CounterRules,
    /// Whether sums are told without rounding.
    exact: bool,
}

impl Judge {
    fn new(value_type: ValueType, rules: CounterRules) -> Judge {
        let whole = |rollover: f64| rollover.fract() == 0.0 && rollover < 1e30;
        let exact = matches!(value_type, ValueType::I64 | ValueType::U64) && rules.rollover.is_none_or(whole);
        Judge { value_type, rules, exact }
    }

    fn whole(&self, reading: CheckedSample) -> i128 {
        match self.value_type {
            ValueType::I64 => i128::from(reading.bits.cast_signed()),
            _ => i128::from(reading.bits),
        }
    }

    fn amount(&self, number: f64, whole: impl FnOnce() -> i128) -> Amount {
        if self.exact {
            let whole = whole();
            Amount { number: whole as f64, whole }
        } else {
            Amount { number, whole: 0 }
        }
    }

    fn apart(&self, before: CheckedSample, after: CheckedSample) -> Amount {
        self.amount(after.number - before.number, || self.whole(after) - self.whole(before))
    }

    /// Whether a counter can have come so far in the time between.
    fn is_within(&self, step: f64, before: CheckedSample, after: CheckedSample) -> bool {
        let seconds = || after.timestamp.abs_diff(before.timestamp) as f64 / 1e9;
        self.rules.max_step.is_none_or(|most| step <= most) && self.rules.max_rate_per_s.is_none_or(|most| step <= most * seconds())
    }

    /// What a step counts that needs no second look. Noise downwards counts as it is, so that what goes up and down adds up to nothing.
    fn plain(&self, before: CheckedSample, after: CheckedSample) -> Option<Amount> {
        let step = self.apart(before, after);
        let noise = self.rules.dead_band.max(before.number.abs() * NOISE);
        let plain = if step.number < 0.0 { -step.number <= noise } else { self.is_within(step.number, before, after) };
        plain.then_some(step)
    }

    /// What any other step counts where it stands.
    fn standing(&self, before: CheckedSample, after: CheckedSample) -> (Amount, CounterStep) {
        if after.number >= before.number {
            return (NOTHING, CounterStep::Leap);
        }
        if let Some(rollover) = self.rules.rollover {
            let rolled = self.amount(rollover - before.number + after.number, || rollover as i128 - self.whole(before) + self.whole(after));
            let fits = before.number <= rollover && after.number >= 0.0 && rolled.number * 2.0 <= rollover;
            if fits && self.is_within(rolled.number, before, after) {
                return (rolled, CounterStep::Rollover);
            }
        }
        let counted = match self.rules.reset {
            ResetPolicy::FromZero | ResetPolicy::Always => self.amount(after.number.max(0.0), || self.whole(after).max(0)),
            ResetPolicy::Skip => NOTHING,
        };
        let counted = if self.is_within(counted.number, before, after) { counted } else { NOTHING };
        (counted, CounterStep::Reset)
    }
}

/// Where a counter stands: the last reading that counts, and one behind it that is in doubt.
#[derive(Clone, Debug, PartialEq)]
pub struct CounterState {
    judge: Judge,
    reading: Option<CheckedSample>,
    doubtful: Option<CheckedSample>,
}

impl CounterState {
    /// Nothing read yet.
    ///
    /// # Errors
    /// For rules that make no sense.
    pub fn new(value_type: ValueType, rules: CounterRules) -> Result<CounterState, KpiError> {
        rules.check()?;
        Ok(CounterState { judge: Judge::new(value_type, rules), reading: None, doubtful: None })
    }

    pub(super) fn is_exact(&self) -> bool {
        self.judge.exact
    }

    /// The last usable reading.
    pub(super) fn last(&self) -> Option<CheckedSample> {
        self.doubtful.or(self.reading)
    }

    /// The time of the last reading, where what it counts depends on the next one.
    pub(super) fn in_doubt_since(&self) -> Option<i64> {
        self.doubtful.map(|doubtful| doubtful.timestamp)
    }

    /// Takes the next usable reading. `count` gets what is settled by it, each with the time of its later reading.
    pub(super) fn take(&mut self, next: CheckedSample, count: &mut impl FnMut(i64, Amount, CounterStep)) {
        let Some(before) = self.reading else {
            self.reading = Some(next);
            return;
        };
        if let Some(step) = self.judge.plain(before, next) {
            count(next.timestamp, step, CounterStep::Plain);
            (self.reading, self.doubtful) = (Some(next), None);
            return;
        }
        if self.doubtful.is_some() {
            self.settle(count);
            self.take(next, count);
            return;
        }
        self.doubtful = Some(next);
        if self.judge.rules.reset == ResetPolicy::Always && next.number < before.number {
            self.settle(count);
        }
    }

    /// The reading in doubt stands: nothing that follows speaks against it.
    pub(super) fn settle(&mut self, count: &mut impl FnMut(i64, Amount, CounterStep)) {
        if let (Some(before), Some(doubtful)) = (self.reading, self.doubtful.take()) {
            let (amount, step) = self.judge.standing(before, doubtful);
            count(doubtful.timestamp, amount, step);
            self.reading = Some(doubtful);
        }
    }

    /// Goes on behind later usable samples, the latest first.
    pub fn advance(&mut self, later: impl Iterator<Item = (i64, Value)>) {
        let mut found = CountedBefore::new(self);
        let mut told = false;
        for (timestamp, value) in later {
            if !found.take(timestamp, &value) {
                told = true;
                break;
            }
        }
        let from = if told { CounterState { reading: None, doubtful: None, ..*self } } else { self.clone() };
        *self = found.finish_from(from);
    }
}

/// Finds where a counter stands at a time, from its usable samples before, the latest first: the first two of which one follows plainly from
/// the other tell, whatever was before.
#[derive(Debug)]
pub struct CountedBefore {
    empty: CounterState,
    /// The latest first.
    readings: Vec<CheckedSample>,
}

impl CountedBefore {
    /// Nothing seen yet.
    pub fn new(like: &CounterState) -> CountedBefore {
        CountedBefore { empty: CounterState { reading: None, doubtful: None, ..*like }, readings: Vec::new() }
    }

    /// Takes the usable sample before those taken; false when no more are wanted.
    pub fn take(&mut self, timestamp: i64, value: &Value) -> bool {
        let Some(scalar) = Scalar::of(value) else { return true };
        let reading = CheckedSample { timestamp, kind: Validity::Good, bits: scalar.bits, number: scalar.as_f64() };
        let follows = self.readings.last().is_some_and(|next| self.empty.judge.plain(reading, *next).is_some());
        self.readings.push(reading);
        !follows
    }

    /// Whether so many were taken that looking further back is not worth it.
    pub fn is_far(&self) -> bool {
        self.readings.len() >= LOOK_BACK_MAX
    }

    /// Where the counter stands.
    pub fn finish(self) -> CounterState {
        let from = self.empty.clone();
        self.finish_from(from)
    }

    fn finish_from(self, mut counted: CounterState) -> CounterState {
        self.readings.into_iter().rev().for_each(|reading| counted.take(reading, &mut |_, _, _| {}));
        counted
    }
}
