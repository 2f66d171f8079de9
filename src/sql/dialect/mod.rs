//! The SQL that tools write: what JDBC and ODBC drivers, SQL Server, Oracle, `MySQL` and `PostgreSQL` spell otherwise than `DataFusion`, put into its
//! words. Escapes and quotes are changed among the tokens, everything else in the parsed statement; texts and comments are never touched.

mod build;
mod call;
mod clause;
mod format;
mod names;
mod operators;
mod refusal;
mod relations;
mod rewrite;
mod tokens;
mod types;

use std::ops::ControlFlow;

use datafusion::{
    execution::SessionState,
    logical_expr::LogicalPlan,
    sql::{
        parser::{DFParserBuilder, Statement},
        sqlparser::{ast::VisitMut, dialect::GenericDialect, tokenizer::TokenWithSpan},
    },
};

use super::SqlError;

pub use operators::Operators;

/// The plan of a statement, not yet analysed, in whatever dialect it is written.
///
/// # Errors
/// [`SqlError::Invalid`] for what cannot be read or planned, [`SqlError::ReadOnly`] for what would change something.
pub async fn plan(state: &SessionState, text: &str) -> Result<LogicalPlan, SqlError> {
    let tokens = tokens::rewritten(text, GenericDialect {})?;
    refusal::check(&tokens)?;
    let folded = names::folded(&tokens);
    let planned = match parsed(state, tokens) {
        Ok(statement) => state.statement_to_plan(statement).await.map_err(SqlError::from),
        Err(error) => Err(error),
    };
    let error = match planned {
        Ok(plan) => return Ok(plan),
        Err(error) => error,
    };
    // A name that there is in small letters is most likely meant.
    if let Some((tokens, spelled)) = folded
        && let Ok(statement) = parsed(state, tokens)
        && let Ok(plan) = state.statement_to_plan(statement).await
    {
        return names::labelled(plan, &spelled);
    }
    Err(error)
}

fn parsed(state: &SessionState, tokens: Vec<TokenWithSpan>) -> Result<Statement, SqlError> {
    let dialect = GenericDialect {};
    let recursion_limit = state.config_options().sql_parser.recursion_limit.get();
    let mut parser = DFParserBuilder::new(tokens).with_dialect(&dialect).with_recursion_limit(recursion_limit).build()?;
    let mut statements = parser.parse_statements()?;
    if statements.len() > 1 {
        return Err(SqlError::Invalid("one statement at a time is taken; send the others one by one".into()));
    }
    let Some(mut statement) = statements.pop_front() else {
        return Err(SqlError::Invalid("the statement is empty; the shortest one is SELECT 1".into()));
    };
    let mut inner = &mut statement;
    while let Statement::Explain(explain) = inner {
        inner = &mut explain.statement;
    }
    if let Statement::Statement(statement) = inner {
        if let ControlFlow::Break(reason) = VisitMut::visit(statement, &mut rewrite::Rewrite::default()) {
            return Err(*reason);
        }
        relations::check(statement)?;
    }
    Ok(statement)
}
