//! `time_bucket(interval, timestamp [, origin])`: the start of the aligned interval that a timestamp lies in; intervals count from 1970 (or from
//! `origin`) in UTC. Another name for `DataFusion`'s `date_bin`, into which the planner turns it, so that what holds for that holds for this.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::{
    common::plan_err,
    error::Result,
    functions::datetime::date_bin,
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};

pub fn function() -> ScalarUDF {
    ScalarUDF::from(TimeBucket { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
    signature: Signature,
}

const USAGE: &str = "time_bucket is called as time_bucket('5 minutes', timestamp [, origin])";

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &'static str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The interval may be text; timestamps stay what they are.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let ([interval, time] | [interval, time, _]) = types else { return plan_err!("{USAGE}") };
        if !matches!(interval, DataType::Interval(_) | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return plan_err!("the interval of time_bucket must be text such as '5 minutes' or an INTERVAL, it is {interval}; {USAGE}");
        }
        let DataType::Timestamp(_, zone) = time else {
            return plan_err!("time_bucket takes a timestamp, not {time}; {USAGE}");
        };
        let mut coerced = vec![DataType::Interval(IntervalUnit::MonthDayNano), time.clone()];
        if types.len() == 3 {
            coerced.push(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()));
        }
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.get(1).cloned().map_or_else(|| plan_err!("{USAGE}"), Ok)
    }

    fn simplify(&self, arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified(date_bin().call(arguments)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        date_bin().invoke_with_args(arguments)
    }
}
