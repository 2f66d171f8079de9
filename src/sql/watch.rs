//! Every node of a plan is watched while it runs: where its next batch is asked for, the statement's deadline and cancellation are looked at, so
//! that a statement that has ended frees its threads whatever it does.
//!
//! One call of a join works off a whole batch of its second side before it asks again, against as many rows of its first side as there are. So a
//! join gets that side in slices, small ones first, and such as take a moment only.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, SchemaRef},
};
use datafusion::{
    common::{
        Statistics,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    logical_expr::{WindowFrameBound, WindowFrameUnits},
    physical_expr::PhysicalExpr,
    physical_plan::{
        ChildStats, ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec, SymmetricHashJoinExec},
        metrics::MetricsSet,
        statistics::StatisticsArgs,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;

use super::{aggregate, error::external, scan::StatementLimits};

/// Rows of the first slice. Each of them may meet as many rows as the memory of a statement holds.
const ROWS_FIRST: usize = 8;
/// Rows of the longest slice.
const ROWS_MAX: usize = 8_192;
/// A slice that takes longer is followed by shorter ones, one that takes less than a fifth of it by a longer one.
const SLICE_MAX: Duration = Duration::from_millis(100);

/// A plan whose nodes end soon after the statement has.
///
/// # Errors
/// When a node does not take its children again.
pub fn watched(plan: Arc<dyn ExecutionPlan>, bounds: &Arc<StatementLimits>) -> Result<Arc<dyn ExecutionPlan>> {
    let one = |node: Arc<dyn ExecutionPlan>| {
        let children: Vec<_> = node.children().into_iter().cloned().collect();
        let node = match (OperatorKind::of(&node), children.as_slice()) {
            (OperatorKind::Join, [first, second]) => adopt(&node, vec![first.clone(), handed_on(second, bounds, Manner::Sliced)])?,
            (OperatorKind::Window, [rows]) => adopt(&node, vec![handed_on(rows, bounds, Manner::Held)])?,
            (OperatorKind::SlidingWindow, [rows]) => {
                let gauge = Arc::new(Gauge::new(bounds, &node));
                let node = adopt(&node, vec![handed_on(rows, bounds, Manner::Into(gauge.clone()))])?;
                return Ok(Transformed::yes(handed_on(&node, bounds, Manner::OutOf(gauge))));
            }
            _ => node,
        };
        Ok(Transformed::yes(handed_on(&node, bounds, Manner::Whole)))
    };
    plan.transform_up(one).data()
}

enum OperatorKind {
    /// Works off its second side batch by batch.
    Join,
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
        } else if node.is::<WindowAggExec>() {
            OperatorKind::Window
        } else if node.is::<BoundedWindowAggExec>() {
            OperatorKind::SlidingWindow
        } else {
            OperatorKind::Other
        }
    }
}

fn adopt(node: &Arc<dyn ExecutionPlan>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    node.clone().replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
}

fn handed_on(node: &Arc<dyn ExecutionPlan>, bounds: &Arc<StatementLimits>, manner: Manner) -> Arc<dyn ExecutionPlan> {
    Arc::new(WatchedExec { node: node.clone(), bounds: bounds.clone(), manner })
}

/// How batches are handed on.
#[derive(Clone)]
enum Manner {
    Whole,
    Sliced,
    /// Their memory counts to the end of the statement.
    Held,
    /// They go into a window that keeps some of them.
    Into(Arc<Gauge>),
    /// They come out of it, with what it found.
    OutOf(Arc<Gauge>),
}

/// The rows that a window keeps: those that went in and did not come out yet, and those before that its frames still reach.
struct Gauge {
    bounds: Arc<StatementLimits>,
    /// Rows before the current one that a frame reaches.
    reach: u64,
    kept: Mutex<OperatorCounts>,
}

#[derive(Default)]
struct OperatorCounts {
    rows_in: u64,
    bytes_in: u64,
    rows_out: u64,
    /// What is counted of the memory of the statement.
    counted: usize,
}

impl Gauge {
    fn new(bounds: &Arc<StatementLimits>, node: &Arc<dyn ExecutionPlan>) -> Gauge {
        let windows = node.downcast_ref::<BoundedWindowAggExec>().map(BoundedWindowAggExec::window_expr).unwrap_or_default();
        let reach = windows.iter().map(|window| match &window.get_window_frame().start_bound {
            WindowFrameBound::Preceding(rows) if rows.is_null() => 0,
            // Of a frame by value or by groups nobody knows how many rows it reaches.
            WindowFrameBound::Preceding(rows) if window.get_window_frame().units == WindowFrameUnits::Rows => {
                rows.cast_to(&DataType::UInt64).ok().and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0)
            }
            _ => 0,
        });
        Gauge { bounds: bounds.clone(), reach: reach.max().unwrap_or(0), kept: Mutex::default() }
    }

    fn take(&self, batch: &RecordBatch) -> Result<()> {
        let mut kept = self.kept.lock();
        kept.rows_in += batch.num_rows() as u64;
        kept.bytes_in += batch.get_array_memory_size() as u64;
        self.count(&mut kept)
    }

    fn give(&self, batch: &RecordBatch) -> Result<()> {
        let mut kept = self.kept.lock();
        kept.rows_out += batch.num_rows() as u64;
        self.count(&mut kept)
    }

    fn count(&self, kept: &mut OperatorCounts) -> Result<()> {
        let rows = kept.rows_in.saturating_sub(kept.rows_out.saturating_sub(self.reach));
        // It has them twice: in their order, and by their partition.
        let bytes = 2 * u128::from(rows) * u128::from(kept.bytes_in) / u128::from(kept.rows_in.max(1));
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > kept.counted {
            self.bounds.hold(bytes - kept.counted)?;
        } else {
            self.bounds.release(kept.counted - bytes);
        }
        kept.counted = bytes;
        Ok(())
    }
}

/// A node that is watched. It shows itself as that node.
struct WatchedExec {
    node: Arc<dyn ExecutionPlan>,
    bounds: Arc<StatementLimits>,
    manner: Manner,
}

impl WatchedExec {
    fn around(&self, node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        handed_on(node, &self.bounds, self.manner.clone())
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
        aggregate::work_for(&self.bounds);
        Ok(Box::pin(WatchedRows {
            rows: self.node.execute(partition, context)?,
            bounds: self.bounds.clone(),
            slices: matches!(self.manner, Manner::Sliced).then(Slices::new),
            manner: self.manner.clone(),
        }))
    }
}

struct WatchedRows {
    rows: SendableRecordBatchStream,
    bounds: Arc<StatementLimits>,
    slices: Option<Slices>,
    manner: Manner,
}

impl Stream for WatchedRows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        aggregate::work_for(&self.bounds);
        if let Err(error) = self.bounds.limits().check(0) {
            return Poll::Ready(Some(Err(external(error.into()))));
        }
        if let Some(slice) = self.slices.as_mut().and_then(Slices::next) {
            return Poll::Ready(Some(Ok(slice)));
        }
        let polled = self.rows.poll_next_unpin(context);
        let Poll::Ready(Some(Ok(batch))) = polled else { return polled };
        match &self.manner {
            Manner::Held => self.bounds.hold(batch.get_array_memory_size())?,
            Manner::Into(gauge) => gauge.take(&batch)?,
            Manner::OutOf(gauge) => gauge.give(&batch)?,
            Manner::Whole | Manner::Sliced => {}
        }
        Poll::Ready(Some(Ok(match &mut self.slices {
            Some(slices) => slices.begin(batch),
            None => batch,
        })))
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
    since: Option<Instant>,
}

impl Slices {
    fn new() -> Slices {
        Slices { left: None, rows: ROWS_FIRST, since: None }
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
        self.since = Some(Instant::now());
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
            self.rows = (self.rows * 2).min(ROWS_MAX);
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
        let (mut slices, mut seen, mut longest) = (Slices::new(), Vec::new(), 0);
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
