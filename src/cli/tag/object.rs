//! A tag as JSON, for the commands that list, change and remove tags.

use historian_proto::v1;
use serde_json::json;

use super::value_type::type_name;

/// A tag as an object.
pub fn as_json(tag: &v1::Tag) -> serde_json::Value {
    json!({
        "name": tag.name, "type": type_name(tag), "unit": tag.unit, "description": tag.description, "stepped": tag.stepped,
        "range_low": tag.range_low, "range_high": tag.range_high, "state_set": tag.state_set, "device": tag.device,
        "address": tag.address, "id": tag.id, "filter": tag.filter.as_ref().map(filter_as_json),
    })
}

/// What its collector leaves out, for a cell of a table: the distances, in engineering units; empty where it stores all.
pub fn filter_in_words(tag: &v1::Tag) -> String {
    let Some(filter) = &tag.filter else { return String::new() };
    let distances = [("deadband", filter.exception_deadband), ("door", filter.compression_deviation)];
    let words: Vec<String> = distances.iter().filter_map(|(name, distance)| Some(format!("{name} {}", (*distance)?))).collect();
    words.join(", ")
}

/// What its collector leaves out.
fn filter_as_json(filter: &v1::TagFilter) -> serde_json::Value {
    let seconds = |nanoseconds: i64| nanoseconds as f64 / 1e9;
    json!({
        "exception_deadband": filter.exception_deadband, "exception_min_s": seconds(filter.exception_min_interval),
        "exception_max_s": seconds(filter.exception_max_interval), "compression_deviation": filter.compression_deviation,
        "compression_max_s": seconds(filter.compression_max_interval), "error_bound": filter.error_bound,
    })
}
