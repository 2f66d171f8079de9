//! Whole numbers as floats and back, several at a time: a portable build has no vector instruction for
//! either, so both ways go through the bits of 1.5 × 2^52 plus the number.

use super::lane::Real;

/// Numbers from -2^51 to 2^51 - 1 keep in the low bits of the mantissa of the sum below.
pub(crate) const WHOLE_MAX: i64 = 1 << 51;

const MAGIC: f64 = 6_755_399_441_055_744.0;

/// A float rounded to a whole number (ties to even), as float and as integer.
#[derive(Clone, Copy)]
pub(crate) struct Whole {
    pub value: f64,
    pub number: i64,
}

impl Whole {
    /// Only for numbers for which `is_small` holds.
    #[inline(always)]
    pub fn round(value: f64) -> Self {
        let sum = value + MAGIC;
        Self { value: sum - MAGIC, number: sum.to_bits().wrapping_sub(MAGIC.to_bits()).cast_signed() }
    }

    #[inline(always)]
    pub fn is_small(self) -> bool {
        is_small(self.number)
    }
}

/// Whether `to_f64` takes the number.
#[inline(always)]
pub(crate) fn is_small(number: i64) -> bool {
    number.wrapping_add(WHOLE_MAX).cast_unsigned() >> 52 == 0
}

/// The same number as float, when it is small.
#[inline(always)]
pub(crate) fn to_f64(number: i64) -> f64 {
    f64::from_bits(number.wrapping_add(MAGIC.to_bits().cast_signed()).cast_unsigned()) - MAGIC
}

/// The whole numbers of which a formula makes the values, and the positions of those it does not give;
/// `None` when they are more than an eighth. An exception's number is that of its predecessor.
#[inline(always)]
pub(crate) fn numbers<T: Real>(values: &[T], guess: impl Fn(f64) -> Whole, formula: impl Fn(f64) -> f64) -> Option<(Vec<i64>, Vec<usize>)> {
    const BLOCK: usize = 64;
    let mut numbers = vec![0; values.len()];
    let mut positions = Vec::new();
    let mut before = 0;
    for (block, (values, numbers)) in values.chunks(BLOCK).zip(numbers.chunks_mut(BLOCK)).enumerate() {
        // No early exit inside: the usual block has no exception, and is seen to have none at the end.
        let mut differs = 0;
        for (number, value) in numbers.iter_mut().zip(values) {
            let whole = guess(value.to_f64());
            *number = whole.number;
            let beyond = whole.number.wrapping_add(WHOLE_MAX).cast_unsigned() >> 52;
            differs |= T::nearest(formula(whole.value)).to_lane() ^ value.to_lane() | beyond;
        }
        if differs != 0 {
            for (index, (number, value)) in numbers.iter_mut().zip(values).enumerate() {
                let whole = guess(value.to_f64());
                if T::nearest(formula(whole.value)).to_lane() != value.to_lane() || !whole.is_small() {
                    positions.push(block * BLOCK + index);
                    *number = before;
                }
                before = *number;
            }
            if positions.len() > values.len().max(block * BLOCK) / 4 + 16 {
                return None;
            }
        }
        before = numbers.last().copied().unwrap_or(before);
    }
    (positions.len() <= values.len() / 8).then_some((numbers, positions))
}

/// Appends what the formula makes of the numbers. True when one is too large for it.
#[inline(always)]
pub(crate) fn values<T: Real>(numbers: &[i64], out: &mut Vec<T>, formula: impl Fn(f64) -> f64) -> bool {
    let mut beyond = 0;
    let start = out.len();
    out.resize(start + numbers.len(), T::default());
    for (slot, number) in out[start..].iter_mut().zip(numbers) {
        beyond |= number.wrapping_add(WHOLE_MAX).cast_unsigned() >> 52;
        *slot = T::nearest(formula(to_f64(*number)));
    }
    beyond != 0
}
