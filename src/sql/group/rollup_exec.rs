//! Grouping of samples by states as a node of a plan: it stands where `DataFusion`'s partial aggregates over a scan of samples would, and hands
//! the same kind of rows to the final ones above it.

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampNanosecondArray, UInt64Array},
    buffer::BooleanBuffer,
    datatypes::{FieldRef, Schema, SchemaRef},
};
use datafusion::{
    common::{Statistics, config::ConfigOptions, internal_err, stats::Precision, tree_node::TreeNodeRecursion},
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{PhysicalExpr, utils::collect_columns},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        execution_plan::apply_expression_roots,
        filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation},
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::TryStreamExt;
use historian_format::rollup::{Parts, RollupLevel, RollupState};

use super::{
    filter::RowFilter,
    fold::{Fold, WantedParts},
    grid::Grids,
    read::{self, GroupSource, StateSink, Stop},
};
use crate::{
    scan::{self, BatchSink},
    table::{
        partition::Partition,
        samples,
        samples_exec::{ROWS_GUESSED_PER_TAG, SamplesScan, tags_left},
    },
};
use historian_model::{Samples, Tag, ValueType};
use historian_query::{QueryError, QueryLimits};

/// Rows of one batch.
const BATCH_ROWS: usize = 8_192;

/// A partial aggregate, by what it hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// `count(*)`
    Rows,
    /// `count(value)`
    Values,
    /// `min(value)`
    Minimum,
    /// `max(value)`
    Maximum,
    /// `sum(value)`
    Sum,
    /// `avg(value)`: two columns.
    Average,
    /// `min(timestamp)`
    First,
    /// `max(timestamp)`
    Last,
}

/// What a statement groups, and how.
#[derive(Clone)]
pub struct Grouping {
    pub scan: SamplesScan,
    pub parts: Vec<Partition>,
    pub filter: RowFilter,
    /// Over tag and timestamp, as columns of `samples`.
    pub by: Vec<Arc<dyn PhysicalExpr>>,
    pub grids: Grids,
    pub partials: Vec<Partial>,
    pub wanted: WantedParts,
}

/// The node.
#[derive(Clone)]
pub struct RollupExec {
    grouping: Grouping,
    schema: SchemaRef,
    /// Over nothing but the tag, known when the node begins: what the other side of a join has.
    late: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
}

impl RollupExec {
    pub fn new(grouping: Grouping, schema: SchemaRef, properties: PlanProperties) -> RollupExec {
        RollupExec { grouping, schema, late: Vec::new(), properties: Arc::new(properties) }
    }

    /// Columns of the answer that are the tag.
    fn tag_fields(&self) -> Vec<FieldRef> {
        let is_tag = |by: &Arc<dyn PhysicalExpr>| {
            by.downcast_ref::<datafusion::physical_expr::expressions::Column>().is_some_and(|column| column.index() == samples::TAG)
        };
        let fields = self.grouping.by.iter().zip(self.schema.fields());
        fields.filter(|(by, _)| is_tag(by)).map(|(_, field)| field.clone()).collect()
    }
}

impl fmt::Debug for RollupExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, formatter)
    }
}

impl DisplayAs for RollupExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grouping { scan, parts, filter, by, grids, partials, .. } = &self.grouping;
        let states = match grids.level() {
            None => "none",
            Some(RollupLevel::Minute) => "minutes",
            Some(RollupLevel::Hour) => "hours",
            Some(RollupLevel::Day) => "days",
        };
        let (tags, range) = (scan.tags.len(), scan.range);
        write!(formatter, "RollupExec: tags={tags}, start={}, end={}, parts={}, states={states}", range.start, range.end, parts.len())?;
        let listed = |items: Vec<String>| items.join(", ");
        write!(formatter, ", by=[{}]", listed(by.iter().map(ToString::to_string).collect()))?;
        write!(formatter, ", partials=[{}]", listed(partials.iter().map(|partial| format!("{partial:?}").to_lowercase()).collect()))?;
        let conditions = filter.described();
        if !conditions.is_empty() {
            write!(formatter, ", filter=[{}]", listed(conditions))?;
        }
        if !self.late.is_empty() {
            formatter.write_str(", tags by a join")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for RollupExec {
    fn name(&self) -> &'static str {
        "RollupExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(&self, visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.grouping.by.iter().chain(self.grouping.filter.expressions()).chain(&self.late), visit)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("grouping by states has no children") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("grouping by states has no children") }
    }

    /// As many as of the scan in its place, so that joins are planned as they were.
    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let parts = if args.partition().is_some() { self.grouping.parts.len().max(1) } else { 1 };
        let rows = self.grouping.scan.tags.len().saturating_mul(ROWS_GUESSED_PER_TAG) / parts;
        Ok(Arc::new(Statistics { num_rows: Precision::Inexact(rows), ..Statistics::new_unknown(&self.schema) }))
    }

    /// Keeps what a join will know of the tags when its first side has been read. The join checks rows all the same.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let fields = self.tag_fields();
        let only_tag = |filter: &Arc<dyn PhysicalExpr>| {
            let columns = collect_columns(filter);
            !columns.is_empty() && columns.iter().all(|column| fields.iter().any(|field| field.name() == column.name()))
        };
        let filters = result.parent_filters.iter().map(|filter| filter.filter.clone());
        let late: Vec<_> = filters.filter(|filter| phase == FilterPushdownPhase::Post && only_tag(filter)).collect();
        let propagation = FilterPushdownPropagation::all_unsupported(result);
        if late.is_empty() {
            return Ok(propagation);
        }
        let late = self.late.iter().cloned().chain(late).collect();
        Ok(propagation.with_updated_node(Arc::new(RollupExec { late, ..self.clone() })))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(part) = self.grouping.parts.get(partition).cloned() else { return internal_err!("grouping has no part {partition}") };
        let node = self.clone();
        // Begun when the first batch is asked for: by then a join knows what its other side has.
        let begin = async move {
            let schema = node.schema.clone();
            scan::stream(&context, schema, move |limits, emit| node.run(&part, limits, emit))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::once(begin).try_flatten())))
    }
}

impl RollupExec {
    /// Groups one part, tag after tag.
    fn run(&self, part: &Partition, limits: &QueryLimits, emit: BatchSink<'_>) -> std::result::Result<(), QueryError> {
        let Grouping { scan, grids, wanted, .. } = &self.grouping;
        let tags = tags_left(&scan.names, part.tags.clone(), &self.late, &self.tag_fields()).map_err(|error| unformed(&error))?;
        let parts = Parts { extremes: wanted.extremes, sum: wanted.sum, ..Parts::NONE };
        let reader = read::reader(&scan.engine, &scan.tags[part.tags.clone()], limits)?;
        let mut groups = Groups { node: self, tag: 0, value_type: ValueType::F64, open: None, done: Vec::new(), emit };
        let read = || {
            for index in tags {
                limits.check(0)?;
                let tag: &Tag = &scan.tags[index];
                groups.begin(index, tag);
                let source = GroupSource { reader: &reader, tag, limits, grids, parts };
                source.read(part.range, &mut groups)?;
                groups.close()?;
            }
            groups.hand_on()
        };
        match read() {
            Ok(()) | Err(Stop::Enough) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Groups as rows of partial results.
    fn batch(&self, groups: &[PartialRow]) -> Result<RecordBatch> {
        let Grouping { scan, by, partials, .. } = &self.grouping;
        let keys: Int32Array = groups.iter().map(|group| Some(group.tag as i32)).collect();
        let times = |of: &dyn Fn(&PartialRow) -> i64| -> ArrayRef {
            Arc::new(groups.iter().map(|group| Some(of(group))).collect::<TimestampNanosecondArray>().with_timezone("UTC"))
        };
        let numbers = |of: &dyn Fn(&Fold) -> f64| -> ArrayRef {
            Arc::new(groups.iter().map(|PartialRow { fold, .. }| (fold.values > 0).then(|| of(fold))).collect::<Float64Array>())
        };
        let counts = |of: &dyn Fn(&Fold) -> u64| -> ArrayRef {
            Arc::new(groups.iter().map(|group| Some(of(&group.fold).cast_signed())).collect::<Int64Array>())
        };
        let tags = Arc::new(DictionaryArray::try_new(keys, scan.names.clone())?);
        let all = samples::schema();
        let known = Arc::new(Schema::new(vec![all.field(samples::TAG).clone(), all.field(samples::TIMESTAMP).clone()]));
        let known = RecordBatch::try_new(known, vec![tags, times(&|group| group.at)])?;
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for expression in by {
            columns.push(expression.evaluate(&known)?.into_array(groups.len())?);
        }
        for partial in partials {
            let column = match partial {
                Partial::Rows => counts(&|fold| fold.rows),
                Partial::Values => counts(&|fold| fold.values),
                Partial::Minimum => numbers(&Fold::minimum),
                Partial::Maximum => numbers(&Fold::maximum),
                Partial::Sum => numbers(&Fold::sum),
                Partial::Average => {
                    let values = groups.iter().map(|PartialRow { fold, .. }| (fold.values > 0).then_some(fold.values));
                    columns.push(Arc::new(values.collect::<UInt64Array>()));
                    numbers(&Fold::sum)
                }
                Partial::First => times(&|group| group.fold.first),
                Partial::Last => times(&|group| group.fold.last),
            };
            columns.push(column);
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

fn unformed(error: &dyn fmt::Display) -> QueryError {
    QueryError::Store(format!("a batch could not be formed: {error}"))
}

/// One row of partial results.
struct PartialRow {
    tag: usize,
    /// A time in it.
    at: i64,
    fold: Fold,
}

/// Makes groups of what is read of tag after tag.
struct Groups<'a, 'e> {
    node: &'a RollupExec,
    tag: usize,
    value_type: ValueType,
    /// The group that may go on, and up to when.
    open: Option<(i64, PartialRow)>,
    done: Vec<PartialRow>,
    emit: BatchSink<'e>,
}

impl Groups<'_, '_> {
    fn begin(&mut self, index: usize, tag: &Tag) {
        (self.tag, self.value_type) = (index, tag.value_type());
    }

    /// The group that a time belongs to.
    fn group(&mut self, at: i64) -> Result<&mut (i64, PartialRow), Stop> {
        if self.open.as_ref().is_some_and(|(until, _)| *until <= at) {
            self.close()?;
        }
        let grouping = &self.node.grouping;
        let tag = self.tag;
        Ok(self.open.get_or_insert_with(|| (grouping.grids.edge_after(at), PartialRow { tag, at, fold: Fold::new() })))
    }

    /// Ends the open group. One in which no sample counts is none.
    fn close(&mut self) -> Result<(), Stop> {
        self.done.extend(self.open.take().map(|(_, group)| group).filter(|group| group.fold.rows > 0));
        if self.done.len() >= BATCH_ROWS { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> Result<(), Stop> {
        if self.done.is_empty() {
            return Ok(());
        }
        let batch = self.node.batch(&self.done).map_err(|error| unformed(&error))?;
        self.done.clear();
        if (self.emit)(batch) { Ok(()) } else { Err(Stop::Enough) }
    }
}

impl StateSink for Groups<'_, '_> {
    fn tells(&self, state: &RollupState) -> bool {
        self.node.grouping.filter.told(state, self.value_type, self.node.grouping.wanted).is_some()
    }

    fn state(&mut self, state: &RollupState) -> Result<(), Stop> {
        let (value_type, grouping) = (self.value_type, &self.node.grouping);
        if let Some(told) = grouping.filter.told(state, value_type, grouping.wanted) {
            self.group(state.first.timestamp)?.1.fold.add_state(state, told, value_type);
        }
        Ok(())
    }

    fn samples(&mut self, samples: &Samples) -> Result<(), Stop> {
        let grouping = &self.node.grouping;
        let counting: Option<BooleanBuffer> = grouping.filter.counting(samples).map_err(|error| unformed(&error))?;
        let times = &samples.timestamps;
        let mut at = 0;
        while at < times.len() {
            let (until, group) = self.group(times[at])?;
            let end = at + first_from(&times[at..], *until);
            group.fold.add_samples(samples, at..end, counting.as_ref(), grouping.wanted);
            at = end;
        }
        Ok(())
    }
}

/// Index of the first time that is not before `until`; the first one of all is. Near ones are found sooner.
fn first_from(times: &[i64], until: i64) -> usize {
    let mut reach = 1;
    while reach < times.len() && times[reach] < until {
        reach *= 2;
    }
    let (from, to) = (reach / 2, times.len().min(reach + 1));
    from + times[from..to].partition_point(|time| *time < until)
}

#[cfg(test)]
mod tests {
    use super::first_from;

    #[test]
    fn the_first_time_from_another_on_is_found_wherever_it_lies() {
        for length in 1..40 {
            let times: Vec<i64> = (0..length).collect();
            for until in 1..length + 3 {
                assert_eq!(first_from(&times, until) as i64, until.min(length), "{length} {until}");
            }
        }
    }
}
