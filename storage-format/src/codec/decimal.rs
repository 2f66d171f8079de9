//! Floats that are decimals: whole numbers divided by a power of ten, as most readings are that have
//! ever been text or passed through a display (the idea of Afroozeh, Kuffo and Boncz, *ALP: Adaptive
//! Lossless floating-Point Compression*, SIGMOD 2024, but with one exponent and a division, which
//! gives every decimal of up to 15 digits exactly as parsing it would).

use super::choice::{Choice, Codec, lanes, misfit};
use super::exceptions::{self, Exceptions};
use super::integers;
use super::lane::Real;
use super::whole::{self, Whole};
use crate::effort::Effort;
use crate::error::FieldFault;
use crate::{ValueType, Values};

/// The codec of values.
pub(crate) struct Decimal;

impl Codec for Decimal {
    fn fits(value_type: ValueType) -> bool {
        matches!(value_type, ValueType::F64 | ValueType::F32)
    }

    fn offer(choice: &mut Choice<'_>) {
        let Some(exponent) = lanes!(choice.values, F64 | F32, values => exponent(values), _ => None) else {
            return;
        };
        let effort = choice.effort;
        let is_smallest =
            choice.offer(|values, out| lanes!(values, F64 | F32, values => encode(values, exponent, effort, out), _ => false));
        choice.has_formula = true;
        choice.is_explained = is_smallest;
        if is_smallest && effort == Effort::Hot {
            choice.settle();
        }
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        lanes!(out, F64 | F32, out => decode(bytes, count, out), other => Err(misfit("decimal", other)))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (Effort, Values) {
        (Effort::Cold, Values::F64((0..count).map(|_| (noise() * 977.0).round() / 100.0).collect()))
    }
}

/// Largest exponent: 10^18. All powers up to it are exact in binary64.
const EXPONENT_MAX: u8 = 18;

/// Largest exponent the encoder looks for.
const EXPONENT_TRIED: u8 = 12;

/// Values that are looked at to find the exponent.
const PROBES: usize = 48;

/// The powers of ten from 10^0 on; a call of `powi` for each probe would take longer than the probe.
const POWERS: [f64; EXPONENT_MAX as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

fn power(exponent: u8) -> f64 {
    POWERS[usize::from(exponent.min(EXPONENT_MAX))]
}

/// The exponent with which nearly all values are decimals; `None` when there is none.
fn exponent<T: Real>(values: &[T]) -> Option<u8> {
    let step = values.len() / PROBES + 1;
    let mut least = 0;
    let (mut misses, mut probes) = (0, 0);
    for value in values.iter().step_by(step) {
        probes += 1;
        let found = (least..=EXPONENT_TRIED).find(|exponent| whole(*value, power(*exponent)).is_some());
        match found {
            Some(exponent) => least = exponent,
            None => misses += 1,
        }
        if misses > 3 && misses * 10 > probes {
            return None;
        }
    }
    Some(least)
}

fn whole<T: Real>(value: T, scale: f64) -> Option<i64> {
    let whole = Whole::round(value.to_f64() * scale);
    let exact = T::nearest(whole.value / scale).to_lane() == value.to_lane() && whole.is_small();
    exact.then_some(whole.number)
}

/// Appends the column; false, with `out` as it was, when more than an eighth of the values are exceptions.
fn encode<T: Real>(values: &[T], exponent: u8, effort: Effort, out: &mut Vec<u8>) -> bool {
    let scale = power(exponent);
    let Some((numbers, positions)) = whole::numbers(values, |value| Whole::round(value * scale), |whole| whole / scale) else {
        return false;
    };
    out.push(exponent);
    exceptions::put(values, &positions, out);
    integers::encode(&numbers, effort, out);
    true
}

/// Appends `count` values.
fn decode<T: Real>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), FieldFault> {
    let Some(&exponent) = bytes.first() else {
        return Err(FieldFault::new("exponent of decimals", 0, "a byte", "the end"));
    };
    if exponent > EXPONENT_MAX {
        return Err(FieldFault::new("exponent of decimals", 0, format!("at most {EXPONENT_MAX}"), exponent));
    }
    let mut at = 1;
    let exceptions = Exceptions::get::<T>(bytes, &mut at, count)?;
    let mut numbers = vec![0; count];
    integers::decode(bytes, at, &mut numbers)?;
    let scale = power(exponent);
    let start = out.len();
    let beyond =
        if exponent == 0 { whole::values(&numbers, out, |whole| whole) } else { whole::values(&numbers, out, |whole| whole / scale) };
    if beyond {
        return Err(FieldFault::new("whole number of a decimal", at, "from -2^51 to 2^51 - 1", "another"));
    }
    exceptions.apply(&mut out[start..])
}
