//! What every answer promises, on random data and against a naive reference; single cases by hand; the picks of another library.

mod case;
mod golden;
mod property;
mod raster;

use historian_format::{Samples, Value, ValueType};

use super::*;

/// A Bad status code.
const BAD: u32 = 0x8031_0000;
/// An Uncertain one.
const UNCERTAIN: u32 = 0x4094_0000;

/// Samples of f64.
fn samples(rows: impl IntoIterator<Item = (i64, Option<f64>, u32)>) -> Samples {
    let mut samples = Samples::new(ValueType::F64);
    for (timestamp, value, quality) in rows {
        samples.push(timestamp, value.map(Value::F64).as_ref(), quality).unwrap();
    }
    samples
}

fn rows(samples: &Samples) -> Vec<(i64, Option<f64>, u32)> {
    let number = |row: usize| samples.value(row).and_then(|value| value.as_f64());
    (0..samples.len()).map(|row| (samples.timestamps[row], number(row), samples.qualities[row])).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "as `Surroundings` have it")]
fn bound(timestamp: i64, value: f64) -> Option<Sample> {
    Some(Sample { timestamp, value: Some(Value::F64(value)), quality: Quality::INTERPOLATED })
}

/// Info bits as the engine sets them.
struct Quality;
impl Quality {
    const INTERPOLATED: u32 = 0x0402;
}

/// Downsamples in portions of `portion` rows, with the second pass where there is one.
fn run(request: DownsampleRange, around: &Surroundings, samples: &Samples, portion: usize) -> Result<Samples, DownsampleError> {
    let portions = || (0..samples.len()).step_by(portion.max(1)).map(|from| from..(from + portion.max(1)).min(samples.len()));
    let mut first = Downsampler::new(DownsamplePlan::new(request), samples.value_type(), around.clone())?;
    for rows in portions() {
        first.push(samples, rows)?;
    }
    match first.finish()? {
        CollectStep::Done(answer) => Ok(answer),
        CollectStep::SecondPass(mut second) => {
            for rows in portions() {
                second.push(samples, rows)?;
            }
            second.finish()
        }
        CollectStep::SamplesOnly => panic!("no summary was pushed"),
    }
}
