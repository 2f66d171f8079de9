//! `trunc`: of a number as `DataFusion` has it, and of a time as Oracle does, `TRUNC(timestamp)` and `TRUNC(timestamp, 'MM')`.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{exec_err, plan_err},
    error::Result,
    functions::{datetime::date_trunc, math::trunc},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};

use crate::error::invalid;

const USAGE: &str = "TRUNC is called as TRUNC(number [, places]) or TRUNC(timestamp [, 'DD' | 'MM' | 'YYYY' | 'Q' | 'IW' | 'HH24' | 'MI'])";

pub fn function() -> ScalarUDF {
    ScalarUDF::from(Trunc { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Trunc {
    signature: Signature,
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

impl ScalarUDFImpl for Trunc {
    fn name(&self) -> &'static str {
        "trunc"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let ([of] | [of, _]) = types else { return plan_err!("{USAGE}") };
        let (own, second) = match of {
            DataType::Timestamp(..) => (of.clone(), DataType::Utf8),
            DataType::Date32 | DataType::Date64 => (DataType::Timestamp(TimeUnit::Nanosecond, None), DataType::Utf8),
            DataType::Float32 | DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                (of.clone(), DataType::Int64)
            }
            DataType::Null => (DataType::Float64, DataType::Int64),
            of if of.is_numeric() => (DataType::Float64, DataType::Int64),
            of => return plan_err!("TRUNC takes no {of}; {USAGE}"),
        };
        Ok(if types.len() == 1 { vec![own] } else { vec![own, second] })
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(of) if is_time(of) => Ok(of.clone()),
            Some(_) => trunc().inner().return_type(types),
            None => plan_err!("{USAGE}"),
        }
    }

    fn simplify(&self, mut arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(first) = arguments.first() else { return plan_err!("{USAGE}") };
        if !is_time(&context.get_data_type(first)?) {
            return Ok(ExprSimplifyResult::Simplified(trunc().call(arguments)));
        }
        let unit = match arguments.get(1) {
            None => "day",
            Some(Expr::Literal(unit, _)) => unit_of(unit.try_as_str().flatten().unwrap_or_default())?,
            Some(_) => return plan_err!("the unit of TRUNC is no constant; {USAGE}"),
        };
        Ok(ExprSimplifyResult::Simplified(date_trunc().call(vec![lit(unit), arguments.swap_remove(0)])))
    }

    /// Of numbers; those of times are simplified before.
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if arguments.args.first().is_some_and(|first| is_time(&first.data_type())) {
            return exec_err!("the unit of TRUNC is no constant; {USAGE}");
        }
        trunc().invoke_with_args(arguments)
    }
}

fn unit_of(word: &str) -> Result<&'static str> {
    Ok(match word.to_uppercase().as_str() {
        "DD" | "DDD" | "J" => "day",
        "MM" | "MON" | "MONTH" | "RM" => "month",
        "Q" | "QUARTER" => "quarter",
        "Y" | "YY" | "YYY" | "YYYY" | "YEAR" | "SYYYY" => "year",
        "IW" => "week",
        "HH" | "HH12" | "HH24" | "HOUR" => "hour",
        "MI" | "MINUTE" => "minute",
        _ => return Err(invalid(format!("{word:?} is no unit of TRUNC; {USAGE}; or write date_trunc('day', …)"))),
    })
}
