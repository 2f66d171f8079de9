//! The description of the API in the words of `OpenAPI` 3.1, made of the list of its paths and of the descriptors of its messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use serde_json::{Map, Value, json};

use super::{
    options,
    path::{Answers, ApiPath, paths},
};

/// Where a schema is in the description.
const SCHEMAS: &str = "#/components/schemas/";
/// The schema of an answer of rows, and of an error.
const ROWS: &str = "Rows";
const PROBLEM: &str = "Problem";

/// Messages and enums by their full names.
struct MessageDescriptors {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
}

impl MessageDescriptors {
    fn read() -> MessageDescriptors {
        let mut all = MessageDescriptors { messages: BTreeMap::new(), enums: BTreeMap::new() };
        // What the build wrote is sound, or the build has failed.
        for file in FileDescriptorSet::decode(historian_proto::DESCRIPTORS).unwrap_or_default().file {
            file.message_type.iter().for_each(|message| all.add(file.package(), message));
            all.enums.extend(file.enum_type.iter().map(|one| (format!("{}.{}", file.package(), one.name()), one.clone())));
        }
        all
    }

    fn add(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        message.nested_type.iter().for_each(|nested| self.add(&name, nested));
        self.enums.extend(message.enum_type.iter().map(|one| (format!("{name}.{}", one.name()), one.clone())));
        self.messages.insert(name, message.clone());
    }

    /// The schema of a message; those of messages in it are wanted, too.
    fn message(&self, name: &str, wanted: &mut BTreeSet<String>) -> Value {
        let Some(message) = self.messages.get(name) else { return json!({}) };
        let properties: Map<String, Value> =
            message.field.iter().map(|field| (field.name().to_owned(), self.field(field, wanted))).collect();
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    }

    fn field(&self, field: &FieldDescriptorProto, wanted: &mut BTreeSet<String>) -> Value {
        let one = self.value(field, wanted);
        if field.label() == Label::Repeated { json!({ "type": "array", "items": one }) } else { one }
    }

    fn value(&self, field: &FieldDescriptorProto, wanted: &mut BTreeSet<String>) -> Value {
        let name = field.type_name().trim_start_matches('.');
        match field.r#type() {
            Type::Bool => json!({ "type": "boolean" }),
            Type::Int32 | Type::Sint32 | Type::Sfixed32 => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
            Type::Uint32 | Type::Fixed32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            // Text, so that nobody rounds them.
            Type::Int64 | Type::Sint64 | Type::Sfixed64 => json!({ "type": "string", "pattern": "^-?[0-9]{1,19}$" }),
            Type::Uint64 | Type::Fixed64 => json!({ "type": "string", "pattern": "^[0-9]{1,20}$" }),
            Type::Float | Type::Double => json!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] }),
            Type::Enum => self.enumeration(name),
            Type::Message | Type::Group => match name {
                "google.protobuf.Struct" => json!({ "type": "object" }),
                "google.protobuf.Value" => json!({}),
                "google.protobuf.ListValue" => json!({ "type": "array" }),
                "google.protobuf.FieldMask" => json!({ "type": "string" }),
                _ => {
                    wanted.insert(name.to_owned());
                    json!({ "$ref": format!("{SCHEMAS}{}", short(name)) })
                }
            },
            Type::String | Type::Bytes => json!({ "type": "string" }),
        }
    }

    fn enumeration(&self, name: &str) -> Value {
        let values = self.enums.get(name).map(|one| one.value.iter().map(|value| value.name().to_owned()).collect::<Vec<_>>());
        json!({ "type": "string", "enum": values.unwrap_or_default() })
    }

    /// The fields of a message as parameters of an address; what has no form as one is left to the body of a POST.
    fn parameters(&self, name: &str, prefix: &str, found: &mut Vec<Value>) {
        let Some(message) = self.messages.get(name) else { return };
        for field in &message.field {
            let full = format!("{prefix}{}", field.name());
            let is_list = field.label() == Label::Repeated;
            match (field.r#type(), is_list) {
                (Type::Message | Type::Group, false) if field.type_name().starts_with(".historian.") => {
                    self.parameters(field.type_name().trim_start_matches('.'), &format!("{full}."), found);
                }
                (Type::Message | Type::Group, _) => {}
                _ => found.push(json!({ "name": full, "in": "query", "schema": self.field(field, &mut BTreeSet::new()) })),
            }
        }
    }
}

/// The name of a message among the schemas.
fn short(name: &str) -> String {
    name.trim_start_matches("historian.v1.").replace('.', "_")
}

/// The parameters that say how to answer.
fn answer_parameters(is_rows: bool) -> Vec<Value> {
    let of = |name: &str, values: &[&str]| json!({ "name": name, "in": "query", "schema": { "type": "string", "enum": values } });
    let [format, shape, times, integers, timeout] = options::NAMES;
    let timeout = json!({ "name": timeout, "in": "query", "schema": { "type": "string" }, "example": "30s" });
    if !is_rows {
        return vec![timeout];
    }
    vec![
        of(format, &["json", "ndjson", "csv", "arrow", "parquet"]),
        of(shape, &["columns", "rows"]),
        of(times, &["rfc3339", "ns", "us", "ms"]),
        of(integers, &["safe", "number", "text"]),
        timeout,
    ]
}

fn operation(path: &ApiPath, mut parameters: Vec<Value>, body: Option<Value>, answer: &Value, id: &str) -> Value {
    parameters.iter_mut().filter_map(Value::as_object_mut).for_each(|parameter| {
        parameter.entry("required").or_insert(false.into());
    });
    let mut operation = json!({
        "operationId": id,
        "summary": path.about,
        "parameters": parameters,
        "responses": {
            "200": { "description": "The answer", "content": answer },
            "default": {
                "description": "Why there is none",
                "content": { "application/problem+json": { "schema": { "$ref": format!("{SCHEMAS}{PROBLEM}") } } }
            }
        }
    });
    if let (Some(body), Some(operation)) = (body, operation.as_object_mut()) {
        operation.insert("requestBody".into(), json!({ "required": true, "content": { "application/json": { "schema": body } } }));
    }
    operation
}

/// What a path answers with, and the message that it is, where it is one.
fn content(path: &ApiPath) -> (Value, Option<&'static str>) {
    let rows = json!({
        "application/json": { "schema": { "$ref": format!("{SCHEMAS}{ROWS}") } },
        "application/x-ndjson": { "schema": { "type": "string" } },
        "text/csv": { "schema": { "type": "string" } },
        "application/vnd.apache.arrow.stream": { "schema": { "type": "string", "contentMediaType": "application/vnd.apache.arrow.stream" } },
        "application/vnd.apache.parquet": { "schema": { "type": "string", "contentMediaType": "application/vnd.apache.parquet" } }
    });
    let message = match (path.answers, path.name) {
        (Answers::Rows(_) | Answers::Plot | Answers::Sql, _) => return (rows, None),
        (Answers::Events, _) => return (json!({ "text/event-stream": { "schema": { "type": "string" } } }), None),
        (Answers::Tags, _) => "historian.v1.ListTagsResponse",
        (Answers::Message(_, response), _) => response,
    };
    (json!({ "application/json": { "schema": { "$ref": format!("{SCHEMAS}{}", short(message)) } } }), Some(message))
}

fn beside(name: &str) -> Value {
    json!({ "name": name, "in": "query", "schema": { "type": "string" } })
}

fn described() -> Value {
    let descriptors = MessageDescriptors::read();
    let (mut all, mut wanted) = (Map::new(), BTreeSet::new());
    for path in paths() {
        let message = (path.message)();
        let is_rows = matches!(path.answers, Answers::Rows(_) | Answers::Plot | Answers::Sql | Answers::Events);
        let (answer, response) = content(path);
        wanted.extend(response.map(str::to_owned));
        let mut asked = Vec::new();
        descriptors.parameters(&message, "", &mut asked);
        asked.extend(path.beside.iter().map(|name| beside(name)));
        asked.extend(answer_parameters(is_rows));
        let mut body = descriptors.message(&message, &mut wanted);
        for name in path.beside {
            body["properties"][*name] = json!({ "type": "string" });
        }
        let id = path.name.replace('/', "_");
        let get = operation(path, asked, None, &answer, &format!("get_{id}"));
        let post = operation(path, answer_parameters(is_rows), Some(body), &answer, &format!("post_{id}"));
        let operations = if path.changes { json!({ "post": post }) } else { json!({ "get": get, "post": post }) };
        all.insert(format!("/api/v1/{}", path.name), operations);
    }
    wanted.insert("historian.v1.Tag".into());
    let schemas = schemas(&descriptors, wanted);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "historian",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Queries of a plant historian over HTTP",
            "license": { "name": "MIT or Apache 2.0", "identifier": "MIT OR Apache-2.0" }
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "token": [] }],
        "paths": all,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } }
        }
    })
}

/// Schemas of these messages and of all that are in them.
fn schemas(descriptors: &MessageDescriptors, mut wanted: BTreeSet<String>) -> Map<String, Value> {
    let mut schemas = Map::new();
    while let Some(name) = wanted.pop_first() {
        if !schemas.contains_key(&short(&name)) {
            let schema = descriptors.message(&name, &mut wanted);
            schemas.insert(short(&name), schema);
        }
    }
    let columns = json!({
        "type": "array",
        "items": { "type": "object", "properties": { "name": { "type": "string" }, "type": { "type": "string" } }, "required": ["name", "type"] }
    });
    let rows = json!({
        "type": "object",
        "properties": {
            "metadata": { "type": "object" },
            "columns": columns,
            "data": { "type": "object", "additionalProperties": { "type": "array" } },
            "rows": { "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "array", "items": { "type": "object" } }] }
        },
        "required": ["metadata", "columns", "rows"]
    });
    let problem = json!({
        "type": "object",
        "properties": {
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "message": { "type": "string" },
            "code": { "type": "string" },
            "reason": { "type": "string" },
            "violations": {
                "type": "array",
                "items": { "type": "object", "properties": { "field": { "type": "string" }, "description": { "type": "string" } } }
            }
        },
        "required": ["title", "status", "detail", "code", "reason"]
    });
    schemas.insert(ROWS.into(), rows);
    schemas.insert(PROBLEM.into(), problem);
    schemas
}

/// The description, as text.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", described()));
    &TEXT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed file is for who reads the interface without running it.
    #[test]
    fn the_committed_description_is_that_of_this_version() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        if std::env::var_os("HISTORIAN_WRITE_OPENAPI").is_some() {
            std::fs::write(path, text()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == text(), "docs/openapi.json is of another version; HISTORIAN_WRITE_OPENAPI=1 with this test writes it anew");
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let described = described();
        let schemas = described["components"]["schemas"].as_object().unwrap();
        let all = described.to_string();
        let references: BTreeSet<&str> = all.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 10, "{references:?}");
        for name in references {
            assert!(schemas.contains_key(name), "{name}");
        }
    }
}
