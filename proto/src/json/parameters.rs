//! Parameters of an address as the JSON of a message: `tag=a&tag=b&configuration.stepped=true`.

use serde_json::{Map, Value};

use super::{
    mistake::Mistake,
    schema::{Field, Kind, MessageType, Schema},
};
use prost_types::field_descriptor_proto::Type;

/// The JSON of a message, given by its full name, of names and texts. A field within a field has a dot before its name, a list takes its name
/// several times; of anything else the name may come once.
pub fn value(schema: &Schema, name: &str, parameters: &[(String, String)]) -> Result<Value, Mistake> {
    let known = schema.message(name).ok_or_else(|| Mistake::here(format!("{name} has no JSON form here")))?;
    let mut fields = Map::new();
    for (parameter, text) in parameters {
        add(schema, known, &mut fields, parameter, text).map_err(|mistake| mistake.within(parameter))?;
    }
    Ok(Value::Object(fields))
}

fn add(schema: &Schema, known: &MessageType, fields: &mut Map<String, Value>, path: &str, text: &str) -> Result<(), Mistake> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = known.field(name).or_else(|| plural(known, name)).ok_or_else(|| {
        let names = known.fields().iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
        Mistake::here(format!("is no parameter here; there are {names}"))
    })?;
    match (&field.kind, rest) {
        (Kind::Message(inner), Some(rest)) if !field.repeated => {
            let within = fields.entry(field.name.clone()).or_insert_with(|| Value::Object(Map::new()));
            let within = within.as_object_mut().ok_or_else(|| Mistake::here("is there twice, whole and in parts"))?;
            if inner == "google.protobuf.Struct" {
                return once(within, rest, free(text));
            }
            let known = schema.message(inner).ok_or_else(|| Mistake::here("has no form as a parameter; send the request as JSON"))?;
            add(schema, known, within, rest, text)
        }
        (Kind::Message(_), _) => Err(Mistake::here("has no form as a parameter; name a field in it, or send the request as JSON")),
        (_, Some(_)) => Err(Mistake::here(format!("{} has no fields", field.name))),
        (_, None) if field.repeated => {
            let list = fields.entry(field.name.clone()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(plain(field, text)?);
            }
            Ok(())
        }
        (_, None) => once(fields, &field.name, plain(field, text)?),
    }
}

/// A list by the name of one: `tag` of `tags`.
fn plural<'known>(known: &'known MessageType, name: &str) -> Option<&'known Field> {
    known.field(&format!("{name}s")).filter(|field| field.repeated)
}

fn once(fields: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), Mistake> {
    match fields.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(Mistake::here("is there twice")),
    }
}

/// A text as JSON has it; the reader takes numbers as text, and says itself what they do not fit.
fn plain(field: &Field, text: &str) -> Result<Value, Mistake> {
    match (&field.kind, text) {
        (Kind::Plain(Type::Bool), "true" | "1" | "") => Ok(Value::Bool(true)),
        (Kind::Plain(Type::Bool), "false" | "0") => Ok(Value::Bool(false)),
        (Kind::Plain(Type::Bool), _) => Err(Mistake::here(format!("{text:?} is neither true nor false"))),
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// A text of a field that takes any JSON: a number or truth value where it is one.
fn free(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json::schema::schema;

    fn of(message: &str, text: &str) -> Result<Value, String> {
        let parameters: Vec<(String, String)> = text
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        value(schema(), &format!("historian.v1.{message}"), &parameters).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn parameters_become_the_json_of_their_message() {
        assert_eq!(
            of(
                "AggregateRequest",
                "tag=a/*&tags=b&functions=average&interval=5m&configuration.stepped=true&configuration.percentDataBad=50"
            ),
            Ok(json!({"tags": ["a/*", "b"], "functions": ["average"], "interval": "5m",
                      "configuration": {"stepped": true, "percent_data_bad": "50"}}))
        );
        assert_eq!(of("RangeRequest", "types&limit=7&boundary=OUTSIDE"), Ok(json!({"types": true, "limit": "7", "boundary": "OUTSIDE"})));
        assert_eq!(
            of("AnomaliesRequest", "detector=spike&parameters.window=10m&parameters.sigma=3.5"),
            Ok(json!({"detector": "spike", "parameters": {"window": "10m", "sigma": 3.5}}))
        );
    }

    #[test]
    fn what_is_no_parameter_is_refused_by_its_name() {
        for (message, text, expected) in [
            ("RangeRequest", "tags=a&colour=red", "colour: is no parameter here; there are tags, start"),
            ("RangeRequest", "start=1&start=2", "start: is there twice"),
            ("RangeRequest", "types=perhaps", "types: \"perhaps\" is neither true nor false"),
            ("RangeRequest", "start.x=1", "start.x: start has no fields"),
            ("AggregateRequest", "configuration=1", "configuration: has no form as a parameter"),
        ] {
            let refused = of(message, text).unwrap_err();
            assert!(refused.starts_with(expected), "{text}: {refused}");
        }
    }
}
