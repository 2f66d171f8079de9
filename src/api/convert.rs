//! Types of values to the wire and back.

use historian_proto::v1;

use historian_model::ValueType;

/// Each type as the wire has it.
const TYPES: [(ValueType, v1::ValueType); 7] = [
    (ValueType::F64, v1::ValueType::F64),
    (ValueType::F32, v1::ValueType::F32),
    (ValueType::I64, v1::ValueType::I64),
    (ValueType::U64, v1::ValueType::U64),
    (ValueType::Bool, v1::ValueType::Bool),
    (ValueType::String, v1::ValueType::String),
    (ValueType::State, v1::ValueType::State),
];

/// A type as the wire has it.
pub fn type_to_wire(value_type: ValueType) -> v1::ValueType {
    TYPES.iter().find(|(ours, _)| *ours == value_type).map_or(v1::ValueType::Unspecified, |(_, wire)| *wire)
}

/// A type that came over the wire; `None` where none is said, and for a number that is no type.
pub fn type_from_wire(number: i32) -> Option<ValueType> {
    TYPES.iter().find(|(_, wire)| *wire as i32 == number).map(|(ours, _)| *ours)
}
