//! Values of one type into another where nothing is lost, for writes whose column has another type than the tag.

use std::fmt::Display;

use historian_model::{Bitmap, ValueType, Values};
use historian_query::widened;

/// Why a column does not fit a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotExact {
    /// No value of the one type is a value of the other.
    Type { from: ValueType, to: ValueType },
    /// One value cannot be held exactly; `row` counts within the column.
    Value { row: usize, value: String, to: ValueType },
}

impl Display for NotExact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotExact::Type { from, to } => write!(f, "values of type {from} cannot be written to a tag of type {to}"),
            NotExact::Value { value, to, .. } => write!(f, "the value {value} cannot be held exactly by a tag of type {to}"),
        }
    }
}

/// A number on its way from one type to another, exact in both variants.
#[derive(Clone, Copy)]
enum ConvertedNumber {
    Float(f64),
    Int(i128),
}

/// Converts a column to `to`. A column that has the type already is handed back untouched; slots of nulls become the default.
///
/// Numbers (f64, f32, i64, u64, state) convert where the value is exactly representable: floats bit for bit, NaN payloads included; whole
/// floats to integers and back. Bools and strings convert to nothing else.
pub fn convert(values: Values, validity: Option<&Bitmap>, to: ValueType) -> Result<Values, NotExact> {
    let from = values.value_type();
    if from == to {
        return Ok(values);
    }
    match &values {
        Values::F64(column) => numbers(column, validity, from, to, ConvertedNumber::Float),
        Values::F32(column) => numbers(column, validity, from, to, |value| ConvertedNumber::Float(widened(value))),
        Values::I64(column) => numbers(column, validity, from, to, |value| ConvertedNumber::Int(value.into())),
        Values::U64(column) => numbers(column, validity, from, to, |value| ConvertedNumber::Int(value.into())),
        Values::State(column) => numbers(column, validity, from, to, |value| ConvertedNumber::Int(value.into())),
        _ => Err(NotExact::Type { from, to }),
    }
}

fn numbers<T: Copy + Display>(
    column: &[T],
    validity: Option<&Bitmap>,
    from: ValueType,
    to: ValueType,
    number: impl Fn(T) -> ConvertedNumber,
) -> Result<Values, NotExact> {
    match to {
        ValueType::F64 => each(column, validity, to, |value| to_f64(number(value))).map(Values::F64),
        ValueType::F32 => each(column, validity, to, |value| to_f32(number(value))).map(Values::F32),
        ValueType::I64 => each(column, validity, to, |value| whole(number(value))?.try_into().ok()).map(Values::I64),
        ValueType::U64 => each(column, validity, to, |value| whole(number(value))?.try_into().ok()).map(Values::U64),
        ValueType::State => each(column, validity, to, |value| whole(number(value))?.try_into().ok()).map(Values::State),
        _ => Err(NotExact::Type { from, to }),
    }
}

fn each<T: Copy + Display, U: Default>(
    column: &[T],
    validity: Option<&Bitmap>,
    to: ValueType,
    convert: impl Fn(T) -> Option<U>,
) -> Result<Vec<U>, NotExact> {
    let mut converted = Vec::with_capacity(column.len());
    for (row, value) in column.iter().enumerate() {
        if validity.is_some_and(|validity| !validity.get(row)) {
            converted.push(U::default());
        } else {
            converted.push(convert(*value).ok_or_else(|| NotExact::Value { row, value: value.to_string(), to })?);
        }
    }
    Ok(converted)
}

fn to_f64(number: ConvertedNumber) -> Option<f64> {
    match number {
        ConvertedNumber::Float(value) => Some(value),
        ConvertedNumber::Int(value) => Some(value as f64).filter(|float| *float as i128 == value),
    }
}

fn to_f32(number: ConvertedNumber) -> Option<f32> {
    match number {
        ConvertedNumber::Float(value) => narrowed(value),
        ConvertedNumber::Int(value) => Some(value as f32).filter(|float| *float as i128 == value),
    }
}

fn whole(number: ConvertedNumber) -> Option<i128> {
    match number {
        ConvertedNumber::Int(value) => Some(value),
        // Beyond 2^64 no integer type of ours holds it, so the cast never saturates unseen.
        ConvertedNumber::Float(value) => (value.fract() == 0.0 && value.abs() < 2.0_f64.powi(65)).then_some(value as i128),
    }
}

/// As f32 if widening it again gives the same bits.
pub fn narrowed(value: f64) -> Option<f32> {
    let narrow = if value.is_nan() {
        let bits = value.to_bits();
        f32::from_bits(((bits >> 63) << 31 | 0xFF << 23 | (bits >> 29 & 0x007F_FFFF)) as u32)
    } else {
        value as f32
    };
    (widened(narrow).to_bits() == value.to_bits()).then_some(narrow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(values: Values, to: ValueType) -> Result<Values, NotExact> {
        convert(values, None, to)
    }

    #[test]
    fn exact_values_convert() {
        assert_eq!(one(Values::F64(vec![3.0, -4.0]), ValueType::I64), Ok(Values::I64(vec![3, -4])));
        assert_eq!(one(Values::I64(vec![1 << 53]), ValueType::F64), Ok(Values::F64(vec![9_007_199_254_740_992.0])));
        assert_eq!(one(Values::I64(vec![2]), ValueType::State), Ok(Values::State(vec![2])));
        assert_eq!(one(Values::U64(vec![u64::MAX]), ValueType::U64), Ok(Values::U64(vec![u64::MAX])));
        assert_eq!(one(Values::F64(vec![0.5, f64::INFINITY]), ValueType::F32), Ok(Values::F32(vec![0.5, f32::INFINITY])));
        for bits in [0x7F80_0001_u32, 0xFFC0_1234, 0x7FC0_0000, 0x8000_0000, 1] {
            let Ok(Values::F64(wide)) = one(Values::F32(vec![f32::from_bits(bits)]), ValueType::F64) else { panic!() };
            let Ok(Values::F32(back)) = one(Values::F64(wide), ValueType::F32) else { panic!() };
            assert_eq!(back[0].to_bits(), bits);
        }
    }

    #[test]
    fn inexact_values_are_refused_by_row() {
        for (values, to) in [
            (Values::F64(vec![1.0, 0.1]), ValueType::F32),
            (Values::F64(vec![1.0, 1.5]), ValueType::I64),
            (Values::F64(vec![1.0, f64::NAN]), ValueType::I64),
            (Values::F64(vec![1.0, f64::from_bits(0x7FF0_0000_0000_0001)]), ValueType::F32),
            (Values::F64(vec![1.0, 1e300]), ValueType::U64),
            (Values::I64(vec![1, (1 << 53) + 1]), ValueType::F64),
            (Values::I64(vec![1, -1]), ValueType::U64),
            (Values::U64(vec![1, u64::MAX]), ValueType::I64),
            (Values::U64(vec![1, 1 << 32]), ValueType::State),
        ] {
            assert!(matches!(one(values.clone(), to), Err(NotExact::Value { row: 1, .. })), "{values:?} to {to}");
        }
        assert!(matches!(one(Values::Bool(vec![true]), ValueType::F64), Err(NotExact::Type { .. })));
        assert!(matches!(one(Values::F64(vec![1.0]), ValueType::String), Err(NotExact::Type { .. })));
    }

    #[test]
    fn slots_of_nulls_do_not_count() {
        let validity: Bitmap = [true, false].into_iter().collect();
        assert_eq!(convert(Values::F64(vec![1.0, 0.1]), Some(&validity), ValueType::I64), Ok(Values::I64(vec![1, 0])));
    }
}
