//! Which tags somebody may see: selections of names, said before there are tags of these names.

mod scan;

use std::sync::Arc;

pub use self::scan::ScopeScan;
use self::scan::SelectionScan;
use super::selection::TagSelection;

/// Which tags somebody may see, or do something to. It is said of names, whether or not there are tags of these names.
#[derive(Clone, Debug, Default)]
pub enum TagScope {
    Everything,
    Of(TagSelection),
    /// What any of several selections has; there are two at least.
    AnyOf(Arc<[TagSelection]>),
    #[default]
    Nothing,
}

impl TagScope {
    /// True when a tag of this name is in the scope.
    pub fn has(&self, name: &str) -> bool {
        match self {
            TagScope::Everything => true,
            TagScope::Of(selection) => selection.matches(name),
            TagScope::AnyOf(selections) => selections.iter().any(|selection| selection.matches(name)),
            TagScope::Nothing => false,
        }
    }

    /// Tests names one after another, which come in their order: what the scope has is then passed through once, not searched for each name.
    pub fn scan(&self) -> ScopeScan<'_> {
        match self {
            TagScope::Everything => ScopeScan::Everything,
            TagScope::Of(selection) => ScopeScan::AnyOf(vec![SelectionScan::new(selection)]),
            TagScope::AnyOf(selections) => ScopeScan::AnyOf(selections.iter().map(SelectionScan::new).collect()),
            TagScope::Nothing => ScopeScan::AnyOf(Vec::new()),
        }
    }

    /// What any of these scopes has. No glob is read for it: it takes as long as there are scopes, and a name is looked up in each of them.
    #[must_use]
    pub fn union<'a>(scopes: impl IntoIterator<Item = &'a TagScope>) -> TagScope {
        let mut selections: Vec<TagSelection> = Vec::new();
        for scope in scopes {
            match scope {
                TagScope::Everything => return TagScope::Everything,
                TagScope::Of(selection) => selections.push(selection.clone()),
                TagScope::AnyOf(several) => selections.extend(several.iter().cloned()),
                TagScope::Nothing => {}
            }
        }
        match selections.len() {
            0 => TagScope::Nothing,
            1 => selections.pop().map_or(TagScope::Nothing, TagScope::Of),
            _ => TagScope::AnyOf(selections.into()),
        }
    }

    /// Names and globs as they were written, in no particular order; of everything and of nothing none.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        let selections = match self {
            TagScope::Of(selection) => std::slice::from_ref(selection),
            TagScope::AnyOf(selections) => selections,
            TagScope::Everything | TagScope::Nothing => &[],
        };
        selections.iter().flat_map(TagSelection::patterns)
    }

    /// True when there is no name outside.
    pub fn is_everything(&self) -> bool {
        matches!(self, TagScope::Everything)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_union_of_scopes_has_what_any_of_them_has() {
        let of = |patterns: &[&str]| TagScope::Of(TagSelection::parse(patterns).unwrap());
        let (a, b) = (of(&["a/**", "x"]), of(&["b/*"]));
        let both = TagScope::union([&a, &TagScope::Nothing, &b]);
        for (name, has) in [("a/1/2", true), ("x", true), ("b/1", true), ("b/1/2", false), ("c", false)] {
            assert_eq!(both.has(name), has, "{name}");
        }
        assert_eq!(both.patterns().collect::<Vec<_>>(), ["a/**", "x", "b/*"]);
        let more = TagScope::union([&both, &of(&["c"])]);
        assert!(more.has("a/1") && more.has("b/1") && more.has("c") && !more.has("d"));
        assert!(TagScope::union([&both, &TagScope::Everything]).is_everything());
        assert!(matches!(TagScope::union([&TagScope::Nothing]), TagScope::Nothing));
        assert!(matches!(TagScope::union([]), TagScope::Nothing));
        assert!(matches!(TagScope::union([&a, &TagScope::Nothing]), TagScope::Of(_)));
    }
}
