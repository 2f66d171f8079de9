//! One tag's run of samples, as three columns.

use std::ops::Range;

use crate::{Bitmap, PushError, Value, ValueType, Values};

/// True when an OPC UA status code is Good (top two bits 00).
#[must_use]
pub const fn is_good(quality: u32) -> bool {
    quality >> 30 == 0
}

/// One sample of a tag by itself. Many samples are [`Samples`].
///
/// Equality is bitwise for floats, as that of [`Value`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Source time, ns since 1970, UTC.
    pub timestamp: i64,
    /// `None` for a null.
    pub value: Option<Value>,
    /// OPC UA `StatusCode`.
    pub quality: u32,
}

/// A run of samples of one tag: timestamps (ns since 1970, UTC), values and qualities, row by row.
///
/// `validity` of `None` means that every value is present; otherwise a false bit marks a null,
/// whose slot in `values` holds the type's default. All columns have the same length. The fields
/// are public so that columns can be built and moved whole; the methods keep them aligned.
///
/// Equality is by meaning: floats bit for bit, slots of nulls ignored, and a validity without a
/// false bit equals none.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Source timestamps in ns since 1970, UTC; any order, unless a function asks for more.
    pub timestamps: Vec<i64>,
    /// Values; a null's slot holds the default.
    pub values: Values,
    /// Which values are present; `None` when all are.
    pub validity: Option<Bitmap>,
    /// OPC UA status codes.
    pub qualities: Vec<u32>,
}

impl Samples {
    /// An empty run.
    #[must_use]
    pub fn new(value_type: ValueType) -> Self {
        Self::with_capacity(value_type, 0)
    }

    /// An empty run with room for `capacity` samples.
    #[must_use]
    pub fn with_capacity(value_type: ValueType, capacity: usize) -> Self {
        Self {
            timestamps: Vec::with_capacity(capacity),
            values: Values::with_capacity(value_type, capacity),
            validity: None,
            qualities: Vec::with_capacity(capacity),
        }
    }

    /// The type of the values.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        self.values.value_type()
    }

    /// Number of samples.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// True when there is no sample.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Appends one sample; `None` is a null value.
    ///
    /// # Errors
    /// [`PushError`] when the value's type differs or a string column is full; then nothing is appended.
    pub fn push(&mut self, timestamp: i64, value: Option<&Value>, quality: u32) -> Result<(), PushError> {
        if let Some(value) = value {
            self.values.push_value(value)?;
            if let Some(validity) = &mut self.validity {
                validity.push(true);
            }
        } else {
            self.values.push_default();
            let before = self.timestamps.len();
            self.validity.get_or_insert_with(|| all_true(before)).push(false);
        }
        self.timestamps.push(timestamp);
        self.qualities.push(quality);
        Ok(())
    }

    /// Appends every sample of `other`.
    ///
    /// # Errors
    /// [`PushError`] when the value type differs or a string column is full; then nothing is appended.
    pub fn append(&mut self, other: &Self) -> Result<(), PushError> {
        self.extend_range(other, 0..other.len())
    }

    /// Appends the samples of `other` in `range` (row numbers, half-open).
    ///
    /// # Errors
    /// [`PushError`] when the value type differs or a string column is full; then nothing is appended.
    ///
    /// # Panics
    /// When `range` reaches beyond `other`, as slices do.
    pub fn extend_range(&mut self, other: &Self, range: Range<usize>) -> Result<(), PushError> {
        self.values.extend_from(&other.values, range.clone())?;
        let before = self.timestamps.len();
        match (&mut self.validity, &other.validity) {
            (Some(validity), Some(other)) => validity.extend_from(other, range.clone()),
            (Some(validity), None) => validity.extend_true(range.len()),
            (None, Some(other)) => self.validity.insert(all_true(before)).extend_from(other, range.clone()),
            (None, None) => {}
        }
        self.timestamps.extend_from_slice(&other.timestamps[range.clone()]);
        self.qualities.extend_from_slice(&other.qualities[range]);
        Ok(())
    }

    /// True when the value at `index` is present.
    #[must_use]
    pub fn is_valid(&self, index: usize) -> bool {
        self.validity.as_ref().is_none_or(|validity| validity.get(index))
    }

    /// The value at `index`; `None` when it is null.
    ///
    /// # Panics
    /// When `index` is not below `len()`, as slices do.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<Value> {
        self.is_valid(index).then(|| self.values.get(index))
    }

    /// The sample at `index`.
    ///
    /// # Panics
    /// When `index` is not below `len()`, as slices do.
    #[must_use]
    pub fn sample(&self, index: usize) -> Sample {
        Sample { timestamp: self.timestamps[index], value: self.value(index), quality: self.qualities[index] }
    }

    /// Number of null values.
    #[must_use]
    pub fn null_count(&self) -> usize {
        self.validity.as_ref().map_or(0, |validity| validity.len() - validity.count_ones())
    }

    /// True when every timestamp is greater than the one before it.
    #[must_use]
    pub fn is_sorted_strictly(&self) -> bool {
        is_strictly_increasing(&self.timestamps)
    }

    /// Sorts by timestamp; of samples with the same timestamp the one pushed last stays.
    ///
    /// Does nothing, at the price of one look at the timestamps, when they increase strictly already.
    pub fn sort_and_dedup(&mut self) {
        if self.is_sorted_strictly() {
            return;
        }
        let Ok(count) = u32::try_from(self.len()) else {
            // More than 4 G samples of one tag in memory: 80 GB. Not reached by any bounded caller.
            return;
        };
        let timestamps = &self.timestamps;
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_by_key(|index| timestamps[*index as usize]);
        let mut kept: Vec<u32> = Vec::with_capacity(order.len());
        for index in order {
            match kept.last_mut() {
                Some(last) if timestamps[*last as usize] == timestamps[index as usize] => *last = index,
                _ => kept.push(index),
            }
        }
        *self = self.take(&kept);
    }

    /// The samples at `indices`, in that order.
    ///
    /// # Panics
    /// When an index is not below `len()`, as slices do.
    #[must_use]
    pub fn take(&self, indices: &[u32]) -> Self {
        let pick = |index: &u32| *index as usize;
        Self {
            timestamps: indices.iter().map(|index| self.timestamps[pick(index)]).collect(),
            values: self.values.take(indices),
            validity: self.validity.as_ref().map(|validity| indices.iter().map(|i| validity.get(pick(i))).collect()),
            qualities: indices.iter().map(|index| self.qualities[pick(index)]).collect(),
        }
    }

    /// Rows whose timestamp lies in `[start, end)`. The run must be sorted by timestamp.
    #[must_use]
    pub fn slice_time_range(&self, start: i64, end: i64) -> Range<usize> {
        let from = self.timestamps.partition_point(|timestamp| *timestamp < start);
        let to = self.timestamps.partition_point(|timestamp| *timestamp < end);
        from..to.max(from)
    }

    /// Removes every sample and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
        self.validity = None;
    }

    /// Keeps the first `len` samples; does nothing when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        self.timestamps.truncate(len);
        self.values.truncate(len);
        self.qualities.truncate(len);
        if let Some(validity) = &mut self.validity {
            validity.truncate(len);
        }
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.timestamps.capacity() * size_of::<i64>()
            + self.values.heap_bytes()
            + self.validity.as_ref().map_or(0, Bitmap::heap_bytes)
            + self.qualities.capacity() * size_of::<u32>()
    }
}

impl PartialEq for Samples {
    fn eq(&self, other: &Self) -> bool {
        if self.timestamps != other.timestamps || self.qualities != other.qualities {
            return false;
        }
        if self.null_count() == 0 && other.null_count() == 0 {
            return self.values == other.values;
        }
        self.value_type() == other.value_type()
            && self.values.len() == other.values.len()
            && (0..self.values.len()).all(|index| self.value(index) == other.value(index))
    }
}

impl Eq for Samples {}

/// True when every timestamp is greater than the one before it.
pub(crate) fn is_strictly_increasing(timestamps: &[i64]) -> bool {
    /// Of a step that is usual: up to 19 hours.
    const STEP_BITS: u32 = 46;
    let later = timestamps.get(1..).unwrap_or_default();
    // The usual run: steps from 1 on, so small that their sum cannot wrap around but once, which would show
    // at its end. One look at all of them, without a comparison.
    let steps = timestamps.iter().zip(later).fold(0, |all, (a, b)| all | b.wrapping_sub(*a).wrapping_sub(1).cast_unsigned());
    if steps >> STEP_BITS == 0 && timestamps.len() <= 1 << (62 - STEP_BITS) {
        return timestamps.first() < timestamps.last() || later.is_empty();
    }
    // The sign bit is set where a < b (Hacker's Delight 2-12): 64-bit SIMD has no comparison in a
    // portable build. Blocks have no early exit inside, so that several timestamps run at a time.
    let less = |a: i64, b: i64| (a & !b) | (!(a ^ b) & a.wrapping_sub(b));
    timestamps
        .chunks(256)
        .zip(later.chunks(256))
        .all(|(before, after)| before.iter().zip(after).fold(-1, |rising, (a, b)| rising & less(*a, *b)) < 0)
}

fn all_true(count: usize) -> Bitmap {
    let mut bitmap = Bitmap::with_capacity(count + 1);
    bitmap.extend_true(count);
    bitmap
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(rows: &[(i64, Option<f64>, u32)]) -> Samples {
        let mut samples = Samples::new(ValueType::F64);
        for (timestamp, value, quality) in rows {
            samples.push(*timestamp, value.map(Value::F64).as_ref(), *quality).unwrap();
        }
        samples
    }

    #[test]
    fn a_rejected_push_leaves_the_columns_aligned() {
        let mut samples = run(&[(1, Some(1.0), 0)]);
        let error = samples.push(2, Some(&Value::I64(1)), 0).unwrap_err();
        assert_eq!(error, PushError::TypeMismatch { expected: ValueType::F64, found: ValueType::I64 });
        assert!(samples.append(&Samples::new(ValueType::Bool)).is_err());
        assert_eq!(samples, run(&[(1, Some(1.0), 0)]));
    }

    #[test]
    fn equality_is_by_meaning() {
        let mut full = run(&[(1, Some(1.0), 0)]);
        full.validity = Some(all_true(1));
        assert_eq!(full, run(&[(1, Some(1.0), 0)]));
        let mut null = run(&[(1, None, 0)]);
        null.values = Values::F64(vec![7.0]);
        assert_eq!(null, run(&[(1, None, 0)]));
        assert_ne!(null, full);
        assert_ne!(run(&[(1, Some(0.0), 0)]), run(&[(1, Some(-0.0), 0)]));
    }

    #[test]
    fn time_ranges_are_half_open() {
        let samples = run(&[(10, None, 0), (20, None, 0), (30, None, 0)]);
        assert_eq!(samples.slice_time_range(10, 30), 0..2);
        assert_eq!(samples.slice_time_range(11, 31), 1..3);
        assert_eq!(samples.slice_time_range(30, 10), 2..2);
        assert_eq!(samples.slice_time_range(i64::MIN, i64::MAX), 0..3);
    }

    proptest! {
        #[test]
        fn sort_keeps_the_last_of_equal_timestamps(
            rows in proptest::collection::vec((0_i64..20, proptest::option::of(any::<f64>()), any::<u32>()), 0..60),
        ) {
            let mut model = std::collections::BTreeMap::new();
            for (timestamp, value, quality) in &rows {
                model.insert(*timestamp, (*timestamp, *value, *quality));
            }
            let mut samples = run(&rows);
            samples.sort_and_dedup();
            prop_assert!(samples.is_sorted_strictly());
            prop_assert_eq!(samples, run(&model.into_values().collect::<Vec<_>>()));
        }

        #[test]
        fn rising_is_what_comparison_says(mut timestamps in proptest::collection::vec(any::<i64>(), 0..600), sort in any::<bool>()) {
            if sort {
                timestamps.sort_unstable();
            }
            let expected = timestamps.windows(2).all(|pair| pair[0] < pair[1]);
            prop_assert_eq!(is_strictly_increasing(&timestamps), expected);
            timestamps.truncate(2);
            let expected = timestamps.windows(2).all(|pair| pair[0] < pair[1]);
            prop_assert_eq!(is_strictly_increasing(&timestamps), expected);
        }

        #[test]
        fn appending_equals_pushing(
            first in proptest::collection::vec((any::<i64>(), proptest::option::of(any::<f64>()), any::<u32>()), 0..20),
            second in proptest::collection::vec((any::<i64>(), proptest::option::of(any::<f64>()), any::<u32>()), 0..20),
            from in 0_usize..20,
        ) {
            let from = from.min(second.len());
            let mut samples = run(&first);
            samples.extend_range(&run(&second), from..second.len()).unwrap();
            let rows: Vec<_> = first.iter().chain(&second[from..]).copied().collect();
            prop_assert_eq!(samples, run(&rows));
        }
    }
}
