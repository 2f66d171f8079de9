//! How far a counter went: produced pieces, meter readings, running hours.

use std::ops::Range;

use historian_format::{Samples, ValueType};

use super::{
    Coverage, KpiError, Sample, Scope, Window,
    counter::{Amount, CounterRules, CounterState, CounterStep},
    feed::{CheckedSamples, Hold, Validity},
};

/// What a counter counted.
#[derive(Clone, Debug, PartialEq)]
pub struct CounterSum {
    /// The sum of all steps, 0 where nothing was read and the counter is known all the same; `None` when it is not known in the window. Below 0
    /// where noise is all that there was.
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
/// rollover is known and the step `rollover - previous + next` is not more than half of it, and otherwise a reset. Samples that are not usable,
/// and infinite ones, are ignored; so is one from which the next sample is back where the counter was (see [`CounterState`]).
#[derive(Debug)]
pub struct CounterDelta {
    feed: CheckedSamples,
    hold: Hold,
    counted: CounterState,
    baseline: Option<f64>,
    total: Total,
    reading: Option<f64>,
    samples: u64,
    /// What lies behind is not known yet.
    known_until: i64,
}

#[derive(Clone, Copy, Debug)]
struct Total {
    /// Steps outside belong to other windows.
    window: Window,
    sum: f64,
    low: f64,
    whole: i128,
    rollovers: u64,
    resets: u64,
}

impl Total {
    fn add(&mut self, at: i64, amount: Amount, step: CounterStep) {
        if at < self.window.start || at >= self.window.end {
            return;
        }
        (self.sum, self.low) = super::integrate::add(self.sum, self.low, amount.number);
        self.whole += amount.whole;
        self.rollovers += u64::from(step == CounterStep::Rollover);
        self.resets += u64::from(step == CounterStep::Reset);
    }
}

impl CounterDelta {
    /// Nothing fed yet; counting goes on from the last usable sample before the window.
    ///
    /// # Errors
    /// For tags that are not numbers, rules that make no sense, and neighbours of another type or inside the window.
    pub fn new(scope: &Scope, rules: CounterRules) -> Result<CounterDelta, KpiError> {
        if !matches!(scope.value_type, ValueType::F64 | ValueType::F32 | ValueType::I64 | ValueType::U64) {
            let allowed = "f64, f32, i64 or u64";
            return Err(KpiError::NotNumeric { primitive: "counter delta", allowed, found: scope.value_type });
        }
        let mut counted = CounterState::new(scope.value_type, rules)?;
        let mut feed = CheckedSamples::new(scope, scope.window.range(), false)?.only_finite();
        if let Some(before) = feed.usable_before(scope)? {
            counted.take(before, &mut |_, _, _| {});
        }
        let before = scope.before.as_ref().map(|before| feed.neighbour(before)).transpose()?;
        Ok(CounterDelta {
            feed,
            hold: Hold::new(scope, before.map_or(Validity::Unknown, |before| before.kind)),
            baseline: counted.last().map(|last| last.number),
            counted,
            total: Total { window: scope.window, sum: 0.0, low: 0.0, whole: 0, rollovers: 0, resets: 0 },
            reading: None,
            samples: 0,
            known_until: scope.known_until,
        })
    }

    /// Tells where the counter stands at the start of the window, where more is known than the last sample. To be told before anything is fed.
    pub fn resume(&mut self, counted: &CounterState) {
        if counted.last().is_some() {
            self.counted = counted.clone();
        }
    }

    /// Takes rows that follow all before; those outside the window are passed over.
    ///
    /// # Errors
    /// When type, order or rows are not as said.
    pub fn push(&mut self, samples: &Samples, rows: Range<usize>) -> Result<(), KpiError> {
        let CounterDelta { feed, hold, counted, total, .. } = self;
        let (reading, count) = (&mut self.reading, &mut self.samples);
        feed.each(samples, rows, |next| {
            hold.change(next.timestamp, next.kind);
            if next.kind.is_usable() && next.timestamp < hold.until() {
                *count += 1;
                *reading = Some(next.number);
                counted.take(next, &mut |at, amount, step| total.add(at, amount, step));
            }
        })
    }

    /// Whether the sum depends on the first usable sample behind the window, which [`CounterDelta::follow`] takes.
    pub fn is_in_doubt(&self) -> bool {
        self.counted.in_doubt_since().is_some_and(|since| since >= self.total.window.start)
    }

    /// Tells the first usable sample at or after the end of the window.
    ///
    /// # Errors
    /// When the sample is of another type.
    pub fn follow(&mut self, after: &Sample) -> Result<(), KpiError> {
        let after = self.feed.neighbour(after)?;
        if after.kind.is_usable() && after.timestamp < self.known_until && self.is_in_doubt() {
            let total = &mut self.total;
            self.counted.take(after, &mut |at, amount, step| total.add(at, amount, step));
        }
        Ok(())
    }

    /// The sum.
    pub fn finish(mut self) -> CounterSum {
        let total = &mut self.total;
        self.counted.settle(&mut |at, amount, step| total.add(at, amount, step));
        let Total { sum, low, whole, rollovers, resets, .. } = self.total;
        let coverage = self.hold.finish().1;
        let is_known = self.samples > 0 || (self.baseline.is_some() && coverage.usable_ns() > 0);
        let exact = (self.counted.is_exact() && is_known).then_some(whole);
        CounterSum {
            delta: is_known.then(|| exact.map_or(sum + low, |exact| exact as f64)),
            exact,
            baseline: self.baseline,
            reading: self.reading,
            rollovers,
            resets,
            samples: self.samples,
            coverage,
        }
    }
}
