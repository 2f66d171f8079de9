//! Values as their places in the order of their type, which are integers: near values have near places, whatever their type.

use super::choice::{Choice, Codec, lanes, misfit};
use super::integers;
use super::lane::Lane;
use crate::effort::Effort;
use crate::error::FieldFault;
use crate::{ValueType, Values};

/// The codec of values.
pub(crate) struct Packed;

impl Codec for Packed {
    fn fits(value_type: ValueType) -> bool {
        !matches!(value_type, ValueType::String)
    }

    /// Integers are their own places: first of all.
    fn offer_early(choice: &mut Choice<'_>) {
        match choice.values {
            Values::I64(_) | Values::U64(_) | Values::State(_) => offer(choice),
            Values::Bool(_) if choice.effort == Effort::Cold => offer(choice),
            _ => {}
        }
    }

    /// Floats only where no formula explains them, as their places are wide.
    fn offer(choice: &mut Choice<'_>) {
        let float = matches!(choice.values, Values::F64(_) | Values::F32(_));
        if float && choice.effort == Effort::Cold && !choice.is_well_explained() {
            offer(choice);
        }
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        lanes!(out, F64 | F32 | I64 | U64 | State | Bool, out => decode(bytes, count, out), other => Err(misfit("packed", other)))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (Effort, Values) {
        (Effort::Cold, Values::I64((0..count).map(|_| (noise() * 60.0) as i64 - 30).collect()))
    }
}

fn offer(choice: &mut Choice<'_>) {
    let effort = choice.effort;
    choice.offer(|values, out| {
        lanes!(values, F64 | F32 | I64 | U64 | State | Bool, values => encode(values, effort, out), _ => return false);
        true
    });
}

fn encode<T: Lane>(values: &[T], effort: Effort, out: &mut Vec<u8>) {
    let numbers: Vec<i64> = values.iter().map(|value| value.to_order()).collect();
    integers::encode(&numbers, effort, out);
}

fn decode<T: Lane>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), FieldFault> {
    let mut numbers = vec![0; count];
    integers::decode(bytes, 0, &mut numbers)?;
    // Looked for apart: for types that have a value at every place there is nothing to look for, and the values are copied at once.
    if let Some(other) = numbers.iter().find(|number| T::from_order(**number).is_none()) {
        return Err(FieldFault::new("packed value", 0, "a place in the order of its type", other));
    }
    out.extend(numbers.iter().map(|number| T::from_order(*number).unwrap_or_default()));
    Ok(())
}
