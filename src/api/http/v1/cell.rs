//! Values of a column as they stand in JSON and CSV.

use std::{fmt::Display, io::Write as _};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, LargeStringArray, PrimitiveArray, StringArray, StringViewArray},
    buffer::NullBuffer,
    compute::cast,
    datatypes::{
        DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType, UInt64Type,
    },
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};
use historian_model::Timestamp;

/// How times are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeForm {
    #[default]
    Rfc3339,
    Nanoseconds,
    Microseconds,
    Milliseconds,
}

/// How integers of 64 bits are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntegerForm {
    /// As numbers where a float of 64 bits holds them exactly, else as text.
    #[default]
    Safe,
    Number,
    Text,
}

/// How cells are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellForm {
    pub times: TimeForm,
    pub integers: IntegerForm,
}

/// The greatest integer up to which a float of 64 bits holds all.
const SAFE_MAX: u64 = 1 << 53;

/// A value that is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    Missing,
    /// A number or truth value, as it stands in JSON.
    Bare(&'a str),
    Text(&'a str),
}

impl Cell<'_> {
    /// Appends it as JSON.
    pub fn json(self, out: &mut Vec<u8>) {
        match self {
            Cell::Missing => out.extend_from_slice(b"null"),
            Cell::Bare(text) => out.extend_from_slice(text.as_bytes()),
            // To memory nothing fails.
            Cell::Text(text) => drop(serde_json::to_writer(out, text)),
        }
    }

    /// As a field of CSV.
    pub fn field(&self) -> &str {
        match self {
            Cell::Missing => "",
            Cell::Bare(text) | Cell::Text(text) => text,
        }
    }
}

/// The cells of a column.
pub struct Cells<'a> {
    /// Also of types whose values say it themselves.
    nulls: Option<NullBuffer>,
    values: CellValues<'a>,
    form: CellForm,
    scratch: Vec<u8>,
}

enum CellValues<'a> {
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
    /// The place of each row among the values.
    Dictionary(Vec<usize>, Box<Cells<'a>>),
    Bool(&'a BooleanArray),
    /// With the second that was written last, and its text: neighbours are often of one.
    Time(PrimitiveArray<TimestampNanosecondType>, Option<(i64, String)>),
    /// Of seconds, milliseconds or microseconds, and nanoseconds of one.
    CoarseTime(PrimitiveArray<Int64Type>, i128),
    Signed(PrimitiveArray<Int64Type>),
    Unsigned(PrimitiveArray<UInt64Type>),
    Single(&'a PrimitiveArray<Float32Type>),
    Double(PrimitiveArray<Float64Type>),
    /// Without decimals: an integer of more than 64 bits.
    Whole(&'a PrimitiveArray<Decimal128Type>),
    Other(ArrayFormatter<'a>),
}

/// As a text is shown that is of no type of its own here.
const OTHERS: FormatOptions<'static> = FormatOptions::new();

impl<'a> Cells<'a> {
    /// # Errors
    /// When values of the type cannot be shown.
    pub fn of(array: &'a ArrayRef, form: CellForm) -> Result<Cells<'a>, ArrowError> {
        let values = match array.data_type() {
            DataType::Utf8 => CellValues::Text(array.as_string()),
            DataType::LargeUtf8 => CellValues::LargeText(array.as_string()),
            DataType::Utf8View => CellValues::TextView(array.as_string_view()),
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                CellValues::Dictionary(dictionary.normalized_keys(), Box::new(Cells::of(dictionary.values(), form)?))
            }
            DataType::Boolean => CellValues::Bool(array.as_boolean()),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => CellValues::Time(array.as_primitive::<TimestampNanosecondType>().clone(), None),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                CellValues::CoarseTime(array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast(), 1_000)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                CellValues::CoarseTime(array.as_primitive::<TimestampMillisecondType>().reinterpret_cast(), 1_000_000)
            }
            DataType::Timestamp(TimeUnit::Second, _) => {
                CellValues::CoarseTime(array.as_primitive::<TimestampSecondType>().reinterpret_cast(), 1_000_000_000)
            }
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                CellValues::Signed(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                CellValues::Unsigned(cast(array, &DataType::UInt64)?.as_primitive::<UInt64Type>().clone())
            }
            DataType::Float32 => CellValues::Single(array.as_primitive()),
            DataType::Float64 => CellValues::Double(array.as_primitive::<Float64Type>().clone()),
            DataType::Decimal128(_, 0) => CellValues::Whole(array.as_primitive()),
            _ => CellValues::Other(ArrayFormatter::try_new(array, &OTHERS)?),
        };
        Ok(Cells { nulls: array.logical_nulls(), values, form, scratch: Vec::new() })
    }

    /// The cell of a row.
    pub fn cell(&mut self, row: usize) -> Cell<'_> {
        let Cells { nulls, values, form, scratch } = self;
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Cell::Missing;
        }
        scratch.clear();
        match values {
            CellValues::Text(array) => Cell::Text(array.value(row)),
            CellValues::LargeText(array) => Cell::Text(array.value(row)),
            CellValues::TextView(array) => Cell::Text(array.value(row)),
            CellValues::Dictionary(places, values) => values.cell(places[row]),
            CellValues::Bool(array) => Cell::Bare(if array.value(row) { "true" } else { "false" }),
            CellValues::Time(array, second) if form.times == TimeForm::Rfc3339 => Cell::Text(rfc3339(array.value(row), second, scratch)),
            CellValues::Time(array, _) => time(array.value(row).into(), *form, scratch),
            CellValues::CoarseTime(array, unit) => time(i128::from(array.value(row)) * *unit, *form, scratch),
            CellValues::Signed(array) => integer(array.value(row).into(), *form, scratch),
            CellValues::Unsigned(array) => integer(array.value(row).into(), *form, scratch),
            CellValues::Whole(array) => integer(array.value(row), *form, scratch),
            CellValues::Single(array) => float(array.value(row), array.value(row).into(), scratch),
            CellValues::Double(array) => float(array.value(row), array.value(row), scratch),
            CellValues::Other(formatter) => Cell::Text(shown(formatter.value(row), scratch)),
        }
    }
}

fn shown(value: impl Display, scratch: &mut Vec<u8>) -> &str {
    // To memory nothing fails, and what was written is text.
    let _ = write!(scratch, "{value}");
    std::str::from_utf8(scratch).unwrap_or_default()
}

fn integer(value: i128, form: CellForm, scratch: &mut Vec<u8>) -> Cell<'_> {
    let is_number = match form.integers {
        IntegerForm::Number => true,
        IntegerForm::Text => false,
        IntegerForm::Safe => value.unsigned_abs() <= SAFE_MAX.into(),
    };
    let text = shown(value, scratch);
    if is_number { Cell::Bare(text) } else { Cell::Text(text) }
}

/// A float as the shortest number that reads back as the same, in its own width.
fn float<T: serde::Serialize>(value: T, wide: f64, scratch: &mut Vec<u8>) -> Cell<'_> {
    if wide.is_nan() {
        return Cell::Text("NaN");
    }
    if wide.is_infinite() {
        return Cell::Text(if wide > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let _ = serde_json::to_writer(&mut *scratch, &value);
    Cell::Bare(std::str::from_utf8(scratch).unwrap_or_default())
}

/// A time with as many decimals as it needs. The text of its second is kept for the next one.
fn rfc3339<'a>(nanoseconds: i64, kept: &mut Option<(i64, String)>, scratch: &'a mut Vec<u8>) -> &'a str {
    const SECOND: i64 = 1_000_000_000;
    let (second, rest) = (nanoseconds.div_euclid(SECOND), nanoseconds.rem_euclid(SECOND));
    let begin = match kept {
        Some((known, text)) if *known == second => &*text,
        _ => {
            // The first second of all begins before the first time.
            let Some(begin) = second.checked_mul(SECOND) else { return shown(Timestamp(nanoseconds), scratch) };
            let text = Timestamp(begin).to_string();
            &kept.insert((second, text.trim_end_matches('Z').to_owned())).1
        }
    };
    scratch.extend_from_slice(begin.as_bytes());
    if rest > 0 {
        let _ = write!(scratch, ".{rest:09}");
        let end = scratch.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        scratch.truncate(end);
    }
    scratch.push(b'Z');
    std::str::from_utf8(scratch).unwrap_or_default()
}

/// A time of so many nanoseconds since 1970.
pub fn time(nanoseconds: i128, form: CellForm, scratch: &mut Vec<u8>) -> Cell<'_> {
    let unit = match form.times {
        TimeForm::Rfc3339 => {
            return match i64::try_from(nanoseconds) {
                Ok(nanoseconds) => Cell::Text(shown(Timestamp(nanoseconds), scratch)),
                // Beyond what a historian stores.
                Err(_) => Cell::Text(shown(nanoseconds, scratch)),
            };
        }
        TimeForm::Nanoseconds => return integer(nanoseconds, form, scratch),
        TimeForm::Microseconds => 1_000,
        TimeForm::Milliseconds => 1_000_000,
    };
    let (whole, rest) = (nanoseconds.div_euclid(unit), nanoseconds.rem_euclid(unit));
    if rest == 0 {
        return Cell::Bare(shown(whole, scratch));
    }
    // Decimals count away from zero.
    let (sign, whole, rest) = if nanoseconds < 0 { ("-", -(whole + 1), unit - rest) } else { ("", whole, rest) };
    let digits = if unit == 1_000 { 3 } else { 6 };
    let _ = write!(scratch, "{sign}{whole}.{rest:0digits$}");
    let kept = scratch.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    scratch.truncate(kept);
    Cell::Bare(std::str::from_utf8(scratch).unwrap_or_default())
}

/// The type of a column, as an answer names it.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Timestamp(..) => "time".into(),
        DataType::Boolean => "bool".into(),
        DataType::Float64 => "f64".into(),
        DataType::Float32 => "f32".into(),
        DataType::Int64 => "i64".into(),
        DataType::UInt64 => "u64".into(),
        DataType::Int32 => "i32".into(),
        DataType::UInt32 => "u32".into(),
        DataType::Decimal128(..) => "decimal".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, NullArray, TimestampMillisecondArray,
            TimestampNanosecondArray,
        },
        datatypes::Int32Type,
    };

    use super::*;

    fn json(array: &ArrayRef, form: CellForm) -> Vec<String> {
        let mut cells = Cells::of(array, form).unwrap();
        let text = |row| {
            let mut out = Vec::new();
            cells.cell(row).json(&mut out);
            String::from_utf8(out).unwrap()
        };
        (0..array.len()).map(text).collect()
    }

    fn form(times: TimeForm, integers: IntegerForm) -> CellForm {
        CellForm { times, integers }
    }

    #[test]
    fn integers_that_a_float_would_round_are_text() {
        let safe = 1_i64 << 53;
        let array: ArrayRef = Arc::new(Int64Array::from(vec![Some(safe), Some(safe + 1), Some(-safe - 1), None]));
        let of = |integers| json(&array, form(TimeForm::Rfc3339, integers));
        assert_eq!(of(IntegerForm::Safe), ["9007199254740992", "\"9007199254740993\"", "\"-9007199254740993\"", "null"]);
        assert_eq!(of(IntegerForm::Number)[1], "9007199254740993");
        assert_eq!(of(IntegerForm::Text)[0], "\"9007199254740992\"");
        let wide: ArrayRef = Arc::new(Decimal128Array::from(vec![i128::from(u64::MAX)]).with_precision_and_scale(20, 0).unwrap());
        assert_eq!(json(&wide, CellForm::default()), ["\"18446744073709551615\""]);
    }

    #[test]
    fn what_is_missing_is_missing_in_every_type() {
        let null: ArrayRef = Arc::new(NullArray::new(1));
        let text: ArrayRef = Arc::new([None, Some("a")].into_iter().collect::<DictionaryArray<Int32Type>>());
        assert_eq!(
            (json(&null, CellForm::default()), json(&text, CellForm::default())),
            (vec!["null".into()], vec!["null".into(), "\"a\"".into()])
        );
        let values: ArrayRef = Arc::new(StringArray::from(vec![None, Some("b")]));
        let named: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0, 1]), values));
        assert_eq!(json(&named, CellForm::default()), ["null", "\"b\""]);
    }

    #[test]
    fn floats_are_written_in_their_own_width_and_what_json_has_not_as_text() {
        let singles: ArrayRef = Arc::new(Float32Array::from(vec![0.1, f32::MAX]));
        assert_eq!(json(&singles, CellForm::default()), ["0.1", "3.4028235e+38"]);
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.1), Some(-0.0), Some(f64::NAN), Some(f64::NEG_INFINITY), None]));
        assert_eq!(json(&doubles, CellForm::default()), ["0.1", "-0.0", "\"NaN\"", "\"-Infinity\"", "null"]);
    }

    #[test]
    fn times_are_exact_in_every_form() {
        let array: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_767_225_600_000_000_001, 1_500_000, -1, -1_500_000]));
        let of = |times| json(&array, form(times, IntegerForm::Safe));
        assert_eq!(of(TimeForm::Rfc3339)[0], "\"2026-01-01T00:00:00.000000001Z\"");
        assert_eq!(of(TimeForm::Nanoseconds), ["\"1767225600000000001\"", "1500000", "-1", "-1500000"]);
        assert_eq!(of(TimeForm::Microseconds), ["1767225600000000.001", "1500", "-0.001", "-1500"]);
        assert_eq!(of(TimeForm::Milliseconds), ["1767225600000.000001", "1.5", "-0.000001", "-1.5"]);
        let all = [i64::MIN, i64::MIN + 1, -1_000_000_001, -1_000_000_000, -1, 0, 1, 999_999_999, 1_000_000_000, 1_000_000_100, i64::MAX];
        let array: ArrayRef = Arc::new(TimestampNanosecondArray::from(all.to_vec()));
        assert_eq!(json(&array, CellForm::default()), all.map(|time| format!("\"{}\"", Timestamp(time))));
        let coarse: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_500]));
        assert_eq!(json(&coarse, CellForm::default()), ["\"1970-01-01T00:00:01.5Z\""]);
    }
}
