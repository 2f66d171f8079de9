//! The Modbus collector from outside: real servers (pymodbus, libmodbus) for exact values, and faulty devices of our own for everything
//! that goes wrong in a plant.
#![allow(clippy::unwrap_used, clippy::format_push_string, reason = "test code: a panic is a failure, and configurations are short")]

mod calculated;
mod check;
mod config;
mod conformance;
mod decoded;
mod device;
mod echoes;
mod factor;
mod faults;
mod gaps;
mod late;
mod missing;
mod parts;
mod scaling;
mod secure;
mod serial;
mod shared;
mod units;
mod unstored;
mod values;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use historian::{
    collector::{Collector, CollectorContext, ConfigProblem, DeviceStatus, FoundTags, Spool, spool::SPOOL_SAMPLES_MAX},
    model::{Quality, SystemClock, TagId, TagName, Value},
    server::config::{Overrides, parse},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::recorder::Recorder;

/// One sample as the tests compare it.
type Sample = (i64, Option<Value>, Quality);

/// A collector at work.
struct Running {
    status: Arc<DeviceStatus>,
    recorder: Arc<Recorder>,
    ids: HashMap<String, TagId>,
    shutdown: CancellationToken,
    collecting: JoinHandle<()>,
    draining: JoinHandle<()>,
    stop_draining: CancellationToken,
}

/// The configuration with one `[[modbus]]` table, written without its header and with `[[tag]]` for its tags.
fn configuration(text: &str) -> String {
    format!("[[modbus]]\n{}", text.replace("[[tag]]", "[[modbus.tag]]"))
}

/// Builds the collector of one `[[modbus]]` table, as the server does.
fn try_build(text: &str) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>> {
    let read = parse("historian.toml", &configuration(text), Path::new("."), &Overrides::default())?;
    let [collector] = &read.collectors[..] else { panic!("one device: {text}") };
    Ok(collector.clone())
}

fn build(text: &str) -> Arc<dyn Collector> {
    try_build(text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

/// Starts the collector of one `[[modbus]]` table, written without its header.
fn start(text: &str) -> Running {
    let collector = build(text);
    let status = Arc::new(DeviceStatus::new(collector.device(), collector.protocol(), collector.endpoint()));
    let spool = Spool::new(SPOOL_SAMPLES_MAX, status.clone());
    let recorder = Arc::new(Recorder::default());
    let (shutdown, stop_draining) = (CancellationToken::new(), CancellationToken::new());
    let names = collector.tags().into_iter().map(|tag| tag.name.to_string());
    let ids: Vec<(String, TagId)> = names.enumerate().map(|(number, name)| (name, TagId(number as u32 + 1))).collect();
    status.set_scene(Arc::new(SystemClock), ids.iter().map(|(name, id)| (*id, TagName::new(name).unwrap())).collect());
    let context = CollectorContext {
        spool: spool.clone(),
        clock: Arc::new(SystemClock),
        status: status.clone(),
        last: Vec::new(),
        unfilled: Vec::new(),
        found: FoundTags::default(),
        shutdown: shutdown.clone(),
    };
    Running {
        status,
        recorder: recorder.clone(),
        collecting: tokio::spawn(collector.run(ids.iter().map(|(_, id)| *id).collect(), context)),
        ids: ids.into_iter().collect(),
        shutdown,
        draining: tokio::spawn(spool.drain(recorder, stop_draining.clone())),
        stop_draining,
    }
}

impl Running {
    fn samples(&self, tag: &str) -> Vec<Sample> {
        let Some(samples) = self.recorder.of(self.ids[tag]) else { return Vec::new() };
        (0..samples.len()).map(|row| (samples.timestamps[row], samples.value(row), Quality(samples.qualities[row]))).collect()
    }

    fn last(&self, tag: &str) -> Option<Sample> {
        self.samples(tag).pop()
    }

    fn is_good(&self, tag: &str) -> bool {
        self.last(tag).is_some_and(|(_, _, quality)| quality.is_good())
    }

    fn count(&self, tag: &str) -> usize {
        self.recorder.count(self.ids[tag])
    }

    fn tags(&self) -> Vec<&str> {
        let mut tags: Vec<&str> = self.ids.keys().map(String::as_str).collect();
        tags.sort_unstable();
        tags
    }

    fn polls(&self) -> u64 {
        self.status.polls.load(Ordering::Relaxed)
    }

    /// Stops the collector, and waits until everything it collected is recorded.
    async fn stop(&mut self) {
        self.shutdown.cancel();
        (&mut self.collecting).await.expect("the collector ends well");
        self.stop_draining.cancel();
        (&mut self.draining).await.expect("the spool ends well");
    }

    /// What must hold for a device that was well all the time: no poll missed, and of each tag one good sample per poll and one for the
    /// first reading, in ascending time.
    fn assert_lost_no_poll(&self) {
        let device = &self.status.device;
        assert_eq!(self.status.polls_missed.load(Ordering::Relaxed), 0, "{device} missed polls");
        for tag in self.tags() {
            let samples = self.samples(tag);
            // The last poll may have been cut off by the stop.
            let polls = self.polls() as usize;
            assert!((polls..=polls + 1).contains(&samples.len()), "{device} {tag}: {} samples, {polls} polls", samples.len());
            assert_ascending(tag, &samples);
            for sample in samples {
                assert_eq!(sample.2, Quality::GOOD, "{device} {tag}");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.collecting.abort();
        self.draining.abort();
    }
}

fn assert_ascending(tag: &str, samples: &[Sample]) {
    for pair in samples.windows(2) {
        assert!(pair[0].0 < pair[1].0, "{tag}: {pair:?}");
    }
}

/// Waits until `condition` holds, much longer than it should take.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
