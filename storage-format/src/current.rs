//! Entries of current values: the latest sample that a tag has in chunks, so that it is known without looking for the chunk. `keys.md` is
//! normative.

use crate::{Sample, Value, ValueType};

/// Bytes of a text at most; of a longer one there is no entry.
pub const CURRENT_TEXT_BYTES_MAX: usize = 1_024;

/// Bit of the type's byte that says that the sample has no value.
const NULL: u8 = 0x80;

/// The latest sample that a tag has in chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentEntry {
    /// Type of the tag.
    pub value_type: ValueType,
    /// The sample. Its value is of the tag's type.
    pub sample: Sample,
}

impl CurrentEntry {
    /// The bytes of the entry; `None` when its text is too long for one.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(25);
        let Sample { timestamp, value, quality } = &self.sample;
        bytes.extend(timestamp.to_le_bytes());
        bytes.extend(quality.to_le_bytes());
        bytes.push(self.value_type as u8 | if value.is_none() { NULL } else { 0 });
        match value {
            None => {}
            Some(Value::F64(value)) => bytes.extend(value.to_le_bytes()),
            Some(Value::F32(value)) => bytes.extend(value.to_le_bytes()),
            Some(Value::I64(value)) => bytes.extend(value.to_le_bytes()),
            Some(Value::U64(value)) => bytes.extend(value.to_le_bytes()),
            Some(Value::Bool(value)) => bytes.push(u8::from(*value)),
            Some(Value::State(value)) => bytes.extend(value.to_le_bytes()),
            Some(Value::String(text)) if text.len() > CURRENT_TEXT_BYTES_MAX => return None,
            Some(Value::String(text)) => bytes.extend(text.as_bytes()),
        }
        let sum = crc32c::crc32c(&bytes);
        bytes.extend(sum.to_le_bytes());
        Some(bytes)
    }

    /// The entry in these bytes; `None` when they are damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (entry, sum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(entry) != u32::from_le_bytes(*sum) {
            return None;
        }
        let (timestamp, rest) = entry.split_first_chunk::<8>()?;
        let (quality, rest) = rest.split_first_chunk::<4>()?;
        let (kind, value) = rest.split_first()?;
        let value_type = ValueType::try_from(kind & !NULL).ok()?;
        let value = if kind & NULL != 0 {
            if !value.is_empty() {
                return None;
            }
            None
        } else {
            Some(match value_type {
                ValueType::F64 => Value::F64(f64::from_le_bytes(value.try_into().ok()?)),
                ValueType::F32 => Value::F32(f32::from_le_bytes(value.try_into().ok()?)),
                ValueType::I64 => Value::I64(i64::from_le_bytes(value.try_into().ok()?)),
                ValueType::U64 => Value::U64(u64::from_le_bytes(value.try_into().ok()?)),
                ValueType::Bool => match value {
                    [0] => Value::Bool(false),
                    [1] => Value::Bool(true),
                    _ => return None,
                },
                ValueType::State => Value::State(u32::from_le_bytes(value.try_into().ok()?)),
                ValueType::String => Value::String(std::str::from_utf8(value).ok()?.to_owned()),
            })
        };
        let sample = Sample { timestamp: i64::from_le_bytes(*timestamp), value, quality: u32::from_le_bytes(*quality) };
        Some(Self { value_type, sample })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn entries() -> Vec<CurrentEntry> {
        let values = [
            Value::F64(-0.0),
            Value::F64(f64::from_bits(0x7FF8_0000_DEAD_BEEF)),
            Value::F32(1.5),
            Value::I64(i64::MIN),
            Value::U64(u64::MAX),
            Value::Bool(true),
            Value::State(7),
            Value::String("läuft".into()),
            Value::String(String::new()),
        ];
        let of = |value: &Value| CurrentEntry {
            value_type: value.value_type(),
            sample: Sample { timestamp: -5, value: Some(value.clone()), quality: 0x4000_0001 },
        };
        let null = |value: &Value| CurrentEntry { sample: Sample { value: None, quality: 0x8000_0000, ..of(value).sample }, ..of(value) };
        values.iter().map(of).chain(values.iter().map(null)).collect()
    }

    #[test]
    fn every_type_comes_back_and_no_damage_passes() {
        for entry in entries() {
            let bytes = entry.encode().unwrap();
            assert_eq!(CurrentEntry::decode(&bytes), Some(entry.clone()));
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(CurrentEntry::decode(&damaged), None, "{entry:?}, bit {bit}");
            }
            assert!((0..bytes.len()).all(|length| CurrentEntry::decode(&bytes[..length]).is_none()));
        }
    }

    #[test]
    fn the_example_of_the_specification() {
        let sample = Sample { timestamp: 1_767_225_600_000_000_000, value: Some(Value::F64(21.5)), quality: 0 };
        let entry = CurrentEntry { value_type: ValueType::F64, sample };
        let mut hex = String::new();
        entry.encode().unwrap().iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        assert!(include_str!("../keys.md").contains(&hex), "{hex}");
    }

    #[test]
    fn a_long_text_has_no_entry() {
        let of = |length| CurrentEntry {
            value_type: ValueType::String,
            sample: Sample { timestamp: 0, value: Some(Value::String("x".repeat(length))), quality: 0 },
        };
        assert!(of(CURRENT_TEXT_BYTES_MAX).encode().is_some());
        assert!(of(CURRENT_TEXT_BYTES_MAX + 1).encode().is_none());
    }
}
