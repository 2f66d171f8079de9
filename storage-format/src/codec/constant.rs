//! A column of which every entry is the same: one lane.

use super::lane::{self, Lane};
use crate::error::Fault;

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
pub(crate) fn decode<T: Lane>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), Fault> {
    if bytes.len() != T::BYTES {
        return Err(Fault::new("length of a constant column", 0, T::BYTES, bytes.len()));
    }
    let value = lane::get(bytes).ok_or_else(|| Fault::new("constant value", 0, "0 or 1", bytes[0]))?;
    out.resize(out.len() + count, value);
    Ok(())
}
