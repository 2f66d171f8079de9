//! Pairs of run length and lane, for columns that rarely change: setpoints, states, booleans, qualities.

use super::bits::{get_varint, put_varint, varint_bytes};
use super::choice::{Choice, Codec, lanes, misfit};
use super::lane::{self, Lane};
use crate::effort::Effort;
use crate::error::FieldFault;
use crate::{ValueType, Values};

/// The codec of values.
pub(crate) struct RunLength;

impl Codec for RunLength {
    fn fits(value_type: ValueType) -> bool {
        !matches!(value_type, ValueType::String)
    }

    /// Runs that take less than a bit a value need no comparison with others.
    fn offer_early(choice: &mut Choice<'_>) {
        let effort = choice.effort;
        let (run_count, few) = lanes!(choice.values, F64 | F32 | I64 | U64 | State | Bool, values => few_runs(values, effort), _ => return);
        if few {
            choice.offer(append);
            if effort == Effort::Hot {
                choice.settle();
            }
        } else {
            choice.run_count = Some(run_count);
        }
    }

    fn offer_late(choice: &mut Choice<'_>) {
        let Some(run_count) = choice.run_count else { return };
        let limit = choice.bytes().saturating_sub(1);
        if lanes!(choice.values, F64 | F32 | I64 | U64 | State | Bool, values => are_within(values, run_count, limit), _ => false) {
            choice.offer(append);
        }
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        lanes!(out, F64 | F32 | I64 | U64 | State | Bool, out => decode(bytes, count, out), other => Err(misfit("run_length", other)))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (Effort, Values) {
        let mut value = 0.0;
        let next = |index: u32| {
            value = if index.is_multiple_of(70) { noise().sqrt() } else { value };
            value
        };
        (Effort::Hot, Values::F64((0..count).map(next).collect()))
    }
}

fn append(values: &Values, out: &mut Vec<u8>) -> bool {
    lanes!(values, F64 | F32 | I64 | U64 | State | Bool, values => encode(values, out), _ => return false);
    true
}

/// The number of runs, and whether they are few. A hot column that mostly changes in its first values is not looked at further.
fn few_runs<T: Lane>(values: &[T], effort: Effort) -> (usize, bool) {
    let first = &values[..values.len().min(64)];
    let changing = effort == Effort::Hot && runs(first) * 2 > first.len() && values.len() > first.len();
    let run_count = if changing { values.len() } else { runs(values) };
    (run_count, are_within(values, run_count, T::BYTES + values.len() / 8))
}

/// Whether the runs take at most `limit` bytes. A run takes its lane and at least one byte: most columns have too many for a closer look.
fn are_within<T: Lane>(values: &[T], run_count: usize, limit: usize) -> bool {
    run_count * (T::BYTES + 1) <= limit && size_within(values, limit).is_some()
}

/// Bytes that `encode` would append, or `None` as soon as they pass `limit`.
pub(crate) fn size_within<T: Lane>(values: &[T], limit: usize) -> Option<usize> {
    // A cheap bound first: each run takes its lane and at least one byte.
    if runs(values) * (T::BYTES + 1) > limit {
        return None;
    }
    let mut size = 0;
    for run in values.chunk_by(|a, b| a.to_lane() == b.to_lane()) {
        size += varint_bytes(run.len() as u64) + T::BYTES;
    }
    (size <= limit).then_some(size)
}

/// Number of runs of equal lanes.
pub(crate) fn runs<T: Lane>(values: &[T]) -> usize {
    let later = values.get(1..).unwrap_or_default();
    let changes: usize = values
        .chunks(256)
        .zip(later.chunks(256))
        .map(|(before, after)| {
            let changed = before.iter().zip(after).map(|(a, b)| u64::from(a.to_lane() != b.to_lane()));
            usize::try_from(changed.sum::<u64>()).unwrap_or(usize::MAX)
        })
        .sum();
    changes + usize::from(!values.is_empty())
}

/// Appends every run.
pub(crate) fn encode<T: Lane>(values: &[T], out: &mut Vec<u8>) {
    for run in values.chunk_by(|a, b| a.to_lane() == b.to_lane()) {
        put_varint(run.len() as u64, out);
        lane::put(run[0], out);
    }
}

/// Appends `count` lanes from the runs in `bytes`.
pub(crate) fn decode<T: Lane>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), FieldFault> {
    let mut at = 0;
    let mut missing = count;
    out.reserve(count);
    while at < bytes.len() {
        let start = at;
        let length = get_varint(bytes, &mut at, "run length")?;
        if length == 0 || length > missing {
            return Err(FieldFault::new("run length", start, format!("1 to {missing}"), length));
        }
        let value = bytes.get(at..).and_then(lane::get::<T>);
        let value = value.ok_or_else(|| FieldFault::new("value of a run", at, "a whole value of the type", "other bytes"))?;
        at += T::BYTES;
        out.resize(out.len() + length, value);
        missing -= length;
    }
    if missing > 0 {
        return Err(FieldFault::new("samples in the runs", bytes.len(), count, count - missing));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_across_blocks() {
        assert_eq!(runs::<u32>(&[]), 0);
        assert_eq!(runs(&[7_u32; 600]), 1);
        assert_eq!(runs(&(0..600_u32).map(|index| index / 256).collect::<Vec<_>>()), 3);
        assert_eq!(runs(&(0..600_u32).collect::<Vec<_>>()), 600);
        assert_eq!(runs(&[0.0, -0.0, f64::NAN, f64::NAN]), 3);
    }

    #[test]
    fn size_is_what_encode_appends() {
        let mut values = vec![3_u32; 200];
        values.extend([4, 4, 5]);
        let mut bytes = Vec::new();
        encode(&values, &mut bytes);
        assert_eq!(size_within(&values, 100), Some(bytes.len()));
        assert_eq!(bytes.len(), 2 + 4 + 5 + 5);
        assert_eq!(size_within(&values, bytes.len() - 1), None);
        let mut read = vec![1];
        decode(&bytes, 203, &mut read).unwrap();
        assert_eq!(read[1..], values);
        for count in [0, 202, 204] {
            assert!(decode::<u32>(&bytes, count, &mut Vec::new()).is_err());
        }
        assert!(decode::<bool>(&[2, 2], 2, &mut Vec::new()).is_err(), "2 is not a boolean");
        assert!(decode::<bool>(&[0, 1], 0, &mut Vec::new()).is_err(), "an empty run");
    }
}
