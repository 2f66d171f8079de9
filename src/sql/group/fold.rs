//! Samples and states of one group become one row of partial results: what `DataFusion`'s own partial aggregates would hand on, made of fewer
//! parts. Its final aggregates take such rows from either.

use std::ops::Range;

use arrow::buffer::BooleanBuffer;
use historian_format::{
    Scalar,
    rollup::{RollupState, two_sum},
};

use historian_model::{Samples, ValueType, Values};

/// What the aggregates of a statement need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set, and spelled out where it is made")]
pub struct WantedParts {
    /// How many samples there are.
    pub rows: bool,
    /// The first and the last time.
    pub times: bool,
    /// The smallest and the largest value.
    pub extremes: bool,
    /// The sum of the values.
    pub sum: bool,
}

impl WantedParts {
    /// True when values are asked for as such.
    pub fn numbers(self) -> bool {
        self.extremes || self.sum
    }
}

/// What a state tells of the samples that count in its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateCounts {
    /// How many they are; where nobody asks, something above 0 if there are any.
    pub rows: u64,
    /// How many have a value.
    pub values: u64,
}

/// What a group has so far.
#[derive(Clone, Copy, Debug)]
pub struct Fold {
    pub rows: u64,
    pub values: u64,
    minimum: f64,
    maximum: f64,
    sum: f64,
    /// What rounding took from `sum`, so that it hardly matters which parts it was made of.
    sum_low: f64,
    pub first: i64,
    pub last: i64,
}

impl Fold {
    pub fn new() -> Fold {
        // NaN comes after all numbers.
        Fold { rows: 0, values: 0, minimum: f64::NAN, maximum: f64::NEG_INFINITY, sum: 0.0, sum_low: 0.0, first: i64::MAX, last: i64::MIN }
    }

    /// Adds a state of a later interval that tells this.
    pub fn add_state(&mut self, state: &RollupState, told: StateCounts, value_type: ValueType) {
        if told.rows == 0 {
            return;
        }
        self.rows += told.rows;
        self.first = self.first.min(state.first.timestamp);
        self.last = self.last.max(state.last.timestamp);
        if told.values == 0 {
            return;
        }
        self.values += told.values;
        let number = |(bits, _): (u64, i64)| Scalar { value_type, bits }.as_f64();
        for extreme in [state.minimum, state.maximum].into_iter().flatten().map(number) {
            self.extend(extreme);
        }
        self.add(state.sum);
        self.sum_low += state.sum_low;
    }

    /// Adds later samples, of those in `rows` the ones that count.
    pub fn add_samples(&mut self, samples: &Samples, rows: Range<usize>, counting: Option<&BooleanBuffer>, wanted: WantedParts) {
        let counts = |index: usize| counting.is_none_or(|counting| counting.value(index));
        if counting.is_none() {
            self.rows += rows.len() as u64;
            self.first = self.first.min(samples.timestamps[rows.start]);
            self.last = self.last.max(samples.timestamps[rows.end - 1]);
        } else {
            for index in rows.clone().filter(|index| counts(*index)) {
                self.rows += 1;
                self.first = self.first.min(samples.timestamps[index]);
                self.last = self.last.max(samples.timestamps[index]);
            }
        }
        if counting.is_none() && samples.validity.is_none() {
            let all = Every { rows, which: |_| true };
            return self.add_values(&samples.values, &all, wanted);
        }
        self.add_values(&samples.values, &Every { rows, which: |index| counts(index) && samples.is_valid(index) }, wanted);
    }

    fn add_values(&mut self, values: &Values, every: &Every<impl Fn(usize) -> bool>, wanted: WantedParts) {
        match values {
            Values::F64(values) => self.add_numbers(values, every, wanted, |value| value),
            Values::F32(values) => self.add_numbers(values, every, wanted, f64::from),
            Values::I64(values) => self.add_numbers(values, every, wanted, |value| value as f64),
            Values::U64(values) => self.add_numbers(values, every, wanted, |value| value as f64),
            Values::State(values) => self.add_numbers(values, every, wanted, f64::from),
            Values::Bool(values) => self.add_numbers(values, every, wanted, |value| f64::from(u8::from(value))),
            // Text is no value of a sample in SQL.
            Values::String(_) => {}
        }
    }

    /// One loop for each number, over the whole column.
    fn add_numbers<T: Copy>(
        &mut self,
        values: &[T],
        every: &Every<impl Fn(usize) -> bool>,
        wanted: WantedParts,
        widen: impl Fn(T) -> f64 + Copy,
    ) {
        let numbers = || every.rows.clone().filter(|index| (every.which)(*index)).map(|index| widen(values[index]));
        self.values += numbers().count() as u64;
        if wanted.extremes {
            numbers().for_each(|number| self.extend(number));
        }
        if wanted.sum {
            numbers().for_each(|number| self.add(number));
        }
    }

    /// Sum of the values.
    pub fn sum(&self) -> f64 {
        self.sum + self.sum_low
    }

    /// The smallest value. Zeros are equal, so that it does not matter which one came first.
    pub fn minimum(&self) -> f64 {
        self.minimum + 0.0
    }

    /// The largest value.
    pub fn maximum(&self) -> f64 {
        self.maximum + 0.0
    }

    #[inline]
    fn add(&mut self, number: f64) {
        let (sum, low) = two_sum(self.sum, number);
        self.sum = sum;
        self.sum_low += low;
    }

    /// Widens the extremes by a number, in the order of `aggregate::mapped`: a NaN is above all numbers.
    #[inline]
    fn extend(&mut self, number: f64) {
        let is_below = number < self.minimum || self.minimum.is_nan();
        let is_above = number > self.maximum || number.is_nan();
        self.minimum = if is_below { number } else { self.minimum };
        self.maximum = if is_above { number } else { self.maximum };
    }
}

/// Rows of a range that a condition holds for.
struct Every<C> {
    rows: Range<usize>,
    which: C,
}
