//! JSON values into messages, by way of their bytes: what the schema says of a field decides how its value is read and written.

use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::field_descriptor_proto::Type;
use serde_json::{Map, Value};

use super::{
    mistake::Mistake,
    number::{float, integer, shown, single},
    schema::{Field, Kind, MessageType, Schema},
};

/// What of a text field's value that is no text is its text, for fields of the outermost message: the name of the field as in the `.proto` file,
/// and the value. `None` leaves the refusal to the reader.
pub type AsText<'a> = &'a dyn Fn(&str, &Value) -> Option<Result<String, String>>;

/// The bytes of a message. `as_text` is for its own fields, not for those of messages in it.
pub fn message(schema: &Schema, name: &str, value: &Value, as_text: Option<AsText<'_>>) -> Result<Vec<u8>, Mistake> {
    match name {
        "google.protobuf.Struct" => return object(value).map(|fields| structure(fields).encode_to_vec()),
        "google.protobuf.Value" => return Ok(any_value(value).encode_to_vec()),
        "google.protobuf.ListValue" => return array(value).map(|elements| list(elements).encode_to_vec()),
        "google.protobuf.FieldMask" => return field_mask(value).map(|mask| mask.encode_to_vec()),
        _ => {}
    }
    let known = schema.message(name).ok_or_else(|| Mistake::here(format!("{name} has no JSON form here")))?;
    let mut bytes = Vec::new();
    let mut seen: Vec<&Field> = Vec::new();
    for (name, value) in object(value)? {
        let field = known.field(name).ok_or_else(|| unknown(known, name))?;
        let refused = |mistake: Mistake| mistake.within(&field.name);
        if seen.iter().any(|other| other.number == field.number) {
            return Err(refused(Mistake::here("is there twice, under both of its names")));
        }
        seen.push(field);
        // Null is the default, but for the one type that has a null of its own.
        let holds_null = matches!(&field.kind, Kind::Message(name) if name == "google.protobuf.Value") && !field.repeated;
        if value.is_null() && !holds_null {
            continue;
        }
        if field.oneof.is_some()
            && let Some(other) = seen.iter().find(|other| other.number != field.number && other.oneof == field.oneof)
        {
            return Err(refused(Mistake::here(format!("cannot be beside {}: only one of them can be set", other.name))));
        }
        if field.repeated {
            for (index, element) in array(value).map_err(refused)?.iter().enumerate() {
                field_value(schema, field, element, as_text, true, &mut bytes)
                    .map_err(|mistake| refused(mistake.within(&format!("[{index}]"))))?;
            }
        } else {
            field_value(schema, field, value, as_text, field.has_presence, &mut bytes).map_err(refused)?;
        }
    }
    Ok(bytes)
}

/// Key and value of one field. A default is not written where nothing tells it from absence.
fn field_value(
    schema: &Schema,
    field: &Field,
    value: &Value,
    as_text: Option<AsText<'_>>,
    always: bool,
    bytes: &mut Vec<u8>,
) -> Result<(), Mistake> {
    let number = field.number;
    let mut varint = |value: u64| {
        if always || value != 0 {
            encode_key(number, WireType::Varint, bytes);
            encode_varint(value, bytes);
        }
    };
    match &field.kind {
        // Negative numbers are written in 64 bits, whatever the width of their type.
        Kind::Plain(Type::Int32) => varint(i64::from(integer::<i32>(value)?) as u64),
        Kind::Plain(Type::Int64) => varint(integer::<i64>(value)? as u64),
        Kind::Plain(Type::Uint32) => varint(integer::<u32>(value)?.into()),
        Kind::Plain(Type::Uint64) => varint(integer::<u64>(value)?),
        Kind::Plain(Type::Sint32) => varint(zigzag(integer::<i32>(value)?.into())),
        Kind::Plain(Type::Sint64) => varint(zigzag(integer::<i64>(value)?)),
        Kind::Plain(Type::Bool) => varint(value.as_bool().ok_or_else(|| not_a(value, "true or false"))?.into()),
        Kind::Enum(name) => varint(i64::from(enumeration(schema, name, value)?) as u64),
        Kind::Plain(Type::Fixed32) => fixed(number, WireType::ThirtyTwoBit, &integer::<u32>(value)?.to_le_bytes(), always, bytes),
        Kind::Plain(Type::Sfixed32) => fixed(number, WireType::ThirtyTwoBit, &integer::<i32>(value)?.to_le_bytes(), always, bytes),
        Kind::Plain(Type::Float) => fixed(number, WireType::ThirtyTwoBit, &single(value)?.to_le_bytes(), always, bytes),
        Kind::Plain(Type::Fixed64) => fixed(number, WireType::SixtyFourBit, &integer::<u64>(value)?.to_le_bytes(), always, bytes),
        Kind::Plain(Type::Sfixed64) => fixed(number, WireType::SixtyFourBit, &integer::<i64>(value)?.to_le_bytes(), always, bytes),
        Kind::Plain(Type::Double) => fixed(number, WireType::SixtyFourBit, &float(value)?.to_le_bytes(), always, bytes),
        Kind::Plain(Type::String) => {
            let text = match (value, as_text.and_then(|as_text| as_text(&field.name, value))) {
                (_, Some(text)) => text.map_err(Mistake::here)?,
                (Value::String(text), None) => text.clone(),
                _ => return Err(not_a(value, "a text")),
            };
            delimited(number, text.as_bytes(), always, bytes);
        }
        Kind::Message(name) => delimited(number, &message(schema, name, value, None)?, true, bytes),
        // No message has a field of these; a test sees to it.
        Kind::Plain(Type::Bytes | Type::Message | Type::Group | Type::Enum) => return Err(Mistake::here("has no JSON form here")),
    }
    Ok(())
}

fn fixed(number: u32, width: WireType, value: &[u8], always: bool, bytes: &mut Vec<u8>) {
    if always || value.iter().any(|byte| *byte != 0) {
        encode_key(number, width, bytes);
        bytes.extend_from_slice(value);
    }
}

fn delimited(number: u32, value: &[u8], always: bool, bytes: &mut Vec<u8>) {
    if always || !value.is_empty() {
        encode_key(number, WireType::LengthDelimited, bytes);
        encode_varint(value.len() as u64, bytes);
        bytes.extend_from_slice(value);
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// By name, long or short, or by number; a number needs no name, as on the wire.
fn enumeration(schema: &Schema, name: &str, value: &Value) -> Result<i32, Mistake> {
    let known = schema.enumeration(name).ok_or_else(|| Mistake::here(format!("{name} has no JSON form here")))?;
    match value {
        Value::String(text) => known.number(text).ok_or_else(|| not_one_of(value, &known.shown)),
        Value::Number(_) => integer(value),
        _ => Err(not_one_of(value, &known.shown)),
    }
}

fn not_one_of(value: &Value, names: &[String]) -> Mistake {
    Mistake::here(format!("{} is none of {}", shown(value), names.join(", ")))
}

fn not_a(value: &Value, what: &str) -> Mistake {
    Mistake::here(format!("{} is not {what}", shown(value)))
}

fn object(value: &Value) -> Result<&Map<String, Value>, Mistake> {
    value.as_object().ok_or_else(|| not_a(value, "an object"))
}

fn array(value: &Value) -> Result<&Vec<Value>, Mistake> {
    value.as_array().ok_or_else(|| not_a(value, "an array"))
}

fn unknown(known: &MessageType, name: &str) -> Mistake {
    let names: Vec<&str> = known.fields().iter().map(|field| field.name.as_str()).collect();
    let shown: String = name.chars().take(80).collect();
    Mistake { field: shown, message: format!("there is no such field; there are {}", names.join(", ")) }
}

fn structure(fields: &Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct { fields: fields.iter().map(|(name, value)| (name.clone(), any_value(value))).collect() }
}

fn list(elements: &[Value]) -> prost_types::ListValue {
    prost_types::ListValue { values: elements.iter().map(any_value).collect() }
}

fn any_value(value: &Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(elements) => Kind::ListValue(list(elements)),
        Value::Object(fields) => Kind::StructValue(structure(fields)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// `"unit,rangeLow"`: paths in lowerCamelCase, which become `snake_case`.
fn field_mask(value: &Value) -> Result<prost_types::FieldMask, Mistake> {
    let text = value.as_str().ok_or_else(|| not_a(value, "a text"))?;
    let paths = text.split(',').filter(|path| !path.is_empty()).map(|path| {
        let mut snake = String::new();
        for letter in path.chars() {
            match letter {
                '_' => return Err(Mistake::here(format!("{path:?} is not in lowerCamelCase"))),
                letter if letter.is_ascii_uppercase() => {
                    snake.push('_');
                    snake.push(letter.to_ascii_lowercase());
                }
                letter => snake.push(letter),
            }
        }
        Ok(snake)
    });
    Ok(prost_types::FieldMask { paths: paths.collect::<Result<_, _>>()? })
}
