//! Datatypes of Sparkplug B and the scalars among them.
//!
//! The field in which a value came need not be the one that the standard names for its type: makes sign-extend to 8, 16, 32 or 64 bits and
//! put 32-bit numbers into either field. A value is taken where it can mean one number only. What does not fit its type is Bad, and NaN is
//! "no value", as with the other collectors.

use historian_model::{Quality, Value, ValueType};

use super::payload::RawScalar;

/// A datatype by its number in the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SparkplugType {
    Scalar(ScalarType),
    DataSet,
    Template,
    Array(ScalarType),
    /// Bytes, File, property sets, and numbers that the standard does not have.
    Unmapped(u32),
}

/// The datatypes of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScalarType {
    /// By its bits: 8, 16, 32 or 64.
    Signed(u32),
    Unsigned(u32),
    Float,
    Double,
    Boolean,
    /// String, Text and UUID.
    Text,
    /// ms since 1970.
    DateTime,
}

impl SparkplugType {
    /// The type with this number; None for 0 ("unknown").
    pub fn numbered(number: u32) -> Option<SparkplugType> {
        use ScalarType::{Boolean, DateTime, Double, Float, Signed, Text, Unsigned};
        Some(match number {
            0 => return None,
            1..=4 => SparkplugType::Scalar(Signed(4 << number)),
            5..=8 => SparkplugType::Scalar(Unsigned(4 << (number - 4))),
            9 => SparkplugType::Scalar(Float),
            10 => SparkplugType::Scalar(Double),
            11 => SparkplugType::Scalar(Boolean),
            12 | 14 | 15 => SparkplugType::Scalar(Text),
            13 => SparkplugType::Scalar(DateTime),
            16 => SparkplugType::DataSet,
            19 => SparkplugType::Template,
            22..=25 => SparkplugType::Array(Signed(4 << (number - 21))),
            26..=29 => SparkplugType::Array(Unsigned(4 << (number - 25))),
            30 => SparkplugType::Array(Float),
            31 => SparkplugType::Array(Double),
            32 => SparkplugType::Array(Boolean),
            33 => SparkplugType::Array(Text),
            34 => SparkplugType::Array(DateTime),
            _ => SparkplugType::Unmapped(number),
        })
    }
}

impl ScalarType {
    /// The type of the samples.
    pub fn value_type(self) -> ValueType {
        match self {
            ScalarType::Signed(_) | ScalarType::DateTime => ValueType::I64,
            ScalarType::Unsigned(_) => ValueType::U64,
            ScalarType::Float => ValueType::F32,
            ScalarType::Double => ValueType::F64,
            ScalarType::Boolean => ValueType::Bool,
            ScalarType::Text => ValueType::String,
        }
    }

    /// The type that a value has which comes with none: integers do not tell their sign, so they have none.
    pub fn of_raw(raw: &RawScalar) -> Option<ScalarType> {
        match raw {
            RawScalar::Int(_) | RawScalar::Long(_) => None,
            RawScalar::Float(_) => Some(ScalarType::Float),
            RawScalar::Double(_) => Some(ScalarType::Double),
            RawScalar::Boolean(_) => Some(ScalarType::Boolean),
            RawScalar::Text(_) => Some(ScalarType::Text),
        }
    }
}

/// A value and its quality. Where a value was there and was not taken as it is, `problem` tells why.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ScalarReading {
    pub value: Option<Value>,
    pub quality: Quality,
    pub problem: Option<String>,
}

impl ScalarReading {
    /// No value, told by the edge itself.
    pub const NONE: ScalarReading = ScalarReading { value: None, quality: Quality::BAD_NO_DATA, problem: None };

    /// A value; NaN is none.
    pub fn good(value: Value) -> ScalarReading {
        let is_nan = match value {
            Value::F64(value) => value.is_nan(),
            Value::F32(value) => value.is_nan(),
            _ => false,
        };
        if is_nan { ScalarReading::NONE } else { ScalarReading { value: Some(value), quality: Quality::GOOD, problem: None } }
    }

    fn bad(quality: Quality, problem: String) -> ScalarReading {
        ScalarReading { value: None, quality, problem: Some(problem) }
    }

    /// Reads a value of this type.
    pub fn read(raw: &RawScalar, scalar: ScalarType) -> ScalarReading {
        let misfit = || ScalarReading::bad(Quality::BAD_TYPE_MISMATCH, format!("{raw:?} came for a metric of type {scalar:?}"));
        let beyond = |bits| ScalarReading::bad(Quality::BAD_OUT_OF_RANGE, format!("{raw:?} does not fit {bits} bits ({scalar:?})"));
        match (scalar, raw) {
            (ScalarType::Signed(bits), RawScalar::Int(_) | RawScalar::Long(_)) => {
                signed(raw, bits).map_or_else(|| beyond(bits), |value| ScalarReading::good(Value::I64(value)))
            }
            (ScalarType::Unsigned(bits), RawScalar::Int(_) | RawScalar::Long(_)) => {
                let value = whole(raw);
                if bits < 64 && value >> bits != 0 { beyond(bits) } else { ScalarReading::good(Value::U64(value)) }
            }
            (ScalarType::DateTime, RawScalar::Int(_) | RawScalar::Long(_)) => ScalarReading::good(Value::I64(whole(raw) as i64)),
            (ScalarType::Float, RawScalar::Float(value)) => ScalarReading::good(Value::F32(*value)),
            (ScalarType::Float, RawScalar::Double(value)) => {
                let short = *value as f32;
                let reading = ScalarReading::good(Value::F32(short));
                if value.is_nan() || f64::from(short).to_bits() == value.to_bits() {
                    return reading;
                }
                ScalarReading { quality: Quality::UNCERTAIN, problem: Some(format!("{value} is rounded to a Float")), ..reading }
            }
            (ScalarType::Double, RawScalar::Double(value)) => ScalarReading::good(Value::F64(*value)),
            (ScalarType::Double, RawScalar::Float(value)) => ScalarReading::good(Value::F64(f64::from(*value))),
            (ScalarType::Boolean, RawScalar::Boolean(value)) => ScalarReading::good(Value::Bool(*value)),
            (ScalarType::Boolean, RawScalar::Int(value @ (0 | 1))) => ScalarReading::good(Value::Bool(*value == 1)),
            (ScalarType::Text, RawScalar::Text(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => ScalarReading::good(Value::String(text.to_owned())),
                Err(_) => ScalarReading::bad(Quality::BAD_DECODING_ERROR, "the text is not UTF-8".to_owned()),
            },
            _ => misfit(),
        }
    }
}

fn whole(raw: &RawScalar) -> u64 {
    match raw {
        RawScalar::Int(value) => u64::from(*value),
        RawScalar::Long(value) => *value,
        _ => 0,
    }
}

/// The number of `bits` that was sign-extended to its own width, to 32 bits or to 64. None where it is none of these.
fn signed(raw: &RawScalar, bits: u32) -> Option<i64> {
    let value = whole(raw);
    if bits == 64 {
        // A negative number cannot be told from a large one in a field of 32 bits.
        return if matches!(raw, RawScalar::Int(short) if *short > i32::MAX as u32) { None } else { Some(value as i64) };
    }
    let extended = |from: u32| ((value << (64 - from)) as i64) >> (64 - from);
    let fits = |number: i64| (number >> (bits - 1) == 0 || number >> (bits - 1) == -1).then_some(number);
    if value >> bits == 0 {
        return Some(extended(bits));
    }
    if value >> 32 == 0 { fits(extended(32)) } else { fits(value as i64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ScalarType::{Boolean, DateTime, Double, Float, Signed, Text, Unsigned};

    #[test]
    fn each_number_of_the_standard_has_its_type() {
        let scalars = [
            Signed(8),
            Signed(16),
            Signed(32),
            Signed(64),
            Unsigned(8),
            Unsigned(16),
            Unsigned(32),
            Unsigned(64),
            Float,
            Double,
            Boolean,
            Text,
            DateTime,
            Text,
            Text,
        ];
        for (index, scalar) in scalars.into_iter().enumerate() {
            assert_eq!(SparkplugType::numbered(index as u32 + 1), Some(SparkplugType::Scalar(scalar)), "{}", index + 1);
        }
        let arrays = [
            Signed(8),
            Signed(16),
            Signed(32),
            Signed(64),
            Unsigned(8),
            Unsigned(16),
            Unsigned(32),
            Unsigned(64),
            Float,
            Double,
            Boolean,
            Text,
            DateTime,
        ];
        for (index, scalar) in arrays.into_iter().enumerate() {
            assert_eq!(SparkplugType::numbered(index as u32 + 22), Some(SparkplugType::Array(scalar)), "{}", index + 22);
        }
        assert_eq!(SparkplugType::numbered(0), None);
        assert_eq!(SparkplugType::numbered(16), Some(SparkplugType::DataSet));
        assert_eq!(SparkplugType::numbered(19), Some(SparkplugType::Template));
        for unmapped in [17, 18, 20, 21, 35, u32::MAX] {
            assert_eq!(SparkplugType::numbered(unmapped), Some(SparkplugType::Unmapped(unmapped)));
        }
    }

    #[test]
    fn an_integer_is_read_whatever_width_its_sign_was_extended_to() {
        for (raw, bits, expected) in [
            (RawScalar::Int(127), 8, Some(127)),
            (RawScalar::Int(255), 8, Some(-1)),
            (RawScalar::Int(0xFFFF_FFFF), 8, Some(-1)),
            (RawScalar::Int(0xFFFF_FF80), 8, Some(-128)),
            (RawScalar::Int(0xFFFF_FF7F), 8, None),
            (RawScalar::Int(256), 8, None),
            (RawScalar::Long(u64::MAX), 8, Some(-1)),
            (RawScalar::Int(0x8000), 16, Some(-32768)),
            (RawScalar::Int(0xFFFF_8000), 16, Some(-32768)),
            (RawScalar::Int(0x1_8000), 16, None),
            (RawScalar::Int(0xFFFF_FFD6), 32, Some(-42)),
            (RawScalar::Long(0xFFFF_FFD6), 32, Some(-42)),
            (RawScalar::Long((-42_i64) as u64), 32, Some(-42)),
            (RawScalar::Long(1 << 32), 32, None),
            (RawScalar::Long((-42_i64) as u64), 64, Some(-42)),
            (RawScalar::Int(42), 64, Some(42)),
            (RawScalar::Int(0xFFFF_FFD6), 64, None),
        ] {
            let reading = ScalarReading::read(&raw, Signed(bits));
            assert_eq!(reading.value, expected.map(Value::I64), "{raw:?} {bits}");
            assert_eq!(reading.quality, if expected.is_some() { Quality::GOOD } else { Quality::BAD_OUT_OF_RANGE }, "{raw:?} {bits}");
            assert_eq!(reading.problem.is_none(), expected.is_some());
        }
        for (raw, bits, expected) in [
            (RawScalar::Int(255), 8, Some(255)),
            (RawScalar::Int(256), 8, None),
            (RawScalar::Long(0xFFFF_FFFF), 32, Some(0xFFFF_FFFF)),
            (RawScalar::Int(0xFFFF_FFFF), 32, Some(0xFFFF_FFFF)),
            (RawScalar::Long(1 << 32), 32, None),
            (RawScalar::Long(u64::MAX), 64, Some(u64::MAX)),
        ] {
            assert_eq!(ScalarReading::read(&raw, Unsigned(bits)).value, expected.map(Value::U64), "{raw:?} {bits}");
        }
    }

    #[test]
    fn what_is_no_integer_is_read_exactly_or_is_bad() {
        let text = |bytes: &'static [u8]| RawScalar::Text(bytes.into());
        for (raw, scalar, value, quality) in [
            (RawScalar::Float(0.1), Float, Some(Value::F32(0.1)), Quality::GOOD),
            (RawScalar::Float(0.1), Double, Some(Value::F64(f64::from(0.1_f32))), Quality::GOOD),
            (RawScalar::Double(0.5), Float, Some(Value::F32(0.5)), Quality::GOOD),
            (RawScalar::Double(0.1), Float, Some(Value::F32(0.1)), Quality::UNCERTAIN),
            (RawScalar::Double(f64::INFINITY), Double, Some(Value::F64(f64::INFINITY)), Quality::GOOD),
            (RawScalar::Double(f64::NAN), Double, None, Quality::BAD_NO_DATA),
            (RawScalar::Float(f32::NAN), Float, None, Quality::BAD_NO_DATA),
            (RawScalar::Boolean(true), Boolean, Some(Value::Bool(true)), Quality::GOOD),
            (RawScalar::Int(1), Boolean, Some(Value::Bool(true)), Quality::GOOD),
            (RawScalar::Int(2), Boolean, None, Quality::BAD_TYPE_MISMATCH),
            (text("Kälte".as_bytes()), Text, Some(Value::String("Kälte".into())), Quality::GOOD),
            (text(b"K\xE4lte"), Text, None, Quality::BAD_DECODING_ERROR),
            (text(b"1"), Double, None, Quality::BAD_TYPE_MISMATCH),
            (RawScalar::Double(1.0), Signed(32), None, Quality::BAD_TYPE_MISMATCH),
            (RawScalar::Long(1_767_225_600_000), DateTime, Some(Value::I64(1_767_225_600_000)), Quality::GOOD),
        ] {
            let reading = ScalarReading::read(&raw, scalar);
            assert_eq!((reading.value, reading.quality), (value, quality), "{raw:?} as {scalar:?}");
        }
    }
}
