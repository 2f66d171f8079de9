//! Table `samples`: every sample of every tag. Tags and times of the `WHERE` decide what is read; nothing else is.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    error::Result,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};

use super::super::scan;
use super::{
    predicate, samples,
    samples_exec::{SamplesExec, SamplesScan},
};
use crate::SqlOptions;
use historian_query::QueryEngine;
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

#[async_trait]
impl TableProvider for SamplesTable {
    fn schema(&self) -> SchemaRef {
        samples::schema()
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
        let scan = SamplesScan::new(&self.engine, selected, state.config().target_partitions());
        Ok(Arc::new(SamplesExec::new(scan, projection, limit)?))
    }
}
