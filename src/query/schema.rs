//! Schemas of answers, with what a reader needs to know beside the numbers in their metadata.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{QueryError, arrow_column, common_type::ValueColumns};
use historian_model::{Tag, TagDefinition, TimeRange};

/// Tags whose metadata is written into the schema of one answer; beyond that the catalog has it.
const TAGS_DESCRIBED_MAX: usize = 1_000;
/// Bytes of that description; beyond that, too. A schema is one message, of which clients take 4 MiB.
const DESCRIPTION_BYTES_MAX: usize = 512 << 10;
/// Bytes of the state sets that one schema tells.
const STATES_BYTES_MAX: usize = 256 << 10;

/// Columns of the long layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongColumns {
    pub values: ValueColumns,
    /// A last column `type`: the value type of the row's tag.
    pub types: bool,
}

impl LongColumns {
    /// As the tags have it.
    pub fn of(tags: &[Arc<Tag>]) -> LongColumns {
        LongColumns { values: ValueColumns::of(tags), types: false }
    }
}

/// Schema of the long layout: tag, timestamp, value, quality; where the tags are of several types `text` and `integer`; `type`.
///
/// Schema metadata: `start`, `end` (resolved bounds, integer nanoseconds as text), `tags` (a JSON object: name → unit, stepped, range,
/// state set). With a single tag its metadata is on the value field too.
pub fn long(tags: &[Arc<Tag>], columns: LongColumns, range: Option<TimeRange>) -> SchemaRef {
    let mut value = Field::new("value", arrow_column::data_type(columns.values.value), true);
    if let [tag] = tags {
        value = value.with_metadata(tag_metadata(tag, tells_states(tags)));
    }
    let mut fields = vec![
        Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false),
        Field::new("timestamp", arrow_column::timestamp_type(), false),
        value,
        Field::new("quality", DataType::UInt32, false),
    ];
    fields.extend(columns.values.more_fields());
    fields.extend(columns.types.then(|| Field::new_dictionary("type", DataType::Int32, DataType::Utf8, false)));
    Arc::new(Schema::new(fields).with_metadata(metadata(tags, range)))
}

/// Refuses columns of the same name: who reads them by name would get one for the other.
///
/// # Errors
/// [`QueryError::Invalid`], naming the first such column.
pub fn check_names(fields: &[Field]) -> Result<(), QueryError> {
    let mut names = HashSet::with_capacity(fields.len());
    match fields.iter().find(|field| !names.insert(field.name())) {
        Some(field) => Err(QueryError::Invalid(format!(
            "the answer would have two columns {:?}, one of a tag of that name; ask for that tag apart, or for a range in the LONG layout",
            field.name()
        ))),
        None => Ok(()),
    }
}

/// Whether a schema has room for the state sets of all its tags.
pub fn tells_states(tags: &[Arc<Tag>]) -> bool {
    let bytes = tags.iter().flat_map(|tag| &tag.definition.state_set).try_fold(0, |bytes: usize, state| {
        let bytes = bytes + state.len() + 3;
        (bytes <= STATES_BYTES_MAX).then_some(bytes)
    });
    bytes.is_some()
}

/// Metadata of a field that holds values of one tag; its state set where the schema [`tells_states`].
pub fn tag_metadata(tag: &Tag, states: bool) -> HashMap<String, String> {
    let definition = &tag.definition;
    let mut metadata = HashMap::from([
        ("tag".to_owned(), definition.name.to_string()),
        ("unit".to_owned(), definition.unit.clone()),
        ("stepped".to_owned(), definition.stepped.to_string()),
        ("value_type".to_owned(), definition.value_type.to_string()),
    ]);
    let bounds = [("range_low", definition.range_low), ("range_high", definition.range_high)];
    metadata.extend(bounds.into_iter().filter_map(|(key, bound)| Some((key.to_owned(), bound?.to_string()))));
    metadata.extend(filtered(definition).filter_map(|(key, number)| Some((key.to_owned(), number?.to_string()))));
    if states && !definition.state_set.is_empty() {
        metadata.insert("state_set".to_owned(), serde_json::Value::from(definition.state_set.clone()).to_string());
    }
    metadata
}

/// What a collector leaves out, and how far that may lie from what is read in its place, in engineering units.
fn filtered(definition: &TagDefinition) -> impl Iterator<Item = (&'static str, Option<f64>)> {
    let deadband = definition.filter.exception.as_ref().map(|exception| exception.deadband);
    let deviation = definition.filter.compression.as_ref().map(|compression| compression.deviation);
    [("exception_deadband", deadband), ("compression_deviation", deviation), ("error_bound", definition.error_bound())].into_iter()
}

/// Metadata of a whole answer.
pub fn metadata(tags: &[Arc<Tag>], range: Option<TimeRange>) -> HashMap<String, String> {
    let mut metadata = HashMap::new();
    if let Some(range) = range {
        metadata.insert("start".to_owned(), range.start.0.to_string());
        metadata.insert("end".to_owned(), range.end.0.to_string());
    }
    if tags.len() <= TAGS_DESCRIBED_MAX {
        let states = tells_states(tags);
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
                facts.extend(filtered(definition).filter_map(|(key, number)| Some((key.to_owned(), number?.into()))));
                if states && !definition.state_set.is_empty() {
                    facts.insert("state_set".into(), definition.state_set.clone().into());
                }
                (definition.name.to_string(), serde_json::Value::Object(facts))
            })
            .collect();
        let described = serde_json::Value::Object(described).to_string();
        if described.len() <= DESCRIPTION_BYTES_MAX {
            metadata.insert("tags".to_owned(), described);
        }
    }
    metadata
}
