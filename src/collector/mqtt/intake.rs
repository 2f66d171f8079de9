//! Messages on their way to tags: which tag a value is for, and tags made for values that have none.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    address::{self, MqttAddress},
    announce::Announcement,
    device::{MqttSettings, TopicRule},
    edges::KnownEdges,
    exact,
    held::{HeldTag, HeldTags, ReceivedValue},
    message::{self, MessageForm, MessageValue, PayloadForm, TopicMessage},
    scalar,
    sparkplug::{self, HostEvent, HostOptions, SparkplugHost},
};
use historian_collector::{CollectorContext, DeviceStatus, TagMaker};
use historian_model::{Clock, Quality, TagDefinition, TagId, TagName, tag::TagSource};
use serde_json::Value as Json;

/// How long a tag that could not be had is not asked for again.
const ASK_AGAIN: Duration = Duration::from_mins(1);
/// How often those that may be asked again are looked for, where there is no room for more.
const SWEEP: Duration = Duration::from_secs(1);
/// Addresses that are remembered as without a tag.
const WITHOUT_TAG_MAX: usize = 100_000;
/// Faults that get a line of their own in the log.
const TOLD_MAX: u32 = 20;

/// What a device knows of its tags and edges, from one connection to the next.
pub(super) struct Intake<'device> {
    pub(super) device: &'device MqttSettings,
    pub(super) held: HeldTags,
    status: Arc<DeviceStatus>,
    clock: Arc<dyn Clock>,
    maker: Arc<dyn TagMaker>,
    /// Numbers of tags by their address, written as [`address::of_topic`] does.
    by_address: HashMap<String, usize>,
    by_name: HashMap<TagName, usize>,
    /// Numbers of configured tags by topic, with how they are read.
    by_topic: HashMap<&'device str, Vec<(usize, &'device MessageForm)>>,
    /// Tags beside the configured ones.
    found: usize,
    /// Filters that the broker refused; `None` while nothing is subscribed to.
    refused: Option<HashSet<String>>,
    without_tag: HashMap<String, Instant>,
    /// When those that may be asked again were last taken out.
    swept: Option<Instant>,
    pub(super) host: Option<SparkplugHost>,
    edges: KnownEdges,
    began: Instant,
    told: u32,
}

/// Why tags cannot have a filter that is configured for all of their kind: the first of them, and how many there are.
type UnfitFilters = BTreeMap<String, (TagName, usize)>;

/// A tag to be made, and the address that it is found by.
struct ShownTag {
    definition: TagDefinition,
    address: String,
}

impl<'device> Intake<'device> {
    /// `ids` are in the order of the device's tags.
    pub(super) fn new(device: &'device MqttSettings, ids: &[TagId], context: &CollectorContext) -> Intake<'device> {
        let host = device.sparkplug.as_ref().map(|sparkplug| {
            SparkplugHost::new(HostOptions {
                reorder_timeout: sparkplug.reorder_timeout,
                payload_bytes_max: device.message_bytes_max,
                ..HostOptions::default()
            })
        });
        let mut intake = Intake {
            device,
            held: HeldTags::new(context),
            status: context.status.clone(),
            clock: context.clock.clone(),
            maker: context.found.maker.clone(),
            by_address: HashMap::new(),
            by_name: HashMap::new(),
            by_topic: HashMap::new(),
            found: 0,
            refused: None,
            without_tag: HashMap::new(),
            swept: None,
            host,
            edges: KnownEdges::default(),
            began: Instant::now(),
            told: 0,
        };
        let mut last = context.last.iter().cloned();
        for (tag, id) in device.tags.iter().zip(ids) {
            let number = intake.add(*id, &tag.definition, normal(&tag.address), last.next().flatten());
            if let Some((topic, form)) = &tag.topic {
                intake.by_topic.entry(topic).or_default().push((number, form));
            }
        }
        let mut unfit = UnfitFilters::new();
        for kept in &context.found.kept {
            let address = kept.definition.source.as_ref().map(|source| source.address.clone()).unwrap_or_default();
            intake.add(kept.id, &kept.definition, address, kept.last.clone());
            intake.found += 1;
            intake.look_at_filter(&kept.definition, &mut unfit);
        }
        intake.tell_unfit(&unfit);
        intake.count();
        intake
    }

    fn add(&mut self, id: TagId, definition: &TagDefinition, address: String, last: Option<historian_model::Sample>) -> usize {
        let number = self.held.add(id, definition, last);
        self.by_name.insert(definition.name.clone(), number);
        self.by_address.insert(address, number);
        number
    }

    fn count(&self) {
        self.status.items_wanted.store(self.held.count_all() as u64, Ordering::Relaxed);
        let created = self.created();
        self.status.items_created.store(created.len() as u64, Ordering::Relaxed);
        self.status.set_created(created);
    }

    /// Tags whose messages are subscribed to: all but the configured ones under filters that the broker refused.
    fn created(&self) -> Vec<TagId> {
        let Some(refused) = &self.refused else { return Vec::new() };
        let without = self.by_topic.iter().filter(|(topic, _)| refused.contains(**topic));
        let without: HashSet<usize> = without.flat_map(|(_, tags)| tags).map(|(tag, _)| *tag).collect();
        self.held.all().enumerate().filter(|(number, _)| !without.contains(number)).map(|(_, held)| held.id).collect()
    }

    /// The broker has answered all subscriptions; it refused these filters.
    pub(super) fn subscribed(&mut self, refused: HashSet<String>) {
        self.refused = Some(refused);
        self.count();
    }

    /// Nothing is subscribed to.
    pub(super) fn unsubscribed(&mut self) {
        self.refused = None;
        self.count();
    }

    /// Group and node of every Sparkplug node that has tags, where nodes may be asked for their births.
    pub(super) fn nodes(&self) -> Vec<(String, String)> {
        if !self.device.sparkplug.as_ref().is_some_and(|sparkplug| sparkplug.rebirth) {
            return Vec::new();
        }
        let node = |held: &HeldTag| match MqttAddress::parse(&held.address) {
            Ok(MqttAddress::Metric(metric)) => Some((metric.group, metric.node)),
            _ => None,
        };
        let nodes: BTreeSet<(String, String)> = self.held.all().filter_map(node).collect();
        nodes.into_iter().collect()
    }

    /// Time of the host's rules.
    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// When [`Intake::tick`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.host.as_ref()?.next_due().map(|due| self.began + due)
    }

    /// Takes one message. Answers what is to be published for it.
    pub(super) async fn message(&mut self, topic: &str, payload: &[u8], retained: bool) -> Vec<Announcement> {
        let now = self.clock.now();
        self.status.record_good(now);
        if payload.len() > self.device.message_bytes_max {
            let most = self.device.message_bytes_max;
            self.refuse(topic, &format!("its payload of {} bytes is longer than message_bytes_max, {most}", payload.len()));
            self.fault_of_topic(topic, Quality::BAD_ENCODING_LIMITS_EXCEEDED, "its payload is longer than message_bytes_max");
            return Vec::new();
        }
        // A retained message without a payload is how one is taken away.
        let of_edges = self.host.is_some() && topic.starts_with("spBv1.0/");
        if !(of_edges || payload.is_empty() && retained) {
            self.configured_tags(topic, payload, retained);
            let device = self.device;
            if let Some((rule, wildcards)) = device.topics.iter().find_map(|rule| Some((rule, rule.filter.captures(topic)?))) {
                self.found_tags(rule, &wildcards, topic, payload, retained).await;
            }
        }
        let elapsed = self.elapsed();
        let events = match &mut self.host {
            Some(host) if of_edges && sparkplug::read_state(topic, payload).is_none() => {
                if retained {
                    host.take_retained(topic, payload, now, elapsed)
                } else {
                    host.take(topic, payload, now, elapsed)
                }
            }
            _ => Vec::new(),
        };
        self.happened(events).await
    }

    /// Does what is due by time alone.
    pub(super) async fn tick(&mut self) -> Vec<Announcement> {
        let (now, elapsed) = (self.clock.now(), self.elapsed());
        let events = self.host.as_mut().map(|host| host.tick(now, elapsed)).unwrap_or_default();
        self.happened(events).await
    }

    /// Takes what waits in the host: nothing more comes.
    pub(super) async fn release(&mut self) {
        let events = self.host.as_mut().map(SparkplugHost::release).unwrap_or_default();
        self.happened(events).await;
    }

    /// The link is lost: nothing is known of any tag.
    pub(super) async fn lose(&mut self) {
        let now = self.clock.now();
        let events = self.host.as_mut().map(|host| host.link_lost(now)).unwrap_or_default();
        // Whom it would ask cannot be reached.
        self.happened(events).await;
        self.held.lose();
    }

    fn configured_tags(&mut self, topic: &str, payload: &[u8], retained: bool) {
        let Some(tags) = self.by_topic.get(topic) else { return };
        let text = std::str::from_utf8(payload);
        let mut json: Option<Result<Json, String>> = None;
        let mut values: Vec<(usize, Result<MessageValue, String>)> = Vec::with_capacity(tags.len());
        for (tag, form) in tags {
            let Some(value_type) = self.held.get(*tag).map(|held| held.value_type) else { continue };
            let value = match text {
                Err(error) => Err(format!("is no UTF-8 from byte {} on", error.valid_up_to())),
                Ok(text) if form.payload == PayloadForm::Text => Ok(form.value_of(&scalar::of_text(text, Some(value_type)))),
                Ok(text) => {
                    let read = json.get_or_insert_with(|| exact::json(text).map_err(|error| format!("is no JSON: {error}")));
                    read.as_ref().map(|json| form.value_of(json)).map_err(Clone::clone)
                }
            };
            values.push((*tag, value));
        }
        for (tag, value) in values {
            match value {
                Ok(value) => self.take_value(tag, value, topic, retained),
                Err(reason) => {
                    self.refuse(topic, &reason);
                    self.held.fault(tag, None, Quality::BAD_DECODING_ERROR, &reason);
                }
            }
        }
    }

    fn fault_of_topic(&mut self, topic: &str, quality: Quality, reason: &str) {
        let tags: Vec<usize> = self.by_topic.get(topic).into_iter().flatten().map(|(tag, _)| *tag).collect();
        for tag in tags {
            self.held.fault(tag, None, quality, reason);
        }
    }

    /// Takes a value of a message for its tag.
    fn take_value(&mut self, tag: usize, value: MessageValue, topic: &str, retained: bool) {
        let MessageValue { pointer, scalar, at, mut quality, fault, .. } = value;
        let Some(value_type) = self.held.get(tag).map(|held| held.value_type) else { return };
        let told = |reason: &str| if pointer.is_empty() { reason.to_owned() } else { format!("{pointer}: {reason}") };
        if !fault.is_empty() {
            self.refuse(topic, &told(&fault));
            self.held.fault(tag, at, Quality::BAD_DECODING_ERROR, &fault);
            return;
        }
        let mut doubt = String::new();
        let value = match scalar {
            None | Some(Json::Null) if quality.is_bad() => None,
            None | Some(Json::Null) => {
                self.refuse(topic, &told("is null"));
                self.held.fault(tag, at, Quality::BAD_NO_DATA, "the value is null");
                return;
            }
            Some(scalar) => match scalar::value_of(&scalar, value_type) {
                Ok(value) => Some(value),
                Err(reason) => {
                    self.refuse(topic, &told(&reason));
                    let Some(rounded) = scalar::rounded(&scalar, value_type) else {
                        self.held.fault(tag, at, Quality::BAD_TYPE_MISMATCH, &reason);
                        return;
                    };
                    quality = if quality.is_good() { Quality::UNCERTAIN } else { quality };
                    doubt = told(&reason);
                    Some(rounded)
                }
            },
        };
        self.held.take_doubted(tag, ReceivedValue { at, value, quality, retained, historical: false }, &doubt);
    }

    async fn found_tags(&mut self, rule: &TopicRule, wildcards: &[&str], topic: &str, payload: &[u8], retained: bool) {
        let mut read = match rule.form.read(payload, rule.value_type) {
            Ok(read) => read,
            Err(reason) => {
                self.refuse(topic, &reason);
                return;
            }
        };
        read.without_members(&rule.tag_name);
        let values = std::mem::take(&mut read.values);
        let mut addressed = Vec::with_capacity(values.len());
        let mut shown: Vec<ShownTag> = Vec::new();
        let mut asked: HashSet<String> = HashSet::new();
        for value in values {
            let address = match read.address(&value, &rule.tag_name, topic) {
                Ok(address) => address,
                Err(reason) => {
                    self.refuse(topic, &reason);
                    continue;
                }
            };
            // The configured tag has had it.
            if self.by_address.get(&address).is_some_and(|tag| *tag < self.device.tags.len()) {
                continue;
            }
            if !self.by_address.contains_key(&address) && !asked.contains(&address) {
                match Self::shown(rule, &read, &value, wildcards, topic) {
                    Ok(Some(tag)) => {
                        asked.insert(address.clone());
                        shown.push(tag);
                    }
                    Ok(None) => continue,
                    Err(reason) => {
                        self.refuse(topic, &reason);
                        continue;
                    }
                }
            }
            addressed.push((address, value));
        }
        self.make(shown).await;
        for (address, value) in addressed {
            if let Some(tag) = self.by_address.get(&address) {
                self.take_value(*tag, value, topic, retained);
            }
        }
    }

    /// The tag that a value asks for; `None` where it has been told lately that there is none.
    fn shown(
        rule: &TopicRule,
        read: &TopicMessage,
        value: &MessageValue,
        wildcards: &[&str],
        topic: &str,
    ) -> Result<Option<ShownTag>, String> {
        if !value.fault.is_empty() {
            return Err(value.fault.clone());
        }
        let scalar = value.scalar.as_ref().unwrap_or(&Json::Null);
        let value_type = match rule.value_type.or_else(|| scalar::type_of(scalar)) {
            Some(value_type) => value_type,
            // Without a value nothing says of which type it will be.
            None if scalar.is_null() => return Ok(None),
            None => return Err("an object or array is no value; say `value` or `fields`".to_owned()),
        };
        if !scalar.is_null() && scalar::rounded(scalar, value_type).is_none() {
            scalar::value_of(scalar, value_type)?;
        }
        let (name, address) = read.named(value, &rule.tag_name, topic, wildcards)?;
        let mut definition = TagDefinition { unit: rule.unit.clone(), ..TagDefinition::new(name, value_type) };
        definition.stepped = rule.stepped.unwrap_or(definition.stepped);
        Ok(Some(ShownTag { definition, address }))
    }

    /// Makes tags in one write; what cannot be had is told, and asked for again after a while.
    async fn make(&mut self, shown: Vec<ShownTag>) {
        let mut asked: Vec<ShownTag> = Vec::new();
        let mut names: HashSet<TagName> = HashSet::new();
        for ShownTag { mut definition, address } in shown {
            if self.without_tag.get(&address).is_some_and(|since| since.elapsed() < ASK_AGAIN) {
                continue;
            }
            let name = definition.name.clone();
            if let Some(other) = self.by_name.get(&name).and_then(|tag| self.held.get(*tag)) {
                let reason = format!("its tag {name} is that of {} already", other.address);
                self.without(address, &reason);
            } else if !names.insert(name.clone()) {
                self.without(address, &format!("its tag {name} is that of another value of the message already"));
            } else if self.found + asked.len() >= self.device.tags_max {
                let most = self.device.tags_max;
                self.without(address, &format!("there is no tag {name}: the device made {most} tags by itself, which is its tags_max"));
            } else {
                definition.source = Some(TagSource { device: self.device.name.clone(), address: address.clone() });
                (definition.filter, _) = self.device.fitting_filter(&definition);
                asked.push(ShownTag { definition, address });
            }
        }
        if asked.is_empty() {
            return;
        }
        let made = self.maker.make(asked.iter().map(|shown| shown.definition.clone()).collect()).await;
        let (mut made_now, mut unfit) = (Vec::new(), UnfitFilters::new());
        for (ShownTag { definition, address }, made) in asked.into_iter().zip(made) {
            match made {
                Ok(id) => {
                    self.without_tag.remove(&address);
                    self.add(id, &definition, address, None);
                    self.found += 1;
                    self.look_at_filter(&definition, &mut unfit);
                    made_now.push(id);
                }
                Err(reason) => self.without(address, &format!("there is no tag {}: {reason}", definition.name)),
            }
        }
        if made_now.is_empty() {
            return;
        }
        tracing::info!(device = self.device.name, tags = made_now.len(), "made tags for values that came");
        self.tell_unfit(&unfit);
        // A topic may bring its tags one by one: only these are counted.
        self.status.items_wanted.store(self.held.count_all() as u64, Ordering::Relaxed);
        if self.refused.is_some() {
            DeviceStatus::count(&self.status.items_created, made_now.len() as u64);
            self.status.add_created(made_now);
        }
    }

    /// Notes what a tag that was made cannot have of the filters that are configured for it.
    fn look_at_filter(&self, definition: &TagDefinition, unfit: &mut UnfitFilters) {
        for why in self.device.fitting_filter(definition).1 {
            unfit.entry(why).or_insert_with(|| (definition.name.clone(), 0)).1 += 1;
        }
    }

    /// One sentence for each reason, in the log and the status.
    fn tell_unfit(&self, unfit: &UnfitFilters) {
        for (why, (first, count)) in unfit {
            let told = format!("no such filter of {count} tags that were made, first {first}: {why}");
            tracing::warn!(device = self.device.name, "{told}");
            self.status.record_error(self.clock.now(), told);
        }
    }

    fn without(&mut self, address: String, reason: &str) {
        self.refuse(&address, reason);
        let swept = self.swept.is_some_and(|since| since.elapsed() < SWEEP);
        if self.without_tag.len() >= WITHOUT_TAG_MAX && !swept {
            self.swept = Some(Instant::now());
            self.without_tag.retain(|_, since| since.elapsed() < ASK_AGAIN);
        }
        if self.without_tag.len() < WITHOUT_TAG_MAX {
            self.without_tag.insert(address, Instant::now());
        }
    }

    /// What cannot be taken: counted, in the status, and in the log while it is not too much.
    pub(super) fn refuse(&mut self, what: &str, reason: &str) {
        DeviceStatus::count(&self.status.exceptions, 1);
        self.told = self.told.saturating_add(1);
        match self.told {
            told if told <= TOLD_MAX => tracing::warn!(device = self.device.name, "{what}: {reason}"),
            told if told == TOLD_MAX + 1 => {
                tracing::warn!(device = self.device.name, "more like these; the log names no further ones, the status does");
            }
            _ => {}
        }
        self.status.record_error(self.clock.now(), format!("{what}: {reason}"));
    }

    /// Takes what the Sparkplug host says.
    async fn happened(&mut self, events: Vec<HostEvent>) -> Vec<Announcement> {
        let mut announcements = Vec::new();
        for event in events {
            match event {
                HostEvent::Born { edge, metrics } => self.born(edge, metrics).await,
                HostEvent::Reading { edge, metric, reading } => {
                    if let Some(tag) = self.edges.tag(&edge, &metric) {
                        self.take_reading(tag, reading);
                    }
                }
                HostEvent::Dead { edge, at, reason } => {
                    tracing::info!(device = self.device.name, %edge, "{reason}");
                    let tags = self.edges.tags(&edge);
                    self.held.end(tags, at.0, &format!("{edge}: {reason}"));
                }
                HostEvent::Rebirth { group, node, reason } => {
                    if self.device.sparkplug.as_ref().is_some_and(|sparkplug| sparkplug.rebirth) {
                        tracing::info!(device = self.device.name, group, node, "asks for a rebirth: {reason}");
                        announcements.push(Announcement::Rebirth { group, node, at: self.clock.now() });
                    } else {
                        self.refuse(
                            &format!("{group}/{node}"),
                            &format!("{reason}; a rebirth is not asked for (sparkplug.rebirth = false)"),
                        );
                    }
                }
                HostEvent::Refused { edge, metric, reason } => {
                    let edge = edge.map_or_else(|| "Sparkplug".to_owned(), |edge| edge.to_string());
                    let what = metric.map_or_else(|| edge.clone(), |metric| format!("{edge}:{metric}"));
                    self.refuse(&what, &reason);
                }
            }
        }
        announcements
    }

    async fn born(&mut self, edge: sparkplug::EdgeName, metrics: Vec<sparkplug::BornMetric>) {
        let Some(settings) = &self.device.sparkplug else { return };
        let mut shown = Vec::new();
        let mut names = Vec::with_capacity(metrics.len());
        for metric in metrics {
            let address = metric.address;
            if !self.by_address.contains_key(&address) {
                match edges_name(settings, &edge, &metric.name) {
                    Ok(name) => shown.push(ShownTag {
                        definition: TagDefinition {
                            unit: metric.unit,
                            description: metric.description,
                            range_low: metric.range_low.filter(|low| metric.range_high.is_none_or(|high| *low < high)),
                            range_high: metric.range_high,
                            ..TagDefinition::new(name, metric.value_type)
                        },
                        address: address.clone(),
                    }),
                    Err(reason) => self.refuse(&address, &reason),
                }
            }
            names.push((metric.name, address));
        }
        self.make(shown).await;
        let metrics = names.into_iter().filter_map(|(name, address)| Some((name, *self.by_address.get(&address)?))).collect();
        let gone = self.edges.born(edge, metrics);
        let now = self.clock.now().0;
        self.held.end(gone, now, "the metric is not in the birth of its edge any more");
    }

    fn take_reading(&mut self, tag: usize, reading: sparkplug::MetricReading) {
        let sparkplug::MetricReading { at, value, quality, historical, doubt, .. } = reading;
        let Some((wanted, address)) = self.held.get(tag).map(|held| (held.value_type, held.address.clone())) else { return };
        let received = |value, quality| ReceivedValue { at: Some(at.0), value, quality, retained: false, historical };
        match value.map(|value| super::edges::converted(value, wanted)).transpose() {
            Ok(Some((value, true))) => {
                let rounded = "its value is rounded by an f64, and Uncertain; say `type = \"i64\"` or \"u64\"";
                self.refuse(&address, rounded);
                let quality = if quality.is_good() { Quality::UNCERTAIN } else { quality };
                self.held.take_doubted(tag, received(Some(value), quality), rounded);
            }
            Ok(value) => self.held.take_doubted(tag, received(value.map(|(value, _)| value), quality), &doubt),
            Err(reason) => {
                self.refuse(&address, &reason);
                if historical {
                    self.held.take(tag, received(None, Quality::BAD_TYPE_MISMATCH));
                } else {
                    self.held.fault(tag, Some(at.0), Quality::BAD_TYPE_MISMATCH, &reason);
                }
            }
        }
    }
}

/// The address as readings have it.
fn normal(text: &str) -> String {
    match MqttAddress::parse(text) {
        Ok(MqttAddress::Topic(topic)) => address::of_topic(&topic.topic, &topic.pointer, &[]),
        _ => text.to_owned(),
    }
}

fn edges_name(settings: &super::device::SparkplugSettings, edge: &sparkplug::EdgeName, metric: &str) -> Result<TagName, String> {
    super::edges::name(&settings.tag_name, &edge.group, &edge.node, edge.device.as_deref().unwrap_or_default(), metric)
}

impl MqttSettings {
    /// Whether this configuration makes this tag from messages.
    pub(super) fn makes(&self, tag: &TagDefinition) -> bool {
        let Some(source) = tag.source.as_ref().filter(|source| source.device == self.name) else { return false };
        match MqttAddress::parse(&source.address) {
            Ok(MqttAddress::Metric(metric)) => self.sparkplug.as_ref().is_some_and(|sparkplug| {
                let in_group = sparkplug.groups.iter().any(|group| group == "+" || *group == metric.group);
                let name = super::edges::name(&sparkplug.tag_name, &metric.group, &metric.node, &metric.device, &metric.metric);
                in_group && name.is_ok_and(|name| name == tag.name)
            }),
            Ok(MqttAddress::Topic(topic)) => {
                let rule = self.topics.iter().find_map(|rule| Some((rule, rule.filter.captures(&topic.topic)?)));
                rule.is_some_and(|(rule, wildcards)| {
                    let member = |pointer: &str| topic.members.iter().find(|(known, _)| known == pointer).map(|(_, text)| text.clone());
                    let name = message::name(&rule.tag_name, &topic.topic, &wildcards, &topic.pointer, member);
                    let of_type = rule.value_type.is_none_or(|value_type| value_type == tag.value_type);
                    of_type && rule.form.has(&topic.pointer) && name.is_ok_and(|name| name == tag.name)
                })
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
