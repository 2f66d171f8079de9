//! The seven value types and one value of any of them.

use std::fmt;
use std::str::FromStr;

/// Type of a tag's values; the discriminant is the id on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ValueType {
    /// IEEE 754 binary64.
    F64 = 1,
    /// IEEE 754 binary32.
    F32 = 2,
    /// Signed 64-bit integer.
    I64 = 3,
    /// Unsigned 64-bit integer.
    U64 = 4,
    /// False or true.
    Bool = 5,
    /// UTF-8 text.
    String = 6,
    /// Digital state: a number in a named state set.
    State = 7,
}

impl ValueType {
    /// Every value type, in the order of their ids.
    pub const ALL: [Self; 7] = [Self::F64, Self::F32, Self::I64, Self::U64, Self::Bool, Self::String, Self::State];

    /// The lower-case name used in configuration, CSV and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::I64 => "i64",
            Self::U64 => "u64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::State => "state",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text or id that names no value type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown value type `{0}`; expected f64, f32, i64, u64, bool, string or state")]
pub struct UnknownValueType(pub String);

impl FromStr for ValueType {
    type Err = UnknownValueType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|value_type| value_type.as_str() == text).ok_or_else(|| UnknownValueType(text.to_owned()))
    }
}

impl TryFrom<u8> for ValueType {
    type Error = UnknownValueType;

    fn try_from(id: u8) -> Result<Self, Self::Error> {
        Self::ALL.into_iter().find(|value_type| *value_type as u8 == id).ok_or_else(|| UnknownValueType(id.to_string()))
    }
}

/// One value of any type.
///
/// Equality is bitwise for floats: a NaN equals a NaN with the same bits, and -0 differs from +0.
#[derive(Clone, Debug)]
pub enum Value {
    /// IEEE 754 binary64.
    F64(f64),
    /// IEEE 754 binary32.
    F32(f32),
    /// Signed 64-bit integer.
    I64(i64),
    /// Unsigned 64-bit integer.
    U64(u64),
    /// False or true.
    Bool(bool),
    /// UTF-8 text.
    String(String),
    /// Digital state.
    State(u32),
}

impl Value {
    /// The type of this value.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::F64(_) => ValueType::F64,
            Self::F32(_) => ValueType::F32,
            Self::I64(_) => ValueType::I64,
            Self::U64(_) => ValueType::U64,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::State(_) => ValueType::State,
        }
    }

    /// The nearest f64; false is 0 and true is 1, a state is its number, text has none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nearest f64 is what is promised")]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::F64(value) => Some(*value),
            Self::F32(value) => Some(*value as f64),
            Self::I64(value) => Some(*value as f64),
            Self::U64(value) => Some(*value as f64),
            Self::Bool(value) => Some(if *value { 1.0 } else { 0.0 }),
            Self::State(value) => Some(*value as f64),
            Self::String(_) => None,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            (Self::F32(a), Self::F32(b)) => a.to_bits() == b.to_bits(),
            (Self::I64(a), Self::I64(b)) => a == b,
            (Self::U64(a), Self::U64(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::State(a), Self::State(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_round_trip() {
        for value_type in ValueType::ALL {
            assert_eq!(value_type.as_str().parse(), Ok(value_type));
            assert_eq!(ValueType::try_from(value_type as u8), Ok(value_type));
            assert_eq!(value_type.to_string(), value_type.as_str());
        }
        assert!("double".parse::<ValueType>().is_err());
        assert!(ValueType::try_from(0).is_err());
        assert!(ValueType::try_from(8).is_err());
    }

    #[test]
    fn float_equality_is_bitwise() {
        assert_eq!(Value::F64(f64::NAN), Value::F64(f64::NAN));
        assert_ne!(Value::F64(f64::NAN), Value::F64(f64::from_bits(f64::NAN.to_bits() ^ 1)));
        assert_ne!(Value::F32(0.0), Value::F32(-0.0));
        assert_ne!(Value::I64(1), Value::U64(1));
    }
}
