//! What a chunk's header tells about its samples, so that a query can skip or answer without decoding.

use crate::codec::constant;
use crate::codec::lane::Lane;
use crate::{Samples, Value, ValueType, Values, is_good};

/// One fixed-width value in 8 bytes, as the header stores it.
///
/// `bits` are, by type: f64 the IEEE bits; f32 the IEEE bits, zero-extended; i64 two's complement;
/// u64 as it is; bool 0 or 1; state the number, zero-extended. Strings have no scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scalar {
    /// The type of the tag's values.
    pub value_type: ValueType,
    /// The value's bits.
    pub bits: u64,
}

impl Scalar {
    /// The value.
    #[must_use]
    pub fn value(self) -> Value {
        match self.value_type {
            ValueType::F64 => Value::F64(f64::from_lane(self.bits)),
            ValueType::F32 => Value::F32(f32::from_lane(self.bits)),
            ValueType::I64 => Value::I64(i64::from_lane(self.bits)),
            ValueType::U64 => Value::U64(self.bits),
            ValueType::Bool => Value::Bool(bool::from_lane(self.bits)),
            ValueType::State => Value::State(u32::from_lane(self.bits)),
            // Neither `of` nor the header reader makes one.
            ValueType::String => Value::String(String::new()),
        }
    }

    /// The nearest f64; booleans are 0 and 1, states their number.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.value().as_f64().unwrap_or(f64::NAN)
    }

    /// The scalar of a value; strings have none.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        let bits = match value {
            Value::F64(value) => value.to_lane(),
            Value::F32(value) => value.to_lane(),
            Value::I64(value) => value.to_lane(),
            Value::U64(value) => *value,
            Value::Bool(value) => value.to_lane(),
            Value::State(value) => value.to_lane(),
            Value::String(_) => return None,
        };
        Some(Self { value_type: value.value_type(), bits })
    }
}

/// A smallest or largest value and the timestamp of its first occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extreme {
    /// The value.
    pub value: Scalar,
    /// Timestamp of the first sample that has it, ns since 1970, UTC.
    pub timestamp: i64,
}

/// Summary of a chunk's samples.
///
/// "Counted" below means: quality Good, value present, not NaN. Booleans count as 0 and 1, states
/// as their number; strings have no values, extremes or sum here, but are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Samples, 1 or more.
    pub count: u32,
    /// Counted samples.
    pub good_count: u32,
    /// Samples without a value.
    pub null_count: u32,
    /// Timestamp of the first sample.
    pub first_timestamp: i64,
    /// Timestamp of the last sample.
    pub last_timestamp: i64,
    /// Value of the first sample, whatever its quality; `None` when null or text.
    pub first_value: Option<Scalar>,
    /// Value of the last sample, whatever its quality; `None` when null or text.
    pub last_value: Option<Scalar>,
    /// Quality of the first sample.
    pub first_quality: u32,
    /// Quality of the last sample.
    pub last_quality: u32,
    /// Smallest counted value; `None` when nothing is counted or the values are text.
    pub minimum: Option<Extreme>,
    /// Largest counted value; `None` when nothing is counted or the values are text.
    pub maximum: Option<Extreme>,
    /// Sum of the counted values: floats added as f64 in the order of `chunk.md`; the others added exactly and rounded once; 0 when nothing is counted.
    pub sum: f64,
    /// Sum of the squared deviations of the counted values from their mean (`sum / good_count`), as
    /// `chunk.md` defines it; 0 when nothing is counted.
    pub m2: f64,
    /// Numerically largest quality, which is one of the worst severity (top two bits).
    pub worst_quality: u32,
    /// A present value, of any quality, is NaN.
    pub has_nan: bool,
}

impl Statistics {
    /// The statistics of a run whose columns have the same length, 1 or more.
    pub(crate) fn of(samples: &Samples) -> Self {
        let last = samples.len().saturating_sub(1);
        let scalar = |index: usize| samples.value(index).and_then(|value| Scalar::of(&value));
        // Nearly every chunk has one quality; seeing that costs less than looking for the worst.
        let worst_quality =
            if constant::applies(&samples.qualities) { samples.qualities[0] } else { samples.qualities.iter().copied().fold(0, u32::max) };
        let all_good = is_good(worst_quality);
        let summary = match &samples.values {
            Values::F64(values) => NumberSummary::of(values, samples, all_good),
            Values::F32(values) => NumberSummary::of(values, samples, all_good),
            Values::I64(values) => NumberSummary::of(values, samples, all_good),
            Values::U64(values) => NumberSummary::of(values, samples, all_good),
            Values::Bool(values) => NumberSummary::of(values, samples, all_good),
            Values::State(values) => NumberSummary::of(values, samples, all_good),
            Values::String(_) => NumberSummary::of_text(samples),
        };
        let extreme = |found: Option<(usize, u64)>| {
            found.map(|(index, bits)| Extreme {
                value: Scalar { value_type: samples.value_type(), bits },
                timestamp: samples.timestamps[index],
            })
        };
        Self {
            count: narrow(samples.len()),
            good_count: narrow(summary.good_count),
            null_count: narrow(samples.null_count()),
            first_timestamp: samples.timestamps[0],
            last_timestamp: samples.timestamps[last],
            first_value: scalar(0),
            last_value: scalar(last),
            first_quality: samples.qualities[0],
            last_quality: samples.qualities[last],
            minimum: extreme(summary.minimum),
            maximum: extreme(summary.maximum),
            sum: summary.sum,
            m2: summary.m2,
            worst_quality,
            has_nan: summary.has_nan,
        }
    }
}

/// Counts are bounded by `CHUNK_SAMPLES_MAX`.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Sums are kept in this many lanes, sample *i* in lane `i % 8`, and folded at the end: additions of
/// floats may not be reordered by a compiler, so the order is chosen for vector registers.
const LANES: usize = 8;

/// Adds the lanes in the order that `chunk.md` states.
fn fold(lanes: [f64; LANES]) -> f64 {
    let sum = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    // Which NaN an addition gives depends on the processor; the bytes must not.
    if sum.is_nan() { f64::NAN } else { sum }
}

/// A lane that can be compared and added.
trait StatisticsNumber: Lane + PartialOrd {
    /// The nearest f64.
    fn widen(self) -> f64;
    /// The sum of all numbers for which `counted` is true.
    fn sum(values: &[Self], counted: impl Fn(usize) -> bool) -> f64;
    #[inline(always)]
    #[expect(clippy::eq_op, reason = "only NaN differs from itself")]
    fn is_nan(self) -> bool {
        self != self
    }
}

/// The sum of what `term` makes of the counted values, in lanes.
#[inline(always)]
fn sum_in_lanes<T: Copy>(values: &[T], counted: impl Fn(usize) -> bool, term: impl Fn(T) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut index = 0;
    // A lane begins with +0 and so never becomes -0: adding +0 for what does not count changes nothing.
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] += if counted(index + lane) { term(block[lane]) } else { 0.0 };
        }
        index += LANES;
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += if counted(index) { term(*value) } else { 0.0 };
        index += 1;
    }
    fold(lanes)
}

macro_rules! float {
    ($($number:ty)+) => {$(
        impl StatisticsNumber for $number {
            #[inline(always)]
            fn widen(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn sum(values: &[Self], counted: impl Fn(usize) -> bool) -> f64 {
                sum_in_lanes(values, counted, f64::from)
            }
        }
    )+};
}

macro_rules! integer {
    ($($number:ty, $widen:expr, $half:expr, $bias:expr;)+) => {$(
        impl StatisticsNumber for $number {
            #[inline(always)]
            fn widen(self) -> f64 {
                ($widen)(self)
            }
            /// Exact: halves of 32 bits of up to 65,536 numbers cannot overflow their sums.
            #[inline(always)]
            fn sum(values: &[Self], counted: impl Fn(usize) -> bool) -> f64 {
                let (mut low, mut high, mut count) = (0_u64, 0_u64, 0_i128);
                for (index, value) in values.iter().enumerate() {
                    let keep = u64::from(counted(index)).wrapping_neg();
                    let lane = ($half)(*value) & keep;
                    low += lane & 0xFFFF_FFFF;
                    high += lane >> 32;
                    count += i128::from(keep & 1);
                }
                ((i128::from(high) << 32) + i128::from(low) - count * $bias) as f64
            }
        }
    )+};
}

float! { f64 f32 }

integer! {
    i64, |value: i64| value as f64, |value: i64| value.cast_unsigned() ^ 1 << 63, 1 << 63;
    u64, |value: u64| value as f64, |value: u64| value, 0;
    u32, f64::from, u64::from, 0;
}

impl StatisticsNumber for bool {
    fn widen(self) -> f64 {
        f64::from(u8::from(self))
    }
    #[inline(always)]
    fn sum(values: &[Self], counted: impl Fn(usize) -> bool) -> f64 {
        values.iter().enumerate().map(|(index, value)| u64::from(*value & counted(index))).sum::<u64>() as f64
    }
}

#[derive(Default)]
struct NumberSummary {
    good_count: usize,
    minimum: Option<(usize, u64)>,
    maximum: Option<(usize, u64)>,
    sum: f64,
    m2: f64,
    has_nan: bool,
}

impl NumberSummary {
    fn of<T: StatisticsNumber>(values: &[T], samples: &Samples, all_good: bool) -> Self {
        let has_nan = |present: &dyn Fn(usize) -> bool| {
            values.iter().any(|value| value.is_nan()) && values.iter().enumerate().any(|(index, value)| value.is_nan() && present(index))
        };
        match &samples.validity {
            // The usual chunk has nothing to leave out; the loops for it ask nothing per sample.
            None if all_good && !values.iter().fold(false, |nan, value| nan | value.is_nan()) => {
                Self::counting(values, |_| true, values.len(), false)
            }
            validity => {
                let present = |index: usize| validity.as_ref().is_none_or(|validity| validity.get(index));
                let counted: Vec<bool> =
                    (0..values.len()).map(|index| present(index) && is_good(samples.qualities[index]) && !values[index].is_nan()).collect();
                let good_count = counted.iter().filter(|counted| **counted).count();
                Self::counting(values, |index| counted[index], good_count, has_nan(&present))
            }
        }
    }

    /// `counted` never holds for a NaN.
    #[inline(always)]
    fn counting<T: StatisticsNumber>(values: &[T], counted: impl Fn(usize) -> bool + Copy, good_count: usize, has_nan: bool) -> Self {
        let Some(first) = (0..values.len()).find(|index| counted(*index)) else {
            return Self { has_nan, ..Self::default() };
        };
        // Smallest and largest of each lane, so that several values are compared at a time; then the
        // first sample that has them. A value that does not count is replaced by one that does.
        let (mut least, mut most) = ([values[first]; LANES], [values[first]; LANES]);
        let (blocks, rest) = values.as_chunks::<LANES>();
        let mut consider = |base: usize, block: &[T]| {
            for (lane, value) in block.iter().enumerate() {
                let value = if counted(base + lane) { *value } else { values[first] };
                least[lane] = if value < least[lane] { value } else { least[lane] };
                most[lane] = if value > most[lane] { value } else { most[lane] };
            }
        };
        for (block, base) in blocks.iter().zip((0..).step_by(LANES)) {
            consider(base, block);
        }
        consider(blocks.len() * LANES, rest);
        let least = least.into_iter().fold(values[first], |a, b| if b < a { b } else { a });
        let most = most.into_iter().fold(values[first], |a, b| if b > a { b } else { a });
        let place = |wanted: T| {
            // Over the blocks that do not have it several values at a time.
            let skipped = blocks.iter().position(|block| block.iter().fold(0, |found, value| found | u8::from(*value == wanted)) > 0);
            let from = skipped.unwrap_or(blocks.len()) * LANES;
            let found = (from..values.len()).find(|index| values[*index] == wanted && counted(*index));
            found.map(|index| (index, values[index].to_lane()))
        };
        let sum = T::sum(values, counted);
        let mean = sum / good_count as f64;
        let m2 = sum_in_lanes(values, counted, |value| {
            let deviation = value.widen() - mean;
            deviation * deviation
        });
        Self { good_count, minimum: place(least), maximum: place(most), sum, m2, has_nan }
    }

    fn of_text(samples: &Samples) -> Self {
        let good_count = (0..samples.len()).filter(|index| is_good(samples.qualities[*index]) && samples.is_valid(*index)).count();
        Self { good_count, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: u32 = 0x8000_0000;

    fn statistics(rows: &[(Option<f64>, u32)]) -> Statistics {
        let mut samples = Samples::new(ValueType::F64);
        for (timestamp, (value, quality)) in (0..).step_by(10).zip(rows) {
            samples.push(timestamp, value.map(Value::F64).as_ref(), *quality).unwrap();
        }
        Statistics::of(&samples)
    }

    #[test]
    fn only_good_present_numbers_count() {
        let found = statistics(&[
            (Some(f64::NAN), 0),
            (None, 0),
            (Some(99.0), BAD | 7),
            (Some(2.0), 0),
            (Some(-1.0), 3),
            (Some(-1.0), 0),
            (Some(-9.0), 0x4000_0000),
            (Some(2.0), 0),
            (None, BAD),
        ]);
        assert_eq!((found.count, found.good_count, found.null_count), (9, 4, 2));
        assert_eq!(found.minimum.unwrap(), Extreme { value: Scalar::of(&Value::F64(-1.0)).unwrap(), timestamp: 40 });
        assert_eq!(found.maximum.unwrap(), Extreme { value: Scalar::of(&Value::F64(2.0)).unwrap(), timestamp: 30 });
        assert_eq!(found.sum.to_bits(), 2.0_f64.to_bits());
        assert_eq!(found.worst_quality, BAD | 7);
        assert!(found.has_nan);
        assert_eq!(found.first_value.unwrap().value(), Value::F64(f64::NAN));
        assert_eq!(found.last_value, None);
        assert_eq!((found.first_timestamp, found.last_timestamp), (0, 80));
    }

    #[test]
    fn nothing_counted_has_no_extremes() {
        for rows in [&[(Some(1.0), BAD)][..], &[(None, 0)], &[(Some(f64::NAN), 0)]] {
            let found = statistics(rows);
            assert_eq!((found.good_count, found.minimum, found.maximum), (0, None, None));
            assert_eq!(found.sum.to_bits(), 0);
        }
        assert!(!statistics(&[(Some(1.0), BAD)]).has_nan);
        assert!(statistics(&[(Some(f64::NAN), BAD)]).has_nan);
    }

    #[test]
    fn integer_sums_are_exact_before_they_are_rounded() {
        let mut samples = Samples::new(ValueType::I64);
        for (timestamp, value) in [i64::MAX, i64::MAX, 1, -i64::MAX, -i64::MAX].into_iter().enumerate() {
            samples.push(timestamp as i64, Some(&Value::I64(value)), 0).unwrap();
        }
        assert_eq!(Statistics::of(&samples).sum.to_bits(), 1.0_f64.to_bits());
        assert_eq!(Statistics::of(&samples).maximum.unwrap().value.value(), Value::I64(i64::MAX));
    }
}
