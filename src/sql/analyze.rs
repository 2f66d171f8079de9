//! What statements say of time and mean otherwise than `DataFusion` reads it: changed in the plan before types are settled.
//!
//! - A timestamp of a zone without its zone is the local time there; the cast alone would show the time in UTC.
//! - The epoch of a timestamp and of a difference of two has its fraction.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{DFSchema, config::ConfigOptions, tree_node::Transformed},
    error::Result,
    functions::datetime::to_local_time,
    logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, cast, lit},
    optimizer::{Analyzer, AnalyzerRule},
};

use super::{
    arithmetic::ArithmeticAsSaid,
    civil::CivilTimes,
    expression::{each_expression, is_utc},
    open_end::OpenEnds,
};

/// The rules of a session: that of its zone, this one, then those of `DataFusion`, which settle the types, then those for times beyond all
/// samples and for arithmetic.
pub fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(CivilTimes), Arc::new(TimesAsMeant)];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(OpenEnds));
    rules.push(Arc::new(ArithmeticAsSaid::new()));
    rules
}

#[derive(Debug)]
struct TimesAsMeant;

impl AnalyzerRule for TimesAsMeant {
    fn name(&self) -> &'static str {
        "times_as_meant"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|node| each_expression(node, of_expression))?.data)
    }
}

fn of_expression(node: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match &node {
        Expr::Cast(Cast { expr, field }) if matches!(field.data_type(), DataType::Timestamp(_, None)) => {
            // A type that is not known yet belongs to an expression of an outer statement, or to a parameter.
            let is_elsewhere = matches!(expr.get_type(schema), Ok(DataType::Timestamp(_, Some(zone))) if !is_utc(&zone));
            if is_elsewhere {
                let local = to_local_time().call(vec![expr.as_ref().clone()]);
                return Transformed::yes(cast(local, field.data_type().clone()));
            }
        }
        Expr::ScalarFunction(function) if function.func.name() == "date_part" => {
            if let [Expr::Literal(part, _), of] = function.args.as_slice()
                && part.try_as_str().flatten().is_some_and(|part| part.eq_ignore_ascii_case("epoch"))
                && let Ok(DataType::Duration(unit) | DataType::Timestamp(unit, _)) = of.get_type(schema)
            {
                // Whole seconds and the rest apart: together they are more than a double holds.
                let per_second = units_per_second(unit);
                let units = || cast(of.clone(), DataType::Int64);
                let whole = cast(units() / lit(per_second), DataType::Float64);
                let rest = cast(units() % lit(per_second), DataType::Float64) / lit(per_second as f64);
                return Transformed::yes(whole + rest);
            }
        }
        _ => {}
    }
    Transformed::no(node)
}

fn units_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
