//! The write path of the engine, from the sample sink to sealed chunks: journal (durable acknowledgement), heads, current values, sealing,
//! deletions. It starts and ends maintenance, and hands out the reader of what it writes.

mod counters;
mod delete;
mod head;
mod journal;
mod seal;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use crossbeam_channel::Sender;
use historian_format::journal::{Deletion, JOURNAL_RECORD_DELETIONS_MAX, JOURNAL_RECORD_SAMPLES_MAX, encode_record_with};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use self::{
    counters::Counters,
    delete::Deleter,
    head::Heads,
    journal::{Applier, Channels, Committer, DELETE_RANGE, Deletions, REPLACE_RANGE, Request, SAMPLE_JOURNAL_BYTES, Submission},
    seal::Sealer,
};
use historian_maintenance::{Keeper, KeeperOptions, KeptCounts, Pending, TagLocks, rewrite::SealError};
use historian_model::sink::{
    Acknowledgement, Correction, CorrectionSink, Durability, Loss, LossReason, RefusedWrite, Rejected, RejectedTag, Rejection, SampleSink,
    WriteError, WriteMode,
};
use historian_model::{Clock, SampleBatch, Samples, TagId, TagName, TimeRange, Timestamp};
use historian_read::{ReadError, feed::FeedWriter, merge::TagReader};
use historian_store::{Catalog, Gap, GapReason, Store, StoreError};
pub use journal::Recovered;

/// Settings of ingest.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Samples of a head at which it is sealed.
    pub head_samples_max: usize,
    /// Bytes of the journal at which it is retired: also what a restart replays at most.
    pub journal_bytes_max: u64,
    /// How long a group of writes is gathered beyond what arrived during the fsync before.
    pub group_commit: Duration,
    /// How often writes of [`Durability::Interval`] are fsynced.
    pub interval: Duration,
    /// Bytes of writes that are not yet answered; further writers wait.
    pub in_flight_bytes_max: usize,
    /// Samples of one write.
    pub batch_samples_max: usize,
    /// Memory of all heads together, about; above it the largest are sealed.
    pub heads_bytes_max: usize,
    /// How far source time may be ahead of the clock; samples further ahead are rejected. `None`: no bound.
    pub future_max: Option<Duration>,
    pub keeper: KeeperOptions,
}

/// What a sample takes in a head: timestamp, value, quality, and the room vectors keep free.
const SAMPLE_HEAD_BYTES: usize = 26;

impl Default for IngestOptions {
    fn default() -> IngestOptions {
        IngestOptions {
            head_samples_max: 1_024,
            journal_bytes_max: 256 << 20,
            group_commit: Duration::ZERO,
            interval: Duration::from_millis(100),
            in_flight_bytes_max: 256 << 20,
            batch_samples_max: JOURNAL_RECORD_SAMPLES_MAX,
            heads_bytes_max: 192 << 20,
            future_max: None,
            keeper: KeeperOptions::default(),
        }
    }
}

/// Figures of ingest at a moment.
#[derive(Clone, Debug, Default)]
pub struct IngestStatus {
    /// Every write up to this sequence number is durable.
    pub watermark: u64,
    /// Samples acknowledged since start.
    pub samples_written: u64,
    /// Samples not taken since start, because they lie too far in the future.
    pub samples_rejected: u64,
    /// Samples in heads.
    pub head_samples: u64,
    /// Chunks made since start.
    pub chunks_sealed: u64,
    /// Groups committed since start.
    pub groups: u64,
    /// Background work since start.
    pub kept: KeptCounts,
    /// False after a failure of the disk: writes are refused until restart.
    pub accepting_writes: bool,
    /// Why writes are refused; empty while they are accepted.
    pub stopped: String,
    /// Why writes are refused for now; empty while there is room.
    pub full: String,
}

pub struct Ingest {
    clock: Arc<dyn Clock>,
    keeper: Arc<Keeper>,
    catalog: Arc<Catalog>,
    store: Arc<dyn Store>,
    heads: Arc<Heads>,
    reader: TagReader,
    options: IngestOptions,
    counters: Arc<Counters>,
    in_flight: Arc<Semaphore>,
    /// `Insert` writes go one after another, so that two of them cannot both find a timestamp free.
    inserting: tokio::sync::Mutex<()>,
    threads: Mutex<Option<Threads>>,
    requests: Mutex<Option<Sender<Request>>>,
    recovered: Recovered,
}

struct Threads {
    warmer: JoinHandle<()>,
    keeper: JoinHandle<()>,
    committer: JoinHandle<()>,
    applier: JoinHandle<()>,
}

/// Looks up, in the background, what the store holds as each tag's latest sample, so that the first who asks for current values after a start
/// does not wait for it.
fn warm(reader: &TagReader, catalog: &Arc<Catalog>, counters: &Arc<Counters>) -> Result<JoinHandle<()>, StoreError> {
    let (reader, catalog, counters) = (reader.clone(), catalog.clone(), counters.clone());
    let body = move || {
        for tag in catalog.ids().into_iter().filter_map(|id| catalog.by_id(id)) {
            if counters.closing.load(Ordering::SeqCst) {
                return;
            }
            // Whoever asks for this tag is told of what is damaged.
            if let Err(error) = reader.current(&tag) {
                tracing::debug!(tag = %tag.name(), %error, "the current value cannot be read");
            }
        }
    };
    std::thread::Builder::new().name("warmer".into()).spawn(body).map_err(|error| StoreError::Io(format!("thread warmer: {error}")))
}

/// Unit of the semaphore of bytes in flight.
const PERMIT_BYTES: usize = 1 << 10;

impl Ingest {
    /// Replays the journal of a store into heads and starts the threads.
    ///
    /// # Errors
    /// When the journal cannot be read whole, or a thread cannot be started.
    pub fn open(store: Arc<dyn Store>, catalog: Arc<Catalog>, clock: Arc<dyn Clock>, options: IngestOptions) -> Result<Ingest, StoreError> {
        let heads = Arc::new(Heads::default());
        let counters = Arc::new(Counters::default());
        let pending = Arc::new(Pending::default());
        let locks = Arc::new(TagLocks::default());
        let feed = FeedWriter::new(store.clone());
        let heads_samples_max = (options.heads_bytes_max / SAMPLE_HEAD_BYTES).max(1);
        let mut applier = Applier {
            store: store.clone(),
            catalog: catalog.clone(),
            heads: heads.clone(),
            counters: counters.clone(),
            sealer: Sealer::new(store.clone()),
            deleter: Deleter { store: store.clone(), locks: locks.clone() },
            pending: pending.clone(),
            feed: feed.clone(),
            clock: clock.clone(),
            head_samples_max: options.head_samples_max.max(1),
            heads_samples_max,
            journal_bytes_max: options.journal_bytes_max,
            journal_bytes: 0,
            applied: 0,
        };
        let recovered = applier.replay().map_err(|error| match error {
            SealError::Store(error) => error,
            error => StoreError::Io(error.to_string()),
        })?;
        counters.durable.store(recovered.watermark, Ordering::SeqCst);
        feed.begin(recovered.first, recovered.watermark);

        let channels = Channels::new();
        let committer = Committer {
            store: store.clone(),
            counters: counters.clone(),
            sequence: recovered.watermark,
            gather: options.group_commit,
            interval: options.interval,
            heads: heads.clone(),
            feed: feed.clone(),
            head_samples_limit: heads_samples_max.saturating_mul(2).max(options.batch_samples_max),
        };
        let Channels { requests, committer: committer_requests, steps, applier: applier_steps } = channels;
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(body).map_err(|error| StoreError::Io(format!("thread {name}: {error}")))
        };
        let reader = TagReader::new(store.clone(), heads.clone(), feed.feed());
        let warmer = warm(&reader, &catalog, &counters)?;
        let keeper = Arc::new(Keeper::new(store.clone(), catalog.clone(), locks, pending, clock.clone(), options.keeper.clone())?);
        let threads = Threads {
            warmer,
            keeper: spawn("keeper", {
                let keeper = keeper.clone();
                Box::new(move || keeper.run())
            })?,
            applier: spawn("applier", Box::new(move || applier.run(&applier_steps)))?,
            committer: spawn("committer", Box::new(move || committer.run(&committer_requests, &steps)))?,
        };
        Ok(Ingest {
            clock,
            keeper,
            catalog,
            store,
            heads,
            reader,
            in_flight: Arc::new(Semaphore::new((options.in_flight_bytes_max / PERMIT_BYTES).max(1))),
            options,
            counters,
            inserting: tokio::sync::Mutex::new(()),
            threads: Mutex::new(Some(threads)),
            requests: Mutex::new(Some(requests)),
            recovered,
        })
    }

    /// What the start found in the journal.
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// Reader of heads and store.
    pub fn reader(&self) -> TagReader {
        self.reader.clone()
    }

    pub fn status(&self) -> IngestStatus {
        let stopped = self.counters.stopped.lock().clone();
        IngestStatus {
            watermark: self.counters.durable.load(Ordering::SeqCst),
            samples_written: self.counters.samples.load(Ordering::Relaxed),
            samples_rejected: self.counters.rejected.load(Ordering::Relaxed),
            head_samples: self.heads.samples() as u64,
            chunks_sealed: self.counters.chunks_sealed.load(Ordering::Relaxed),
            groups: self.counters.groups.load(Ordering::Relaxed),
            kept: self.keeper.counts(),
            accepting_writes: stopped.is_none(),
            stopped: stopped.unwrap_or_default(),
            full: self.counters.full.lock().clone().unwrap_or_default(),
        }
    }

    /// Seals all heads, makes large chunks and rollups of everything, and lets the store compact; answers the number of chunks sealed.
    /// Blocks; not for async threads.
    ///
    /// # Errors
    /// [`WriteError::Stopped`] when the store failed.
    pub fn compact(&self) -> Result<u64, WriteError> {
        let (answer, sealed) = oneshot::channel();
        self.send(Request::SealAll(answer)).map_err(|_| stopped(STOPPING))?;
        let sealed = sealed.blocking_recv().map_err(|_| stopped(STOPPING))??;
        let failed = |error: StoreError| match error {
            StoreError::Full(reason) => WriteError::Full(reason),
            error => stopped(&error.to_string()),
        };
        self.keeper.keep_all().map_err(failed)?;
        self.store.compact().map_err(failed)?;
        Ok(sealed)
    }

    /// Applies retention now and answers how many bytes went, about. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn retain(&self) -> Result<u64, StoreError> {
        self.keeper.retain_now()
    }

    /// Takes no further writes, finishes and makes durable those that were taken, and ends the threads. Blocks.
    pub fn close(&self) {
        self.counters.closing.store(true, Ordering::SeqCst);
        self.keeper.stop();
        drop(self.requests.lock().take());
        if let Some(threads) = self.threads.lock().take() {
            for (name, thread) in
                [("warmer", threads.warmer), ("keeper", threads.keeper), ("committer", threads.committer), ("applier", threads.applier)]
            {
                if thread.join().is_err() {
                    tracing::error!("thread {name} panicked");
                }
            }
        }
    }

    /// Hands a request to the committer, or back where there is none any more.
    fn send(&self, request: Request) -> Result<(), Box<Request>> {
        match &*self.requests.lock() {
            Some(requests) => requests.send(request).map_err(|refused| Box::new(refused.0)),
            None => Err(Box::new(request)),
        }
    }

    /// Checks a batch against the catalog.
    fn validate(&self, batch: &SampleBatch) -> Result<(), WriteError> {
        self.check_size(batch)?;
        for (id, run) in &batch.runs {
            let tag = self.catalog.by_id(*id).ok_or(WriteError::UnknownTag(id.0))?;
            if tag.value_type() != run.value_type() {
                return Err(WriteError::WrongType {
                    tag: tag.name().to_string(),
                    expected: tag.value_type().to_string(),
                    found: run.value_type().to_string(),
                });
            }
        }
        Ok(())
    }

    fn check_size(&self, batch: &SampleBatch) -> Result<(), WriteError> {
        let (found, limit) = (batch.len(), self.options.batch_samples_max);
        if found > limit { Err(WriteError::TooLarge { found, limit }) } else { Ok(()) }
    }

    /// Drops the samples whose tag and timestamp exist, and repeats within the batch.
    fn without_existing(&self, batch: &SampleBatch) -> Result<SampleBatch, ReadError> {
        let mut seen: HashMap<TagId, HashSet<i64>> = HashMap::new();
        let mut kept = SampleBatch::default();
        for (id, run) in &batch.runs {
            let Some(tag) = self.catalog.by_id(*id) else { continue };
            let (Some(&first), Some(&last)) = (run.timestamps.iter().min(), run.timestamps.iter().max()) else { continue };
            let seen = seen.entry(*id).or_default();
            let mut existing = Samples::new(run.value_type());
            let mut cursor = self.reader.cursor(&tag, TimeRange::new(Timestamp(first), Timestamp(last.saturating_add(1))))?;
            while cursor.next_into(&mut existing)? {
                seen.extend(existing.timestamps.drain(..));
                existing.clear();
            }
            let new: Vec<u32> = (0..run.len() as u32).filter(|&index| seen.insert(run.timestamps[index as usize])).collect();
            kept.runs.push((*id, run.take(&new)));
        }
        Ok(kept)
    }

    /// Takes out of a batch what lies further in the future than is allowed.
    fn without_future(&self, batch: &mut SampleBatch) -> Rejected {
        let name = |id| Some(self.catalog.by_id(id).map(|tag| tag.name().to_string()).unwrap_or_default());
        self.without_future_of(batch, &name)
    }

    /// The same, of the runs for which `name` answers the tag's name.
    fn without_future_of(&self, batch: &mut SampleBatch, name: &dyn Fn(TagId) -> Option<String>) -> Rejected {
        let mut rejected = Rejected::default();
        let Some(future_max) = self.options.future_max else { return rejected };
        let now = self.clock.now();
        let ahead = i64::try_from(future_max.as_nanos()).unwrap_or(i64::MAX);
        let limit = now.0.saturating_add(ahead);
        for (id, run) in &mut batch.runs {
            if run.timestamps.iter().fold(i64::MIN, |latest, &at| latest.max(at)) <= limit {
                continue;
            }
            let Some(name) = name(*id) else { continue };
            let tag = self.catalog.by_id(*id);
            let reason = || {
                format!(
                    "lies more than {} s ahead of the historian's clock ({now}); correct the clock of the source, or raise future_max_s",
                    future_max.as_secs()
                )
            };
            let kept: Vec<u32> = (0..run.len() as u32).filter(|&index| run.timestamps[index as usize] <= limit).collect();
            for &timestamp in run.timestamps.iter().filter(|&&at| at > limit) {
                rejected.add(|| Rejection { tag: name.clone(), timestamp: Timestamp(timestamp), reason: reason() });
            }
            let last = run.timestamps.last().is_some_and(|&at| at > limit);
            *run = run.take(&kept);
            // No look into the store: what a collector writes to was looked up when it began.
            let stored = tag.and_then(|tag| self.reader.known_current(&tag)).flatten().map(|current| current.timestamp);
            let newest = stored.max(run.timestamps.iter().copied().max()).map(Timestamp);
            rejected.tags.push(RejectedTag { tag: *id, value_type: run.value_type(), reason: reason(), newest, last });
        }
        rejected
    }

    async fn submit(
        &self,
        batch: SampleBatch,
        deletions: Option<Deletions>,
        rejected: Rejected,
        durability: Durability,
    ) -> Result<Acknowledgement, Box<RefusedWrite>> {
        if batch.is_empty() && deletions.is_none() {
            let watermark = self.counters.durable.load(Ordering::SeqCst);
            return Ok(Acknowledgement { watermark, rejected, ..Acknowledgement::default() });
        }
        let mut record = Vec::with_capacity(batch.len() * SAMPLE_JOURNAL_BYTES as usize + 64);
        let ranges = deletions.as_ref().map_or(&[][..], |deletions| &deletions.ranges);
        if let Err(error) = encode_record_with(ranges, batch.runs.iter().map(|(tag, run)| (tag.0, run)), &mut record) {
            return Err(Box::new(RefusedWrite { error: WriteError::Encode(error.to_string()), batch, rejected }));
        }
        let permits = (record.len() / PERMIT_BYTES + 1).min((self.options.in_flight_bytes_max / PERMIT_BYTES).max(1));
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let Ok(permit) = self.in_flight.clone().acquire_many_owned(permits).await else {
            return Err(Box::new(RefusedWrite { error: stopped(STOPPING), batch, rejected }));
        };
        let (answer, acknowledged) = oneshot::channel();
        let submission = Submission { deletions, runs: batch.runs, rejected, record, durability, answer, permit };
        if let Err(refused) = self.send(Request::Write(submission))
            && let Request::Write(write) = *refused
        {
            write.refuse(stopped(STOPPING));
        }
        acknowledged.await.unwrap_or_else(|_| Err(RefusedWrite::whole(stopped(STOPPING), SampleBatch::default())))
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl SampleSink for Ingest {
    async fn write(&self, mut batch: SampleBatch, mode: WriteMode, durability: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
        if let Err(error) = self.counters.check().and_then(|()| self.validate(&batch)) {
            return Err(RefusedWrite::whole(error, batch));
        }
        let rejected = self.without_future(&mut batch);
        let written = match mode {
            WriteMode::Upsert => self.submit(batch, None, rejected, durability).await,
            WriteMode::Insert => {
                let _inserting = self.inserting.lock().await;
                match tokio::task::block_in_place(|| self.without_existing(&batch)) {
                    Ok(kept) => self.submit(kept, None, rejected, durability).await,
                    Err(error) => Err(Box::new(RefusedWrite { error: stopped(&error.to_string()), batch, rejected })),
                }
            }
        };
        // Counted once the write is answered: who repeats a refused one does not bring them again.
        let rejected = match &written {
            Ok(acknowledged) => &acknowledged.rejected,
            Err(refused) => &refused.rejected,
        };
        self.counters.reject(rejected);
        written
    }

    fn admit(&self, batch: &mut SampleBatch, new: &HashMap<TagId, &TagName>) -> Result<Rejected, WriteError> {
        self.counters.check()?;
        self.check_size(batch)?;
        // What the journal cannot hold is found by writing it. The ids are others in the end, and of the same length.
        encode_record_with(&[], batch.runs.iter().map(|(tag, run)| (tag.0, run)), &mut Vec::new())
            .map_err(|error| WriteError::Encode(error.to_string()))?;
        let rejected = self.without_future_of(batch, &|id| new.get(&id).map(ToString::to_string));
        self.counters.reject(&rejected);
        Ok(rejected)
    }

    async fn record_losses(&self, losses: &[Loss]) -> Result<(), WriteError> {
        let time = self.clock.now();
        let gap = |loss: &Loss| {
            let reason = match loss.reason {
                LossReason::SpoolOverflow => GapReason::SpoolOverflow,
                LossReason::Rejected => GapReason::Rejected,
            };
            // Of a tag that was deleted meanwhile there is nothing to tell.
            let tag = Some(self.catalog.by_id(loss.tag)?.name().to_string());
            Some(Gap { time, tag, start: Some(loss.start.0), end: loss.end.map(|end| end.0), reason, detail: loss.detail.clone() })
        };
        let (gaps, store): (Vec<Gap>, _) = (losses.iter().filter_map(gap).collect(), self.store.clone());
        let recorded = tokio::task::spawn_blocking(move || store.append_gaps(&gaps)).await;
        match recorded.map_err(|error| stopped(&error.to_string()))? {
            Err(StoreError::Full(reason)) => Err(WriteError::Full(reason)),
            recorded => recorded.map_err(|error| stopped(&error.to_string())),
        }
    }
}

#[async_trait]
impl CorrectionSink for Ingest {
    async fn correct(&self, correction: Correction) -> Result<Acknowledgement, WriteError> {
        let Correction { deletions, mut batch, principal, reason } = correction;
        self.counters.check()?;
        self.validate(&batch)?;
        if deletions.len() > JOURNAL_RECORD_DELETIONS_MAX {
            return Err(WriteError::TooLarge { found: deletions.len(), limit: JOURNAL_RECORD_DELETIONS_MAX });
        }
        let mut ranges = Vec::with_capacity(deletions.len());
        for (tag, from, to) in deletions {
            self.catalog.by_id(tag).ok_or(WriteError::UnknownTag(tag.0))?;
            ranges.push(Deletion { tag_id: tag.0, from: from.0, to: to.0 });
        }
        let rejected = self.without_future(&mut batch);
        if let Some(Rejection { tag, timestamp, reason }) = rejected.shown.first().cloned() {
            return Err(WriteError::Rejected { count: rejected.count, tag, timestamp, reason });
        }
        let action = if batch.runs.is_empty() { DELETE_RANGE } else { REPLACE_RANGE };
        let deletions = (!ranges.is_empty()).then_some(Deletions { ranges, action, principal, reason, again: false });
        self.submit(batch, deletions, rejected, Durability::Sync).await.map_err(|refused| refused.error)
    }
}

const STOPPING: &str = "the historian is stopping";

fn stopped(reason: &str) -> WriteError {
    WriteError::Stopped(reason.to_owned())
}
