//! Sparkplug edges and the tags of their metrics.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Number, Value as Json};

use super::{
    pattern::{NamePattern, NamePlace},
    scalar,
    sparkplug::EdgeName,
};
use historian_model::{TagName, Value, ValueType};

/// Numbers of the tags of each edge, by metric.
#[derive(Default)]
pub(super) struct KnownEdges(HashMap<EdgeName, HashMap<Arc<str>, usize>>);

impl KnownEdges {
    pub(super) fn tag(&self, edge: &EdgeName, metric: &str) -> Option<usize> {
        self.0.get(edge)?.get(metric).copied()
    }

    pub(super) fn tags(&self, edge: &EdgeName) -> Vec<usize> {
        self.0.get(edge).into_iter().flat_map(HashMap::values).copied().collect()
    }

    /// All metrics of an edge from now on; answers the tags of those that are gone.
    pub(super) fn born(&mut self, edge: EdgeName, metrics: HashMap<Arc<str>, usize>) -> Vec<usize> {
        let before = self.0.remove(&edge).unwrap_or_default();
        let gone = before.into_iter().filter(|(metric, _)| !metrics.contains_key(metric)).map(|(_, tag)| tag).collect();
        self.0.insert(edge, metrics);
        gone
    }
}

/// The name of a metric's tag.
///
/// # Errors
/// Why it has none.
pub(super) fn name(pattern: &NamePattern, group: &str, node: &str, device: &str, metric: &str) -> Result<TagName, String> {
    pattern.name(|place| match place {
        NamePlace::Sparkplug("group") => Ok(group.to_owned()),
        NamePlace::Sparkplug("node") => Ok(node.to_owned()),
        NamePlace::Sparkplug("device") => Ok(device.to_owned()),
        NamePlace::Sparkplug(_) => Ok(metric.to_owned()),
        _ => Err("is no pattern of Sparkplug".to_owned()),
    })
}

/// A value of a metric for a tag that is configured with another type, and whether it was rounded to a float.
///
/// # Errors
/// Why it is no value of the type.
pub(super) fn converted(value: Value, wanted: ValueType) -> Result<(Value, bool), String> {
    if value.value_type() == wanted {
        return Ok((value, false));
    }
    let number = |number: f64| Number::from_f64(number).map(Json::Number);
    let scalar = match value {
        Value::F64(value) => number(value),
        Value::F32(value) => number(value.into()),
        Value::I64(value) => Some(value.into()),
        Value::U64(value) => Some(value.into()),
        Value::State(value) => Some(value.into()),
        Value::Bool(value) => Some(value.into()),
        Value::String(value) => Some(value.into()),
    };
    let scalar = scalar.ok_or_else(|| format!("a number that is not finite is no {wanted}"))?;
    match scalar::value_of(&scalar, wanted) {
        Ok(value) => Ok((value, false)),
        Err(reason) => scalar::rounded(&scalar, wanted).map(|value| (value, true)).ok_or(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birth_tells_which_metrics_are_gone() {
        let edge = EdgeName { group: "g".into(), node: "n".into(), device: None };
        let mut edges = KnownEdges::default();
        let metrics = |names: &[(&str, usize)]| names.iter().map(|(name, tag)| (Arc::from(*name), *tag)).collect();
        assert!(edges.born(edge.clone(), metrics(&[("a", 1), ("b", 2)])).is_empty());
        assert_eq!(edges.born(edge.clone(), metrics(&[("b", 2), ("c", 3)])), [1]);
        assert_eq!((edges.tag(&edge, "c"), edges.tag(&edge, "a")), (Some(3), None));
        assert_eq!(edges.tags(&edge).len(), 2);
    }

    #[test]
    fn values_fit_another_type_or_are_refused() {
        assert_eq!(converted(Value::I64(5), ValueType::F64), Ok((Value::F64(5.0), false)));
        assert_eq!(converted(Value::F32(0.5), ValueType::F64), Ok((Value::F64(0.5), false)));
        assert_eq!(converted(Value::I64(i64::MAX), ValueType::F64), Ok((Value::F64(i64::MAX as f64), true)));
        assert!(converted(Value::F64(0.5), ValueType::I64).is_err());
        assert!(converted(Value::F64(f64::NAN), ValueType::I64).is_err());
        assert!(converted(Value::Bool(true), ValueType::F64).is_err());
    }
}
