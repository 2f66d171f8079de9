//! `tag + ' / ' + text` of SQL Server: texts are joined. Of two texts there is no sum.

use arrow::datatypes::DataType;
use datafusion::{
    common::DFSchema,
    error::Result,
    logical_expr::{
        ExprSchemable, Operator, binary_expr,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    sql::sqlparser::ast::BinaryOperator,
};

#[derive(Debug)]
pub struct JoinedText;

impl ExprPlanner for JoinedText {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_of_texts = expr.op == BinaryOperator::Plus
            && [&expr.left, &expr.right].into_iter().all(|side| side.get_type(schema).is_ok_and(|side| is_text(&side)));
        Ok(if is_of_texts {
            PlannerResult::Planned(binary_expr(expr.left, Operator::StringConcat, expr.right))
        } else {
            PlannerResult::Original(expr)
        })
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}
