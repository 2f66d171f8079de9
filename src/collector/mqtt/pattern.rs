//! Patterns from which tags get their names: text with `{places}` that a message fills.

use historian_collector::TextPattern;
use historian_model::TagName;

/// A pattern, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(TextPattern<NamePlace>);

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
        let pattern = TextPattern::parse(text, |place| match place {
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
        })?;
        Ok(NamePattern(pattern))
    }

    /// A pattern of `[mqtt.sparkplug]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_sparkplug(text: &str) -> Result<NamePattern, String> {
        let pattern = NamePattern(TextPattern::parse(text, |place| {
            let known = SPARKPLUG_PLACES.into_iter().find(|known| *known == place);
            known
                .map(NamePlace::Sparkplug)
                .ok_or_else(|| format!("{{{place}}} is not known; known are {{group}}, {{node}}, {{device}}, {{metric}}"))
        })?);
        if !pattern.places().any(|place| *place == NamePlace::Sparkplug("metric")) {
            return Err("has no {metric}, so that all metrics of a device would be one tag".to_owned());
        }
        Ok(pattern)
    }

    pub fn places(&self) -> impl Iterator<Item = &NamePlace> {
        self.0.places()
    }

    /// The name where `fill` says what stands at each place.
    ///
    /// # Errors
    /// Why there is no such name.
    pub fn name(&self, fill: impl FnMut(&NamePlace) -> Result<String, String>) -> Result<TagName, String> {
        self.0.name(fill)
    }
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
