//! Table `gaps`: where samples are known to be absent, and why.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    error::Result,
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};

use crate::scan::{BatchSink, EngineTable};
use historian_model::TagScope;
use historian_query::{QueryEngine, QueryError, QueryLimits, arrow_column};
use historian_store::{Gap, StoreError};

/// Gaps per look into the store, and per batch.
const PAGE: usize = 4_096;

/// A guess: gaps are few beside samples.
const ROWS_GUESSED: usize = 1_000;

pub struct Gaps {
    engine: QueryEngine,
}

impl std::fmt::Debug for Gaps {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("gaps")
    }
}

impl Gaps {
    pub fn new(query: &QueryEngine) -> Gaps {
        Gaps { engine: query.clone() }
    }
}

pub fn schema() -> SchemaRef {
    let time = |name: &str, nullable| Field::new(name, arrow_column::timestamp_type(), nullable);
    Arc::new(Schema::new(vec![
        Field::new("number", DataType::Int64, false),
        time("time", false),
        Field::new("tag", DataType::Utf8, true),
        time("start", true),
        time("end", true),
        Field::new("reason", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, false),
    ]))
}

#[async_trait]
impl TableProvider for Gaps {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let engine = self.engine.clone();
        let work = move |limits: &QueryLimits, emit: BatchSink<'_>| read(&engine, &limits.scope, emit);
        EngineTable { name: "gaps", tags: Vec::new(), schema: schema(), work: Arc::new(work), rows: Some(ROWS_GUESSED) }
            .scan(state, projection, &[], limit)
            .await
    }
}

fn read(engine: &QueryEngine, scope: &TagScope, emit: BatchSink<'_>) -> std::result::Result<(), QueryError> {
    let mut from = 0;
    loop {
        let mut page = engine.gaps(from, PAGE).map_err(|error| match error {
            StoreError::Corrupt { .. } => QueryError::DataLoss { tag: "(gaps)".into(), reason: error.to_string() },
            error => QueryError::Store(error.to_string()),
        })?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = last + 1;
        let is_last = page.len() < PAGE;
        page.retain(|(_, gap)| gap.is_within(scope));
        if !emit(batch(&page)?) || is_last {
            return Ok(());
        }
    }
}

fn batch(gaps: &[(u64, Gap)]) -> std::result::Result<RecordBatch, QueryError> {
    let times = |of: &dyn Fn(&Gap) -> Option<i64>| -> ArrayRef {
        Arc::new(gaps.iter().map(|(_, gap)| of(gap)).collect::<TimestampNanosecondArray>().with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        // Signed, as every client has it; it never comes near the end.
        Arc::new(gaps.iter().map(|(number, _)| i64::try_from(*number).ok()).collect::<Int64Array>()),
        times(&|gap| Some(gap.time.0)),
        Arc::new(gaps.iter().map(|(_, gap)| gap.tag.as_deref()).collect::<StringArray>()),
        times(&|gap| gap.start),
        times(&|gap| gap.end),
        Arc::new(gaps.iter().map(|(_, gap)| Some(gap.reason.as_str())).collect::<StringArray>()),
        Arc::new(gaps.iter().map(|(_, gap)| Some(gap.detail.as_str())).collect::<StringArray>()),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| QueryError::Store(format!("a batch could not be formed: {error}")))
}
