//! Shapes of data as plants have them, from a fixed seed, so that every run of every machine sees the same samples.

use historian::model::{Samples, ValueType, Values};

/// 2025-10-09T08:53:20Z.
pub const START: i64 = 1_760_000_000_000_000_000;
pub const SECOND: i64 = 1_000_000_000;

/// What a tag's samples look like. About one sample per second in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A value that does not change, at exact seconds.
    Steady,
    /// A slow random walk with a full mantissa, at exact seconds.
    Drift,
    /// A reading with two decimals, polled some milliseconds early or late.
    Jitter,
    /// White noise with a full mantissa on a wave, at exact seconds: the worst case.
    Noisy,
    /// A set point that someone moves every few minutes.
    Stepped,
    /// A totaliser (i64), polled some milliseconds early or late.
    Counter,
    /// A switch that turns about once a minute.
    Boolean,
    /// A 12-bit converter's reading in engineering units, polled some milliseconds early or late.
    Converter,
    /// A sensor that knows few levels, none of them a round number.
    Levels,
    /// A device's 32-bit float, widened to f64.
    Narrow,
    /// A digital state, any of four (state).
    State,
    /// A text, any of four (string).
    Text,
}

impl Shape {
    pub const ALL: [Shape; 12] = [
        Shape::Steady,
        Shape::Drift,
        Shape::Jitter,
        Shape::Noisy,
        Shape::Stepped,
        Shape::Counter,
        Shape::Boolean,
        Shape::Converter,
        Shape::Levels,
        Shape::Narrow,
        Shape::State,
        Shape::Text,
    ];
    /// Those with f64 values.
    pub const ANALOG: [Shape; 5] = [Shape::Steady, Shape::Drift, Shape::Jitter, Shape::Noisy, Shape::Stepped];

    pub fn name(self) -> &'static str {
        match self {
            Shape::Steady => "steady",
            Shape::Drift => "drift",
            Shape::Jitter => "jitter",
            Shape::Noisy => "noisy",
            Shape::Stepped => "stepped",
            Shape::Counter => "counter",
            Shape::Boolean => "boolean",
            Shape::Converter => "converter",
            Shape::Levels => "levels",
            Shape::Narrow => "narrow",
            Shape::State => "state",
            Shape::Text => "text",
        }
    }

    pub fn value_type(self) -> ValueType {
        match self {
            Shape::Counter => ValueType::I64,
            Shape::Boolean => ValueType::Bool,
            Shape::State => ValueType::State,
            Shape::Text => ValueType::String,
            _ => ValueType::F64,
        }
    }
}

/// One tag's endless samples.
pub struct Source {
    shape: Shape,
    random: Random,
    index: i64,
    level: f64,
    count: i64,
    on: bool,
}

impl Source {
    /// Sources of the same shape and seed give the same samples.
    pub fn new(shape: Shape, seed: u64) -> Source {
        Source { shape, random: Random::new(seed), index: 0, level: 20.0, count: 0, on: false }
    }

    /// The next samples.
    pub fn take(&mut self, count: usize) -> Samples {
        let mut samples = Samples::new(self.shape.value_type());
        samples.qualities = vec![0; count];
        for _ in 0..count {
            self.advance();
            let jitter =
                if matches!(self.shape, Shape::Jitter | Shape::Counter | Shape::Converter) { self.random.below(7) as i64 - 3 } else { 0 };
            samples.timestamps.push(START + self.index * SECOND + jitter * 1_000_000);
            match &mut samples.values {
                Values::I64(values) => values.push(self.count),
                Values::Bool(values) => values.push(self.on),
                Values::F64(values) => values.push(self.level),
                Values::State(values) => values.push(self.count as u32),
                Values::String(texts) => texts
                    .push(["running", "stopped", "starting up", "fault: over-temperature"][self.count as usize])
                    .expect("there is room"),
                other => unreachable!("no shape has values of type {}", other.value_type()),
            }
            self.index += 1;
        }
        samples
    }

    fn advance(&mut self) {
        let wave = (self.index as f64 / 500.0).sin() * 10.0 + 50.0;
        match self.shape {
            Shape::Steady => {}
            Shape::Drift => self.level += self.random.normal() * 0.01,
            Shape::Jitter => self.level = ((wave + self.random.normal() * 0.1) * 100.0).round() / 100.0,
            Shape::Noisy => self.level = wave + self.random.normal(),
            Shape::Stepped => {
                if self.random.below(200) == 0 {
                    self.level += 1.5;
                }
            }
            Shape::Counter => self.count += self.random.below(5) as i64,
            Shape::Boolean => self.on ^= self.random.below(60) == 0,
            Shape::Converter => self.level = -50.0 + (wave * 20.0 + self.random.normal()).round() * (160.0 / 4095.0),
            Shape::Levels => self.level = ((self.random.normal() * 2.0).round() + 20.0).sqrt(),
            Shape::Narrow => self.level = f64::from((wave + self.random.normal() * 0.1) as f32),
            Shape::State | Shape::Text => self.count = self.random.below(4) as i64,
        }
    }
}

/// xorshift64*: ours, because a generator of a library may give other numbers in its next version.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// About normal, mean 0, deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next() as f64 / u64::MAX as f64).sum::<f64>() - 6.0
    }
}
