//! Views of a configuration: a row per interval, a column per tag.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    error::Result,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};
use jiff::tz::TimeZone;

use super::{IntervalStarts, RequestedIntervals, ScanIntervals, bounds, now_of, time_fields, time_remarks, zone_of};
use crate::{
    error::invalid,
    scan::{BatchSink, EngineTable},
    view::{VIEW_TAGS_MAX, View, column_names},
};
use historian_model::{Tag, ValueType};
use historian_operators::aggregate::{AggregateFunction, ValueUnit};
use historian_query::{BATCH_ROWS_MAX, IntervalPart, IntervalQuery, QueryEngine, QueryError, QueryLimits};
use historian_store::CatalogView;

/// Columns before those of the tags.
const BEFORE: usize = 3;
/// Values of one batch at most.
const CELLS_MAX: usize = 1 << 20;
/// Tags that a remark names.
const TAGS_NAMED_MAX: usize = 10;

/// A view with the tags that its patterns select at the moment: a statement sees one set of columns however long it is planned.
pub struct WideView {
    view: View,
    engine: QueryEngine,
    default_zone: TimeZone,
    tags: Vec<Arc<Tag>>,
    /// How many tags are selected, where these are more than a view has; then it has no column of a tag.
    too_many: Option<usize>,
    /// Names without a tag.
    missing: Vec<String>,
    schema: SchemaRef,
}

impl std::fmt::Debug for WideView {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.view.name)
    }
}

impl WideView {
    pub fn new(view: &View, engine: &QueryEngine, catalog: CatalogView<'_>, default_zone: &TimeZone) -> WideView {
        let (mut tags, mut missing) = catalog.select(&view.tags);
        // The configuration names tags that who asks may not know of.
        missing.retain(|name| catalog.covers(name));
        // Text has no average.
        tags.retain(|tag| tag.value_type() != ValueType::String || view.aggregate.takes_text());
        let too_many = (tags.len() > VIEW_TAGS_MAX).then_some(tags.len());
        if too_many.is_some() {
            tags.clear();
        }
        let fixed = time_fields();
        let taken: Vec<&str> = fixed.iter().map(|field| field.name().as_str()).collect();
        let names = column_names(&tags, view.columns, &taken);
        let fields = names.into_iter().map(|name| Field::new(name, DataType::Float64, true));
        let schema = Arc::new(Schema::new(fixed.iter().cloned().chain(fields).collect::<Vec<_>>()));
        let (engine, default_zone) = (engine.clone(), default_zone.clone());
        WideView { view: view.clone(), engine, default_zone, tags, too_many, missing, schema }
    }

    fn too_many_text(&self) -> Option<String> {
        let selected = self.too_many?;
        Some(format!(
            "the view {} selects {selected} tags, at most {VIEW_TAGS_MAX} are taken; narrow its `tags` in the configuration",
            self.view.name
        ))
    }

    /// What the view is.
    pub fn remark(&self) -> String {
        let View { description, interval, aggregate, .. } = &self.view;
        let mut remark = String::new();
        if !description.is_empty() {
            remark = format!("{description}: ");
        }
        remark += &format!(
            "view of the configuration, a row per interval of {} ({}), a column with {aggregate} per tag",
            interval.text(),
            self.zone_text()
        );
        if let Some(text) = self.too_many_text() {
            remark += &format!("; {text}");
        }
        if !self.missing.is_empty() {
            let named: Vec<&str> = self.missing.iter().take(TAGS_NAMED_MAX).map(String::as_str).collect();
            let more = self.missing.len() - named.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            remark += &format!("; there is no tag {}{more}", named.join(", "));
        }
        remark
    }

    fn zone_text(&self) -> String {
        self.view.zone.as_ref().and_then(TimeZone::iana_name).map_or_else(|| "the zone of the connection".to_owned(), str::to_owned)
    }

    /// What the columns are.
    pub fn remarks(&self) -> Vec<String> {
        let aggregate = self.view.aggregate;
        let of_tag = |tag: &Arc<Tag>| {
            let definition = &tag.definition;
            let held = aggregate == AggregateFunction::TimeAverage && definition.stepped;
            let aggregate = if held { AggregateFunction::TimeAverage2 } else { aggregate };
            let unit = match aggregate.unit() {
                ValueUnit::Value => definition.unit.clone(),
                ValueUnit::ValueSeconds => format!("({})·s", definition.unit),
                ValueUnit::ValueSquared => format!("({})²", definition.unit),
                ValueUnit::Count | ValueUnit::StatusCode => String::new(),
                ValueUnit::Milliseconds => "ms".to_owned(),
                ValueUnit::Percent => "%".to_owned(),
            };
            let mut remark = if definition.description.is_empty() { String::new() } else { format!("{}; ", definition.description) };
            if !unit.is_empty() {
                remark += &format!("in {unit}; ");
            }
            remark + &format!("{aggregate} of {}", definition.name)
        };
        time_remarks(&self.zone_text()).into_iter().chain(self.tags.iter().map(of_tag)).collect()
    }
}

#[async_trait]
impl TableProvider for WideView {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Base, for it is no view of SQL: there is no statement behind it.
    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let one = |filter: &&Expr| match filter {
            filter if bounds::is_exact(filter) => TableProviderFilterPushDown::Exact,
            filter if bounds::narrows(filter) => TableProviderFilterPushDown::Inexact,
            _ => TableProviderFilterPushDown::Unsupported,
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
        if let Some(text) = self.too_many_text() {
            return Err(invalid(text));
        }
        let columns: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&columns)?);
        let zone = self.view.zone.clone().map_or_else(|| zone_of(state, &self.default_zone), Ok)?;
        let step = self.view.interval.step;
        let asked = RequestedIntervals { zone, step, bounds: IntervalStarts::of(filters, step), now: now_of(state) };
        let read = WideScan {
            engine: self.engine.clone(),
            all: self.tags.clone(),
            tags: columns.iter().filter_map(|column| self.tags.get(column.checked_sub(BEFORE)?)).cloned().collect(),
            aggregate: self.view.aggregate,
            asked,
            columns,
            schema: schema.clone(),
        };
        let work = move |limits: &_, emit: BatchSink<'_>| read.run(limits, emit);
        EngineTable { name: "view", tags: self.tags.clone(), schema, work: Arc::new(work), rows: None }.scan(state, None, &[], limit).await
    }
}

/// What one scan reads.
struct WideScan {
    engine: QueryEngine,
    /// The tags that decide from when to when there are rows: they are the same whatever columns are asked for.
    all: Vec<Arc<Tag>>,
    /// The tags whose columns are asked for, in the order of these.
    tags: Vec<Arc<Tag>>,
    aggregate: AggregateFunction,
    asked: RequestedIntervals,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl WideScan {
    fn run(&self, limits: &QueryLimits, emit: BatchSink<'_>) -> std::result::Result<(), QueryError> {
        if self.all.is_empty() {
            return Ok(());
        }
        let Some(grid) = ScanIntervals::new(&self.engine, &self.all, &self.asked, limits)? else { return Ok(()) };
        let count = self.tags.len();
        let blocks = grid.parts((CELLS_MAX / count.max(1)).clamp(1, BATCH_ROWS_MAX / 2));
        if count == 0 {
            for block in blocks {
                limits.check(0)?;
                if !emit(self.batch(&grid, &block, Vec::new())?) {
                    break;
                }
            }
            return Ok(());
        }
        let parts: Vec<IntervalPart> =
            blocks.iter().flat_map(|block| (0..count).map(move |tag| IntervalPart { tag, intervals: block.clone() })).collect();
        let query = IntervalQuery { tags: self.tags.clone(), intervals: grid.intervals()?, functions: vec![self.aggregate] };
        let mut block: Vec<ArrayRef> = Vec::with_capacity(count);
        self.engine.intervals(&query, &parts, limits, &mut |answers| {
            block.push(Arc::new(answers.of(0).iter().copied().collect::<Float64Array>()));
            if block.len() < count {
                return Ok(true);
            }
            Ok(emit(self.batch(&grid, &answers.part.intervals, std::mem::take(&mut block))?))
        })
    }

    fn batch(&self, grid: &ScanIntervals, block: &Range<usize>, values: Vec<ArrayRef>) -> std::result::Result<RecordBatch, QueryError> {
        let mut values = values.into_iter();
        let column = |column: &usize| if *column < BEFORE { Some(grid.times(*column, block.clone())) } else { values.next() };
        let columns: Vec<ArrayRef> = self.columns.iter().filter_map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(block.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| QueryError::Store(format!("a batch could not be formed: {error}")))
    }
}
