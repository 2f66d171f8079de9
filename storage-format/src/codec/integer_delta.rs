//! Integers as the differences of neighbours, bit-packed: counters and totals, where Gorilla's XOR
//! sees noise whenever a carry ripples.

use super::bits::unzigzag;
#[cfg(test)]
use super::bits::zigzag;
#[cfg(test)]
use super::blocks::put_block;
use super::blocks::{BLOCK, get_block};
use super::choice::{Codec, lanes, misfit};
use super::lane::Lane;
use crate::error::Fault;
use crate::{ValueType, Values};

/// The codec of values.
pub(crate) struct IntegerDelta;

impl Codec for IntegerDelta {
    fn fits(value_type: ValueType) -> bool {
        matches!(value_type, ValueType::I64 | ValueType::U64)
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), Fault> {
        lanes!(out, I64 | U64, out => decode(bytes, count, out), other => Err(misfit("integer_delta", other)))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (crate::Effort, Values) {
        (crate::Effort::Hot, Values::I64((0..count).map(|_| (noise() * 1e6) as i64).collect()))
    }
}

/// Appends the column: the first lane in 8 bytes, then blocks of zigzag differences modulo 2^64. No longer
/// written (`packed` is smaller); the tests of the reader need it.
#[cfg(test)]
fn encode<T: Lane>(values: &[T], out: &mut Vec<u8>) {
    let Some(first) = values.first() else {
        return;
    };
    out.extend_from_slice(&first.to_lane().to_le_bytes());
    let mut numbers = [0; BLOCK];
    for (before, after) in values.chunks(BLOCK).zip(values[1..].chunks(BLOCK)) {
        let numbers = &mut numbers[..after.len()];
        for (number, (a, b)) in numbers.iter_mut().zip(before.iter().zip(after)) {
            *number = zigzag(b.to_lane().wrapping_sub(a.to_lane()).cast_signed());
        }
        put_block(numbers, out);
    }
}

/// Appends `count >= 1` lanes.
fn decode<T: Lane>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), Fault> {
    let (Some(first), 1..) = (bytes.first_chunk(), count) else {
        return Err(Fault::new("values", 0, "a sample and 8 bytes or more", format!("{count} and {}", bytes.len())));
    };
    let start = out.len();
    out.resize(start + count, T::default());
    let mut lane = u64::from_le_bytes(*first);
    out[start] = T::from_lane(lane);
    let mut numbers = [0; BLOCK];
    let mut at = 8;
    for block in out[start + 1..].chunks_mut(BLOCK) {
        let numbers = &mut numbers[..block.len()];
        get_block(bytes, &mut at, numbers)?;
        for (slot, number) in block.iter_mut().zip(numbers) {
            lane = lane.wrapping_add(unzigzag(*number).cast_unsigned());
            *slot = T::from_lane(lane);
        }
    }
    if at != bytes.len() {
        return Err(Fault::new("end of the values", at, bytes.len(), at));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_series_survives(values in proptest::collection::vec(any::<u64>(), 1..300), shift in 0_u32..64) {
            let values: Vec<u64> = values.into_iter().map(|value| value >> shift).collect();
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let mut read = vec![3];
            decode(&bytes, values.len(), &mut read).unwrap();
            prop_assert_eq!(&read[1..], &values);
            prop_assert!(decode::<u64>(&bytes[..bytes.len() - 1], values.len(), &mut read).is_err());
        }
    }
}
