//! How large a statement may become while it is planned. `DataFusion` puts expressions of subqueries in the place of their columns, where that lets
//! it filter earlier: in a chain of subqueries in which each column stands for two of the one before, an expression doubles with each step. And it
//! walks through an expression again at each node of it. So a plan is measured before any rule works with it: what each expression would become,
//! and how many columns all nodes of the plan have.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    error::{DataFusionError, Result},
    logical_expr::{Cast, Distinct, Expr, JoinType, LogicalPlan, TryCast},
};

use super::error::invalid;

/// Most nodes of all expressions of one node of the plan, each with what its columns stand for.
const NODES_MAX: u64 = 100_000;
/// Most steps of a walk that goes through what is below each of these nodes.
const STEPS_MAX: u64 = 2_000_000;
/// Most columns of all nodes of a plan together.
const COLUMNS_MAX: u64 = 1_000_000;

/// Refuses a plan that would become too large.
///
/// # Errors
/// [`super::SqlError::Invalid`].
pub fn check(plan: &LogicalPlan) -> Result<()> {
    PlanExtent::default().plan(plan).map(drop)
}

/// Functions that take a type by its name.
const ARROW_CASTS: [&str; 2] = ["arrow_cast", "arrow_try_cast"];
/// Largest value of a type that has a size of its own: memory for it is taken for a null as well.
const FIXED_SIZE_MAX: i32 = 1_024;

/// Refuses a type whose values have more than a moderate size, whatever is in them.
///
/// # Errors
/// [`super::SqlError::Invalid`].
pub fn check_type(of: &DataType) -> Result<()> {
    match of {
        DataType::FixedSizeBinary(size) | DataType::FixedSizeList(_, size) if *size > FIXED_SIZE_MAX => Err(of_fixed_size()),
        DataType::FixedSizeList(inner, _)
        | DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::ListView(inner)
        | DataType::LargeListView(inner)
        | DataType::Map(inner, _)
        | DataType::RunEndEncoded(_, inner) => check_type(inner.data_type()),
        DataType::Dictionary(_, inner) => check_type(inner),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_type(field.data_type())),
        _ => Ok(()),
    }
}

fn of_fixed_size() -> DataFusionError {
    invalid("a type of a fixed size is too large; take one whose values are as long as they are")
}

/// An expression with what its columns stand for.
#[derive(Clone, Copy)]
struct Size {
    nodes: u64,
    steps: u64,
}

/// A column that stands for itself.
const COLUMN: Size = Size { nodes: 1, steps: 1 };

impl Size {
    fn max(self, other: Size) -> Size {
        Size { nodes: self.nodes.max(other.nodes), steps: self.steps.max(other.steps) }
    }

    fn add(&mut self, other: Size) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.steps = self.steps.saturating_add(other.steps);
    }
}

#[derive(Default)]
struct PlanExtent {
    columns: u64,
}

impl PlanExtent {
    /// What the columns of a plan stand for, in their order.
    fn plan(&mut self, plan: &LogicalPlan) -> Result<Vec<Size>> {
        let width = plan.schema().fields().len();
        self.columns = self.columns.saturating_add(width as u64);
        if self.columns > COLUMNS_MAX {
            return Err(invalid(format!(
                "the tables and subqueries of the statement have more than {COLUMNS_MAX} columns together; join fewer, or name the columns"
            )));
        }
        if let LogicalPlan::Unnest(_) = plan {
            return Err(invalid("UNNEST is not taken: each row would become as many as its list is long"));
        }
        let inputs = plan.inputs().into_iter().map(|input| self.plan(input)).collect::<Result<Vec<_>>>()?;
        let mut below: HashMap<&str, Size> = HashMap::new();
        for (input, sizes) in plan.inputs().iter().zip(&inputs) {
            for (field, size) in input.schema().fields().iter().zip(sizes) {
                // Of several columns of one name the largest.
                below.entry(field.name()).and_modify(|known| *known = known.max(*size)).or_insert(*size);
            }
        }
        let mut sizes = Vec::new();
        let mut all = Size { nodes: 0, steps: 0 };
        plan.apply_expressions(|expression| {
            let size = self.expression(expression, &below)?;
            all.add(size);
            sizes.push(size);
            Ok(TreeNodeRecursion::Continue)
        })?;
        if all.nodes > NODES_MAX || all.steps > STEPS_MAX {
            return Err(invalid(
                "the expressions of the statement are too large, each with those of the subqueries that it reads; write shorter ones, or run it in \
                 parts",
            ));
        }
        let inner = || inputs.iter().flatten().copied();
        let mut columns: Vec<Size> = match plan {
            LogicalPlan::Projection(_) => sizes,
            // Conditions on what it groups by go through it, those on its aggregates do not.
            LogicalPlan::Aggregate(aggregate) => {
                let groups = width - aggregate.aggr_expr.len().min(width);
                let of_groups = sizes.into_iter().take(aggregate.group_expr.len());
                if groups == aggregate.group_expr.len() { of_groups.collect() } else { vec![of_groups.fold(COLUMN, Size::max); groups] }
            }
            LogicalPlan::Union(_) => (0..width)
                .map(|column| inputs.iter().filter_map(|input| input.get(column)).fold(COLUMN, |largest, size| largest.max(*size)))
                .collect(),
            LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Distinct(Distinct::All(_))
            | LogicalPlan::Window(_) => inner().collect(),
            LogicalPlan::Join(join) => match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => inputs.into_iter().nth(1).unwrap_or_default(),
                _ => inner().collect(),
            },
            LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Vec::new(),
            _ => {
                let largest = inner().fold(COLUMN, Size::max);
                vec![largest; width]
            }
        };
        columns.resize(width, COLUMN);
        Ok(columns)
    }

    fn expression(&mut self, expression: &Expr, below: &HashMap<&str, Size>) -> Result<Size> {
        let own = match expression {
            Expr::Column(column) => return Ok(below.get(column.name.as_str()).copied().unwrap_or(COLUMN)),
            Expr::Exists(exists) => Some(&exists.subquery),
            Expr::InSubquery(of) => Some(&of.subquery),
            Expr::SetComparison(of) => Some(&of.subquery),
            Expr::ScalarSubquery(subquery) => Some(subquery),
            Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => {
                check_type(field.data_type())?;
                None
            }
            Expr::ScalarFunction(function) if ARROW_CASTS.contains(&function.func.name()) => {
                let told = function.args.get(1).and_then(|told| match told {
                    Expr::Literal(told, _) => told.try_as_str().flatten(),
                    _ => None,
                });
                if told.is_some_and(|told| told.to_ascii_lowercase().contains("fixedsize")) {
                    return Err(of_fixed_size());
                }
                None
            }
            _ => None,
        };
        if let Some(subquery) = own {
            self.plan(&subquery.subquery)?;
        }
        let mut size = Size { nodes: 1, steps: 0 };
        expression.apply_children(|child| {
            size.add(self.expression(child, below)?);
            Ok(TreeNodeRecursion::Continue)
        })?;
        size.steps = size.steps.saturating_add(size.nodes);
        Ok(size)
    }
}
