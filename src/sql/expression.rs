//! Expressions of a plan, for the rules that change them.

use datafusion::{
    common::{
        DFSchema,
        tree_node::{Transformed, TreeNode},
    },
    error::Result,
    logical_expr::{Expr, LogicalPlan, Operator, expr_rewriter::NamePreserver, utils::merge_schema},
};

/// A node of a plan with each of its expressions, from the inside out, as `change` has it. Columns keep their names. `change` is told the columns
/// that there are.
pub fn each_expression(plan: LogicalPlan, change: impl Fn(Expr, &DFSchema) -> Transformed<Expr>) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let names = NamePreserver::new(&plan);
    let changed = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let changed = expression.transform_up(|node| Ok(change(node, &schema)))?;
        Ok(changed.update_data(|expression| name.restore(expression)))
    })?;
    if changed.transformed { changed.map_data(LogicalPlan::recompute_schema) } else { Ok(changed) }
}

/// Whether a zone of Arrow is UTC, in which the local time is the time itself.
pub fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "+00:00" | "Z")
}

/// Operators that compare two values.
pub fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}
