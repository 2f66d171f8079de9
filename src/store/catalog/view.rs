//! The catalog as somebody sees it: tags outside of what one may see are not there, whichever way one looks.

use std::{convert::Infallible, sync::Arc};

use super::{Catalog, CatalogVersion};
use historian_model::{Tag, TagId, TagScope, TagSelection};

/// The tags of a scope. Names are looked up here only, so that who looks says for whom.
#[derive(Clone, Copy)]
pub struct CatalogView<'a> {
    catalog: &'a Catalog,
    scope: &'a TagScope,
}

impl Catalog {
    /// What is seen of the catalog within a scope.
    pub fn within<'a>(&'a self, scope: &'a TagScope) -> CatalogView<'a> {
        CatalogView { catalog: self, scope }
    }
}

impl CatalogView<'_> {
    pub fn get(&self, name: &str) -> Option<Arc<Tag>> {
        self.seen(&self.catalog.tags.load(), name).cloned()
    }

    /// The tag of an id, where it is in the scope.
    pub fn by_id(&self, id: TagId) -> Option<Arc<Tag>> {
        self.catalog.by_id(id).filter(|tag| self.scope.has(tag.name().as_str()))
    }

    /// Tags selected, in the order of their names, each once; and the exact names that no tag has.
    pub fn select(&self, selection: &TagSelection) -> (Vec<Arc<Tag>>, Vec<String>) {
        let Ok(selected) = self.select_while(selection, &|| Ok::<(), Infallible>(()));
        selected
    }

    /// As [`CatalogView::select`], where every few hundred names it is asked whether to go on.
    ///
    /// # Errors
    /// That of `go_on`.
    pub fn select_while<E>(&self, selection: &TagSelection, go_on: &dyn Fn() -> Result<(), E>) -> Result<(Vec<Arc<Tag>>, Vec<String>), E> {
        let tags = self.catalog.tags.load_full();
        let mut selected = Vec::new();
        let mut scope = self.scope.scan();
        tags.walk(selection, None, go_on, &mut |tag| {
            if scope.has_next(tag.name().as_str()) {
                selected.push(tag.clone());
            }
            true
        })?;
        let unknown = selection.named().filter(|name| self.seen(&tags, name).is_none()).map(str::to_owned).collect();
        Ok((selected, unknown))
    }

    /// Up to `limit` tags in the order of their names that are selected and pass `keep`, starting after the name `after`.
    ///
    /// # Errors
    /// That of `go_on`, which is asked every few hundred names.
    pub fn page<E>(
        &self,
        selection: &TagSelection,
        after: Option<&str>,
        limit: usize,
        keep: &dyn Fn(&Tag) -> bool,
        go_on: &dyn Fn() -> Result<(), E>,
    ) -> Result<Vec<Arc<Tag>>, E> {
        let tags = self.catalog.tags.load_full();
        let mut page = Vec::new();
        let mut scope = self.scope.scan();
        tags.walk(selection, after, go_on, &mut |tag| {
            if page.len() < limit && scope.has_next(tag.name().as_str()) && keep(tag) {
                page.push(tag.clone());
            }
            page.len() < limit
        })?;
        Ok(page)
    }

    /// How many tags are selected and pass `keep`.
    ///
    /// # Errors
    /// That of `go_on`, which is asked every few hundred names.
    pub fn count<E>(&self, selection: &TagSelection, keep: &dyn Fn(&Tag) -> bool, go_on: &dyn Fn() -> Result<(), E>) -> Result<u64, E> {
        let tags = self.catalog.tags.load_full();
        let mut count = 0;
        let mut scope = self.scope.scan();
        tags.walk(selection, None, go_on, &mut |tag| {
            count += u64::from(scope.has_next(tag.name().as_str()) && keep(tag));
            true
        })?;
        Ok(count)
    }

    /// How many tags there are, where that is known without counting: of everything.
    pub fn len_known(&self) -> Option<usize> {
        self.scope.is_everything().then(|| self.catalog.len())
    }

    /// True where a tag of this name would be seen, whether or not there is one.
    pub fn covers(&self, name: &str) -> bool {
        self.scope.has(name)
    }

    fn seen<'v>(&self, version: &'v CatalogVersion, name: &str) -> Option<&'v Arc<Tag>> {
        // In this order, so that a name outside takes as long whether or not there is a tag.
        if self.scope.has(name) { version.get(name) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use historian_model::{ManualClock, TagDefinition, TagName, Timestamp, ValueType};

    fn catalog(names: &[&str]) -> Catalog {
        let catalog = Catalog::open(Arc::new(MemoryStore::default()), Arc::new(ManualClock::at(Timestamp(1))), 100).unwrap();
        let definition = |name: &&str| TagDefinition::new(TagName::new(*name).unwrap(), ValueType::F64);
        catalog.get_or_create(names.iter().map(definition).collect()).unwrap();
        catalog
    }

    fn names(tags: &[Arc<Tag>]) -> Vec<&str> {
        tags.iter().map(|tag| tag.name().as_str()).collect()
    }

    #[test]
    fn what_is_outside_of_the_scope_is_not_there_whichever_way_one_looks() {
        let catalog = catalog(&["a/1", "a/2", "b/1", "c"]);
        let scope = TagScope::Of(TagSelection::parse(&["a/*", "c"]).unwrap());
        let seen = catalog.within(&scope);
        assert!(seen.get("a/1").is_some() && seen.get("b/1").is_none() && seen.get("nope").is_none());
        let all = catalog.within(&TagScope::Everything).get("b/1").unwrap();
        assert!(seen.by_id(all.id).is_none());
        assert!(seen.by_id(seen.get("c").unwrap().id).is_some());
        let (selected, unknown) = seen.select(&TagSelection::parse(&["*/1", "b/1", "c", "nope"]).unwrap());
        assert_eq!((names(&selected), unknown), (vec!["a/1", "c"], vec!["b/1".to_owned(), "nope".to_owned()]));
        let page = |after: Option<&str>, limit| {
            let Ok(page) = seen.page(&TagSelection::all(), after, limit, &|_| true, &|| Ok::<(), Infallible>(()));
            page
        };
        assert_eq!(names(&page(None, 10)), ["a/1", "a/2", "c"]);
        assert_eq!(names(&page(Some("a/1"), 1)), ["a/2"]);
        assert_eq!(names(&page(Some("a/2"), 1)), ["c"], "a page is as long as it may be, whatever lies between");
        assert_eq!((seen.len_known(), catalog.within(&TagScope::Everything).len_known()), (None, Some(4)));
        let nothing = catalog.within(&TagScope::Nothing);
        assert!(nothing.get("c").is_none() && nothing.select(&TagSelection::all()).0.is_empty());
    }
}
