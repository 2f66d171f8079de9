//! Statements of a session with a zone: hours, days and texts of times are those of the zone, and a time without a zone means its clock. Changed
//! in the plan before types are settled; instants stay what they are, so that conditions reach the tables as before.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{DFSchema, config::ConfigOptions, tree_node::Transformed},
    error::Result,
    logical_expr::{
        Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, cast,
        expr::{InList, ScalarFunction},
    },
    optimizer::AnalyzerRule,
};

use super::expression::{each_expression, is_comparison, is_utc};

/// Functions that tell of the calendar or the clock.
const CIVIL: [&str; 8] = ["date_part", "date_trunc", "date_bin", "time_bucket", "to_char", "to_date", "to_time", "to_local_time"];

#[derive(Debug)]
pub struct CivilTimes;

impl AnalyzerRule for CivilTimes {
    fn name(&self) -> &'static str {
        "civil_times"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let Some(zone) = config.execution.time_zone.as_deref().filter(|zone| !is_utc(zone)) else { return Ok(plan) };
        let zone: Arc<str> = zone.into();
        Ok(plan.transform_up_with_subqueries(|node| each_expression(node, |node, schema| of_expression(node, schema, &zone)))?.data)
    }
}

fn of_expression(node: Expr, schema: &DFSchema, zone: &Arc<str>) -> Transformed<Expr> {
    match node {
        Expr::ScalarFunction(ScalarFunction { func, args }) if CIVIL.contains(&func.name()) => {
            let args = args.into_iter().map(|argument| in_zone(argument, schema, zone)).collect();
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        Expr::Cast(Cast { expr, field }) if is_shown(field.data_type()) => {
            Transformed::yes(Expr::Cast(Cast { expr: Box::new(in_zone(*expr, schema, zone)), field }))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            let (told, other) = (is_instant(&left, schema), is_instant(&right, schema));
            let left = if other && !told { Box::new(instant(*left, schema, zone)) } else { left };
            let right = if told && !other { Box::new(instant(*right, schema, zone)) } else { right };
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::Between(Between { expr, negated, low, high }) if is_instant(&expr, schema) => {
            let bound = |bound: Expr| Box::new(instant(bound, schema, zone));
            Transformed::yes(Expr::Between(Between { expr, negated, low: bound(*low), high: bound(*high) }))
        }
        Expr::InList(InList { expr, list, negated }) if is_instant(&expr, schema) => {
            let list = list.into_iter().map(|item| instant(item, schema, zone)).collect();
            Transformed::yes(Expr::InList(InList { expr, list, negated }))
        }
        other => Transformed::no(other),
    }
}

fn utc() -> Arc<str> {
    "UTC".into()
}

/// A time of UTC, as all columns are, as one of the zone; anything else as it is.
fn in_zone(expression: Expr, schema: &DFSchema, zone: &Arc<str>) -> Expr {
    match expression.get_type(schema) {
        Ok(DataType::Timestamp(unit, Some(own))) if is_utc(&own) => cast(expression, DataType::Timestamp(unit, Some(zone.clone()))),
        _ => expression,
    }
}

/// What is compared with an instant: a text, a date or a time without a zone means the clock of the zone.
fn instant(expression: Expr, schema: &DFSchema, zone: &Arc<str>) -> Expr {
    let of_zone = |of: Expr| cast(of, DataType::Timestamp(TimeUnit::Nanosecond, Some(zone.clone())));
    let told = match expression.get_type(schema) {
        Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Timestamp(_, None)) => of_zone(expression),
        Ok(DataType::Date32 | DataType::Date64) => of_zone(cast(expression, DataType::Timestamp(TimeUnit::Nanosecond, None))),
        Ok(DataType::Timestamp(_, Some(own))) if !is_utc(&own) => expression,
        _ => return expression,
    };
    cast(told, DataType::Timestamp(TimeUnit::Nanosecond, Some(utc())))
}

fn is_instant(expression: &Expr, schema: &DFSchema) -> bool {
    matches!(expression.get_type(schema), Ok(DataType::Timestamp(_, Some(zone))) if is_utc(&zone))
}

/// Types into which a time goes as its zone shows it.
fn is_shown(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(_, None)
    )
}
