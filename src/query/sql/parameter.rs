//! Statements into plans, with and without values for their parameters.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::{ParamValues, metadata::ScalarAndMetadata},
    execution::SessionState,
    logical_expr::LogicalPlan,
};

use super::{Description, ScalarValue, SqlError, check_reads_only, session};

/// Most parameters of one statement.
pub const PARAMETERS_MAX: usize = 1_000;

/// The plan of a statement, not yet optimised. It only reads.
async fn plan(state: &SessionState, text: &str) -> Result<LogicalPlan, SqlError> {
    let statement = state.sql_to_statement(text, &state.config_options().sql_parser.dialect)?;
    let plan = state.statement_to_plan(statement).await?;
    check_reads_only(&plan)?;
    Ok(plan)
}

/// What is known of a statement whose parameters have no values yet.
pub async fn describe(state: &SessionState, text: &str) -> Result<Description, SqlError> {
    let plan = plan(state, text).await?;
    let parameters = parameters(&plan)?;
    // Types may change when the plan is analysed; a plan with parameters cannot always be.
    let schema = if parameters.fields().is_empty() {
        state.create_physical_plan(&plan).await?.schema()
    } else {
        Arc::new(plan.schema().as_arrow().clone())
    };
    Ok(Description { schema: session::plain_schema(&schema), parameters })
}

/// The plan with values for `$1`, `$2`, ….
pub async fn bound_plan(state: &SessionState, text: &str, values: &[ScalarValue]) -> Result<LogicalPlan, SqlError> {
    let plan = plan(state, text).await?;
    let wanted = parameters(&plan)?.fields().len();
    if wanted != values.len() {
        return Err(SqlError::Invalid(format!("the statement has {wanted} parameters and {} values are bound", values.len())));
    }
    if wanted == 0 {
        return Ok(plan);
    }
    let values = values.iter().map(|value| ScalarAndMetadata::new(value.clone(), None)).collect();
    Ok(plan.with_param_values(ParamValues::List(values))?)
}

/// Fields `$1`, `$2`, … of a plan.
fn parameters(plan: &LogicalPlan) -> Result<SchemaRef, SqlError> {
    let types = plan.get_parameter_types()?;
    let mut fields = Vec::with_capacity(types.len());
    for (name, found) in types {
        let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        let number = number
            .filter(|number| (1..=PARAMETERS_MAX).contains(number))
            .ok_or_else(|| SqlError::Invalid(format!("the parameter {name} is none of ?, or $1 to ${PARAMETERS_MAX}")))?;
        let plain = match found {
            Some(DataType::Dictionary(_, value)) => *value,
            Some(DataType::Utf8View) => DataType::Utf8,
            Some(other) => other,
            None => DataType::Null,
        };
        fields.push((number, Field::new(name, plain, true)));
    }
    fields.sort_by_key(|(number, _)| *number);
    if let Some(missing) = fields.iter().zip(1..).find(|((number, _), expected)| number != expected).map(|(_, expected)| expected) {
        return Err(SqlError::Invalid(format!("the statement has no parameter ${missing} but higher ones; number them from $1 on")));
    }
    Ok(Arc::new(Schema::new(fields.into_iter().map(|(_, field)| field).collect::<Vec<_>>())))
}
