//! Tag selection: exact names and globs.

use globset::{GlobBuilder, GlobMatcher};

/// One pattern of a request: an exact tag name, or a glob with `*` within a level and `**` across levels.
#[derive(Clone, Debug)]
pub enum TagPattern {
    Exact(String),
    Glob { text: String, matcher: GlobMatcher },
}

/// The tags a request names: any tag that matches one of the patterns.
#[derive(Clone, Debug, Default)]
pub struct TagSelection {
    pub patterns: Vec<TagPattern>,
}

/// A pattern that is no glob.
#[derive(Debug, thiserror::Error)]
#[error("tag pattern {pattern:?} is not valid: {reason}")]
pub struct InvalidTagPattern {
    pub pattern: String,
    pub reason: String,
}

impl TagSelection {
    /// Reads patterns as a request writes them. A text without `* ? [ {` is an exact name.
    ///
    /// # Errors
    /// Names the first pattern that is empty or no valid glob.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<TagSelection, InvalidTagPattern> {
        patterns
            .iter()
            .map(|pattern| TagPattern::parse(pattern.as_ref()))
            .collect::<Result<_, _>>()
            .map(|patterns| TagSelection { patterns })
    }

    /// As [`TagSelection::parse`], where no patterns mean all tags.
    ///
    /// # Errors
    /// As there.
    pub fn parse_or_all<S: AsRef<str>>(patterns: &[S]) -> Result<TagSelection, InvalidTagPattern> {
        if patterns.is_empty() { Ok(TagSelection::all()) } else { TagSelection::parse(patterns) }
    }

    /// True when a pattern matches the name.
    pub fn matches(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// Selects every tag.
    pub fn all() -> TagSelection {
        TagSelection::parse(&["**"]).unwrap_or_default()
    }
}

impl TagPattern {
    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        match self {
            TagPattern::Exact(text) | TagPattern::Glob { text, .. } => text,
        }
    }

    /// Longest pattern in bytes.
    pub const BYTES_MAX: usize = 1024;

    fn parse(pattern: &str) -> Result<TagPattern, InvalidTagPattern> {
        let refuse = |reason: String| InvalidTagPattern { pattern: pattern.chars().take(80).collect(), reason };
        if pattern.is_empty() {
            return Err(refuse("it is empty".into()));
        }
        if pattern.len() > Self::BYTES_MAX {
            return Err(refuse(format!("it is longer than {} bytes", Self::BYTES_MAX)));
        }
        if !pattern.contains(['*', '?', '[', '{']) {
            return Ok(TagPattern::Exact(pattern.to_owned()));
        }
        let glob = GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| refuse(error.kind().to_string()))?;
        Ok(TagPattern::Glob { text: pattern.to_owned(), matcher: glob.compile_matcher() })
    }

    /// True when the name is selected.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            TagPattern::Exact(exact) => exact == name,
            TagPattern::Glob { matcher, .. } => matcher.is_match(name),
        }
    }

    /// Literal text that every selected name starts with; empty when there is none.
    pub fn literal_prefix(&self) -> &str {
        match self {
            TagPattern::Exact(exact) => exact,
            TagPattern::Glob { text, .. } => &text[..text.find(['*', '?', '[', '{', '\\']).unwrap_or(text.len())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_stays_in_its_level_and_two_cross_levels() {
        let matches = |pattern: &str, name: &str| TagSelection::parse(&[pattern]).unwrap().patterns[0].matches(name);
        assert!(matches("area1/*", "area1/level"));
        assert!(!matches("area1/*", "area1/boiler/level"));
        assert!(matches("area1/**", "area1/boiler/level"));
        assert!(matches("**", "a/b/c"));
        assert!(matches("**/level", "a/b/level"));
        assert!(matches("a/b", "a/b"));
        assert!(!matches("a/b", "a/b/c"));
    }

    #[test]
    fn bad_patterns_are_named() {
        assert!(TagSelection::parse(&[""]).is_err());
        assert!(TagSelection::parse(&["a/[b"]).unwrap_err().to_string().contains("a/[b"));
    }

    #[test]
    fn no_patterns_select_nothing_or_where_asked_for_everything() {
        let none: [&str; 0] = [];
        assert!(!TagSelection::parse(&none).unwrap().matches("a/b"));
        assert!(TagSelection::parse_or_all(&none).unwrap().matches("a/b"));
        assert!(!TagSelection::parse_or_all(&["a"]).unwrap().matches("a/b"));
        assert!(TagSelection::parse_or_all(&[""]).is_err());
    }

    #[test]
    fn the_literal_prefix_ends_at_the_first_wildcard() {
        assert_eq!(TagSelection::parse(&["area1/t*"]).unwrap().patterns[0].literal_prefix(), "area1/t");
        assert_eq!(TagSelection::parse(&["**"]).unwrap().patterns[0].literal_prefix(), "");
    }
}
