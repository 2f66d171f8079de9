//! Tags of a device that its globs make: those of earlier runs, and what a scan of the server means for them.
//!
//! A tag belongs to a place: a path, and within an array an index. Where the server has another node at the place, the tag goes over to that
//! node. Where it has no variable there any more, the tag is Bad, although its node may still be there and mean something else by now.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use opcua::{client::Session, types::StatusCode};
use parking_lot::Mutex;

use super::{
    address::NodeAddress,
    browse::{self, GlobScan, ScannedVariable},
    deliver::Deliveries,
    delivered::Delivered,
    device::OpcUaSettings,
    fault::ConnectionFault,
    found_address::FoundAddress,
    glob::GlobRule,
    item::OpcUaTag,
    wanted::{Standing, WantedItems},
};
use historian_collector::{CollectorContext, DeviceStatus, FoundTag, TagMaker};
use historian_model::{Clock, TagDefinition, TagId, TagName, tag::TagSource};

/// What the globs of a device have found, from one connection to the next.
pub(super) struct GlobTags<'a> {
    device: &'a OpcUaSettings,
    items: &'a WantedItems,
    deliveries: &'a Deliveries,
    maker: Arc<dyn TagMaker>,
    status: Arc<DeviceStatus>,
    clock: Arc<dyn Clock>,
    known: Mutex<KnownPlaces>,
}

#[derive(Default)]
struct KnownPlaces {
    /// Indexes of found items by path, and index within an array.
    by_place: HashMap<(String, Option<String>), usize>,
    /// Addresses of all tags, configured ones included, by name.
    by_name: HashMap<TagName, String>,
    /// What was told of the last scan.
    told: Vec<String>,
}

/// What a scan changes in what is monitored, by index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FoundChanges {
    /// To be monitored from now on.
    pub create: Vec<usize>,
    /// At another node from now on.
    pub remove: Vec<usize>,
    /// There is no such variable any more.
    pub gone: Vec<usize>,
}

/// A tag that is to be written into the catalog.
struct AskedTag {
    place: FoundAddress,
    definition: TagDefinition,
    /// Of the item, where it has another node now.
    index: Option<usize>,
}

impl<'a> GlobTags<'a> {
    /// Adds the tags of earlier runs to the items and their deliveries.
    pub(super) fn new(
        device: &'a OpcUaSettings,
        items: &'a WantedItems,
        deliveries: &'a Deliveries,
        context: &CollectorContext,
    ) -> GlobTags<'a> {
        let named = |item: &OpcUaTag| (item.definition.name.clone(), item.address_text.clone());
        let known = KnownPlaces { by_name: device.items.iter().map(named).collect(), ..KnownPlaces::default() };
        let tags = GlobTags {
            device,
            items,
            deliveries,
            maker: context.found.maker.clone(),
            status: context.status.clone(),
            clock: context.clock.clone(),
            known: Mutex::new(known),
        };
        for kept in &context.found.kept {
            if let Some(place) = place_of(&kept.definition)
                && let Some(rule) = tags.rule(&place)
            {
                let item = rule.item(kept.definition.clone(), &place);
                tags.add(kept.id, item, place, Some(kept), Standing::Awaited);
            }
        }
        tags
    }

    fn rule(&self, place: &FoundAddress) -> Option<&'a GlobRule> {
        self.device.globs.iter().find(|rule| rule.wants(&place.path))
    }

    /// Adds a tag; `kept` is what an earlier run has left of it.
    fn add(&self, id: TagId, item: OpcUaTag, place: FoundAddress, kept: Option<&FoundTag>, standing: Standing) -> usize {
        let delivered = Delivered::of(id, &item);
        let last = kept.and_then(|kept| kept.last.as_ref());
        let unfilled = item.history.then(|| kept.map_or(&[][..], |kept| kept.unfilled.as_slice()));
        let mut known = self.known.lock();
        known.by_name.insert(item.definition.name.clone(), item.address_text.clone());
        let index = self.items.add(item, standing);
        self.deliveries.add(delivered, last, unfilled);
        known.by_place.insert((place.path, place.index), index);
        self.status.items_wanted.store(self.items.len() as u64, Ordering::Relaxed);
        index
    }

    /// What the last scan found and can be no tag, in a sentence for each reason.
    pub(super) fn told(&self) -> Vec<String> {
        self.known.lock().told.clone()
    }

    /// Takes what a scan has found: makes tags for what is new, and decides what becomes of the others.
    ///
    /// # Errors
    /// The server does not answer.
    pub(super) async fn take(&self, mut scan: GlobScan, session: &Session) -> Result<FoundChanges, ConnectionFault> {
        let mut changes = FoundChanges::default();
        let mut seen = HashSet::new();
        let asked = self.sort(&mut scan, &mut changes, &mut seen);
        self.look_for_unseen(&scan, session, &seen, &mut changes).await?;
        self.make(asked, &mut scan, &mut changes).await;
        self.tell(&scan, &changes);
        Ok(changes)
    }

    /// Finds out which variables have their tags, and which are to get one.
    fn sort(&self, scan: &mut GlobScan, changes: &mut FoundChanges, seen: &mut HashSet<usize>) -> Vec<AskedTag> {
        let known = self.known.lock();
        let (mut asked, mut names): (Vec<AskedTag>, HashMap<TagName, String>) = (Vec::new(), HashMap::new());
        let mut made = self.items.found();
        let (mut beyond, mut held_back) = (0_usize, 0_usize);
        for ScannedVariable { places, variable } in &scan.found {
            let before = places.iter().find_map(|place| {
                let index = known.by_place.get(&(place.path.clone(), place.index.clone()))?;
                Some((*index, place))
            });
            if let Some((index, place)) = before {
                seen.insert(index);
                let item = self.items.item(index);
                if let Some(rule) = self.rule(place) {
                    scan.unfiltered.extend(rule.unfit(&item.definition, &variable.path));
                }
                if item.address != place.node {
                    let source = Some(TagSource { device: self.device.name.clone(), address: place.to_string() });
                    let definition = TagDefinition { source, ..item.definition.clone() };
                    asked.push(AskedTag { place: place.clone(), definition, index: Some(index) });
                } else if self.items.standing(index) != Standing::Wanted {
                    self.items.stand(index, Standing::Wanted);
                    changes.create.push(index);
                }
                continue;
            }
            let Some(place) = places.first().filter(|place| !self.device.is_configured(place)) else { continue };
            let Some(rule) = self.rule(place) else { continue };
            let definition = match rule.definition(&self.device.name, place, variable) {
                Ok(definition) => definition,
                Err(why) => {
                    scan.untaken.push((variable.path.clone(), why));
                    continue;
                }
            };
            if let Some(other) = known.by_name.get(&definition.name).or_else(|| names.get(&definition.name)) {
                scan.untaken.push((variable.path.clone(), format!("its tag {} is that of {other} already", definition.name)));
            } else if scan.stopped {
                held_back += 1;
            } else if made >= self.device.tags_max {
                beyond += 1;
            } else {
                made += 1;
                scan.unfiltered.extend(rule.unfit(&definition, &variable.path));
                names.insert(definition.name.clone(), place.to_string());
                asked.push(AskedTag { place: place.clone(), definition, index: None });
            }
        }
        if beyond > 0 {
            let most = self.device.tags_max;
            scan.notes.push(format!("no tag of {beyond} variables: the device made {most} tags by itself, which is its tags_max"));
        }
        if held_back > 0 {
            scan.notes.push(format!("no tag of {held_back} variables until browsing comes to its end"));
        }
        asked
    }

    /// Makes tags, and gives others their new nodes, in one write of the catalog.
    async fn make(&self, asked: Vec<AskedTag>, scan: &mut GlobScan, changes: &mut FoundChanges) {
        if asked.is_empty() {
            return;
        }
        let made = self.maker.make(asked.iter().map(|asked| asked.definition.clone()).collect()).await;
        let mut count = 0_usize;
        for (AskedTag { place, definition, index }, made) in asked.into_iter().zip(made) {
            let Some(rule) = self.rule(&place) else { continue };
            let name = definition.name.clone();
            match (made, index) {
                (Ok(id), None) => {
                    let item = rule.item(definition, &place);
                    changes.create.push(self.add(id, item, place, None, Standing::Wanted));
                    count += 1;
                }
                (Ok(_), Some(index)) => {
                    let before = self.items.item(index).address.clone();
                    tracing::warn!(
                        device = self.device.name, tag = %name, before = %before, now = %place.node,
                        "the server has another node at the path of the tag, which is collected from now on"
                    );
                    self.items.replace(index, rule.item(definition, &place));
                    self.items.stand(index, Standing::Wanted);
                    changes.remove.push(index);
                    changes.create.push(index);
                }
                (Err(why), None) => scan.untaken.push((place.path, format!("there is no tag {name}: {why}"))),
                (Err(why), Some(index)) => {
                    self.items
                        .stand(index, Standing::Gone(format!("the server has another node at its path, which the tag cannot take: {why}")));
                    changes.gone.push(index);
                }
            }
        }
        if count > 0 {
            tracing::info!(device = self.device.name, tags = count, "made tags of variables that globs found");
        }
    }

    /// Decides about the tags whose variables were not found. Where not everything was looked at, the names of their nodes must do.
    async fn look_for_unseen(
        &self,
        scan: &GlobScan,
        session: &Session,
        seen: &HashSet<usize>,
        changes: &mut FoundChanges,
    ) -> Result<(), ConnectionFault> {
        let found = self.items.configured()..self.items.len();
        let unseen = found.filter(|index| !seen.contains(index) && self.items.gone(*index).is_none());
        let unseen: Vec<(usize, FoundAddress)> =
            unseen.filter_map(|index| Some((index, place_of(&self.items.item(index).definition)?))).collect();
        if scan.complete {
            for (index, place) in unseen {
                self.items.stand(index, Standing::Gone(format!("the server has no variable at {} any more", place.path)));
                changes.gone.push(index);
            }
            return Ok(());
        }
        let nodes: Vec<NodeAddress> = unseen.iter().map(|(_, place)| place.node.clone()).collect();
        let names = browse::browse_names(session, &nodes, self.device.timeout).await?;
        for ((index, place), name) in unseen.into_iter().zip(names) {
            let last = place.path.rsplit('/').next().unwrap_or_default();
            let gone = match name {
                None => Some("the server does not have the namespace of its node any more".to_owned()),
                Some(Err(StatusCode::BadNodeIdUnknown)) => Some("the server does not have its node any more".to_owned()),
                Some(Ok(name)) if name != last => Some(format!("its node {} is {name} now, and not {}", place.node, place.path)),
                // What the server does not tell the subscription will.
                Some(_) => None,
            };
            match gone {
                Some(why) => {
                    self.items.stand(index, Standing::Gone(why));
                    changes.gone.push(index);
                }
                None if self.items.standing(index) == Standing::Awaited => {
                    self.items.stand(index, Standing::Wanted);
                    changes.create.push(index);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Says what differs from what was said of the scan before: in the log, and in the status.
    fn tell(&self, scan: &GlobScan, changes: &FoundChanges) {
        let told = scan.in_words();
        let before = std::mem::replace(&mut self.known.lock().told, told.clone());
        for line in told.iter().filter(|line| !before.contains(line)) {
            tracing::warn!(device = self.device.name, "globs: {line}");
            self.status.record_error(self.clock.now(), format!("globs: {line}"));
        }
        if let Some(first) = changes.gone.first() {
            let name = self.items.item(*first).definition.name.clone();
            let why = self.items.gone(*first).unwrap_or_default();
            tracing::warn!(device = self.device.name, tags = changes.gone.len(), "tags have no variable any more, first {name}: {why}");
        }
    }
}

fn place_of(definition: &TagDefinition) -> Option<FoundAddress> {
    FoundAddress::parse(&definition.source.as_ref()?.address).ok()
}
