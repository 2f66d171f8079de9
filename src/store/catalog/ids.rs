//! Tags by id, dense from 1: two levels of pages, shared between versions as the nodes of [`TagNames`](super::names::TagNames) are.

use std::sync::Arc;

use historian_model::{Tag, TagId};

/// Ids of a page, and pages of a shelf.
const PAGE: usize = 256;

type IdPage = Vec<Option<Arc<Tag>>>;
type Shelf = Vec<Arc<IdPage>>;

/// Tags by id.
#[derive(Clone, Default)]
pub struct TagIds {
    /// All but the last shelf and its last page are full.
    shelves: Vec<Arc<Shelf>>,
    /// One more than the greatest id that was ever given.
    end: usize,
}

impl TagIds {
    pub fn get(&self, id: TagId) -> Option<&Arc<Tag>> {
        let id = id.0 as usize;
        self.shelves.get(id / PAGE / PAGE)?.get(id / PAGE % PAGE)?.get(id % PAGE)?.as_ref()
    }

    /// The first id that was never given.
    pub fn next(&self) -> TagId {
        TagId(u32::try_from(self.end.max(1)).unwrap_or(u32::MAX))
    }

    /// Gives an id to a tag, or marks it as given; answers the tag that had it.
    pub fn set(&mut self, id: TagId, tag: Option<Arc<Tag>>) -> Option<Arc<Tag>> {
        let id = id.0 as usize;
        while self.end <= id {
            let shelf = at(&mut self.shelves, self.end / PAGE / PAGE);
            at(shelf, self.end / PAGE % PAGE).push(None);
            self.end += 1;
        }
        let page = at(at(&mut self.shelves, id / PAGE / PAGE), id / PAGE % PAGE);
        std::mem::replace(&mut page[id % PAGE], tag)
    }

    /// All tags, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tag>> {
        self.shelves.iter().flat_map(|shelf| shelf.iter()).flat_map(|page| page.iter()).flatten()
    }
}

/// The part of this number, of its own, where it may be the next one.
fn at<T: Clone + Default>(parts: &mut Vec<Arc<T>>, number: usize) -> &mut T {
    if parts.len() == number {
        parts.push(Arc::default());
    }
    Arc::make_mut(&mut parts[number])
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{TagDefinition, TagName, Timestamp, ValueType};

    #[test]
    fn ids_are_found_over_pages_and_shelves_and_a_version_before_stays_as_it_is() {
        let tag = |id: u32| {
            let definition = TagDefinition::new(TagName::new(format!("n{id}")).unwrap(), ValueType::F64);
            Some(Arc::new(Tag { id: TagId(id), definition, created: Timestamp(0), updated: Timestamp(0) }))
        };
        let mut ids = TagIds::default();
        assert_eq!(ids.next(), TagId(1));
        let given = [1, 2, 255, 256, 257, 65_535, 65_536, 70_000, 131_072];
        for id in given {
            ids.set(TagId(id), tag(id));
        }
        let before = ids.clone();
        ids.set(TagId(256), None);
        ids.set(TagId(131_073), None);
        assert_eq!((ids.next(), before.next()), (TagId(131_074), TagId(131_073)));
        assert_eq!(before.iter().map(|tag| tag.id.0).collect::<Vec<_>>(), given);
        assert_eq!(ids.iter().count(), given.len() - 1);
        for id in 0..131_080 {
            assert_eq!(before.get(TagId(id)).is_some(), given.contains(&id), "{id}");
        }
        assert!(ids.get(TagId(256)).is_none() && ids.get(TagId(u32::MAX)).is_none());
    }
}
