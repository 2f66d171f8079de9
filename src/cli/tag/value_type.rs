//! Value types of tags as the wire has them.

use historian_model::ValueType;
use historian_proto::v1;

/// The name of a tag's value type; empty where this version does not know it.
pub fn type_name(tag: &v1::Tag) -> &'static str {
    value_type(tag).map_or("", ValueType::as_str)
}

/// Value type of a tag, where this version knows it.
pub fn value_type(tag: &v1::Tag) -> Option<ValueType> {
    ValueType::ALL.into_iter().find(|value_type| proto_type(*value_type) as i32 == tag.value_type)
}

/// A type as the wire has it.
pub fn proto_type(value_type: ValueType) -> v1::ValueType {
    match value_type {
        ValueType::F64 => v1::ValueType::F64,
        ValueType::F32 => v1::ValueType::F32,
        ValueType::I64 => v1::ValueType::I64,
        ValueType::U64 => v1::ValueType::U64,
        ValueType::Bool => v1::ValueType::Bool,
        ValueType::String => v1::ValueType::String,
        ValueType::State => v1::ValueType::State,
    }
}
