//! Columns of samples become Arrow arrays, taking their buffers over without a copy.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
    },
    buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, TimeUnit},
    error::ArrowError,
};

use historian_model::{Bitmap, ValueType, Values};

/// Arrow type of a value type. States are their number.
pub fn data_type(value_type: ValueType) -> DataType {
    match value_type {
        ValueType::F64 => DataType::Float64,
        ValueType::F32 => DataType::Float32,
        ValueType::I64 => DataType::Int64,
        ValueType::U64 => DataType::UInt64,
        ValueType::Bool => DataType::Boolean,
        ValueType::String => DataType::Utf8,
        ValueType::State => DataType::UInt32,
    }
}

/// Arrow type of timestamps.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

pub fn timestamps(timestamps: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::new(timestamps.into(), None).with_timezone("UTC"))
}

pub fn qualities(qualities: Vec<u32>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(UInt32Array::new(qualities.into(), nulls))
}

/// Validity as Arrow has it; the bits are in the same order.
pub fn nulls(validity: Option<Bitmap>) -> Option<NullBuffer> {
    validity.map(|bits| {
        let length = bits.len();
        NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits.into_bytes()), 0, length))
    })
}

/// A value column.
///
/// # Errors
/// When texts are not UTF-8, which the format rules out.
pub fn values(values: Values, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
    Ok(match values {
        Values::F64(values) => Arc::new(Float64Array::new(values.into(), nulls)),
        Values::F32(values) => Arc::new(Float32Array::new(values.into(), nulls)),
        Values::I64(values) => Arc::new(Int64Array::new(values.into(), nulls)),
        Values::U64(values) => Arc::new(UInt64Array::new(values.into(), nulls)),
        Values::State(values) => Arc::new(UInt32Array::new(values.into(), nulls)),
        Values::Bool(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls)),
        Values::String(texts) => {
            let (offsets, bytes) = texts.into_parts();
            Arc::new(StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes), nulls)?)
        }
    })
}
