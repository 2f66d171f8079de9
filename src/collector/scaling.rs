//! value = raw × scale + offset, rounded once.
//!
//! Scale and offset are decimal numbers: 0.1 is written and a tenth is meant, which no double is. With a scale of 0.1 in f64, 3 × 0.1 is
//! 0.30000000000000004; the tenth of 3 is 0.3. So both are kept as integers times a power of ten, and for an integer raw value the result is
//! one too, N × 10^e, computed exactly. Its nearest double comes from one division (or multiplication) of two doubles that are exact, where
//! N is below 2^53 and the power at most 10^22, because IEEE 754 rounds that correctly; beyond, from the reading of decimal text, which
//! rounds correctly too.

use std::fmt;

/// Powers of ten that are exact in a double.
const POWERS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];
/// Integers up to here are exact in a double.
pub(crate) const EXACT_MAX: u128 = 1 << 53;

/// Digits of a decimal number, and the power of ten that they count.
type Digits = (i128, i32);

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    scale: f64,
    offset: f64,
    /// Both as they are written.
    written: Option<(Digits, Digits)>,
    /// Scale and offset in units of `10^exponent`; `None` when these are more digits than fit.
    decimal: Option<DecimalScaling>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct DecimalScaling {
    scale: i128,
    offset: i128,
    exponent: i32,
}

impl Scaling {
    /// Of finite numbers, each meaning the shortest decimal that reads as it.
    pub fn new(scale: f64, offset: f64) -> Scaling {
        let written = digits(scale).zip(digits(offset));
        Scaling { scale, offset, written, decimal: written.and_then(DecimalScaling::new) }
    }

    /// True when whole numbers stay whole.
    pub fn is_whole(&self) -> bool {
        self.decimal.is_some_and(|decimal| decimal.exponent >= 0)
    }

    /// The exact result where scale and offset are whole; `None` beyond an i128.
    pub fn whole(&self, raw: i128) -> Option<i128> {
        let decimal = self.decimal.filter(|decimal| decimal.exponent >= 0)?;
        let power = 10_i128.checked_pow(decimal.exponent.unsigned_abs())?;
        raw.checked_mul(decimal.scale)?.checked_add(decimal.offset)?.checked_mul(power)
    }

    /// The same with `scale × number × 10^exponent` as scale.
    #[must_use]
    pub fn times(&self, (number, exponent): Digits) -> Scaling {
        let written = self.written.and_then(|((scale, power), offset)| Some(((scale.checked_mul(number)?, power + exponent), offset)));
        let scale = self.scale * nearest(number, exponent);
        Scaling { scale, offset: self.offset, written, decimal: written.and_then(DecimalScaling::new) }
    }

    /// The double nearest to the decimal result. Where that has more than 38 digits, nearly so.
    pub fn of_integer(&self, raw: i128) -> f64 {
        let exact = self.decimal.and_then(|decimal| {
            let number = raw.checked_mul(decimal.scale)?.checked_add(decimal.offset)?;
            Some(nearest(number, decimal.exponent))
        });
        exact.unwrap_or_else(|| (raw as f64).mul_add(self.scale, self.offset))
    }

    /// As [`Scaling::of_integer`] for the decimal that an f32 is shown as: 21.4 and not 21.399999618530273, which no one sent.
    pub fn of_f32(&self, raw: f32) -> f64 {
        self.of_digits(raw.is_finite().then(|| digits(raw)).flatten(), f64::from(raw))
    }

    /// As [`Scaling::of_f32`], for an f64.
    pub fn of_f64(&self, raw: f64) -> f64 {
        self.of_digits(raw.is_finite().then(|| digits(raw)).flatten(), raw)
    }

    fn of_digits(&self, raw: Option<Digits>, binary: f64) -> f64 {
        let exact = raw.zip(self.decimal).and_then(|((number, exponent), decimal)| {
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent >= 0 {
                let number = number.checked_mul(power)?.checked_mul(decimal.scale)?.checked_add(decimal.offset)?;
                return Some(nearest(number, decimal.exponent));
            }
            let number = number.checked_mul(decimal.scale)?.checked_add(decimal.offset.checked_mul(power)?)?;
            Some(nearest(number, decimal.exponent + exponent))
        });
        exact.unwrap_or_else(|| binary.mul_add(self.scale, self.offset))
    }
}

impl DecimalScaling {
    fn new((scale, offset): (Digits, Digits)) -> Option<DecimalScaling> {
        let exponent = if offset.0 == 0 { scale.1 } else { scale.1.min(offset.1) };
        Some(DecimalScaling { scale: in_units(scale, exponent)?, offset: in_units(offset, exponent)?, exponent })
    }
}

/// A number in units of a power of ten that is not above its own; `None` where that has more digits than fit.
pub(crate) fn in_units((digits, own): Digits, exponent: i32) -> Option<i128> {
    if digits == 0 { Some(0) } else { 10_i128.checked_pow(own.checked_sub(exponent)?.unsigned_abs())?.checked_mul(digits) }
}

/// Digits and power of ten of the shortest decimal that reads as this number.
pub(crate) fn digits(number: impl fmt::LowerExp) -> Option<Digits> {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    Some((mantissa.replace('.', "").parse().ok()?, exponent.parse::<i32>().ok()? - i32::try_from(fraction).ok()?))
}

/// The double nearest to `number × 10^exponent`.
pub(crate) fn nearest(number: i128, exponent: i32) -> f64 {
    if number.unsigned_abs() <= EXACT_MAX {
        match exponent {
            -22..=-1 => return number as f64 / POWERS[exponent.unsigned_abs() as usize],
            0..=22 => return number as f64 * POWERS[exponent.unsigned_abs() as usize],
            _ => {}
        }
    }
    format!("{number}e{exponent}").parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assert_same(found: f64, expected: f64) {
        assert_eq!(found.to_bits(), expected.to_bits(), "{found} against {expected}");
    }

    #[test]
    fn a_tenth_of_three_is_written_as_it_is_read() {
        let tenth = Scaling::new(0.1, 0.0);
        for raw in 0..=65_535_i128 {
            assert_eq!(tenth.of_integer(raw).to_string(), format!("{}.{}", raw / 10, raw % 10).trim_end_matches(".0"));
        }
        assert_same(Scaling::new(0.1, -40.0).of_integer(-1), -40.1);
        assert_same(Scaling::new(0.01, 0.005).of_integer(29), 0.295);
        assert_same(Scaling::new(1e6, 0.0).of_integer(3), 3e6);
        assert_same(Scaling::new(2.5e-7, 0.0).of_integer(3), 7.5e-7);
        assert_same(Scaling::new(-0.1, 0.0).of_integer(3), -0.3);
    }

    #[test]
    fn floats_are_scaled_as_the_decimals_they_are_shown_as() {
        assert_same(Scaling::new(0.1, 0.0).of_f64(3.0), 0.3);
        assert_same(Scaling::new(0.1, 0.0).of_f32(21.4), 2.14);
        assert_same(Scaling::new(1.0, -0.2).of_f32(21.4), 21.2);
        assert_same(Scaling::new(2.0, 1.0).of_f64(1.25), 3.5);
        assert_same(Scaling::new(10.0, 0.0).of_f32(1.5e20), 1.5e21);
        assert_same(Scaling::new(0.1, 0.0).of_f64(f64::INFINITY), f64::INFINITY);
        assert_same(Scaling::new(2.0, 0.0).of_f64(1e-300), 2e-300);
    }

    #[test]
    fn a_factor_counts_as_if_it_were_written_into_the_scale() {
        for power in -10..=10 {
            for (scale, offset) in [(1.0, 0.0), (0.1, -40.0), (2.5, 0.001)] {
                let written = Scaling::new(format!("{scale}e{power}").parse().unwrap(), offset);
                let factor = Scaling::new(scale, offset).times((1, power));
                for raw in [0, 1, -1, 12_345, -32_768, 65_535, 4_294_967_295] {
                    assert_same(factor.of_integer(raw), written.of_integer(raw));
                }
            }
        }
        assert_same(Scaling::new(0.1, 0.0).times((7, 0)).of_integer(3), 2.1);
    }

    #[test]
    fn only_whole_scales_and_offsets_keep_whole_numbers_whole() {
        for (scale, offset, raw, expected) in [
            (10.0, 0.0, 5, Some(50)),
            (10.0, 3.0, 5, Some(53)),
            (1e3, -1e3, i64::MAX.into(), Some((i128::from(i64::MAX) - 1) * 1000)),
            (0.5, 0.0, 4, None),
            (2.0, 0.5, 4, None),
            (1e30, 0.0, i64::MAX.into(), None),
        ] {
            assert_eq!(Scaling::new(scale, offset).whole(raw), expected, "{raw} × {scale} + {offset}");
        }
        assert!(Scaling::new(1e30, 0.0).is_whole() && !Scaling::new(0.5, 0.0).is_whole());
    }

    proptest! {
        /// The decimal text of the exact result, made of big integers as strings, read by the standard library.
        #[test]
        fn the_result_is_the_double_nearest_to_the_decimal_one(
            raw in any::<i64>(), scale in -99_999_i64..=99_999, places in 0..9_u32, offset in -9_999_999_i64..=9_999_999, offset_places in 0..9_u32,
        ) {
            let decimal = |digits: i64, places: u32| format!("{digits}e-{places}").parse::<f64>().unwrap();
            prop_assume!(scale != 0);
            let scaling = Scaling::new(decimal(scale, places), decimal(offset, offset_places));
            let exact = i128::from(raw) * i128::from(scale) * 10_i128.pow(9 - places) + i128::from(offset) * 10_i128.pow(9 - offset_places);
            let nearest: f64 = format!("{exact}e-9").parse().unwrap();
            prop_assert_eq!(scaling.of_integer(raw.into()).to_bits(), (nearest + 0.0).to_bits());
        }

        #[test]
        fn any_scale_and_offset_give_what_doubles_give_up_to_their_rounding(raw in any::<i64>(), scale in any::<f64>(), offset in any::<f64>()) {
            prop_assume!(scale.is_finite() && offset.is_finite());
            let scaling = Scaling::new(scale, offset);
            for (found, raw) in [(scaling.of_integer(raw.into()), raw as f64), (scaling.of_f64(raw as f64), raw as f64), (scaling.of_f32(raw as f32), f64::from(raw as f32))] {
                let (product, sum) = (raw * scale, raw.mul_add(scale, offset));
                // Half of the last place of each number, and the digits of an f32, which has seven.
                let tolerance = (product.abs() + offset.abs()) * 1e-7 + f64::MIN_POSITIVE;
                prop_assert!(found.to_bits() == sum.to_bits() || (found - sum).abs() <= tolerance, "{} × {} + {}: {} against {}", raw, scale, offset, found, sum);
            }
        }
    }
}
