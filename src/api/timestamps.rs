//! The column of times in rows that a client sends.

use std::borrow::Cow;

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType},
};
use tonic::Status;

use super::status;

/// Nanoseconds of each row, whatever the unit of the column; what stands for a row without a time says nothing. A zone changes only how a time
/// is written.
///
/// # Errors
/// `INVALID_ARGUMENT` when the column has no times, or names the row whose time does not fit.
pub fn nanoseconds(column: &dyn Array) -> Result<Cow<'_, [i64]>, Status> {
    let DataType::Timestamp(unit, _) = column.data_type() else {
        return Err(status::invalid("timestamp", "must be a timestamp"));
    };
    let (ticks, scale): (&[i64], i64) = match unit {
        TimeUnit::Second => (&column.as_primitive::<TimestampSecondType>().values()[..], 1_000_000_000),
        TimeUnit::Millisecond => (&column.as_primitive::<TimestampMillisecondType>().values()[..], 1_000_000),
        TimeUnit::Microsecond => (&column.as_primitive::<TimestampMicrosecondType>().values()[..], 1_000),
        TimeUnit::Nanosecond => return Ok(Cow::Borrowed(&column.as_primitive::<TimestampNanosecondType>().values()[..])),
    };
    let time = |(row, tick): (usize, &i64)| match tick.checked_mul(scale) {
        Some(time) => Ok(time),
        None if column.is_null(row) => Ok(0),
        None => {
            let message = format!("row {row}: {tick} is outside the years 1678 to 2262, the range of nanoseconds in 64 bits");
            Err(status::invalid("timestamp", message))
        }
    };
    ticks.iter().enumerate().map(time).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray};

    use super::*;

    #[test]
    fn times_of_any_unit_are_exact_or_refused() {
        let of = |times: ArrayRef| nanoseconds(times.as_ref()).map(Cow::into_owned);
        let in_berlin = TimestampMillisecondArray::from(vec![Some(-3), Some(5)]).with_timezone("Europe/Berlin");
        assert_eq!(of(Arc::new(in_berlin)).unwrap(), [-3_000_000, 5_000_000]);
        assert_eq!(of(Arc::new(TimestampSecondArray::from(vec![-9_223_372_036, 9_223_372_036]))).unwrap()[0], -9_223_372_036_000_000_000);
        assert_eq!(of(Arc::new(TimestampNanosecondArray::from(vec![i64::MIN]))).unwrap(), [i64::MIN]);
        let error = of(Arc::new(TimestampMillisecondArray::from(vec![0, i64::MAX]))).unwrap_err();
        assert!(error.message().contains("row 1"), "{}", error.message());
        assert!(of(Arc::new(Int64Array::from(vec![0]))).unwrap_err().message().starts_with("timestamp"));
    }

    #[test]
    fn what_lies_under_a_null_is_no_time() {
        let nulls = arrow::buffer::NullBuffer::from(vec![true, false]);
        let times = TimestampMillisecondArray::new(vec![1, i64::MAX].into(), Some(nulls));
        assert_eq!(nanoseconds(&times).unwrap()[0], 1_000_000);
    }
}
