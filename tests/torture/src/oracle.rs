//! What every sample is: timestamp, value and quality follow from seed, tag and number, so that whoever reads a sample can tell whether it
//! is the one that was sent.

use historian_format::{Value, ValueType};
use historian_proto::v1::{
    BoolColumn, DoubleColumn, FloatColumn, SignedColumn, StateColumn, StringColumn, TagSamples, UnsignedColumn, Values, values::Column,
};

/// A seeded mix of all bits.
pub fn hash(seed: u64, a: u64, b: u64) -> u64 {
    let mut bits = seed ^ a.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_add(1).wrapping_mul(0xD1B5_4A32_D192_ED03);
    for shift in [30, 27, 31] {
        bits = (bits ^ (bits >> shift)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    }
    bits
}

/// A seeded row of numbers, for choices of a test that are not samples.
pub struct Dice {
    seed: u64,
    rolled: u64,
}

impl Dice {
    pub fn new(seed: u64, what: u64) -> Dice {
        Dice { seed: hash(seed, 0xD1CE, what), rolled: 0 }
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.rolled += 1;
        hash(self.seed, 1, self.rolled) % end.max(1)
    }

    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// 2025-06-15T15:06:40Z: in the past of every machine this runs on, so that no bound on future timestamps is met.
const BASE_NS: i64 = 1_750_000_000_000_000_000;
/// From one number to the next.
pub const STEP_NS: i64 = 1_000_000;

/// Bits of a value, so that NaN equals itself and -0 does not equal 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bits {
    Null,
    Number(u64),
    Text(String),
}

impl Bits {
    pub fn of(value: Option<&Value>) -> Bits {
        match value {
            None => Bits::Null,
            Some(Value::F64(value)) => Bits::Number(value.to_bits()),
            Some(Value::F32(value)) => Bits::Number(u64::from(value.to_bits())),
            Some(Value::I64(value)) => Bits::Number(*value as u64),
            Some(Value::U64(value)) => Bits::Number(*value),
            Some(Value::Bool(value)) => Bits::Number(u64::from(*value)),
            Some(Value::State(value)) => Bits::Number(u64::from(*value)),
            Some(Value::String(value)) => Bits::Text(value.clone()),
        }
    }
}

/// One sample as it is sent and as it must be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub timestamp: i64,
    pub bits: Bits,
    pub quality: u32,
}

impl Cell {
    /// Neither Bad nor Uncertain.
    pub fn is_good(&self) -> bool {
        self.quality >> 30 == 0
    }
}

/// A tag of the oracle.
#[derive(Clone, Debug)]
pub struct TagPlan {
    pub name: String,
    pub value_type: ValueType,
    seed: u64,
    /// Which kind of signal, for tags of type f64.
    shape: u64,
    /// Timestamps off the beat.
    irregular: bool,
}

const QUALITIES: [u32; 8] = [0, 0, 0, 0, 0, 0x4000_0000, 0x8031_0000, 0x0000_0400];
const BAD_NO_COMMUNICATION: u32 = 0x8031_0000;

impl TagPlan {
    pub fn new(name: String, value_type: ValueType, seed: u64, index: u64) -> TagPlan {
        TagPlan { name, value_type, seed: hash(seed, 0x7A6, index), shape: index, irregular: index % 3 == 1 }
    }

    /// The value of a number; `None` is a sample that says why there is none.
    pub fn value(&self, number: u64) -> Option<Value> {
        let bits = hash(self.seed, 2, number);
        if bits.is_multiple_of(37) {
            return None;
        }
        // Runs, decimals and noise, so that every codec has its turn.
        let run = hash(self.seed, 3, number / 50);
        Some(match self.value_type {
            ValueType::F64 => Value::F64(match self.shape % 4 {
                0 => f64::from_bits(bits),
                1 => ((number % 5_000) as f64 + (bits % 7) as f64) / 10.0,
                2 => (run % 100) as f64,
                _ => number as f64,
            }),
            ValueType::F32 => Value::F32(f32::from_bits(bits as u32)),
            ValueType::I64 => Value::I64((number as i64).wrapping_mul(3).wrapping_sub((bits % 5) as i64)),
            ValueType::U64 => Value::U64(bits),
            ValueType::Bool => Value::Bool(run % 2 == 1),
            ValueType::State => Value::State((run % 6) as u32),
            ValueType::String => Value::String(format!("batch {} of {}", run % 1_000, number % 3)),
        })
    }

    pub fn timestamp(&self, number: u64) -> i64 {
        let jitter = if self.irregular { (hash(self.seed, 4, number) % (STEP_NS as u64 / 2)) as i64 } else { 0 };
        start_of(number) + jitter
    }

    pub fn quality(&self, number: u64) -> u32 {
        if hash(self.seed, 2, number).is_multiple_of(37) {
            return BAD_NO_COMMUNICATION;
        }
        QUALITIES[(hash(self.seed, 5, number / 20) % 8) as usize]
    }

    pub fn cell(&self, number: u64) -> Cell {
        Cell { timestamp: self.timestamp(number), bits: Bits::of(self.value(number).as_ref()), quality: self.quality(number) }
    }

    /// The samples of these numbers as gRPC takes them.
    pub fn samples(&self, numbers: std::ops::Range<u64>) -> TagSamples {
        let values: Vec<Option<Value>> = numbers.clone().map(|number| self.value(number)).collect();
        TagSamples {
            tag: self.name.clone(),
            timestamps: numbers.clone().map(|number| self.timestamp(number)).collect(),
            qualities: numbers.map(|number| self.quality(number)).collect(),
            nulls: values.iter().zip(0..).filter(|(value, _)| value.is_none()).map(|(_, index)| index).collect(),
            values: Some(Values { column: Some(column(self.value_type, values)) }),
        }
    }
}

/// Where the time of a number begins: all its samples lie between this and that of the next.
pub fn start_of(number: u64) -> i64 {
    BASE_NS + number as i64 * STEP_NS
}

/// The number a timestamp belongs to, when it can belong to one.
pub fn number_at(timestamp: i64) -> Option<u64> {
    u64::try_from(timestamp.checked_sub(BASE_NS)?).ok().map(|since| since / STEP_NS as u64)
}

fn column(value_type: ValueType, values: Vec<Option<Value>>) -> Column {
    macro_rules! gathered {
        ($variant:ident) => {
            values
                .into_iter()
                .map(|value| if let Some(Value::$variant(value)) = value { value.into() } else { Default::default() })
                .collect()
        };
    }
    match value_type {
        ValueType::F64 => Column::F64(DoubleColumn { values: gathered!(F64) }),
        ValueType::F32 => Column::F32(FloatColumn { values: gathered!(F32) }),
        ValueType::I64 => Column::I64(SignedColumn { values: gathered!(I64) }),
        ValueType::U64 => Column::U64(UnsignedColumn { values: gathered!(U64) }),
        ValueType::Bool => Column::Bool(BoolColumn { values: gathered!(Bool) }),
        ValueType::State => Column::State(StateColumn { values: gathered!(State) }),
        ValueType::String => Column::String(StringColumn { values: gathered!(String) }),
    }
}

/// The samples of an answer.
pub fn cells(samples: &TagSamples) -> Vec<Cell> {
    let bits: Vec<Bits> = match samples.values.as_ref().and_then(|values| values.column.as_ref()) {
        None => Vec::new(),
        Some(Column::F64(column)) => column.values.iter().map(|value| Bits::Number(value.to_bits())).collect(),
        Some(Column::F32(column)) => column.values.iter().map(|value| Bits::Number(u64::from(value.to_bits()))).collect(),
        Some(Column::I64(column)) => column.values.iter().map(|value| Bits::Number(*value as u64)).collect(),
        Some(Column::U64(column)) => column.values.iter().map(|value| Bits::Number(*value)).collect(),
        Some(Column::Bool(column)) => column.values.iter().map(|value| Bits::Number(u64::from(*value))).collect(),
        Some(Column::String(column)) => column.values.iter().map(|value| Bits::Text(value.clone())).collect(),
        Some(Column::State(column)) => column.values.iter().map(|value| Bits::Number(u64::from(*value))).collect(),
    };
    let mut cells: Vec<Cell> = samples
        .timestamps
        .iter()
        .zip(bits)
        .enumerate()
        .map(|(index, (&timestamp, bits))| Cell { timestamp, bits, quality: samples.qualities.get(index).copied().unwrap_or(0) })
        .collect();
    for &null in &samples.nulls {
        if let Some(cell) = cells.get_mut(null as usize) {
            cell.bits = Bits::Null;
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [ValueType; 7] =
        [ValueType::F64, ValueType::F32, ValueType::I64, ValueType::U64, ValueType::Bool, ValueType::State, ValueType::String];

    #[test]
    fn what_is_sent_is_what_is_expected() {
        for (index, value_type) in (0..).zip(TYPES) {
            let tag = TagPlan::new("t".into(), value_type, 7, index);
            let expected: Vec<Cell> = (100..400).map(|number| tag.cell(number)).collect();
            assert_eq!(cells(&tag.samples(100..400)), expected, "{value_type}");
            assert!(expected.iter().any(|cell| cell.bits == Bits::Null), "{value_type} has no null among 300");
            for (number, cell) in (100..).zip(&expected) {
                assert_eq!(number_at(cell.timestamp), Some(number));
            }
        }
    }

    #[test]
    fn another_seed_gives_other_samples() {
        let tag = |seed| TagPlan::new("t".into(), ValueType::U64, seed, 0);
        let same = (0..1_000).filter(|&number| tag(1).cell(number) == tag(2).cell(number)).count();
        assert!(same < 5, "{same} of 1,000 samples do not depend on the seed");
    }
}
