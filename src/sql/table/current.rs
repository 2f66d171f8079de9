//! Table `current`: the latest sample by source time of each tag that has one, with the columns of `samples`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Decimal128Array, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, UInt32Array},
    datatypes::{Int32Type, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    error::Result,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};

use super::{predicate, samples};
use crate::{
    SqlOptions,
    scan::{BatchSink, EngineTable},
};
use historian_model::{Samples, Tag, Value};
use historian_query::{BATCH_ROWS_MAX, INTEGER_DIGITS, QueryEngine, QueryError, QueryLimits, arrow_column};
use historian_store::Catalog;

pub struct Current {
    engine: QueryEngine,
    catalog: Arc<Catalog>,
    tags_max: usize,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("current")
    }
}

impl Current {
    pub fn new(engine: &QueryEngine, catalog: &Arc<Catalog>, options: &SqlOptions) -> Current {
        Current { engine: engine.clone(), catalog: catalog.clone(), tags_max: options.tags_max }
    }
}

#[async_trait]
impl TableProvider for Current {
    fn schema(&self) -> SchemaRef {
        samples::schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Tags decide what is looked up; what is said of the samples is left to the filter above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let one = |filter: &&Expr| {
            if predicate::only_tag(filter) { TableProviderFilterPushDown::Exact } else { TableProviderFilterPushDown::Unsupported }
        };
        Ok(filters.iter().map(one).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let tags = predicate::select(filters, &self.catalog, state)?.tags;
        predicate::at_most(&tags, self.tags_max)?;
        let (engine, read, rows) = (self.engine.clone(), tags.clone(), tags.len());
        let work = move |limits: &_, emit: BatchSink<'_>| run(&engine, &read, limits, emit);
        EngineTable { name: "current", tags, schema: samples::schema(), work: Arc::new(work), rows: Some(rows) }
            .scan(state, projection, &[], limit)
            .await
    }
}

fn run(engine: &QueryEngine, tags: &[Arc<Tag>], limits: &QueryLimits, emit: BatchSink<'_>) -> std::result::Result<(), QueryError> {
    // All of one moment; they lie in memory already.
    let found = engine.current_samples(tags, limits)?;
    for part in found.chunks(BATCH_ROWS_MAX) {
        if !emit(batch(part)?) {
            break;
        }
    }
    Ok(())
}

fn batch(found: &[(Arc<Tag>, Samples)]) -> std::result::Result<RecordBatch, QueryError> {
    let failed = |error: arrow::error::ArrowError| QueryError::Store(format!("a batch could not be formed: {error}"));
    let names: StringArray = found.iter().map(|(tag, _)| Some(tag.name().as_str())).collect();
    let keys: Int32Array = (0..found.len() as i32).collect();
    let number = |(_, samples): &(Arc<Tag>, Samples)| samples.value(0).and_then(|value| value.as_f64());
    let text = |(tag, samples): &(Arc<Tag>, Samples)| match samples.value(0)? {
        Value::String(text) => Some(text),
        Value::State(state) => tag.definition.state_set.get(state as usize).cloned(),
        _ => None,
    };
    let integer = |(_, samples): &(Arc<Tag>, Samples)| match samples.value(0)? {
        Value::I64(integer) => Some(i128::from(integer)),
        Value::U64(integer) => Some(i128::from(integer)),
        _ => None,
    };
    let integers: Decimal128Array = found.iter().map(integer).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(names)).map_err(failed)?),
        arrow_column::timestamps(found.iter().map(|(_, samples)| samples.timestamps[0]).collect()),
        Arc::new(found.iter().map(number).collect::<Float64Array>()),
        Arc::new(found.iter().map(|(_, samples)| samples.qualities[0]).collect::<UInt32Array>()),
        Arc::new(found.iter().map(text).collect::<StringArray>()),
        Arc::new(integers.with_precision_and_scale(INTEGER_DIGITS, 0).map_err(failed)?),
    ];
    RecordBatch::try_new(samples::schema(), columns).map_err(failed)
}
