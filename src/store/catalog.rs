//! Catalog of tags: names, ids and definitions, in memory, with every change written through to the store before it is visible.
//!
//! Ids count up from 1 and are never used again: a deleted tag leaves a tombstone that keeps its id.
//!
//! Readers take the version of the moment, which never changes, and wait for nobody; a change makes the next version. Names are looked up
//! through a [`CatalogView`], of the tags that somebody may see.

mod ids;
mod names;
mod rename;
mod told;
mod version;
mod view;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use self::version::{CatalogVersion, states_bytes};
pub use self::view::CatalogView;
use super::{AuditEntry, Store, StoreError};
use historian_model::{Clock, Tag, TagDefinition, TagFilter, TagId, TagName, TagRename, ValueType, sink::Actor};

/// Why the catalog refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("tag {0:?} exists already")]
    Exists(String),
    #[error("there is no tag {0:?}")]
    NotFound(String),
    #[error("tag {0:?} was changed meanwhile; look at it again")]
    Changed(String),
    #[error("tag {tag}: {reason}")]
    Invalid { tag: String, reason: String },
    #[error("the catalog holds its limit of {limit} tags")]
    Full { limit: usize },
    #[error("the state sets of all tags have together more than {} MiB; delete some, or use fewer states", .limit >> 20)]
    StatesFull {
        /// Bytes.
        limit: usize,
    },
    #[error("the catalog could not be written: {0}")]
    Store(#[from] StoreError),
}

/// Most tags a catalog holds by default.
pub const TAGS_MAX: usize = 5_000_000;

/// Memory of the state sets of all tags: one of them may have 2 MiB, which as many tags as are taken may not.
const STATES_BYTES_MAX: usize = 512 << 20;

/// What is kept for an id.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly all of them are tags")]
enum CatalogEntry {
    Deleted { id: TagId, deleted: bool },
    Tag(Tag),
}

/// What a stored entry says: the tag, or `None` for one that was deleted.
///
/// # Errors
/// Why it is no entry of this id.
pub(super) fn stored_tag(id: TagId, bytes: &[u8]) -> Result<Option<Tag>, String> {
    match serde_json::from_slice(bytes).map_err(|error| error.to_string())? {
        CatalogEntry::Tag(tag) if tag.id == id => Ok(Some(tag)),
        CatalogEntry::Deleted { id: of, .. } if of == id => Ok(None),
        _ => Err("the entry is of another id".into()),
    }
}

/// The entry that keeps the id of a tag that is gone.
pub(super) fn deleted_entry(id: TagId) -> Result<Vec<u8>, String> {
    serde_json::to_vec(&CatalogEntry::Deleted { id, deleted: true }).map_err(|error| error.to_string())
}

/// The entry of a tag.
pub(super) fn tag_entry(tag: &Tag) -> Result<Vec<u8>, String> {
    serde_json::to_vec(tag).map_err(|error| error.to_string())
}

/// What a configuration made of the catalog.
pub struct ConfiguredCatalog {
    /// In the order of the definitions.
    pub tags: Vec<Arc<Tag>>,
    /// Tags that got another name.
    pub renamed: Vec<TagRename>,
}

pub struct Catalog {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tags_max: usize,
    states_bytes_max: usize,
    tags: ArcSwap<CatalogVersion>,
    /// Held over check, write to the store and change in memory, so that changes come one after another while reads go on.
    changing: Mutex<()>,
}

impl Catalog {
    /// Reads the catalog of a store.
    ///
    /// # Errors
    /// When the store cannot be read or an entry is no tag.
    pub fn open(store: Arc<dyn Store>, clock: Arc<dyn Clock>, tags_max: usize) -> Result<Catalog, StoreError> {
        let mut tags = CatalogVersion::default();
        store.load_catalog(&mut |id, bytes| {
            let corrupt = |message: String| StoreError::Corrupt { family: "catalog", key: format!("tag id {}", id.0), message };
            match stored_tag(id, bytes).map_err(corrupt)? {
                Some(tag) => drop(tags.insert(tag)),
                None => tags.retire(id),
            }
            Ok(())
        })?;
        Ok(Catalog {
            store,
            clock,
            tags_max,
            states_bytes_max: STATES_BYTES_MAX,
            tags: ArcSwap::from_pointee(tags),
            changing: Mutex::new(()),
        })
    }

    fn get(&self, name: &str) -> Option<Arc<Tag>> {
        self.tags.load().get(name).cloned()
    }

    pub fn by_id(&self, id: TagId) -> Option<Arc<Tag>> {
        self.tags.load().by_id(id).cloned()
    }

    /// Ids of all tags, ascending.
    pub fn ids(&self) -> Vec<TagId> {
        self.tags.load_full().tags().map(|tag| tag.id).collect()
    }

    pub fn len(&self) -> usize {
        self.tags.load().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes a tag, durably, for the historian itself.
    ///
    /// # Errors
    /// As [`Catalog::create_by`].
    pub fn create(&self, definition: TagDefinition) -> Result<Arc<Tag>, CatalogError> {
        self.create_by(&Actor::default(), definition)
    }

    /// Makes a tag, durably. The audit log tells of it in the same write.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] when the name is taken, [`CatalogError::Invalid`] when the definition contradicts itself.
    pub fn create_by(&self, actor: &Actor, definition: TagDefinition) -> Result<Arc<Tag>, CatalogError> {
        let _changing = self.changing.lock();
        if self.get(definition.name.as_str()).is_some() {
            return Err(CatalogError::Exists(definition.name.to_string()));
        }
        let mut made = self.make(actor, vec![definition])?;
        made.pop().ok_or(CatalogError::Full { limit: self.tags_max })
    }

    /// [`Catalog::get_or_create_by`] the historian itself.
    ///
    /// # Errors
    /// As [`Catalog::create_by`]; nothing is made then.
    pub fn get_or_create(&self, definitions: Vec<TagDefinition>) -> Result<Vec<Arc<Tag>>, CatalogError> {
        self.get_or_create_by(&Actor::default(), definitions)
    }

    /// For each definition the tag of that name, made where there is none; one durable write for all. An existing tag is returned as it is. The
    /// audit log tells of those that are made, in the same write.
    ///
    /// # Errors
    /// As [`Catalog::create_by`]; nothing is made then.
    pub fn get_or_create_by(&self, actor: &Actor, definitions: Vec<TagDefinition>) -> Result<Vec<Arc<Tag>>, CatalogError> {
        let _changing = self.changing.lock();
        let names: Vec<TagName> = definitions.iter().map(|definition| definition.name.clone()).collect();
        let mut missing = BTreeMap::new();
        let tags = self.tags.load_full();
        for definition in definitions {
            if tags.get(definition.name.as_str()).is_none() {
                missing.entry(definition.name.clone()).or_insert(definition);
            }
        }
        if !missing.is_empty() {
            self.make(actor, missing.into_values().collect())?;
        }
        let tags = self.tags.load_full();
        names.iter().map(|name| tags.get(name.as_str()).cloned().ok_or_else(|| CatalogError::NotFound(name.to_string()))).collect()
    }

    /// Makes the catalog say what a configuration says, in one durable write: tags that are missing are made, others get the new definition.
    /// A tag whose value type differs stays as it is; the caller sees that in what is returned, the tags in the order of the definitions.
    /// One that is not there under the name of its definition, while another name in `renames` is, gets the new name. The tags in `unconfigured`
    /// lose their source, unless they are among the definitions. The audit log tells of what is different, in the same write.
    ///
    /// # Errors
    /// As [`Catalog::create`]; nothing is changed then.
    pub fn configure(
        &self,
        definitions: Vec<TagDefinition>,
        unconfigured: &[TagId],
        renames: &[TagRename],
    ) -> Result<ConfiguredCatalog, CatalogError> {
        let _changing = self.changing.lock();
        definitions.iter().try_for_each(validate)?;
        let now = self.clock.now();
        let names: Vec<TagName> = definitions.iter().map(|definition| definition.name.clone()).collect();
        let due = self.due(renames);
        let mut changed: BTreeMap<TagId, Tag> = BTreeMap::new();
        let mut missing: BTreeMap<TagName, TagDefinition> = BTreeMap::new();
        for &id in unconfigured {
            if let Some(tag) = self.by_id(id).filter(|tag| tag.definition.source.is_some()) {
                changed.insert(id, Tag { definition: TagDefinition { source: None, ..tag.definition.clone() }, updated: now, ..*tag });
            }
        }
        let mut renamed: HashMap<TagId, TagName> = HashMap::new();
        for mut definition in definitions {
            let held = self.get(definition.name.as_str()).or_else(|| {
                let tag = due.get(&definition.name)?;
                renamed.insert(tag.id, tag.name().clone());
                Some(tag.clone())
            });
            let Some(tag) = held else {
                missing.entry(definition.name.clone()).or_insert(definition);
                continue;
            };
            changed.remove(&tag.id);
            if tag.value_type() != definition.value_type {
                definition = TagDefinition { name: definition.name, ..tag.definition.clone() };
            } else if definition.state_set.is_empty() {
                definition.state_set.clone_from(&tag.definition.state_set);
            }
            if tag.definition != definition {
                changed.insert(tag.id, Tag { definition, updated: now, ..*tag });
            }
        }
        if self.len() + missing.len() > self.tags_max {
            return Err(CatalogError::Full { limit: self.tags_max });
        }
        let first = self.tags.load().next_id().0;
        let made: Vec<Tag> = (first..)
            .zip(missing.into_values())
            .map(|(id, definition)| Tag { id: TagId(id), definition, created: now, updated: now })
            .collect();
        let mut entries_told = Vec::new();
        for tag in changed.values() {
            let Some(old) = self.by_id(tag.id) else { continue };
            entries_told.extend(renamed.contains_key(&tag.id).then(|| told::renamed_by_configuration(&old, tag, now)));
            entries_told.extend(told::changed(&Actor::default(), &old.definition, &tag.definition, now));
        }
        entries_told.extend(told::made(&Actor::default(), &made, now));
        let tags: Vec<Tag> = changed.into_values().chain(made).collect();
        self.fits(&tags)?;
        let entries: Vec<_> =
            tags.iter().map(|tag| Ok((tag.id, entry(&CatalogEntry::Tag(tag.clone()))?))).collect::<Result<_, CatalogError>>()?;
        if !entries.is_empty() {
            self.store.change_catalog(&entries, &entries_told)?;
        }
        let mut done = Vec::with_capacity(renamed.len());
        let visible = self.change(|visible| {
            for tag in tags {
                match renamed.remove(&tag.id) {
                    Some(from) => {
                        done.push(TagRename { from: from.clone(), to: tag.name().clone() });
                        visible.rename(from.as_str(), tag);
                    }
                    None => drop(visible.insert(tag)),
                }
            }
            visible.clone()
        });
        let of_name = |name: &TagName| visible.get(name.as_str()).cloned().ok_or_else(|| CatalogError::NotFound(name.to_string()));
        Ok(ConfiguredCatalog { tags: names.iter().map(of_name).collect::<Result<_, _>>()?, renamed: done })
    }

    /// Gives the name of a tag to a new one of another value type; the old one keeps its id and its samples under the name with a suffix.
    /// Returns the new tag and the old one. The audit log tells of it in the same write, with the reason where there is one. A state set goes with
    /// the values it names, and so does a range where the new ones are not numbers.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::Exists`] when the name with the suffix is taken, [`CatalogError::Invalid`] when it is no name
    /// or the tag is of that type already.
    pub fn retype(
        &self,
        actor: &Actor,
        name: &str,
        value_type: ValueType,
        suffix: &str,
        reason: &str,
    ) -> Result<(Arc<Tag>, Arc<Tag>), CatalogError> {
        let _changing = self.changing.lock();
        let old = self.get(name).ok_or_else(|| CatalogError::NotFound(name.to_owned()))?;
        if old.value_type() == value_type {
            return Err(invalid(&old.definition, format!("it holds {value_type} values already")));
        }
        let kept_name = TagName::new(format!("{name}{suffix}")).map_err(|error| invalid(&old.definition, error.to_string()))?;
        if self.get(kept_name.as_str()).is_some() {
            return Err(CatalogError::Exists(kept_name.to_string()));
        }
        if self.len() >= self.tags_max {
            return Err(CatalogError::Full { limit: self.tags_max });
        }
        let now = self.clock.now();
        let mut definition = TagDefinition { value_type, state_set: Vec::new(), ..old.definition.clone() };
        if !matches!(value_type, ValueType::F64 | ValueType::F32) {
            definition.stepped = true;
        }
        // It is that of a configuration for the old type.
        definition.filter = TagFilter::default();
        validate(&definition)?;
        let kept = Tag { definition: TagDefinition { name: kept_name, ..old.definition.clone() }, updated: now, ..*old };
        let new = Tag { id: self.tags.load().next_id(), definition, created: now, updated: now };
        let told = AuditEntry {
            time: now,
            action: "retype".into(),
            principal: actor.principal.clone(),
            client: actor.client.clone(),
            tags: vec![new.name().to_string(), kept.name().to_string()],
            detail: told::with_reason(
                format!("{name} holds {value_type} values from now on; what it held is kept as {}", kept.name()),
                reason,
            ),
            ..AuditEntry::default()
        };
        let entries = [(kept.id, entry(&CatalogEntry::Tag(kept.clone()))?), (new.id, entry(&CatalogEntry::Tag(new.clone()))?)];
        self.store.change_catalog(&entries, &[told])?;
        Ok(self.change(|visible| {
            let kept = visible.insert(kept);
            (visible.insert(new), kept)
        }))
    }

    /// Replaces the definition of the tag with `definition.name`; the value type cannot change. What is different then reads the samples that
    /// are there in another way (a unit, the name of a state), so the audit log tells of it, in the same write, with the reason where there is one.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], or [`CatalogError::Invalid`] for another value type or a contradictory definition.
    pub fn update_by(&self, actor: &Actor, definition: TagDefinition, reason: &str) -> Result<Arc<Tag>, CatalogError> {
        let _changing = self.changing.lock();
        let old = self.get(definition.name.as_str()).ok_or_else(|| CatalogError::NotFound(definition.name.to_string()))?;
        if old.value_type() != definition.value_type {
            return Err(invalid(
                &definition,
                format!("its value type is {} and cannot become {}", old.value_type(), definition.value_type),
            ));
        }
        validate(&definition)?;
        let now = self.clock.now();
        let told = told::changed(actor, &old.definition, &definition, now);
        let told = told.map(|told| AuditEntry { detail: told::with_reason(told.detail, reason), ..told });
        let tag = Tag { id: old.id, definition, created: old.created, updated: now };
        self.fits(std::slice::from_ref(&tag))?;
        self.store.change_catalog(&[(tag.id, entry(&CatalogEntry::Tag(tag.clone()))?)], told.as_slice())?;
        Ok(self.change(|visible| visible.insert(tag)))
    }

    /// Removes a tag and its samples. What of them is still in a head goes with the next sealing. The audit log tells of it in the same
    /// write: `told` says by whom, and what the tag held.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`].
    pub fn delete(&self, name: &str, told: AuditEntry) -> Result<(), CatalogError> {
        let _changing = self.changing.lock();
        let tag = self.get(name).ok_or_else(|| CatalogError::NotFound(name.to_owned()))?;
        let told = AuditEntry { time: self.clock.now(), action: "delete_tag".into(), tags: vec![name.to_owned()], ..told };
        self.store.change_catalog(&[(tag.id, entry(&CatalogEntry::Deleted { id: tag.id, deleted: true })?)], &[told])?;
        self.change(|visible| visible.remove(&tag));
        self.store.delete_tag(tag.id)?;
        Ok(())
    }

    /// Gives ids to new tags, writes them and makes them visible. The caller holds `changing` and knows that the names are free.
    fn make(&self, actor: &Actor, definitions: Vec<TagDefinition>) -> Result<Vec<Arc<Tag>>, CatalogError> {
        definitions.iter().try_for_each(validate)?;
        if self.len() + definitions.len() > self.tags_max {
            return Err(CatalogError::Full { limit: self.tags_max });
        }
        let first = self.tags.load().next_id().0;
        let now = self.clock.now();
        let tags: Vec<Tag> =
            (first..).zip(definitions).map(|(id, definition)| Tag { id: TagId(id), definition, created: now, updated: now }).collect();
        self.fits(&tags)?;
        let entries: Vec<_> =
            tags.iter().map(|tag| Ok((tag.id, entry(&CatalogEntry::Tag(tag.clone()))?))).collect::<Result<_, CatalogError>>()?;
        self.store.change_catalog(&entries, &told::made(actor, &tags, now))?;
        Ok(self.change(|visible| tags.into_iter().map(|tag| visible.insert(tag)).collect()))
    }

    /// Refuses tags, new ones or in the place of those with their ids, whose state sets are too much with those of all others. What is less than
    /// before fits always.
    fn fits(&self, tags: &[Tag]) -> Result<(), CatalogError> {
        let now = self.tags.load();
        let before: usize = tags.iter().filter_map(|tag| now.by_id(tag.id)).map(|tag| states_bytes(tag)).sum();
        let then: usize = tags.iter().map(states_bytes).sum();
        if then > before && now.states_bytes() - before + then > self.states_bytes_max {
            return Err(CatalogError::StatesFull { limit: self.states_bytes_max });
        }
        Ok(())
    }

    /// Makes the next version. The caller holds `changing`.
    fn change<T>(&self, change: impl FnOnce(&mut CatalogVersion) -> T) -> T {
        let mut next = CatalogVersion::clone(&self.tags.load());
        let changed = change(&mut next);
        self.tags.store(Arc::new(next));
        changed
    }
}

fn entry(entry: &CatalogEntry) -> Result<Vec<u8>, CatalogError> {
    serde_json::to_vec(entry).map_err(|error| CatalogError::Invalid { tag: String::new(), reason: error.to_string() })
}

fn invalid(definition: &TagDefinition, reason: impl Into<String>) -> CatalogError {
    CatalogError::Invalid { tag: definition.name.to_string(), reason: reason.into() }
}

fn validate(definition: &TagDefinition) -> Result<(), CatalogError> {
    definition.check().map_err(|error| invalid(definition, error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::MemoryStore;
    use historian_model::{ManualClock, TagScope, TagSelection, Timestamp, tag::TagSource};

    fn definition(name: &str) -> TagDefinition {
        TagDefinition::new(TagName::new(name).unwrap(), ValueType::F64)
    }

    fn open(store: &Arc<MemoryStore>) -> Catalog {
        Catalog::open(store.clone(), Arc::new(ManualClock::at(Timestamp(5))), 4).unwrap()
    }

    #[test]
    fn ids_are_kept_over_a_restart_and_never_given_twice() {
        let store = Arc::new(MemoryStore::default());
        let catalog = open(&store);
        let made = catalog.get_or_create(vec![definition("b"), definition("a"), definition("b")]).unwrap();
        assert_eq!(made[0].id, made[2].id);
        let deleted = catalog.create(definition("c")).unwrap();
        catalog.delete("c", AuditEntry::default()).unwrap();

        let catalog = open(&store);
        assert_eq!(catalog.get("b").unwrap().id, made[0].id);
        assert!(catalog.get("c").is_none());
        assert!(catalog.create(definition("c")).unwrap().id > deleted.id);
    }

    #[test]
    fn selection_is_in_name_order_without_repeats_and_names_what_is_unknown() {
        let catalog = open(&Arc::new(MemoryStore::default()));
        catalog.get_or_create(vec![definition("b/x"), definition("a/y"), definition("a/x")]).unwrap();
        let (tags, unknown) = catalog.within(&TagScope::Everything).select(&TagSelection::parse(&["a/*", "a/x", "nope", "b/x"]).unwrap());
        assert_eq!(tags.iter().map(|tag| tag.name().as_str()).collect::<Vec<_>>(), ["a/x", "a/y", "b/x"]);
        assert_eq!(unknown, ["nope"]);
        let Ok(page) =
            catalog.within(&TagScope::Everything).page(&TagSelection::all(), Some("a/x"), 1, &|_| true, &|| Ok::<(), Infallible>(()));
        assert_eq!(page[0].name().as_str(), "a/y");
    }

    #[test]
    fn a_selection_is_of_one_moment_and_in_nobodys_way() {
        let catalog = Catalog::open(Arc::new(MemoryStore::default()), Arc::new(ManualClock::at(Timestamp(5))), 10_000).unwrap();
        catalog.get_or_create((0..1_000).map(|n| definition(&format!("n{n:04}"))).collect()).unwrap();
        let asked = std::cell::Cell::new(0);
        // While it selects, tags are made, deleted and looked up, on the same thread: with a lock held this would not end.
        let go_on = || {
            asked.set(asked.get() + 1);
            catalog.create(definition(&format!("n0999/{}", asked.get()))).unwrap();
            catalog.delete(&format!("n{:04}", 900 + asked.get()), AuditEntry::default()).unwrap();
            assert!(catalog.get("n0000").is_some());
            Ok::<(), Infallible>(())
        };
        let Ok((tags, _)) = catalog.within(&TagScope::Everything).select_while(&TagSelection::all(), &go_on);
        assert_eq!((tags.len(), asked.get()), (1_000, 3));
        assert!(tags.iter().map(|tag| tag.name().to_string()).eq((0..1_000).map(|n| format!("n{n:04}"))));
        assert_eq!(catalog.len(), 1_000);
    }

    #[test]
    fn a_configuration_is_taken_in_one_write_and_tags_of_another_type_stay_as_they_are() {
        let store = Arc::new(MemoryStore::default());
        let catalog = open(&store);
        let source = Some(TagSource { device: "plc".into(), address: "holding:1".into() });
        let made = catalog.create(TagDefinition { source: source.clone(), ..definition("gone") }).unwrap();
        catalog.create(TagDefinition { value_type: ValueType::U64, ..definition("clash") }).unwrap();
        let wanted = vec![TagDefinition { source: source.clone(), ..definition("new") }, definition("clash")];
        let tags = catalog.configure(wanted.clone(), &[made.id], &[]).unwrap().tags;
        assert_eq!(tags.iter().map(|tag| tag.value_type()).collect::<Vec<_>>(), [ValueType::F64, ValueType::U64]);
        for catalog in [catalog, open(&store)] {
            assert_eq!(catalog.get("gone").unwrap().definition.source, None);
            assert_eq!(catalog.get("new").unwrap().definition.source, source);
            assert_eq!(catalog.len(), 3);
        }
        let catalog = open(&store);
        let refused = catalog.configure((0..2).map(|n| definition(&format!("n{n}"))).chain(wanted).collect(), &[], &[]);
        assert!(matches!(refused, Err(CatalogError::Full { .. })));
        assert_eq!((catalog.len(), open(&store).len()), (3, 3), "a refused configuration changes nothing");
    }

    #[test]
    fn state_sets_have_a_bound_over_all_tags_and_what_goes_makes_room() {
        let store = Arc::new(MemoryStore::default());
        let mut catalog = open(&store);
        catalog.states_bytes_max = 250;
        let states = |name: &str, count: usize| TagDefinition {
            state_set: (0..count).map(|n| format!("state{n:05}")).collect(),
            ..TagDefinition::new(TagName::new(name).unwrap(), ValueType::State)
        };
        // A name of 10 bytes counts as 50.
        catalog.create(states("a", 3)).unwrap();
        catalog.create(states("b", 1)).unwrap();
        assert!(matches!(catalog.create(states("c", 2)), Err(CatalogError::StatesFull { limit: 250 })));
        assert!(matches!(catalog.update_by(&Actor::new("tester"), states("b", 3), ""), Err(CatalogError::StatesFull { .. })));
        assert!(matches!(catalog.configure(vec![states("b", 2), states("c", 1)], &[], &[]), Err(CatalogError::StatesFull { .. })));
        assert!(matches!(catalog.get_or_create(vec![states("c", 1), states("d", 1)]), Err(CatalogError::StatesFull { .. })));
        catalog.update_by(&Actor::new("tester"), states("b", 2), "").unwrap();
        catalog.create(definition("f")).unwrap();
        catalog.delete("a", AuditEntry::default()).unwrap();
        catalog.create(states("c", 3)).unwrap();
        // What a store has is taken whatever its size, and may become less.
        let mut catalog = open(&store);
        catalog.states_bytes_max = 100;
        assert_eq!(catalog.tags.load().states_bytes(), 250);
        catalog.update_by(&Actor::new("tester"), states("c", 2), "").unwrap();
        assert!(matches!(catalog.update_by(&Actor::new("tester"), states("c", 3), ""), Err(CatalogError::StatesFull { .. })));
    }

    #[test]
    fn a_retyped_tag_keeps_its_history_under_a_suffix() {
        let store = Arc::new(MemoryStore::default());
        let catalog = open(&store);
        let old = catalog.create(TagDefinition { unit: "bar".into(), ..definition("a/p") }).unwrap();
        assert!(matches!(catalog.retype(&Actor::new("tester"), "a/p", ValueType::F64, "_f64", ""), Err(CatalogError::Invalid { .. })));
        assert!(matches!(catalog.retype(&Actor::new("tester"), "nope", ValueType::U64, "_f64", ""), Err(CatalogError::NotFound(_))));
        catalog.retype(&Actor::new("tester"), "a/p", ValueType::U64, "_f64", "").unwrap();
        assert!(matches!(catalog.retype(&Actor::new("tester"), "a/p", ValueType::Bool, "", ""), Err(CatalogError::Exists(_))));
        for catalog in [catalog, open(&store)] {
            let (new, kept) = (catalog.get("a/p").unwrap(), catalog.get("a/p_f64").unwrap());
            assert_eq!((new.value_type(), kept.value_type(), kept.id), (ValueType::U64, ValueType::F64, old.id));
            assert_eq!((new.definition.unit.as_str(), new.definition.stepped), ("bar", true));
            assert!(new.id > old.id);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let catalog = open(&Arc::new(MemoryStore::default()));
        catalog.create(definition("a")).unwrap();
        assert!(matches!(catalog.create(definition("a")), Err(CatalogError::Exists(_))));
        let mut other = definition("a");
        other.value_type = ValueType::Bool;
        assert!(matches!(catalog.update_by(&Actor::new("tester"), other, ""), Err(CatalogError::Invalid { .. })));
        let mut upside_down = definition("r");
        (upside_down.range_low, upside_down.range_high) = (Some(2.0), Some(1.0));
        assert!(matches!(catalog.create(upside_down), Err(CatalogError::Invalid { .. })));
        assert!(matches!(
            catalog.get_or_create((0..4).map(|n| definition(&format!("n{n}"))).collect()),
            Err(CatalogError::Full { limit: 4 })
        ));
        assert_eq!(catalog.len(), 1);
    }
}
