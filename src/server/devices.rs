//! The devices that are collected from now: each has a spool, a collector and a way to stop it that leaves the others alone.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use anyhow::Context;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    collect,
    found::{self, DeviceTags, TagMaking},
    silence, unfilled,
};
use historian_collector::{Collector, CollectorContext, DeviceStatus, FoundTags, Spool, SpoolDirectory, SpoolDisk};
use historian_ingest::Ingest;
use historian_model::{Clock, Sample, Tag, TagId, TagName, Timestamp, ValueType, sink::SampleSink};

/// A tag of the catalog and why it cannot be collected, where it cannot.
pub struct ConfiguredTag {
    pub tag: Arc<Tag>,
    pub refused: Option<String>,
}

/// Has the folder of what a start could not write; no device is called so.
const START: &str = " start";

/// The devices that run, in the order of the configuration they came with.
pub struct DeviceSet {
    ingest: Arc<Ingest>,
    making: Arc<TagMaking>,
    clock: Arc<dyn Clock>,
    spools: Spools,
    /// Cancelled when all are to stop.
    shutdown: CancellationToken,
    running: Mutex<Vec<RunningDevice>>,
    /// Drains of what devices left on disk that are not collected any more.
    leaving: Mutex<Vec<JoinHandle<()>>>,
}

/// Where the samples of a device wait.
pub struct Spools {
    /// Samples of one device in memory, at most.
    pub samples_max: usize,
    /// Absent: in memory only.
    pub directory: Option<Arc<SpoolDirectory>>,
}

struct RunningDevice {
    status: Arc<DeviceStatus>,
    spool: Spool,
    collected: HashMap<TagName, Collected>,
    found: Arc<DeviceTags>,
    stop: CancellationToken,
    /// The collector, and the drain of its spool, until somebody waits for their end.
    tasks: Vec<JoinHandle<()>>,
}

/// A tag as its collector knows it.
struct Collected {
    id: TagId,
    /// As it is configured.
    value_type: ValueType,
}

impl DeviceSet {
    pub fn new(ingest: Arc<Ingest>, making: TagMaking, clock: Arc<dyn Clock>, spools: Spools, shutdown: CancellationToken) -> DeviceSet {
        let (running, leaving) = (Mutex::default(), Mutex::default());
        DeviceSet { ingest, making: Arc::new(making), clock, spools, shutdown, running, leaving }
    }

    /// Where what ends the values of the run before waits for room, with what an earlier start left of it.
    pub fn spool_of_start(&self, samples_max: usize) -> Spool {
        let status = Arc::new(DeviceStatus::new("historian", "", ""));
        status.set_scene(self.clock.clone(), Vec::new());
        spool_on(self.disk(START), samples_max, status)
    }

    /// What a device has on disk, where spools have that.
    fn disk(&self, device: &str) -> Option<SpoolDisk> {
        let told =
            |error: &std::io::Error| tracing::error!(device, %error, "samples wait in memory only: the folder of the spool cannot be read");
        self.spools.directory.as_ref()?.of_device(device).inspect_err(told).ok()
    }

    /// Begins to collect from a device, whose tags are in the order of its own. Blocks on the store for what it holds of them.
    ///
    /// # Errors
    /// When the last sample of a tag cannot be read; the device is not started then.
    pub fn start(&self, collector: &Arc<dyn Collector>, tags: &[ConfiguredTag]) -> anyhow::Result<()> {
        let disk = self.disk(collector.device());
        let waiting = disk.as_ref().map(|disk| disk.newest().clone()).unwrap_or_default();
        let last = last_samples(&self.ingest, tags.iter().map(|one| &one.tag), &waiting)?;
        let kept = self.making.of_device(collector);
        let mut unfilled = match collector.history_back() {
            Some(back) => {
                let reader = self.ingest.reader();
                let own: Vec<Arc<Tag>> = tags.iter().map(|one| one.tag.clone()).chain(kept.iter().cloned()).collect();
                let since = self.clock.now().0.saturating_sub(i64::try_from(back.as_nanos()).unwrap_or(i64::MAX));
                unfilled::of(&own, Timestamp(since), |from, limit| reader.gaps(from, limit)).context("the gaps on record")?
            }
            None => Vec::new(),
        };
        let unfilled_of_kept = unfilled.split_off(tags.len().min(unfilled.len()));
        let last_of_kept = last_samples(&self.ingest, kept.iter(), &waiting)?;
        let status = Arc::new(DeviceStatus::new(collector.device(), collector.protocol(), collector.endpoint()));
        status.set_scene(self.clock.clone(), tags.iter().map(|one| (one.tag.id, one.tag.name().clone())).collect());
        let spool = spool_on(disk, self.spools.samples_max, status.clone());
        for ConfiguredTag { tag, refused } in tags {
            if let Some(reason) = refused {
                spool.refuse(tag.id, reason);
            }
        }
        let ids = tags.iter().map(|one| one.tag.id).collect();
        let definitions = collector.tags();
        tags.iter().zip(&definitions).for_each(|(one, definition)| spool.set_filter(one.tag.id, definition));
        for tag in &kept {
            spool.set_filter(tag.id, &tag.definition);
        }
        let types: Vec<ValueType> = definitions.iter().map(|definition| definition.value_type).collect();
        let collected = tags.iter().zip(&types);
        let collected = collected.map(|(one, &value_type)| (one.tag.name().clone(), Collected { id: one.tag.id, value_type })).collect();
        let stop = self.shutdown.child_token();
        let found = Arc::new(DeviceTags::new(self.making.clone(), status.clone(), spool.clone(), &kept));
        let context = CollectorContext {
            spool: spool.clone(),
            clock: self.clock.clone(),
            status: status.clone(),
            last,
            unfilled,
            found: FoundTags { maker: found.clone(), kept: found::with_last(&kept, last_of_kept, unfilled_of_kept) },
            shutdown: stop.clone(),
        };

        // The spool drains until its collector has ended, so that the last samples are written.
        let ended = CancellationToken::new();
        let sink: Arc<dyn SampleSink> = self.ingest.clone();
        let draining = tokio::spawn(spool.clone().drain(sink, ended.clone()));
        let (collector, made, filtering) = (collector.clone(), found.clone(), spool.clone());
        let collecting = tokio::spawn(async move {
            let _ended = ended.drop_guard();
            tokio::select! {
                () = collect::collect(collector, ids, types, context, || made.all()) => {}
                () = filtering.release_in_time() => {}
            }
            filtering.release(true);
        });
        self.running.lock().push(RunningDevice { status, spool, collected, found, stop, tasks: vec![collecting, draining] });
        Ok(())
    }

    /// Stops the devices of these names and waits until what they collected is written, or cannot be within some seconds. The others go on.
    pub async fn stop(&self, names: &[String]) {
        let tasks: Vec<JoinHandle<()>> = {
            let mut running = self.running.lock();
            let stopped = running.iter_mut().filter(|device| names.contains(&device.status.device));
            stopped
                .flat_map(|device| {
                    device.stop.cancel();
                    std::mem::take(&mut device.tasks)
                })
                .collect()
        };
        ended(tasks).await;
        // Until now they are told of: what waited in their spools was not stored.
        self.running.lock().retain(|device| !names.contains(&device.status.device));
    }

    /// Waits for the end of all, after they have been told to stop.
    pub async fn join(&self) {
        let mut tasks: Vec<JoinHandle<()>> = self.running.lock().iter_mut().flat_map(|device| std::mem::take(&mut device.tasks)).collect();
        tasks.append(&mut self.leaving.lock());
        ended(tasks).await;
    }

    /// Writes what devices left on disk that are not collected any more. Blocks on that disk.
    pub fn drain_left(&self) {
        let Some(directory) = &self.spools.directory else { return };
        let left = match directory.left() {
            Ok(left) => left,
            Err(error) => {
                tracing::error!(%error, "what devices that are not collected any more left on disk cannot be written yet");
                return;
            }
        };
        for (folder, disk) in left {
            tracing::info!(folder, samples = disk.samples(), "samples on disk of a device that is not collected any more are written");
            let status = Arc::new(DeviceStatus::new(folder, "", ""));
            status.set_scene(self.clock.clone(), Vec::new());
            let (spool, sink): (_, Arc<dyn SampleSink>) = (Spool::on_disk(self.spools.samples_max, status, disk), self.ingest.clone());
            self.leaving.lock().push(tokio::spawn(spool.drain(sink, self.shutdown.clone())));
        }
    }

    /// Status of every device that runs.
    pub fn statuses(&self) -> Vec<Arc<DeviceStatus>> {
        self.running.lock().iter().map(|device| device.status.clone()).collect()
    }

    pub fn len(&self) -> usize {
        self.running.lock().len()
    }

    /// Puts the devices into the order of these names.
    pub fn order_by(&self, names: &[String]) {
        self.running.lock().sort_by_key(|device| names.iter().position(|name| *name == device.status.device));
    }

    /// Since when something that was collected is not in the store.
    pub fn unwritten_since(&self) -> Option<Timestamp> {
        self.running.lock().iter().filter_map(|device| device.spool.unwritten_since()).min()
    }

    /// Tags of these names are configured: a device that made one by itself, and has not been started since, delivers it no more.
    pub fn configured(&self, names: &BTreeSet<TagName>) {
        self.running.lock().iter().for_each(|device| device.found.give_up(names));
    }

    /// The device that made the tag of this name by itself, and would make it again.
    pub fn maker_of(&self, name: &str) -> Option<String> {
        let running = self.running.lock();
        running.iter().find(|device| device.found.has(name)).map(|device| device.status.device.clone())
    }

    /// Lets the device that is configured for a tag of this name and type write to it from now on; false where none is.
    pub fn collect_into(&self, tag: &Tag) -> bool {
        let running = self.running.lock();
        let found = running.iter().find_map(|device| {
            let configured = device.collected.get(tag.name()).filter(|collected| collected.value_type == tag.value_type());
            let id = configured.map(|collected| collected.id).or_else(|| device.found.id_of(tag.name(), tag.value_type()))?;
            Some((&device.spool, id))
        });
        let Some((spool, id)) = found else { return false };
        spool.redirect(id, tag.id);
        true
    }
}

fn spool_on(disk: Option<SpoolDisk>, samples_max: usize, status: Arc<DeviceStatus>) -> Spool {
    match disk {
        Some(disk) => Spool::on_disk(samples_max, status, disk),
        None => Spool::new(samples_max, status),
    }
}

async fn ended(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "a collector ended by a panic");
        }
    }
}

/// The last samples of these tags: of the store, or of those that wait on disk.
fn last_samples<'a>(
    ingest: &Ingest,
    tags: impl Iterator<Item = &'a Arc<Tag>>,
    waiting: &HashMap<TagId, Sample>,
) -> anyhow::Result<Vec<Option<Sample>>> {
    let reader = ingest.reader();
    let last = |tag: &Arc<Tag>| {
        let stored = reader.current(tag).with_context(|| format!("the last sample of tag {}", tag.name()))?;
        Ok(silence::latest(stored, waiting.get(&tag.id)))
    };
    tags.map(last).collect()
}
