//! Tags that get another name. What a tag is and what is kept of it stays with its id, so that a new name is one entry of the catalog.

use std::{collections::HashMap, sync::Arc};

use super::{Catalog, CatalogEntry, CatalogError, entry, told};
use historian_model::{Tag, TagDefinition, TagName, TagRename, sink::Actor};

impl Catalog {
    /// Gives another name to a tag, durably. It keeps its id, and all that is kept by it. The audit log tells of it in the same write, with the
    /// reason where there is one. `seen` is the tag as the caller knew it when it decided that this may be.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] when the tag is not that of its name any more, [`CatalogError::Changed`] when it comes from elsewhere now,
    /// [`CatalogError::Exists`] when the new name is taken.
    pub fn rename(&self, actor: &Actor, seen: &Tag, to: TagName, reason: &str) -> Result<Arc<Tag>, CatalogError> {
        let _changing = self.changing.lock();
        let from = seen.name();
        let Some(old) = self.get(from.as_str()).filter(|tag| tag.id == seen.id) else {
            return Err(CatalogError::NotFound(from.to_string()));
        };
        if old.definition.source != seen.definition.source {
            return Err(CatalogError::Changed(from.to_string()));
        }
        if self.get(to.as_str()).is_some() {
            return Err(CatalogError::Exists(to.to_string()));
        }
        let now = self.clock.now();
        let tag = Tag { definition: TagDefinition { name: to, ..old.definition.clone() }, updated: now, ..*old };
        let told = told::renamed(actor, &old, &tag, reason, now);
        self.store.change_catalog(&[(tag.id, entry(&CatalogEntry::Tag(tag.clone()))?)], &[told])?;
        Ok(self.change(|visible| visible.rename(from.as_str(), tag)))
    }

    /// Those whose tag has its old name still while nobody has the new one; the tags as they are, by their new names.
    pub fn due(&self, renames: &[TagRename]) -> HashMap<TagName, Arc<Tag>> {
        let tags = self.tags.load();
        let due = renames.iter().filter(|rename| tags.get(rename.to.as_str()).is_none());
        due.filter_map(|rename| Some((rename.to.clone(), tags.get(rename.from.as_str())?.clone()))).collect()
    }

    /// Those both of whose names are those of tags: nothing can be renamed there.
    pub fn blocked<'a>(&self, renames: &'a [TagRename]) -> Vec<&'a TagRename> {
        let tags = self.tags.load();
        let is_there = |name: &TagName| tags.get(name.as_str()).is_some();
        renames.iter().filter(|rename| is_there(&rename.from) && is_there(&rename.to)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuditEntry, MemoryStore, Store};
    use historian_model::{ManualClock, TagScope, Timestamp, ValueType, tag::TagSource};

    fn name(text: &str) -> TagName {
        TagName::new(text).unwrap()
    }

    fn definition(text: &str) -> TagDefinition {
        TagDefinition::new(name(text), ValueType::F64)
    }

    fn collected(text: &str) -> TagDefinition {
        TagDefinition { source: Some(TagSource { device: "plc".into(), address: "holding:1".into() }), ..definition(text) }
    }

    fn open(store: &Arc<MemoryStore>) -> Catalog {
        Catalog::open(store.clone(), Arc::new(ManualClock::at(Timestamp(5))), 10).unwrap()
    }

    fn names(catalog: &Catalog) -> Vec<String> {
        let (tags, _) = catalog.within(&TagScope::Everything).select(&historian_model::TagSelection::all());
        tags.iter().map(|tag| format!("{} {}", tag.name(), tag.id.0)).collect()
    }

    fn renames(pairs: &[(&str, &str)]) -> Vec<TagRename> {
        pairs.iter().map(|(from, to)| TagRename { from: name(from), to: name(to) }).collect()
    }

    fn told(store: &MemoryStore) -> Vec<(String, String)> {
        let entries = store.audit(1, 100).unwrap().into_iter().map(|(_, entry)| (entry.action, entry.detail));
        entries.filter(|(action, _)| action != "create_tag").collect()
    }

    #[test]
    fn a_renamed_tag_keeps_its_id_over_a_restart_and_its_old_name_is_free() {
        let store = Arc::new(MemoryStore::default());
        let catalog = open(&store);
        let old = catalog.create(TagDefinition { unit: "bar".into(), ..definition("a") }).unwrap();
        let actor = Actor { principal: "token:ana".into(), client: "192.0.2.1".into() };
        let new = catalog.rename(&actor, &old, name("b"), "as on the drawing").unwrap();
        assert_eq!((new.id, new.created, new.definition.unit.as_str()), (old.id, old.created, "bar"));
        assert_eq!(names(&catalog), ["b 1"]);
        assert_eq!(names(&open(&store)), ["b 1"]);
        assert_eq!(told(&store), [("rename_tag".to_owned(), "a → b; tag id 1; as on the drawing".to_owned())]);
        catalog.create(definition("a")).unwrap();
        assert_eq!(names(&open(&store)), ["a 2", "b 1"]);
        assert_eq!(catalog.by_id(old.id).unwrap().name().as_str(), "b");
    }

    #[test]
    fn a_rename_to_a_name_that_is_taken_and_one_of_another_tag_than_was_seen_are_refused() {
        let store = Arc::new(MemoryStore::default());
        let catalog = open(&store);
        let (a, actor) = (catalog.create(definition("a")).unwrap(), Actor::default());
        catalog.create(definition("b")).unwrap();
        for taken in ["a", "b"] {
            assert!(matches!(catalog.rename(&actor, &a, name(taken), ""), Err(CatalogError::Exists(of)) if of == taken));
        }
        catalog.configure(vec![collected("a")], &[], &[]).unwrap();
        assert!(matches!(catalog.rename(&actor, &a, name("c"), ""), Err(CatalogError::Changed(_))));
        catalog.delete("a", AuditEntry::default()).unwrap();
        assert!(matches!(catalog.rename(&actor, &a, name("c"), ""), Err(CatalogError::NotFound(_))));
        catalog.create(definition("a")).unwrap();
        assert!(matches!(catalog.rename(&actor, &a, name("c"), ""), Err(CatalogError::NotFound(_))), "another tag has the name now");
        assert_eq!(names(&open(&store)), ["a 3", "b 2"]);
    }

    #[test]
    fn a_configuration_renames_what_has_its_old_name_still_and_makes_nothing_of_it_twice() {
        let store = Arc::new(MemoryStore::default());
        let catalog = open(&store);
        let old = catalog.configure(vec![collected("a"), definition("w")], &[], &[]).unwrap().tags;
        let wanted = vec![collected("b"), TagDefinition { unit: "bar".into(), ..definition("v") }];
        let pairs = renames(&[("a", "b"), ("w", "v"), ("nothing", "x")]);
        for time in 0..2 {
            let configured = catalog.configure(wanted.clone(), &[], &pairs).unwrap();
            assert_eq!(configured.tags.iter().map(|tag| tag.id).collect::<Vec<_>>(), [old[0].id, old[1].id]);
            assert_eq!(configured.renamed, if time == 0 { renames(&[("a", "b"), ("w", "v")]) } else { Vec::new() });
        }
        assert_eq!(names(&open(&store)), ["b 1", "v 2"]);
        let renamed: Vec<_> = told(&store).into_iter().filter(|(action, _)| action == "rename_tag").collect();
        assert_eq!(renamed[0].1, "a → b; tag id 1; renamed_from of the configuration");
        assert_eq!(renamed.len(), 2);
        assert!(told(&store).contains(&("update_tag".to_owned(), "unit: \"\" → \"bar\"".to_owned())));

        // A tag of the old name that comes later is another one.
        catalog.create(definition("a")).unwrap();
        assert_eq!(catalog.blocked(&pairs), [&pairs[0]]);
        assert!(catalog.configure(wanted, &[], &pairs).unwrap().renamed.is_empty());
        assert_eq!(names(&open(&store)), ["a 3", "b 1", "v 2"]);
    }

    #[test]
    fn a_renamed_tag_of_another_value_type_keeps_what_it_holds() {
        let catalog = open(&Arc::new(MemoryStore::default()));
        catalog.configure(vec![collected("a")], &[], &[]).unwrap();
        let other = TagDefinition { value_type: ValueType::I64, ..collected("b") };
        let configured = catalog.configure(vec![other], &[], &renames(&[("a", "b")])).unwrap();
        assert_eq!(configured.tags[0].value_type(), ValueType::F64);
        assert_eq!(names(&catalog), ["b 1"]);
    }
}
