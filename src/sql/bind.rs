//! Values as clients bind them, in the types that a statement means. Clients send the types that their languages have: a value is converted where
//! that changes nothing of it, and is otherwise left to the rules by which SQL compares values of different types.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};

use super::{ScalarValue, SqlError, open_end};

/// A value for the parameter `name`; `wanted` is its type, where the statement tells it.
///
/// # Errors
/// [`SqlError::Invalid`] for a text that does not say a value of the type.
pub fn converted(name: &str, value: &ScalarValue, wanted: Option<&DataType>) -> Result<ScalarValue, SqlError> {
    let value = plain(value);
    if value.is_null() {
        let typed = wanted.map_or_else(|| value.data_type(), DataType::clone);
        return ScalarValue::try_from(&typed).map_err(|error| SqlError::Internal(error.strip_backtrace()));
    }
    if let Some(moment) = nanoseconds(&value) {
        return Ok(match wanted {
            Some(DataType::Timestamp(TimeUnit::Nanosecond, zone)) => ScalarValue::TimestampNanosecond(Some(moment), zone.clone()),
            None => ScalarValue::TimestampNanosecond(Some(moment), zone_of(&value)),
            Some(other) => value.cast_to(other).unwrap_or(value),
        });
    }
    if let Some(DataType::Timestamp(TimeUnit::Nanosecond, zone)) = wanted
        && let Some(end) = open_end::of_scalar(&value)
    {
        return Ok(ScalarValue::TimestampNanosecond(Some(end), zone.clone()));
    }
    let Some(wanted) = wanted.filter(|wanted| **wanted != value.data_type()) else { return Ok(value) };
    let cast = value.cast_to(wanted);
    if let Some(text) = value.try_as_str().flatten() {
        // A text says a value of the type or none.
        return cast.map_err(|_| {
            let shown: String = text.chars().take(60).collect();
            SqlError::Invalid(format!("the parameter {name} is {shown:?}, which is no value of type {}", said(wanted)))
        });
    }
    match cast {
        Ok(cast) if cast.cast_to(&value.data_type()).is_ok_and(|back| back == value) => Ok(cast),
        _ => Ok(value),
    }
}

/// A text as the number that it says: for a place that the statement does not tell the type of, and that takes no text.
pub fn as_number(value: &ScalarValue) -> Option<ScalarValue> {
    let text = value.try_as_str().flatten()?.trim();
    let whole = text.parse().ok().map(|number| ScalarValue::Int64(Some(number)));
    whole.or_else(|| text.parse().ok().filter(|number: &f64| number.is_finite()).map(|number| ScalarValue::Float64(Some(number))))
}

/// Without the forms that only save space.
pub fn plain(value: &ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Dictionary(_, value) | ScalarValue::RunEndEncoded(_, _, value) => plain(value),
        ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => ScalarValue::Utf8(text.clone()),
        ScalarValue::BinaryView(bytes) | ScalarValue::LargeBinary(bytes) => ScalarValue::Binary(bytes.clone()),
        other => other.clone(),
    }
}

/// A moment in the unit of the engine; `None` for what is none. Those that lie outside of its range, as tools write them for "no bound", are its
/// ends.
fn nanoseconds(value: &ScalarValue) -> Option<i64> {
    let (count, unit) = match value {
        ScalarValue::TimestampSecond(Some(at), _) => (*at, 1_000_000_000),
        ScalarValue::TimestampMillisecond(Some(at), _) => (*at, 1_000_000),
        ScalarValue::TimestampMicrosecond(Some(at), _) => (*at, 1_000),
        ScalarValue::TimestampNanosecond(Some(at), _) => (*at, 1),
        _ => return None,
    };
    Some(count.saturating_mul(unit))
}

fn zone_of(value: &ScalarValue) -> Option<Arc<str>> {
    match value.data_type() {
        DataType::Timestamp(_, zone) => zone,
        _ => None,
    }
}

/// A type in the words of SQL, as far as it has them.
fn said(data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt32 => "INTEGER UNSIGNED".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Interval(_) => "INTERVAL".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTC: &str = "UTC";

    fn of(value: &ScalarValue, wanted: &DataType) -> ScalarValue {
        converted("$1", value, Some(wanted)).unwrap()
    }

    #[test]
    fn times_of_every_unit_are_the_same_moment_and_ends_beyond_all_time_are_no_bound() {
        let wanted = DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()));
        let expected = |at| ScalarValue::TimestampNanosecond(Some(at), Some(UTC.into()));
        for value in [
            ScalarValue::TimestampSecond(Some(1_767_225_600), None),
            ScalarValue::TimestampMillisecond(Some(1_767_225_600_000), Some(UTC.into())),
            ScalarValue::TimestampMicrosecond(Some(1_767_225_600_000_000), Some("Europe/Berlin".into())),
            ScalarValue::TimestampNanosecond(Some(1_767_225_600_000_000_000), None),
            ScalarValue::Utf8(Some("2026-01-01T00:00:00Z".into())),
            ScalarValue::Utf8View(Some("2026-01-01T01:00:00+01:00".into())),
            ScalarValue::Date32(Some(20_454)),
        ] {
            assert_eq!(of(&value, &wanted), expected(1_767_225_600_000_000_000), "{value:?}");
        }
        // The years 9999 and 1.
        assert_eq!(of(&ScalarValue::TimestampMillisecond(Some(253_402_300_799_999), None), &wanted), expected(i64::MAX));
        assert_eq!(of(&ScalarValue::TimestampMillisecond(Some(-62_135_596_800_000), None), &wanted), expected(i64::MIN));
        assert_eq!(of(&ScalarValue::Utf8(Some("9999-12-31".into())), &wanted), expected(i64::MAX));
        assert_eq!(of(&ScalarValue::Date32(Some(-719_162)), &wanted), expected(i64::MIN));
        let refused = converted("$3", &ScalarValue::Utf8(Some("yesterday".into())), Some(&wanted)).unwrap_err().to_string();
        assert!(refused.contains("$3") && refused.contains("yesterday") && refused.contains("TIMESTAMP"), "{refused}");
        assert_eq!(of(&ScalarValue::Int64(None), &wanted), ScalarValue::TimestampNanosecond(None, Some(UTC.into())));
    }

    #[test]
    fn numbers_are_converted_where_that_changes_nothing_of_them() {
        assert_eq!(of(&ScalarValue::Int64(Some(0x808C_0000)), &DataType::UInt32), ScalarValue::UInt32(Some(0x808C_0000)));
        assert_eq!(of(&ScalarValue::Int64(Some(-1)), &DataType::UInt32), ScalarValue::Int64(Some(-1)));
        assert_eq!(of(&ScalarValue::Float64(Some(995.5)), &DataType::Int64), ScalarValue::Float64(Some(995.5)));
        assert_eq!(of(&ScalarValue::Int32(Some(7)), &DataType::Float64), ScalarValue::Float64(Some(7.0)));
        let digits = ScalarValue::Decimal128(Some(i128::from(u64::MAX)), 20, 0);
        assert_eq!(of(&digits, &DataType::UInt64), ScalarValue::UInt64(Some(u64::MAX)));
        assert_eq!(of(&ScalarValue::Utf8(Some("7.5".into())), &DataType::Float64), ScalarValue::Float64(Some(7.5)));
        assert_eq!(of(&ScalarValue::Int64(Some(7)), &DataType::Utf8), ScalarValue::Utf8(Some("7".into())));
        assert!(converted("$1", &ScalarValue::Utf8(Some("much".into())), Some(&DataType::Float64)).is_err());
    }

    #[test]
    fn what_has_no_told_type_stays_what_it_is() {
        let of = |value| converted("$1", &value, None).unwrap();
        assert_eq!(of(ScalarValue::Int32(Some(7))), ScalarValue::Int32(Some(7)));
        assert_eq!(of(ScalarValue::LargeUtf8(Some("x".into()))), ScalarValue::Utf8(Some("x".into())));
        assert_eq!(of(ScalarValue::Null), ScalarValue::Null);
        assert_eq!(of(ScalarValue::TimestampMillisecond(Some(5), None)), ScalarValue::TimestampNanosecond(Some(5_000_000), None));
    }

    #[test]
    fn texts_that_say_numbers_are_found() {
        let of = |text: &str| as_number(&ScalarValue::Utf8(Some(text.into())));
        assert_eq!(of("5"), Some(ScalarValue::Int64(Some(5))));
        assert_eq!(of("-5.25"), Some(ScalarValue::Float64(Some(-5.25))));
        assert_eq!((of("five"), of("NaN"), as_number(&ScalarValue::Int64(Some(5)))), (None, None, None));
    }
}
