//! In which columns the values of several tags come, and values made into those of such columns.
//!
//! Tags of one type keep it. Where types differ, numbers stay numbers in `value`, texts come in `text`, and integers of 64 bits, which an f64
//! may not hold, in `integer` as well. The selection alone decides, never the samples, so that parts of an answer fit together.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Decimal128Array},
    datatypes::{DataType, Field},
    error::ArrowError,
};

use historian_format::PushError;

use super::arrow_column;
use historian_model::{Bitmap, Samples, StringColumn, Tag, Value, ValueType, Values};

/// Digits of `integer`: those of the largest u64.
pub const INTEGER_DIGITS: u8 = 20;

/// The columns of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueColumns {
    /// Type of `value`: that of all tags, or f64.
    pub value: ValueType,
    /// Whether there is `text`: of several types one is string.
    pub text: bool,
    /// Whether there is `integer`: of several types one is i64 or u64.
    pub integer: bool,
}

impl ValueColumns {
    /// The columns of tags. No tags: f64.
    pub fn of(tags: &[Arc<Tag>]) -> ValueColumns {
        ValueColumns::of_types(tags.iter().map(|tag| tag.value_type()))
    }

    /// The columns of tags of these types.
    pub fn of_types(types: impl IntoIterator<Item = ValueType>) -> ValueColumns {
        let mut types = types.into_iter();
        let Some(first) = types.next() else { return ValueColumns { value: ValueType::F64, text: false, integer: false } };
        let whole = |value_type| matches!(value_type, ValueType::I64 | ValueType::U64);
        let (mut mixed, mut text, mut integer) = (false, first == ValueType::String, whole(first));
        for value_type in types {
            mixed |= value_type != first;
            text |= value_type == ValueType::String;
            integer |= whole(value_type);
        }
        ValueColumns { value: if mixed { ValueType::F64 } else { first }, text: mixed && text, integer: mixed && integer }
    }

    /// The fields behind `quality`.
    pub fn more_fields(self) -> impl Iterator<Item = Field> {
        let text = self.text.then(|| Field::new("text", arrow_column::data_type(ValueType::String), true));
        let integer = self.integer.then(|| Field::new("integer", DataType::Decimal128(INTEGER_DIGITS, 0), true));
        text.into_iter().chain(integer)
    }
}

/// `text` and `integer` while they grow. They are behind until they are needed, so that runs of numbers cost nothing.
pub struct MoreColumns {
    columns: ValueColumns,
    texts: StringColumn,
    has_text: Bitmap,
    integers: Vec<i128>,
    has_integer: Bitmap,
}

impl MoreColumns {
    pub fn new(columns: ValueColumns) -> MoreColumns {
        let (texts, integers) = (StringColumn::new(), Vec::new());
        MoreColumns { columns, texts, has_text: Bitmap::new(), integers, has_integer: Bitmap::new() }
    }

    /// As it was made for.
    pub fn columns(&self) -> ValueColumns {
        self.columns
    }

    /// Takes from samples what belongs here; they stand behind the first `rows` rows.
    fn append(&mut self, rows: usize, samples: &Samples) -> Result<(), PushError> {
        match &samples.values {
            Values::String(texts) if self.columns.text => {
                self.pad(rows)?;
                self.texts.extend_from(texts, 0..texts.len())?;
                extend(&mut self.has_text, samples);
            }
            Values::I64(values) if self.columns.integer => {
                self.pad(rows)?;
                self.integers.extend(values.iter().map(|&value| i128::from(value)));
                extend(&mut self.has_integer, samples);
            }
            Values::U64(values) if self.columns.integer => {
                self.pad(rows)?;
                self.integers.extend(values.iter().map(|&value| i128::from(value)));
                extend(&mut self.has_integer, samples);
            }
            _ => {}
        }
        Ok(())
    }

    /// Fills up to so many rows with nulls.
    fn pad(&mut self, rows: usize) -> Result<(), PushError> {
        if self.columns.text {
            (self.texts.len()..rows).try_for_each(|_| self.texts.push(""))?;
            self.has_text.extend_from(&Bitmap::new(), 0..rows - self.has_text.len());
        }
        if self.columns.integer {
            self.integers.resize(rows, 0);
            self.has_integer.extend_from(&Bitmap::new(), 0..rows - self.has_integer.len());
        }
        Ok(())
    }

    /// The arrays for so many rows; starts anew.
    ///
    /// # Errors
    /// When a column cannot be formed, which is a bug of ours.
    pub fn take(&mut self, rows: usize) -> Result<Vec<ArrayRef>, ArrowError> {
        self.pad(rows).map_err(|error| ArrowError::ComputeError(error.to_string()))?;
        let done = std::mem::replace(self, MoreColumns::new(self.columns));
        let mut arrays = Vec::new();
        if self.columns.text {
            arrays.push(arrow_column::values(Values::String(done.texts), arrow_column::nulls(Some(done.has_text)))?);
        }
        if self.columns.integer {
            let integers = Decimal128Array::new(done.integers.into(), arrow_column::nulls(Some(done.has_integer)));
            arrays.push(Arc::new(integers.with_precision_and_scale(INTEGER_DIGITS, 0)?));
        }
        Ok(arrays)
    }
}

fn extend(bits: &mut Bitmap, samples: &Samples) {
    match &samples.validity {
        Some(validity) => bits.extend_from(validity, 0..samples.len()),
        None => bits.extend_true(samples.len()),
    }
}

/// Appends samples to the columns that [`ValueColumns::of`] gave for their tag and others.
pub fn append(samples: &Samples, out: &mut Samples, more: &mut MoreColumns) {
    let done = more.append(out.len(), samples);
    debug_assert!(done.is_ok(), "a portion's texts are far below 2 GiB");
    if out.append(samples).is_ok() {
        return;
    }
    let validity = match &samples.values {
        Values::String(_) => Some(Bitmap::from_bytes(Vec::new(), samples.len())),
        _ => samples.validity.clone(),
    };
    let converted = Samples {
        timestamps: samples.timestamps.clone(),
        values: Values::F64(numbers(&samples.values)),
        validity,
        qualities: samples.qualities.clone(),
    };
    let appended = out.append(&converted);
    debug_assert!(appended.is_ok(), "`value` is f64 where types differ");
}

fn numbers(values: &Values) -> Vec<f64> {
    match values {
        Values::F64(values) => values.clone(),
        Values::F32(values) => values.iter().map(|&value| widened(value)).collect(),
        Values::I64(values) => values.iter().map(|&value| value as f64).collect(),
        Values::U64(values) => values.iter().map(|&value| value as f64).collect(),
        Values::Bool(values) => values.iter().map(|&value| f64::from(u8::from(value))).collect(),
        Values::State(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Values::String(values) => vec![0.0; values.len()],
    }
}

/// The same number; of a NaN the same bits, of which a cast would make those of a quiet one.
pub fn widened(value: f32) -> f64 {
    if !value.is_nan() {
        return f64::from(value);
    }
    let bits = u64::from(value.to_bits());
    f64::from_bits((bits >> 31 << 63) | (0x7FF << 52) | ((bits & 0x007F_FFFF) << 29))
}

/// A value as text, the shortest that tells it exactly.
pub fn text(value: &Value) -> String {
    match value {
        Value::F64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::State(value) => value.to_string(),
        Value::String(value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    #[test]
    fn types_that_differ_keep_numbers_as_numbers_and_texts_apart() {
        use ValueType::{Bool, F32, F64, I64, State, String, U64};
        let told = |types: &[ValueType]| {
            let columns = ValueColumns::of_types(types.iter().copied());
            (columns.value, columns.text, columns.integer)
        };
        assert_eq!(told(&[]), (F64, false, false));
        for one in [F64, F32, I64, U64, Bool, String, State] {
            assert_eq!(told(&[one, one]), (one, false, false));
        }
        assert_eq!(told(&[F32, Bool]), (F64, false, false));
        assert_eq!(told(&[I64, Bool]), (F64, false, true));
        assert_eq!(told(&[I64, U64]), (F64, false, true));
        assert_eq!(told(&[F64, F64, String]), (F64, true, false));
        assert_eq!(told(&[String, U64]), (F64, true, true));
    }

    #[test]
    fn conversion_keeps_nulls_times_and_qualities() {
        let columns = ValueColumns { value: ValueType::F64, text: true, integer: true };
        let (mut out, mut more) = (Samples::new(ValueType::F64), MoreColumns::new(columns));
        let runs = [
            (Value::Bool(true), Some(1.0)),
            (Value::String("x".into()), None),
            (Value::F64(-0.0), Some(-0.0)),
            (Value::I64(-9_007_199_254_740_993), Some(-9_007_199_254_740_992.0)),
            (Value::U64(u64::MAX), Some(18_446_744_073_709_551_616.0)),
            (Value::State(7), Some(7.0)),
        ];
        for (at, (value, _)) in (0_i64..).zip(&runs) {
            let mut samples = Samples::new(value.value_type());
            samples.push(2 * at, Some(value), 0).unwrap();
            samples.push(2 * at + 1, None, 0x8000_0000).unwrap();
            append(&samples, &mut out, &mut more);
        }
        let arrays = more.take(out.len()).unwrap();
        let (texts, integers) = (arrays[0].as_string::<i32>(), arrays[1].as_primitive::<arrow::datatypes::Decimal128Type>());
        for (row, (value, number)) in runs.iter().enumerate() {
            assert_eq!(out.value(2 * row), number.map(Value::F64), "{value:?}");
            assert_eq!(texts.is_valid(2 * row), matches!(value, Value::String(_)));
            let whole = match value {
                Value::I64(whole) => Some(i128::from(*whole)),
                Value::U64(whole) => Some(i128::from(*whole)),
                _ => None,
            };
            assert_eq!(integers.is_valid(2 * row).then(|| integers.value(2 * row)), whole);
            assert!(out.value(2 * row + 1).is_none() && texts.is_null(2 * row + 1) && integers.is_null(2 * row + 1));
        }
        assert_eq!(texts.value(2), "x");
        assert_eq!(out.timestamps, (0..12).collect::<Vec<i64>>());
        assert_eq!(out.qualities, [0, 0x8000_0000].repeat(6));
        assert!(more.take(0).unwrap().iter().all(arrow::array::Array::is_empty));
    }

    #[test]
    fn a_nan_keeps_its_bits_when_it_is_widened() {
        for bits in [0x7F80_0001_u32, 0xFFC1_2345, 0x7FFF_FFFF] {
            let wide = widened(f32::from_bits(bits)).to_bits();
            assert_eq!((wide >> 63, (wide >> 52) & 0x7FF, wide & ((1 << 29) - 1)), (u64::from(bits >> 31), 0x7FF, 0));
            assert_eq!((wide >> 29) & 0x007F_FFFF, u64::from(bits & 0x007F_FFFF));
        }
    }
}
