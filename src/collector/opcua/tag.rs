//! One `[[opcua.tag]]` of the configuration: its keys checked, and what is missing taken from its device.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use opcua::types::NumericRange;

use super::{
    address::NodeAddress,
    conversion::Conversion,
    item::{Deadband, OpcUaTag, Trigger},
    structure::path::FieldPath,
    times::TimeFrom,
};
use historian_collector::{ConfigProblem, TagConfig, not_available::NotAvailable, scaling::Scaling};
use historian_model::{TagName, ValueType, tag::TagSource};

/// What a tag takes from its device.
pub(super) struct OpcUaDefaults<'device> {
    pub name: &'device str,
    pub sampling: Duration,
    pub queue_size: u32,
    pub time: TimeFrom,
    pub not_available: &'device NotAvailable,
    /// URIs of namespaces by the index that addresses may use.
    pub namespaces: &'device BTreeMap<u16, String>,
}

/// What is wrong with the length of a queue.
pub(super) fn refused_queue(size: u64) -> Option<String> {
    (!(1..=100_000).contains(&size)).then(|| format!("is {size}, allowed are 1 to 100000"))
}

impl OpcUaTag {
    /// Checks a tag. `prefix` is the key of its device.
    ///
    /// # Errors
    /// Every problem found.
    pub(super) fn build(tag: &TagConfig, prefix: &str, device: &OpcUaDefaults<'_>) -> Result<OpcUaTag, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let value_type = tag.value_type_with_states(prefix).unwrap_or_else(|error| {
            problems.push(error);
            None
        });
        let mut problem = |key: &str, message: String| problems.push(tag.problem(prefix, key, message));
        let own = &tag.own;
        let name = TagName::new(&tag.name).map_err(|error| problem("name", error.to_string()));
        let address = NodeAddress::parse(&tag.address).map_err(|error| problem("address", error));
        let element = own.text("index_range").map_or(Ok(NumericRange::None), element).unwrap_or_else(|message| {
            problem("index_range", message);
            NumericRange::None
        });
        let field = own.text("field").map(FieldPath::from_str).transpose().unwrap_or_else(|message| {
            problem("field", message);
            None
        });
        let sampling_ms = own.whole("sampling_ms");
        if let Some(sampling_ms) = sampling_ms.filter(|sampling_ms| *sampling_ms > 3_600_000) {
            problem("sampling_ms", format!("is {sampling_ms}, allowed are 0 to 3600000"));
        }
        let queue_size = own.whole("queue_size").unwrap_or(u64::from(device.queue_size));
        if let Some(refused) = refused_queue(queue_size).filter(|_| own.has("queue_size")) {
            problem("queue_size", refused);
        }
        let time = own.text("timestamps").map_or(Ok(device.time), str::parse).unwrap_or_else(|message| {
            problem("timestamps", message);
            device.time
        });
        if time == TimeFrom::Reception && own.flag("history") == Some(true) {
            problem(
                "history",
                "has no effect with timestamps = \"reception\": a history does not have these times; keep one of them".into(),
            );
        }
        let trigger = own.text("trigger").map_or(Ok(Trigger::default()), trigger).unwrap_or_else(|message| {
            problem("trigger", message);
            Trigger::default()
        });
        if tag.range_low.zip(tag.range_high).is_some_and(|(low, high)| low.is_nan() || high.is_nan() || low >= high) {
            problem("range_low", "is not below range_high".into());
        }
        let value_type = value_type.unwrap_or(ValueType::F64);
        let (scale, offset) = (own.number("scale"), own.number("offset"));
        let is_scaled = scale.is_some() || offset.is_some();
        for (key, number) in [("scale", scale), ("offset", offset)] {
            if number.is_some_and(|number| !number.is_finite()) {
                problem(key, "is not a finite number".into());
            }
        }
        if scale == Some(0.0) {
            problem("scale", "0 would make every value the offset; leave scale out for values as the server sends them".into());
        }
        if is_scaled && value_type != ValueType::F64 {
            problem("type", format!("scaled values are f64, not {value_type}; leave scale and offset out to keep values as they are"));
        }
        let deadband = deadband(own.number("deadband"), own.number("deadband_percent"), value_type).unwrap_or_else(|(key, message)| {
            problem(key, message);
            Deadband::None
        });
        if trigger == Trigger::Status && deadband != Deadband::None {
            problem("trigger", "status reports no change of value, so a deadband has no effect; keep one of them".into());
        }
        if field.is_some() && deadband != Deadband::None {
            problem("field", "the server compares whole structures and applies no deadband to a field: use exception_deadband".into());
        }
        let (Ok(name), Ok(address), true) = (name, address, problems.is_empty()) else { return Err(problems) };
        let address = address.with_uri(device.namespaces);
        // What stays is what the server will be asked for, whatever was written.
        let source = if tag.address.starts_with("ns=") { address.to_string() } else { tag.address.clone() };
        let mut address_text = match own.text("index_range") {
            None => source.clone(),
            Some(range) => format!("{source} [{range}]"),
        };
        if let Some(field) = &field {
            address_text = format!("{address_text} field {field}");
        }
        let source = TagSource { device: device.name.to_owned(), address: source };
        let definition = tag.definition(prefix, name, value_type, source).map_err(|problem| vec![problem])?;
        Ok(OpcUaTag {
            definition,
            address,
            address_text,
            sampling: sampling_ms.map_or(device.sampling, Duration::from_millis),
            queue_size: u32::try_from(queue_size).unwrap_or(u32::MAX),
            trigger,
            deadband,
            conversion: Conversion {
                not_available: own.not_available().unwrap_or(device.not_available).0.clone(),
                is_element: element != NumericRange::None,
                field,
                scaling: is_scaled.then(|| Scaling::new(scale.unwrap_or(1.0), offset.unwrap_or(0.0))),
            },
            element,
            time,
            history: time != TimeFrom::Reception && own.flag("history").unwrap_or(true),
        })
    }
}

/// Index of one element, in each dimension of its array.
fn element(text: &str) -> Result<NumericRange, String> {
    let refuse = |why: &str| Err(format!("{text:?} {why}; write the index of one element from 0, as in 3, or 1,2 of a matrix"));
    if text.contains(':') {
        return refuse("names several elements, and a tag takes one");
    }
    if !text.split(',').all(|index| index.parse::<u32>().is_ok()) {
        return refuse("is no index");
    }
    NumericRange::from_str(text).or_else(|_| refuse("has too many dimensions"))
}

fn trigger(text: &str) -> Result<Trigger, String> {
    match text {
        "status" => Ok(Trigger::Status),
        "status_value" => Ok(Trigger::StatusValue),
        "status_value_timestamp" => Ok(Trigger::StatusValueTimestamp),
        _ => Err(format!("unknown trigger {text:?}; known are status, status_value, status_value_timestamp")),
    }
}

/// The deadband, or the key at fault and why.
fn deadband(absolute: Option<f64>, percent: Option<f64>, value_type: ValueType) -> Result<Deadband, (&'static str, String)> {
    for (key, value) in [("deadband", absolute), ("deadband_percent", percent)] {
        if let Some(value) = value {
            if !value.is_finite() || value < 0.0 {
                return Err((key, format!("is {value}, must be 0 or a positive number")));
            }
            if matches!(value_type, ValueType::Bool | ValueType::String | ValueType::State) {
                return Err((key, format!("a {value_type} tag has none")));
            }
        }
    }
    match (absolute.filter(|value| *value > 0.0), percent.filter(|value| *value > 0.0)) {
        (None, None) => Ok(Deadband::None),
        (Some(value), None) => Ok(Deadband::Absolute(value)),
        (None, Some(value)) if value <= 100.0 => Ok(Deadband::Percent(value)),
        (None, Some(value)) => Err(("deadband_percent", format!("is {value}, allowed are 0 to 100"))),
        (Some(_), Some(_)) => Err(("deadband_percent", "there is a deadband in engineering units as well; keep one of them".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_collector::DeviceConfig;

    fn build(keys: &[(&'static str, &str)]) -> Result<OpcUaTag, Vec<(String, String)>> {
        let mut tag = TagConfig { name: "a".into(), address: "ns=2;s=a".into(), ..TagConfig::default() };
        for (name, cell) in keys {
            let known = crate::OpcUaConfig::TAG_KEYS.iter().chain(historian_collector::tag_key::COMMON).find(|key| key.name == *name);
            let key = known.unwrap_or_else(|| panic!("{name} is no key"));
            tag.set(*key, key.kind.cell(cell).unwrap());
        }
        let namespaces = BTreeMap::from([(2, "urn:plant".to_owned())]);
        let not_available = NotAvailable::default();
        let defaults = OpcUaDefaults {
            name: "d",
            sampling: Duration::from_secs(1),
            queue_size: 16,
            time: TimeFrom::default(),
            not_available: &not_available,
            namespaces: &namespaces,
        };
        let short = |problem: ConfigProblem| (problem.key.rsplit('.').next().unwrap_or_default().to_owned(), problem.message);
        OpcUaTag::build(&tag, "opcua.d", &defaults).map_err(|problems| problems.into_iter().map(short).collect())
    }

    #[test]
    fn the_keys_of_a_tag_are_what_the_server_is_asked_for() {
        let tag = build(&[("index_range", "1,2"), ("queue_size", "5"), ("trigger", "status_value_timestamp"), ("deadband_percent", "2.5")])
            .unwrap();
        assert_eq!(tag.address_text, "nsu=urn:plant;s=a [1,2]");
        assert_eq!(tag.definition.source.as_ref().unwrap().address, "nsu=urn:plant;s=a");
        let asked = tag.value_of(opcua::types::NodeId::new(7, "a"));
        assert_eq!((asked.index_range.to_string(), tag.queue_size, tag.conversion.is_element), ("1,2".to_owned(), 5, true));
        let filter = tag.filter().into_inner_as::<opcua::types::DataChangeFilter>().unwrap();
        assert_eq!((filter.trigger, filter.deadband_type), (opcua::types::DataChangeTrigger::StatusValueTimestamp, 2));
        assert!((filter.deadband_value - 2.5).abs() < f64::EPSILON);
        let field = build(&[("index_range", "3"), ("field", "Motor.Zones[2]"), ("scale", "0.1")]).unwrap();
        assert_eq!(field.address_text, "nsu=urn:plant;s=a [3] field Motor.Zones[2]");
        assert_eq!(field.definition.source.as_ref().unwrap().address, "nsu=urn:plant;s=a");
        assert_eq!(field.conversion.field, Some("Motor.Zones[2]".parse().unwrap()));
        let plain = build(&[("scale", "0.1"), ("deadband", "0")]).unwrap();
        assert!(plain.filter().is_null() && plain.conversion.scaling.is_some() && !plain.conversion.is_element);
        assert!(plain.history && !build(&[("history", "false")]).unwrap().history);
        assert!(!build(&[("timestamps", "reception")]).unwrap().history, "a history has other times");
        let states = build(&[("state_set", "off|on")]).unwrap();
        assert_eq!(states.definition.state_set, ["off", "on"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_at_its_key() {
        for (keys, key, expected) in [
            (&[("index_range", "1:3")][..], "index_range", "takes one"),
            (&[("index_range", "x")], "index_range", "no index"),
            (&[("index_range", "1,2,3,4,5,6,7,8,9,10,11")], "index_range", "dimensions"),
            (&[("field", "a..b")], "field", "without a name"),
            (&[("field", "a"), ("deadband", "1")], "field", "exception_deadband"),
            (&[("field", "a"), ("deadband_percent", "1")], "field", "exception_deadband"),
            (&[("scale", "0")], "scale", "every value the offset"),
            (&[("scale", "2"), ("type", "i64")], "type", "scaled values are f64"),
            (&[("queue_size", "0")], "queue_size", "1 to 100000"),
            (&[("trigger", "value")], "trigger", "known are status"),
            (&[("trigger", "status"), ("deadband", "1")], "trigger", "keep one"),
            (&[("deadband", "1"), ("deadband_percent", "1")], "deadband_percent", "keep one"),
            (&[("deadband_percent", "101")], "deadband_percent", "0 to 100"),
            (&[("deadband", "-1")], "deadband", "positive"),
            (&[("deadband", "1"), ("type", "bool")], "deadband", "bool tag has none"),
            (&[("state_set", "off|on"), ("type", "f64")], "state_set", "type state"),
            (&[("history", "true"), ("timestamps", "reception")], "history", "keep one"),
        ] {
            let problems = build(keys).unwrap_err();
            assert_eq!(problems.len(), 1, "{keys:?}: {problems:?}");
            assert!(problems[0].0 == key && problems[0].1.contains(expected), "{keys:?}: {problems:?}");
        }
    }
}
