//! Table `annotations`: texts of people on tags, a row for each tag of an annotation.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
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
use crate::scan::{BatchSink, EngineTable};
use historian_model::{TagId, TagSelection};
use historian_query::{QueryEngine, QueryError, QueryLimits, arrow_column};
use historian_store::{Annotation, Catalog, StoreError};

/// Rows of a batch.
const PAGE: usize = 1_024;
/// A guess: annotations are few beside samples.
const ROWS_GUESSED: usize = 1_000;

pub struct AnnotationsTable {
    engine: QueryEngine,
    catalog: Arc<Catalog>,
}

impl std::fmt::Debug for AnnotationsTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("annotations")
    }
}

impl AnnotationsTable {
    pub fn new(engine: &QueryEngine, catalog: &Arc<Catalog>) -> AnnotationsTable {
        AnnotationsTable { engine: engine.clone(), catalog: catalog.clone() }
    }
}

pub fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let time = |name: &str| Field::new(name, arrow_column::timestamp_type(), false);
    Arc::new(Schema::new(vec![
        text("tag"),
        time("start"),
        time("end"),
        text("text"),
        text("author"),
        Field::new("id", DataType::Int64, false),
        Field::new("version", DataType::Int64, false),
        time("time"),
    ]))
}

#[async_trait]
impl TableProvider for AnnotationsTable {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Tags that are listed are looked up instead of searched for; the filter is applied again above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let one = |filter: &&Expr| match predicate::listed(filter, "tag") {
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
        let names = filters.iter().find_map(|filter| predicate::listed(filter, "tag"));
        let (engine, catalog) = (self.engine.clone(), self.catalog.clone());
        let work = move |limits: &QueryLimits, emit: BatchSink<'_>| read(&engine, &catalog, names.as_deref(), limits, emit);
        EngineTable { name: "annotations", tags: Vec::new(), schema: schema(), work: Arc::new(work), rows: Some(ROWS_GUESSED) }
            .scan(state, projection, &[], limit)
            .await
    }
}

fn read(
    engine: &QueryEngine,
    catalog: &Catalog,
    names: Option<&[String]>,
    limits: &QueryLimits,
    emit: BatchSink<'_>,
) -> std::result::Result<(), QueryError> {
    let Some(annotations) = engine.annotations() else { return Ok(()) };
    let seen = catalog.within(&limits.scope);
    let listed: Option<HashSet<TagId>> = match names {
        None => None,
        Some(names) => {
            let (tags, _) = seen.select_while(&TagSelection::of_names(names.to_vec()), &|| limits.check(0))?;
            Some(tags.iter().map(|tag| tag.id).collect())
        }
    };
    let mut after = None;
    loop {
        limits.check(0)?;
        let mut page = annotations.that_count(after, PAGE);
        let is_last = page.len() < PAGE;
        after = page.last().copied();
        page.retain(|(tag, _)| listed.as_ref().is_none_or(|listed| listed.contains(tag)));
        let mut rows = Vec::with_capacity(page.len());
        for (tag, place) in page {
            let Some(tag) = seen.by_id(tag) else { continue };
            let annotation = annotations.at(place).map_err(|error| match error {
                StoreError::Corrupt { .. } => QueryError::DataLoss { tag: tag.name().to_string(), reason: error.to_string() },
                error => QueryError::Store(error.to_string()),
            })?;
            rows.push((tag.name().to_string(), annotation));
        }
        if !emit(batch(&rows)?) || is_last {
            return Ok(());
        }
    }
}

fn batch(rows: &[(String, Annotation)]) -> std::result::Result<RecordBatch, QueryError> {
    let texts = |of: &dyn Fn(&(String, Annotation)) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(of))) };
    let times = |of: &dyn Fn(&Annotation) -> i64| arrow_column::timestamps(rows.iter().map(|(_, row)| of(row)).collect());
    let columns: Vec<ArrayRef> = vec![
        texts(&|(tag, _)| tag.clone()),
        times(&|row| row.start),
        times(&|row| row.end),
        texts(&|(_, row)| row.text.clone()),
        texts(&|(_, row)| row.author.clone()),
        // Signed, as every client has them; neither comes near the end.
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, row)| i64::try_from(row.id).unwrap_or(i64::MAX)))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, row)| i64::from(row.version)))),
        times(&|row| row.time.0),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| QueryError::Store(format!("a batch could not be formed: {error}")))
}
