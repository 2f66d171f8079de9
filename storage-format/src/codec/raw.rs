//! Values as they are: lanes, bits of booleans, texts end to end.

use super::choice::{Choice, Codec, lanes};
use super::lane::{self, Lane};
use super::text;
use crate::error::FieldFault;
use crate::{ValueType, Values};

/// The codec of values.
pub(crate) struct Raw;

impl Codec for Raw {
    fn fits(_: ValueType) -> bool {
        true
    }

    fn offer_early(choice: &mut Choice<'_>) {
        // How long raw texts are is only known once they are there.
        if matches!(choice.values, Values::String(_)) {
            choice.offer(append);
        }
    }

    fn offer_late(choice: &mut Choice<'_>) {
        let bytes = lanes!(choice.values, F64 | F32 | I64 | U64 | State | Bool, values => bytes(values), Values::String(_) => return);
        if choice.bytes() >= bytes {
            choice.offer(append);
        }
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        lanes!(out, F64 | F32 | I64 | U64 | State | Bool, out => decode(bytes, count, out), Values::String(out) => text::decode(bytes, count, out))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (crate::Effort, Values) {
        let mut half = || (noise() * f64::from(u32::MAX)) as u64;
        (crate::Effort::Cold, Values::U64((0..count).map(|_| half() << 32 | half()).collect()))
    }
}

fn append(values: &Values, out: &mut Vec<u8>) -> bool {
    encode(values, out);
    true
}

/// Appends the values as they are.
pub(crate) fn encode(values: &Values, out: &mut Vec<u8>) {
    lanes!(values, F64 | F32 | I64 | U64 | State | Bool, values => put(values, out), Values::String(texts) => text::encode(texts, out));
}

fn bytes<T: Lane>(values: &[T]) -> usize {
    bytes_of::<T>(values.len())
}

fn bytes_of<T: Lane>(count: usize) -> usize {
    if T::IS_BIT { count.div_ceil(8) } else { count * T::BYTES }
}

fn put<T: Lane>(values: &[T], out: &mut Vec<u8>) {
    if T::IS_BIT {
        out.extend(values.chunks(8).map(|eight| eight.iter().rev().fold(0, |byte, bit| byte << 1 | bit.to_lane().to_le_bytes()[0])));
    } else {
        lane::put_all(values, out);
    }
}

fn decode<T: Lane>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), FieldFault> {
    let expected = bytes_of::<T>(count);
    if bytes.len() != expected {
        return Err(FieldFault::new("length of raw values", 0, expected, bytes.len()));
    }
    if T::IS_BIT {
        let unused = expected * 8 - count;
        if bytes.last().is_some_and(|last| last.leading_zeros() < unused as u32) {
            return Err(FieldFault::new("unused bits of raw values", expected - 1, "zero", "set bits"));
        }
        out.extend((0..count).map(|index| T::from_lane(u64::from(bytes[index / 8] >> (index % 8) & 1))));
    } else {
        lane::get_all(bytes, out);
    }
    Ok(())
}
