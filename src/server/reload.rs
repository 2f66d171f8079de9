//! The configuration read again while the historian runs, applied as a difference: devices that are the same are not touched, the others are stopped,
//! and started with what is new. What cannot change in a running process is told and left as it is. A configuration with a mistake changes
//! nothing. ADR 0033 has the reasons.
//!
//! The order of the steps is that of what may fail: reading, the catalog (one write, whole or not at all), then what cannot be refused.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use historian_api::{CallLog, ReloadCounts, ReloadError, ReloadReport};
use historian_collector::{Collector, ConfigProblem};
use historian_ingest::Ingest;
use historian_model::{Clock, RetentionGroup, Tag, TagDefinition, TagId, TagName, TagRename, TagScope};
use historian_store::{Catalog, CatalogError, Store};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    audit::AuditWatch,
    config::{self, Configuration, difference},
    configured::{self, ConfiguredTags},
    devices::{ConfiguredTag, DeviceSet},
    found,
    name_user::NameUsers,
    renamed_gap, silence,
};

/// Reads the configuration as the start did. Blocks.
pub type LoadConfiguration = Arc<dyn Fn() -> Result<Configuration, Vec<ConfigProblem>> + Send + Sync>;
/// Puts a new filter of the log in the place of the old one.
pub type SetLogLevel = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What a reload takes of whoever started the server.
pub struct ReloadSource {
    pub load: LoadConfiguration,
    pub set_log_level: SetLogLevel,
    /// One message for each time that somebody asks for it from outside of the interface.
    pub asked: mpsc::Receiver<()>,
}

/// The parts of a running historian that a reload changes.
pub struct ReloadParts {
    pub catalog: Arc<Catalog>,
    pub store: Arc<dyn Store>,
    pub ingest: Arc<Ingest>,
    pub clock: Arc<dyn Clock>,
    pub devices: Arc<DeviceSet>,
    pub calls: CallLog,
    pub audit: Arc<AuditWatch>,
    pub configured: Arc<ConfiguredTags>,
    pub users: Arc<NameUsers>,
}

/// Reads the configuration again and applies it.
pub struct Reloader {
    load: LoadConfiguration,
    set_log_level: SetLogLevel,
    parts: ReloadParts,
    /// What holds now. Held while a configuration is applied: one at a time.
    current: tokio::sync::Mutex<Configuration>,
    retention: Mutex<Vec<RetentionGroup>>,
    applied: AtomicU64,
    refused: AtomicU64,
    last_refused: AtomicBool,
}

/// What differs between two configurations in their devices and tags.
struct TagDifference {
    added: Vec<Arc<dyn Collector>>,
    removed: Vec<String>,
    changed: Vec<Arc<dyn Collector>>,
    unchanged: u64,
    /// Definitions that the catalog is to have: of tags that are new or differ.
    definitions: Vec<TagDefinition>,
    /// Names of collected tags that are collected no more, and of those that were not before.
    ended: BTreeSet<TagName>,
    begun: BTreeSet<TagName>,
    tags_added: u64,
    tags_changed: u64,
    /// Names that the configuration has no more, collected or not.
    removed_tags: BTreeSet<TagName>,
    renamed: Vec<TagRename>,
}

impl Reloader {
    pub fn new(load: LoadConfiguration, set_log_level: SetLogLevel, parts: ReloadParts, current: Configuration) -> Reloader {
        Reloader {
            load,
            set_log_level,
            parts,
            retention: Mutex::new(current.retention.clone()),
            current: tokio::sync::Mutex::new(current),
            applied: AtomicU64::default(),
            refused: AtomicU64::default(),
            last_refused: AtomicBool::default(),
        }
    }

    pub fn counts(&self) -> ReloadCounts {
        ReloadCounts {
            applied: self.applied.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            last_refused: self.last_refused.load(Ordering::Relaxed),
        }
    }

    /// Which samples go when they are old.
    pub fn retention(&self) -> Vec<RetentionGroup> {
        self.retention.lock().clone()
    }

    /// Waits for a reload that is under way, and lets none begin: the devices are to stop.
    pub async fn end(&self) -> tokio::sync::MutexGuard<'_, Configuration> {
        self.current.lock().await
    }

    /// Reads the configuration and applies it. The outcome is in the log, in the metrics, and answered.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub async fn reload(self: Arc<Self>) -> Result<ReloadReport, ReloadError> {
        let mut current = self.current.lock().await;
        let outcome = self.apply(&mut current).await;
        match &outcome {
            Ok(report) => {
                self.applied.fetch_add(1, Ordering::Relaxed);
                if !report.not_applied.is_empty() {
                    let keys = report.not_applied.join(",");
                    tracing::warn!(keys, "these differ from what runs, and hold after the next start");
                }
            }
            Err(error) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                match error {
                    ReloadError::Refused(problems) => {
                        for problem in problems {
                            tracing::error!("the configuration that was read again has a mistake: {problem}");
                        }
                        tracing::error!(problems = problems.len(), "the configuration was not applied, the one before holds on");
                    }
                    error => tracing::error!("{error}; the one before holds on"),
                }
            }
        }
        self.last_refused.store(outcome.is_err(), Ordering::Relaxed);
        outcome
    }

    async fn apply(&self, current: &mut Configuration) -> Result<ReloadReport, ReloadError> {
        let load = self.load.clone();
        let read = tokio::task::spawn_blocking(move || load()).await.map_err(|error| ReloadError::Failed(error.to_string()))?;
        let new = read.map_err(|problems| ReloadError::Refused(problems.iter().map(ToString::to_string).collect()))?;
        let contradictions = self.contradictions(current, &new);
        if !contradictions.is_empty() {
            return Err(ReloadError::Refused(contradictions));
        }
        // From now on nobody renames a tag of either configuration.
        self.parts.configured.add(&new);
        let applied = self.apply_difference(current, &new).await;
        self.parts.configured.set(if applied.is_ok() { &new } else { &*current });
        let difference = applied?;

        let names = |collectors: &[Arc<dyn Collector>]| collectors.iter().map(|collector| collector.device().to_owned()).collect();
        let mut report = ReloadReport {
            devices_added: names(&difference.added),
            devices_changed: names(&difference.changed),
            devices_removed: difference.removed,
            devices_unchanged: difference.unchanged,
            tags_added: difference.tags_added,
            tags_changed: difference.tags_changed,
            tags_removed: difference.removed_tags.len() as u64,
            applied: Vec::new(),
            not_applied: difference::fixed_keys(current, &new),
            left_behind: self.parts.users.left_behind(&difference.renamed, &new.retention),
        };
        self.parts.devices.order_by(&new.collectors.iter().map(|collector| collector.device().to_owned()).collect::<Vec<_>>());
        current.collectors.clone_from(&new.collectors);
        current.written_tags.clone_from(&new.written_tags);
        current.renames.clone_from(&new.renames);
        if difference::keeps_otherwise(current, &new) {
            self.parts.ingest.set_retention(new.retention.clone());
            self.retention.lock().clone_from(&new.retention);
            current.retention.clone_from(&new.retention);
            report.applied.push("retention".to_owned());
        }
        let (level, slow) = difference::log_keys(&current.log, &new.log);
        // Before the level changes, which may be one that lets this through no more.
        tell(&report, level.then_some(&new.log.level));
        if level {
            match (self.set_log_level)(&new.log.level) {
                Ok(()) => {
                    current.log.level.clone_from(&new.log.level);
                    report.applied.push("log.level".to_owned());
                }
                Err(reason) => {
                    tracing::warn!("log.level stays as it is: {reason}");
                    report.not_applied.push("log.level".to_owned());
                }
            }
        }
        if slow {
            self.parts.calls.set_slow(Duration::from_millis(new.log.slow_query_ms));
            current.log.slow_query_ms = new.log.slow_query_ms;
            report.applied.push("log.slow_query_ms".to_owned());
        }
        let (audit, collectors, written) = (self.parts.audit.clone(), new.collectors.clone(), new.written);
        let told = tokio::task::spawn_blocking(move || audit.reloaded(collectors, written)).await;
        if let Err(error) = told.map_err(anyhow::Error::from).and_then(|told| told) {
            tracing::error!("what changed in the configuration is not in the audit log; the next start tells it: {error:#}");
        }
        Ok(report)
    }

    /// Tags that the catalog holds with another value type than the new configuration asks for, where the old one did not do so already.
    fn contradictions(&self, old: &Configuration, new: &Configuration) -> Vec<String> {
        let known: HashMap<TagName, _> = definitions(old).map(|definition| (definition.name, definition.value_type)).collect();
        let due = self.parts.catalog.due(&new.renames);
        let catalog = self.parts.catalog.within(&TagScope::Everything);
        let against = |definition: TagDefinition| {
            let tag = catalog.get(definition.name.as_str()).or_else(|| due.get(&definition.name).cloned())?;
            let reason = config::contradiction(tag.value_type(), &definition)?;
            (known.get(&definition.name) != Some(&definition.value_type)).then(|| format!("{}: {reason}", definition.name))
        };
        definitions(new).filter_map(against).collect()
    }

    /// Which tags get another name by a configuration; those count as changed, not as some that go and some that come.
    fn renamed(&self, new: &Configuration, difference: &mut TagDifference) -> Vec<TagRename> {
        configured::tell_blocked(&self.parts.catalog, &new.renames);
        let wanted: HashSet<&TagName> = difference.definitions.iter().map(|definition| &definition.name).collect();
        let due = self.parts.catalog.due(&new.renames);
        let due = due.iter().filter(|(to, _)| wanted.contains(to));
        let renamed: Vec<TagRename> = due.map(|(to, tag)| TagRename { from: tag.name().clone(), to: to.clone() }).collect();
        for TagRename { from, to } in &renamed {
            if difference.removed_tags.remove(from) {
                difference.tags_added -= 1;
                difference.tags_changed += 1;
            }
            if difference.begun.remove(to) {
                difference.ended.remove(from);
            }
        }
        renamed
    }

    /// Finds out what differs, and changes catalog and devices.
    async fn apply_difference(&self, current: &Configuration, new: &Configuration) -> Result<TagDifference, ReloadError> {
        let (catalog, old, read) = (self.parts.catalog.clone(), current.clone(), new.clone());
        let difference = tokio::task::spawn_blocking(move || TagDifference::of(&old, &read, &catalog)).await;
        let mut difference = difference.map_err(|error| ReloadError::Failed(error.to_string()))?;
        difference.renamed = self.renamed(new, &mut difference);
        self.apply_tags(&difference, &difference.renamed).await?;
        Ok(difference)
    }

    /// Changes catalog and devices.
    async fn apply_tags(&self, difference: &TagDifference, renamed: &[TagRename]) -> Result<(), ReloadError> {
        let ReloadParts { catalog, store, ingest, clock, devices, .. } = &self.parts;
        let failed = |error: anyhow::Error| ReloadError::Failed(format!("{error:#}"));
        // As the catalog has them before: with the source that ends, and whether a gap is open.
        let of = |names: &BTreeSet<TagName>| -> Vec<Arc<Tag>> {
            let held = catalog.within(&TagScope::Everything);
            names.iter().filter_map(|name| held.get(name.as_str())).collect()
        };
        let (ended, begun) = (of(&difference.ended), of(&difference.begun));
        let unconfigured: Vec<TagId> = ended.iter().map(|tag| tag.id).collect();
        let (changing, wanted, renames) = (catalog.clone(), difference.definitions.clone(), renamed.to_vec());
        let (recorded, now) = (store.clone(), clock.now());
        let changed = tokio::task::spawn_blocking(move || {
            let done = changing.configure(wanted, &unconfigured, &renames)?;
            configured::tell_renamed(&done.renamed);
            renamed_gap::carry_gaps(&done.renamed, |name| configured::is_collected(&changing, name), recorded.as_ref(), now);
            Ok::<_, CatalogError>(())
        });
        changed.await.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;

        let changed = difference.changed.iter().map(|collector| collector.device().to_owned());
        devices.stop(&difference.removed.iter().cloned().chain(changed).collect::<Vec<_>>()).await;
        devices.configured(&difference.begun);
        let looked = {
            let (ingest, store, now) = (ingest.clone(), store.clone(), clock.now());
            let wanted: Vec<TagDefinition> = difference.started().flat_map(|collector| collector.tags()).collect();
            tokio::task::spawn_blocking(move || silence::of_changes(&ingest, store.as_ref(), (&ended, &begun), &wanted, now)).await
        };
        match looked {
            Ok(Ok(mut silence)) => {
                let unwritten = silence::end_values(&mut silence, ingest).await;
                if !unwritten.is_empty() || !silence.gaps.is_empty() {
                    tracing::error!(
                        values = unwritten.len(),
                        gaps = silence.gaps.len(),
                        "there is no room to record that tags are not collected any more; the next start does it"
                    );
                }
            }
            Ok(Err(error)) => tracing::error!("that tags are not collected any more could not be recorded: {error:#}"),
            Err(error) => tracing::error!("that tags are not collected any more could not be recorded: {error}"),
        }
        for collector in difference.started() {
            let (devices, collector, held) = (devices.clone(), collector.clone(), catalog.within(&TagScope::Everything));
            let name = collector.device().to_owned();
            let tags: Option<Vec<ConfiguredTag>> = {
                let tag = |definition: TagDefinition| {
                    let tag = held.get(definition.name.as_str())?;
                    Some(ConfiguredTag { refused: config::contradiction(tag.value_type(), &definition), tag })
                };
                collector.tags().into_iter().map(tag).collect()
            };
            let Some(tags) = tags else {
                tracing::error!(
                    device = name,
                    "a tag was deleted while the configuration was applied; reload once more to collect from the device"
                );
                continue;
            };
            let runtime = tokio::runtime::Handle::current();
            let started = tokio::task::spawn_blocking(move || {
                let _within = runtime.enter();
                devices.start(&collector, &tags)
            });
            match started.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(device = name, "cannot be started: {error:#}"),
                Err(error) => tracing::error!(device = name, "cannot be started: {error}"),
            }
        }
        let (devices, runtime) = (devices.clone(), tokio::runtime::Handle::current());
        let draining = tokio::task::spawn_blocking(move || {
            let _within = runtime.enter();
            devices.drain_left();
        });
        if let Err(error) = draining.await {
            tracing::error!("what removed devices left on disk is written by the next start: {error}");
        }
        Ok(())
    }
}

impl TagDifference {
    /// Looks at every tag of the catalog for those that devices made by themselves. Blocks.
    fn of(old: &Configuration, new: &Configuration, catalog: &Catalog) -> TagDifference {
        let key = |collector: &Arc<dyn Collector>| (collector.protocol(), collector.device().to_owned());
        let before: HashMap<_, u64> = old.collectors.iter().map(|collector| (key(collector), collector.fingerprint())).collect();
        let (mut added, mut changed, mut unchanged) = (Vec::new(), Vec::new(), 0);
        for collector in &new.collectors {
            match before.get(&key(collector)) {
                None => added.push(collector.clone()),
                Some(fingerprint) if *fingerprint == collector.fingerprint() => unchanged += 1,
                Some(_) => changed.push(collector.clone()),
            }
        }
        let kept: HashSet<_> = new.collectors.iter().map(key).collect();
        // One that is of another protocol now stops, and starts as an added one.
        let removed = old.collectors.iter().filter(|collector| !kept.contains(&key(collector)));
        let removed = removed.map(|collector| collector.device().to_owned()).collect();

        let collected = |configuration: &Configuration| -> BTreeSet<TagName> {
            configuration.collectors.iter().flat_map(|collector| collector.tags()).map(|definition| definition.name).collect()
        };
        let (collected_before, collected_now) = (collected(old), collected(new));
        let found = |configuration: &Configuration| -> BTreeSet<TagName> {
            found::kept(catalog, &configuration.collectors).iter().map(|tag| tag.name().clone()).collect()
        };
        let (found_before, found_now) = (found(old), found(new));
        let ended = collected_before.union(&found_before).filter(|name| !collected_now.contains(*name) && !found_now.contains(*name));
        let held: BTreeMap<TagName, TagDefinition> = definitions(old).map(|definition| (definition.name.clone(), definition)).collect();
        let wanted: BTreeMap<TagName, TagDefinition> = definitions(new).map(|definition| (definition.name.clone(), definition)).collect();
        let differs = |definition: &&TagDefinition| held.get(&definition.name) != Some(*definition);
        let definitions: Vec<TagDefinition> = wanted.values().filter(differs).cloned().collect();
        let tags_added = wanted.keys().filter(|name| !held.contains_key(*name)).count() as u64;
        TagDifference {
            added,
            removed,
            changed,
            unchanged,
            tags_added,
            tags_changed: definitions.len() as u64 - tags_added,
            removed_tags: held.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect(),
            ended: ended.cloned().collect(),
            begun: collected_now.difference(&collected_before).cloned().collect(),
            definitions,
            renamed: Vec::new(),
        }
    }

    /// Devices that are started.
    fn started(&self) -> impl Iterator<Item = &Arc<dyn Collector>> {
        self.added.iter().chain(&self.changed)
    }
}

/// Every tag that a configuration names.
fn definitions(configuration: &Configuration) -> impl Iterator<Item = TagDefinition> {
    configuration.collectors.iter().flat_map(|collector| collector.tags()).chain(configuration.written_tags.iter().cloned())
}

fn tell(report: &ReloadReport, log_level: Option<&String>) {
    let ReloadReport { devices_added, devices_removed, devices_changed, devices_unchanged, applied, .. } = report;
    tracing::info!(
        devices_added = devices_added.join(","),
        devices_removed = devices_removed.join(","),
        devices_changed = devices_changed.join(","),
        devices_unchanged,
        tags_added = report.tags_added,
        tags_changed = report.tags_changed,
        tags_removed = report.tags_removed,
        applied = applied.join(","),
        log_level,
        "the configuration was read again and applied"
    );
}

/// Reads the configuration again whenever somebody asks for it by a signal, until `stop`.
pub async fn follow(reloader: Option<Arc<Reloader>>, mut asked: mpsc::Receiver<()>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            one = asked.recv() => if one.is_none() { return },
        }
        if let Some(reloader) = &reloader {
            // The outcome is told by itself.
            let _ = reloader.clone().reload().await;
        }
    }
}
