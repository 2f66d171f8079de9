//! One message of a plain topic taken apart into readings.

use serde_json::Value as Json;

use super::{
    address, exact,
    pattern::{NamePattern, NamePlace},
    scalar,
    stamp::{QualityFormat, StampFormat},
};
use historian_model::{Quality, TagName, ValueType};

/// How a payload is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadForm {
    #[default]
    Json,
    /// One value, written as text.
    Text,
}

/// Which members of a message, or of an item of it, are values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMembers {
    /// The message is the value.
    Whole,
    /// Those at these JSON pointers, which must be there.
    At(Vec<String>),
    /// Every scalar, however deep in objects.
    All,
}

/// How a message is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageForm {
    pub payload: PayloadForm,
    /// JSON pointer of an array whose elements are read one by one.
    pub items: Option<String>,
    pub values: ValueMembers,
    pub time: Option<String>,
    pub time_format: StampFormat,
    pub quality: Option<String>,
    pub quality_format: QualityFormat,
}

/// One value of a message, with what the message says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageValue {
    /// JSON pointer from the message, or from its item.
    pub pointer: String,
    /// `None` where it is missing, or the message cannot be read.
    pub scalar: Option<Json>,
    /// Nanoseconds since 1970; `None` where the message has no time.
    pub at: Option<i64>,
    pub quality: Quality,
    /// What is wrong with it, empty where nothing is; a value with a fault is Bad.
    pub fault: String,
    /// Number of its item.
    item: usize,
}

/// A message that was read.
#[derive(Debug)]
pub struct TopicMessage {
    /// The message, or its items.
    items: Vec<Json>,
    pub values: Vec<MessageValue>,
}

/// Values of one message; what has more is refused.
const VALUES_MAX: usize = 100_000;

impl MessageForm {
    /// Reads a payload. `value_type` is that of the tag, where one is known.
    ///
    /// # Errors
    /// Why there are no values in it.
    pub fn read(&self, payload: &[u8], value_type: Option<ValueType>) -> Result<TopicMessage, String> {
        let text = || std::str::from_utf8(payload).map_err(|error| format!("is no UTF-8 from byte {} on", error.valid_up_to()));
        let message = match self.payload {
            PayloadForm::Text => scalar::of_text(text()?, value_type),
            PayloadForm::Json => exact::json(text()?).map_err(|error| format!("is no JSON: {error}"))?,
        };
        let items = match &self.items {
            None => vec![message],
            Some(pointer) => match at(&message, pointer) {
                Some(Json::Array(items)) => items.clone(),
                Some(_) => return Err(format!("has no array at {pointer:?}")),
                None => return Err(format!("has nothing at {pointer:?}")),
            },
        };
        let mut values = Vec::new();
        for (number, item) in items.iter().enumerate() {
            self.read_item(number, item, &mut values);
            if values.len() > VALUES_MAX {
                return Err(format!("has more than {VALUES_MAX} values"));
            }
        }
        Ok(TopicMessage { items, values })
    }

    /// The one value of a message that was parsed already.
    pub fn value_of(&self, message: &Json) -> MessageValue {
        let mut values = Vec::new();
        self.read_item(0, message, &mut values);
        let missing = || MessageValue {
            pointer: String::new(),
            scalar: None,
            at: None,
            quality: Quality::GOOD,
            fault: "no value".to_owned(),
            item: 0,
        };
        values.pop().unwrap_or_else(missing)
    }

    /// Whether a value at this pointer would be taken.
    pub fn has(&self, pointer: &str) -> bool {
        match &self.values {
            ValueMembers::Whole => pointer.is_empty(),
            ValueMembers::At(pointers) => pointers.iter().any(|known| known == pointer),
            ValueMembers::All => [&self.time, &self.quality].iter().all(|own| own.as_deref() != Some(pointer)),
        }
    }

    fn read_item(&self, number: usize, item: &Json, values: &mut Vec<MessageValue>) {
        let mut fault = String::new();
        let mut time = None;
        if let Some(pointer) = &self.time {
            match at(item, pointer).ok_or_else(|| format!("no time at {pointer}")).and_then(|member| self.time_format.read(member)) {
                Ok(at) => time = Some(at),
                Err(reason) => fault = reason,
            }
        }
        let mut quality = Quality::GOOD;
        if let Some(pointer) = &self.quality {
            match at(item, pointer).ok_or_else(|| format!("no quality at {pointer}")).and_then(|member| self.quality_format.read(member)) {
                Ok(told) => quality = told,
                Err(reason) if fault.is_empty() => fault = reason,
                Err(_) => {}
            }
        }
        let mut add = |pointer: String, scalar: Option<&Json>| {
            let missing = || if scalar.is_none() { format!("nothing at {pointer:?}") } else { String::new() };
            let fault = if fault.is_empty() { missing() } else { fault.clone() };
            values.push(MessageValue { scalar: scalar.cloned(), at: time, quality, fault, item: number, pointer });
        };
        match &self.values {
            ValueMembers::Whole => add(String::new(), Some(item)),
            ValueMembers::At(pointers) => pointers.iter().for_each(|pointer| add(pointer.clone(), at(item, pointer))),
            ValueMembers::All => {
                let own = [&self.time, &self.quality];
                let mut found = Vec::new();
                scalars(item, &mut String::new(), &mut found);
                for (pointer, scalar) in found {
                    if !own.iter().any(|own| own.as_deref() == Some(pointer.as_str())) {
                        add(pointer, Some(scalar));
                    }
                }
            }
        }
    }
}

impl TopicMessage {
    /// Takes out the values that stand in the name of the tag.
    pub fn without_members(&mut self, pattern: &NamePattern) {
        for place in pattern.places() {
            if let NamePlace::Member(pointer) = place {
                self.values.retain(|value| value.pointer != *pointer);
            }
        }
    }

    /// The name of a value's tag and the address of it.
    ///
    /// # Errors
    /// Why it has no name.
    pub fn named(&self, value: &MessageValue, pattern: &NamePattern, topic: &str, wildcards: &[&str]) -> Result<(TagName, String), String> {
        let members = self.members(value, pattern)?;
        let address = address::of_topic(topic, &value.pointer, &members);
        Ok((name(pattern, topic, wildcards, &value.pointer, |pointer| text_at(&members, pointer))?, address))
    }

    /// The address of a value's tag.
    ///
    /// # Errors
    /// Why it has none.
    pub fn address(&self, value: &MessageValue, pattern: &NamePattern, topic: &str) -> Result<String, String> {
        Ok(address::of_topic(topic, &value.pointer, &self.members(value, pattern)?))
    }

    /// Members of the message that stand in the name.
    fn members<'pattern>(&self, value: &MessageValue, pattern: &'pattern NamePattern) -> Result<Vec<(&'pattern str, String)>, String> {
        let item = self.items.get(value.item).unwrap_or(&Json::Null);
        let members = pattern.places().filter_map(|place| match place {
            NamePlace::Member(pointer) => Some(pointer.as_str()),
            _ => None,
        });
        let text = |pointer| match at(item, pointer) {
            Some(Json::String(text)) => Ok((pointer, text.clone())),
            Some(scalar @ (Json::Number(_) | Json::Bool(_))) => Ok((pointer, scalar.to_string())),
            _ => Err(format!("no text at {pointer} for the name of the tag")),
        };
        members.map(text).collect()
    }
}

fn text_at(members: &[(&str, String)], pointer: &str) -> Option<String> {
    members.iter().find(|(known, _)| *known == pointer).map(|(_, text)| text.clone())
}

/// The name that a pattern gives.
///
/// # Errors
/// Why there is none.
pub fn name(
    pattern: &NamePattern,
    topic: &str,
    wildcards: &[&str],
    pointer: &str,
    member: impl Fn(&str) -> Option<String>,
) -> Result<TagName, String> {
    pattern.name(|place| match place {
        NamePlace::Wildcard(number) => Ok(wildcards.get(number - 1).copied().unwrap_or_default().to_owned()),
        NamePlace::Topic => Ok(topic.to_owned()),
        NamePlace::Field => Ok(pointer.trim_start_matches('/').replace("~1", "/").replace("~0", "~")),
        NamePlace::Member(pointer) => member(pointer).ok_or_else(|| format!("no text at {pointer} for the name of the tag")),
        NamePlace::Sparkplug(_) => Err("is no pattern of a topic".to_owned()),
    })
}

fn at<'json>(json: &'json Json, pointer: &str) -> Option<&'json Json> {
    json.pointer(pointer)
}

/// The scalars of an object, null among them, with their pointers.
fn scalars<'json>(json: &'json Json, pointer: &mut String, found: &mut Vec<(String, &'json Json)>) {
    match json {
        Json::Object(members) => {
            for (key, member) in members {
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                scalars(member, pointer, found);
                pointer.truncate(length);
            }
        }
        // Elements of arrays have no names.
        Json::Array(_) => {}
        scalar => found.push((pointer.clone(), scalar)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn form(values: ValueMembers) -> MessageForm {
        MessageForm {
            payload: PayloadForm::Json,
            items: None,
            values,
            time: None,
            time_format: StampFormat::UnixMilliseconds,
            quality: None,
            quality_format: QualityFormat::Classic,
        }
    }

    /// Pointer, scalar, time, quality and fault of a value.
    type Told = (String, Option<Json>, Option<i64>, Quality, String);

    fn read(form: &MessageForm, message: &Json) -> Vec<Told> {
        let read = form.read(message.to_string().as_bytes(), None).unwrap();
        read.values.into_iter().map(|value| (value.pointer, value.scalar, value.at, value.quality, value.fault)).collect()
    }

    #[test]
    fn every_scalar_of_an_object_is_a_value_but_for_time_and_quality() {
        let form = MessageForm { time: Some("/ts".into()), quality: Some("/q".into()), ..form(ValueMembers::All) };
        let message = json!({"ts": 1_000, "q": 64, "t": 21.5, "pump": {"on": true, "a/b": null}, "list": [1, 2]});
        let mut values = read(&form, &message);
        values.sort_by(|a, b| a.0.cmp(&b.0));
        let of = |pointer: &str, scalar: Json| (pointer.to_owned(), Some(scalar), Some(1_000_000_000), Quality::UNCERTAIN, String::new());
        assert_eq!(values, [of("/pump/a~1b", json!(null)), of("/pump/on", json!(true)), of("/t", json!(21.5))]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_a_fault_of_the_value() {
        let form = MessageForm { time: Some("/ts".into()), ..form(ValueMembers::At(vec!["/a".into(), "/b".into()])) };
        let values = read(&form, &json!({"ts": 1, "a": 5}));
        assert_eq!((values[0].4.as_str(), values[1].4.as_str()), ("", "nothing at \"/b\""));
        let values = read(&form, &json!({"a": 5, "b": 6}));
        assert!(values.iter().all(|value| value.2.is_none() && value.4 == "no time at /ts"), "{values:?}");
        let values = read(&form, &json!({"ts": 1e300, "a": 5, "b": 6}));
        assert!(values[0].4.contains("1678"), "{values:?}");
        for (payload, told) in [(&b"{"[..], "no JSON"), (b"\xff", "no UTF-8"), (b"", "no JSON"), (b"1e999", "no JSON"), (b"NaN", "no JSON")]
        {
            assert!(form.read(payload, None).unwrap_err().contains(told), "{payload:?}");
        }
        let items = MessageForm { items: Some("/values".into()), ..form };
        assert!(items.read(b"{}", None).unwrap_err().contains("/values"));
        assert!(items.read(b"{\"values\": 5}", None).unwrap_err().contains("no array"));
    }

    #[test]
    fn items_are_samples_each_and_name_their_tags() {
        let form = MessageForm { items: Some("/values".into()), time: Some("/t".into()), ..form(ValueMembers::At(vec!["/v".into()])) };
        let message = json!({"values": [{"id": "TE1", "v": 1, "t": 1}, {"id": "TE2", "v": 2, "t": 2}, {"v": 3, "t": 3}]}).to_string();
        let read = form.read(message.as_bytes(), None).unwrap();
        let pattern = NamePattern::of_topic("gw/{1}/{/id}", 1).unwrap();
        let named = |index: usize| read.named(&read.values[index], &pattern, "in/gw1", &["gw1"]);
        let (name, address) = named(0).unwrap();
        assert_eq!((name.as_str(), address.as_str()), ("gw/gw1/TE1", "in/gw1#/v[/id=TE1]"));
        assert_eq!(named(1).unwrap().0.as_str(), "gw/gw1/TE2");
        assert!(named(2).unwrap_err().contains("/id"));
    }

    #[test]
    fn text_is_one_value() {
        let form = MessageForm { payload: PayloadForm::Text, ..form(ValueMembers::Whole) };
        let value = |payload: &[u8]| form.read(payload, None).unwrap().values[0].scalar.clone().unwrap();
        assert_eq!((value(b"21.5\n"), value(b"on")), (json!(21.5), json!("on")));
    }

    proptest! {
        #[test]
        fn no_payload_is_too_odd(payload in prop::collection::vec(any::<u8>(), 0..60), text in any::<bool>()) {
            let form = MessageForm { payload: if text { PayloadForm::Text } else { PayloadForm::Json }, ..form(ValueMembers::All) };
            let _ = form.read(&payload, None);
        }
    }
}
