//! `datediff(unit, from, to)`: how many boundaries of the unit lie between two times, as SQL Server's `DATEDIFF` counts, and
//! `timestampdiff(unit, from, to)`: how many whole units have passed, as ODBC, JDBC and `MySQL` have it. Times of a zone are counted there.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Int64Array},
    compute::cast,
    datatypes::{DataType, TimeUnit, TimestampNanosecondType},
};
use datafusion::{
    common::{exec_err, plan_err},
    error::Result,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{date_add::as_time, time_bucket::named};
use crate::{error::invalid, expression::is_utc};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 1970-01-01 was a Thursday: the Sunday and the Monday before.
const SUNDAY: i64 = -4 * DAY;
const MONDAY: i64 = -3 * DAY;

pub fn functions() -> [ScalarUDF; 2] {
    [("datediff", DifferenceKind::Boundaries), ("timestampdiff", DifferenceKind::Whole)]
        .map(|(name, kind)| ScalarUDF::from(Difference { name, kind, signature: Signature::user_defined(Volatility::Immutable) }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum DifferenceKind {
    Boundaries,
    Whole,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Difference {
    name: &'static str,
    kind: DifferenceKind,
    signature: Signature,
}

impl ScalarUDFImpl for Difference {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, from, to] = types else { return plan_err!("{0} is called as {0}(unit, from, to)", self.name) };
        let in_ns = |of: &DataType| match as_time(of) {
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Nanosecond, zone),
            other => other,
        };
        Ok(vec![DataType::Utf8, in_ns(from), in_ns(to)])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(unit), from, to] = arguments.args.as_slice() else {
            return exec_err!("the unit of {} must be a constant", self.name);
        };
        let unit = unit.try_as_str().flatten().and_then(DifferenceUnit::of);
        let Some(unit) = unit else { return Err(invalid(format!("{}: the unit is none of year to nanosecond", self.name))) };
        let (from, to) = (local(from, arguments.number_rows)?, local(to, arguments.number_rows)?);
        let differences: Int64Array = from
            .iter()
            .zip(to.iter())
            .map(|times| match times {
                (Some(from), Some(to)) if self.kind == DifferenceKind::Boundaries => unit.number(to)?.checked_sub(unit.number(from)?),
                (Some(from), Some(to)) => unit.whole(from, to),
                _ => None,
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(differences)))
    }
}

/// Times as a clock on the wall shows them.
fn local(times: &ColumnarValue, rows: usize) -> Result<arrow::array::TimestampNanosecondArray> {
    let times: ArrayRef = times.to_array(rows)?;
    let DataType::Timestamp(_, zone) = times.data_type().clone() else { return exec_err!("{} is no timestamp", times.data_type()) };
    let times = cast(&times, &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))?;
    let times = times.as_primitive::<TimestampNanosecondType>();
    let Some(zone) = zone.filter(|zone| !is_utc(zone)) else { return Ok(times.clone()) };
    let zone = named(&zone)?;
    let shifted = |at: i64| {
        let seconds = Timestamp::from_nanosecond(at.into()).map_or(0, |time| zone.to_offset(time).seconds());
        at.saturating_add(i64::from(seconds) * SECOND)
    };
    Ok(times.unary(shifted))
}

#[derive(Clone, Copy)]
enum DifferenceUnit {
    Months(i64),
    /// Length and where one of them begins.
    Fixed(i64, i64),
}

impl DifferenceUnit {
    fn of(word: &str) -> Option<DifferenceUnit> {
        Some(match word {
            "year" => DifferenceUnit::Months(12),
            "quarter" => DifferenceUnit::Months(3),
            "month" => DifferenceUnit::Months(1),
            "week" => DifferenceUnit::Fixed(7 * DAY, SUNDAY),
            "isoweek" => DifferenceUnit::Fixed(7 * DAY, MONDAY),
            "day" | "dayofyear" | "weekday" => DifferenceUnit::Fixed(DAY, 0),
            "hour" => DifferenceUnit::Fixed(3_600 * SECOND, 0),
            "minute" => DifferenceUnit::Fixed(60 * SECOND, 0),
            "second" => DifferenceUnit::Fixed(SECOND, 0),
            "millisecond" => DifferenceUnit::Fixed(1_000_000, 0),
            "microsecond" => DifferenceUnit::Fixed(1_000, 0),
            "nanosecond" => DifferenceUnit::Fixed(1, 0),
            _ => return None,
        })
    }

    /// Which of the units a time lies in.
    fn number(self, at: i64) -> Option<i64> {
        match self {
            DifferenceUnit::Months(months) => Some(months_of(civil(at)?).div_euclid(months)),
            DifferenceUnit::Fixed(length, origin) => Some((i128::from(at) - i128::from(origin)).div_euclid(i128::from(length)) as i64),
        }
    }

    /// How many whole units have passed.
    fn whole(self, from: i64, to: i64) -> Option<i64> {
        match self {
            DifferenceUnit::Months(months) => {
                let (first, last) = (civil(from)?, civil(to)?);
                let rest = |time: DateTime| (time.day(), time.time());
                let mut passed = months_of(last) - months_of(first);
                if passed > 0 && rest(last) < rest(first) {
                    passed -= 1;
                } else if passed < 0 && rest(last) > rest(first) {
                    passed += 1;
                }
                Some(passed / months)
            }
            DifferenceUnit::Fixed(length, _) => i64::try_from((i128::from(to) - i128::from(from)) / i128::from(length)).ok(),
        }
    }
}

fn months_of(time: DateTime) -> i64 {
    i64::from(time.year()) * 12 + i64::from(time.month()) - 1
}

fn civil(at: i64) -> Option<DateTime> {
    Some(TimeZone::UTC.to_datetime(Timestamp::from_nanosecond(at.into()).ok()?))
}
