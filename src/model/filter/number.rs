//! Which samples are compared as numbers, and what arithmetic may add to a difference of them.

use crate::{Quality, Sample, Value, ValueType};

/// Whole numbers beyond it are not all numbers of an f64.
const WHOLE_MAX: u64 = 1 << 53;

/// The sample as a number, exactly; `None` for what is compared by equality only.
pub(super) fn number(sample: &Sample) -> Option<f64> {
    if !Quality(sample.quality).is_good() {
        return None;
    }
    let number = match sample.value.as_ref()? {
        Value::F64(number) => *number,
        Value::F32(number) => f64::from(*number),
        Value::I64(number) if number.unsigned_abs() <= WHOLE_MAX => *number as f64,
        Value::U64(number) if *number <= WHOLE_MAX => *number as f64,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// Both samples as numbers, where they may be compared as such: they have the same quality.
pub(super) fn numbers(first: &Sample, second: &Sample) -> Option<(f64, f64)> {
    (first.quality == second.quality).then(|| number(first).zip(number(second))).flatten()
}

/// Same quality and same value, to the bit.
pub(super) fn same(first: &Sample, second: &Sample) -> bool {
    first.quality == second.quality
        && match (&first.value, &second.value) {
            (Some(Value::F64(first)), Some(Value::F64(second))) => first.to_bits() == second.to_bits(),
            (Some(Value::F32(first)), Some(Value::F32(second))) => first.to_bits() == second.to_bits(),
            (first, second) => first == second,
        }
}

/// How much closer than a bound a number must lie to a line, so that it lies within the bound of what is calculated of the line: a few roundings
/// of numbers of this size, and of an f32 that of the result.
pub(super) fn rounding(value_type: ValueType, start: f64, number: f64, bound: f64) -> f64 {
    let unit = if value_type == ValueType::F32 { f64::from(f32::EPSILON) } else { 16.0 * f64::EPSILON };
    unit * (start.abs() + number.abs() + bound)
}

/// Milliseconds as nanoseconds.
pub(super) fn nanoseconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}
