//! Quoted names in another case than ours, such as `"TAG"` and `"SAMPLES"`, which tools write that know databases whose catalogs are in capitals.

use std::collections::HashMap;

use datafusion::{
    common::Column,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    sql::sqlparser::tokenizer::{Token, TokenWithSpan},
};

use super::super::SqlError;

/// Names as they were spelled, by the small one; none where they were spelled in several ways.
pub type Spelled = HashMap<String, Option<String>>;

/// The same tokens with all quoted names in small letters, and how they were spelled; `None` when they are small.
pub fn folded(tokens: &[TokenWithSpan]) -> Option<(Vec<TokenWithSpan>, Spelled)> {
    let mut spelled = Spelled::new();
    let fold = |token: &TokenWithSpan| {
        let Token::Word(word) = &token.token else { return token.clone() };
        let small = word.value.to_lowercase();
        if word.quote_style.is_none() || small == word.value {
            return token.clone();
        }
        let own = spelled.entry(small.clone()).or_insert_with(|| Some(word.value.clone()));
        if own.as_ref().is_some_and(|own| *own != word.value) {
            *own = None;
        }
        TokenWithSpan { token: Token::make_word(&small, word.quote_style), span: token.span }
    };
    let folded: Vec<TokenWithSpan> = tokens.iter().map(fold).collect();
    (!spelled.is_empty()).then_some((folded, spelled))
}

/// A plan whose columns are called as the statement spelled them.
///
/// # Errors
/// When the columns cannot be named like that.
pub fn labelled(plan: LogicalPlan, spelled: &Spelled) -> Result<LogicalPlan, SqlError> {
    if matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)) {
        return Ok(plan);
    }
    let label = |name: &str| spelled.get(name).cloned().flatten();
    let schema = plan.schema().clone();
    if schema.fields().iter().all(|field| label(field.name()).is_none()) {
        return Ok(plan);
    }
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        match label(field.name()) {
            Some(label) => column.alias_qualified(qualifier.cloned(), label),
            None => column,
        }
    });
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}
