//! The two forms of a request in commands and tickets of Arrow Flight: a protobuf `Any` of a message of `historian.v1`, and its proto3-JSON
//! text.

use historian_proto::json;
use prost::{Message, Name};
use serde_json::Value;
use tonic::Status;

use super::status;
use historian_model::{Timestamp, time::NumericTimeUnit};

/// `google.protobuf.Any` as it is on the wire. Own two fields instead of a crate's type: only these bytes matter here.
#[derive(Clone, PartialEq, Message)]
pub struct AnyMessage {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// Before the name of a message in its type URL.
pub const TYPE_PREFIX: &str = "type.googleapis.com/";

/// A request as a self-contained protobuf ticket.
pub fn any<M: Message + Name>(message: &M) -> Vec<u8> {
    AnyMessage { type_url: format!("{TYPE_PREFIX}{}", M::full_name()), value: message.encode_to_vec() }.encode_to_vec()
}

/// A request of the content of an `Any`.
///
/// # Errors
/// `INVALID_ARGUMENT` when it is none.
pub fn from_protobuf<M: Message + Name + Default>(value: &[u8]) -> Result<M, Status> {
    M::decode(value).map_err(|error| status::invalid("", format!("the Any holds no valid {}: {error}", M::full_name())))
}

/// A request of its proto3 JSON form. Beyond that form, texts that stand for numbers may be written as numbers, and their unit beside them.
///
/// # Errors
/// `INVALID_ARGUMENT` with the path of the field.
pub fn from_json<M: Message + Name + Default>(command: &str, mut body: Value) -> Result<M, Status> {
    let unit = match body.as_object_mut().and_then(|body| body.remove("time_unit").or_else(|| body.remove("timeUnit"))) {
        None | Some(Value::Null) => None,
        Some(unit) => Some(unit.as_str().and_then(NumericTimeUnit::named).ok_or_else(|| {
            status::invalid(
                &format!("{command}.time_unit"),
                format!("{} is none of \"s\", \"ms\", \"us\", \"ns\"", shown(&unit.to_string())),
            )
        })?),
    };
    json::read(&body, &|field, value| text_of(field, value, unit)).map_err(|mistake| {
        let field = if mistake.field.is_empty() { command.to_owned() } else { format!("{command}.{}", mistake.field) };
        status::invalid(&field, mistake.message)
    })
}

/// The text of a number or truth value where a field has texts that mean such: times, lengths of time, states.
fn text_of(field: &str, value: &Value, unit: Option<NumericTimeUnit>) -> Option<Result<String, String>> {
    match (field, value) {
        ("start" | "end", Value::Number(number)) => Some(whole(number, TIME_FORMS).map(|text| with_unit(text, unit))),
        ("start" | "end", Value::String(text)) => Some(Ok(with_unit(text.clone(), unit))),
        ("interval" | "dwell_min" | "tolerance" | "step", Value::Number(number)) => Some(whole(number, LENGTH_FORMS)),
        ("states" | "from_state" | "to_state", Value::Number(_) | Value::Bool(_)) => Some(Ok(value.to_string())),
        _ => None,
    }
}

const TIME_FORMS: &str =
    "is not an integer of 64 bits; write a number as an integer or a string, never as a float, or RFC 3339, or a relative time";
const LENGTH_FORMS: &str = "is no whole number of nanoseconds; write it as text, such as \"5s\"";

/// Digit by digit: a float is taken only where it cannot have rounded what was meant.
fn whole(number: &serde_json::Number, forms: &str) -> Result<String, String> {
    json::whole_exactly(number).map(|whole| whole.to_string()).ok_or_else(|| format!("{number} {forms}"))
}

/// The unit is of numbers; any other form says itself what it means.
fn with_unit(text: String, unit: Option<NumericTimeUnit>) -> String {
    match unit {
        Some(unit) if Timestamp::parse_number(&text, unit).is_some() => format!("{}{}", text.trim(), unit.name()),
        _ => text,
    }
}

/// As much of a text of the client as a message shows.
pub fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
