//! What a tag's value was at given times: batches, orders and laboratory samples joined with what was measured.

use std::ops::Range;

use historian_format::{Samples, ValueType, Values};

use super::{ASOF_TIMES_MAX, KpiError, Sample};

/// Which samples a join takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Eligible {
    /// The last that is not Bad and has a value, however many Bad ones follow it.
    #[default]
    NotBad,
    /// The last that is Good and has a value.
    Good,
    /// The last, whatever it is.
    Any,
}

impl Eligible {
    /// Whether a sample counts.
    pub fn takes(self, samples: &Samples, row: usize) -> bool {
        let limit = match self {
            Eligible::Any => return true,
            Eligible::NotBad => 2,
            Eligible::Good => 1,
        };
        // NaN stands for a value that is not there; texts are never asked, for that would copy them.
        let is_nan = || match &samples.values {
            Values::F64(values) => values[row].is_nan(),
            Values::F32(values) => values[row].is_nan(),
            _ => false,
        };
        samples.qualities[row] >> 30 < limit && samples.is_valid(row) && !is_nan()
    }
}

/// A sample joined to a time.
#[derive(Clone, Debug, PartialEq)]
pub struct AsOfSample {
    /// The sample, at or before the time asked.
    pub sample: Sample,
    /// How much older it is than the time asked.
    pub age_ns: u64,
}

/// Joins times with the last sample at or before each.
#[derive(Debug)]
pub struct AsOf {
    value_type: ValueType,
    eligible: Eligible,
    tolerance_ns: u64,
    /// Times, ascending, with their places in the request.
    times: Vec<(i64, u32)>,
    next: usize,
    last: Option<Sample>,
    seen: Option<i64>,
    joined: Vec<Option<AsOfSample>>,
}

impl AsOf {
    /// A join of `times`, in any order and also repeated. A sample older than `tolerance_ns` is not joined; `None` takes any age.
    ///
    /// # Errors
    /// [`KpiError::Times`] when there are none or too many.
    pub fn new(value_type: ValueType, times: &[i64], tolerance_ns: Option<u64>, eligible: Eligible) -> Result<AsOf, KpiError> {
        if times.is_empty() || times.len() > ASOF_TIMES_MAX {
            return Err(KpiError::Times(times.len()));
        }
        let mut sorted: Vec<(i64, u32)> = times.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        let joined = vec![None; times.len()];
        let tolerance_ns = tolerance_ns.unwrap_or(u64::MAX);
        Ok(AsOf { value_type, eligible, tolerance_ns, times: sorted, next: 0, last: None, seen: None, joined })
    }

    /// Samples from this time on can be joined, up to [`AsOf::read_to`], inclusive. Without a tolerance the caller
    /// looks for one eligible sample at or before the earliest time and pushes that one first.
    pub fn read_from(&self) -> i64 {
        self.times[0].0.saturating_sub_unsigned(self.tolerance_ns)
    }

    /// The latest time.
    pub fn read_to(&self) -> i64 {
        self.times[self.times.len() - 1].0
    }

    /// The earliest time that waits for more samples. What lies before it need not be pushed, but for the one sample that holds there.
    pub fn next_time(&self) -> Option<i64> {
        self.times.get(self.next).map(|(time, _)| *time)
    }

    /// Timestamp of the last sample that was pushed.
    pub fn pushed_to(&self) -> Option<i64> {
        self.seen
    }

    /// Takes rows that follow all before.
    ///
    /// # Errors
    /// When type, order or rows are not as said.
    pub fn push(&mut self, samples: &Samples, rows: Range<usize>) -> Result<(), KpiError> {
        if samples.value_type() != self.value_type {
            return Err(KpiError::ValueType { parameter: "a run of samples", expected: self.value_type, found: samples.value_type() });
        }
        if rows.start > rows.end || rows.end > samples.len() {
            return Err(KpiError::Rows { start: rows.start, end: rows.end, len: samples.len() });
        }
        let timestamps = &samples.timestamps[rows.clone()];
        let Some((first, last)) = timestamps.first().zip(timestamps.last()) else { return Ok(()) };
        let before = self.seen.filter(|seen| seen >= first).map(|seen| (*first, seen));
        let within = timestamps.windows(2).find(|pair| pair[0] >= pair[1]).map(|pair| (pair[1], pair[0]));
        if let Some((timestamp, last)) = before.or(within) {
            return Err(KpiError::Order { timestamp, last });
        }
        self.seen = Some(*last);
        let rows: Vec<usize> = match self.eligible {
            Eligible::Any => rows.collect(),
            eligible => rows.filter(|row| eligible.takes(samples, *row)).collect(),
        };
        // Times before the last sample are settled now; for the others a later one may come.
        while let Some((time, place)) = self.times.get(self.next).copied().filter(|(time, _)| time < last) {
            let upto = rows.partition_point(|row| samples.timestamps[*row] <= time);
            let found = upto.checked_sub(1).map(|index| samples.sample(rows[index]));
            self.joined[place as usize] = found.as_ref().or(self.last.as_ref()).and_then(|sample| self.join(sample, time));
            self.next += 1;
        }
        if let Some(row) = rows.last() {
            self.last = Some(samples.sample(*row));
        }
        Ok(())
    }

    /// For each time, in the order of the request, the sample joined to it, if there is one.
    pub fn finish(mut self) -> Vec<Option<AsOfSample>> {
        while let Some((time, place)) = self.times.get(self.next).copied() {
            self.joined[place as usize] = self.last.as_ref().and_then(|sample| self.join(sample, time));
            self.next += 1;
        }
        self.joined
    }

    fn join(&self, sample: &Sample, time: i64) -> Option<AsOfSample> {
        let age_ns = time.abs_diff(sample.timestamp);
        let joined = || AsOfSample { sample: sample.clone(), age_ns };
        (sample.timestamp <= time && age_ns <= self.tolerance_ns).then(joined)
    }
}
