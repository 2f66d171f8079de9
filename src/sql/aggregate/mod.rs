//! Aggregate functions of SQL: those of `DataFusion`, each with an end that comes with the statement's ([`ended`]), and some of them over other
//! columns than the statement's ([`mapped`]): `min` and `max` of floats in one order, `sum` of integers without wrapping around.

mod ended;
mod mapped;

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::{
    common::ScalarValue,
    error::Result,
    execution::{FunctionRegistry, SessionState},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Operator, ReversedUDAF, SetMonotonicity,
        Signature, StatisticsArgs,
        expr::{AggregateFunction, AggregateFunctionParams, WindowFunctionParams},
        function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs},
        utils::AggregateOrderSensitivity,
    },
    physical_expr::expressions::Literal,
};

use self::mapped::Mapping;
use super::{error::invalid, scan::StatementLimits};

pub use ended::{go_on, made, plan_for, work_for, worked_off};

/// Most centroids of one digest. It is a good one with 100.
const CENTROIDS_MAX: u64 = 10_000;

fn is_at_most(number: &ScalarValue, max: u64) -> bool {
    matches!(number.cast_to(&DataType::UInt64), Ok(ScalarValue::UInt64(Some(number))) if number <= max)
}

/// Puts our functions in the place of those of a session.
pub fn register(state: &mut SessionState) {
    let all: Vec<_> = state.aggregate_functions().values().cloned().collect();
    for function in all {
        let aliases = function.aliases().to_vec();
        // A function is listed under its aliases as well.
        if !aliases.iter().any(|alias| alias == function.name()) {
            let ours = OurAggregate { inner: function.inner().clone(), aliases };
            // Registering fails for registries that cannot; a session's can.
            let _ = state.register_udaf(Arc::new(AggregateUDF::from(ours)));
        }
    }
}

/// A function of `DataFusion` and what we add to it.
#[derive(Debug)]
struct OurAggregate {
    inner: Arc<dyn AggregateUDFImpl>,
    aliases: Vec<String>,
}

impl PartialEq for OurAggregate {
    fn eq(&self, other: &OurAggregate) -> bool {
        self.inner.as_ref().dyn_eq(other.inner.as_ref() as &dyn std::any::Any)
    }
}

impl Eq for OurAggregate {}

impl Hash for OurAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.name().hash(state);
    }
}

impl OurAggregate {
    fn mapping(&self, result: &DataType) -> Option<Mapping> {
        Mapping::of(self.inner.name(), result)
    }

    /// The size of a digest is an argument, and memory for all of it is taken at once.
    fn check_digest(&self, args: &AccumulatorArgs<'_>) -> Result<()> {
        if !self.inner.name().starts_with("approx_percentile_cont") {
            return Ok(());
        }
        let sizes = args.exprs.iter().skip(2).filter_map(|argument| argument.downcast_ref::<Literal>());
        let is_large =
            |size: &Literal| size.value().data_type().is_integer() && !size.value().is_null() && !is_at_most(size.value(), CENTROIDS_MAX);
        if sizes.into_iter().any(is_large) {
            return Err(invalid(format!("{} takes at most {CENTROIDS_MAX} centroids", self.inner.name())));
        }
        Ok(())
    }

    /// Does something with the arguments as the inner function takes them.
    fn with<T>(&self, args: AccumulatorArgs<'_>, work: impl FnOnce(AccumulatorArgs<'_>) -> Result<T>) -> Result<(T, Option<Mapping>)> {
        let mapping = self.mapping(args.return_field.data_type());
        let Some(mapping) = mapping.as_ref().filter(|mapping| !mapping.is_plain()).cloned() else { return Ok((work(args)?, mapping)) };
        let other = |field: &FieldRef| -> FieldRef { Arc::new(Field::clone(field).with_data_type(mapping.column.clone())) };
        let fields: Vec<FieldRef> = args.expr_fields.iter().map(other).collect();
        let args = AccumulatorArgs { return_field: other(&args.return_field), expr_fields: &fields, ..args };
        Ok((work(args)?, Some(mapping)))
    }
}

impl AggregateUDFImpl for OurAggregate {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(fields)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.check_digest(&args)?;
        let (inner, mapping) = self.with(args, |args| self.inner.accumulator(args))?;
        Ok(ended::accumulator(mapped::accumulator(inner, mapping)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.check_digest(&args)?;
        let (inner, mapping) = self.with(args, |args| self.inner.create_sliding_accumulator(args))?;
        Ok(ended::accumulator(mapped::accumulator(inner, mapping)))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.with(args, |args| Ok(self.inner.groups_accumulator_supported(args))).is_ok_and(|(supported, _)| supported)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        self.check_digest(&args)?;
        let (inner, mapping) = self.with(args, |args| self.inner.create_groups_accumulator(args))?;
        Ok(mapped::groups(inner, mapping))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        match self.mapping(args.return_field.data_type()).filter(|mapping| !mapping.states && !mapping.is_plain()) {
            Some(mapping) => {
                let return_field = Arc::new(Field::clone(&args.return_field).with_data_type(mapping.column));
                self.inner.state_fields(StateFieldsArgs { return_field, ..args })
            }
            None => self.inner.state_fields(args),
        }
    }

    fn with_beneficial_ordering(self: Arc<Self>, beneficial: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = self.inner.clone().with_beneficial_ordering(beneficial)?;
        Ok(inner.map(|inner| Arc::new(OurAggregate { inner, aliases: self.aliases.clone() }) as Arc<dyn AggregateUDFImpl>))
    }

    /// The other direction is one of ours as well.
    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_expr() {
            ReversedUDAF::Reversed(function) => {
                let ours = OurAggregate { inner: function.inner().clone(), aliases: function.aliases().to_vec() };
                ReversedUDAF::Reversed(Arc::new(AggregateUDF::from(ours)))
            }
            other => other,
        }
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.schema_name(params)
    }

    fn human_display(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.human_display(params)
    }

    fn window_function_schema_name(&self, params: &WindowFunctionParams) -> Result<String> {
        self.inner.window_function_schema_name(params)
    }

    fn display_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.display_name(params)
    }

    fn window_function_display_name(&self, params: &WindowFunctionParams) -> Result<String> {
        self.inner.window_function_display_name(params)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.inner.simplify()
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        argument: &Expr,
        operator: Operator,
        literal: &Expr,
        is_left: bool,
    ) -> Result<Option<Expr>> {
        self.inner.simplify_expr_op_literal(function, argument, operator, literal, is_left)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.value_from_stats(args)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.inner.supports_within_group_clause()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.set_monotonicity(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
