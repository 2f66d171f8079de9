//! Times that no sample has, as "no bound": `timestamp < '9999-12-31'`, `> '0001-01-01'`, also bound as parameters. Timestamps in nanoseconds reach
//! from 1677 to 2262; a constant beyond that is compared as the first or the last of them. Everywhere else it is an error, as it would be shown.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{DFSchema, ScalarValue, config::ConfigOptions, tree_node::Transformed},
    error::Result,
    logical_expr::{Between, BinaryExpr, Cast, Expr, LogicalPlan, expr::InList, lit},
    optimizer::AnalyzerRule,
};

use super::expression::{each_expression, is_comparison};

/// The rule, for when types are settled.
#[derive(Debug)]
pub struct OpenEnds;

impl AnalyzerRule for OpenEnds {
    fn name(&self) -> &'static str {
        "open_ends"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let open = |expression, _: &DFSchema| open_ended(expression);
        Ok(plan.transform_up_with_subqueries(|node| each_expression(node, open))?.data)
    }
}

/// A comparison whose constants are within the times that there are.
pub fn open_ended(node: Expr) -> Transformed<Expr> {
    match node {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => match (bound(&left), bound(&right)) {
            (None, None) => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            (own, other) => Transformed::yes(Expr::BinaryExpr(BinaryExpr {
                left: own.map_or(left, Box::new),
                op,
                right: other.map_or(right, Box::new),
            })),
        },
        Expr::Between(Between { expr, negated, low, high }) => match (bound(&low), bound(&high)) {
            (None, None) => Transformed::no(Expr::Between(Between { expr, negated, low, high })),
            (own, other) => Transformed::yes(Expr::Between(Between {
                expr,
                negated,
                low: own.map_or(low, Box::new),
                high: other.map_or(high, Box::new),
            })),
        },
        Expr::InList(InList { expr, list, negated }) => {
            let bounds: Vec<Option<Expr>> = list.iter().map(bound).collect();
            if bounds.iter().all(Option::is_none) {
                return Transformed::no(Expr::InList(InList { expr, list, negated }));
            }
            let list = list.into_iter().zip(bounds).map(|(item, bound)| bound.unwrap_or(item)).collect();
            Transformed::yes(Expr::InList(InList { expr, list, negated }))
        }
        other => Transformed::no(other),
    }
}

/// The first or the last timestamp, for a constant that is cast to one and lies beyond.
fn bound(expr: &Expr) -> Option<Expr> {
    let Expr::Cast(Cast { field, .. }) = expr else { return None };
    let DataType::Timestamp(TimeUnit::Nanosecond, zone) = field.data_type() else { return None };
    let end = end(wide(expr)?)?;
    Some(lit(ScalarValue::TimestampNanosecond(Some(end), zone.clone())))
}

/// The end beyond which a time lies, if it does.
fn end(at: i128) -> Option<i64> {
    match i64::try_from(at) {
        Ok(_) => None,
        Err(_) => Some(if at < 0 { i64::MIN } else { i64::MAX }),
    }
}

/// The same of a value that is bound.
pub fn of_scalar(value: &ScalarValue) -> Option<i64> {
    end(wide_scalar(value)?)
}

/// A constant time in nanoseconds, as far away as it may be.
fn wide(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Cast(Cast { expr, field }) if matches!(field.data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) => {
            wide(expr)
        }
        Expr::Alias(alias) => wide(&alias.expr),
        Expr::Literal(value, _) => wide_scalar(value),
        _ => None,
    }
}

/// The same of a value, which may be text.
pub fn wide_scalar(value: &ScalarValue) -> Option<i128> {
    let times = |number: i64, unit: i128| i128::from(number) * unit;
    Some(match value {
        ScalarValue::TimestampSecond(Some(at), _) => times(*at, 1_000_000_000),
        ScalarValue::TimestampMillisecond(Some(at), _) | ScalarValue::Date64(Some(at)) => times(*at, 1_000_000),
        ScalarValue::TimestampMicrosecond(Some(at), _) => times(*at, 1_000),
        ScalarValue::TimestampNanosecond(Some(at), _) => times(*at, 1),
        ScalarValue::Date32(Some(day)) => times(i64::from(*day), 86_400_000_000_000),
        text => {
            match text.try_as_str().flatten()?.trim().to_ascii_lowercase().as_str() {
                "infinity" => return Some(i128::MAX >> 1),
                "-infinity" => return Some(i128::MIN >> 1),
                _ => {}
            }
            match text.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))).ok()? {
                ScalarValue::TimestampMicrosecond(Some(at), _) => times(at, 1_000),
                _ => return None,
            }
        }
    })
}
