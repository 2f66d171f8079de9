//! From the query engine, which works on a blocking thread and hands on batches, to the streams that `DataFusion` pulls: one thread per scan, a
//! channel of two batches, and an end for every way a scan can end.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::{
    array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch},
    datatypes::{Float32Type, Float64Type, SchemaRef},
    error::ArrowError,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Statistics, internal_err, stats::Precision, tree_node::TreeNodeRecursion},
    error::Result,
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
    },
    logical_expr::{Expr, TableType},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        statistics::StatisticsArgs,
        stream::RecordBatchReceiverStream,
    },
};

use num_traits::{Float, Zero};
use tokio::sync::{OwnedSemaphorePermit, mpsc::error::TrySendError};

use super::{
    SqlError,
    error::{external, invalid},
};
use historian_model::{Tag, TagScope};
use historian_query::{QueryError, QueryLimits};

/// Scans that one statement may have open at the same time.
pub const SCANS_MAX: usize = 64;
/// Batches between a scan and the plan above it.
const BATCHES_IN_FLIGHT: usize = 2;

/// Most bytes that functions may make of constants in one statement. They are planned with: rules compare and copy them, and names of columns hold
/// them. It is as much as the text of a statement may have.
const CONSTANT_BYTES_MAX: usize = 1 << 20;

/// What the parts of one statement share. It travels in the configuration of the statement's session.
#[derive(Debug)]
pub struct StatementLimits {
    limits: QueryLimits,
    scans: Arc<AtomicUsize>,
    held: OnceLock<MemoryReservation>,
    /// Bytes that functions made of constants while it was planned.
    constants: AtomicUsize,
    /// The statement is one of those that run until the last part of it is gone, whoever waits for it.
    _permit: OwnedSemaphorePermit,
}

impl StatementLimits {
    pub fn new(limits: &QueryLimits, permit: OwnedSemaphorePermit) -> StatementLimits {
        let (held, constants) = (OnceLock::new(), AtomicUsize::new(0));
        StatementLimits { limits: limits.clone(), scans: Arc::new(AtomicUsize::new(0)), held, constants, _permit: permit }
    }

    pub fn limits(&self) -> &QueryLimits {
        &self.limits
    }

    /// Where memory is counted that the statement holds to its end.
    pub fn held_in(&self, memory: &Arc<dyn MemoryPool>) {
        self.held.get_or_init(|| MemoryConsumer::new("rows of a window").register(memory));
    }

    /// Counts what a function made of constants, which becomes a part of the plan.
    pub fn made_constant(&self, bytes: usize) {
        self.constants.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the statement, which is being planned, still has time, somebody who waits for it, and constants that can be planned with.
    pub fn check_planning(&self) -> Result<()> {
        if self.constants.load(Ordering::Relaxed) > CONSTANT_BYTES_MAX {
            let max = CONSTANT_BYTES_MAX >> 20;
            return Err(invalid(format!("what functions make of constants is longer than {max} MiB in all; make less of it")));
        }
        self.go_on()
    }

    /// Whether the statement still has time, and somebody who waits for it.
    pub fn go_on(&self) -> Result<()> {
        self.limits.check(0).map_err(|error| external(SqlError::Query(error)))
    }

    /// Counts memory to the end of the statement.
    pub fn hold(&self, bytes: usize) -> Result<()> {
        self.held.get().map_or(Ok(()), |held| held.try_grow(bytes))
    }

    /// Gives back what was counted by [`StatementLimits::hold`] and is held no more.
    pub fn release(&self, bytes: usize) {
        if let Some(held) = self.held.get() {
            held.shrink(bytes.min(held.size()));
        }
    }

    /// Limits of the statement this context belongs to.
    pub fn of(context: &TaskContext) -> Result<Arc<StatementLimits>> {
        let bounds = context.session_config().get_extension::<StatementLimits>();
        bounds.ok_or_else(|| external(SqlError::Internal("a scan outside a statement".into())))
    }

    /// One more scan, until what comes back is dropped.
    fn enter(&self) -> Result<Entered> {
        let entered = Entered(self.scans.clone());
        if self.scans.fetch_add(1, Ordering::Relaxed) >= SCANS_MAX {
            return Err(external(SqlError::TooManyScans(SCANS_MAX)));
        }
        Ok(entered)
    }
}

/// Names tags that a statement will read: its scans see the same moment.
pub fn want(state: &dyn Session, tags: &[Arc<Tag>]) {
    if let Some(bounds) = state.config().get_extension::<StatementLimits>() {
        bounds.limits.moment.want(tags);
    }
}

/// Whether the statement that is planned, if it is one, still has time, and somebody who waits for it.
///
/// # Errors
/// When it has not.
pub fn go_on(bounds: Option<&StatementLimits>) -> Result<()> {
    bounds.map_or(Ok(()), StatementLimits::go_on)
}

/// The tags that who asks the statement may see: none where that is not known.
pub fn scope(bounds: Option<&StatementLimits>) -> TagScope {
    bounds.map_or(TagScope::Nothing, |bounds| bounds.limits.scope.clone())
}

struct Entered(Arc<AtomicUsize>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A batch in which a NaN is a NaN, and a zero a zero. Comparing and sorting goes by bits, in which a NaN with a sign comes before all numbers,
/// and a zero with a sign before the other one.
pub fn plain(batch: RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let plain = |column: &ArrayRef| plain_floats::<Float64Type>(column).or_else(|| plain_floats::<Float32Type>(column));
    if batch.columns().iter().all(|column| plain(column).is_none()) {
        return Ok(batch);
    }
    let columns = batch.columns().iter().map(|column| plain(column).unwrap_or_else(|| column.clone())).collect();
    RecordBatch::try_new(batch.schema(), columns)
}

/// A column of floats with one NaN and one zero; `None` for other columns, and where nothing is to be changed.
pub fn plain_floats<T: ArrowPrimitiveType<Native: Float>>(column: &ArrayRef) -> Option<ArrayRef> {
    let floats = column.as_primitive_opt::<T>()?;
    // Without an end on the way, so that it is a few instructions for many values.
    let odd = |value: &T::Native| u64::from(value.is_nan()) | u64::from(value.is_zero() & value.is_sign_negative());
    (floats.values().iter().map(odd).sum::<u64>() > 0).then(|| {
        let plain: PrimitiveArray<T> = floats.unary(|value| if value.is_nan() { Float::nan() } else { value + Zero::zero() });
        Arc::new(plain) as ArrayRef
    })
}

/// Work of a scan: hands batches on until told to stop.
pub type BatchSink<'a> = &'a mut dyn FnMut(RecordBatch) -> bool;

/// Runs `work` on a blocking thread as a stream of batches. Dropping the stream stops it at its next batch.
pub fn stream(
    context: &TaskContext,
    schema: SchemaRef,
    work: impl FnOnce(&QueryLimits, BatchSink) -> std::result::Result<(), QueryError> + Send + 'static,
) -> Result<SendableRecordBatchStream> {
    let bounds = StatementLimits::of(context)?;
    let entered = bounds.enter()?;
    // The statement's rows are counted where it answers: a scan may read more than that.
    let limits = QueryLimits { rows_max: u64::MAX, cancel: bounds.limits.cancel.child_token(), ..bounds.limits.clone() };
    let mut builder = RecordBatchReceiverStream::builder(schema, BATCHES_IN_FLIGHT);
    let sender = builder.tx();
    builder.spawn_blocking(move || {
        let _entered = entered;
        let scanned = limits.begin().and_then(|_turn| {
            // A full channel makes the scan wait; it closes when the statement ends, at its deadline at the latest.
            work(&limits, &mut |batch| match sender.try_send(Ok(batch)) {
                Ok(()) => true,
                Err(TrySendError::Closed(_)) => false,
                Err(TrySendError::Full(batch)) => limits.away(|| sender.blocking_send(batch).is_ok()),
            })
        });
        scanned.map_err(|error| external(error.into()))
    });
    Ok(builder.build())
}

/// What a table of the query engine reads, again for each scan.
pub type ScanWork = Arc<dyn Fn(&QueryLimits, BatchSink) -> std::result::Result<(), QueryError> + Send + Sync>;

/// One query of the engine as a table: the answer of a table function.
pub struct EngineTable {
    pub name: &'static str,
    /// Which tags it reads samples of.
    pub tags: Vec<Arc<Tag>>,
    pub schema: SchemaRef,
    pub work: ScanWork,
    /// About how many rows it has, where that is known: joins gather the smaller side.
    pub rows: Option<usize>,
}

impl fmt::Debug for EngineTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

#[async_trait]
impl TableProvider for EngineTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        want(state, &self.tags);
        let schema = projection.map_or_else(|| Ok(self.schema.clone()), |columns| self.schema.project(columns).map(Arc::new))?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(EngineExec {
            name: self.name,
            work: self.work.clone(),
            rows: self.rows,
            projection: projection.map(|columns| columns.as_slice().into()),
            schema,
            fetch: limit,
            properties: Arc::new(properties),
        }))
    }
}

/// The scan of an [`EngineTable`] as a node of a plan.
#[derive(Clone)]
struct EngineExec {
    name: &'static str,
    work: ScanWork,
    rows: Option<usize>,
    projection: Option<Arc<[usize]>>,
    schema: SchemaRef,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for EngineExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, formatter)
    }
}

impl DisplayAs for EngineExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EngineExec: {}", self.name)?;
        self.fetch.map_or(Ok(()), |fetch| write!(formatter, ", fetch={fetch}"))
    }
}

impl ExecutionPlan for EngineExec {
    fn name(&self) -> &'static str {
        "EngineExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a query of the engine has no children") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a query of the engine has no children") }
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows = self.rows.map(|rows| self.fetch.map_or(rows, |fetch| rows.min(fetch)));
        let num_rows = rows.map_or(Precision::Absent, Precision::Inexact);
        Ok(Arc::new(Statistics { num_rows, ..Statistics::new_unknown(&self.schema) }))
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(EngineExec { fetch, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let node = self.clone();
        stream(&context, self.schema.clone(), move |limits, emit| node.run(limits, emit))
    }
}

impl EngineExec {
    /// The work with its batches cut to the columns and rows that are wanted.
    fn run(&self, limits: &QueryLimits, emit: BatchSink) -> std::result::Result<(), QueryError> {
        let mut left = self.fetch.unwrap_or(usize::MAX);
        let mut failed = None;
        let done = (self.work)(limits, &mut |batch| {
            let batch = batch.slice(0, left.min(batch.num_rows()));
            left -= batch.num_rows();
            let projected = self.projection.as_ref().map_or_else(|| Ok(batch.clone()), |columns| batch.project(columns));
            match projected.and_then(plain) {
                Ok(batch) => emit(batch) && left > 0,
                Err(error) => {
                    failed = Some(QueryError::Store(format!("a batch could not be formed: {error}")));
                    false
                }
            }
        });
        failed.map_or(done, Err)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn one_scan_more_than_a_statement_may_have_open_is_refused_until_another_ends() {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let limits = QueryLimits::new(Instant::now() + Duration::from_mins(1), 1, CancellationToken::new());
        let bounds = StatementLimits::new(&limits, permit);
        let refused = || match bounds.enter() {
            Ok(_) => None,
            Err(error) => Some(SqlError::from(error).to_string()),
        };
        let mut open: Vec<Entered> = (0..64).map(|_| bounds.enter().unwrap()).collect();
        // Those that are refused take no place.
        for _ in 0..3 {
            assert_eq!(refused().unwrap(), "the statement reads tables in more than 64 places at once; join or unite fewer");
        }
        open.pop();
        let again = bounds.enter().unwrap();
        assert!(refused().is_some());
        drop((open, again));
        assert!((0..64).map(|_| bounds.enter()).collect::<Result<Vec<_>>>().is_ok());
    }
}
