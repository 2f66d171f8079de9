//! Accumulators over other columns than those of the statement: arguments are mapped on their way in, results on their way out.
//!
//! Floats become integers of the same order, the one of `ORDER BY` and of comparisons: NaN is one value above all others, whatever its bits,
//! and both zeros are one. Integers become decimals, in which no sum of them wraps around. Of other aggregates a NaN is made the one.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray},
    compute::{CastOptions, cast, cast_with_options},
    datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type},
};
use datafusion::{
    common::{ScalarValue, exec_datafusion_err, internal_err},
    error::Result,
    logical_expr::{Accumulator, EmitTo, GroupsAccumulator},
};

use super::super::scan::plain_floats;

/// No sum of 2^63 integers of 64 bits is longer.
const SUM: DataType = DataType::Decimal128(38, 0);

/// How columns are mapped.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Type of the arguments and results as the inner accumulator has them.
    pub column: DataType,
    /// Type of the statement's.
    outer: DataType,
    /// States are mapped as well, because others make and take them.
    pub states: bool,
}

impl Mapping {
    /// Of a function with such a result; `None` where nothing is to be mapped.
    pub fn of(function: &str, result: &DataType) -> Option<Mapping> {
        let (column, states) = match (function, result) {
            ("min" | "max", DataType::Float64) => (DataType::Int64, true),
            ("min" | "max", DataType::Float32) => (DataType::Int32, true),
            (_, DataType::Float64) => (DataType::Float64, false),
            ("sum", DataType::Int64 | DataType::UInt64 | DataType::Duration(_)) => (SUM, false),
            _ => return None,
        };
        Some(Mapping { column, outer: result.clone(), states })
    }

    /// Nothing but a NaN among the results is another one.
    pub fn is_plain(&self) -> bool {
        self.column == self.outer
    }

    fn inward(&self, column: &ArrayRef) -> Result<ArrayRef> {
        if self.is_plain() {
            return Ok(column.clone());
        }
        // Null, where the planner knows that there is no value.
        if column.data_type() == &DataType::Null {
            return Ok(cast(column, &self.column)?);
        }
        Ok(match (&self.outer, column.data_type()) {
            (DataType::Float64, DataType::Float64) => mapped::<Float64Type, Int64Type>(column, float64::key),
            (DataType::Float32, DataType::Float32) => mapped::<Float32Type, Int32Type>(column, float32::key),
            (DataType::Duration(_), _) => cast(&cast(column, &DataType::Int64)?, &self.column)?,
            (DataType::Int64 | DataType::UInt64, _) => cast(column, &self.column)?,
            (_, found) => return internal_err!("an aggregate over {} was given {found}", self.outer),
        })
    }

    fn outward(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let exact = CastOptions { safe: false, ..CastOptions::default() };
        let too_large =
            |_| exec_datafusion_err!("the sum does not fit into {}; cast what is added to DECIMAL(38, 0) or DOUBLE", self.outer);
        if self.is_plain() {
            return Ok(plain_floats::<Float64Type>(column).unwrap_or_else(|| column.clone()));
        }
        Ok(match &self.outer {
            DataType::Float64 => mapped::<Int64Type, Float64Type>(column, float64::number),
            DataType::Float32 => mapped::<Int32Type, Float32Type>(column, float32::number),
            DataType::Duration(_) => cast(&cast_with_options(column, &DataType::Int64, &exact).map_err(too_large)?, &self.outer)?,
            outer => cast_with_options(column, outer, &exact).map_err(too_large)?,
        })
    }

    fn all_inward(&self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        columns.iter().map(|column| self.inward(column)).collect()
    }

    fn scalar_outward(&self, value: &ScalarValue) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.outward(&value.to_array()?)?, 0)
    }
}

fn mapped<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(column: &ArrayRef, of: fn(A::Native) -> B::Native) -> ArrayRef {
    let mapped: PrimitiveArray<B> = column.as_primitive::<A>().unary(of);
    Arc::new(mapped)
}

/// A double as an integer of the same order.
pub mod float64 {
    pub fn key(number: f64) -> i64 {
        let plain = if number.is_nan() { f64::NAN } else { number + 0.0 };
        swapped(plain.to_bits().cast_signed())
    }

    pub fn number(key: i64) -> f64 {
        f64::from_bits(swapped(key).cast_unsigned())
    }

    /// Of negative numbers the larger bits are the smaller number.
    fn swapped(bits: i64) -> i64 {
        bits ^ ((bits >> 63) & i64::MAX)
    }
}

/// A float as an integer of the same order.
mod float32 {
    pub fn key(number: f32) -> i32 {
        let plain = if number.is_nan() { f32::NAN } else { number + 0.0 };
        swapped(plain.to_bits().cast_signed())
    }

    pub fn number(key: i32) -> f32 {
        f32::from_bits(swapped(key).cast_unsigned())
    }

    fn swapped(bits: i32) -> i32 {
        bits ^ ((bits >> 31) & i32::MAX)
    }
}

/// An accumulator of single groups.
pub fn accumulator(inner: Box<dyn Accumulator>, mapping: Option<Mapping>) -> Box<dyn Accumulator> {
    match mapping {
        Some(mapping) => Box::new(MappedAccumulator { inner, mapping }),
        None => inner,
    }
}

/// An accumulator of many groups.
pub fn groups(inner: Box<dyn GroupsAccumulator>, mapping: Option<Mapping>) -> Box<dyn GroupsAccumulator> {
    match mapping {
        Some(mapping) => Box::new(Many { inner, mapping }),
        None => inner,
    }
}

#[derive(Debug)]
struct MappedAccumulator {
    inner: Box<dyn Accumulator>,
    mapping: Mapping,
}

impl Accumulator for MappedAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&self.mapping.all_inward(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.mapping.scalar_outward(&self.inner.evaluate()?)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states = self.inner.state()?;
        if self.mapping.states { states.iter().map(|state| self.mapping.scalar_outward(state)).collect() } else { Ok(states) }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if self.mapping.states { self.inner.merge_batch(&self.mapping.all_inward(states)?) } else { self.inner.merge_batch(states) }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&self.mapping.all_inward(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

struct Many {
    inner: Box<dyn GroupsAccumulator>,
    mapping: Mapping,
}

impl Many {
    fn states_outward(&self, states: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
        if self.mapping.states { states.iter().map(|state| self.mapping.outward(state)).collect() } else { Ok(states) }
    }
}

impl GroupsAccumulator for Many {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, count: usize) -> Result<()> {
        self.inner.update_batch(&self.mapping.all_inward(values)?, groups, filter, count)
    }

    fn evaluate(&mut self, which: EmitTo) -> Result<ArrayRef> {
        self.mapping.outward(&self.inner.evaluate(which)?)
    }

    fn state(&mut self, which: EmitTo) -> Result<Vec<ArrayRef>> {
        let states = self.inner.state(which)?;
        self.states_outward(states)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        if self.mapping.states {
            self.inner.merge_batch(&self.mapping.all_inward(states)?, groups, count)
        } else {
            self.inner.merge_batch(states, groups, count)
        }
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.states_outward(self.inner.convert_to_state(&self.mapping.all_inward(values)?, filter)?)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_of_floats_are_in_the_order_of_the_floats(a: f64, b: f64) {
            let order = a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
            prop_assert_eq!(float64::key(a).cmp(&float64::key(b)), order);
            let again = float64::number(float64::key(a));
            prop_assert!(again.partial_cmp(&a) == Some(std::cmp::Ordering::Equal) || (again.is_nan() && a.is_nan()));
            let (a, b) = (a as f32, b as f32);
            let order = a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
            prop_assert_eq!(float32::key(a).cmp(&float32::key(b)), order);
            let again = float32::number(float32::key(a));
            prop_assert!(again.partial_cmp(&a) == Some(std::cmp::Ordering::Equal) || (again.is_nan() && a.is_nan()));
        }
    }

    #[test]
    fn every_nan_is_the_same_above_all_and_both_zeros_are_one() {
        let negative = f64::from_bits(f64::NAN.to_bits() | 1 << 63);
        assert_eq!(float64::key(negative), float64::key(f64::from_bits(0x7FF0_0000_0000_0001)));
        assert!(float64::key(negative) > float64::key(f64::INFINITY));
        assert_eq!(float64::key(-0.0), float64::key(0.0));
    }
}
