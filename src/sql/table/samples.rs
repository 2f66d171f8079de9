//! Table `samples`: every sample of every tag. Tags and times of the `WHERE` decide what is read; nothing else is.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    error::Result,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};

use super::super::scan;
use super::{
    predicate,
    samples_exec::{SamplesExec, Scan},
};
use crate::SqlOptions;
use historian_query::{INTEGER_DIGITS, QueryEngine, arrow_column};
use historian_store::Catalog;

pub struct SamplesTable {
    engine: QueryEngine,
    catalog: Arc<Catalog>,
    tags_max: usize,
}

impl std::fmt::Debug for SamplesTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("samples")
    }
}

impl SamplesTable {
    pub fn new(engine: &QueryEngine, catalog: &Arc<Catalog>, options: &SqlOptions) -> SamplesTable {
        SamplesTable { engine: engine.clone(), catalog: catalog.clone(), tags_max: options.tags_max }
    }
}

/// Places of the columns.
pub const TAG: usize = 0;
pub const TIMESTAMP: usize = 1;
pub const VALUE: usize = 2;
pub const QUALITY: usize = 3;

/// `value` is the number of a sample: states are their number, booleans 0 and 1; null for strings. `text` is the value of a string, and the
/// name of a state. `integer` is the value of a tag of i64 or u64, which an f64 may not hold.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false),
        Field::new("timestamp", arrow_column::timestamp_type(), false),
        Field::new("value", DataType::Float64, true),
        Field::new("quality", DataType::UInt32, false),
        Field::new("text", DataType::Utf8, true),
        Field::new("integer", DataType::Decimal128(INTEGER_DIGITS, 0), true),
    ]))
}

#[async_trait]
impl TableProvider for SamplesTable {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let one = |filter: &&Expr| {
            if predicate::is_exact(filter) { TableProviderFilterPushDown::Exact } else { TableProviderFilterPushDown::Unsupported }
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
        let selected = predicate::select(filters, &self.catalog, state)?;
        predicate::at_most(&selected.tags, self.tags_max)?;
        scan::want(state, &selected.tags);
        let scan = Scan::new(&self.engine, selected, state.config().target_partitions());
        Ok(Arc::new(SamplesExec::new(scan, projection, limit)?))
    }
}
