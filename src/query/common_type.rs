//! The one value type of an answer over several tags, and the conversion of samples to it.

use std::sync::Arc;

use crate::model::{Samples, StringColumn, Tag, Value, ValueType, Values};

/// Common type of tags: their own if they agree; f64 for different numeric types (64-bit integers beyond 2^53 are rounded then, ask for such
/// tags alone); string as soon as one tag is a string. No tags: f64.
pub fn of(tags: &[Arc<Tag>]) -> ValueType {
    let mut types = tags.iter().map(|tag| tag.value_type());
    let Some(first) = types.next() else { return ValueType::F64 };
    types.fold(first, |common, next| match (common, next) {
        _ if common == next => common,
        (ValueType::String, _) | (_, ValueType::String) => ValueType::String,
        _ => ValueType::F64,
    })
}

/// Appends samples converted to the type of `out`, which [`of`] gave for their tag and others.
pub fn append_converted(samples: &Samples, out: &mut Samples) {
    if out.append(samples).is_ok() {
        return;
    }
    let mut converted = Samples {
        timestamps: samples.timestamps.clone(),
        values: Values::new(out.value_type()),
        validity: samples.validity.clone(),
        qualities: samples.qualities.clone(),
    };
    converted.values = match out.value_type() {
        ValueType::String => {
            let mut texts = StringColumn::new();
            for index in 0..samples.len() {
                let text = samples.value(index).map_or_else(String::new, |value| text(&value));
                let pushed = texts.push(&text);
                debug_assert!(pushed.is_ok(), "a portion's texts are far below 2 GiB");
            }
            Values::String(texts)
        }
        _ => Values::F64(numbers(&samples.values)),
    };
    let appended = out.append(&converted);
    debug_assert!(appended.is_ok(), "the common type is string or f64 where types differ");
}

fn numbers(values: &Values) -> Vec<f64> {
    match values {
        Values::F64(values) => values.clone(),
        Values::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Values::I64(values) => values.iter().map(|&value| value as f64).collect(),
        Values::U64(values) => values.iter().map(|&value| value as f64).collect(),
        Values::Bool(values) => values.iter().map(|&value| f64::from(u8::from(value))).collect(),
        Values::State(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Values::String(values) => vec![f64::NAN; values.len()],
    }
}

/// A value as text, the shortest that tells it exactly.
pub fn text(value: &Value) -> String {
    match value {
        Value::F64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::State(value) => value.to_string(),
        Value::String(value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{TagDefinition, TagId, TagName, Timestamp};

    fn tag(value_type: ValueType) -> Arc<Tag> {
        let definition = TagDefinition::new(TagName::new("t").unwrap(), value_type);
        Arc::new(Tag { id: TagId(1), definition, created: Timestamp(0), updated: Timestamp(0) })
    }

    #[test]
    fn types_that_differ_meet_in_f64_or_string() {
        assert_eq!(of(&[]), ValueType::F64);
        assert_eq!(of(&[tag(ValueType::I64), tag(ValueType::I64)]), ValueType::I64);
        assert_eq!(of(&[tag(ValueType::I64), tag(ValueType::Bool)]), ValueType::F64);
        assert_eq!(of(&[tag(ValueType::F64), tag(ValueType::Bool), tag(ValueType::String)]), ValueType::String);
    }

    #[test]
    fn conversion_keeps_nulls_times_and_qualities() {
        let mut samples = Samples::new(ValueType::Bool);
        samples.push(1, Some(&Value::Bool(true)), 0).unwrap();
        samples.push(2, None, 0x8000_0000).unwrap();
        for (to, expected) in [(ValueType::F64, Value::F64(1.0)), (ValueType::String, Value::String("true".into()))] {
            let mut out = Samples::new(to);
            append_converted(&samples, &mut out);
            assert_eq!((out.value(0), out.value(1)), (Some(expected), None));
            assert_eq!((out.timestamps, out.qualities), (vec![1, 2], vec![0, 0x8000_0000]));
        }
    }
}
