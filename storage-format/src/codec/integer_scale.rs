//! Floats that are converter steps: a whole number times a scale plus an offset, as the 12 or 16 bits of
//! an analog input become engineering units. The decimal digits of such values never end, so `decimal`
//! does not help; the formula that made them does, evaluated in the very order it was evaluated in.

use super::choice::{Choice, Codec, lanes, misfit};
use super::exceptions::{self, Exceptions};
use super::integers;
use super::lane::Real;
use super::whole::{self, Whole};
use crate::effort::Effort;
use crate::error::FieldFault;
use crate::{ValueType, Values};

/// The codec of values.
pub(crate) struct IntegerScale;

impl Codec for IntegerScale {
    fn fits(value_type: ValueType) -> bool {
        matches!(value_type, ValueType::F64 | ValueType::F32)
    }

    fn offer(choice: &mut Choice<'_>) {
        let effort = choice.effort;
        if effort == Effort::Hot || choice.has_formula {
            return;
        }
        let Some(formula) = lanes!(choice.values, F64 | F32, values => Formula::find(values), _ => None) else {
            return;
        };
        choice.has_formula = true;
        choice.is_explained =
            choice.offer(|values, out| lanes!(values, F64 | F32, values => encode(values, formula, effort, out), _ => false));
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        lanes!(out, F64 | F32, out => decode(bytes, count, out), other => Err(misfit("integer_scale", other)))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (Effort, Values) {
        (Effort::Cold, Values::F64((0..count).map(|_| -50.0 + (noise() * 900.0).round() * (160.0 / 4_095.0)).collect()))
    }
}

/// `offset + whole × numerator ÷ denominator`, from left to right but for the offset, each step rounded
/// to binary64. With the denominator 1 this is `offset + whole × step`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Formula {
    offset: f64,
    numerator: f64,
    denominator: f64,
}

/// Full scales of converters: 8 to 16 bits, to the last step and to one beyond, and the ranges of PLC makers.
const FULL_SCALES: [f64; 18] = [
    4_095.0, 4_096.0, 65_535.0, 65_536.0, 32_767.0, 32_768.0, 27_648.0, 1_023.0, 1_024.0, 255.0, 16_383.0, 16_384.0, 8_191.0, 2_047.0,
    10_000.0, 16_000.0, 30_000.0, 4_000.0,
];

/// Values that are looked at to find the formula.
const PROBES: usize = 96;

/// Offsets that are tried per granularity.
const OFFSETS_MAX: f64 = 6_000.0;

impl Formula {
    #[inline(always)]
    fn value(self, whole: f64) -> f64 {
        self.offset + whole * self.numerator / self.denominator
    }

    fn guess(self, value: f64) -> Whole {
        Whole::round((value - self.offset) * (self.denominator / self.numerator))
    }

    /// The formula that gives nearly all values bit for bit; `None` when none is found.
    fn find<T: Real>(values: &[T]) -> Option<Self> {
        let mut probes: Vec<f64> = values.iter().step_by(values.len() / PROBES + 1).map(|value| value.to_f64()).collect();
        if probes.iter().any(|value| !value.is_finite()) {
            return None;
        }
        probes.sort_by(f64::total_cmp);
        probes.dedup();
        let (&least, &most) = (probes.first()?, probes.last()?);
        // What rounding may have done to a value, with room for what the calculations here add.
        let error = least.abs().max(most.abs()) * T::EPSILON * 32.0;
        let step = common_step(&probes, error)?;
        let some = || values.iter().step_by(values.len() / PROBES + 1);
        let all = some().count();
        let mut best = (all * 15 / 16, None);
        for scale in FULL_SCALES {
            let Some(span) = round(step * scale, error / (most - least) * 4.0) else { continue };
            if most - least > span * 1.000_001 {
                continue;
            }
            // Several offsets may differ by whole steps. They give nearly the same values, but only one rounds as the values were.
            for offset in offsets(least, most, span, span / scale, error) {
                for (numerator, denominator) in [(span / scale, 1.0), (span, scale)] {
                    let formula = Self { offset, numerator, denominator };
                    let hits = some().filter(|value| formula.gives(**value)).count();
                    if hits == all {
                        return Some(formula);
                    }
                    if hits > best.0 {
                        best = (hits, Some(formula));
                    }
                }
            }
        }
        best.1
    }

    fn gives<T: Real>(self, value: T) -> bool {
        let whole = self.guess(value.to_f64());
        T::nearest(self.value(whole.value)).to_lane() == value.to_lane() && whole.is_small()
    }
}

/// The step of which all differences are multiples, but for rounding.
fn common_step(sorted: &[f64], error: f64) -> Option<f64> {
    let range = *sorted.last()? - *sorted.first()?;
    let tolerance = error * 64.0;
    if range <= 0.0 || !range.is_finite() {
        return None;
    }
    let mut step = 0.0_f64;
    for pair in sorted.windows(2) {
        let (mut a, mut b) = (step.max(pair[1] - pair[0]), step.min(pair[1] - pair[0]));
        while b > tolerance {
            // The nearest multiple, so that rounding does not leave almost a whole `b`.
            (a, b) = (b, (a - b * (a / b).round()).abs());
        }
        step = a;
        if range / step > 1e6 {
            return None;
        }
    }
    Some(range / (range / step).round())
}

/// A number as the short decimal that it nearly is.
fn round(value: f64, tolerance: f64) -> Option<f64> {
    [1.0, 10.0, 100.0, 1_000.0].into_iter().find_map(|scale| {
        let whole = (value * scale).round();
        let rounded = whole / scale;
        (whole >= 1.0 && (rounded - value).abs() <= value * tolerance.max(1e-12)).then_some(rounded)
    })
}

/// Round numbers that are a whole number of steps below the values, and not more than a full scale below.
fn offsets(least: f64, most: f64, span: f64, step: f64, error: f64) -> impl Iterator<Item = f64> {
    [1.0, 2.0, 10.0, 100.0].into_iter().flat_map(move |scale: f64| {
        let from = ((most - span) * scale - 0.001).ceil();
        let to = (least * scale + 0.001).floor();
        let count = if to - from < OFFSETS_MAX { (to - from + 1.0).max(0.0) as u32 } else { 0 };
        (0..count).map(move |index| (from + f64::from(index)) / scale).filter(move |offset| {
            let steps = (least - offset) / step;
            (steps - steps.round()).abs() * step < error + steps.abs() * step * 1e-7
        })
    })
}

/// Appends the column; false, with `out` as it was, when more than an eighth of the values are exceptions.
fn encode<T: Real>(values: &[T], formula: Formula, effort: Effort, out: &mut Vec<u8>) -> bool {
    let Some((numbers, positions)) = whole::numbers(values, |value| formula.guess(value), |whole| formula.value(whole)) else {
        return false;
    };
    for number in [formula.offset, formula.numerator, formula.denominator] {
        out.extend_from_slice(&number.to_bits().to_le_bytes());
    }
    exceptions::put(values, &positions, out);
    integers::encode(&numbers, effort, out);
    true
}

/// Appends `count` values.
fn decode<T: Real>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), FieldFault> {
    let Some(head) = bytes.first_chunk::<24>() else {
        return Err(FieldFault::new("formula of converter steps", 0, "24 bytes", bytes.len()));
    };
    let number = |at: usize| f64::from_bits(super::bits::load(head, at));
    let (offset, numerator, denominator) = (number(0), number(8), number(16));
    if !(offset.is_finite() && numerator.is_finite() && denominator.is_finite()) || denominator == 0.0 {
        return Err(FieldFault::new("formula of converter steps", 0, "finite numbers, and no division by zero", "others"));
    }
    let mut at = head.len();
    let exceptions = Exceptions::get::<T>(bytes, &mut at, count)?;
    let mut numbers = vec![0; count];
    integers::decode(bytes, at, &mut numbers)?;
    let start = out.len();
    let beyond = if denominator.to_bits() == 1_f64.to_bits() {
        whole::values(&numbers, out, |whole| offset + whole * numerator)
    } else {
        whole::values(&numbers, out, |whole| offset + whole * numerator / denominator)
    };
    if beyond {
        return Err(FieldFault::new("converter step", at, "from -2^51 to 2^51 - 1", "another"));
    }
    exceptions.apply(&mut out[start..])
}
