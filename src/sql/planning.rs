//! Planning ends with its statement: each rule of `DataFusion` looks at the deadline, the cancellation and the constants before it works, at each node of the
//! plan where it goes through them one by one. What one rule does with one node is bounded by how large statements may be ([`super::extent`]).

use std::sync::Arc;

use datafusion::{
    common::{
        config::ConfigOptions,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    error::Result,
    execution::{SessionState, SessionStateBuilder},
    logical_expr::LogicalPlan,
    optimizer::{AnalyzerRule, ApplyOrder, OptimizerConfig, OptimizerRule},
    physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule},
    physical_plan::ExecutionPlan,
};

use super::{aggregate, scan::StatementLimits};

/// The rule that makes joins of a list of tables and of conditions between them. At each join it looks for a condition with each table below, in all
/// their columns: that takes a second for a hundred tables, within one step.
const CROSS_JOINS: &str = "eliminate_cross_join";
/// Most joins of a plan that it is asked about. Beyond that tables join as they are written, which changes no answer.
const JOINS_MAX: usize = 32;

/// The rules of a session, for one statement.
pub fn ending_with(base: &SessionState, bounds: &Arc<StatementLimits>) -> SessionStateBuilder {
    let analyzer = base
        .analyzer()
        .rules
        .iter()
        .map(|rule| -> Arc<dyn AnalyzerRule + Send + Sync> { Arc::new(Ended { rule: rule.clone(), bounds: bounds.clone() }) });
    let optimizer = base
        .optimizers()
        .iter()
        .map(|rule| -> Arc<dyn OptimizerRule + Send + Sync> { Arc::new(Ended { rule: rule.clone(), bounds: bounds.clone() }) });
    let physical = base
        .physical_optimizers()
        .iter()
        .map(|rule| -> Arc<dyn PhysicalOptimizerRule + Send + Sync> { Arc::new(Ended { rule: rule.clone(), bounds: bounds.clone() }) });
    SessionStateBuilder::new_from_existing(base.clone())
        .with_analyzer_rules(analyzer.collect())
        .with_optimizer_rules(optimizer.collect())
        .with_physical_optimizer_rules(physical.collect())
}

/// A rule that works for one statement, and no longer than that.
#[derive(Debug)]
struct Ended<R: ?Sized> {
    rule: Arc<R>,
    bounds: Arc<StatementLimits>,
}

impl<R: ?Sized> Ended<R> {
    fn go_on(&self) -> Result<()> {
        // Functions of constants run in rules.
        aggregate::plan_for(&self.bounds);
        self.bounds.check_planning()
    }
}

/// Joins of a plan, those of its subqueries included.
fn joins(plan: &LogicalPlan) -> Result<usize> {
    let mut count = 0;
    plan.apply_with_subqueries(|node| {
        count += usize::from(matches!(node, LogicalPlan::Join(_)));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(count)
}

impl AnalyzerRule for Ended<dyn AnalyzerRule + Send + Sync> {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        self.go_on()?;
        self.rule.analyze(plan, config)
    }
}

impl OptimizerRule for Ended<dyn OptimizerRule + Send + Sync> {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        self.go_on()?;
        if self.rule.name() == CROSS_JOINS && joins(&plan)? > JOINS_MAX {
            return Ok(Transformed::no(plan));
        }
        self.rule.rewrite(plan, config)
    }
}

impl PhysicalOptimizerRule for Ended<dyn PhysicalOptimizerRule + Send + Sync> {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        self.go_on()?;
        self.rule.optimize(plan, config)
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.go_on()?;
        self.rule.optimize_with_context(plan, context)
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}
