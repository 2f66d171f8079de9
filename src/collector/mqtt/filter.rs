//! Topic filters of MQTT: what they match, and what their wildcards stand for.

use std::fmt;

/// A filter that may be subscribed to: `+` is one level, `#` at the end is all that follow, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttFilter(String);

/// Longest topic or filter of the protocol, in bytes.
const TOPIC_BYTES_MAX: usize = 65_535;

impl MqttFilter {
    /// Checks the rules of MQTT.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<MqttFilter, String> {
        check_text(text)?;
        if text.starts_with("$share/") {
            return Err(
                "shared subscriptions give each message to one of several clients, so that samples would be missing here".to_owned()
            );
        }
        let levels: Vec<&str> = text.split('/').collect();
        for (number, level) in levels.iter().enumerate() {
            if level.contains('#') && (*level != "#" || number + 1 < levels.len()) {
                return Err("# stands alone in the last level".to_owned());
            }
            if level.contains('+') && *level != "+" {
                return Err("+ stands alone in its level".to_owned());
            }
        }
        Ok(MqttFilter(text.to_owned()))
    }

    /// Number of wildcards.
    pub fn wildcards(&self) -> usize {
        self.0.split('/').filter(|level| ["+", "#"].contains(level)).count()
    }

    /// What the wildcards stand for in a topic, in their order; `None` where the topic does not match.
    pub fn captures<'topic>(&self, topic: &'topic str) -> Option<Vec<&'topic str>> {
        // Topics of the broker itself are not what a wildcard in the first level asks for.
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return None;
        }
        let mut captured = Vec::new();
        let mut rest = Some(topic);
        for level in self.0.split('/') {
            if level == "#" {
                captured.push(rest.unwrap_or_default());
                return Some(captured);
            }
            let (first, behind) = match rest?.split_once('/') {
                Some((first, behind)) => (first, Some(behind)),
                None => (rest?, None),
            };
            match level {
                "+" => captured.push(first),
                level if level == first => {}
                _ => return None,
            }
            rest = behind;
        }
        rest.is_none().then_some(captured)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MqttFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text cannot be a topic that is published to; `None` when it can.
pub fn topic_problem(text: &str) -> Option<String> {
    if let Err(problem) = check_text(text) {
        return Some(problem);
    }
    text.contains(['+', '#']).then(|| "names one topic: + and # belong into a [[mqtt.topic]]".to_owned())
}

fn check_text(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(format!("is longer than {TOPIC_BYTES_MAX} bytes"));
    }
    if text.contains('\0') {
        return Err("has a null character".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn captures<'topic>(filter: &str, topic: &'topic str) -> Option<Vec<&'topic str>> {
        MqttFilter::parse(filter).unwrap().captures(topic)
    }

    #[test]
    fn wildcards_stand_for_levels() {
        assert_eq!(captures("plant/+/+/state", "plant/a/b/state"), Some(vec!["a", "b"]));
        assert_eq!(captures("plant/#", "plant/a/b"), Some(vec!["a/b"]));
        assert_eq!(captures("plant/#", "plant"), Some(vec![""]), "# includes the level above");
        assert_eq!(captures("+/+", "/a"), Some(vec!["", "a"]));
        assert_eq!(captures("a/b", "a/b"), Some(vec![]));
        for (filter, topic) in
            [("plant/+", "plant"), ("plant/+", "plant/a/b"), ("a/b", "a/bc"), ("#", "$SYS/x"), ("+/x", "$SYS/x"), ("a/#", "b")]
        {
            assert_eq!(captures(filter, topic), None, "{filter} {topic}");
        }
        assert_eq!(captures("$SYS/#", "$SYS/x"), Some(vec!["x"]));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_rule() {
        for (text, rule) in
            [("", "empty"), ("a/#/b", "last level"), ("a/b#", "last level"), ("a+/b", "+ stands alone"), ("$share/g/a", "shared")]
        {
            assert!(MqttFilter::parse(text).unwrap_err().contains(rule), "{text}");
        }
        assert!(topic_problem("a/+").is_some() && topic_problem("").is_some() && topic_problem("a/b").is_none());
    }

    proptest! {
        #[test]
        fn a_filter_matches_the_topics_that_fill_its_wildcards(levels in prop::collection::vec(("[a-c]{0,2}", any::<bool>()), 1..6)) {
            let filter: Vec<&str> = levels.iter().map(|(level, wild)| if *wild { "+" } else { level.as_str() }).collect();
            let topic: Vec<&str> = levels.iter().map(|(level, _)| level.as_str()).collect();
            let (filter, topic) = (filter.join("/"), topic.join("/"));
            prop_assume!(!filter.is_empty());
            let wild: Vec<&str> = levels.iter().filter(|(_, wild)| *wild).map(|(level, _)| level.as_str()).collect();
            prop_assert_eq!(MqttFilter::parse(&filter).unwrap().captures(&topic), Some(wild));
            let longer = format!("{topic}/x");
            prop_assert_eq!(MqttFilter::parse(&filter).unwrap().captures(&longer), None);
        }
    }
}
