//! A column of values of one type.

use std::ops::Range;

use crate::{PushError, StringColumn, Value, ValueType};

/// Values of one run, one plain vector per type, ready to become an Arrow buffer.
///
/// Equality is bitwise for floats.
#[derive(Clone, Debug)]
pub enum Values {
    /// IEEE 754 binary64.
    F64(Vec<f64>),
    /// IEEE 754 binary32.
    F32(Vec<f32>),
    /// Signed 64-bit integers.
    I64(Vec<i64>),
    /// Unsigned 64-bit integers.
    U64(Vec<u64>),
    /// Booleans.
    Bool(Vec<bool>),
    /// UTF-8 text.
    String(StringColumn),
    /// Digital states.
    State(Vec<u32>),
}

/// Runs one expression over whichever vector or string column a `Values` holds.
macro_rules! each {
    ($values:expr, $column:ident => $vector:expr, $strings:ident => $text:expr) => {
        match $values {
            Values::F64($column) => $vector,
            Values::F32($column) => $vector,
            Values::I64($column) => $vector,
            Values::U64($column) => $vector,
            Values::Bool($column) => $vector,
            Values::State($column) => $vector,
            Values::String($strings) => $text,
        }
    };
}

impl Values {
    /// An empty column.
    #[must_use]
    pub fn new(value_type: ValueType) -> Self {
        Self::with_capacity(value_type, 0)
    }

    /// An empty column with room for `capacity` values.
    #[must_use]
    pub fn with_capacity(value_type: ValueType, capacity: usize) -> Self {
        match value_type {
            ValueType::F64 => Self::F64(Vec::with_capacity(capacity)),
            ValueType::F32 => Self::F32(Vec::with_capacity(capacity)),
            ValueType::I64 => Self::I64(Vec::with_capacity(capacity)),
            ValueType::U64 => Self::U64(Vec::with_capacity(capacity)),
            ValueType::Bool => Self::Bool(Vec::with_capacity(capacity)),
            ValueType::String => Self::String(StringColumn::with_capacity(capacity)),
            ValueType::State => Self::State(Vec::with_capacity(capacity)),
        }
    }

    /// The type of every value in the column.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::F64(_) => ValueType::F64,
            Self::F32(_) => ValueType::F32,
            Self::I64(_) => ValueType::I64,
            Self::U64(_) => ValueType::U64,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::State(_) => ValueType::State,
        }
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        each!(self, column => column.len(), strings => strings.len())
    }

    /// True when there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `index`.
    ///
    /// # Panics
    /// When `index` is not below `len()`, as slices do.
    #[must_use]
    pub fn get(&self, index: usize) -> Value {
        match self {
            Self::F64(column) => Value::F64(column[index]),
            Self::F32(column) => Value::F32(column[index]),
            Self::I64(column) => Value::I64(column[index]),
            Self::U64(column) => Value::U64(column[index]),
            Self::Bool(column) => Value::Bool(column[index]),
            Self::String(column) => Value::String(column.get(index).to_owned()),
            Self::State(column) => Value::State(column[index]),
        }
    }

    /// Appends one value.
    ///
    /// # Errors
    /// [`PushError`] when the type differs or a string column is full.
    pub fn push_value(&mut self, value: &Value) -> Result<(), PushError> {
        match (self, value) {
            (Self::F64(column), Value::F64(value)) => column.push(*value),
            (Self::F32(column), Value::F32(value)) => column.push(*value),
            (Self::I64(column), Value::I64(value)) => column.push(*value),
            (Self::U64(column), Value::U64(value)) => column.push(*value),
            (Self::Bool(column), Value::Bool(value)) => column.push(*value),
            (Self::String(column), Value::String(value)) => column.push(value)?,
            (Self::State(column), Value::State(value)) => column.push(*value),
            (column, value) => {
                return Err(PushError::TypeMismatch { expected: column.value_type(), found: value.value_type() });
            }
        }
        Ok(())
    }

    /// Appends the type's default (zero, false, empty text), as a null's slot holds it.
    pub fn push_default(&mut self) {
        // An empty string needs no room, so it always fits.
        each!(self, column => column.push(Default::default()), strings => { let _ = strings.push(""); });
    }

    /// Appends the values of `other` in `range`.
    ///
    /// # Errors
    /// [`PushError`] when the type differs or a string column is full; then nothing is appended.
    ///
    /// # Panics
    /// When `range` reaches beyond `other`, as slices do.
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) -> Result<(), PushError> {
        match (self, other) {
            (Self::F64(column), Self::F64(other)) => column.extend_from_slice(&other[range]),
            (Self::F32(column), Self::F32(other)) => column.extend_from_slice(&other[range]),
            (Self::I64(column), Self::I64(other)) => column.extend_from_slice(&other[range]),
            (Self::U64(column), Self::U64(other)) => column.extend_from_slice(&other[range]),
            (Self::Bool(column), Self::Bool(other)) => column.extend_from_slice(&other[range]),
            (Self::String(column), Self::String(other)) => column.extend_from(other, range)?,
            (Self::State(column), Self::State(other)) => column.extend_from_slice(&other[range]),
            (column, other) => {
                return Err(PushError::TypeMismatch { expected: column.value_type(), found: other.value_type() });
            }
        }
        Ok(())
    }

    /// The values at `indices`, in that order; an index may repeat.
    ///
    /// # Panics
    /// When an index is not below `len()`, as slices do.
    #[must_use]
    pub fn take(&self, indices: &[u32]) -> Self {
        fn gather<T: Copy>(column: &[T], indices: &[u32]) -> Vec<T> {
            indices.iter().map(|index| column[*index as usize]).collect()
        }
        match self {
            Self::F64(column) => Self::F64(gather(column, indices)),
            Self::F32(column) => Self::F32(gather(column, indices)),
            Self::I64(column) => Self::I64(gather(column, indices)),
            Self::U64(column) => Self::U64(gather(column, indices)),
            Self::Bool(column) => Self::Bool(gather(column, indices)),
            Self::State(column) => Self::State(gather(column, indices)),
            Self::String(column) => {
                let mut taken = StringColumn::with_capacity(indices.len());
                for index in indices {
                    // Full only when repeated indices pass 2 GiB; an empty string then keeps the rows aligned.
                    if taken.push(column.get(*index as usize)).is_err() {
                        let _ = taken.push("");
                    }
                }
                Self::String(taken)
            }
        }
    }

    /// Keeps the first `len` values; does nothing when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        each!(self, column => column.truncate(len), strings => strings.truncate(len));
    }

    /// Removes every value and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Makes room for `more` further values.
    pub fn reserve(&mut self, more: usize) {
        each!(self, column => column.reserve(more), _strings => ());
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        each!(self, column => column.capacity() * size_of_val_of(column), strings => strings.heap_bytes())
    }
}

/// Size of one entry of a vector.
const fn size_of_val_of<T>(_: &Vec<T>) -> usize {
    size_of::<T>()
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::F64(a), Self::F64(b)) => a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())),
            (Self::F32(a), Self::F32(b)) => a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())),
            (Self::I64(a), Self::I64(b)) => a == b,
            (Self::U64(a), Self::U64(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::State(a), Self::State(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Values {}
