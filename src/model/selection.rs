//! Tag selection: exact names and globs.
//!
//! The globs of a request become ranges of names, in their order and apart from each other: one for each literal beginning that does not begin
//! with another one. Whoever has names in their order looks at those of the ranges only, and tests each once, against all globs of its range
//! together (`automaton`).

mod automaton;
mod glob;

use std::sync::Arc;

pub use self::automaton::Scan;
use self::{
    automaton::Automaton,
    glob::{GlobRefusal, Step},
};

/// The tags a request names: any tag that matches one of the patterns. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub struct TagSelection(Arc<Compiled>);

#[derive(Debug, Default)]
struct Compiled {
    /// As the request has them.
    patterns: Vec<TagPattern>,
    /// Exact names, and those that a glob means without a wildcard, in their order, each once.
    names: Vec<String>,
    /// In their order; no prefix begins with another.
    ranges: Vec<GlobRange>,
}

/// A pattern as it was written.
#[derive(Debug)]
enum TagPattern {
    Exact(String),
    Glob(String),
}

/// The names with one beginning, and which of them are selected.
#[derive(Debug)]
pub struct GlobRange {
    prefix: String,
    /// What follows the prefix; `None`: anything.
    rest: Option<Automaton>,
}

/// Why patterns of a request are not taken.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSelection {
    #[error("tag pattern {pattern:?} is not valid: {reason}")]
    Pattern { pattern: String, reason: String },
    #[error(
        "the globs of the request have together more than {GLOB_STEPS_MAX} characters and wildcards, where {{a,b}} counts as two globs; \
         ask in parts"
    )]
    TooLarge,
    #[error("nobody waits for the selection")]
    Stopped,
}

/// Longest pattern in bytes.
const PATTERN_BYTES_MAX: usize = 1024;

/// Characters and wildcards of all globs of a request, with alternatives written out. It bounds the memory of a selection (some 8 MiB at worst,
/// 1 MiB for globs of plain names), and what a single name costs (some 10 µs per byte at worst).
const GLOB_STEPS_MAX: usize = 1 << 18;

impl TagSelection {
    /// Reads patterns as a request writes them. A text without `* ? [ {` is an exact name. Takes up to some 100 ms for as many globs as are
    /// taken.
    ///
    /// # Errors
    /// Names the first pattern that is empty or no valid glob; or all globs together are too long.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<TagSelection, InvalidSelection> {
        TagSelection::parse_while(patterns, &|| true)
    }

    /// As [`TagSelection::parse`], where before each pattern it is asked whether to go on.
    ///
    /// # Errors
    /// Also [`InvalidSelection::Stopped`].
    pub fn parse_while<S: AsRef<str>>(patterns: &[S], go_on: &dyn Fn() -> bool) -> Result<TagSelection, InvalidSelection> {
        let mut written = Vec::new();
        let mut room = GLOB_STEPS_MAX;
        let mut globs: Vec<Vec<Step>> = Vec::new();
        for pattern in patterns.iter().map(AsRef::as_ref) {
            let refuse = |reason: String| InvalidSelection::Pattern { pattern: pattern.chars().take(80).collect(), reason };
            if !go_on() {
                return Err(InvalidSelection::Stopped);
            }
            if pattern.is_empty() {
                return Err(refuse("it is empty".into()));
            }
            if pattern.len() > PATTERN_BYTES_MAX {
                return Err(refuse(format!("it is longer than {PATTERN_BYTES_MAX} bytes")));
            }
            if !pattern.contains(['*', '?', '[', '{']) {
                written.push(TagPattern::Exact(pattern.to_owned()));
                continue;
            }
            written.push(TagPattern::Glob(pattern.to_owned()));
            globs.extend(glob::written_out(pattern, &mut room).map_err(|refusal| match refusal {
                GlobRefusal::Invalid(reason) => refuse(reason),
                GlobRefusal::TooLarge => InvalidSelection::TooLarge,
            })?);
        }
        Ok(TagSelection::of(written, globs))
    }

    /// As [`TagSelection::parse`], where no patterns mean all tags.
    ///
    /// # Errors
    /// As there.
    pub fn parse_or_all<S: AsRef<str>>(patterns: &[S]) -> Result<TagSelection, InvalidSelection> {
        if patterns.is_empty() { Ok(TagSelection::all()) } else { TagSelection::parse(patterns) }
    }

    /// Selects the tags of these names.
    pub fn of_names(names: Vec<String>) -> TagSelection {
        TagSelection::of(names.into_iter().map(TagPattern::Exact).collect(), Vec::new())
    }

    /// Selects every tag.
    pub fn all() -> TagSelection {
        let ranges = vec![GlobRange { prefix: String::new(), rest: None }];
        TagSelection(Arc::new(Compiled { patterns: vec![TagPattern::Glob("**".into())], names: Vec::new(), ranges }))
    }

    fn of(patterns: Vec<TagPattern>, globs: Vec<Vec<Step>>) -> TagSelection {
        let mut names: Vec<String> = patterns.iter().filter_map(TagPattern::exact).map(str::to_owned).collect();
        let mut begun: Vec<(String, Vec<Step>)> = Vec::new();
        for steps in globs {
            match glob::literal(steps) {
                (name, rest) if rest.is_empty() => names.push(name),
                other => begun.push(other),
            }
        }
        names.sort_unstable();
        names.dedup();
        begun.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut ranges: Vec<GlobRange> = Vec::new();
        let mut begun = begun.into_iter().peekable();
        while let Some((prefix, rest)) = begun.next() {
            let mut rests = vec![rest];
            while let Some((longer, rest)) = begun.next_if(|(longer, _)| longer.starts_with(&prefix)) {
                rests.push(longer.as_bytes()[prefix.len()..].iter().map(|byte| Step::Byte(*byte)).chain(rest).collect());
            }
            ranges.push(GlobRange { prefix, rest: Automaton::any_of(&rests) });
        }
        TagSelection(Arc::new(Compiled { patterns, names, ranges }))
    }

    /// True when the name is selected.
    pub fn matches(&self, name: &str) -> bool {
        let listed = || self.0.names.binary_search_by(|listed| listed.as_str().cmp(name)).is_ok();
        // What begins with a prefix lies behind it, and nothing that begins otherwise lies between them.
        let behind = self.0.ranges.partition_point(|range| range.prefix.as_str() <= name);
        let in_range = || behind.checked_sub(1).is_some_and(|index| self.0.ranges[index].matches(name));
        in_range() || listed()
    }

    /// The patterns as they were written.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.0.patterns.iter().map(TagPattern::text)
    }

    /// The exact names among them: in their order, and as often.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.0.patterns.iter().filter_map(TagPattern::exact)
    }

    /// Names that are selected one by one, in their order, each once: the exact ones, and what globs mean that have alternatives only.
    pub fn names(&self) -> &[String] {
        &self.0.names
    }

    /// Ranges of names in which globs select, in their order and apart from each other.
    pub fn ranges(&self) -> &[GlobRange] {
        &self.0.ranges
    }
}

impl TagPattern {
    fn text(&self) -> &str {
        match self {
            TagPattern::Exact(text) | TagPattern::Glob(text) => text,
        }
    }

    fn exact(&self) -> Option<&str> {
        if let TagPattern::Exact(name) = self { Some(name) } else { None }
    }
}

impl GlobRange {
    /// What every selected name begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// True when a glob of the range matches the name.
    pub fn matches(&self, name: &str) -> bool {
        let behind = name.as_bytes().strip_prefix(self.prefix.as_bytes());
        behind.is_some_and(|behind| self.rest.as_ref().is_none_or(|rest| rest.matches(behind)))
    }

    /// Tests names against the globs of the range. Those that come in their order share the work for what they begin with.
    pub fn scan(&self) -> Scan<'_> {
        Scan::new(&self.prefix, self.rest.as_ref())
    }
}

#[cfg(test)]
mod tests;
