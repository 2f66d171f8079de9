//! The tags of one moment. A version never changes: who reads holds one and no lock, and who changes the catalog makes the next one.

use std::{ops::Bound, sync::Arc};

use super::{ids::TagIds, names::TagNames};
use historian_model::{Tag, TagId, TagSelection};

/// Names looked at between two questions whether to go on: at worst some 100 ms of work.
const ASKED_AFTER: usize = 256;

/// All tags of a moment.
#[derive(Clone, Default)]
pub struct CatalogVersion {
    names: TagNames,
    ids: TagIds,
    /// See [`states_bytes`]; of all tags.
    states_bytes: usize,
}

impl CatalogVersion {
    pub fn get(&self, name: &str) -> Option<&Arc<Tag>> {
        self.names.get(name)
    }

    pub fn by_id(&self, id: TagId) -> Option<&Arc<Tag>> {
        self.ids.get(id)
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Memory of the state sets of all tags.
    pub fn states_bytes(&self) -> usize {
        self.states_bytes
    }

    /// The id that the next tag gets.
    pub fn next_id(&self) -> TagId {
        self.ids.next()
    }

    /// All tags, in the order of their ids.
    pub fn tags(&self) -> impl Iterator<Item = &Arc<Tag>> {
        self.ids.iter()
    }

    /// Puts a tag where its id and name are.
    pub fn insert(&mut self, tag: Tag) -> Arc<Tag> {
        let tag = Arc::new(tag);
        self.states_bytes += states_bytes(&tag);
        let before = self.ids.set(tag.id, Some(tag.clone()));
        self.states_bytes -= before.map_or(0, |before| states_bytes(&before));
        self.names.insert(tag.clone());
        tag
    }

    /// Puts a tag under its new name, in the place of the one with its id that has the name `from`.
    pub fn rename(&mut self, from: &str, tag: Tag) -> Arc<Tag> {
        self.names.remove(from);
        self.insert(tag)
    }

    /// Takes a tag out; its id stays given.
    pub fn remove(&mut self, tag: &Tag) {
        self.names.remove(tag.name().as_str());
        self.retire(tag.id);
    }

    /// Marks an id as given to a tag that is gone.
    pub fn retire(&mut self, id: TagId) {
        let before = self.ids.set(id, None);
        self.states_bytes -= before.map_or(0, |before| states_bytes(&before));
    }

    /// Hands the selected tags on whose names are behind `after`, in the order of their names, each once; until `take` answers false.
    ///
    /// # Errors
    /// That of `go_on`, which is asked every [`ASKED_AFTER`] names.
    pub fn walk<E>(
        &self,
        selection: &TagSelection,
        after: Option<&str>,
        go_on: &dyn Fn() -> Result<(), E>,
        take: &mut dyn FnMut(&Arc<Tag>) -> bool,
    ) -> Result<(), E> {
        let behind = |name: &str| after.is_none_or(|after| name > after);
        let names = selection.names();
        let mut listed = names[names.partition_point(|name| !behind(name))..].iter().map(String::as_str).peekable();
        let mut seen = 0_usize;
        let mut look = || {
            seen += 1;
            if seen.is_multiple_of(ASKED_AFTER) { go_on() } else { Ok(()) }
        };
        for range in selection.ranges() {
            let prefix = range.prefix();
            while let Some(name) = listed.next_if(|name| *name < prefix) {
                look()?;
                if self.get(name).is_some_and(|tag| !take(tag)) {
                    return Ok(());
                }
            }
            let start = after.filter(|after| *after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
            let mut scan = range.scan();
            for (name, tag) in self.names.from(start).take_while(|(name, _)| name.starts_with(prefix)) {
                look()?;
                while listed.next_if(|listed| *listed < name).is_some() {}
                let selected = listed.next_if_eq(&name).is_some() || scan.matches_next(name);
                if selected && !take(tag) {
                    return Ok(());
                }
            }
            // What is left of the range is no tag.
            while listed.next_if(|name| name.starts_with(prefix)).is_some() {}
        }
        for name in listed {
            look()?;
            if self.get(name).is_some_and(|tag| !take(tag)) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Memory of the state set of a tag, about: a text has 24 bytes in the list, and an allocation of its own.
pub fn states_bytes(tag: &Tag) -> usize {
    tag.definition.state_set.iter().map(|name| name.len() + 40).sum()
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use super::*;
    use historian_model::{TagDefinition, TagName, Timestamp, ValueType};
    use proptest::prelude::*;

    fn version(names: &[String]) -> CatalogVersion {
        let mut version = CatalogVersion::default();
        for (id, name) in (1..).zip(names) {
            let definition = TagDefinition::new(TagName::new(name).unwrap(), ValueType::F64);
            version.insert(Tag { id: TagId(id), definition, created: Timestamp(0), updated: Timestamp(0) });
        }
        version
    }

    fn walked(version: &CatalogVersion, selection: &TagSelection, after: Option<&str>) -> Vec<String> {
        let mut found = Vec::new();
        let Ok(()) = version.walk(selection, after, &|| Ok::<(), Infallible>(()), &mut |tag| {
            found.push(tag.name().to_string());
            true
        });
        found
    }

    #[test]
    fn a_walk_finds_what_a_test_of_each_name_finds_from_any_name_on() {
        let name = prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "ba", "c"]), 1..5).prop_map(|levels| levels.join("/"));
        let glob = prop::sample::select(vec![
            "**", "*", "a/*", "a/**", "**/b", "ab*/**", "{a,ab}/c", "b?/**", "[ab]/*", "c/**/b", "*/c", "{c,ba}",
        ]);
        let patterns = prop::collection::vec(prop_oneof![name.clone(), glob.prop_map(str::to_owned)], 0..6);
        proptest!(|(names in prop::collection::btree_set(name.clone(), 0..300), patterns in patterns, after in prop::option::of(name))| {
            let names: Vec<String> = names.into_iter().collect();
            let version = version(&names);
            let selection = TagSelection::parse(&patterns).unwrap();
            let after = after.as_deref();
            let expected: Vec<String> = names.into_iter().filter(|name| selection.matches(name) && after.is_none_or(|after| name.as_str() > after)).collect();
            prop_assert_eq!(walked(&version, &selection, after), expected, "{:?} after {:?}", patterns, after);
        });
    }

    #[test]
    fn a_walk_ends_when_it_is_not_to_go_on() {
        let version = version(&(0..10_000).map(|n| format!("n{n:05}")).collect::<Vec<_>>());
        for patterns in [vec!["**".to_owned()], vec!["**/none".to_owned()], (0..10_000).map(|n| format!("n{n:05}")).collect()] {
            let asked = Cell::new(0);
            let go_on = || {
                asked.set(asked.get() + 1);
                if asked.get() < 3 { Ok(()) } else { Err("stopped") }
            };
            let mut taken = 0;
            let ended = version.walk(&TagSelection::parse(&patterns).unwrap(), None, &go_on, &mut |_| {
                taken += 1;
                true
            });
            assert_eq!((ended, asked.get()), (Err("stopped"), 3));
            assert!(taken <= 3 * ASKED_AFTER);
        }
    }
}
