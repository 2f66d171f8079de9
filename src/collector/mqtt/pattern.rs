//! Patterns from which tags get their names: text with `{places}` that a message fills.

use std::fmt::Write;

use historian_model::TagName;

/// A pattern, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(Vec<NamePart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum NamePart {
    Text(String),
    Place(NamePlace),
}

/// What stands in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePlace {
    /// `{1}`: what the first wildcard of the filter stands for.
    Wildcard(usize),
    /// `{topic}`
    Topic,
    /// `{field}`: where in the message the value is, with `/` between its levels; empty for a message that is one value.
    Field,
    /// `{/id}`: the scalar of the message at this JSON pointer.
    Member(String),
    /// `{group}`, `{node}`, `{device}`, `{metric}` of Sparkplug.
    Sparkplug(&'static str),
}

/// Places of a Sparkplug pattern.
const SPARKPLUG_PLACES: [&str; 4] = ["group", "node", "device", "metric"];

impl NamePattern {
    /// A pattern of `[[mqtt.topic]]`, whose filter has so many wildcards.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_topic(text: &str, wildcards: usize) -> Result<NamePattern, String> {
        NamePattern::parse(text, |place| match place {
            "topic" => Ok(NamePlace::Topic),
            "field" => Ok(NamePlace::Field),
            pointer if pointer.starts_with('/') => Ok(NamePlace::Member(pointer.to_owned())),
            number => match number.parse::<usize>() {
                Ok(number) if (1..=wildcards).contains(&number) => Ok(NamePlace::Wildcard(number)),
                Ok(_) if wildcards == 0 => Err(format!("{{{number}}}: the filter has no wildcards")),
                Ok(_) => Err(format!("{{{number}}}: the filter has wildcards 1 to {wildcards}")),
                Err(_) => Err(format!(
                    "{{{number}}} is not known; known are {{1}}, {{2}}, … for the wildcards, {{topic}}, {{field}}, and {{/pointer}}"
                )),
            },
        })
    }

    /// A pattern of `[mqtt.sparkplug]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_sparkplug(text: &str) -> Result<NamePattern, String> {
        let pattern = NamePattern::parse(text, |place| {
            let known = SPARKPLUG_PLACES.into_iter().find(|known| *known == place);
            known
                .map(NamePlace::Sparkplug)
                .ok_or_else(|| format!("{{{place}}} is not known; known are {{group}}, {{node}}, {{device}}, {{metric}}"))
        })?;
        if !pattern.places().any(|place| *place == NamePlace::Sparkplug("metric")) {
            return Err("has no {metric}, so that all metrics of a device would be one tag".to_owned());
        }
        Ok(pattern)
    }

    fn parse(text: &str, place: impl Fn(&str) -> Result<NamePlace, String>) -> Result<NamePattern, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (within, after) = behind.split_once('}').ok_or("has a { without its }")?;
            if !before.is_empty() {
                parts.push(NamePart::Text(before.to_owned()));
            }
            parts.push(NamePart::Place(place(within)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(NamePart::Text(rest.to_owned()));
        }
        for part in &parts {
            if let NamePart::Text(text) = part
                && let Some(reserved) = text.chars().find(|character| is_reserved(*character))
            {
                return Err(format!("has {reserved:?}, which no tag name may have"));
            }
        }
        if parts.is_empty() {
            return Err("is empty".to_owned());
        }
        Ok(NamePattern(parts))
    }

    pub fn places(&self) -> impl Iterator<Item = &NamePlace> {
        self.0.iter().filter_map(|part| match part {
            NamePart::Place(place) => Some(place),
            NamePart::Text(_) => None,
        })
    }

    /// The name where `fill` says what stands at each place. Parts that are empty vanish with their slash; characters that no tag name may
    /// have are written as `%` and two hexadecimal digits for each of their bytes.
    ///
    /// # Errors
    /// Why there is no such name.
    pub fn name(&self, mut fill: impl FnMut(&NamePlace) -> Result<String, String>) -> Result<TagName, String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                NamePart::Text(part) => text.push_str(part),
                NamePart::Place(place) => text.push_str(&without_reserved(&fill(place)?)),
            }
        }
        let levels: Vec<String> = text.split('/').filter(|level| !level.is_empty()).map(without_outer_space).collect();
        TagName::new(levels.join("/")).map_err(|error| error.to_string())
    }
}

fn is_reserved(character: char) -> bool {
    character.is_control() || "*?[]{}\\".contains(character)
}

fn escape(character: char, into: &mut String) {
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        // A text takes everything.
        let _ = write!(into, "%{byte:02X}");
    }
}

fn without_reserved(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if is_reserved(character) { escape(character, &mut clean) } else { clean.push(character) }
    }
    clean
}

/// White space at the ends of a level, escaped.
fn without_outer_space(level: &str) -> String {
    let within = level.trim();
    if within.len() == level.len() {
        return level.to_owned();
    }
    let start = level.len() - level.trim_start().len();
    let mut clean = String::new();
    level[..start].chars().for_each(|character| escape(character, &mut clean));
    clean.push_str(within);
    level[start + within.len()..].chars().for_each(|character| escape(character, &mut clean));
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(pattern: &str, wildcards: &[&str], field: &str) -> Result<String, String> {
        let pattern = NamePattern::of_topic(pattern, wildcards.len())?;
        let name = pattern.name(|place| {
            Ok(match place {
                NamePlace::Wildcard(number) => wildcards[number - 1].to_owned(),
                NamePlace::Topic => "the/topic".to_owned(),
                NamePlace::Field => field.to_owned(),
                NamePlace::Member(pointer) => format!("at {pointer}"),
                NamePlace::Sparkplug(_) => String::new(),
            })
        });
        name.map(|name| name.to_string())
    }

    #[test]
    fn places_are_filled_and_empty_ones_vanish_with_their_slash() {
        assert_eq!(filled("{1}/{2}/{field}", &["a", "b"], "t/x").unwrap(), "a/b/t/x");
        assert_eq!(filled("{1}/{2}/{field}", &["a", ""], "").unwrap(), "a");
        assert_eq!(filled("mqtt/{topic}", &[], "").unwrap(), "mqtt/the/topic");
        assert_eq!(filled("{/id}", &[], "").unwrap(), "at%20/id");
        assert_eq!(filled("{1}", &["a[0]* "], "").unwrap(), "a%5B0%5D%2A%20");
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (pattern, wildcards, told) in [
            ("", 0, "empty"),
            ("{1}", 0, "no wildcards"),
            ("{3}", 2, "1 to 2"),
            ("{key}", 1, "not known"),
            ("a{", 0, "without its }"),
            ("a*", 0, "no tag name"),
        ] {
            assert!(NamePattern::of_topic(pattern, wildcards).unwrap_err().contains(told), "{pattern}");
        }
        assert!(NamePattern::of_sparkplug("{group}/{node}").unwrap_err().contains("{metric}"));
        assert!(NamePattern::of_sparkplug("{topic}/{metric}").unwrap_err().contains("{topic}"));
    }

    proptest! {
        #[test]
        fn whatever_a_message_has_gives_a_tag_name_or_is_told(level in any::<String>()) {
            let made = filled("p/{1}", &[&level], "");
            // Only what is too long is no name.
            prop_assert!(made.is_ok() || level.len() > 100, "{:?}", made);
        }
    }
}
