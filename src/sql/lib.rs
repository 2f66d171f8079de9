//! SQL over samples, tags and gaps: `DataFusion` plans and joins, our tables read through the one query engine. A statement only reads.
//!
//! A statement is planned and runs on threads of its own ([`lane`]), so that it stops nobody else; each node of its plan ends when it does
//! ([`watch`]). Its batches come through a channel to the blocking thread of the query it answers, as those of every other query do.

mod aggregate;
mod analyze;
mod arithmetic;
mod bind;
mod civil;
mod dialect;
mod error;
mod expression;
mod extent;
mod function;
mod gathered;
mod group;
mod lane;
mod memory;
mod name;
mod open_end;
mod options;
mod parameter;
mod placeholder;
mod planning;
mod scan;
mod session;
mod statement;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod time_range;
mod view;
mod watch;

pub use datafusion::common::ScalarValue;
pub use error::SqlError;
pub use function::FunctionDescription;
pub use name::{CATALOG, INFORMATION_SCHEMA, SCHEMA};
pub use options::SqlOptions;
pub use statement::{Description, Statement, TableDescription};
pub use view::{ColumnNames, TableOptions, View, ViewIntervalLength as ViewInterval, refused_name};

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    execution::{SessionState, memory_pool::GreedyMemoryPool},
    physical_plan::execute_stream,
};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use historian_model::TagScope;
use historian_query::{QueryEngine, QueryError, QueryLimits};
use historian_store::Catalog;

/// Answers SQL. Cheap to clone; all methods block, call them from a blocking thread.
#[derive(Clone)]
pub struct SqlEngine {
    /// Behind a trait, so that compiling what holds an engine does not look through all of `DataFusion`.
    statements: Arc<dyn Statements>,
}

trait Statements: Send + Sync {
    fn tables(&self, scope: &TagScope) -> Vec<TableDescription>;
    fn running(&self) -> usize;
    fn describe(&self, statement: &Statement, limits: &QueryLimits) -> Result<Description, SqlError>;
    fn run(&self, statement: &Statement, limits: &QueryLimits, emit: &mut dyn FnMut(StatementReply) -> bool) -> Result<(), SqlError>;
}

struct SqlState {
    base: SessionState,
    tables: Arc<table::Tables>,
    /// Those that tell of tables.
    system: Vec<TableDescription>,
    options: SqlOptions,
    memory: Arc<GreedyMemoryPool>,
    /// One permit for each statement, until it has freed what it has.
    statements: Arc<Semaphore>,
    /// The same for those that are only planned.
    planned: Arc<Semaphore>,
    lanes: lane::Lanes,
}

/// How long a statement waits for others to end when as many run as may.
const PATIENCE: Duration = Duration::from_secs(1);

impl SqlEngine {
    #[expect(clippy::needless_pass_by_value, reason = "the engine keeps what it is made of")]
    pub fn new(query: QueryEngine, catalog: Arc<Catalog>, options: SqlOptions) -> SqlEngine {
        let tables = Arc::new(table::Tables::new(&query, &catalog, &options));
        let base = session::base(&query, &catalog, &tables, &options);
        let shared = SqlState {
            system: table::system(&base),
            base,
            tables,
            memory: Arc::new(GreedyMemoryPool::new(options.memory_total_bytes_max)),
            statements: Arc::new(Semaphore::new(options.statements_max)),
            planned: Arc::new(Semaphore::new(options.statements_max)),
            lanes: lane::Lanes::new(&options),
            options,
        };
        SqlEngine { statements: Arc::new(Arc::new(shared)) }
    }

    /// The tables, in the order of schemas and names. The columns of views are those of the tags that there are now, and that are in the scope.
    pub fn tables(&self, scope: &TagScope) -> Vec<TableDescription> {
        self.statements.tables(scope)
    }

    /// The table functions, in the order of their names.
    pub fn table_functions() -> Vec<FunctionDescription> {
        function::descriptions()
    }

    /// Statements that run now, until they have freed what they hold.
    pub fn running(&self) -> usize {
        self.statements.running()
    }

    /// Plans a statement without running it.
    ///
    /// # Errors
    /// [`SqlError::Invalid`], [`SqlError::ReadOnly`], and [`QueryError::Deadline`] when planning takes too long.
    pub fn describe(&self, statement: &Statement, limits: &QueryLimits) -> Result<Description, SqlError> {
        self.statements.describe(statement, limits)
    }

    /// Runs a statement, handing its schema and then batches of at most [`historian_query::BATCH_ROWS_MAX`] rows to `emit`; `emit` returning false stops
    /// it.
    ///
    /// # Errors
    /// See [`SqlError`]; batches handed out before stand.
    pub fn run(&self, statement: &Statement, limits: &QueryLimits, emit: &mut dyn FnMut(StatementReply) -> bool) -> Result<(), SqlError> {
        self.statements.run(statement, limits, emit)
    }
}

impl Statements for Arc<SqlState> {
    fn tables(&self, scope: &TagScope) -> Vec<TableDescription> {
        self.system.iter().cloned().chain(self.tables.within(scope).descriptions()).collect()
    }

    fn running(&self) -> usize {
        self.options.statements_max.saturating_sub(self.statements.available_permits())
    }

    fn describe(&self, statement: &Statement, limits: &QueryLimits) -> Result<Description, SqlError> {
        let permit = self.permit(&self.planned, limits)?;
        let (bounds, _ended) = ended_with_the_caller(limits);
        let (shared, statement, lane) = (self.clone(), statement.clone(), self.lanes.enter(&bounds)?);
        let planning = lane.spawn(async move {
            let text = text::normalised(&statement.text, shared.options.text_bytes_max)?;
            let bounds = Arc::new(scan::StatementLimits::new(&bounds, permit));
            let mut state = session::of_statement(&shared.base, &shared.tables, &shared.options, &shared.memory, &statement, &bounds)?;
            parameter::describe(&mut state, &text, &statement.parameters).await
        })?;
        let _stop = lane::AbortOnDrop(planning.abort_handle());
        lane::wait(limits, planning)?.unwrap_or_else(|_| Err(stopped_by_a_bug()))
    }

    fn run(&self, statement: &Statement, limits: &QueryLimits, emit: &mut dyn FnMut(StatementReply) -> bool) -> Result<(), SqlError> {
        let permit = self.permit(&self.statements, limits)?;
        let (bounds, _ended) = ended_with_the_caller(limits);
        let (sender, mut replies) = mpsc::channel(2);
        let (shared, statement, lane) = (self.clone(), statement.clone(), self.lanes.enter(&bounds)?);
        let running = lane.spawn(async move { execute(&shared, &statement, &bounds, permit, &sender).await })?;
        let _stop = lane::AbortOnDrop(running.abort_handle());

        let mut rows = 0;
        while let Some(reply) = lane::wait(limits, replies.recv())? {
            if let StatementReply::Batch(batch) = &reply {
                rows += batch.num_rows() as u64;
                limits.check(rows)?;
            }
            if !emit(reply) {
                return Ok(());
            }
        }
        // The channel closes when the task ends: its result tells whether the answer is whole.
        lane::wait(limits, running)?.unwrap_or_else(|_| Err(stopped_by_a_bug()))
    }
}

impl SqlState {
    /// Waits for others to end, and not for long.
    fn permit(&self, of: &Arc<Semaphore>, limits: &QueryLimits) -> Result<OwnedSemaphorePermit, SqlError> {
        let patience = QueryLimits { deadline: limits.deadline.min(Instant::now() + PATIENCE), ..limits.clone() };
        match lane::wait(&patience, of.clone().acquire_owned()) {
            Ok(Ok(permit)) => Ok(permit),
            Err(SqlError::Query(QueryError::Deadline)) if Instant::now() < limits.deadline => {
                Err(SqlError::Busy(self.options.statements_max))
            }
            Ok(Err(_)) => Err(SqlError::Busy(self.options.statements_max)),
            Err(error) => Err(error),
        }
    }
}

/// The limits of a statement, which are over when the guard beside them is dropped, however that comes.
fn ended_with_the_caller(limits: &QueryLimits) -> (QueryLimits, tokio_util::sync::DropGuard) {
    let bounds = QueryLimits { cancel: limits.cancel.child_token(), ..limits.clone() };
    let guard = bounds.cancel.clone().drop_guard();
    (bounds, guard)
}

fn stopped_by_a_bug() -> SqlError {
    SqlError::Internal("a bug stopped this statement; please report it with the lines of the log".into())
}

/// Parts of an answer.
#[derive(Clone, Debug)]
pub enum StatementReply {
    /// Once, before all batches.
    Schema(SchemaRef),
    Batch(RecordBatch),
}

/// Plans and runs a statement on the threads of SQL.
async fn execute(
    shared: &SqlState,
    statement: &Statement,
    limits: &QueryLimits,
    permit: OwnedSemaphorePermit,
    out: &mpsc::Sender<StatementReply>,
) -> Result<(), SqlError> {
    let text = text::normalised(&statement.text, shared.options.text_bytes_max)?;
    let bounds = Arc::new(scan::StatementLimits::new(limits, permit));
    let mut state = session::of_statement(&shared.base, &shared.tables, &shared.options, &shared.memory, statement, &bounds)?;
    let plan = parameter::physical_plan(&mut state, &text, &statement.parameters).await?;
    let rows_max = watch::rows_of_a_batch(&plan)?;
    if rows_max < state.config().batch_size() {
        let config = state.config_mut();
        *config = config.clone().with_batch_size(rows_max);
    }
    let schema = plan.schema();
    if out.send(StatementReply::Schema(schema.clone())).await.is_err() {
        return Ok(());
    }
    let mut stream = execute_stream(watch::watched(plan, &bounds, rows_max)?, state.task_ctx())?;
    while let Some(batch) = stream.next().await {
        let batch = session::with_schema(batch?, &schema)?;
        for part in historian_query::slices(&batch) {
            if out.send(StatementReply::Batch(part)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
