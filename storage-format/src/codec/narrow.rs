//! f64 values that are all f32 numbers, as devices with a Float register deliver them: stored as f32
//! with whichever codec is smallest for that type.
//!
//! A column in a column: this file asks `values` for the codec of what is inside, and `values` asks all codecs, this one too. It is the
//! one circle of imports in the crate, and it ends after one turn, as f32 are not narrow.

use super::ValueCodec;
use super::choice::{Choice, Codec, lanes, misfit};
use super::values;
use crate::effort::Effort;
use crate::error::FieldFault;
use crate::{ValueType, Values};

/// The codec of values.
pub(crate) struct Narrow;

impl Codec for Narrow {
    fn fits(value_type: ValueType) -> bool {
        matches!(value_type, ValueType::F64)
    }

    fn offer(choice: &mut Choice<'_>) {
        let effort = choice.effort;
        let worth = if effort == Effort::Hot { !choice.has_any() } else { !choice.is_well_explained() };
        if worth && choice.offer(|values, out| lanes!(values, F64, values => encode(values, effort, out), _ => false)) {
            choice.settle();
        }
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        lanes!(out, F64, out => decode(bytes, count, out), other => Err(misfit("narrow", other)))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (Effort, Values) {
        (Effort::Cold, Values::F64((0..count).map(|_| f64::from(noise().sqrt() as f32)).collect()))
    }
}

/// The values as f32, when each is one. NaNs are not: what becomes of their payload is up to the processor.
fn narrowed(values: &[f64]) -> Option<Vec<f32>> {
    #[expect(clippy::cast_possible_truncation, reason = "whether anything is lost is what is looked at")]
    let narrow = |value: f64| value as f32;
    let fits = |value: &f64| f64::from(narrow(*value)).to_bits() == value.to_bits() && !value.is_nan();
    // Most columns show in their first values that they are not narrow.
    if !values.iter().take(16).all(fits) || !values.iter().all(fits) {
        return None;
    }
    Some(values.iter().map(|value| narrow(*value)).collect())
}

/// Appends the codec and the column of the narrow values; false, with `out` as it was, when not all are narrow.
fn encode(values: &[f64], effort: Effort, out: &mut Vec<u8>) -> bool {
    let Some(narrowed) = narrowed(values) else {
        return false;
    };
    let at = out.len();
    out.push(0);
    out[at] = values::encode(&Values::F32(narrowed), effort, out) as u8;
    true
}

/// Appends `count` values.
fn decode(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), FieldFault> {
    let Some((&id, column)) = bytes.split_first() else {
        return Err(FieldFault::new("codec of narrow values", 0, "a byte", "the end"));
    };
    let codec = ValueCodec::from_id(id)
        .filter(|codec| codec.fits(ValueType::F32))
        .ok_or_else(|| FieldFault::new("codec of narrow values", 0, "one for f32", id))?;
    let mut narrow = Values::new(ValueType::F32);
    codec.decode(column, count, &mut narrow).map_err(|fault| fault.shifted(1))?;
    let Values::F32(narrow) = narrow else {
        return Err(misfit("narrow", &narrow));
    };
    if narrow.iter().any(|value| value.is_nan()) {
        return Err(FieldFault::new("narrow values", 1, "no NaN", "one"));
    }
    out.extend(narrow.iter().map(|value| f64::from(*value)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is hot is not compared afterwards: each value must be looked at.
    #[test]
    fn one_value_that_is_not_narrow_is_enough_wherever_it_stands() {
        for place in [0, 3, 15, 16, 17, 99] {
            for other in [0.1, f64::NAN, f64::MIN_POSITIVE, 1e300] {
                let mut values: Vec<f64> = (0..100).map(|index| f64::from((index as f32).sqrt())).collect();
                let mut bytes = vec![7];
                assert!(encode(&values, Effort::Hot, &mut bytes));
                let mut read = vec![1.0];
                decode(&bytes[1..], 100, &mut read).unwrap();
                assert_eq!(read[1..], values);
                values[place] = other;
                bytes.truncate(1);
                assert!(!encode(&values, Effort::Hot, &mut bytes), "{other} at {place}");
                assert_eq!(bytes, [7]);
            }
        }
    }

    #[test]
    fn a_column_of_nan_or_of_a_codec_for_other_types_is_refused() {
        let mut bytes = vec![ValueCodec::Constant as u8];
        bytes.extend_from_slice(&f32::NAN.to_bits().to_le_bytes());
        assert_eq!(decode(&bytes, 3, &mut Vec::new()).unwrap_err().what, "narrow values");
        for codec in [ValueCodec::Narrow, ValueCodec::Zstd] {
            assert_eq!(decode(&[codec as u8, 0, 0, 0, 0], 1, &mut Vec::new()).unwrap_err().what, "codec of narrow values");
        }
    }
}
