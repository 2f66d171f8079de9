//! The proto3 JSON form of messages, read to the letter: <https://protobuf.dev/programming-guides/json/>.
//!
//! Whatever JSON any implementation writes is read as it would read it: names of fields as in the `.proto` file or in lowerCamelCase, `null` as
//! absent, integers as numbers (`7`, `7.0`, `1e5`) or as text, `"NaN"` and `"Infinity"`, enum values by name or number. What has no
//! exact meaning is refused with the path of its field: unknown and repeated names, numbers that do not fit, two members of a `oneof`.
//!
//! Beyond the letter, the values of an enum may be written without the enum's name in front: `INSIDE` for `BOUNDARY_INSIDE`.

mod defaults;
mod mistake;
mod number;
mod parameters;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod text;

pub use defaults::with_defaults;
pub use mistake::Mistake;
pub use number::whole_exactly;
pub use read::AsText;
pub use serde_json::Value;

use prost::{Message, Name};

/// Parses JSON; an object that has a name twice is refused, where most parsers take one of the two.
///
/// # Errors
/// With line and column.
pub fn parse(bytes: &[u8]) -> Result<Value, Mistake> {
    serde_json::from_slice::<text::Strict>(bytes).map(|strict| strict.0).map_err(|error| Mistake::here(error.to_string()))
}

/// The bytes of a message of this package, given by its full name, of its JSON form.
///
/// # Errors
/// With the path of the field that cannot be read.
pub fn encoded(name: &str, value: &Value) -> Result<Vec<u8>, Mistake> {
    read::message(schema::schema(), name, value, None)
}

/// The JSON of a message, given by its full name, of the parameters of an address.
///
/// # Errors
/// With the name of the parameter that is none.
pub fn of_parameters(name: &str, parameters: &[(String, String)]) -> Result<Value, Mistake> {
    parameters::value(schema::schema(), name, parameters)
}

/// A message of its JSON form.
///
/// # Errors
/// As [`encoded`].
pub fn read<M: Message + Name + Default>(value: &Value, as_text: AsText<'_>) -> Result<M, Mistake> {
    let schema = schema::schema();
    let encoded = read::message(schema, &M::full_name(), value, Some(as_text))?;
    M::decode(encoded.as_slice()).map_err(|error| Mistake::here(format!("is no valid {}: {error}", M::full_name())))
}
