//! Tags that devices make while they are collected from. A name belongs to one source: what clients write, or another device collects, is not
//! taken over because a device begins to use its name.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{config, gap_record, silence};
use historian_collector::{Collector, DeviceStatus, FoundTag, Spool, TagMaker, UnfilledGap};
use historian_model::{Clock, Sample, Tag, TagDefinition, TagId, TagName, TagScope, ValueType, filter::TagFilter, tag::TagSource};
use historian_store::{Catalog, CatalogError, Gap, GapReason, Store, StoreError};

/// Tags that are collected no more, by name, and since when.
type Uncollected = Result<HashMap<String, i64>, StoreError>;

/// What tags are made with. One for all devices: they are made one device after another, so that a name that two devices show goes to one.
pub struct TagMaking {
    catalog: Arc<Catalog>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    making: Mutex<()>,
}

/// The tags that one device made.
pub struct DeviceTags {
    device: String,
    making: Arc<TagMaking>,
    status: Arc<DeviceStatus>,
    spool: Spool,
    /// By name; the id is the one that the collector knows.
    tags: Mutex<BTreeMap<TagName, (TagId, TagDefinition)>>,
}

/// Tags of the catalog that these collectors made in earlier runs and still collect.
pub fn kept(catalog: &Catalog, collectors: &[Arc<dyn Collector>]) -> Vec<Arc<Tag>> {
    let by_device: HashMap<&str, &Arc<dyn Collector>> = collectors.iter().map(|collector| (collector.device(), collector)).collect();
    let is_kept = |tag: &Arc<Tag>| {
        let source = tag.definition.source.as_ref();
        source.and_then(|source| by_device.get(source.device.as_str())).is_some_and(|collector| collector.keeps(&tag.definition))
    };
    catalog.ids().into_iter().filter_map(|id| catalog.by_id(id)).filter(is_kept).collect()
}

impl TagMaking {
    pub fn new(catalog: Arc<Catalog>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> TagMaking {
        TagMaking { catalog, store, clock, making: Mutex::new(()) }
    }

    /// Tags that a collector made in earlier runs, without those that it is configured with now. The catalog has the filters that the configuration
    /// says now, where it can be written. Blocks.
    pub fn of_device(&self, collector: &Arc<dyn Collector>) -> Vec<Arc<Tag>> {
        let configured: HashSet<TagName> = collector.tags().into_iter().map(|definition| definition.name).collect();
        let mut tags = kept(&self.catalog, std::slice::from_ref(collector));
        tags.retain(|tag| !configured.contains(tag.name()));
        self.filtered(collector, tags)
    }

    /// Gives tags that were made before the filters of now.
    fn filtered(&self, collector: &Arc<dyn Collector>, mut tags: Vec<Arc<Tag>>) -> Vec<Arc<Tag>> {
        let _making = self.making.lock();
        let change = |tag: &Arc<Tag>| {
            let filter = collector.filter_of(&tag.definition);
            (filter != tag.definition.filter).then(|| TagDefinition { filter, ..tag.definition.clone() })
        };
        let changed: Vec<TagDefinition> = tags.iter().filter_map(change).collect();
        if changed.is_empty() {
            return tags;
        }
        match self.catalog.configure(changed, &[], &[]) {
            Ok(configured) => {
                let of_now: HashMap<TagId, Arc<Tag>> = configured.tags.into_iter().map(|tag| (tag.id, tag)).collect();
                for tag in &mut tags {
                    if let Some(now) = of_now.get(&tag.id) {
                        tag.clone_from(now);
                    }
                }
            }
            // What is left out is what the catalog says.
            Err(error) => tracing::error!(device = collector.device(), %error, "tags that the device made keep the filters of before"),
        }
        tags
    }

    /// For each definition the tag that it names, or why the device cannot have it. Blocks.
    fn make(&self, definitions: &[TagDefinition]) -> Vec<Result<Arc<Tag>, String>> {
        let _making = self.making.lock();
        let held = self.catalog.within(&TagScope::Everything);
        let mut uncollected = None;
        let mut wanted: Vec<Result<TagDefinition, String>> = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let tag = held.get(definition.name.as_str());
            wanted.push(definition.check().map_err(|error| error.to_string()).and_then(|()| match tag {
                None => Ok(definition.clone()),
                Some(tag) => self.taken_over(&tag, definition, &mut uncollected),
            }));
        }
        // Those that have no tag yet first: what somebody else makes at this moment is told by its source, and left alone.
        let missing = wanted.iter().flatten().filter(|definition| held.get(definition.name.as_str()).is_none()).cloned().collect();
        if let Err(error) = self.catalog.get_or_create(missing) {
            return told(wanted, &error);
        }
        for one in &mut wanted {
            if let Ok(definition) = one
                && let Some(tag) = held.get(definition.name.as_str())
                && tag.definition.source != definition.source
            {
                *one = self.taken_over(&tag, definition, &mut uncollected);
            }
        }
        let changing: Vec<TagDefinition> = wanted.iter().flatten().cloned().collect();
        let tags = match self.catalog.configure(changing, &[], &[]) {
            Ok(configured) => configured.tags,
            Err(error) => return told(wanted, &error),
        };
        if let Some(Ok(gaps)) = uncollected {
            self.end_gaps(&gaps, &tags);
        }
        let mut tags = tags.into_iter();
        let gone = || "the tag was deleted while it was made".to_owned();
        wanted.into_iter().map(|one| one.and_then(|_| tags.next().ok_or_else(gone))).collect()
    }

    /// The definition that a tag of the catalog gets when a device shows it; what the device does not say stays as people set it. `uncollected`
    /// are the tags that were collected and are no more, once they were asked for.
    fn taken_over(&self, tag: &Tag, shown: &TagDefinition, uncollected: &mut Option<Uncollected>) -> Result<TagDefinition, String> {
        match (&tag.definition.source, &shown.source) {
            (Some(has), Some(wants)) if has.device != wants.device => return Err(format!("it is a tag of device {:?}", has.device)),
            (None, _) => {
                let gaps = uncollected.get_or_insert_with(|| silence::uncollected(self.store.as_ref()));
                let gaps = gaps.as_ref().map_err(|error| format!("the gaps on record cannot be read: {error}"))?;
                if !gaps.contains_key(tag.name().as_str()) {
                    return Err("clients write the tag of this name; rename it with `historian tag rename`, or choose another name".into());
                }
            }
            _ => {}
        }
        if let Some(reason) = config::contradiction(tag.value_type(), shown) {
            return Err(reason);
        }
        let old = &tag.definition;
        // Where people made it stepped, there is no door; a deadband stays.
        let refused = |filter: &TagFilter| filter.check(tag.value_type(), old.stepped).err();
        let mut filter = shown.filter.clone();
        if let Some((key, why)) = refused(&filter) {
            tracing::warn!(tag = %tag.name(), "more of its samples are stored: {key} {why}");
            filter.compression = None;
            if refused(&filter).is_some() {
                filter = TagFilter::default();
            }
        }
        let said = |new: &String, old: &String| if new.is_empty() { old.clone() } else { new.clone() };
        Ok(TagDefinition {
            unit: said(&shown.unit, &old.unit),
            description: said(&shown.description, &old.description),
            range_low: shown.range_low.or(old.range_low),
            range_high: shown.range_high.or(old.range_high),
            state_set: if shown.state_set.is_empty() { old.state_set.clone() } else { shown.state_set.clone() },
            source: shown.source.clone(),
            filter,
            ..old.clone()
        })
    }

    /// Records that tags are collected again.
    fn end_gaps(&self, open: &HashMap<String, i64>, tags: &[Arc<Tag>]) {
        let now = self.clock.now();
        let ended = tags.iter().filter_map(|tag| open.get(tag.name().as_str()).map(|&start| (tag.name().to_string(), start)));
        let mut gaps: Vec<Gap> = ended
            .map(|(tag, start)| Gap {
                time: now,
                tag: Some(tag),
                start: Some(start),
                end: Some(now.0),
                reason: GapReason::NotConfigured,
                detail: "the tag is collected again".to_owned(),
            })
            .collect();
        if let Err(error) = gap_record::record_gaps(&mut gaps, self.store.as_ref()) {
            // The next start finds them open, and closes them.
            tracing::error!(%error, gaps = gaps.len(), "the ends of gaps cannot be recorded yet");
        }
    }
}

/// The same reason for all that had none yet.
fn told(wanted: Vec<Result<TagDefinition, String>>, error: &CatalogError) -> Vec<Result<Arc<Tag>, String>> {
    wanted.into_iter().map(|one| one.and_then(|_| Err(error.to_string()))).collect()
}

impl DeviceTags {
    /// `kept` are the tags that it made before.
    pub fn new(making: Arc<TagMaking>, status: Arc<DeviceStatus>, spool: Spool, kept: &[Arc<Tag>]) -> DeviceTags {
        let tags = kept.iter().map(|tag| (tag.name().clone(), (tag.id, tag.definition.clone()))).collect();
        status.add_names(kept.iter().map(|tag| (tag.id, tag.name().clone())));
        DeviceTags { device: status.device.clone(), making, status, spool, tags: Mutex::new(tags) }
    }

    /// All of now, without their samples.
    pub fn all(&self) -> Vec<FoundTag> {
        let tags = self.tags.lock();
        tags.values()
            .map(|(id, definition)| FoundTag { id: *id, definition: definition.clone(), last: None, unfilled: Vec::new() })
            .collect()
    }

    /// Whether the device made the tag of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tags.lock().keys().any(|known| known.as_str() == name)
    }

    /// The id that the collector knows for a tag of this name and type.
    pub fn id_of(&self, name: &TagName, value_type: ValueType) -> Option<TagId> {
        let tags = self.tags.lock();
        tags.get(name).filter(|(_, definition)| definition.value_type == value_type).map(|(id, _)| *id)
    }

    /// Takes no more samples for these names, which are of other devices now.
    pub fn give_up(&self, names: &BTreeSet<TagName>) {
        for name in names {
            let given = self.tags.lock().remove(name);
            if let Some((id, _)) = given {
                self.spool.refuse(id, "the tag is configured for another device now");
            }
        }
    }
}

#[async_trait]
impl TagMaker for DeviceTags {
    async fn make(&self, mut definitions: Vec<TagDefinition>) -> Vec<Result<TagId, String>> {
        for definition in &mut definitions {
            let address = definition.source.take().map(|source| source.address).unwrap_or_default();
            definition.source = Some(TagSource { device: self.device.clone(), address });
        }
        let (making, count) = (self.making.clone(), definitions.len());
        let made = tokio::task::spawn_blocking(move || making.make(&definitions)).await;
        let made = match made {
            Ok(made) => made,
            Err(error) => return (0..count).map(|_| Err(error.to_string())).collect(),
        };
        let mut tags = self.tags.lock();
        self.status.add_names(made.iter().flatten().map(|tag| (tag.id, tag.name().clone())));
        for tag in made.iter().flatten() {
            // Before the collector knows it, and brings samples. What a filter holds of a tag that is known stays in it, where it is the same.
            let of_now = (&tag.definition.filter, tag.definition.stepped);
            let known = tags.get(tag.name()).filter(|(id, _)| *id == tag.id);
            if known.is_none_or(|(_, before)| (&before.filter, before.stepped) != of_now) {
                self.spool.set_filter(tag.id, &tag.definition);
            }
            let (id, definition) = tags.entry(tag.name().clone()).or_insert_with(|| (tag.id, tag.definition.clone()));
            if *id == tag.id {
                definition.clone_from(&tag.definition);
            }
        }
        made.into_iter().map(|one| one.map(|tag| tag.id)).collect()
    }
}

/// What the store holds last of tags, and the gaps that a history may fill, where these were looked for.
pub fn with_last(tags: &[Arc<Tag>], last: Vec<Option<Sample>>, unfilled: Vec<Vec<UnfilledGap>>) -> Vec<FoundTag> {
    let unfilled = unfilled.into_iter().chain(std::iter::repeat(Vec::new()));
    let of = |((tag, last), unfilled): ((&Arc<Tag>, Option<Sample>), Vec<UnfilledGap>)| FoundTag {
        id: tag.id,
        definition: tag.definition.clone(),
        last,
        unfilled,
    };
    tags.iter().zip(last).zip(unfilled).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{
        ManualClock, Quality, Timestamp, Value,
        filter::{CompressionFilter, ExceptionFilter},
    };
    use historian_store::MemoryStore;

    fn maker(tags_max: usize) -> (Arc<TagMaking>, Arc<Catalog>, Arc<MemoryStore>) {
        let (store, clock) = (Arc::new(MemoryStore::default()), Arc::new(ManualClock::at(Timestamp(5))));
        let catalog = Arc::new(Catalog::open(store.clone(), clock.clone(), tags_max).unwrap());
        (Arc::new(TagMaking::new(catalog.clone(), store.clone(), clock)), catalog, store)
    }

    fn device(making: &Arc<TagMaking>, name: &str) -> DeviceTags {
        let status = Arc::new(DeviceStatus::new(name, "mqtt", "e"));
        status.set_scene(Arc::new(ManualClock::at(Timestamp(5))), Vec::new());
        DeviceTags::new(making.clone(), status.clone(), Spool::new(1_000, status), &[])
    }

    fn shown(name: &str, value_type: ValueType) -> TagDefinition {
        let source = Some(TagSource { device: "of nobody".into(), address: format!("at/{name}") });
        TagDefinition { source, ..TagDefinition::new(TagName::new(name).unwrap(), value_type) }
    }

    #[tokio::test]
    async fn a_name_goes_to_one_source_and_the_rest_of_a_birth_gets_its_tags() {
        let (making, catalog, _) = maker(100);
        let (a, b) = (device(&making, "a"), device(&making, "b"));
        catalog.create(TagDefinition::new(TagName::new("written").unwrap(), ValueType::F64)).unwrap();
        let made = a.make(vec![shown("x", ValueType::F64), shown("written", ValueType::F64), shown("y", ValueType::Bool)]).await;
        assert!(made[0].is_ok() && made[2].is_ok(), "{made:?}");
        assert!(made[1].as_ref().unwrap_err().contains("clients write"), "{made:?}");
        let source = catalog.within(&TagScope::Everything).get("x").unwrap().definition.source.clone().unwrap();
        assert_eq!((source.device.as_str(), source.address.as_str()), ("a", "at/x"));

        let made_again = a.make(vec![shown("x", ValueType::F64), shown("y", ValueType::F64)]).await;
        assert_eq!(made_again[0], made[0]);
        assert!(made_again[1].as_ref().unwrap_err().contains("holds bool") || made_again[1].as_ref().unwrap_err().contains("bool values"));
        let of_other = b.make(vec![shown("x", ValueType::F64), shown("z", ValueType::F64)]).await;
        assert!(of_other[0].as_ref().unwrap_err().contains("device \"a\""), "{of_other:?}");
        assert!(of_other[1].is_ok());
        assert_eq!(a.status.tag_name(*made[0].as_ref().unwrap()), "x");
        assert_eq!(a.all().len(), 2);
    }

    #[tokio::test]
    async fn a_birth_that_does_not_fit_into_the_catalog_makes_nothing_and_says_so() {
        let (making, catalog, _) = maker(2);
        let a = device(&making, "a");
        let made = a.make((0..3).map(|n| shown(&format!("n{n}"), ValueType::F64)).collect()).await;
        assert!(made.iter().all(|one| one.as_ref().unwrap_err().contains("limit of 2 tags")), "{made:?}");
        assert_eq!(catalog.len(), 0);
        assert!(a.make(vec![shown("n0", ValueType::F64)]).await[0].is_ok());
    }

    #[tokio::test]
    async fn what_people_set_stays_and_a_tag_that_was_collected_before_is_taken_again() {
        let (making, catalog, store) = maker(10);
        let a = device(&making, "a");
        let first = a.make(vec![shown("x", ValueType::F64)]).await;
        let tag = catalog.within(&TagScope::Everything).get("x").unwrap();
        catalog.configure(vec![TagDefinition { unit: "bar".into(), ..tag.definition.clone() }], &[], &[]).unwrap();
        assert!(a.make(vec![shown("x", ValueType::F64)]).await[0].is_ok());
        assert_eq!(catalog.within(&TagScope::Everything).get("x").unwrap().definition.unit, "bar");

        // Taken out of the configuration: no source, and a gap without an end.
        catalog.configure(Vec::new(), &[tag.id], &[]).unwrap();
        let refused = device(&making, "b").make(vec![shown("x", ValueType::F64)]).await;
        assert!(refused[0].is_err());
        let gap = Gap {
            time: Timestamp(3),
            tag: Some("x".into()),
            start: Some(3),
            end: None,
            reason: GapReason::NotConfigured,
            detail: String::new(),
        };
        store.append_gaps(&[gap]).unwrap();
        assert_eq!(device(&making, "b").make(vec![shown("x", ValueType::F64)]).await, first);
        assert!(silence::uncollected(store.as_ref()).unwrap().is_empty(), "the gap has an end");
        assert_eq!(catalog.within(&TagScope::Everything).get("x").unwrap().definition.source.as_ref().unwrap().device, "b");
    }

    #[tokio::test]
    async fn a_tag_that_is_made_has_its_filter_from_the_first_sample_on_but_no_door_where_people_made_it_stepped() {
        let (making, catalog, _) = maker(10);
        let a = device(&making, "a");
        let filter = TagFilter { compression: Some(CompressionFilter { deviation: 1.0, max_interval_ms: 60_000 }), ..TagFilter::default() };
        let filtered = || vec![TagDefinition { filter: filter.clone(), ..shown("x", ValueType::F64) }];
        let id = a.make(filtered()).await.pop().unwrap().unwrap();
        let push = |at: i64| {
            let value = Value::F64(at as f64);
            a.spool.push_sample(id, ValueType::F64, Timestamp(at * 1_000), Some(&value), Quality::GOOD).unwrap();
        };
        (1..=3).for_each(push);
        assert_eq!(a.make(filtered()).await, [Ok(id)], "known already: what waits goes on waiting");
        (4..=9).for_each(push);
        assert_eq!(a.spool.depth(), 1, "the first of a straight line");
        let of_now = || catalog.within(&TagScope::Everything).get("x").unwrap().definition.clone();
        assert_eq!(of_now().filter, filter);

        let stepped = TagDefinition { stepped: true, filter: TagFilter::default(), ..of_now() };
        catalog.configure(vec![stepped], &[], &[]).unwrap();
        assert_eq!(device(&making, "a").make(filtered()).await, [Ok(id)]);
        assert!(of_now().filter.is_off() && of_now().stepped);
    }

    #[tokio::test]
    async fn where_people_made_a_tag_stepped_its_deadband_stays_and_what_the_door_held_is_stored() {
        let (making, catalog, _) = maker(10);
        let a = device(&making, "a");
        let exception = Some(ExceptionFilter { deadband: 0.5, min_interval_ms: 0, max_interval_ms: 60_000 });
        let compression = Some(CompressionFilter { deviation: 1.0, max_interval_ms: 60_000 });
        let filter = TagFilter { exception: exception.clone(), compression };
        let filtered = || vec![TagDefinition { filter: filter.clone(), ..shown("x", ValueType::F64) }];
        let id = a.make(filtered()).await.pop().unwrap().unwrap();
        let push = |at: i64, value: f64| {
            a.spool.push_sample(id, ValueType::F64, Timestamp(at * 1_000), Some(&Value::F64(value)), Quality::GOOD).unwrap();
        };
        (1..=3).for_each(|at| push(at, at as f64));
        assert_eq!(a.spool.depth(), 1, "the first of a straight line");
        let of_now = || catalog.within(&TagScope::Everything).get("x").unwrap().definition.clone();
        catalog.configure(vec![TagDefinition { stepped: true, filter: TagFilter::default(), ..of_now() }], &[], &[]).unwrap();

        assert_eq!(a.make(filtered()).await, [Ok(id)]);
        assert_eq!((of_now().filter, of_now().stepped), (TagFilter { exception, compression: None }, true));
        assert_eq!(a.spool.depth(), 2, "the last before the door went");
        push(4, 3.2);
        assert_eq!(a.spool.depth(), 3, "the first that the filter of now sees");
        push(5, 3.3);
        assert_eq!(a.spool.depth(), 3, "within the deadband");
    }
}
