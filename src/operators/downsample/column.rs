//! The loops over columns: what a run of rows adds to a summary, and to the sums of LTTB.

use std::ops::Range;

use historian_format::Samples;

use super::{
    breaks,
    summary::{Drawn, IntervalSummary, LineBreak},
};

/// Values compared at once, so that the compiler makes vectors of them.
const LANES: usize = 8;

/// A number of a column.
pub(crate) trait ColumnNumber: Copy + PartialOrd {
    /// As [`historian_format::Scalar`] has it.
    fn bits(self) -> u64;
    /// The nearest f64.
    fn number(self) -> f64;
    /// True for NaN.
    fn is_nan(self) -> bool {
        false
    }
}

macro_rules! number {
    ($type:ty, $value:ident => $bits:expr, $number:expr $(, $nan:expr)?) => {
        impl ColumnNumber for $type {
            fn bits(self) -> u64 {
                let $value = self;
                $bits
            }
            fn number(self) -> f64 {
                let $value = self;
                $number
            }
            $(fn is_nan(self) -> bool {
                let $value = self;
                $nan
            })?
        }
    };
}

number!(f64, value => value.to_bits(), value, value.is_nan());
number!(f32, value => u64::from(value.to_bits()), f64::from(value), value.is_nan());
number!(i64, value => value.cast_unsigned(), value as f64);
number!(u64, value => value, value as f64);
number!(u32, value => u64::from(value), f64::from(value));
number!(bool, value => u64::from(value), f64::from(u8::from(value)));

/// Runs one expression over the numbers of whatever column a run has; text has none, and gives `()`.
macro_rules! numbers {
    ($samples:expr, $column:ident => $body:expr) => {
        match &$samples.values {
            historian_format::Values::F64($column) => $body,
            historian_format::Values::F32($column) => $body,
            historian_format::Values::I64($column) => $body,
            historian_format::Values::U64($column) => $body,
            historian_format::Values::Bool($column) => $body,
            historian_format::Values::State($column) => $body,
            historian_format::Values::String(_) => {}
        }
    };
}
pub(crate) use numbers;

/// True when every row is drawn.
pub(super) fn all_drawn<T: ColumnNumber>(column: &[T], samples: &Samples, rows: &Range<usize>) -> bool {
    samples.validity.is_none()
        && !breaks(samples.qualities[rows.clone()].iter().fold(0, |all, quality| all | quality))
        && !column[rows.clone()].iter().fold(false, |any, value| any | value.is_nan())
}

/// True when the row is drawn.
pub(crate) fn is_drawn<T: ColumnNumber>(column: &[T], samples: &Samples, row: usize) -> bool {
    !breaks(samples.qualities[row]) && samples.is_valid(row) && !column[row].is_nan()
}

/// Adds rows, at least one and all of one interval, to its summary. `open` tells whether a run of breaking samples goes on, in and out.
pub(super) fn add<T: ColumnNumber>(column: &[T], samples: &Samples, rows: Range<usize>, summary: &mut IntervalSummary, open: &mut bool) {
    let value_type = samples.value_type();
    let sample = |row: usize| Drawn { timestamp: samples.timestamps[row], bits: column[row].bits(), quality: samples.qualities[row] };
    if all_drawn(column, samples, &rows) {
        let (low, high) = extremes(&column[rows.clone()]);
        let next = IntervalSummary {
            count: rows.len() as u64,
            first: Some(sample(rows.start)),
            last: Some(sample(rows.end - 1)),
            minimum: Some(sample(rows.start + low)),
            maximum: Some(sample(rows.start + high)),
            first_break: None,
            last_break: None,
        };
        summary.merge(&next, value_type);
        *open = false;
        return;
    }
    for row in rows {
        if is_drawn(column, samples, row) {
            let drawn = Some(sample(row));
            let next =
                IntervalSummary { count: 1, first: drawn, last: drawn, minimum: drawn, maximum: drawn, ..IntervalSummary::default() };
            summary.merge(&next, value_type);
            *open = false;
        } else {
            summary.count += 1;
            if !*open {
                summary.start_break(LineBreak { timestamp: samples.timestamps[row], quality: samples.qualities[row] });
            }
            *open = true;
        }
    }
}

/// Index of the first smallest and of the first largest of at least one value, none of them NaN.
fn extremes<T: ColumnNumber>(column: &[T]) -> (usize, usize) {
    let (mut low, mut high) = ([column[0]; LANES], [column[0]; LANES]);
    let (groups, rest) = column.as_chunks::<LANES>();
    for group in groups {
        for lane in 0..LANES {
            low[lane] = if group[lane] < low[lane] { group[lane] } else { low[lane] };
            high[lane] = if group[lane] > high[lane] { group[lane] } else { high[lane] };
        }
    }
    let smallest = low.iter().chain(rest).fold(column[0], |a, b| if *b < a { *b } else { a });
    let largest = high.iter().chain(rest).fold(column[0], |a, b| if *b > a { *b } else { a });
    // By value and not by bits: -0 and +0 are equal, and the earlier stands for both.
    let first = |wanted: T| column.iter().position(|value| *value == wanted).unwrap_or(0);
    (first(smallest), first(largest))
}

/// Sums of the drawn samples of a bucket, for its average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub count: u64,
    /// Of the times since the start of the bucket in which the sample was added, ns.
    pub time: f64,
    pub value: f64,
}

impl Sums {
    /// Adds the drawn ones of the rows, with times since `origin`.
    pub fn add<T: ColumnNumber>(&mut self, column: &[T], samples: &Samples, rows: Range<usize>, origin: i64) {
        if all_drawn(column, samples, &rows) {
            self.count += rows.len() as u64;
            for (value, timestamp) in column[rows.clone()].iter().zip(&samples.timestamps[rows]) {
                self.time += offset(*timestamp, origin);
                self.value += value.number();
            }
            return;
        }
        for row in rows {
            if is_drawn(column, samples, row) {
                self.count += 1;
                self.time += offset(samples.timestamps[row], origin);
                self.value += column[row].number();
            }
        }
    }
}

/// Time since `origin`, which is not later, in ns.
pub(super) fn offset(timestamp: i64, origin: i64) -> f64 {
    timestamp.abs_diff(origin) as f64
}

/// The first row of `rows` at or after `edge`. The next edge is near when intervals are short and far when they are long: steps that double,
/// then halves.
pub(super) fn rows_before(timestamps: &[i64], rows: &Range<usize>, edge: i64) -> usize {
    let (mut from, mut step) = (rows.start, 1);
    while from + step < rows.end && timestamps[from + step] < edge {
        from += step;
        step *= 2;
    }
    let to = (from + step).min(rows.end);
    from + timestamps[from..to].partition_point(|timestamp| *timestamp < edge)
}
