//! A tag as JSON, for the commands that list, change and remove tags.

use historian_proto::v1;
use serde_json::json;

use super::value_type::type_name;

/// A tag as an object.
pub fn as_json(tag: &v1::Tag) -> serde_json::Value {
    json!({
        "name": tag.name, "type": type_name(tag), "unit": tag.unit, "description": tag.description, "stepped": tag.stepped,
        "range_low": tag.range_low, "range_high": tag.range_high, "state_set": tag.state_set, "device": tag.device,
        "address": tag.address, "id": tag.id,
    })
}
