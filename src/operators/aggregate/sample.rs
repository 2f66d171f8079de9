//! Single samples as aggregates see them: a neighbour of an interval, and what its quality makes of it.

use historian_format::rollup::Edge;
use historian_format::{Samples, Scalar, ValueType, Values};

use historian_model::Quality;
use historian_model::quality::Severity;

/// What a sample is good for. A sample without a value, or with NaN, is Bad whatever its quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Good,
    Uncertain,
    Bad,
}

impl Class {
    pub(super) fn of(quality: Quality, present: bool) -> Self {
        match quality.severity() {
            Severity::Good if present => Self::Good,
            Severity::Uncertain if present => Self::Uncertain,
            _ => Self::Bad,
        }
    }

    /// By the quality alone.
    pub(super) fn of_quality(quality: u32) -> Self {
        Self::of(Quality(quality), true)
    }
}

/// One sample beside or in an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AggregateSample {
    /// ns since 1970, UTC.
    pub timestamp: i64,
    /// The value as the nearest f64 (false 0, true 1, a state its number, text 0); 0 when there is none.
    pub number: f64,
    /// The value's bits as in [`Scalar`]; 0 for text and when there is none.
    pub bits: u64,
    /// There is a value, and it is not NaN.
    pub present: bool,
    /// OPC UA status code.
    pub quality: u32,
}

impl AggregateSample {
    /// The sample at `index`.
    ///
    /// # Panics
    /// When `index` is not below `samples.len()`, as slices do.
    pub fn at(samples: &Samples, index: usize) -> Self {
        let scalar = samples.value(index).and_then(|value| Scalar::of(&value));
        let (timestamp, quality) = (samples.timestamps[index], samples.qualities[index]);
        match (&samples.values, scalar) {
            (Values::String(_), _) => Self { timestamp, number: 0.0, bits: 0, present: samples.is_valid(index), quality },
            (_, None) => Self { timestamp, number: 0.0, bits: 0, present: false, quality },
            (_, Some(scalar)) => Self::of(timestamp, scalar.as_f64(), scalar.bits, quality),
        }
    }

    /// A sample at an edge of a state. Text is there when the state says that it was counted.
    pub(super) fn of_edge(edge: &Edge, value_type: ValueType) -> Self {
        let (timestamp, quality) = (edge.timestamp, edge.quality);
        match edge.bits {
            Some(bits) => Self::of(timestamp, Scalar { value_type, bits }.as_f64(), bits, quality),
            None => Self { timestamp, number: 0.0, bits: 0, present: value_type == ValueType::String, quality },
        }
    }

    pub(super) fn of(timestamp: i64, number: f64, bits: u64, quality: u32) -> Self {
        if number.is_nan() {
            return Self { timestamp, number: 0.0, bits, present: false, quality };
        }
        Self { timestamp, number, bits, present: true, quality }
    }

    pub(super) fn class(&self) -> Class {
        Class::of(Quality(self.quality), self.present)
    }

    pub(super) fn point(&self) -> Point {
        Point { timestamp: self.timestamp, number: self.number, class: self.class(), quality: self.quality, raw: true }
    }
}

/// A sample, or a bounding value that stands for one at the edge of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub timestamp: i64,
    pub number: f64,
    pub class: Class,
    pub quality: u32,
    /// A sample, not made from others.
    pub raw: bool,
}
