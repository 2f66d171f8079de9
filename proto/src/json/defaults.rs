//! Messages as JSON in which nothing is left out.

use prost_types::field_descriptor_proto::Type;
use serde_json::{Map, Value};

use super::schema::{Field, Kind, MessageType, schema};

/// Puts in what the JSON form of a message leaves out, because it is the default: empty lists, zeros, `false`, empty texts. A reader of rows need not
/// know then what the absence of a field means. What has presence of its own (`optional`, members of a `oneof`, messages) stays absent.
pub fn with_defaults(message: &str, value: &mut Value) {
    if let (Some(known), Value::Object(fields)) = (schema().message(message), value) {
        fill(known, fields);
    }
}

fn fill(message: &MessageType, fields: &mut Map<String, Value>) {
    for field in message.fields() {
        match fields.get_mut(&field.name) {
            Some(value) => within(field, value),
            None => fields.extend(default(field).map(|value| (field.name.clone(), value))),
        }
    }
}

/// Messages in a field.
fn within(field: &Field, value: &mut Value) {
    let Kind::Message(name) = &field.kind else { return };
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| with_defaults(name, value)),
        value => with_defaults(name, value),
    }
}

fn default(field: &Field) -> Option<Value> {
    if field.repeated {
        return Some(Value::Array(Vec::new()));
    }
    match &field.kind {
        _ if field.has_presence => None,
        Kind::Message(_) => None,
        Kind::Enum(name) => schema().enumeration(name)?.zero().map(Value::from),
        Kind::Plain(kind) => Some(match kind {
            Type::Bool => Value::Bool(false),
            Type::String | Type::Bytes => Value::from(""),
            Type::Int64 | Type::Uint64 | Type::Sint64 | Type::Fixed64 | Type::Sfixed64 => Value::from("0"),
            Type::Float | Type::Double => Value::from(0.0),
            _ => Value::from(0),
        }),
    }
}
