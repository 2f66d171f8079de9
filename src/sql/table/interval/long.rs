//! Tables `hourly` and `daily`: a row per tag and interval, from the interval of its first sample to that of its last one.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray},
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef},
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
    SqlOptions,
    function::calendar::CalendarStep,
    scan::{BatchSink, EngineTable},
    table::predicate,
};
use historian_model::Tag;
use historian_operators::aggregate::AggregateFunction;
use historian_query::{BATCH_ROWS_MAX, IntervalAnswers, IntervalPart, IntervalQuery, QueryEngine, QueryError, QueryLimits};
use historian_store::Catalog;

/// The aggregates of each row, as columns of their names.
const FUNCTIONS: [AggregateFunction; 8] = [
    AggregateFunction::TimeAverage,
    AggregateFunction::Minimum,
    AggregateFunction::Maximum,
    AggregateFunction::StartBound,
    AggregateFunction::EndBound,
    AggregateFunction::DeltaBounds,
    AggregateFunction::Count,
    AggregateFunction::PercentGood,
];
/// Columns before them: the tag and those of [`time_fields`].
const BEFORE: usize = 4;
/// Answers of one part at most.
const PART_ANSWERS: usize = 32_768;

/// One of the tables.
pub struct LongTable {
    name: &'static str,
    step: CalendarStep,
    engine: QueryEngine,
    catalog: Arc<Catalog>,
    zone: TimeZone,
    tags_max: usize,
}

impl std::fmt::Debug for LongTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

impl LongTable {
    pub fn new(name: &'static str, step: CalendarStep, engine: &QueryEngine, catalog: &Arc<Catalog>, options: &SqlOptions) -> LongTable {
        let (engine, catalog, zone) = (engine.clone(), catalog.clone(), options.tables.zone.clone());
        LongTable { name, step, engine, catalog, zone, tags_max: options.tags_max }
    }
}

fn schema() -> SchemaRef {
    let aggregate = |function: AggregateFunction| {
        let is_count = function == AggregateFunction::Count;
        Field::new(function.name(), if is_count { DataType::Int64 } else { DataType::Float64 }, !is_count)
    };
    let tag = Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false);
    let fields = std::iter::once(tag).chain(time_fields()).chain(FUNCTIONS.map(aggregate));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What the columns are.
pub fn remarks() -> Vec<String> {
    let of_tag = "in the unit of the tag (tags.unit)";
    let aggregate = |function: AggregateFunction| match function {
        AggregateFunction::TimeAverage => format!(
            "average weighted by time, {of_tag}: aggregate time_average of OPC UA Part 13, of a stepped tag time_average2; null where nothing is Good"
        ),
        AggregateFunction::Minimum | AggregateFunction::Maximum => {
            format!("{}, {of_tag}; null where there is none", function.description())
        }
        AggregateFunction::StartBound | AggregateFunction::EndBound | AggregateFunction::DeltaBounds => {
            format!("{}, {of_tag}", function.description())
        }
        AggregateFunction::Count => "number of Good samples in the interval".to_owned(),
        other => format!("{}, in %", other.description()),
    };
    let tag = "name of the tag; filter by it to say what is read".to_owned();
    std::iter::once(tag).chain(time_remarks("the zone of the connection")).chain(FUNCTIONS.map(aggregate)).collect()
}

#[async_trait]
impl TableProvider for LongTable {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let one = |filter: &&Expr| match filter {
            filter if predicate::only_tag(filter) || bounds::is_exact(filter) => TableProviderFilterPushDown::Exact,
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
        let over_tags: Vec<Expr> = filters.iter().filter(|filter| predicate::only_tag(filter)).cloned().collect();
        let tags = predicate::select(&over_tags, &self.catalog, state)?.tags;
        predicate::at_most(&tags, self.tags_max)?;
        let columns: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..BEFORE + FUNCTIONS.len()).collect());
        let schema = Arc::new(schema().project(&columns)?);
        let asked = RequestedIntervals {
            zone: zone_of(state, &self.zone)?,
            step: self.step,
            bounds: IntervalStarts::of(filters, self.step),
            now: now_of(state),
        };
        let read = LongScan { engine: self.engine.clone(), tags: tags.clone(), asked, columns, schema: schema.clone() };
        let work = move |limits: &_, emit: BatchSink<'_>| read.run(limits, emit);
        EngineTable { name: self.name, tags, schema, work: Arc::new(work), rows: None }.scan(state, None, &[], limit).await
    }
}

/// What one scan reads.
struct LongScan {
    engine: QueryEngine,
    tags: Vec<Arc<Tag>>,
    asked: RequestedIntervals,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl LongScan {
    fn run(&self, limits: &QueryLimits, emit: BatchSink<'_>) -> std::result::Result<(), QueryError> {
        if self.tags.is_empty() {
            return Ok(());
        }
        let Some(grid) = ScanIntervals::new(&self.engine, &self.tags, &self.asked, limits)? else { return Ok(()) };
        let functions: Vec<AggregateFunction> =
            self.columns.iter().filter_map(|column| FUNCTIONS.get(column.checked_sub(BEFORE)?)).copied().collect();
        let ranges = grid.parts(PART_ANSWERS / (functions.len() + 1));
        let parts: Vec<IntervalPart> = (0..self.tags.len())
            .flat_map(|tag| ranges.iter().map(move |intervals| IntervalPart { tag, intervals: intervals.clone() }))
            .collect();
        let names: StringArray = self.tags.iter().map(|tag| Some(tag.name().as_str())).collect();
        let mut rows = LongRows {
            read: self,
            grid: &grid,
            names: Arc::new(names),
            tags: Vec::new(),
            at: Vec::new(),
            values: vec![Vec::new(); functions.len()],
        };
        let query = IntervalQuery { tags: self.tags.clone(), intervals: grid.intervals()?, functions };
        let mut reading = true;
        self.engine.intervals(&query, &parts, limits, &mut |answers| {
            rows.append(&answers);
            if rows.at.len() >= BATCH_ROWS_MAX {
                reading = rows.hand_on(emit)?;
            }
            Ok(reading)
        })?;
        if reading && !rows.at.is_empty() {
            rows.hand_on(emit)?;
        }
        Ok(())
    }
}

/// Rows on their way to a batch.
struct LongRows<'a> {
    read: &'a LongScan,
    grid: &'a ScanIntervals,
    names: ArrayRef,
    tags: Vec<i32>,
    /// Which intervals.
    at: Vec<usize>,
    /// Per function.
    values: Vec<Vec<Option<f64>>>,
}

impl LongRows<'_> {
    fn append(&mut self, answers: &IntervalAnswers) {
        let part = &answers.part;
        for (offset, known) in answers.known.iter().enumerate() {
            if *known {
                self.tags.push(part.tag as i32);
                self.at.push(part.intervals.start + offset);
                for (function, values) in self.values.iter_mut().enumerate() {
                    values.push(answers.of(function)[offset]);
                }
            }
        }
    }

    /// Answers false when no more is wanted.
    fn hand_on(&mut self, emit: BatchSink<'_>) -> std::result::Result<bool, QueryError> {
        let failed = |error: arrow::error::ArrowError| QueryError::Store(format!("a batch could not be formed: {error}"));
        let (tags, at) = (std::mem::take(&mut self.tags), std::mem::take(&mut self.at));
        let rows = at.len();
        let mut values = self.values.iter_mut().map(std::mem::take);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.read.columns.len());
        for column in &self.read.columns {
            columns.push(match column {
                0 => {
                    let keys = Int32Array::from(tags.clone());
                    Arc::new(DictionaryArray::<Int32Type>::try_new(keys, self.names.clone()).map_err(failed)?)
                }
                1..BEFORE => self.grid.times(column - 1, at.iter().copied()),
                other => {
                    let values = values.next().unwrap_or_default();
                    if FUNCTIONS[other - BEFORE] == AggregateFunction::Count {
                        // A count of nothing but Bad samples is Bad, and has no value: it is 0.
                        Arc::new(values.into_iter().map(|value| Some(value.unwrap_or(0.0) as i64)).collect::<Int64Array>())
                    } else {
                        Arc::new(Float64Array::from(values))
                    }
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.read.schema.clone(), columns, &options).map_err(failed)?;
        Ok(historian_query::slices(&batch).all(emit))
    }
}
