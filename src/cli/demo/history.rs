//! The history that a demo has at its first start: the past of the plant, written through the door of ingest that every write of a client goes
//! through, before the devices are collected from. What was wrong in it is put right by corrections of the API.
//!
//! A file beside the data says what is written and whether that came to its end. A start that finds it unfinished makes the same past
//! again, and writes what is not there yet.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use historian_proto::v1::{
    CreateAnnotationRequest, CurrentValuesRequest, DeleteRangeRequest, DoubleColumn, FloatColumn, ListAnnotationsRequest,
    ListAuditEntriesRequest, ListTagsRequest, ReloadRequest, ReplaceRangeRequest, TagSamples, Values as WireValues,
    admin_service_client::AdminServiceClient, annotation_service_client::AnnotationServiceClient, query_service_client::QueryServiceClient,
    tag_service_client::TagServiceClient, values::Column, write_service_client::WriteServiceClient,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    super::client::{self, ServerChannel},
    view::to_second,
};
use historian_model::{
    Clock, SampleBatch, Samples, SystemClock, TagId, Timestamp, Values,
    sink::{Durability, SampleSink, WriteMode},
};
use historian_server::World;
use historian_simulator::{PLANTED, Past, PlantedCorrection, PlantedEvent, SIGNALS};
use historian_store::{Gap, GapReason, RunMark, Store};

/// Name of the file in the data directory that says what history was written.
const MARK_FILE: &str = "demo-history.json";
/// Longest history, in days.
pub const DAYS_MAX: u32 = 28;
const DAY_NS: i64 = 86_400_000_000_000;
/// Samples of one write, about.
const WRITE_SAMPLES: usize = 250_000;
/// How near to the present the history is before the plant is handed over to its devices.
const NEAR: Duration = Duration::from_millis(1500);
/// Gaps and entries of the audit log of one page.
const PAGE: usize = 1000;

/// What history a directory has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryMark {
    seed: u64,
    from: Timestamp,
    /// When the demo was first started here: the times of planted events count from it.
    first_start: Timestamp,
    finished: bool,
}

/// What was written.
pub struct WrittenHistory {
    pub samples: u64,
    pub from: Timestamp,
    pub took: Duration,
}

impl HistoryMark {
    /// The history that is to be written in a directory: one of so many days where nothing is yet, or the rest of one that was begun.
    ///
    /// # Errors
    /// The mark cannot be read or written.
    pub fn begin(directory: &Path, days: u32, seed: u64, now: Timestamp) -> anyhow::Result<Option<HistoryMark>> {
        let file = directory.join(MARK_FILE);
        match fs::read(&file) {
            Ok(text) => {
                let mark: HistoryMark = serde_json::from_slice(&text).with_context(|| {
                    format!("{} is damaged; start in another directory, or remove the file to do without a history", file.display())
                })?;
                return Ok((!mark.finished).then_some(mark));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
        }
        // What somebody collected or wrote here stays as it is.
        if days == 0 || RunMark::read(directory).is_some() {
            return Ok(None);
        }
        // Whole seconds, as the times of the samples: what is planted begins and ends with one.
        let first_start = to_second(now);
        let mark = HistoryMark { seed, from: Timestamp(first_start.0 - i64::from(days) * DAY_NS), first_start, finished: false };
        mark.write(directory)?;
        Ok(Some(mark))
    }

    fn write(&self, directory: &Path) -> anyhow::Result<()> {
        write_whole(&directory.join(MARK_FILE), &serde_json::to_vec(self)?)
    }

    /// Notes that the history is there, so that no later start writes it again.
    ///
    /// # Errors
    /// The mark cannot be written.
    pub fn finish(self, directory: &Path) -> anyhow::Result<()> {
        HistoryMark { finished: true, ..self }.write(directory)
    }
}

/// Writes a file so that it has the old text or the new one, whatever happens.
///
/// # Errors
/// It cannot be written.
pub fn write_whole(file: &Path, text: &[u8]) -> anyhow::Result<()> {
    let beside: PathBuf = file.with_extension("new");
    let written = fs::write(&beside, text).and_then(|()| fs::File::open(&beside)?.sync_all()).and_then(|()| fs::rename(&beside, file));
    written.with_context(|| format!("{} cannot be written", file.display()))
}

/// The doors of the server in this process, open once it serves.
#[derive(Clone, Default)]
pub struct HistoryDoors {
    sink: Arc<OnceLock<Arc<dyn SampleSink>>>,
    store: Arc<OnceLock<Arc<dyn Store>>>,
}

impl HistoryDoors {
    /// Whether the server is about to serve.
    pub fn are_open(&self) -> bool {
        self.sink.get().is_some()
    }

    /// Puts the doors into a world, that they are known of.
    pub fn of(&self, world: World) -> World {
        let (sink, store) = (self.sink.clone(), self.store.clone());
        World {
            sink: Box::new(move |door| {
                let _ = sink.set(door.clone());
                door
            }),
            store: Box::new(move |door| {
                let _ = store.set(door.clone());
                door
            }),
            ..world
        }
    }
}

/// Writes a history, and answers the plant as it is at its end. The server has the tags of the plant and collects none of them yet.
///
/// # Errors
/// A write was refused, or the server does not answer.
pub async fn write(mark: HistoryMark, doors: &HistoryDoors, channel: &ServerChannel) -> anyhow::Result<(WrittenHistory, Past)> {
    let begun = Instant::now();
    let sink = doors.sink.get().context("the server has no door for samples")?;
    let mut writer = HistoryWriter { ids: ids(channel).await?, newest: newest(channel).await?, sink: sink.clone(), samples: 0 };
    let past = tokio::task::spawn_blocking(move || Past::new(mark.seed, mark.from, mark.first_start)).await?;
    let past = writer.follow(past).await?;
    for event in past.outages() {
        record_outage(event, mark, doors).await?;
    }
    put_right(past.corrections(), channel).await?;
    annotate(mark, channel).await?;
    // What these took is simulated as well.
    let past = writer.follow(past).await?;
    Ok((WrittenHistory { samples: writer.samples, from: mark.from, took: begun.elapsed() }, past))
}

/// Has the server read its configuration again, which names the devices of the plant now.
///
/// # Errors
/// It does not collect from them.
pub async fn collect_from_now_on(channel: &ServerChannel) -> anyhow::Result<()> {
    let report = AdminServiceClient::new(channel.clone()).reload(ReloadRequest {}).await.map_err(|status| client::refusal(&status))?;
    let added = report.into_inner().devices_added;
    if added.is_empty() {
        bail!("the devices of the plant were not added to those that are collected");
    }
    Ok(())
}

struct HistoryWriter {
    /// In the order of the signals.
    ids: Vec<TagId>,
    /// Newest sample of each, where there is one: of a start that did not come to its end.
    newest: Vec<Option<Timestamp>>,
    sink: Arc<dyn SampleSink>,
    samples: u64,
}

impl HistoryWriter {
    /// Runs the plant up to the present, on a thread of its own, and writes what it brings.
    async fn follow(&mut self, mut past: Past) -> anyhow::Result<Past> {
        let (send, mut runs) = mpsc::channel::<Vec<Samples>>(2);
        let running = tokio::task::spawn_blocking(move || {
            while SystemClock.now().0 - past.at().0 > NEAR.as_nanos() as i64 {
                // Nobody takes it when the demo is stopped.
                if send.blocking_send(past.run(SystemClock.now(), WRITE_SAMPLES)).is_err() {
                    break;
                }
            }
            past
        });
        while let Some(runs) = runs.recv().await {
            self.write(runs).await?;
        }
        Ok(running.await?)
    }

    async fn write(&mut self, runs: Vec<Samples>) -> anyhow::Result<()> {
        let mut batch = SampleBatch::default();
        for ((run, &id), newest) in runs.into_iter().zip(&self.ids).zip(&self.newest) {
            let new = match newest {
                Some(newest) => rest(&run, *newest),
                None => run,
            };
            if !new.is_empty() {
                batch.runs.push((id, new));
            }
        }
        self.samples += batch.len() as u64;
        let written = self.sink.write(batch, WriteMode::Upsert, Durability::Sync).await;
        let acknowledged = written.map_err(|refused| anyhow!("the history is not written: {}", refused.error))?;
        match acknowledged.rejected.shown.first() {
            None => Ok(()),
            Some(rejected) => {
                bail!("a sample of the history is not taken: of {} at {}, it {}", rejected.tag, rejected.timestamp, rejected.reason)
            }
        }
    }
}

/// The samples behind a time.
fn rest(run: &Samples, newest: Timestamp) -> Samples {
    let behind = run.timestamps.partition_point(|&at| at <= newest.0);
    run.take(&(behind..run.len()).filter_map(|index| u32::try_from(index).ok()).collect::<Vec<_>>())
}

/// Ids of the tags of the plant, in the order of the signals.
async fn ids(channel: &ServerChannel) -> anyhow::Result<Vec<TagId>> {
    let request = ListTagsRequest { tags: vec!["demo/**".into()], page_size: 10_000, ..ListTagsRequest::default() };
    let listed = TagServiceClient::new(channel.clone()).list_tags(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    let ids: HashMap<String, u32> = listed.tags.into_iter().map(|tag| (tag.name, tag.id)).collect();
    SIGNALS
        .iter()
        .map(|signal| ids.get(signal.tag).map(|&id| TagId(id)).with_context(|| format!("there is no tag {}", signal.tag)))
        .collect()
}

/// Times of the newest samples, in the order of the signals.
async fn newest(channel: &ServerChannel) -> anyhow::Result<Vec<Option<Timestamp>>> {
    let request = CurrentValuesRequest { tags: vec!["demo/**".into()], ..CurrentValuesRequest::default() };
    let answer = QueryServiceClient::new(channel.clone()).current_values(request).await.map_err(|status| client::refusal(&status))?;
    let newest = answer.into_inner().samples.into_iter().filter_map(|samples| Some((samples.tag, Timestamp(*samples.timestamps.first()?))));
    let newest: HashMap<String, Timestamp> = newest.collect();
    Ok(SIGNALS.iter().map(|signal| newest.get(signal.tag).copied()).collect())
}

/// Puts on record that a device was not reached, tag by tag, unless that is there.
async fn record_outage(event: &'static PlantedEvent, mark: HistoryMark, doors: &HistoryDoors) -> anyhow::Result<()> {
    let range = event.range(mark.first_start);
    let of = |tag: &str| Gap {
        time: SystemClock.now(),
        tag: Some(tag.to_owned()),
        start: Some(range.start.0),
        end: Some(range.end.0),
        reason: GapReason::DeviceDown,
        detail: format!("simulated: {}", event.text),
    };
    let gaps: Vec<Gap> = event.tags().into_iter().map(of).collect();
    let store = doors.store.get().context("the server has no store")?.clone();
    let recorded = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        let mut from = 1;
        loop {
            let page = store.gaps(from, PAGE)?;
            let Some(&(last, _)) = page.last() else { return Ok(store.append_gaps(&gaps)?) };
            if page.iter().any(|(_, gap)| gap.reason == GapReason::DeviceDown && gap.start == Some(range.start.0)) {
                return Ok(());
            }
            from = last + 1;
        }
    });
    recorded.await?
}

/// Applies what corrections the audit log does not know of yet.
async fn put_right(corrections: Vec<PlantedCorrection>, channel: &ServerChannel) -> anyhow::Result<()> {
    let known = reasons(channel).await?;
    let mut writes = WriteServiceClient::new(channel.clone());
    for PlantedCorrection { event, signal, range, samples } in corrections {
        if known.iter().any(|reason| reason == event.text) {
            continue;
        }
        let (start, end, reason) = (range.start.to_string(), range.end.to_string(), event.text.to_owned());
        match samples {
            None => {
                let request = DeleteRangeRequest { tags: vec![signal.tag.to_owned()], start, end, zone: String::new(), reason };
                writes.delete_range(request).await.map_err(|status| client::refusal(&status))?;
            }
            Some(samples) => {
                let samples = vec![on_the_wire(signal.tag, samples)?];
                let request = ReplaceRangeRequest { start, end, zone: String::new(), reason, samples };
                writes.replace_range(request).await.map_err(|status| client::refusal(&status))?;
            }
        }
    }
    Ok(())
}

/// Puts on the tags what an operator would note of each event, unless that is there.
async fn annotate(mark: HistoryMark, channel: &ServerChannel) -> anyhow::Result<()> {
    let mut annotations = AnnotationServiceClient::new(channel.clone());
    let all = ListAnnotationsRequest { tags: vec!["demo/**".into()], page_size: 10_000, ..ListAnnotationsRequest::default() };
    let listed = annotations.list_annotations(all).await.map_err(|status| client::refusal(&status))?.into_inner().annotations;
    for event in PLANTED {
        let range = event.range(mark.first_start);
        // What lies before a shorter history is not there.
        if range.start < mark.from || listed.iter().any(|annotation| annotation.text == event.text) {
            continue;
        }
        let request = CreateAnnotationRequest {
            tags: event.tags().into_iter().map(str::to_owned).collect(),
            start: range.start.to_string(),
            end: range.end.to_string(),
            text: event.text.to_owned(),
            ..CreateAnnotationRequest::default()
        };
        annotations.create_annotation(request).await.map_err(|status| client::refusal(&status))?;
    }
    Ok(())
}

/// The reasons that the audit log has.
async fn reasons(channel: &ServerChannel) -> anyhow::Result<Vec<String>> {
    let mut admin = AdminServiceClient::new(channel.clone());
    let (mut reasons, mut from) = (Vec::new(), 1);
    loop {
        let request = ListAuditEntriesRequest { from, page_size: PAGE as i32, ..ListAuditEntriesRequest::default() };
        let page = admin.list_audit_entries(request).await.map_err(|status| client::refusal(&status))?.into_inner();
        reasons.extend(page.entries.into_iter().map(|entry| entry.detail));
        if page.next == 0 {
            return Ok(reasons);
        }
        from = page.next;
    }
}

fn on_the_wire(tag: &str, samples: Samples) -> anyhow::Result<TagSamples> {
    let nulls = (0..samples.len()).filter(|&row| !samples.is_valid(row)).filter_map(|row| u32::try_from(row).ok()).collect();
    let column = match samples.values {
        Values::F64(values) => Column::F64(DoubleColumn { values }),
        Values::F32(values) => Column::F32(FloatColumn { values }),
        other => bail!("a correction of {tag} has values of another type than a number: {other:?}"),
    };
    let values = Some(WireValues { column: Some(column) });
    Ok(TagSamples { tag: tag.to_owned(), timestamps: samples.timestamps, values, qualities: samples.qualities, nulls })
}
