//! The way from columns of samples to what detectors score: the counted samples of a run, as dense columns.
//!
//! *Counted* means here what it means in chunk statistics and rollups: the quality is Good, the value is present and a number. So an
//! answer made from statistics equals one made from samples. With `include_uncertain` Uncertain samples count as well. Bad samples never
//! do: a device that cannot measure is no anomaly of the process. Infinite values are skipped too; they come of a broken calculation and
//! would make every mean and every score infinite.

use historian_model::{Samples, Values};

/// Counted samples of one pushed run, in time order.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    pub timestamps: &'a [i64],
    pub values: &'a [f64],
    /// Positions among the counted samples (0 to their number) before which samples stand that are not counted.
    pub breaks: &'a [usize],
    /// The whole run, counted or not.
    pub samples: &'a Samples,
    include_uncertain: bool,
}

/// Memory for columns that could not be borrowed, kept from run to run.
#[derive(Debug, Default)]
pub struct Scratch {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    breaks: Vec<usize>,
}

/// True when a sample of this quality may be scored.
pub fn usable(quality: u32, include_uncertain: bool) -> bool {
    quality >> 30 <= u32::from(include_uncertain)
}

impl Scratch {
    /// The counted samples of `samples`. Borrowed without a copy in the usual case: f64, all Good, all numbers.
    pub fn column<'a>(&'a mut self, samples: &'a Samples, include_uncertain: bool) -> Column<'a> {
        if let Some(values) = all_counted(samples, include_uncertain) {
            return Column { timestamps: &samples.timestamps, values, breaks: &[], samples, include_uncertain };
        }
        self.timestamps.clear();
        self.values.clear();
        self.breaks.clear();
        match &samples.values {
            Values::F64(values) => self.gather(samples, include_uncertain, values.iter().copied()),
            Values::F32(values) => self.gather(samples, include_uncertain, values.iter().map(|value| f64::from(*value))),
            Values::I64(values) => self.gather(samples, include_uncertain, values.iter().map(|value| *value as f64)),
            Values::U64(values) => self.gather(samples, include_uncertain, values.iter().map(|value| *value as f64)),
            Values::Bool(values) => self.gather(samples, include_uncertain, values.iter().map(|value| f64::from(u8::from(*value)))),
            Values::State(values) => self.gather(samples, include_uncertain, values.iter().map(|value| f64::from(*value))),
            Values::String(_) => {}
        }
        Column { timestamps: &self.timestamps, values: &self.values, breaks: &self.breaks, samples, include_uncertain }
    }

    fn gather(&mut self, samples: &Samples, include_uncertain: bool, values: impl Iterator<Item = f64>) {
        for (row, value) in values.enumerate() {
            if usable(samples.qualities[row], include_uncertain) && value.is_finite() && samples.is_valid(row) {
                self.timestamps.push(samples.timestamps[row]);
                self.values.push(value);
            } else if self.breaks.last() != Some(&self.values.len()) {
                self.breaks.push(self.values.len());
            }
        }
    }
}

/// The values of a run of f64 of which every sample is counted.
fn all_counted(samples: &Samples, include_uncertain: bool) -> Option<&[f64]> {
    let Values::F64(values) = &samples.values else { return None };
    let worst = samples.qualities.iter().fold(0, |worst, quality| worst.max(*quality));
    let finite = values.iter().fold(true, |all, value| all & (value.abs() <= f64::MAX));
    (usable(worst, include_uncertain) && finite && samples.null_count() == 0).then_some(values)
}

impl<'a> Column<'a> {
    /// Stretches of counted samples between those that are not; the second part tells that an uncounted one follows.
    pub fn stretches(&self) -> impl Iterator<Item = (std::ops::Range<usize>, bool)> + use<'a> {
        let (breaks, len) = (self.breaks, self.values.len());
        (0..=breaks.len()).map(move |at| {
            let from = if at == 0 { 0 } else { breaks[at - 1] };
            (from..breaks.get(at).copied().unwrap_or(len), at < breaks.len())
        })
    }

    /// Timestamps of the samples that a device delivered in usable quality, whatever their type and value.
    pub fn usable_timestamps(&self) -> impl Iterator<Item = i64> + use<'a> {
        let include_uncertain = self.include_uncertain;
        let rows = self.samples.timestamps.iter().zip(&self.samples.qualities);
        rows.filter(move |(_, quality)| usable(**quality, include_uncertain)).map(|(timestamp, _)| *timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{Value, ValueType};

    fn samples(value_type: ValueType, rows: &[(Option<Value>, u32)]) -> Samples {
        let mut samples = Samples::new(value_type);
        for (at, (value, quality)) in rows.iter().enumerate() {
            samples.push(at as i64, value.as_ref(), *quality).unwrap();
        }
        samples
    }

    const BAD: u32 = 0x8000_0000;
    const UNCERTAIN: u32 = 0x4000_0000;

    #[test]
    fn only_good_numbers_count_and_breaks_tell_where_others_stood() {
        let number = |value| Some(Value::F64(value));
        let run = samples(
            ValueType::F64,
            &[(number(1.0), BAD), (number(2.0), 0), (None, 0), (number(f64::NAN), 0), (number(3.0), 0), (number(4.0), UNCERTAIN)],
        );
        let mut scratch = Scratch::default();
        let column = scratch.column(&run, false);
        assert_eq!((column.timestamps, column.values, column.breaks), (&[1, 4][..], &[2.0, 3.0][..], &[0, 1, 2][..]));
        assert_eq!(column.stretches().collect::<Vec<_>>(), [(0..0, true), (0..1, true), (1..2, true), (2..2, false)]);
        assert_eq!(column.usable_timestamps().collect::<Vec<_>>(), [1, 2, 3, 4]);
        let column = scratch.column(&run, true);
        assert_eq!((column.values, column.breaks), (&[2.0, 3.0, 4.0][..], &[0, 1][..]));
        let infinite = samples(ValueType::F64, &[(number(f64::INFINITY), 0), (number(1.0), 0)]);
        assert_eq!(scratch.column(&infinite, false).values, [1.0]);
    }

    #[test]
    fn every_type_of_number_is_taken_and_text_has_none() {
        let mut scratch = Scratch::default();
        for (value, expected) in [
            (Value::F32(1.5), Some(1.5)),
            (Value::I64(-3), Some(-3.0)),
            (Value::U64(7), Some(7.0)),
            (Value::Bool(true), Some(1.0)),
            (Value::State(4), Some(4.0)),
            (Value::String("x".into()), None),
        ] {
            let run = samples(value.value_type(), &[(Some(value.clone()), 0)]);
            assert_eq!(scratch.column(&run, false).values.first().copied(), expected, "{value:?}");
        }
    }
}
