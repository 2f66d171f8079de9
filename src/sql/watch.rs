//! Every node of a plan is watched while it runs: where its next batch is asked for, the statement's deadline and cancellation are looked at, so
//! that a statement that has ended frees its threads whatever it does.
//!
//! One call of a join works off a whole batch of its second side before it asks again, against as many rows of its first side as there are. So a
//! join gets that side in slices, small ones first, and such as take a moment only. And batches have no more rows than their constants permit: a
//! column that is a constant has it once for each row. What nodes keep and do not count is counted here ([`super::gathered`]).

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{
        Statistics,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    physical_expr::{
        PhysicalExpr,
        expressions::{Column, InListExpr, Literal},
    },
    physical_plan::{
        ChildStats, ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        aggregates::AggregateExec,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec, SymmetricHashJoinExec},
        metrics::MetricsSet,
        scalar_subquery::ScalarSubqueryExec,
        statistics::StatisticsArgs,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};
use futures::{Stream, StreamExt};

use super::{
    aggregate,
    gathered::{Gathered, Gauge, SpreadRow},
    scan::StatementLimits,
};
use historian_query::BATCH_ROWS_MAX;

/// Rows of the first slice. Each of them may meet as many rows as the memory of a statement holds.
const ROWS_FIRST: usize = 8;
/// Rows of the longest slice.
const ROWS_MAX: usize = 8_192;
/// A slice that takes longer is followed by shorter ones, one that takes less than a fifth of it by a longer one.
const SLICE_MAX: Duration = Duration::from_millis(100);
/// What the constants of a statement may become in one batch.
const CONSTANTS_BYTES_MAX: usize = 16 << 20;
/// Bytes of a value that is computed, other than a text.
const COMPUTED_BYTES: usize = 8;
/// Most groups that are kept in order for a `LIMIT`. Room for all of them, and ten times that, is taken before the first one is there.
const ORDERED_GROUPS_MAX: usize = 10_000;

/// Most rows of a batch of a plan, so that the constants and numbers that its expressions make of each row are not too much.
///
/// # Errors
/// When a node does not tell its expressions.
pub fn rows_of_a_batch(plan: &Arc<dyn ExecutionPlan>) -> Result<usize> {
    let mut bytes = 0;
    plan.apply(|node| {
        node.apply_expressions(&mut |expression| {
            bytes += made_of_a_row(expression);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok((CONSTANTS_BYTES_MAX / bytes.max(1)).clamp(1, BATCH_ROWS_MAX))
}

fn made_of_a_row(expression: &Arc<dyn PhysicalExpr>) -> usize {
    if let Some(literal) = expression.downcast_ref::<Literal>() {
        return literal.value().size();
    }
    let (children, own) = (expression.children(), if expression.is::<Column>() { 0 } else { COMPUTED_BYTES });
    // The list is looked up, and never becomes a column.
    let looked_at = if expression.is::<InListExpr>() { 1 } else { children.len() };
    own + children.into_iter().take(looked_at).map(made_of_a_row).sum::<usize>()
}

/// What all watched nodes of a plan share.
struct PlanWatch {
    bounds: Arc<StatementLimits>,
    /// Most rows of a batch.
    rows_max: usize,
}

/// A plan whose nodes end soon after the statement has, and hand on batches of at most `rows_max` rows.
///
/// # Errors
/// When a node does not take its children again.
pub fn watched(plan: Arc<dyn ExecutionPlan>, bounds: &Arc<StatementLimits>, rows_max: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let watch = Arc::new(PlanWatch { bounds: bounds.clone(), rows_max });
    let one = |node: Arc<dyn ExecutionPlan>| {
        let children: Vec<_> = node.children().into_iter().cloned().collect();
        let node = match (OperatorKind::of(&node), children.as_slice()) {
            (OperatorKind::Join, [first, second]) => {
                adopt(&node, vec![handed_on(first, &watch, Manner::Spread), handed_on(second, &watch, Manner::Sliced)])?
            }
            (OperatorKind::Scalars, [input, queries @ ..]) => {
                let queries = queries.iter().map(|query| handed_on(query, &watch, Manner::Spread));
                adopt(&node, std::iter::once(input.clone()).chain(queries).collect())?
            }
            (OperatorKind::Window, [rows]) => {
                let gathered = node.downcast_ref::<WindowAggExec>().map(|node| Gathered::of(node.window_expr())).unwrap_or_default();
                adopt(&node, vec![handed_on(rows, &watch, Manner::Held(Arc::new(gathered)))])?
            }
            (OperatorKind::SlidingWindow, [rows]) => {
                let windows = node.downcast_ref::<BoundedWindowAggExec>().map(BoundedWindowAggExec::window_expr).unwrap_or_default();
                let gauge = Arc::new(Gauge::new(bounds, windows));
                let node = adopt(&node, vec![handed_on(rows, &watch, Manner::Into(gauge.clone()))])?;
                return Ok(Transformed::yes(handed_on(&node, &watch, Manner::OutOf(gauge))));
            }
            _ => without_large_heaps(node),
        };
        Ok(Transformed::yes(handed_on(&node, &watch, Manner::Whole)))
    };
    plan.transform_up(one).data()
}

enum OperatorKind {
    /// Works off its second side batch by batch.
    Join,
    /// Puts the one row of each of its queries beside every row.
    Scalars,
    /// Gathers all rows, and counts them nowhere.
    Window,
    /// Keeps the rows of which it does not know everything yet, and counts them nowhere.
    SlidingWindow,
    Other,
}

impl OperatorKind {
    fn of(node: &Arc<dyn ExecutionPlan>) -> OperatorKind {
        let joins = node.is::<HashJoinExec>()
            || node.is::<NestedLoopJoinExec>()
            || node.is::<CrossJoinExec>()
            || node.is::<SortMergeJoinExec>()
            || node.is::<SymmetricHashJoinExec>();
        if joins {
            OperatorKind::Join
        } else if node.is::<ScalarSubqueryExec>() {
            OperatorKind::Scalars
        } else if node.is::<WindowAggExec>() {
            OperatorKind::Window
        } else if node.is::<BoundedWindowAggExec>() {
            OperatorKind::SlidingWindow
        } else {
            OperatorKind::Other
        }
    }
}

/// Groups of which a `LIMIT` wants the first few are kept in a heap; many are sorted as others are, in counted memory.
fn without_large_heaps(node: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let is_large = |aggregates: &&AggregateExec| {
        aggregates.limit_options().is_some_and(|limit| limit.descending().is_some() && limit.limit() > ORDERED_GROUPS_MAX)
    };
    let sorted = node.downcast_ref::<AggregateExec>().filter(is_large).map(|aggregates| aggregates.with_new_limit_options(None));
    sorted.map_or(node, |sorted| Arc::new(sorted))
}

fn adopt(node: &Arc<dyn ExecutionPlan>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    node.clone().replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
}

fn handed_on(node: &Arc<dyn ExecutionPlan>, watch: &Arc<PlanWatch>, manner: Manner) -> Arc<dyn ExecutionPlan> {
    Arc::new(WatchedExec { node: node.clone(), watch: watch.clone(), manner })
}

/// How batches are handed on.
#[derive(Clone)]
enum Manner {
    Whole,
    /// In slices, and each row to many others.
    Sliced,
    /// Each row to many others.
    Spread,
    /// Their memory counts to the end of the statement.
    Held(Arc<Gathered>),
    /// They go into a window that keeps some of them.
    Into(Arc<Gauge>),
    /// They come out of it, with what it found.
    OutOf(Arc<Gauge>),
}

/// A node that is watched. It shows itself as that node.
struct WatchedExec {
    node: Arc<dyn ExecutionPlan>,
    watch: Arc<PlanWatch>,
    manner: Manner,
}

impl WatchedExec {
    fn around(&self, node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        handed_on(node, &self.watch, self.manner.clone())
    }
}

impl fmt::Debug for WatchedExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(formatter)
    }
}

impl DisplayAs for WatchedExec {
    fn fmt_as(&self, format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt_as(format, formatter)
    }
}

impl ExecutionPlan for WatchedExec {
    fn name(&self) -> &str {
        self.node.name()
    }

    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        Some(self.node.as_ref())
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.node.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.node.children()
    }

    fn apply_expressions(&self, visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.node.apply_expressions(visit)
    }

    fn dynamic_expressions_produced(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.node.dynamic_expressions_produced()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.around(&self.node.clone().replace_children(children, options)?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.around(&self.node.clone().reset_state()?))
    }

    /// The table of a recursive query is put in before its first step and after.
    fn with_new_state(&self, state: Arc<dyn std::any::Any + Send + Sync>) -> Option<Arc<dyn ExecutionPlan>> {
        self.node.with_new_state(state).map(|node| self.around(&node))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.node.metrics()
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.node.statistics_from_inputs(inputs, args)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.node.child_stats_requests(partition)
    }

    fn fetch(&self) -> Option<usize> {
        self.node.fetch()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        aggregate::work_for(&self.watch.bounds);
        Ok(Box::pin(WatchedRows {
            rows: self.node.execute(partition, context)?,
            watch: self.watch.clone(),
            slices: Slices::new(self.watch.rows_max, matches!(self.manner, Manner::Sliced)),
            spread: matches!(self.manner, Manner::Sliced | Manner::Spread).then(SpreadRow::default),
            manner: self.manner.clone(),
        }))
    }
}

struct WatchedRows {
    rows: SendableRecordBatchStream,
    watch: Arc<PlanWatch>,
    slices: Slices,
    spread: Option<SpreadRow>,
    manner: Manner,
}

impl Stream for WatchedRows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let watch = self.watch.clone();
        aggregate::work_for(&watch.bounds);
        if let Err(error) = watch.bounds.go_on() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(slice) = self.slices.next() {
            aggregate::worked_off();
            return Poll::Ready(Some(Ok(slice)));
        }
        let polled = self.rows.poll_next_unpin(context);
        aggregate::worked_off();
        let Poll::Ready(Some(Ok(batch))) = polled else { return polled };
        if let Some(spread) = &mut self.spread {
            spread.count(&batch, watch.rows_max.min(ROWS_MAX), &watch.bounds)?;
        }
        match &self.manner {
            Manner::Held(gathered) => watch.bounds.hold(gathered.bytes(&batch)?)?,
            Manner::Into(gauge) => gauge.take(&batch)?,
            Manner::OutOf(gauge) => gauge.give(&batch)?,
            Manner::Whole | Manner::Sliced | Manner::Spread => {}
        }
        Poll::Ready(Some(Ok(self.slices.begin(batch))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, None)
    }
}

impl RecordBatchStream for WatchedRows {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

/// What is left of a batch, and how much of it is handed on at once.
struct Slices {
    left: Option<RecordBatch>,
    rows: usize,
    rows_max: usize,
    /// They are as long as they may take, and not as long as may be.
    is_timed: bool,
    since: Option<Instant>,
}

impl Slices {
    fn new(rows_max: usize, is_timed: bool) -> Slices {
        let (rows, rows_max) = if is_timed { (ROWS_FIRST.min(rows_max), ROWS_MAX.min(rows_max)) } else { (rows_max, rows_max) };
        Slices { left: None, rows, rows_max, is_timed, since: None }
    }

    /// The next slice of the batch at hand.
    fn next(&mut self) -> Option<RecordBatch> {
        if let Some(took) = self.since.take().map(|since| since.elapsed()) {
            self.learn(took);
        }
        let left = self.left.take()?;
        Some(self.cut(left))
    }

    /// The first slice of a new batch.
    fn begin(&mut self, batch: RecordBatch) -> RecordBatch {
        self.cut(batch)
    }

    fn cut(&mut self, batch: RecordBatch) -> RecordBatch {
        self.since = self.is_timed.then(Instant::now);
        let (all, rows) = (batch.num_rows(), self.rows);
        if all <= rows {
            return batch;
        }
        self.left = Some(batch.slice(rows, all - rows));
        batch.slice(0, rows)
    }

    fn learn(&mut self, took: Duration) {
        if took > SLICE_MAX {
            self.rows = (self.rows / 4).max(1);
        } else if took < SLICE_MAX / 5 {
            self.rows = (self.rows * 2).min(self.rows_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray, Int64Array},
        datatypes::{DataType, Field, Int64Type, Schema},
    };

    use super::*;

    #[test]
    fn slices_are_the_batch_in_order_and_as_long_as_they_may_take() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let batch = |from: i64, to: i64| RecordBatch::try_new(schema.clone(), vec![Arc::new((from..to).collect::<Int64Array>())]).unwrap();
        let (mut slices, mut seen, mut longest) = (Slices::new(BATCH_ROWS_MAX, true), Vec::new(), 0);
        for part in [batch(0, 3), batch(3, 20_000), batch(20_000, 20_001)] {
            let mut next = Some(slices.begin(part));
            while let Some(slice) = next {
                longest = longest.max(slice.num_rows());
                seen.extend_from_slice(slice.column(0).as_primitive::<Int64Type>().values());
                next = slices.next();
            }
        }
        assert_eq!(seen, (0..20_001).collect::<Vec<_>>());
        assert!(longest > 4_000, "{longest}");
        slices.learn(SLICE_MAX * 2);
        assert_eq!(slices.rows, ROWS_MAX / 4);
        (0..20).for_each(|_| slices.learn(SLICE_MAX * 2));
        assert_eq!(slices.rows, 1);
    }
}
