//! From a rate to an amount: t/h to t, kW to kWh.

use std::{ops::Range, str::FromStr};

use historian_format::{Samples, ValueType};

use super::{
    Coverage, KpiError, Sample, Scope,
    feed::{CheckedSample, CheckedSamples, Hold, Validity},
};

/// The time in the unit of a rate: a tag in m³/h is integrated per hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    Second,
    Minute,
    Hour,
    Day,
}

impl TimeUnit {
    /// Its length.
    pub const fn duration_ns(self) -> u64 {
        let seconds = match self {
            TimeUnit::Second => 1,
            TimeUnit::Minute => 60,
            TimeUnit::Hour => 3_600,
            TimeUnit::Day => 86_400,
        };
        seconds * 1_000_000_000
    }
}

impl FromStr for TimeUnit {
    type Err = KpiError;

    fn from_str(text: &str) -> Result<TimeUnit, KpiError> {
        match text {
            "second" => Ok(TimeUnit::Second),
            "minute" => Ok(TimeUnit::Minute),
            "hour" => Ok(TimeUnit::Hour),
            "day" => Ok(TimeUnit::Day),
            _ => Err(KpiError::TimeUnit(text.chars().take(40).collect())),
        }
    }
}

/// An amount.
#[derive(Clone, Debug, PartialEq)]
pub struct Integral {
    /// The integral of the value over the time in which it was usable, in units × time unit; `None` when it never was.
    pub amount: Option<f64>,
    /// That time.
    pub covered_ns: u64,
    /// The time unit.
    pub unit: TimeUnit,
    /// Data quality.
    pub coverage: Coverage,
}

impl Integral {
    /// The amount of the whole window, if the value was on average elsewhere what it was where it is known: the amount divided by the part of
    /// the window that is covered. Only for who asks for it; it makes up what was not measured.
    pub fn rescaled(&self) -> Option<f64> {
        self.amount.map(|amount| amount * (self.coverage.window_ns as f64 / self.covered_ns as f64))
    }

    /// The mean over the time covered.
    pub fn time_average(&self) -> Option<f64> {
        self.amount.map(|amount| amount * (self.unit.duration_ns() as f64 / self.covered_ns as f64))
    }
}

/// Integrates a rate over time.
///
/// Between usable samples the value goes in a straight line, or holds until the next sample when the tag is stepped. A usable value holds until
/// a Bad sample; from there to the next usable sample nothing is added, nor is its time. After the last sample the value holds. At the edges of
/// the window lines are cut.
#[derive(Debug)]
pub struct Integrate {
    feed: CheckedSamples,
    hold: Hold,
    unit: TimeUnit,
    start: i64,
    area: RunningIntegral,
    after: Option<CheckedSample>,
}

#[derive(Clone, Copy, Debug)]
struct RunningIntegral {
    stepped: bool,
    previous: Option<CheckedSample>,
    start: i64,
    end: i64,
    until: i64,
    sum: f64,
    low: f64,
}

impl Integrate {
    /// Nothing fed yet.
    ///
    /// # Errors
    /// For text, and neighbours of another type or inside the window.
    pub fn new(scope: &Scope, unit: TimeUnit, stepped: bool) -> Result<Integrate, KpiError> {
        if scope.value_type == ValueType::String {
            return Err(KpiError::NotNumeric { primitive: "integrate", allowed: "number, bool or state", found: scope.value_type });
        }
        let mut feed = CheckedSamples::new(scope, scope.window.range(), false)?.only_finite();
        let previous = scope.before.as_ref().map(|before| feed.neighbour(before)).transpose()?;
        let after = scope.after.as_ref().map(|after| feed.neighbour(after)).transpose()?;
        let hold = Hold::new(scope, previous.map_or(Validity::Unknown, |before| before.kind));
        let area = RunningIntegral {
            stepped,
            previous,
            start: scope.window.start,
            end: scope.window.end,
            until: hold.until(),
            sum: 0.0,
            low: 0.0,
        };
        Ok(Integrate { feed, hold, unit, start: scope.window.start, area, after })
    }

    /// Takes rows that follow all before; those outside the window are passed over.
    ///
    /// # Errors
    /// When type, order or rows are not as said.
    pub fn push(&mut self, samples: &Samples, rows: Range<usize>) -> Result<(), KpiError> {
        let Integrate { feed, hold, area, .. } = self;
        feed.each(samples, rows, |reading| {
            hold.change(reading.timestamp, reading.kind);
            area.take(reading);
        })
    }

    /// Tells what [`Scope::after`] tells, for who reads the tag on and comes to know it later. To be told before `finish`.
    ///
    /// # Errors
    /// When the sample is of another type or not after the window.
    pub fn follow(&mut self, after: &Sample) -> Result<(), KpiError> {
        if after.timestamp < self.area.end {
            return Err(KpiError::Neighbour { neighbour: "after", timestamp: after.timestamp });
        }
        self.after = Some(self.feed.neighbour(after)?);
        Ok(())
    }

    /// The amount.
    pub fn finish(mut self) -> Integral {
        match self.after {
            Some(after) => self.area.take(after),
            // Nothing follows: what holds at the end does so to the end.
            None => {
                self.area.take(CheckedSample { timestamp: self.area.until.max(self.start), kind: Validity::Unknown, bits: 0, number: 0.0 });
            }
        }
        let coverage = self.hold.finish().1;
        let covered_ns = coverage.usable_ns();
        let amount = (covered_ns > 0).then(|| (self.area.sum + self.area.low) / self.unit.duration_ns() as f64);
        Integral { amount, covered_ns, unit: self.unit, coverage }
    }
}

impl RunningIntegral {
    /// Adds what lies between the reading before and this one, in units × ns.
    fn take(&mut self, next: CheckedSample) {
        let Some(from) = self.previous.replace(next).filter(|from| from.kind.is_usable()) else { return };
        let (left, right) = (from.timestamp.max(self.start), next.timestamp.min(self.until));
        if left >= right {
            return;
        }
        let width = right.abs_diff(left) as f64;
        let height = if self.stepped || !next.kind.is_usable() {
            from.number
        } else {
            // The middle of the part of the line that is inside.
            let span = next.timestamp.abs_diff(from.timestamp) as f64;
            let middle = left.abs_diff(from.timestamp) as f64 + width / 2.0;
            from.number + (next.number - from.number) * (middle / span)
        };
        (self.sum, self.low) = add(self.sum, self.low, height * width);
    }
}

/// A sum and what rounding took from it (Neumaier), and one more number.
pub(super) fn add(sum: f64, low: f64, more: f64) -> (f64, f64) {
    let total = sum + more;
    let lost = if sum.abs() >= more.abs() { (sum - total) + more } else { (more - total) + sum };
    (total, low + if lost.is_nan() { 0.0 } else { lost })
}
