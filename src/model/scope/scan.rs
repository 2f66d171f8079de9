//! Names that come in their order, tested against what somebody may see.

use crate::selection::{GlobRange, Scan, TagSelection};

/// See [`TagScope::scan`](super::TagScope::scan).
pub enum ScopeScan<'a> {
    Everything,
    AnyOf(Vec<SelectionScan<'a>>),
}

impl ScopeScan<'_> {
    /// True when the scope has the name. Names come in their order.
    pub fn has_next(&mut self, name: &str) -> bool {
        match self {
            ScopeScan::Everything => true,
            // One that is not asked catches up later.
            ScopeScan::AnyOf(selections) => selections.iter_mut().any(|selection| selection.has_next(name)),
        }
    }
}

/// What of a selection lies at the last name and behind it.
pub struct SelectionScan<'a> {
    names: &'a [String],
    /// The first one may lie before the name, and have it.
    ranges: &'a [GlobRange],
    /// Of the first range, once a name came that it may have.
    scan: Option<Scan<'a>>,
}

impl<'a> SelectionScan<'a> {
    pub fn new(selection: &'a TagSelection) -> SelectionScan<'a> {
        SelectionScan { names: selection.names(), ranges: selection.ranges(), scan: None }
    }

    fn has_next(&mut self, name: &str) -> bool {
        self.names = &self.names[count_before(self.names, |listed| listed.as_str() < name)..];
        let begun = count_before(self.ranges, |range| range.prefix() <= name);
        if begun > 1 {
            (self.ranges, self.scan) = (&self.ranges[begun - 1..], None);
        }
        // What begins with a prefix lies behind it, and nothing that begins otherwise lies between them.
        let range = self.ranges.first().filter(|_| begun > 0);
        let in_range = range.is_some_and(|range| self.scan.get_or_insert_with(|| range.scan()).matches_next(name));
        in_range || self.names.first().is_some_and(|listed| listed == name)
    }
}

/// How many entries at the beginning lie before something; `is_before` is true of these and of no others. The next one is mostly near.
fn count_before<T>(entries: &[T], is_before: impl Fn(&T) -> bool) -> usize {
    let mut reach = 1;
    while entries.get(reach - 1).is_some_and(&is_before) {
        reach *= 2;
    }
    let (known, end) = (reach / 2, entries.len().min(reach - 1));
    known + entries[known..end].partition_point(is_before)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TagScope;

    #[test]
    fn so_many_are_counted_as_there_are() {
        for len in 0..70 {
            let entries: Vec<usize> = (0..len).collect();
            for at in 0..=len {
                assert_eq!(count_before(&entries, |entry| *entry < at), at, "of {len}");
            }
        }
    }

    #[test]
    fn names_in_their_order_are_in_the_scope_that_each_of_them_is_in() {
        let name = prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "ba", "c"]), 1..5).prop_map(|levels| levels.join("/"));
        let glob = prop::sample::select(vec![
            "**", "*", "a/*", "a/**", "**/b", "ab*/**", "{a,ab}/c", "b?/**", "[ab]/*", "c/**/b", "*/c", "{c,ba}", "a/b*", "ab/c/*",
        ]);
        let patterns = prop::collection::vec(prop_oneof![2 => name.clone(), 1 => glob.prop_map(str::to_owned)], 1..40);
        let scopes = prop::collection::vec(patterns, 0..4);
        proptest!(|(names in prop::collection::btree_set(name, 0..300), scopes in scopes)| {
            let scopes: Vec<TagScope> = scopes.iter().map(|patterns| TagScope::Of(TagSelection::parse(patterns).unwrap())).collect();
            let scope = TagScope::union(&scopes);
            let mut scan = scope.scan();
            for name in &names {
                prop_assert_eq!(scan.has_next(name), scope.has(name), "{:?} {}", scope, name);
            }
        });
        assert!(TagScope::Everything.scan().has_next("a"));
    }
}
