//! What a filter would have left out of samples that are known, and how far what is read then lies from them.

use super::{number::number, sample_filter::SampleFilter, setting::TagFilter};
use crate::{Sample, Value, ValueType};

/// What became of a run of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Replay {
    /// Samples taken.
    pub samples: u64,
    /// Samples passed.
    pub kept: u64,
    /// Samples whose number was compared with what is read at their times.
    pub compared: u64,
    /// Greatest distance of these, in engineering units.
    pub error_max: f64,
    /// Root mean square of the distances.
    pub error_rms: f64,
}

/// Runs the samples of a tag, in the order in which they come, through a filter, and answers with what it passes.
///
/// Read is, as queries do, the last sample at or before a time where the tag is stepped or of whole numbers, else the straight line between two
/// samples that are numbers.
pub fn replay(samples: &[Sample], setting: &TagFilter, value_type: ValueType, stepped: bool) -> (Replay, Vec<Sample>) {
    let mut kept = Vec::new();
    match SampleFilter::new(setting, value_type, stepped) {
        None => kept.extend_from_slice(samples),
        Some(mut filter) => {
            for sample in samples {
                filter.take(sample.clone(), &mut kept);
            }
            filter.flush(&mut kept);
        }
    }
    let passed = kept.len() as u64;
    // As they are read: in the order of time, and of several of one time the last.
    kept.reverse();
    kept.sort_by_key(|sample| sample.timestamp);
    kept.dedup_by_key(|sample| sample.timestamp);
    let holds = stepped || !matches!(value_type, ValueType::F64 | ValueType::F32);
    let (mut compared, mut error_max, mut squares) = (0_u64, 0.0_f64, 0.0_f64);
    for sample in samples {
        let Some((was, read)) = number(sample).zip(read(&kept, sample.timestamp, holds)) else { continue };
        let error = (was - read).abs();
        compared += 1;
        error_max = error_max.max(error);
        squares += error * error;
    }
    let error_rms = if compared == 0 { 0.0 } else { (squares / compared as f64).sqrt() };
    (Replay { samples: samples.len() as u64, kept: passed, compared, error_max, error_rms }, kept)
}

/// What is read at a time, where it is a number.
fn read(kept: &[Sample], at: i64, holds: bool) -> Option<f64> {
    let next = kept.partition_point(|sample| sample.timestamp <= at);
    let earlier = kept.get(next.checked_sub(1)?)?;
    let first = number(earlier)?;
    let Some((later, second)) = kept.get(next).and_then(|later| Some((later, number(later)?))) else { return Some(first) };
    if holds || earlier.timestamp == at {
        return Some(first);
    }
    let span = (i128::from(later.timestamp) - i128::from(earlier.timestamp)) as f64;
    let part = (i128::from(at) - i128::from(earlier.timestamp)) as f64 / span;
    let on_line = first + (second - first) * part;
    Some(if matches!(earlier.value, Some(Value::F32(_))) { f64::from(on_line as f32) } else { on_line })
}
