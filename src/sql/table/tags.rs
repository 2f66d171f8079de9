//! Table `tags`: the catalog, a page at a time.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    error::Result,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};

use super::predicate;
use crate::scan::{self, BatchSink, EngineTable, StatementLimits};
use historian_model::{Tag, TagSelection};
use historian_query::{QueryError, QueryLimits, arrow_column};
use historian_store::Catalog;

/// Tags per look into the catalog, and per batch.
const PAGE: usize = 8_192;

pub struct TagsTable {
    catalog: Arc<Catalog>,
}

impl std::fmt::Debug for TagsTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("tags")
    }
}

impl TagsTable {
    pub fn new(catalog: &Arc<Catalog>) -> TagsTable {
        TagsTable { catalog: catalog.clone() }
    }
}

pub fn schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("name", false),
        text("value_type", false),
        text("unit", false),
        text("description", false),
        Field::new("stepped", DataType::Boolean, false),
        Field::new("range_low", DataType::Float64, true),
        Field::new("range_high", DataType::Float64, true),
        text("state_set", true),
        text("device", true),
        text("address", true),
        Field::new("created", arrow_column::timestamp_type(), false),
        Field::new("updated", arrow_column::timestamp_type(), false),
        Field::new("exception_deadband", DataType::Float64, true),
        Field::new("compression_deviation", DataType::Float64, true),
        Field::new("error_bound", DataType::Float64, true),
    ]))
}

#[async_trait]
impl TableProvider for TagsTable {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Names that are listed are looked up instead of searched for; the filter is applied again above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let one = |filter: &&Expr| match predicate::listed(filter, "name") {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
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
        let names = filters.iter().find_map(|filter| predicate::listed(filter, "name"));
        let bounds = state.config().get_extension::<StatementLimits>();
        let rows = match &names {
            Some(names) => Some(names.len()),
            None => self.catalog.within(&scan::scope(bounds.as_deref())).len_known(),
        };
        let catalog = self.catalog.clone();
        let work = move |limits: &QueryLimits, emit: BatchSink<'_>| read(&catalog, names.as_deref(), limits, emit);
        EngineTable { name: "tags", tags: Vec::new(), schema: schema(), work: Arc::new(work), rows }
            .scan(state, projection, &[], limit)
            .await
    }
}

fn read(catalog: &Catalog, names: Option<&[String]>, limits: &QueryLimits, emit: BatchSink<'_>) -> std::result::Result<(), QueryError> {
    let go_on = || limits.check(0);
    if let Some(names) = names {
        let (tags, _) = catalog.within(&limits.scope).select_while(&TagSelection::of_names(names.to_vec()), &go_on)?;
        for page in tags.chunks(PAGE) {
            if !emit(batch(page)?) {
                break;
            }
        }
        return Ok(());
    }
    let mut after: Option<String> = None;
    loop {
        let page = catalog.within(&limits.scope).page(&TagSelection::all(), after.as_deref(), PAGE, &|_| true, &go_on)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.name().as_str().to_owned());
        if !emit(batch(&page)?) || page.len() < PAGE {
            return Ok(());
        }
    }
}

fn batch(tags: &[Arc<Tag>]) -> std::result::Result<RecordBatch, QueryError> {
    let texts = |of: &dyn Fn(&Tag) -> Option<String>| -> ArrayRef { Arc::new(tags.iter().map(|tag| of(tag)).collect::<StringArray>()) };
    let numbers = |of: &dyn Fn(&Tag) -> Option<f64>| -> ArrayRef { Arc::new(tags.iter().map(|tag| of(tag)).collect::<Float64Array>()) };
    let states = |tag: &Tag| {
        let states = &tag.definition.state_set;
        (!states.is_empty()).then(|| serde_json::Value::from(states.clone()).to_string())
    };
    let stepped: BooleanArray = tags.iter().map(|tag| Some(tag.definition.stepped)).collect();
    let columns: Vec<ArrayRef> = vec![
        texts(&|tag| Some(tag.name().to_string())),
        texts(&|tag| Some(tag.value_type().to_string())),
        texts(&|tag| Some(tag.definition.unit.clone())),
        texts(&|tag| Some(tag.definition.description.clone())),
        Arc::new(stepped),
        numbers(&|tag| tag.definition.range_low),
        numbers(&|tag| tag.definition.range_high),
        texts(&states),
        texts(&|tag| tag.definition.source.as_ref().map(|source| source.device.clone())),
        texts(&|tag| tag.definition.source.as_ref().map(|source| source.address.clone())),
        arrow_column::timestamps(tags.iter().map(|tag| tag.created.0).collect()),
        arrow_column::timestamps(tags.iter().map(|tag| tag.updated.0).collect()),
        numbers(&|tag| tag.definition.filter.exception.as_ref().map(|exception| exception.deadband)),
        numbers(&|tag| tag.definition.filter.compression.as_ref().map(|compression| compression.deviation)),
        numbers(&|tag| tag.definition.error_bound()),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| QueryError::Store(format!("a batch could not be formed: {error}")))
}
