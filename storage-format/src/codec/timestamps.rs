//! Chooses and applies the codec of a timestamp column.

use super::TimestampCodec;
use super::{delta_of_delta, grid, verify};
use crate::effort::Effort;
use crate::error::FieldFault;

/// Appends the column of at least one timestamp and tells which codec it took.
///
/// The first timestamp is not part of the column; the enclosing header holds it.
pub(crate) fn encode(timestamps: &[i64], effort: Effort, out: &mut Vec<u8>) -> TimestampCodec {
    if let Some(step) = constant_step(timestamps) {
        put_step(step, timestamps.len(), out);
        return TimestampCodec::ConstantStep;
    }
    let start = out.len();
    grid::encode(timestamps, effort, out);
    let exact = effort == Effort::Hot || {
        let mut decoded = Vec::new();
        let read = decode(TimestampCodec::Grid, &out[start..], timestamps[0], timestamps.len(), &mut decoded);
        verify::exact(read.is_ok() && decoded == timestamps)
    };
    if exact {
        return TimestampCodec::Grid;
    }
    out.truncate(start);
    encode_plain(timestamps, out)
}

/// Appends the column with the codecs of the journal.
pub(crate) fn encode_plain(timestamps: &[i64], out: &mut Vec<u8>) -> TimestampCodec {
    let Some(step) = constant_step(timestamps) else {
        delta_of_delta::encode(timestamps, out);
        return TimestampCodec::DeltaOfDelta;
    };
    put_step(step, timestamps.len(), out);
    TimestampCodec::ConstantStep
}

/// The column of constant steps; a single timestamp has none.
fn put_step(step: i64, count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&step.to_le_bytes()[..constant_step_bytes(count)]);
}

/// The step of a series whose steps are all equal, modulo 2^64; 0 for a single timestamp.
pub(crate) fn constant_step(timestamps: &[i64]) -> Option<i64> {
    let [first, second, ..] = *timestamps else {
        return Some(0);
    };
    let step = second.wrapping_sub(first);
    // Blocks without an early exit inside, so that several steps are compared at a time.
    let equal = timestamps
        .chunks(256)
        .zip(timestamps[1..].chunks(256))
        .all(|(a, b)| a.iter().zip(b).fold(0, |differs, (a, b)| differs | b.wrapping_sub(*a) ^ step) == 0);
    equal.then_some(step)
}

/// Appends `count >= 1` timestamps, the first of which is `first`.
pub(crate) fn decode(codec: TimestampCodec, bytes: &[u8], first: i64, count: usize, out: &mut Vec<i64>) -> Result<(), FieldFault> {
    match codec {
        TimestampCodec::DeltaOfDelta => delta_of_delta::decode(bytes, first, count, out),
        TimestampCodec::Grid => grid::decode(bytes, first, count, out),
        TimestampCodec::ConstantStep => {
            let expected = constant_step_bytes(count);
            if bytes.len() != expected {
                return Err(FieldFault::new("length of the timestamp step", 0, expected, bytes.len()));
            }
            let step = bytes.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
            out.reserve(count);
            let mut timestamp = first;
            out.extend(
                std::iter::repeat_with(|| {
                    let current = timestamp;
                    timestamp = timestamp.wrapping_add(step);
                    current
                })
                .take(count),
            );
            Ok(())
        }
    }
}

/// Length of a constant-step column: a single timestamp has no step.
pub(crate) const fn constant_step_bytes(count: usize) -> usize {
    if count > 1 { 8 } else { 0 }
}
