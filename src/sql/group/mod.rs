//! Grouping pushed down: aggregates over samples in groups of time are made of the states of aligned intervals, stored or not, where these tell
//! exactly what the samples would.
//!
//! A rule looks at partial aggregates over a scan of samples, before `DataFusion`'s own rules do. Those it knows become one node that hands on
//! the same rows of partial results; everything above stays as it was planned, and so do all statements that it does not know.

mod filter;
mod fold;
mod grid;
mod read;
mod recognise;
mod rollup_exec;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::{
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    config::ConfigOptions,
    error::Result,
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    physical_plan::{ExecutionPlan, aggregates::AggregateExec},
};

/// The rules of a session: this one, then those of `DataFusion`.
pub fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let ours: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(GroupByStates);
    std::iter::once(ours).chain(PhysicalOptimizer::new().rules).collect()
}

#[derive(Debug)]
struct GroupByStates;

impl PhysicalOptimizerRule for GroupByStates {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let one = |node: Arc<dyn ExecutionPlan>| {
            let known = node.downcast_ref::<AggregateExec>().and_then(recognise::recognised);
            Ok(known.map_or_else(|| Transformed::no(node.clone()), |known| Transformed::yes(Arc::new(known) as Arc<dyn ExecutionPlan>)))
        };
        plan.transform_up(one).data()
    }

    fn name(&self) -> &'static str {
        "group_by_states"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
