//! `+` and `-` as other databases have them, which is a matter of types: `tag + ': ' + text` joins texts, `timestamp - 7` and `SYSDATE - 1/24` count
//! days, `timestamp + '1 day'` adds an interval. `DataFusion` has no answer to any of these.

use arrow::{
    array::types::IntervalMonthDayNanoType,
    datatypes::{DataType, IntervalUnit, TimeUnit},
};
use datafusion::{
    common::{DFSchema, ScalarValue},
    error::Result,
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, Operator, binary_expr, cast, lit,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    sql::sqlparser::ast::BinaryOperator,
};

const DAY_NS: f64 = 86_400e9;

#[derive(Debug)]
pub struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let op = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        // A type that is not known belongs to an outer statement, or to a parameter.
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        if op == Operator::Plus && is_text(&left) && is_text(&right) {
            return Ok(PlannerResult::Planned(binary_expr(expr.left, Operator::StringConcat, expr.right)));
        }
        let is_time = matches!(left, DataType::Timestamp(..) | DataType::Date32);
        let interval = if right.is_numeric() { days(&expr.right).map(of_days) } else { interval(&expr.right) };
        let Some((parts, is_whole)) = interval.filter(|_| is_time) else { return Ok(PlannerResult::Original(expr)) };
        let time =
            if is_whole || left != DataType::Date32 { expr.left } else { cast(expr.left, DataType::Timestamp(TimeUnit::Nanosecond, None)) };
        Ok(PlannerResult::Planned(binary_expr(time, op, lit(parts))))
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// A constant number of days, such as `1/24`, which is an hour and not the 0 of whole numbers.
fn days(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Float64).ok()? {
            ScalarValue::Float64(number) => number,
            _ => None,
        },
        Expr::Negative(of) => Some(-days(of)?),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left, right) = (days(left)?, days(right)?);
            match op {
                Operator::Plus => Some(left + right),
                Operator::Minus => Some(left - right),
                Operator::Multiply => Some(left * right),
                Operator::Divide => Some(left / right),
                _ => None,
            }
        }
        _ => None,
    }
    .filter(|days: &f64| days.abs() < 100_000.0)
}

/// So many days as an interval, and whether they are whole ones.
fn of_days(days: f64) -> (ScalarValue, bool) {
    let (whole, rest) = (days.trunc(), (days.fract() * DAY_NS).round());
    let parts = IntervalMonthDayNanoType::make_value(0, whole as i32, rest as i64);
    (ScalarValue::IntervalMonthDayNano(Some(parts)), rest == 0.0)
}

/// A text that says an interval with its unit.
fn interval(expr: &Expr) -> Option<(ScalarValue, bool)> {
    let Expr::Literal(value, _) = expr else { return None };
    let text = value.try_as_str().flatten()?;
    let has_unit = text.trim_start_matches('-').starts_with(|letter: char| letter.is_ascii_digit()) && text.contains(char::is_alphabetic);
    let parts = value.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano)).ok().filter(|_| has_unit)?;
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = &parts else { return None };
    let is_whole = IntervalMonthDayNanoType::to_parts(*interval).2 == 0;
    Some((parts, is_whole))
}
