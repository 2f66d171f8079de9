//! One `[[opcua.glob]]` of the configuration, and what can be wrong with it.

use serde::Deserialize;

use super::{
    glob::{GlobPlace, GlobPlaces, GlobRule},
    item::OpcUaTag,
    path_filter::PathFilter,
    tag::OpcUaDefaults,
};
use historian_collector::{
    TagConfig, TextPattern, filtered_section,
    not_available::NotAvailable,
    tag_key::{NOT_AVAILABLE, Setting},
};

filtered_section! {
    /// `[[opcua.glob]]`
    #[derive(Clone, Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct GlobSection {
        /// Glob over the paths of variables below Objects.
        pub path: String,
        /// Pattern of the names of the tags; by default the path.
        #[serde(default)]
        pub tag_name: Option<String>,
        /// Globs over paths that are left alone.
        #[serde(default)]
        pub exclude: Vec<String>,
        #[serde(default)]
        pub sampling_ms: Option<u64>,
        #[serde(default)]
        pub queue_size: Option<u64>,
        #[serde(default)]
        pub trigger: Option<String>,
        /// Of tags that are numbers.
        #[serde(default)]
        pub deadband: Option<f64>,
        /// Of tags that are numbers with a range.
        #[serde(default)]
        pub deadband_percent: Option<f64>,
        #[serde(default)]
        pub timestamps: Option<String>,
        #[serde(default)]
        pub not_available: Option<NotAvailable>,
        #[serde(default)]
        pub stepped: Option<bool>,
    }
}

/// A key, and what is wrong with it.
type GlobProblem = (String, String);

impl GlobSection {
    /// # Errors
    /// Everything that is wrong, with its key.
    pub(super) fn rule(&self, device: &OpcUaDefaults<'_>) -> Result<GlobRule, Vec<GlobProblem>> {
        let mut problems: Vec<GlobProblem> = Vec::new();
        let filter = PathFilter::parse(&self.path).map_err(|why| problems.push(("path".to_owned(), why)));
        let filter = filter.and_then(|filter| filter.without(&self.exclude).map_err(|why| problems.push(("exclude".to_owned(), why))));
        let places = GlobPlaces::of(&self.path);
        let tag_name = tag_name(self.tag_name.as_deref().unwrap_or("{path}"), &places);
        let tag_name = tag_name.map_err(|why| problems.push(("tag_name".to_owned(), why)));
        if let Some(why) = self.not_available.as_ref().and_then(NotAvailable::device_problem) {
            problems.push(("not_available".to_owned(), why));
        }
        let tag_filter = self.tag_filter();
        if let Some((key, why)) = tag_filter.refused_of_any(None, self.stepped, true) {
            problems.push((key.to_owned(), why));
        }
        let template = self.template(device).map_err(|refused| problems.extend(refused));
        match (filter, tag_name, template) {
            (Ok(filter), Ok(tag_name), Ok(template)) if problems.is_empty() => {
                Ok(GlobRule { filter, places, tag_name, template, stepped: self.stepped, tag_filter })
            }
            _ => Err(problems),
        }
    }

    /// Its keys as those of a tag: they mean the same, and are checked alike.
    fn template(&self, device: &OpcUaDefaults<'_>) -> Result<OpcUaTag, Vec<GlobProblem>> {
        let mut tag = TagConfig { name: "template".to_owned(), address: "i=1".to_owned(), ..TagConfig::default() };
        let texts = [("trigger", &self.trigger), ("timestamps", &self.timestamps)];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, Setting::Text(text.clone()?))));
        let wholes = [("sampling_ms", self.sampling_ms), ("queue_size", self.queue_size)];
        let wholes = wholes.into_iter().filter_map(|(key, whole)| Some((key, Setting::Whole(whole?))));
        let numbers = [("deadband", self.deadband), ("deadband_percent", self.deadband_percent)];
        let numbers = numbers.into_iter().filter_map(|(key, number)| Some((key, Setting::Number(number?))));
        let listed = self.not_available.clone().map(|listed| (NOT_AVAILABLE.name, Setting::NotAvailable(listed)));
        for (key, setting) in texts.chain(wholes).chain(numbers).chain(listed) {
            tag.own.set(key, setting);
        }
        let key = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
        let told = |problems: Vec<historian_collector::ConfigProblem>| {
            problems.into_iter().map(|problem| (key(&problem.key), problem.message)).collect()
        };
        OpcUaTag::build(&tag, "", device).map_err(told)
    }
}

fn tag_name(text: &str, places: &GlobPlaces) -> Result<TextPattern<GlobPlace>, String> {
    let pattern = TextPattern::parse(text, |place| match (place, places.count()) {
        ("path", _) => Ok(GlobPlace::Path),
        (number, count) => match (number.parse::<usize>(), count) {
            (Err(_), _) => Err(format!("{{{number}}} is not known; known are {{1}}, {{2}}, … for the levels with wildcards, and {{path}}")),
            (Ok(number), None) => {
                Err(format!("{{{number}}}: a path with alternatives, or with ** within a level, has no numbered wildcards; use {{path}}"))
            }
            (Ok(number), Some(count)) if (1..=count).contains(&number) => Ok(GlobPlace::Wildcard(number)),
            (Ok(number), Some(0)) => Err(format!("{{{number}}}: the path has no wildcards")),
            (Ok(number), Some(count)) => Err(format!("{{{number}}}: the path has wildcards 1 to {count}")),
        },
    })?;
    let all = places.count().unwrap_or(usize::MAX);
    let named = |wanted: usize| pattern.places().any(|place| *place == GlobPlace::Wildcard(wanted));
    if all > 0 && !pattern.places().any(|place| *place == GlobPlace::Path) && !(1..=all).all(named) {
        return Err("has neither {path} nor every wildcard, so that several variables would be one tag".to_owned());
    }
    Ok(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_needs_what_tells_variables_apart() {
        let name = |path: &str, pattern: &str| tag_name(pattern, &GlobPlaces::of(path)).map(drop);
        for (path, pattern) in [("Line/**", "plant/{1}"), ("*/Speed/*", "{2}/{1}"), ("{a,b}/*", "x/{path}"), ("Line/Speed", "speed")] {
            assert_eq!(name(path, pattern), Ok(()), "{path} {pattern}");
        }
        for (path, pattern, told) in [
            ("Line/**", "plant", "neither {path}"),
            ("*/*", "{1}", "every wildcard"),
            ("Line/*", "{2}", "1 to 1"),
            ("Line/Speed", "{1}", "no wildcards"),
            ("{a,b}/*", "{1}", "alternatives"),
            ("Line/*", "{topic}", "not known"),
            ("Line/*", "", "empty"),
        ] {
            assert!(name(path, pattern).unwrap_err().contains(told), "{path} {pattern}");
        }
    }
}
