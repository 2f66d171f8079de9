//! The scan of samples as a node of a plan: parts side by side, each in the order of tags and time, which spares many a sort.

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int32Array, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
    },
    compute::{SortOptions, cast},
    datatypes::{DataType, FieldRef, Float64Type, Int32Type, Schema, SchemaRef},
};
use datafusion::{
    common::{Statistics, config::ConfigOptions, internal_err, stats::Precision, tree_node::TreeNodeRecursion},
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{
        EquivalenceProperties, PhysicalExpr, PhysicalSortExpr,
        expressions::Column,
        utils::{collect_columns, reassign_expr_columns},
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions, SortOrderPushdownResult,
        execution_plan::{Boundedness, EmissionType, apply_expression_roots},
        filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation},
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::TryStreamExt;

use super::{
    partition::{self, Partition},
    predicate::FilteredScan,
    samples,
};
use crate::scan::{self, BatchSink};
use historian_model::{Tag, TimeBounds, TimeRange, ValueType};
use historian_query::{INTEGER_DIGITS, QueryEngine, QueryError, QueryLimits, RangeQuery};

/// A guess, so that joins gather the few rows of other tables and pass the samples by.
pub const ROWS_GUESSED_PER_TAG: usize = 100_000;

/// What is read: tags, in the order of their names, in parts.
#[derive(Clone)]
pub struct SamplesScan {
    pub engine: QueryEngine,
    pub tags: Arc<[Arc<Tag>]>,
    /// Names of all tags: the same array in every batch of every part.
    pub names: ArrayRef,
    pub range: TimeRange,
    pub parts: Vec<Partition>,
    /// Latest first.
    reverse: bool,
}

impl SamplesScan {
    /// Blocks on the store for the ends of a single tag.
    pub fn new(engine: &QueryEngine, selected: FilteredScan, parts_max: usize) -> SamplesScan {
        let FilteredScan { tags, range } = selected;
        let parts = partition::parts(tags.len(), range, parts_max, || ends(engine, &tags[0], range));
        let names: StringArray = tags.iter().map(|tag| Some(tag.name().as_str())).collect();
        SamplesScan { engine: engine.clone(), tags: tags.into(), names: Arc::new(names), range, parts, reverse: false }
    }

    /// One part per tag, so that each is in the order of time.
    fn by_tag(&self, reverse: bool) -> SamplesScan {
        let parts = (0..self.tags.len()).map(|tag| Partition { tags: tag..tag + 1, range: self.range }).collect();
        SamplesScan { parts, reverse, ..self.clone() }
    }
}

/// First and last timestamp of a tag in the range.
fn ends(engine: &QueryEngine, tag: &Arc<Tag>, range: TimeRange) -> Option<TimeBounds> {
    let one = |reverse: bool| {
        let query = RangeQuery { limit: Some(1), ..RangeQuery::new(vec![tag.clone()], TimeRange { reverse, ..range }) };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let limits = QueryLimits::new(deadline, u64::MAX, tokio_util::sync::CancellationToken::new());
        let mut found = None;
        // An error is met again when the scan runs, and told there.
        let _ = engine.range(&query, &limits, &mut |batch| {
            found = batch.column(1).as_primitive::<arrow::datatypes::TimestampNanosecondType>().values().first().copied();
            false
        });
        found
    };
    Some(TimeBounds { first: one(false)?, last: one(true)? })
}

/// The node.
#[derive(Clone)]
pub struct SamplesExec {
    scan: SamplesScan,
    projection: Arc<[usize]>,
    schema: SchemaRef,
    fetch: Option<usize>,
    /// Over nothing but the tag, known when the scan begins: what the other side of a join has.
    late: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
}

impl SamplesExec {
    pub fn new(scan: SamplesScan, projection: Option<&Vec<usize>>, fetch: Option<usize>) -> Result<SamplesExec> {
        let whole = samples::schema();
        let projection: Arc<[usize]> = projection.map_or_else(|| (0..whole.fields().len()).collect(), |some| some.as_slice().into());
        let schema = Arc::new(whole.project(&projection)?);
        let properties = Arc::new(properties(&scan, &projection, &schema));
        Ok(SamplesExec { scan, projection, schema, fetch, late: Vec::new(), properties })
    }

    /// The scan and the columns it reads, when it reads all rows of its range and in the order of time.
    pub fn whole(&self) -> Option<(&SamplesScan, &[usize])> {
        (self.fetch.is_none() && self.late.is_empty() && !self.scan.reverse).then_some((&self.scan, &self.projection))
    }

    fn with_scan(&self, scan: SamplesScan) -> SamplesExec {
        let properties = Arc::new(properties(&scan, &self.projection, &self.schema));
        SamplesExec { scan, properties, ..self.clone() }
    }

    /// True when the asked order begins with the time, and the direction.
    fn asks_for_time(&self, order: &[PhysicalSortExpr]) -> Option<bool> {
        let [first, rest @ ..] = order else { return None };
        let column = first.expr.downcast_ref::<Column>()?;
        // A single tag has no two samples of one time, so what is asked after the time does not matter.
        (self.projection.get(column.index()) == Some(&1) && (rest.is_empty() || self.scan.tags.len() == 1))
            .then_some(first.options.descending)
    }
}

/// Orders that hold within each part.
fn properties(scan: &SamplesScan, projection: &[usize], schema: &SchemaRef) -> PlanProperties {
    let column = |index: usize, descending: bool| {
        let position = projection.iter().position(|&projected| projected == index)?;
        let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(schema.field(position).name(), position));
        Some(PhysicalSortExpr { expr, options: SortOptions { descending, nulls_first: descending } })
    };
    let (tag, time) = (column(0, false), column(1, scan.reverse));
    let mut orders: Vec<Vec<PhysicalSortExpr>> = Vec::new();
    if scan.parts.iter().all(|part| part.tags.len() <= 1) {
        orders.extend(time.clone().map(|time| vec![time]));
    }
    orders.extend(tag.map(|tag| std::iter::once(tag).chain(time).collect()));
    PlanProperties::new(
        EquivalenceProperties::new_with_orderings(schema.clone(), orders),
        Partitioning::UnknownPartitioning(scan.parts.len()),
        EmissionType::Incremental,
        Boundedness::Bounded,
    )
}

impl fmt::Debug for SamplesExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, formatter)
    }
}

impl DisplayAs for SamplesExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SamplesScan { tags, range, parts, reverse, .. } = &self.scan;
        write!(formatter, "SamplesExec: tags={}, start={}, end={}, parts={}", tags.len(), range.start, range.end, parts.len())?;
        if *reverse {
            formatter.write_str(", latest first")?;
        }
        if !self.late.is_empty() {
            formatter.write_str(", tags by a join")?;
        }
        self.fetch.map_or(Ok(()), |fetch| write!(formatter, ", fetch={fetch}"))
    }
}

impl ExecutionPlan for SamplesExec {
    fn name(&self) -> &'static str {
        "SamplesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(&self, visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        apply_expression_roots(&self.late, visit)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a scan of samples has no children") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a scan of samples has no children") }
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let parts = if args.partition().is_some() { self.scan.parts.len().max(1) } else { 1 };
        let rows = self.scan.tags.len().saturating_mul(ROWS_GUESSED_PER_TAG) / parts;
        let rows = self.fetch.map_or(rows, |fetch| rows.min(fetch));
        Ok(Arc::new(Statistics { num_rows: Precision::Inexact(rows), ..Statistics::new_unknown(&self.schema) }))
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(SamplesExec { fetch, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    /// The time order of one tag, either way, is read from the store as such.
    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        match self.asks_for_time(order) {
            Some(descending) if self.scan.tags.len() == 1 => {
                Ok(SortOrderPushdownResult::Exact { inner: Arc::new(self.with_scan(self.scan.by_tag(descending))) })
            }
            _ => Ok(SortOrderPushdownResult::Unsupported),
        }
    }

    /// Keeps what a join will know of the tags when its first side has been read. The join checks rows all the same.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let only_tag = |filter: &Arc<dyn PhysicalExpr>| {
            let columns = collect_columns(filter);
            !columns.is_empty() && columns.iter().all(|column| self.projection.get(column.index()) == Some(&0))
        };
        let filters = result.parent_filters.iter().map(|filter| filter.filter.clone());
        let late: Vec<_> = filters.filter(|filter| phase == FilterPushdownPhase::Post && only_tag(filter)).collect();
        let propagation = FilterPushdownPropagation::all_unsupported(result);
        if late.is_empty() {
            return Ok(propagation);
        }
        let late = self.late.iter().cloned().chain(late).collect();
        Ok(propagation.with_updated_node(Arc::new(SamplesExec { late, ..self.clone() })))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(part) = self.scan.parts.get(partition).cloned() else { return internal_err!("a scan has no part {partition}") };
        let node = self.clone();
        // Begun when the first batch is asked for: by then a join knows what its other side has.
        let begin = async move {
            let schema = node.schema.clone();
            scan::stream(&context, schema, move |limits, emit| node.read(&part, limits, emit))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::once(begin).try_flatten())))
    }
}

impl SamplesExec {
    /// Reads one part: runs of tags whose values are numbers, and runs of strings, in the order of the tags.
    fn read(&self, part: &Partition, limits: &QueryLimits, emit: BatchSink<'_>) -> std::result::Result<(), QueryError> {
        let unformed = |error: &dyn fmt::Display| QueryError::Store(format!("a batch could not be formed: {error}"));
        let scan = &self.scan;
        let tag = Arc::new(samples::schema().field(samples::TAG).clone());
        let kept = tags_left(&scan.names, part.tags.clone(), &self.late, &[tag]).map_err(|error| unformed(&error))?;
        let mut left = self.fetch.map_or(u64::MAX, |fetch| fetch as u64);
        let is_string = |index: &usize| scan.tags[*index].value_type() == ValueType::String;
        for run in kept.chunk_by(|one, next| is_string(one) == is_string(next)) {
            let tags = run.iter().map(|&index| scan.tags[index].clone()).collect();
            let range = TimeRange { reverse: scan.reverse, ..part.range };
            let query = RangeQuery { limit: self.fetch.map(|_| left), ..RangeQuery::new(tags, range) };
            let mut failed = None;
            let mut reading = true;
            scan.engine.range(&query, limits, &mut |batch| {
                let rows = usize::try_from(left).map_or(batch.num_rows(), |left| left.min(batch.num_rows()));
                left -= rows as u64;
                match self.shaped(&batch.slice(0, rows), run) {
                    Ok(batch) => reading = emit(batch),
                    Err(error) => failed = Some(unformed(&error)),
                }
                reading && failed.is_none() && left > 0
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            if !reading || left == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A batch of the engine as rows of the table. `run` has the indexes of its tags among those of the scan.
    fn shaped(&self, batch: &RecordBatch, run: &[usize]) -> Result<RecordBatch> {
        let keys = batch.column(0).as_dictionary::<Int32Type>().keys().unary::<_, Int32Type>(|key| run[key as usize] as i32);
        let values = batch.column(2);
        let is_text = values.data_type() == &DataType::Utf8;
        let column = |index: &usize| -> Result<ArrayRef> {
            Ok(match index {
                0 => Arc::new(DictionaryArray::try_new(keys.clone(), self.scan.names.clone())?),
                2 if is_text => new_null_array(&DataType::Float64, values.len()),
                2 => {
                    let numbers = cast(values, &DataType::Float64)?;
                    scan::plain_floats::<Float64Type>(&numbers).unwrap_or(numbers)
                }
                4 if is_text => values.clone(),
                4 => state_names(&keys, &cast(values, &DataType::Float64)?, &self.scan.tags),
                5 => integers(batch)?,
                other => batch.column(*other).clone(),
            })
        };
        let columns = self.projection.iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// The values of tags of i64 and u64, exactly: the values themselves of a run of one such type, else what the engine puts beside them.
fn integers(batch: &RecordBatch) -> Result<ArrayRef> {
    let whole = DataType::Decimal128(INTEGER_DIGITS, 0);
    let values = batch.column(2);
    match (values.data_type(), batch.column_by_name("integer")) {
        (DataType::Int64 | DataType::UInt64, _) => Ok(cast(values, &whole)?),
        (_, Some(integers)) => Ok(integers.clone()),
        (_, None) => Ok(new_null_array(&whole, batch.num_rows())),
    }
}

/// Indexes of those of some tags that filters over nothing but the tag leave over. The tag goes by the names of these fields.
pub fn tags_left(
    names: &ArrayRef,
    tags: std::ops::Range<usize>,
    filters: &[Arc<dyn PhysicalExpr>],
    fields: &[FieldRef],
) -> Result<Vec<usize>> {
    let mut left: Vec<usize> = tags.clone().collect();
    if filters.is_empty() || left.is_empty() {
        return Ok(left);
    }
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let keys: Int32Array = left.iter().map(|&index| Some(index as i32)).collect();
    let column: ArrayRef = Arc::new(DictionaryArray::try_new(keys, names.clone())?);
    let batch = RecordBatch::try_new(schema.clone(), fields.iter().map(|_| column.clone()).collect())?;
    for filter in filters {
        let answer = reassign_expr_columns(filter.clone(), &schema)?.evaluate(&batch)?.into_array(tags.len())?;
        let answer = answer.as_boolean();
        left.retain(|&index| answer.is_valid(index - tags.start) && answer.value(index - tags.start));
    }
    Ok(left)
}

/// Names of states where the tags have a state set, else nulls.
fn state_names(keys: &Int32Array, values: &ArrayRef, tags: &[Arc<Tag>]) -> ArrayRef {
    if keys.is_empty() || keys.values().iter().all(|key| tags[*key as usize].definition.state_set.is_empty()) {
        return new_null_array(&DataType::Utf8, keys.len());
    }
    let values: &Float64Array = values.as_primitive::<Float64Type>();
    let name = |(key, value): (&i32, Option<f64>)| {
        let states = &tags[*key as usize].definition.state_set;
        // A state is a small whole number; the cast back from f64 is exact.
        value.and_then(|value| states.get(value as usize)).map(String::as_str)
    };
    Arc::new(keys.values().iter().zip(values.iter()).map(name).collect::<StringArray>())
}
