//! Functions that make long texts of short ones, with a bound: `repeat('x', 1000000000)` is refused before it is made, and what a whole batch of
//! rows would be too much for is made in parts, between which the end of the statement is looked at.

use std::{
    any::Any,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::{cast, concat, kernels::concat_elements::concat_elements_dyn, kernels::length::length},
    datatypes::{DataType, FieldRef, Int64Type},
};
use datafusion::{
    common::{ScalarValue, config::ConfigOptions, exec_err},
    error::Result,
    execution::{FunctionRegistry, SessionState},
    logical_expr::{ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

use crate::{aggregate, error::invalid};

/// Bytes that one call may make of the rows of one batch.
pub const RESULT_BYTES_MAX: u64 = 16 << 20;

/// What a row becomes at most, in bytes, of the bytes of its texts and of its numbers.
type Estimate = fn(&[u64]) -> u64;

/// Every function of the session that makes more than its arguments hold.
const GROWING: [(&str, Estimate); 11] = [
    ("repeat", |row| at(row, 0).saturating_mul(at(row, 1))),
    // A character has up to four bytes.
    ("lpad", |row| at(row, 1).saturating_mul(4)),
    ("rpad", |row| at(row, 1).saturating_mul(4)),
    ("replace", replaced),
    ("regexp_replace", |row| {
        // Of each match the replacement, in which each group of the pattern may be all of the text.
        let (text, with) = (at(row, 0), at(row, 2));
        text.saturating_add(text.saturating_add(1).saturating_mul(with))
    }),
    ("concat", all_of),
    ("concat_ws", |row| all_of(row).saturating_add(at(row, 0).saturating_mul(row.len() as u64))),
    ("overlay", |row| at(row, 0).saturating_add(at(row, 1))),
    // Each group of the pattern may be all of the text.
    ("regexp_match", |row| at(row, 0).saturating_mul(at(row, 1).saturating_add(1))),
    // Two letters of a pattern may be a date with its time and its zone.
    ("to_char", |row| at(row, 1).saturating_mul(20)),
    // Not what it makes, but the steps that it takes.
    ("levenshtein", |row| at(row, 0).saturating_mul(at(row, 1))),
];

fn all_of(row: &[u64]) -> u64 {
    row.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
}

fn at(row: &[u64], place: usize) -> u64 {
    row.get(place).copied().unwrap_or(0)
}

fn replaced(row: &[u64]) -> u64 {
    let (text, from, to) = (at(row, 0), at(row, 1), at(row, 2));
    // Nothing is found before each character and at the end.
    let places = text.checked_div(from).unwrap_or(text.saturating_add(1));
    text.saturating_add(places.saturating_mul(to))
}

/// Puts bounded functions in the place of those of a session.
pub fn register(state: &mut SessionState) {
    for (name, estimate) in GROWING {
        let Some(function) = state.scalar_functions().get(name).cloned() else { continue };
        let aliases = function.aliases().to_vec();
        // Registering fails for registries that cannot; a session's can.
        let _ = state.register_udf(Arc::new(ScalarUDF::from(Bounded { inner: function.inner().clone(), aliases, estimate })));
    }
}

/// Whether a function has a bound.
#[cfg(test)]
pub fn is_bounded(function: &ScalarUDF) -> bool {
    (function.inner().as_ref() as &dyn Any).is::<Bounded>()
}

/// The operator `||`, as a function with a bound.
pub fn joined() -> ScalarUDF {
    let inner: Arc<dyn ScalarUDFImpl> = Arc::new(Concatenation { signature: Signature::variadic_any(Volatility::Immutable) });
    ScalarUDF::from(Bounded { inner, aliases: Vec::new(), estimate: all_of })
}

/// A function and what its results may grow to. How the inner one simplifies itself is left out: `concat_ws` makes texts of literals there, while
/// the statement is planned.
#[derive(Debug)]
struct Bounded {
    inner: Arc<dyn ScalarUDFImpl>,
    aliases: Vec<String>,
    estimate: Estimate,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Bounded) -> bool {
        self.inner.as_ref().dyn_eq(other.inner.as_ref() as &dyn Any)
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.name().hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
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

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = self.inner.with_updated_config(config)?.inner().clone();
        Some(ScalarUDF::from(Bounded { inner, aliases: self.aliases.clone(), estimate: self.estimate }))
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        aggregate::go_on()?;
        let sizes = args.args.iter().map(Sizes::of).collect::<Result<Vec<_>>>()?;
        let is_scalar = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let mut row = vec![0; sizes.len()];
        let mut of_row = |index: usize| {
            row.iter_mut().zip(&sizes).for_each(|(bytes, size)| *bytes = size.at(index));
            (self.estimate)(&row)
        };
        let mut parts = Vec::new();
        let (mut start, mut bytes) = (0, 0_u64);
        for index in 0..rows {
            let more = of_row(index);
            if more > RESULT_BYTES_MAX {
                return Err(self.too_long(more));
            }
            bytes = bytes.saturating_add(more);
            if bytes > RESULT_BYTES_MAX {
                parts.push(start..index);
                (start, bytes) = (index, more);
            }
        }
        if parts.is_empty() {
            let made = self.inner.invoke_with_args(args)?;
            aggregate::made(match &made {
                ColumnarValue::Array(array) => array.get_array_memory_size(),
                ColumnarValue::Scalar(scalar) => scalar.size(),
            })?;
            return Ok(made);
        }
        parts.push(start..rows);
        let (mut made, mut bytes) = (Vec::with_capacity(parts.len()), 0_u64);
        for part in parts {
            aggregate::go_on()?;
            let slice = |argument: &ColumnarValue| match argument {
                ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(part.start, part.len())),
                scalar @ ColumnarValue::Scalar(_) => scalar.clone(),
            };
            let some = ScalarFunctionArgs { args: args.args.iter().map(slice).collect(), number_rows: part.len(), ..args.clone() };
            let some = self.inner.invoke_with_args(some)?.into_array(part.len())?;
            bytes += some.get_array_memory_size() as u64;
            if bytes > RESULT_BYTES_MAX {
                return Err(self.too_long(bytes));
            }
            made.push(some);
        }
        aggregate::made(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        let made: Vec<&dyn Array> = made.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&made)?))
    }
}

impl Bounded {
    fn too_long(&self, bytes: u64) -> datafusion::error::DataFusionError {
        invalid(format!(
            "{} would make {} MiB at once, at most {} MiB are made; make less of it, or of fewer rows",
            self.inner.name(),
            bytes >> 20,
            RESULT_BYTES_MAX >> 20
        ))
    }
}

/// Of an argument: bytes of a text, or a number, row by row.
enum Sizes {
    Every(u64),
    Each(ArrayRef),
}

impl Sizes {
    fn of(argument: &ColumnarValue) -> Result<Sizes> {
        match argument {
            ColumnarValue::Array(array) => Ok(Sizes::Each(Sizes::of_array(array)?)),
            ColumnarValue::Scalar(scalar) => {
                let one = Sizes::of_array(&scalar.to_array()?)?;
                Ok(Sizes::Every(Sizes::Each(one).at(0)))
            }
        }
    }

    /// Sizes as i64; null, and whatever is neither text nor a number, is nothing.
    fn of_array(array: &ArrayRef) -> Result<ArrayRef> {
        let sizes = match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Binary | DataType::LargeBinary => length(array)?,
            kind if kind.is_integer() => array.clone(),
            _ => return ScalarValue::Int64(None).to_array_of_size(array.len()),
        };
        Ok(cast(&sizes, &DataType::Int64)?)
    }

    fn at(&self, row: usize) -> u64 {
        match self {
            Sizes::Every(size) => *size,
            Sizes::Each(sizes) => {
                let sizes = sizes.as_primitive::<Int64Type>();
                if sizes.is_valid(row) { u64::try_from(sizes.value(row)).unwrap_or(0) } else { 0 }
            }
        }
    }
}

/// `||` of texts: null where one is null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenation {
    signature: Signature,
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &'static str {
        "joined"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().map_or_else(|| exec_err!("|| takes texts"), Ok)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (rows, mut texts) = (args.number_rows, args.args.into_iter());
        let Some(first) = texts.next() else { return exec_err!("|| takes texts") };
        texts.try_fold(first, |left, right| {
            if let (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) = (&left, &right) {
                let one = concat_elements_dyn(&left.to_array()?, &right.to_array()?)?;
                return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?));
            }
            Ok(ColumnarValue::Array(concat_elements_dyn(&left.to_array(rows)?, &right.to_array(rows)?)?))
        })
    }
}
