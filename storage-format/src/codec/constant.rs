//! A column of which every entry is the same: one lane, or one text.

use super::choice::{Choice, Codec, lanes};
use super::lane::{self, Lane};
use super::text;
use crate::error::FieldFault;
use crate::{StringColumn, ValueType, Values};

/// The codec of values.
pub(crate) struct Constant;

impl Codec for Constant {
    fn fits(_: ValueType) -> bool {
        true
    }

    fn offer_early(choice: &mut Choice<'_>) {
        if choice.offer(append) {
            choice.settle();
        }
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        lanes!(out, F64 | F32 | I64 | U64 | State | Bool, out => decode(bytes, count, out), Values::String(out) => decode_text(bytes, count, out))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (crate::Effort, Values) {
        (crate::Effort::Cold, Values::F64(vec![noise(); count as usize]))
    }
}

/// Appends the column of values that are all the same; false when they are not.
fn append(values: &Values, out: &mut Vec<u8>) -> bool {
    fn lanes<T: Lane>(values: &[T], out: &mut Vec<u8>) -> bool {
        let same = applies(values);
        if same {
            encode(values, out);
        }
        same
    }
    lanes!(values, F64 | F32 | I64 | U64 | State | Bool, values => lanes(values, out), Values::String(texts) => {
        let first = texts.get(0);
        let same = (1..texts.len()).all(|index| texts.get(index) == first);
        if same {
            out.extend_from_slice(first.as_bytes());
        }
        same
    })
}

/// Appends `count >= 1` strings that are all the text in `bytes`.
fn decode_text(bytes: &[u8], count: usize, out: &mut StringColumn) -> Result<(), FieldFault> {
    let total = bytes.len().saturating_mul(count);
    if total > text::BYTES_MAX {
        return Err(FieldFault::new("text of a constant column", 0, format!("at most {} bytes", text::BYTES_MAX), total));
    }
    let text = text::utf8(bytes, 0)?;
    (0..count).try_for_each(|_| text::push(out, text, 0))
}

/// True when every lane has the same bits.
pub(crate) fn applies<T: Lane>(values: &[T]) -> bool {
    let Some(first) = values.first().map(|value| value.to_lane()) else {
        return false;
    };
    // Blocks without an early exit inside, so that several lanes are compared at a time.
    values.chunks(256).all(|block| block.iter().fold(0, |differs, value| differs | value.to_lane() ^ first) == 0)
}

/// Appends the first lane.
pub(crate) fn encode<T: Lane>(values: &[T], out: &mut Vec<u8>) {
    lane::put(values.first().copied().unwrap_or_default(), out);
}

/// Appends `count` copies of the lane that is the whole of `bytes`.
pub(crate) fn decode<T: Lane>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), FieldFault> {
    if bytes.len() != T::BYTES {
        return Err(FieldFault::new("length of a constant column", 0, T::BYTES, bytes.len()));
    }
    let value = lane::get(bytes).ok_or_else(|| FieldFault::new("constant value", 0, "0 or 1", bytes[0]))?;
    out.resize(out.len() + count, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_expands_to_its_limit_and_not_beyond() {
        let mut out = StringColumn::new();
        decode_text(&[b'a'; 1_024], 1 << 16, &mut out).unwrap();
        assert_eq!((out.len(), out.bytes().len(), out.get(65_535)), (1 << 16, text::BYTES_MAX, "a".repeat(1_024).as_str()));
        assert!(decode_text(&[b'a'; 1_025], 1 << 16, &mut StringColumn::new()).is_err(), "expands too far");
    }
}
