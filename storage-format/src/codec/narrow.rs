//! f64 values that are all f32 numbers, as devices with a Float register deliver them: stored as f32
//! with whichever codec is smallest for that type.

use super::{ValueCodec, values};
use crate::chunk::Effort;
use crate::error::Fault;

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
pub(crate) fn encode(values: &[f64], effort: Effort, out: &mut Vec<u8>) -> bool {
    let Some(narrowed) = narrowed(values) else {
        return false;
    };
    let at = out.len();
    out.push(0);
    out[at] = values::encode_narrow(&narrowed, effort, out) as u8;
    true
}

/// Appends `count` values.
pub(crate) fn decode(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), Fault> {
    let Some((&id, column)) = bytes.split_first() else {
        return Err(Fault::new("codec of narrow values", 0, "a byte", "the end"));
    };
    let codec = ValueCodec::from_id(id)
        .filter(|codec| *codec != ValueCodec::Narrow && values::fits(*codec, crate::ValueType::F32))
        .ok_or_else(|| Fault::new("codec of narrow values", 0, "one for f32", id))?;
    let mut narrow: Vec<f32> = Vec::new();
    values::decode_lanes(codec, column, count, &mut narrow).map_err(|fault| fault.shifted(1))?;
    if narrow.iter().any(|value| value.is_nan()) {
        return Err(Fault::new("narrow values", 1, "no NaN", "one"));
    }
    out.extend(narrow.iter().map(|value| f64::from(*value)));
    Ok(())
}
