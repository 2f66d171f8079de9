//! Statements into plans, with and without values for their parameters; and which types the parameters have.
//!
//! `DataFusion` takes a parameter for what stands on the other side of an operator. Beside that, the other arguments of a function tell a type, and
//! a place that takes a count does; and an operand of a time is not a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use datafusion::{
    common::{
        DFSchema, ParamValues, ScalarValue,
        metadata::ScalarAndMetadata,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    error::Result as PlanResult,
    execution::SessionState,
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator,
        expr::Placeholder,
        type_coercion::{binary::comparison_coercion, functions::fields_with_udf},
        utils::merge_schema,
    },
    physical_plan::ExecutionPlan,
};

use super::{
    SqlError, bind, dialect, extent,
    function::CallParameters,
    placeholder::{no_such, number},
    statement::Description,
};

/// A parameter of a statement.
struct StatementParameter {
    name: String,
    /// Its type, where the statement tells it.
    wanted: Option<DataType>,
    /// An argument of a table function and nothing else: it has been read when there is a plan.
    read: bool,
}

/// The plan of a statement, not yet optimised, and the parameters in it. It only reads.
async fn plan(state: &mut SessionState, text: &str, values: &[ScalarValue]) -> Result<(LogicalPlan, Vec<StatementParameter>), SqlError> {
    let in_calls = CallParameters::new(values);
    state.config_mut().set_extension(in_calls.clone());
    let plan = dialect::plan(state, text).await?;
    check_reads_only(&plan)?;
    extent::check(&plan)?;
    let parameters = parameters(&plan, &in_calls)?;
    Ok((plan, parameters))
}

/// What is known of a statement: with values of its parameters what will be answered, without them as much as it tells itself.
pub async fn describe(state: &mut SessionState, text: &str, values: &[ScalarValue]) -> Result<Description, SqlError> {
    let (plan, parameters) = plan(state, text, values).await?;
    let schema = if values.is_empty() && !parameters.is_empty() {
        of_declared(state, &plan, &parameters).await?
    } else {
        physical(state, plan, &parameters, values).await?.schema()
    };
    let field = |parameter: &StatementParameter| Field::new(&parameter.name, parameter.wanted.clone().unwrap_or(DataType::Null), true);
    Ok(Description { schema, parameters: Arc::new(Schema::new(parameters.iter().map(field).collect::<Vec<_>>())) })
}

/// The plan that runs, with values for `$1`, `$2`, ….
pub async fn physical_plan(state: &mut SessionState, text: &str, values: &[ScalarValue]) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
    let (plan, parameters) = plan(state, text, values).await?;
    physical(state, plan, &parameters, values).await
}

async fn physical(
    state: &SessionState,
    plan: LogicalPlan,
    parameters: &[StatementParameter],
    values: &[ScalarValue],
) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
    if parameters.len() != values.len() {
        return Err(SqlError::Invalid(format!("the statement has {} parameters and {} values are bound", parameters.len(), values.len())));
    }
    for value in values {
        extent::check_type(&value.data_type())?;
    }
    if parameters.is_empty() {
        return Ok(state.create_physical_plan(&plan).await?);
    }
    let converted = |(parameter, value): (&StatementParameter, &ScalarValue)| {
        if parameter.read { Ok(value.clone()) } else { bind::converted(&parameter.name, value, parameter.wanted.as_ref()) }
    };
    let values: Vec<ScalarValue> = parameters.iter().zip(values).map(converted).collect::<Result<_, _>>()?;
    // What the statement does not tell is declared as text; a client that keeps to that sends a number as text too.
    let as_number = |(parameter, value): (&StatementParameter, &ScalarValue)| match parameter.wanted {
        None => bind::as_number(value).unwrap_or_else(|| value.clone()),
        Some(_) => value.clone(),
    };
    let numbers: Vec<ScalarValue> = parameters.iter().zip(&values).map(as_number).collect();
    if numbers == values {
        return with_values(state, plan, values).await;
    }
    match with_values(state, plan.clone(), values).await {
        Err(error @ SqlError::Invalid(_)) => with_values(state, plan, numbers).await.map_err(|_| error),
        made => made,
    }
}

async fn with_values(state: &SessionState, plan: LogicalPlan, values: Vec<ScalarValue>) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
    let values = values.into_iter().map(|value| ScalarAndMetadata::new(value, None)).collect();
    let plan = plan.with_param_values(ParamValues::List(values))?;
    Ok(state.create_physical_plan(&plan).await?)
}

/// Columns of a statement whose parameters have no values yet, as they are when the values are of the types that are declared.
async fn of_declared(state: &SessionState, plan: &LogicalPlan, parameters: &[StatementParameter]) -> Result<SchemaRef, SqlError> {
    let null = |parameter: &StatementParameter| ScalarValue::try_from(parameter.wanted.as_ref().unwrap_or(&DataType::Utf8));
    let nulls: PlanResult<Vec<_>> = parameters.iter().map(null).collect();
    match with_values(state, plan.clone(), nulls?).await {
        Ok(plan) => Ok(plan.schema()),
        // Some places take no null; types may then differ from those of the answer, which its own description tells.
        Err(SqlError::Invalid(_)) => Ok(Arc::new(plan.schema().as_arrow().clone())),
        Err(error) => Err(error),
    }
}

/// Parameters `$1`, `$2`, … of a plan, in their order.
fn parameters(plan: &LogicalPlan, in_calls: &CallParameters) -> Result<Vec<StatementParameter>, SqlError> {
    let mut told: BTreeMap<usize, Option<DataType>> = BTreeMap::new();
    let mut beside_times: BTreeMap<usize, DataType> = BTreeMap::new();
    let mut wrong = None;
    plan.apply_with_subqueries(|node| {
        let mut tell = |placeholder: &Placeholder, data_type: Option<DataType>| match number(&placeholder.id) {
            Some(number) => {
                let known = told.entry(number).or_default();
                *known = agreed(known.take(), data_type);
            }
            None => wrong = Some(placeholder.id.clone()),
        };
        if let LogicalPlan::Limit(limit) = node {
            for expression in [&limit.skip, &limit.fetch].into_iter().flatten() {
                if let Expr::Placeholder(placeholder) = expression.as_ref() {
                    tell(placeholder, Some(DataType::Int64));
                }
            }
        }
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus | Operator::Minus, right }) = part {
                    beside_times.extend([left, right].into_iter().filter_map(|side| beside_time(side)));
                }
                of_expression(part, &schema, &mut tell);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    if let Some(name) = wrong {
        return Err(no_such(&name));
    }
    let read = in_calls.taken();
    let only_read: BTreeSet<usize> = read.keys().filter(|number| !told.contains_key(*number)).copied().collect();
    for (number, data_type) in read {
        let known = told.entry(number).or_default();
        *known = agreed(known.take(), Some(data_type));
    }
    if let Some((_, missing)) = told.keys().zip(1..).find(|(number, expected)| *number != expected) {
        return Err(SqlError::Invalid(format!("the statement has no parameter ${missing} but higher ones; number them from $1 on")));
    }
    let parameter = |(number, wanted)| StatementParameter {
        name: format!("${number}"),
        wanted: beside_times.remove(&number).or(wanted),
        read: only_read.contains(&number),
    };
    Ok(told.into_iter().map(parameter).collect())
}

/// The type of a parameter that is added to a time or an interval, or from which one is taken: beside a time stands an interval, and beside an
/// interval a time, where `DataFusion` takes both sides for the same.
fn beside_time(side: &Expr) -> Option<(usize, DataType)> {
    let Expr::Placeholder(placeholder) = side else { return None };
    let data_type = match placeholder.field.as_ref()?.data_type() {
        DataType::Timestamp(..) | DataType::Date32 => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Interval(_) => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        _ => return None,
    };
    Some((number(&placeholder.id)?, data_type))
}

/// What two places that name the same parameter say of its type.
fn agreed(one: Option<DataType>, other: Option<DataType>) -> Option<DataType> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => comparison_coercion(&one, &other).and_then(usual),
        (one, other) => one.or(other),
    }
}

/// Tells what one part of an expression says of the parameters in it.
fn of_expression(part: &Expr, schema: &DFSchema, tell: &mut dyn FnMut(&Placeholder, Option<DataType>)) {
    match part {
        Expr::ScalarFunction(call) if call.args.iter().any(|argument| matches!(argument, Expr::Placeholder(_))) => {
            let typed = |argument: &Expr| Arc::new(Field::new("argument", argument.get_type(schema).unwrap_or(DataType::Null), true));
            // A function that cannot be called with a null tells nothing.
            let taken = fields_with_udf(&call.args.iter().map(typed).collect::<Vec<_>>(), call.func.as_ref()).unwrap_or_default();
            for (argument, field) in call.args.iter().zip(taken) {
                if let Expr::Placeholder(placeholder) = argument {
                    tell(placeholder, usual(field.data_type().clone()));
                }
            }
        }
        Expr::Placeholder(placeholder) => {
            let found = placeholder.field.as_ref().and_then(|field| usual(field.data_type().clone()));
            tell(placeholder, found);
        }
        _ => {}
    }
}

/// A type without the forms that only save space; nothing for that of a null.
fn usual(data_type: DataType) -> Option<DataType> {
    match data_type {
        DataType::Null => None,
        DataType::Dictionary(_, value) => usual(*value),
        DataType::Utf8View | DataType::LargeUtf8 => Some(DataType::Utf8),
        other => Some(other),
    }
}

/// Refuses plans that do more than read.
fn check_reads_only(plan: &LogicalPlan) -> Result<(), SqlError> {
    let options = datafusion::prelude::SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    Ok(options.verify_plan(plan)?)
}
