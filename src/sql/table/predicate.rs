//! What a `WHERE` says about tags and time: the tags × range of a plan of the query engine. What it says beyond that is left to the filter
//! above the scan.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Schema},
};
use datafusion::{
    catalog::Session,
    common::{DFSchema, ScalarValue},
    error::Result,
    logical_expr::{BinaryExpr, Expr, Operator, expr::InList, utils::conjunction},
};

use super::samples;
use crate::{
    error::invalid,
    scan::{self, StatementLimits},
};
use historian_model::{Tag, TagSelection, TimeRange, Timestamp};
use historian_store::Catalog;

/// Tags and times that a list of filters leaves over.
#[derive(Debug)]
pub struct FilteredScan {
    pub tags: Vec<Arc<Tag>>,
    pub range: TimeRange,
}

/// True for a filter that [`select`] fulfils exactly: one over nothing but the tag, or a comparison of the timestamp with a time.
pub fn is_exact(filter: &Expr) -> bool {
    times(filter, "timestamp").is_some() || only_tag(filter)
}

/// The bound of the tags that one table of a statement reads.
///
/// # Errors
/// When there are more of them.
pub fn at_most(tags: &[Arc<Tag>], tags_max: usize) -> Result<()> {
    if tags.len() > tags_max {
        return Err(invalid(format!(
            "the statement reads {} tags, at most {tags_max} are read at once; say which, for example with tag LIKE 'area1/%'",
            tags.len()
        )));
    }
    Ok(())
}

/// Applies filters, all of which are exact.
///
/// # Errors
/// When a filter over tags cannot be evaluated.
pub fn select(filters: &[Expr], catalog: &Catalog, state: &dyn Session) -> Result<FilteredScan> {
    // In i128, so that one past the last nanosecond is a number too.
    let (mut start, mut end) = (i128::from(i64::MIN), i128::from(i64::MAX));
    let mut over_tags: Vec<&Expr> = Vec::new();
    for filter in filters {
        match times(filter, "timestamp") {
            Some((from, to)) => (start, end) = (start.max(from), end.min(to)),
            None => over_tags.push(filter),
        }
    }
    let clamp = |time: i128| Timestamp(time.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64);
    let range = TimeRange { start: clamp(start), end: clamp(end.max(start)), reverse: false };

    // Names that are listed are looked up; everything else is asked of all names.
    let mut names: Option<BTreeSet<String>> = None;
    let mut other = Vec::new();
    for filter in over_tags {
        let Some(listed) = listed(filter, "tag") else {
            other.push(filter.clone());
            continue;
        };
        let listed: BTreeSet<String> = listed.into_iter().collect();
        names = Some(names.map_or(listed.clone(), |before| before.intersection(&listed).cloned().collect()));
    }
    let selection = match names {
        Some(names) => TagSelection::of_names(names.into_iter().collect()),
        None => TagSelection::all(),
    };
    let bounds = state.config().get_extension::<StatementLimits>();
    let scope = scan::scope(bounds.as_deref());
    let (mut tags, _) = catalog.within(&scope).select_while(&selection, &|| scan::go_on(bounds.as_deref()))?;
    if let Some(filter) = conjunction(other)
        && !tags.is_empty()
    {
        let kept = evaluate(filter, &tags, state)?;
        let mut kept = kept.iter();
        tags.retain(|_| kept.next().flatten().unwrap_or(false));
    }
    Ok(FilteredScan { tags, range })
}

/// The filter over the names of the tags, with the meaning it has for rows.
fn evaluate(filter: Expr, tags: &[Arc<Tag>], state: &dyn Session) -> Result<BooleanArray> {
    let field = samples::schema().field(0).clone();
    let names: ArrayRef = Arc::new(tags.iter().map(|tag| Some(tag.name().as_str())).collect::<StringArray>());
    let column = cast(&names, field.data_type())?;
    let schema = Arc::new(Schema::new(vec![field]));
    let expression = state.create_physical_expr(filter, &DFSchema::try_from(schema.clone())?)?;
    let batch = RecordBatch::try_new(schema, vec![column])?;
    let kept = expression.evaluate(&batch)?.into_array(tags.len())?;
    Ok(kept.as_boolean().clone())
}

/// Names in `column = 'a'` or `column IN ('a', 'b')`.
pub fn listed(filter: &Expr, column: &str) -> Option<Vec<String>> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let name = if is_column(left, column) { text(right) } else { is_column(right, column).then(|| text(left)).flatten() };
            name.map(|name| vec![name])
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut names = listed(left, column)?;
            names.extend(listed(right, column)?);
            Some(names)
        }
        Expr::InList(InList { expr, list, negated: false }) if is_column(expr, column) => list.iter().map(text).collect(),
        _ => None,
    }
}

/// True when the filter depends on the tag and nothing else, and always says the same.
pub fn only_tag(filter: &Expr) -> bool {
    let columns = filter.column_refs();
    columns.len() == 1 && columns.iter().all(|column| column.name == "tag") && !filter.is_volatile() && !has_subquery(filter)
}

fn has_subquery(filter: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let inner = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::OuterReferenceColumn(..) | Expr::Placeholder(_)
        ))
    };
    filter.exists(inner).unwrap_or(true)
}

/// The half-open range that a comparison of a column of times with a time leaves over.
pub fn times(filter: &Expr, column: &str) -> Option<(i128, i128)> {
    compared(filter, &|expr| is_column(expr, column), time)
}

/// The half-open range that a comparison of a column of whole numbers with one leaves over. `number` reads what it is compared with.
pub fn compared(filter: &Expr, is_column: &dyn Fn(&Expr) -> bool, number: impl Fn(&Expr) -> Option<i128>) -> Option<(i128, i128)> {
    let (least, past) = (i128::from(i64::MIN), i128::from(i64::MAX) + 1);
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, at) = if is_column(left) {
                (*op, number(right)?)
            } else if is_column(right) {
                (op.swap()?, number(left)?)
            } else {
                return None;
            };
            Some(match op {
                Operator::Eq => (at, at + 1),
                Operator::Lt => (least, at),
                Operator::LtEq => (least, at + 1),
                Operator::Gt => (at + 1, past),
                Operator::GtEq => (at, past),
                _ => return None,
            })
        }
        Expr::Between(between) if !between.negated && is_column(&between.expr) => Some((number(&between.low)?, number(&between.high)? + 1)),
        _ => None,
    }
}

/// The column itself, or a cast that keeps every value apart.
pub fn is_column(expr: &Expr, name: &str) -> bool {
    match expr {
        Expr::Column(column) => column.name == name,
        Expr::Cast(cast) if is_text(cast.field.data_type()) => is_column(&cast.expr, name),
        _ => false,
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn text(expr: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = expr else { return None };
    value.try_as_str().flatten().map(str::to_owned)
}

fn time(expr: &Expr) -> Option<i128> {
    match expr {
        // Only what compares as it is: other units and zones that shift are cast by the planner, or left to the filter.
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(at), Some(_)), _) => Some(i128::from(*at)),
        _ => None,
    }
}
