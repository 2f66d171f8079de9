//! One `[[mqtt.topic]]` of the configuration, and what can be wrong with it.

use serde::Deserialize;

use super::{
    address,
    device::TopicRule,
    filter::MqttFilter,
    message::{MessageForm, PayloadForm, ValueMembers},
    pattern::{NamePattern, NamePlace},
    stamp::{QualityFormat, StampFormat},
};
use historian_collector::filtered_section;
use historian_model::ValueType;

filtered_section! {
    /// `[[mqtt.topic]]`
    #[derive(Clone, Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct TopicSection {
        pub filter: String,
        pub tag_name: String,
        /// `json` (default) or `text`.
        #[serde(default)]
        pub payload: Option<String>,
        /// JSON pointer of an array whose elements are read one by one.
        #[serde(default)]
        pub items: Option<String>,
        /// JSON pointer of the one value.
        #[serde(default)]
        pub value: Option<String>,
        /// JSON pointers of several values; `*` for every scalar.
        #[serde(default)]
        pub fields: Option<Vec<String>>,
        #[serde(default)]
        pub time: Option<String>,
        #[serde(default)]
        pub time_format: Option<String>,
        #[serde(default)]
        pub quality: Option<String>,
        #[serde(default)]
        pub quality_format: Option<String>,
        #[serde(default, rename = "type")]
        pub value_type: Option<String>,
        #[serde(default)]
        pub unit: String,
        #[serde(default)]
        pub stepped: Option<bool>,
    }
}

/// A key, and what is wrong with it.
type KeyProblem = (&'static str, String);

impl TopicSection {
    /// # Errors
    /// The first thing that is wrong, with its key.
    pub(super) fn rule(&self) -> Result<TopicRule, KeyProblem> {
        let filter = MqttFilter::parse(&self.filter).map_err(|message| ("filter", format!("{:?}: {message}", self.filter)))?;
        let tag_name = NamePattern::of_topic(&self.tag_name, filter.wildcards()).map_err(|message| ("tag_name", message))?;
        let payload = match self.payload.as_deref() {
            None | Some("json") => PayloadForm::Json,
            Some("text") => PayloadForm::Text,
            Some(other) => return Err(("payload", format!("unknown form {other:?}; known are json, text"))),
        };
        let pointers = [("items", &self.items), ("value", &self.value), ("time", &self.time), ("quality", &self.quality)];
        for (key, pointer) in pointers {
            if let Some(pointer) = pointer {
                check_pointer(key, pointer, payload)?;
            }
        }
        let values = match (&self.value, self.fields.as_deref()) {
            (Some(_), Some(_)) => return Err(("fields", "is for several values, `value` for one; keep one of them".to_owned())),
            (Some(pointer), None) => ValueMembers::At(vec![pointer.clone()]),
            (None, None) => ValueMembers::Whole,
            (None, Some([])) => return Err(("fields", "is empty; every scalar is [\"*\"]".to_owned())),
            (None, Some([all])) if all == "*" => ValueMembers::All,
            (None, Some(fields)) => {
                for field in fields {
                    check_pointer("fields", field, payload)?;
                }
                ValueMembers::At(fields.to_vec())
            }
        };
        if payload == PayloadForm::Text && values != ValueMembers::Whole {
            return Err(("fields", "a text has no members; say `payload = \"json\"`".to_owned()));
        }
        let several = match &values {
            ValueMembers::Whole => false,
            ValueMembers::At(pointers) => pointers.len() > 1,
            ValueMembers::All => true,
        };
        if several && !tag_name.places().any(|place| *place == NamePlace::Field) {
            return Err(("tag_name", "has no {field}, so that all fields of a message would be one tag".to_owned()));
        }
        if payload == PayloadForm::Text && tag_name.places().any(|place| matches!(place, NamePlace::Member(_))) {
            return Err(("tag_name", "a text has no members".to_owned()));
        }
        let form = MessageForm {
            payload,
            items: self.items.clone(),
            values,
            time: self.time.clone(),
            time_format: named("time_format", self.time_format.as_deref(), StampFormat::named)?,
            quality: self.quality.clone(),
            quality_format: named("quality_format", self.quality_format.as_deref(), QualityFormat::named)?,
        };
        let unknown = |name: &str| format!("unknown value type {name:?}; known are f64, f32, i64, u64, bool, string, state");
        let value_type: Option<ValueType> =
            self.value_type.as_deref().map(|name| name.parse().map_err(|_| ("type", unknown(name)))).transpose()?;
        let tag_filter = self.tag_filter();
        for (key, percent, units) in [
            ("exception_deadband_percent", self.exception_deadband_percent, "exception_deadband"),
            ("compression_deviation_percent", self.compression_deviation_percent, "compression_deviation"),
        ] {
            if percent.is_some() {
                return Err((key, format!("tags of topics have no range that it could be of; use {units}, in engineering units")));
            }
        }
        if let Some(refused) = tag_filter.refused_of_any(value_type, self.stepped, false) {
            return Err(refused);
        }
        Ok(TopicRule { filter, tag_name, form, value_type, unit: self.unit.clone(), stepped: self.stepped, tag_filter })
    }
}

fn named<Format: Default>(
    key: &'static str,
    name: Option<&str>,
    read: impl Fn(&str) -> Result<Format, String>,
) -> Result<Format, KeyProblem> {
    name.map(|name| read(name).map_err(|message| (key, message))).transpose().map(Option::unwrap_or_default)
}

fn check_pointer(key: &'static str, pointer: &str, payload: PayloadForm) -> Result<(), KeyProblem> {
    if payload == PayloadForm::Text {
        return Err((key, "a text has no members; say `payload = \"json\"`".to_owned()));
    }
    // The items of a message that is an array itself.
    if address::is_pointer(pointer) || (key == "items" && pointer.is_empty()) {
        return Ok(());
    }
    Err((key, format!("{pointer:?} is no JSON pointer, which begins with /")))
}
