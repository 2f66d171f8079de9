//! Which partial aggregates over a scan of samples can be had from states, and what they become.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        Constraints,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_expr::{
        EquivalenceProperties, Partitioning, PhysicalExpr,
        aggregate::AggregateFunctionExpr,
        expressions::{Column, Literal},
        split_conjunction,
    },
    physical_plan::{
        ExecutionPlan, PlanProperties,
        aggregates::{AggregateExec, AggregateMode},
        execution_plan::{Boundedness, EmissionType},
        filter::FilterExec,
        projection::ProjectionExec,
    },
};

use super::{
    filter::RowFilter,
    fold::WantedParts,
    grid::{EdgeGrid, Grids, holds_between_edges},
    rollup_exec::{Grouping, Partial, RollupExec},
};
use crate::table::{
    partition::Partition,
    samples,
    samples_exec::{SamplesExec, SamplesScan},
};
use historian_model::TimeRange;
use historian_query::arrow_column;

/// The node that stands for partial aggregates and all below them; `None` where these stay as they are.
pub fn recognised(aggregates: &AggregateExec) -> Option<RollupExec> {
    let group_by = aggregates.group_expr();
    let is_plain = *aggregates.mode() == AggregateMode::Partial
        && !group_by.has_grouping_set()
        && aggregates.limit_options().is_none()
        && aggregates.filter_expr().iter().all(Option::is_none);
    if !is_plain {
        return None;
    }
    let input = input(aggregates.input())?;
    let mut grids = Vec::new();
    let mut by = Vec::new();
    for (expression, _) in group_by.expr() {
        let expression = over_samples(expression, &input.columns)?;
        if !holds_between_edges(&expression, &mut grids) {
            return None;
        }
        by.push(expression);
    }
    let conditions: Vec<_> = input.conditions.iter().flat_map(split_conjunction).collect();
    let filter = RowFilter::of(&conditions)?;
    let mut partials = Vec::new();
    for aggregate in aggregates.aggr_expr() {
        partials.push(partial(aggregate, &input.columns)?);
    }
    let schema = aggregates.schema();
    let handed_on = schema.fields()[by.len()..].iter().map(|field| field.data_type().clone());
    if schema.fields().is_empty() || !handed_on.eq(partials.iter().flat_map(|partial| partial.columns())) {
        return None;
    }

    let asked = |some: &[Partial]| partials.iter().any(|partial| some.contains(partial));
    let wanted = WantedParts {
        rows: asked(&[Partial::Rows]),
        times: asked(&[Partial::First, Partial::Last]),
        extremes: asked(&[Partial::Minimum, Partial::Maximum]),
        sum: asked(&[Partial::Sum, Partial::Average]),
    };
    let grids = Grids(grids);
    let parts = parts(input.scan, grids.coarsest());
    // Rows come as the first samples of their groups would, so that every order of those holds. But a group may come in several rows.
    let orders = aggregates.properties().equivalence_properties();
    let orders =
        if by.is_empty() { EquivalenceProperties::new(schema.clone()) } else { orders.clone().with_constraints(Constraints::default()) };
    let properties =
        PlanProperties::new(orders, Partitioning::UnknownPartitioning(parts.len()), EmissionType::Incremental, Boundedness::Bounded);
    Some(RollupExec::new(Grouping { scan: input.scan.clone(), parts, filter, by, grids, partials, wanted }, schema, properties))
}

/// What aggregates read: columns and conditions in the columns of `samples`.
struct Input<'a> {
    scan: &'a SamplesScan,
    columns: Vec<Arc<dyn PhysicalExpr>>,
    conditions: Vec<Arc<dyn PhysicalExpr>>,
}

/// Looks through projections and filters to a scan that reads all of its range.
fn input(plan: &Arc<dyn ExecutionPlan>) -> Option<Input<'_>> {
    if let Some(exec) = plan.downcast_ref::<SamplesExec>() {
        let (scan, projection) = exec.whole()?;
        let all = samples::schema();
        let column = |index: &usize| Arc::new(Column::new(all.field(*index).name(), *index)) as Arc<dyn PhysicalExpr>;
        return Some(Input { scan, columns: projection.iter().map(column).collect(), conditions: Vec::new() });
    }
    if let Some(exec) = plan.downcast_ref::<ProjectionExec>() {
        let below = input(exec.input())?;
        let columns = exec.expr().iter().map(|projected| over_samples(&projected.expr, &below.columns));
        return Some(Input { columns: columns.collect::<Option<_>>()?, ..below });
    }
    let exec = plan.downcast_ref::<FilterExec>().filter(|exec| exec.fetch().is_none())?;
    let mut below = input(exec.input())?;
    below.conditions.push(over_samples(exec.predicate(), &below.columns)?);
    if let Some(projection) = exec.projection() {
        below.columns = projection.iter().map(|index| below.columns.get(*index).cloned()).collect::<Option<_>>()?;
    }
    Some(below)
}

/// An expression over columns that are expressions themselves.
fn over_samples(expression: &Arc<dyn PhysicalExpr>, columns: &[Arc<dyn PhysicalExpr>]) -> Option<Arc<dyn PhysicalExpr>> {
    let mut is_known = true;
    let replaced = expression.clone().transform_up(|node| {
        let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
        let below = columns.get(column.index()).cloned();
        is_known &= below.is_some();
        Ok(below.map_or_else(|| Transformed::no(node), Transformed::yes))
    });
    replaced.data().ok().filter(|_| is_known)
}

fn partial(aggregate: &AggregateFunctionExpr, columns: &[Arc<dyn PhysicalExpr>]) -> Option<Partial> {
    if aggregate.is_distinct() || aggregate.ignore_nulls() || !aggregate.order_bys().is_empty() {
        return None;
    }
    let expressions = aggregate.expressions();
    let [expression] = expressions.as_slice() else { return None };
    let expression = over_samples(expression, columns)?;
    let is_present = expression.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null());
    let column = expression.downcast_ref::<Column>().map(Column::index);
    Some(match (aggregate.fun().name(), column) {
        ("count", None) if is_present => Partial::Rows,
        ("count", Some(samples::TAG | samples::TIMESTAMP | samples::QUALITY)) => Partial::Rows,
        ("count", Some(samples::VALUE)) => Partial::Values,
        ("min", Some(samples::VALUE)) => Partial::Minimum,
        ("max", Some(samples::VALUE)) => Partial::Maximum,
        ("sum", Some(samples::VALUE)) => Partial::Sum,
        ("avg", Some(samples::VALUE)) => Partial::Average,
        ("min", Some(samples::TIMESTAMP)) => Partial::First,
        ("max", Some(samples::TIMESTAMP)) => Partial::Last,
        _ => return None,
    })
}

impl Partial {
    /// Types of what is handed on; final aggregates that take anything else are not ours.
    fn columns(self) -> Vec<DataType> {
        match self {
            Partial::Rows | Partial::Values => vec![DataType::Int64],
            Partial::Minimum | Partial::Maximum | Partial::Sum => vec![DataType::Float64],
            Partial::Average => vec![DataType::UInt64, DataType::Float64],
            Partial::First | Partial::Last => vec![arrow_column::timestamp_type()],
        }
    }
}

/// The parts of a scan, where they cut the time of a tag moved to an edge: a cut day would be read as samples.
fn parts(scan: &SamplesScan, grid: Option<EdgeGrid>) -> Vec<Partition> {
    let [first, .., last] = scan.parts.as_slice() else { return scan.parts.clone() };
    if first.tags != last.tags {
        return scan.parts.clone();
    }
    let length = i128::from(last.range.start.0) - i128::from(first.range.end.0);
    let is_fine = |grid: &EdgeGrid| i128::from(grid.length()) <= length;
    let grid = grid.filter(is_fine).unwrap_or(EdgeGrid::DAYS);
    let mut parts: Vec<Partition> = Vec::with_capacity(scan.parts.len());
    let mut start = scan.range.start;
    for part in &scan.parts {
        let mut end = part.range.end;
        if end != scan.range.end && super::grid::SAFE.contains(&end.0) {
            end.0 = grid.edge_up_to(end.0);
        }
        if start < end {
            parts.push(Partition { tags: part.tags.clone(), range: TimeRange { start, end, reverse: false } });
            start = end;
        }
    }
    parts
}
