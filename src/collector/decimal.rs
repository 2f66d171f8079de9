//! Numbers of calculated values: decimals with an exact result as long as their digits fit, doubles beyond.
//!
//! 0.1 + 0.2 is 0.3 here, as it is for whoever wrote both: a double from a device or a formula is the shortest decimal that reads as it, and
//! sums, differences and products of decimals are decimals. A quotient is one where it comes out even.

use std::cmp::Ordering;

use super::scaling::{EXACT_MAX, digits, in_units, nearest};

/// Powers of ten that a written constant may have; no double is beyond.
const POWER_MAX: i32 = 400;

/// A finite number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// `digits × 10^exponent`, exactly.
    Decimal { digits: i128, exponent: i32 },
    /// What has more digits than fit, and quotients that do not come out even.
    Double(f64),
}

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNumber {
    DivisionByZero,
    /// Beyond what a double holds.
    TooLarge,
    /// What it is calculated from has none: of the inputs of a formula the one of this place.
    NoValue(usize),
}

impl From<i128> for Number {
    fn from(integer: i128) -> Number {
        Number::Decimal { digits: integer, exponent: 0 }
    }
}

impl Number {
    /// `None` for what is not finite.
    pub fn of_f64(number: f64) -> Option<Number> {
        number.is_finite().then(|| digits(number).map_or(Number::Double(number), Number::of_digits))
    }

    /// As [`Number::of_f64`]: 21.4 and not 21.399999618530273, which no one sent.
    pub fn of_f32(number: f32) -> Option<Number> {
        number.is_finite().then(|| digits(number).map_or(Number::Double(f64::from(number)), Number::of_digits))
    }

    fn of_digits((digits, exponent): (i128, i32)) -> Number {
        Number::Decimal { digits, exponent }
    }

    /// Reads digits with at most one point among them, and a power of ten if there is one: `12`, `0.1`, `1e-3`. No sign.
    pub fn written(text: &str) -> Option<Number> {
        let (mantissa, power) = text.split_once(['e', 'E']).map_or((text, Some(0)), |(mantissa, power)| (mantissa, power.parse().ok()));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let exponent = power.filter(|power: &i32| power.abs() <= POWER_MAX)? - i32::try_from(fraction.len()).ok()?;
        let number = Number::Decimal { digits, exponent };
        number.as_f64().is_finite().then_some(number)
    }

    /// The nearest double; infinite beyond the last one.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Decimal { digits, exponent } => nearest(digits, exponent),
            Number::Double(number) => number,
        }
    }

    /// The number where it has no fraction and is an exact one.
    pub fn whole(self) -> Option<i128> {
        let Number::Decimal { digits, exponent } = self else { return None };
        if digits == 0 {
            return Some(0);
        }
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        if exponent >= 0 { digits.checked_mul(power) } else { (digits % power == 0).then(|| digits / power) }
    }

    #[must_use]
    pub fn negated(self) -> Number {
        match self {
            Number::Decimal { digits, exponent } => match digits.checked_neg() {
                Some(digits) => Number::Decimal { digits, exponent },
                None => Number::Double(-nearest(digits, exponent)),
            },
            Number::Double(number) => Number::Double(-number),
        }
    }

    #[must_use]
    pub fn absolute(self) -> Number {
        if self.is_negative() { self.negated() } else { self }
    }

    fn is_negative(self) -> bool {
        match self {
            Number::Decimal { digits, .. } => digits < 0,
            Number::Double(number) => number < 0.0,
        }
    }

    fn is_zero(self) -> bool {
        match self {
            Number::Decimal { digits, .. } => digits == 0,
            Number::Double(number) => number == 0.0,
        }
    }

    /// # Errors
    /// The sum is beyond the doubles; so it is for the others.
    pub fn plus(self, other: Number) -> Result<Number, NoNumber> {
        let exact = self.aligned(other).and_then(|(one, two, exponent)| Some((one.checked_add(two)?, exponent)));
        exact.map_or_else(|| double(self.as_f64() + other.as_f64()), |exact| Ok(Number::of_digits(exact)))
    }

    /// # Errors
    /// See [`Number::plus`].
    pub fn times(self, other: Number) -> Result<Number, NoNumber> {
        if let (Number::Decimal { digits, exponent }, Number::Decimal { digits: factor, exponent: power }) = (self, other)
            && let (Some(digits), Some(exponent)) = (digits.checked_mul(factor), exponent.checked_add(power))
        {
            return Ok(Number::Decimal { digits, exponent });
        }
        double(self.as_f64() * other.as_f64())
    }

    /// The quotient: exact where it is a whole number, rounded once where both have at most 15 digits, otherwise the quotient of both as doubles.
    ///
    /// # Errors
    /// The divisor is 0, or see [`Number::plus`].
    pub fn over(self, other: Number) -> Result<Number, NoNumber> {
        if other.is_zero() {
            return Err(NoNumber::DivisionByZero);
        }
        if let Some((one, two, _)) = self.aligned(other) {
            if let (Some(0), Some(whole)) = (one.checked_rem(two), one.checked_div(two)) {
                return Ok(Number::from(whole));
            }
            if one.unsigned_abs().max(two.unsigned_abs()) <= EXACT_MAX {
                return double(one as f64 / two as f64);
            }
        }
        double(self.as_f64() / other.as_f64())
    }

    /// By size.
    pub fn compared(self, other: Number) -> Ordering {
        match self.aligned(other) {
            Some((one, two, _)) => one.cmp(&two),
            None => self.as_f64().total_cmp(&other.as_f64()),
        }
    }

    /// Digits of both in units of one power of ten.
    fn aligned(self, other: Number) -> Option<(i128, i128, i32)> {
        let (Number::Decimal { digits: one, exponent: first }, Number::Decimal { digits: two, exponent: second }) = (self, other) else {
            return None;
        };
        let exponent = match (one, two) {
            (0, _) => second,
            (_, 0) => first,
            _ => first.min(second),
        };
        Some((in_units((one, first), exponent)?, in_units((two, second), exponent)?, exponent))
    }
}

fn double(number: f64) -> Result<Number, NoNumber> {
    if number.is_finite() { Ok(Number::Double(number)) } else { Err(NoNumber::TooLarge) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Number {
        match text.strip_prefix('-') {
            Some(text) => Number::written(text).unwrap().negated(),
            None => Number::written(text).unwrap(),
        }
    }

    #[test]
    fn written_numbers_are_what_they_say() {
        for (text, number) in [("12", 12.0), ("0.1", 0.1), ("1.50", 1.5), ("1e-3", 0.001), ("2.5E+2", 250.0), ("0", 0.0), ("007", 7.0)] {
            assert_eq!(of(text).as_f64().to_bits(), f64::to_bits(number), "{text}");
        }
        for text in ["", ".", "1.", ".5", "1.2.3", "1e", "1e999", "1e400", "1e-999", "-1", "+1", "0x1", "1_0", "9e308"] {
            assert_eq!(Number::written(text), None, "{text}");
        }
        assert_eq!(Number::written(&"9".repeat(60)), None, "more digits than fit");
        assert_eq!((of("2.0").whole(), of("2.5").whole(), of("3e2").whole()), (Some(2), None, Some(300)));
    }

    #[test]
    fn sums_and_products_are_those_of_the_decimals() {
        assert_eq!(of("0.1").plus(of("0.2")).unwrap().as_f64().to_string(), "0.3");
        assert_eq!(of("230.1").times(of("0.5")).unwrap().as_f64().to_string(), "115.05");
        assert_eq!(of("1.1").plus(of("-1.1")).unwrap().as_f64().to_string(), "0");
        assert_eq!(of("1e300").plus(of("1")).unwrap(), Number::Double(1e300));
        assert_eq!(of("1e300").times(of("1e300")).map(Number::as_f64), Ok(f64::INFINITY), "exact, and nearest to no finite double");
        assert_eq!(Number::Double(1e300).times(Number::Double(1e300)), Err(NoNumber::TooLarge));
        assert_eq!(Number::from(i128::MAX).plus(Number::from(1)), Ok(Number::Double(i128::MAX as f64)));
        assert_eq!(Number::from(i128::MIN).negated(), Number::Double(-(i128::MIN as f64)));
        assert_eq!(Number::of_f32(21.4).unwrap().times(of("10")).unwrap().whole(), Some(214));
        assert_eq!((Number::of_f64(f64::NAN), Number::of_f32(f32::INFINITY)), (None, None));
    }

    #[test]
    fn a_quotient_is_exact_or_rounded_once_and_never_infinite() {
        assert_eq!(of("21.4").over(of("0.1")).unwrap().whole(), Some(214));
        assert_eq!(of("1").over(of("3")).unwrap().as_f64().to_bits(), (1.0_f64 / 3.0).to_bits());
        assert_eq!(of("0.3").over(of("0.7")).unwrap().as_f64().to_bits(), (3.0_f64 / 7.0).to_bits());
        for zero in ["0", "0.0", "0e5"] {
            assert_eq!(of("1").over(of(zero)), Err(NoNumber::DivisionByZero));
            assert_eq!(of("0").over(of(zero)), Err(NoNumber::DivisionByZero));
        }
        assert_eq!(of("1").over(Number::Double(-0.0)), Err(NoNumber::DivisionByZero));
        assert_eq!(Number::Double(1e308).over(Number::Double(1e-308)), Err(NoNumber::TooLarge));
        assert_eq!(Number::from(i128::MIN).over(Number::from(-1)), Ok(Number::Double(-(i128::MIN as f64))));
    }

    #[test]
    fn numbers_are_compared_by_size() {
        assert_eq!(of("0.30").compared(of("0.3")), Ordering::Equal);
        assert_eq!(of("-2").compared(of("1e-30")), Ordering::Less);
        assert_eq!(of("1e300").compared(of("2")), Ordering::Greater);
        assert_eq!(Number::Double(0.25).compared(of("0.3")), Ordering::Less);
        assert_eq!((of("-3").absolute(), of("3").absolute()), (of("3"), of("3")));
    }

    proptest! {
        /// Against the arithmetic of doubles.
        #[test]
        fn results_are_those_of_doubles_up_to_their_rounding(one in -1e12..1e12_f64, two in -1e12..1e12_f64) {
            let (a, b) = (Number::of_f64(one).unwrap(), Number::of_f64(two).unwrap());
            for (found, expected, size) in [
                (a.plus(b), one + two, one.abs() + two.abs()),
                (a.times(b), one * two, (one * two).abs()),
                (a.over(b), one / two, (one / two).abs()),
            ] {
                if let Ok(found) = found {
                    prop_assert!((found.as_f64() - expected).abs() <= size * 1e-15, "{} {}: {} against {}", one, two, found.as_f64(), expected);
                }
            }
            prop_assert_eq!(Some(a.compared(b)), one.partial_cmp(&two));
        }

        #[test]
        fn integers_are_exact(one in any::<i64>(), two in any::<i64>()) {
            let (a, b) = (Number::from(i128::from(one)), Number::from(i128::from(two)));
            prop_assert_eq!(a.plus(b).unwrap().whole(), Some(i128::from(one) + i128::from(two)));
            prop_assert_eq!(a.times(b).unwrap().whole(), Some(i128::from(one) * i128::from(two)));
        }
    }
}
