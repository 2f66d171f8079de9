//! `time_bucket(interval, timestamp [, origin or zone])`: the start of the interval that a timestamp lies in. Intervals count from Monday,
//! 2000-01-03 (months from 2000-01-01) in UTC, from `origin`, or in the local time of a zone, where days may have 23 or 25 hours.
//!
//! Without a zone it is another name for `DataFusion`'s `date_bin`, into which the planner turns it, so that what holds for that holds for this.
//! And `date_bin` of a timestamp of a zone is a bucket in that zone.

use std::{num::NonZeroI64, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, TimestampNanosecondArray, types::IntervalMonthDayNanoType},
    compute::cast,
    datatypes::{DataType, IntervalUnit, TimeUnit, TimestampNanosecondType},
};
use datafusion::{
    common::{ScalarValue, exec_err, plan_err},
    error::Result,
    functions::datetime::date_bin,
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
        simplify::{ExprSimplifyResult, SimplifyContext},
        sort_properties::{ExprProperties, SortProperties},
    },
};
use jiff::{civil::DateTime, tz::TimeZone};

use super::{
    super::expression::is_utc,
    calendar::{CalendarIntervals, CalendarStep},
};

/// Monday, 2000-01-03, in nanoseconds since 1970.
const MONDAY: i64 = 946_857_600_000_000_000;
/// 2000-01-01.
const MILLENNIUM: i64 = 946_684_800_000_000_000;
const DAY_NS: i128 = 86_400_000_000_000;

/// `time_bucket`, and `date_bin` as we have it.
pub fn functions() -> [ScalarUDF; 2] {
    let signature = || Signature::user_defined(Volatility::Immutable);
    [ScalarUDF::from(TimeBucket { signature: signature() }), ScalarUDF::from(DateBin { signature: date_bin().signature().clone() })]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
    signature: Signature,
}

const USAGE: &str =
    "time_bucket is called as time_bucket('5 minutes', timestamp [, origin]) or time_bucket('1 day', timestamp, 'Europe/Berlin')";

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &'static str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Interval and zone may be text; timestamps stay what they are.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let ([interval, time] | [interval, time, _]) = types else { return plan_err!("{USAGE}") };
        let interval = match interval {
            text if is_text(text) => DataType::Utf8,
            DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            _ => {
                return plan_err!("the interval of time_bucket must be text such as '5 minutes' or an INTERVAL, it is {interval}; {USAGE}");
            }
        };
        let DataType::Timestamp(_, zone) = time else {
            return plan_err!("time_bucket takes a timestamp, not {time}; {USAGE}");
        };
        let mut coerced = vec![interval, time.clone()];
        coerced.extend(
            types.get(2).map(|third| if is_text(third) { DataType::Utf8 } else { DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()) }),
        );
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.get(1).cloned().map_or_else(|| plan_err!("{USAGE}"), Ok)
    }

    /// Without a zone `date_bin` takes over.
    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(DataType::Timestamp(_, Some(zone))) = arguments.get(1).map(|time| context.get_data_type(time)).transpose()? else {
            return of_naive(arguments);
        };
        if !is_utc(&zone) {
            return Ok(ExprSimplifyResult::Original(arguments));
        }
        in_utc(arguments, Some(zone))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(interval), time, rest @ ..] = arguments.args.as_slice() else {
            return exec_err!("the interval of time_bucket must be a constant; {USAGE}");
        };
        let third = match rest {
            [] => None,
            [ColumnarValue::Scalar(third)] => Some(third),
            _ => return exec_err!("the origin or zone of time_bucket must be a constant; {USAGE}"),
        };
        let own = match time.data_type() {
            DataType::Timestamp(_, zone) => zone,
            _ => None,
        };
        let (zone, origin) = zone_and_origin(third, own.as_deref())?;
        bucket(interval, time, zone, origin, arguments.number_rows)
    }

    /// Later times have no earlier buckets.
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(ordered(inputs))
    }
}

fn ordered(inputs: &[ExprProperties]) -> SortProperties {
    let constant = |input: &ExprProperties| input.sort_properties == SortProperties::Singleton;
    match inputs {
        [interval, time, rest @ ..] if constant(interval) && rest.iter().all(constant) => time.sort_properties,
        _ => SortProperties::Unordered,
    }
}

/// Timestamps without a zone are what they show.
fn of_naive(arguments: Vec<Expr>) -> Result<ExprSimplifyResult> {
    in_utc(arguments, None)
}

/// As `date_bin`, where no zone is named.
fn in_utc(arguments: Vec<Expr>, zone: Option<Arc<str>>) -> Result<ExprSimplifyResult> {
    let (Some(Expr::Literal(interval, _)), Some(time)) = (arguments.first(), arguments.get(1)) else {
        return Ok(ExprSimplifyResult::Original(arguments));
    };
    let step = step(interval)?;
    let origin = match arguments.get(2) {
        None => None,
        Some(Expr::Literal(third, _)) => match zone_and_origin(Some(third), zone.as_deref())? {
            (found, _) if found != TimeZone::UTC => return Ok(ExprSimplifyResult::Original(arguments)),
            (_, origin) => origin,
        },
        Some(other) => {
            let call = date_bin().call(vec![Expr::Literal(interval_of(step), None), time.clone(), other.clone()]);
            return Ok(ExprSimplifyResult::Simplified(call));
        }
    };
    let mut call = vec![Expr::Literal(interval_of(step), None), time.clone()];
    // Parts of a day begin with it wherever one counts from.
    let parts_of_a_day = matches!(step, CalendarStep::Nanoseconds(length) if DAY_NS % i128::from(length.get()) == 0);
    match (origin, step) {
        (Some(origin), _) => call.push(lit(ScalarValue::TimestampNanosecond(Some(origin), zone))),
        (None, _) if parts_of_a_day => {}
        (None, CalendarStep::Months(_)) => call.push(lit(ScalarValue::TimestampNanosecond(Some(MILLENNIUM), zone))),
        (None, _) => call.push(lit(ScalarValue::TimestampNanosecond(Some(MONDAY), zone))),
    }
    Ok(ExprSimplifyResult::Simplified(date_bin().call(call)))
}

/// `date_bin`: days of a timestamp of a zone are days there.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DateBin {
    signature: Signature,
}

impl ScalarUDFImpl for DateBin {
    fn name(&self) -> &'static str {
        "date_bin"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        date_bin().return_type(types)
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let zone = match arguments.get(1).map(|time| context.get_data_type(time)).transpose()? {
            Some(DataType::Timestamp(_, zone)) => zone,
            _ => None,
        };
        if zone.is_none_or(|zone| is_utc(&zone)) {
            return Ok(ExprSimplifyResult::Simplified(date_bin().call(arguments)));
        }
        Ok(ExprSimplifyResult::Original(arguments))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = match arguments.args.get(1).map(ColumnarValue::data_type) {
            Some(DataType::Timestamp(_, zone)) => zone,
            _ => None,
        };
        let Some(zone) = zone.filter(|zone| !is_utc(zone)) else { return date_bin().invoke_with_args(arguments) };
        let [ColumnarValue::Scalar(interval), time, rest @ ..] = arguments.args.as_slice() else {
            return exec_err!("the interval of date_bin must be a constant");
        };
        let origin = match rest {
            [] => Some(0),
            [ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(origin, _))] => *origin,
            _ => return exec_err!("the origin of date_bin must be a constant"),
        };
        // Without an origin days are local days, which began at local midnight of the first one as well.
        let zone = named(&zone)?;
        let origin = if rest.is_empty() { None } else { origin };
        bucket(interval, time, zone, origin, arguments.number_rows)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(ordered(inputs))
    }
}

/// A zone by its name, or by its distance from UTC.
pub fn named(name: &str) -> Result<TimeZone> {
    let offset = || format!("2000-01-01T00:00:00{name}").parse::<jiff::Timestamp>().ok();
    if let Ok(zone) = TimeZone::get(name) {
        return Ok(zone);
    }
    let fixed = offset()
        .and_then(|at| i32::try_from(946_684_800 - at.as_second()).ok())
        .and_then(|ahead| jiff::tz::Offset::from_seconds(ahead).ok());
    let Some(fixed) = fixed else { return plan_err!("{name:?} is no time zone; write a name such as 'Europe/Berlin'") };
    Ok(TimeZone::fixed(fixed))
}

/// What the third argument says: a zone, or a time to count from.
fn zone_and_origin(third: Option<&ScalarValue>, own: Option<&str>) -> Result<(TimeZone, Option<i64>)> {
    let own = || own.map_or(Ok(TimeZone::UTC), |zone| if is_utc(zone) { Ok(TimeZone::UTC) } else { named(zone) });
    match third {
        None => Ok((own()?, None)),
        Some(ScalarValue::TimestampNanosecond(Some(origin), _)) => Ok((own()?, Some(*origin))),
        Some(other) => {
            let Some(text) = other.try_as_str().flatten() else {
                return plan_err!("the origin or zone of time_bucket is {other}; {USAGE}");
            };
            if is_utc(text) {
                return Ok((TimeZone::UTC, None));
            }
            if let Ok(zone) = TimeZone::get(text) {
                return Ok((zone, None));
            }
            let time = other.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())));
            let Ok(ScalarValue::TimestampNanosecond(Some(origin), _)) = time else {
                return plan_err!("{text:?} is neither a time zone, such as 'Europe/Berlin', nor a time to count from; {USAGE}");
            };
            Ok((own()?, Some(origin)))
        }
    }
}

/// The length of an interval: text or an INTERVAL.
fn step(interval: &ScalarValue) -> Result<CalendarStep> {
    let parsed = match interval.try_as_str() {
        Some(Some(text)) => match of_words(text) {
            Some(step) => return Ok(step),
            None => ScalarValue::Utf8(Some(text.to_owned())).cast_to(&DataType::Interval(IntervalUnit::MonthDayNano))?,
        },
        _ => interval.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano))?,
    };
    let ScalarValue::IntervalMonthDayNano(Some(parts)) = parsed else { return plan_err!("the interval of time_bucket is null; {USAGE}") };
    let (months, days, nanoseconds) = IntervalMonthDayNanoType::to_parts(parts);
    let nonzero = |number: i64| NonZeroI64::new(number).filter(|number| number.get() > 0);
    let found = match (months, days, nanoseconds) {
        (months, 0, 0) if months != 0 => nonzero(months.into()).map(CalendarStep::Months),
        (0, days, 0) => nonzero(days.into()).map(CalendarStep::Days),
        (0, days, nanoseconds) => {
            let length = i128::from(days) * DAY_NS + i128::from(nanoseconds);
            i64::try_from(length).ok().and_then(nonzero).map(CalendarStep::Nanoseconds)
        }
        _ => None,
    };
    found.map_or_else(|| plan_err!("an interval of time_bucket is longer than 0, and either of months or of days and less; {USAGE}"), Ok)
}

/// `week`, `2 quarters`: a unit of the calendar, and how many.
fn of_words(text: &str) -> Option<CalendarStep> {
    let (number, unit) = text.trim().split_once(char::is_whitespace).unwrap_or(("1", text.trim()));
    let number: i64 = number.parse().ok()?;
    let length = |of: i64| NonZeroI64::new(number.checked_mul(of)?).filter(|length| length.get() > 0);
    let unit = unit.trim().to_ascii_lowercase();
    match unit.strip_suffix('s').unwrap_or(&unit) {
        "day" => length(1).map(CalendarStep::Days),
        "week" => length(7).map(CalendarStep::Days),
        "month" => length(1).map(CalendarStep::Months),
        "quarter" => length(3).map(CalendarStep::Months),
        "year" => length(12).map(CalendarStep::Months),
        "hour" => length(3_600_000_000_000).map(CalendarStep::Nanoseconds),
        "minute" => length(60_000_000_000).map(CalendarStep::Nanoseconds),
        "second" => length(1_000_000_000).map(CalendarStep::Nanoseconds),
        _ => None,
    }
}

/// No bucket of an interval is longer, in any zone, ns.
pub fn length_max(interval: &ScalarValue) -> Option<i128> {
    Some(match step(interval).ok()? {
        CalendarStep::Months(months) => i128::from(months.get()) * 31 * DAY_NS + DAY_NS,
        CalendarStep::Days(days) => i128::from(days.get()) * DAY_NS + DAY_NS,
        CalendarStep::Nanoseconds(length) => i128::from(length.get()) + DAY_NS,
    })
}

/// The length of buckets that may begin at any local time; of those that begin with a day, a day.
pub fn part_of_day(interval: &ScalarValue) -> Option<i64> {
    match step(interval).ok()? {
        CalendarStep::Months(_) | CalendarStep::Days(_) => i64::try_from(DAY_NS).ok(),
        CalendarStep::Nanoseconds(length) => Some(length.get()),
    }
}

fn interval_of(step: CalendarStep) -> ScalarValue {
    let parts = match step {
        CalendarStep::Months(months) => (i32::try_from(months.get()).unwrap_or(i32::MAX), 0, 0),
        CalendarStep::Days(days) => (0, i32::try_from(days.get()).unwrap_or(i32::MAX), 0),
        CalendarStep::Nanoseconds(nanoseconds) => (0, 0, nanoseconds.get()),
    };
    ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNanoType::make_value(parts.0, parts.1, parts.2)))
}

/// The buckets of timestamps in a zone.
fn bucket(interval: &ScalarValue, time: &ColumnarValue, zone: TimeZone, origin: Option<i64>, rows: usize) -> Result<ColumnarValue> {
    let step = step(interval)?;
    let first = if matches!(step, CalendarStep::Months(_)) { MILLENNIUM } else { MONDAY };
    let local = |at: i64, zone: &TimeZone| -> Result<DateTime> {
        match jiff::Timestamp::from_nanosecond(at.into()) {
            Ok(at) => Ok(zone.to_datetime(at)),
            Err(error) => exec_err!("the origin of time_bucket lies too far away: {error}"),
        }
    };
    let origin = match origin {
        Some(origin) => local(origin, &zone)?,
        None => local(first, &TimeZone::UTC)?,
    };
    let mut calendar = CalendarIntervals::new(zone, step, origin);
    let outer = time.data_type();
    let times: ArrayRef = time.to_array(if matches!(time, ColumnarValue::Scalar(_)) { 1 } else { rows })?;
    let DataType::Timestamp(_, own) = &outer else { return exec_err!("time_bucket takes timestamps, not {outer}") };
    let times = cast(&times, &DataType::Timestamp(TimeUnit::Nanosecond, own.clone()))?;
    let starts: TimestampNanosecondArray =
        times.as_primitive::<TimestampNanosecondType>().iter().map(|at| at.and_then(|at| calendar.start(at))).collect();
    let starts = cast(&starts.with_timezone_opt(own.clone()), &outer)?;
    Ok(match time {
        ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&starts, 0)?),
        ColumnarValue::Array(_) => ColumnarValue::Array(starts),
    })
}
