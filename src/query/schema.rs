//! Schemas of answers, with what a reader needs to know beside the numbers in their metadata.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{arrow_column, common_type};
use crate::model::{Tag, TimeRange};

/// Tags whose metadata is written into the schema of one answer; beyond that the catalog has it.
const TAGS_DESCRIBED_MAX: usize = 1_000;

/// Schema of the long layout.
///
/// Schema metadata: `start`, `end` (resolved bounds, integer nanoseconds as text), `tags` (a JSON object: name → unit, stepped, range,
/// state set). With a single tag its metadata is on the value field too.
pub fn long(tags: &[Arc<Tag>], range: Option<TimeRange>) -> SchemaRef {
    let mut value = Field::new("value", arrow_column::data_type(common_type::of(tags)), true);
    if let [tag] = tags {
        value = value.with_metadata(tag_metadata(tag));
    }
    let fields = vec![
        Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false),
        Field::new("timestamp", arrow_column::timestamp_type(), false),
        value,
        Field::new("quality", DataType::UInt32, false),
    ];
    Arc::new(Schema::new(fields).with_metadata(metadata(tags, range)))
}

/// Metadata of a field that holds values of one tag.
pub fn tag_metadata(tag: &Tag) -> HashMap<String, String> {
    let definition = &tag.definition;
    let mut metadata = HashMap::from([
        ("tag".to_owned(), definition.name.to_string()),
        ("unit".to_owned(), definition.unit.clone()),
        ("stepped".to_owned(), definition.stepped.to_string()),
        ("value_type".to_owned(), definition.value_type.to_string()),
    ]);
    let bounds = [("range_low", definition.range_low), ("range_high", definition.range_high)];
    metadata.extend(bounds.into_iter().filter_map(|(key, bound)| Some((key.to_owned(), bound?.to_string()))));
    if !definition.state_set.is_empty() {
        metadata.insert("state_set".to_owned(), serde_json::Value::from(definition.state_set.clone()).to_string());
    }
    metadata
}

/// Metadata of a whole answer.
pub fn metadata(tags: &[Arc<Tag>], range: Option<TimeRange>) -> HashMap<String, String> {
    let mut metadata = HashMap::new();
    if let Some(range) = range {
        metadata.insert("start".to_owned(), range.start.0.to_string());
        metadata.insert("end".to_owned(), range.end.0.to_string());
    }
    if tags.len() <= TAGS_DESCRIBED_MAX {
        let described: serde_json::Map<_, _> = tags
            .iter()
            .map(|tag| {
                let definition = &tag.definition;
                let mut facts = serde_json::Map::new();
                facts.insert("unit".into(), definition.unit.clone().into());
                facts.insert("stepped".into(), definition.stepped.into());
                facts.insert("value_type".into(), definition.value_type.as_str().into());
                let bounds = [("range_low", definition.range_low), ("range_high", definition.range_high)];
                facts.extend(bounds.into_iter().filter_map(|(key, bound)| Some((key.to_owned(), bound?.into()))));
                if !definition.state_set.is_empty() {
                    facts.insert("state_set".into(), definition.state_set.clone().into());
                }
                (definition.name.to_string(), serde_json::Value::Object(facts))
            })
            .collect();
        metadata.insert("tags".to_owned(), serde_json::Value::Object(described).to_string());
    }
    metadata
}
