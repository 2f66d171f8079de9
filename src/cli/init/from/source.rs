//! Files of other programs as tables that know which of their keys were asked for: the others are told, so that nothing is lost silently.

use std::{cell::RefCell, collections::BTreeSet};

use anyhow::Context;
use serde_json::{Map, Value as Json, json};

/// A key of a file with what is wrong with its value.
type UnreadableKey = String;

/// Reads a YAML file. What it leaves to other files (`!secret name`, `!include file`) becomes a table whose one key begins with `!`.
///
/// # Errors
/// It is no YAML, or repeats itself without end.
pub fn yaml(text: &str) -> anyhow::Result<Json> {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).context("is no YAML")?;
    value.apply_merge().context("has a `<<` that merges no table")?;
    Ok(of_yaml(value))
}

fn of_yaml(value: serde_yaml::Value) -> Json {
    match value {
        serde_yaml::Value::Null => Json::Null,
        serde_yaml::Value::Bool(truth) => Json::Bool(truth),
        serde_yaml::Value::Number(number) => {
            let whole = number.as_i64().map(Json::from).or_else(|| number.as_u64().map(Json::from));
            whole
                .or_else(|| number.as_f64().and_then(serde_json::Number::from_f64).map(Json::Number))
                .unwrap_or_else(|| json!(number.to_string()))
        }
        serde_yaml::Value::String(text) => Json::String(text),
        serde_yaml::Value::Sequence(items) => Json::Array(items.into_iter().map(of_yaml).collect()),
        serde_yaml::Value::Mapping(table) => {
            Json::Object(table.into_iter().map(|(key, value)| (key_of(of_yaml(key)), of_yaml(value))).collect())
        }
        serde_yaml::Value::Tagged(tagged) => {
            let name = tagged.tag.to_string();
            Json::Object(Map::from_iter([(name, of_yaml(tagged.value))]))
        }
    }
}

fn key_of(key: Json) -> String {
    match key {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// Reads a TOML file.
///
/// # Errors
/// It is no TOML.
pub fn toml(text: &str) -> anyhow::Result<Json> {
    let table: toml::Table = text.parse().context("is no TOML")?;
    Ok(of_toml(toml::Value::Table(table)))
}

fn of_toml(value: toml::Value) -> Json {
    match value {
        toml::Value::String(text) => Json::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number).map_or_else(|| json!(number.to_string()), Json::Number),
        toml::Value::Boolean(truth) => Json::Bool(truth),
        toml::Value::Datetime(time) => Json::String(time.to_string()),
        toml::Value::Array(items) => Json::Array(items.into_iter().map(of_toml).collect()),
        toml::Value::Table(table) => Json::Object(table.into_iter().map(|(key, value)| (key, of_toml(value))).collect()),
    }
}

/// `!secret name` where the value stands in another file.
pub fn elsewhere(value: &Json) -> Option<String> {
    let table = value.as_object().filter(|table| table.len() == 1)?;
    let (tag, name) = table.iter().next().filter(|(tag, _)| tag.starts_with('!'))?;
    Some(match name {
        Json::String(name) => format!("{tag} {name}"),
        _ => tag.clone(),
    })
}

/// A value that stands alone: itself; of a list each element; of what is not there none.
pub fn each(value: Option<&Json>) -> Vec<&Json> {
    match value {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(items)) => items.iter().collect(),
        Some(value) => vec![value],
    }
}

/// A table, and which of its keys were asked for.
pub struct ForeignTable<'file> {
    table: &'file Map<String, Json>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'file> ForeignTable<'file> {
    /// `None` for what is no table, and for what stands in another file.
    pub fn of(value: &'file Json) -> Option<ForeignTable<'file>> {
        let table = value.as_object().filter(|_| elsewhere(value).is_none())?;
        Some(ForeignTable { table, asked: RefCell::default() })
    }

    /// The value of a key; `None` where it is not there or null.
    pub fn get(&self, key: &'static str) -> Option<&'file Json> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key).filter(|value| !value.is_null())
    }

    pub fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// A text; numbers, true and false as they are written.
    ///
    /// # Errors
    /// It is none, or stands elsewhere.
    pub fn text(&self, key: &'static str) -> Result<Option<String>, UnreadableKey> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value {
            // What Telegraf takes from the environment.
            Json::String(text) if text.contains("${") => Err(format!("`{key}` comes from the environment")),
            Json::String(text) => Ok(Some(text.trim().to_owned())),
            Json::Number(_) | Json::Bool(_) => Ok(Some(value.to_string())),
            _ => Err(elsewhere(value).map_or_else(|| format!("`{key}` is no text"), |tag| format!("`{key}` stands elsewhere: {tag}"))),
        }
    }

    /// # Errors
    /// It is no number.
    pub fn number(&self, key: &'static str) -> Result<Option<f64>, UnreadableKey> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let number = text.parse().ok().or_else(|| hexadecimal(&text).map(|whole| whole as f64)).filter(|number: &f64| number.is_finite());
        number.map(Some).ok_or_else(|| format!("`{key}` is no number: {text:?}"))
    }

    /// A whole number, in base 16 too.
    ///
    /// # Errors
    /// It is none.
    pub fn whole(&self, key: &'static str) -> Result<Option<i64>, UnreadableKey> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let whole = text.parse().ok().or_else(|| hexadecimal(&text));
        whole.map(Some).ok_or_else(|| format!("`{key}` is no whole number: {text:?}"))
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// It is none, or outside.
    pub fn within(&self, key: &'static str, low: i64, high: i64) -> Result<Option<i64>, UnreadableKey> {
        match self.whole(key)? {
            Some(number) if !(low..=high).contains(&number) => Err(format!("`{key}` is not from {low} to {high}: {number}")),
            number => Ok(number),
        }
    }

    /// True or false, in the words of YAML before 1.2 as well.
    ///
    /// # Errors
    /// It is neither.
    pub fn truth(&self, key: &'static str) -> Result<bool, UnreadableKey> {
        let Some(text) = self.text(key)? else { return Ok(false) };
        match text.to_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(format!("`{key}` is neither true nor false: {text:?}")),
        }
    }

    /// A time span in milliseconds: `1m30s`, `250ms`, or a plain number of seconds.
    ///
    /// # Errors
    /// It is none.
    pub fn milliseconds(&self, key: &'static str) -> Result<Option<u64>, UnreadableKey> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        span_ms(&text).map(Some).ok_or_else(|| format!("`{key}` is no time span: {text:?}"))
    }

    /// The elements of a list; what stands alone is one.
    pub fn list(&self, key: &'static str) -> Vec<&'file Json> {
        each(self.get(key))
    }

    /// Keys that nobody has asked for, in alphabetical order.
    pub fn rest(&self) -> Vec<&'file str> {
        let asked = self.asked.borrow();
        self.table.iter().filter(|(key, value)| !value.is_null() && !asked.contains(key.as_str())).map(|(key, _)| key.as_str()).collect()
    }
}

/// A value; one that cannot be read is told instead.
pub fn or_remark<T>(read: Result<Option<T>, UnreadableKey>, remarks: &mut Vec<String>) -> Option<T> {
    read.unwrap_or_else(|reason| {
        remarks.push(format!("not carried over: {reason}"));
        None
    })
}

/// The number that `0x1F` is.
pub fn hexadecimal(text: &str) -> Option<i64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    i64::from_str_radix(digits, 16).ok()
}

/// Milliseconds of `1h2m3.5s`, of `250ms`, and of a plain number, which is of seconds.
pub fn span_ms(text: &str) -> Option<u64> {
    let whole = |milliseconds: f64| (milliseconds.is_finite() && (0.0..1e15).contains(&milliseconds)).then(|| milliseconds.round() as u64);
    if let Ok(seconds) = text.parse::<f64>() {
        return whole(seconds * 1000.0);
    }
    let (mut sum, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let factor = match &after[..unit] {
            "ns" => 1e-6,
            "us" | "µs" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 6e4,
            "h" => 3.6e6,
            "d" => 8.64e7,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = &after[unit..];
    }
    (!text.is_empty()).then(|| whole(sum)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_nobody_asked_for_are_left() {
        let file = yaml("a: 0x10\nb: 1m30s\nc: [1, 2]\nd: !secret name\ne: null\nf: on\n").unwrap();
        let table = ForeignTable::of(&file).unwrap();
        assert_eq!((table.whole("a"), table.milliseconds("b"), table.truth("f")), (Ok(Some(16)), Ok(Some(90_000)), Ok(true)));
        assert_eq!(table.text("d"), Err("`d` stands elsewhere: !secret name".to_owned()));
        assert_eq!(table.rest(), ["c"]);
        assert_eq!((table.list("c").len(), table.list("a").len(), table.list("e").len()), (2, 1, 0));
    }

    #[test]
    fn what_is_no_file_of_the_kind_is_an_error_and_what_repeats_itself_ends() {
        assert!(yaml("a: [1").is_err() && toml("a = ").is_err());
        assert!(yaml("a: &a [*a]\n").is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            bomb += &format!("a{level}: &a{level} [{before}]\n");
        }
        assert!(yaml(&bomb).is_err());
        let deep = "[".repeat(100_000);
        assert!(yaml(&deep).is_err());
    }

    #[test]
    fn spans_of_time_are_milliseconds() {
        for (text, expected) in [
            ("1s", Some(1000)),
            ("250ms", Some(250)),
            ("1h1m", Some(3_660_000)),
            ("0.5", Some(500)),
            ("", None),
            ("soon", None),
            ("-1s", None),
        ] {
            assert_eq!(span_ms(text), expected, "{text}");
        }
    }
}
