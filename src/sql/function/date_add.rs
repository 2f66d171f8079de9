//! `dateadd(unit, n, timestamp)`: a time so many units later, as SQL Server's `DATEADD` and the `TIMESTAMPADD` of JDBC and ODBC have it. The last day
//! of a month stays within the month.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, IntervalMonthDayNanoArray, types::IntervalMonthDayNanoType},
    compute::kernels::numeric,
    datatypes::{DataType, Int64Type, TimeUnit},
};
use datafusion::{
    common::{ScalarValue, exec_err, plan_err},
    error::Result,
    logical_expr::{
        ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, binary_expr, lit,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};

use crate::error::invalid;

const USAGE: &str = "it is called as DATEADD(unit, n, timestamp)";

pub fn function() -> ScalarUDF {
    ScalarUDF::from(DateAdd { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateAdd {
    signature: Signature,
}

/// Types that times of other kinds are read in: those that are timestamps stay what they are.
pub fn as_time(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(..) => data_type.clone(),
        _ => DataType::Timestamp(TimeUnit::Nanosecond, None),
    }
}

impl ScalarUDFImpl for DateAdd {
    fn name(&self) -> &'static str {
        "dateadd"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, _, time] = types else { return plan_err!("dateadd has {} arguments; {USAGE}", types.len()) };
        Ok(vec![DataType::Utf8, DataType::Int64, as_time(time)])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.get(2).map_or_else(|| plan_err!("{USAGE}"), |time| Ok(as_time(time)))
    }

    /// A number that is known is an interval, so that what holds for those holds for this.
    fn simplify(&self, arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if let [Expr::Literal(unit, _), Expr::Literal(ScalarValue::Int64(Some(count)), _), time] = arguments.as_slice()
            && let Some(unit) = unit.try_as_str().flatten()
        {
            let interval = lit(ScalarValue::IntervalMonthDayNano(Some(interval(unit, *count)?)));
            return Ok(ExprSimplifyResult::Simplified(binary_expr(time.clone(), Operator::Plus, interval)));
        }
        Ok(ExprSimplifyResult::Original(arguments))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(unit), counts, times] = arguments.args.as_slice() else {
            return exec_err!("the unit of DATEADD must be a constant; {USAGE}");
        };
        let Some(unit) = unit.try_as_str().flatten() else { return exec_err!("the unit of DATEADD is no text; {USAGE}") };
        let counts = counts.to_array(arguments.number_rows)?;
        let intervals: IntervalMonthDayNanoArray = counts
            .as_primitive::<Int64Type>()
            .iter()
            .map(|count| count.map(|count| interval(unit, count)).transpose())
            .collect::<Result<_>>()?;
        let times: ArrayRef = times.to_array(arguments.number_rows)?;
        Ok(ColumnarValue::Array(numeric::add(&times, &(Arc::new(intervals) as ArrayRef))?))
    }
}

/// So many units as an interval.
fn interval(unit: &str, count: i64) -> Result<arrow::datatypes::IntervalMonthDayNano> {
    let days = |of: i64| count.checked_mul(of).and_then(|days| i32::try_from(days).ok()).map(|days| (0, days, 0));
    let months = |of: i64| count.checked_mul(of).and_then(|months| i32::try_from(months).ok()).map(|months| (months, 0, 0));
    let ns = |of: i64| count.checked_mul(of).map(|ns| (0, 0, ns));
    let parts = match unit {
        "year" => months(12),
        "quarter" => months(3),
        "month" => months(1),
        "week" => days(7),
        "day" => days(1),
        "hour" => ns(3_600_000_000_000),
        "minute" => ns(60_000_000_000),
        "second" => ns(1_000_000_000),
        "millisecond" => ns(1_000_000),
        "microsecond" => ns(1_000),
        "nanosecond" => ns(1),
        _ => return Err(invalid(format!("{unit:?} is no unit of DATEADD; {USAGE}"))),
    };
    let Some((months, days, ns)) = parts else { return Err(invalid(format!("{count} {unit}s are too many for DATEADD"))) };
    Ok(IntervalMonthDayNanoType::make_value(months, days, ns))
}
