//! From the query engine, which works on a blocking thread and hands on batches, to the streams that DataFusion pulls: one thread per scan, a
//! channel of two batches, and an end for every way a scan can end.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableType},
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchReceiverStream,
        streaming::{PartitionStream, StreamingTableExec},
    },
};

use super::{SqlError, error::external};
use crate::query::{QueryError, QueryLimits};

/// Scans that one statement may have open at the same time.
pub const SCANS_MAX: usize = 64;
/// Batches between a scan and the plan above it.
const BATCHES_IN_FLIGHT: usize = 2;

/// What the scans of one statement share. It travels in the configuration of the statement's session.
pub struct Bounds {
    limits: QueryLimits,
    scans: Arc<AtomicUsize>,
}

impl Bounds {
    pub fn new(limits: &QueryLimits) -> Bounds {
        Bounds { limits: limits.clone(), scans: Arc::new(AtomicUsize::new(0)) }
    }

    /// Limits of the statement this context belongs to.
    pub fn of(context: &TaskContext) -> Result<Arc<Bounds>> {
        let bounds = context.session_config().get_extension::<Bounds>();
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

struct Entered(Arc<AtomicUsize>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Work of a scan: hands batches on until told to stop.
pub type Emit<'a> = &'a mut dyn FnMut(RecordBatch) -> bool;

/// Runs `work` on a blocking thread as a stream of batches. Dropping the stream stops it at its next batch.
pub fn stream(
    context: &TaskContext,
    schema: SchemaRef,
    work: impl FnOnce(&QueryLimits, Emit) -> std::result::Result<(), QueryError> + Send + 'static,
) -> Result<SendableRecordBatchStream> {
    let bounds = Bounds::of(context)?;
    let entered = bounds.enter()?;
    // The statement's rows are counted where it answers: a scan may read more than that.
    let limits = QueryLimits { rows_max: u64::MAX, cancel: bounds.limits.cancel.child_token(), ..bounds.limits.clone() };
    let mut builder = RecordBatchReceiverStream::builder(schema, BATCHES_IN_FLIGHT);
    let sender = builder.tx();
    builder.spawn_blocking(move || {
        let _entered = entered;
        // A full channel makes the scan wait; it closes when the statement ends, at its deadline at the latest.
        work(&limits, &mut |batch| sender.blocking_send(Ok(batch)).is_ok()).map_err(|error| external(error.into()))
    });
    Ok(builder.build())
}

/// What a table of the query engine reads, again for each scan.
pub type Work = Arc<dyn Fn(&QueryLimits, Emit) -> std::result::Result<(), QueryError> + Send + Sync>;

/// One query of the engine as a table: the answer of a table function.
pub struct EngineTable {
    pub name: &'static str,
    pub schema: SchemaRef,
    pub work: Work,
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
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let part = EnginePart { schema: self.schema.clone(), work: self.work.clone(), name: self.name };
        Ok(Arc::new(StreamingTableExec::try_new(self.schema.clone(), vec![Arc::new(part)], projection, [], false, limit)?))
    }
}

struct EnginePart {
    name: &'static str,
    schema: SchemaRef,
    work: Work,
}

impl fmt::Debug for EnginePart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl PartitionStream for EnginePart {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let work = self.work.clone();
        stream(&context, self.schema.clone(), move |limits, emit| work(limits, emit)).unwrap_or_else(|error| {
            let failed = futures::stream::iter([Err(error)]);
            Box::pin(datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(self.schema.clone(), failed))
        })
    }
}
