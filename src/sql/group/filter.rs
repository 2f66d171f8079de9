//! Which samples a statement groups: what its `WHERE` says of quality and of absent values, asked of samples, and of states as far as these can
//! tell.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, RecordBatch, UInt32Array},
    buffer::BooleanBuffer,
    compute::prep_null_mask_filter,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    error::Result,
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr, conjunction,
        expressions::{Column, IsNotNullExpr, NotExpr},
        utils::collect_columns,
    },
    physical_plan::ColumnarValue,
};
use historian_format::rollup::RollupState;

use super::fold::{StateCounts, WantedParts};
use crate::table::samples;
use historian_model::{Samples, ValueType};
use historian_query::QualityFilter;

/// Samples that count.
#[derive(Clone, Debug, Default)]
pub struct RowFilter {
    quality: Option<QualityTest>,
    /// Those without a value do not.
    present: bool,
}

/// A condition over nothing but the quality.
#[derive(Clone, Debug)]
struct QualityTest {
    /// Over one column.
    condition: Arc<dyn PhysicalExpr>,
    /// The same, where it is a matter of severity.
    severity: Option<QualityFilter>,
    /// Its answer for quality 0, which is that of most samples.
    zero: bool,
}

impl RowFilter {
    /// Of conditions over the columns of `samples`; `None` when one is of another kind.
    pub fn of(conditions: &[&Arc<dyn PhysicalExpr>]) -> Option<RowFilter> {
        let (mut present, mut of_quality) = (false, Vec::new());
        for condition in conditions {
            let columns = collect_columns(condition);
            if condition.downcast_ref::<IsNotNullExpr>().is_some_and(|is| is_column(is.arg(), samples::VALUE)) {
                present = true;
            } else if columns.len() == 1 && columns.iter().all(|column| column.index() == samples::QUALITY) && !is_volatile(condition) {
                of_quality.push((*condition).clone());
            } else {
                return None;
            }
        }
        if of_quality.is_empty() {
            return Some(RowFilter { quality: None, present });
        }
        let severity = if let [only] = of_quality.as_slice() { severity(only) } else { None };
        let alone = |node: Arc<dyn PhysicalExpr>| {
            Ok(if node.is::<Column>() {
                Transformed::yes(Arc::new(Column::new("quality", 0)) as Arc<dyn PhysicalExpr>)
            } else {
                Transformed::no(node)
            })
        };
        let condition = conjunction(of_quality).transform_up(alone).data().ok()?;
        let zero = answers(&condition, &[0]).ok()?.value(0);
        Some(RowFilter { quality: Some(QualityTest { condition, severity, zero }), present })
    }

    /// The conditions, for whoever reads the plan.
    pub fn described(&self) -> Vec<String> {
        let present = self.present.then(|| "value IS NOT NULL".to_owned());
        self.expressions().map(ToString::to_string).chain(present).collect()
    }

    /// Conditions that are evaluated.
    pub fn expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.quality.iter().map(|test| &test.condition)
    }

    /// Rows of a tag of this type that count; `None` when all do.
    ///
    /// # Errors
    /// When a condition cannot be evaluated.
    pub fn counting(&self, samples: &Samples) -> Result<Option<BooleanBuffer>> {
        let mut counting: Option<BooleanBuffer> = None;
        if self.present {
            if samples.value_type() == ValueType::String {
                return Ok(Some(BooleanBuffer::new_unset(samples.len())));
            }
            if samples.validity.is_some() {
                counting = Some(BooleanBuffer::collect_bool(samples.len(), |index| samples.is_valid(index)));
            }
        }
        if let Some(test) = &self.quality {
            let any = samples.qualities.iter().fold(0, |any, quality| any | quality);
            if any != 0 || !test.zero {
                let passing = match test.severity {
                    Some(filter) => BooleanBuffer::collect_bool(samples.len(), |index| filter.passes(samples.qualities[index])),
                    None => answers(&test.condition, &samples.qualities)?,
                };
                counting = Some(counting.map_or_else(|| passing.clone(), |before| &before & &passing));
            }
        }
        Ok(counting)
    }

    /// What a state tells; `None` when only its samples do.
    pub fn told(&self, state: &RollupState, value_type: ValueType, wanted: WantedParts) -> Option<StateCounts> {
        let is_text = value_type == ValueType::String;
        let present = if is_text { 0 } else { state.count - state.null_count };
        // Minimum, maximum and sum of a state are of samples that are Good and no NaN; those of SQL are of all that have a value.
        let all_counted = is_text || state.good_count == present;
        let all_pass = match &self.quality {
            None => Some(true),
            // The worst quality is numerically the largest: if it is 0 then so are all.
            Some(test) if state.worst_quality == 0 => Some(test.zero),
            Some(QualityTest { severity: Some(filter), .. }) => filter.passes(state.worst_quality).then_some(true),
            Some(_) => None,
        };
        match all_pass {
            Some(false) => Some(StateCounts { rows: 0, values: 0 }),
            Some(true) => {
                let times_told = !wanted.times || !self.present || state.null_count == 0;
                let told = StateCounts { rows: if self.present { present } else { state.count }, values: present };
                (times_told && (all_counted || !wanted.numbers())).then_some(told)
            }
            None => {
                let severity = self.quality.as_ref().and_then(|test| test.severity)?;
                let has_nan = matches!(value_type, ValueType::F64 | ValueType::F32);
                // All that have a value are Good. Or Good ones are asked for, and the state counts all of them.
                let values_told = all_counted || (severity == QualityFilter::Good && !has_nan);
                // How many of those without a value count is not told.
                let rows_told = self.present || (!wanted.rows && state.good_count > 0 && !is_text);
                let values = if is_text { 0 } else { state.good_count };
                (values_told && rows_told && !wanted.times).then_some(StateCounts { rows: values, values })
            }
        }
    }
}

/// The filter of the query engine that a condition is, if it is one.
fn severity(condition: &Arc<dyn PhysicalExpr>) -> Option<QualityFilter> {
    let is_called = |expression: &Arc<dyn PhysicalExpr>, name: &str| {
        expression.downcast_ref::<ScalarFunctionExpr>().is_some_and(|function| function.fun().name() == name)
    };
    let arguments_are_columns = |expression: &Arc<dyn PhysicalExpr>| expression.children().iter().all(|child| child.is::<Column>());
    if is_called(condition, "is_good") && arguments_are_columns(condition) {
        return Some(QualityFilter::Good);
    }
    let not = condition.downcast_ref::<NotExpr>()?;
    (is_called(not.arg(), "is_bad") && arguments_are_columns(not.arg())).then_some(QualityFilter::NotBad)
}

/// For which qualities a condition holds. One that answers null does not.
fn answers(condition: &Arc<dyn PhysicalExpr>, qualities: &[u32]) -> Result<BooleanBuffer> {
    let column = UInt32Array::from(qualities.to_vec());
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(column)])?;
    let answers = ColumnarValue::into_array(condition.evaluate(&batch)?, qualities.len())?;
    let answers = answers.as_boolean();
    Ok(if answers.nulls().is_some() { prep_null_mask_filter(answers).values().clone() } else { answers.values().clone() })
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("quality", DataType::UInt32, false)]))
}

fn is_column(expression: &Arc<dyn PhysicalExpr>, index: usize) -> bool {
    expression.downcast_ref::<Column>().is_some_and(|column| column.index() == index)
}

fn is_volatile(expression: &Arc<dyn PhysicalExpr>) -> bool {
    expression.exists(|node| Ok(node.is_volatile_node())).unwrap_or(true)
}
