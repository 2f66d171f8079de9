//! From the sample sink to sealed chunks: journal (durable acknowledgement), heads, current values, sealing, and the merged view on read.

pub mod head;
mod journal;
pub mod merge;
pub mod seal;
pub mod sink;
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
use historian_format::journal::{JOURNAL_RECORD_SAMPLES_MAX, decode_record, encode_record};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use self::{
    head::Heads,
    journal::{Applier, Channels, Committer, Counters, Request, SAMPLE_JOURNAL_BYTES, Submission},
    merge::{ReadError, TagReader},
    seal::Sealer,
    sink::{Acknowledgement, Durability, SampleSink, WriteError, WriteMode},
};
use crate::{
    model::{SampleBatch, Samples, TagId, TimeRange, Timestamp},
    store::{Catalog, Store, StoreError},
};

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
}

impl Default for IngestOptions {
    fn default() -> IngestOptions {
        IngestOptions {
            head_samples_max: 1_024,
            journal_bytes_max: 256 << 20,
            group_commit: Duration::ZERO,
            interval: Duration::from_millis(100),
            in_flight_bytes_max: 256 << 20,
            batch_samples_max: JOURNAL_RECORD_SAMPLES_MAX,
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
    /// Samples in heads.
    pub head_samples: u64,
    /// Chunks made since start.
    pub chunks_sealed: u64,
    /// Groups committed since start.
    pub groups: u64,
    pub accepting_writes: bool,
    /// Why writes are refused; empty while they are accepted.
    pub stopped: String,
}

/// What recovery found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub records: u64,
    /// Samples put back into heads.
    pub samples: u64,
    pub watermark: u64,
}

pub struct Ingest {
    catalog: Arc<Catalog>,
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
    committer: JoinHandle<()>,
    applier: JoinHandle<()>,
}

/// Unit of the semaphore of bytes in flight.
const PERMIT_BYTES: usize = 1 << 10;

impl Ingest {
    /// Replays the journal of a store into heads and starts the threads.
    ///
    /// # Errors
    /// When the journal cannot be read whole, or a thread cannot be started.
    pub fn open(store: Arc<dyn Store>, catalog: Arc<Catalog>, options: IngestOptions) -> Result<Ingest, StoreError> {
        let heads = Arc::new(Heads::default());
        let counters = Arc::new(Counters::default());
        let recovered = replay(&*store, &catalog, &heads)?;
        counters.durable.store(recovered.watermark, Ordering::SeqCst);

        let channels = Channels::new();
        let committer = Committer {
            store: store.clone(),
            counters: counters.clone(),
            sequence: recovered.watermark,
            gather: options.group_commit,
            interval: options.interval,
        };
        let applier = Applier {
            store: store.clone(),
            catalog: catalog.clone(),
            heads: heads.clone(),
            counters: counters.clone(),
            sealer: Sealer::new(store.clone()),
            head_samples_max: options.head_samples_max.max(1),
            journal_bytes_max: options.journal_bytes_max,
            journal_bytes: SAMPLE_JOURNAL_BYTES * recovered.samples,
            applied: recovered.watermark,
        };
        let Channels { requests, committer: committer_requests, steps, applier: applier_steps } = channels;
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(body).map_err(|error| StoreError::Io(format!("thread {name}: {error}")))
        };
        let threads = Threads {
            applier: spawn("applier", Box::new(move || applier.run(&applier_steps)))?,
            committer: spawn("committer", Box::new(move || committer.run(&committer_requests, &steps)))?,
        };
        Ok(Ingest {
            catalog,
            reader: TagReader { store, heads },
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
            head_samples: self.reader.heads.samples() as u64,
            chunks_sealed: self.counters.chunks_sealed.load(Ordering::Relaxed),
            groups: self.counters.groups.load(Ordering::Relaxed),
            accepting_writes: stopped.is_none(),
            stopped: stopped.unwrap_or_default(),
        }
    }

    /// Seals all heads and lets the store compact; answers the number of chunks sealed. Blocks; not for async threads.
    ///
    /// # Errors
    /// [`WriteError::Stopped`] when the store failed.
    pub fn compact(&self) -> Result<u64, WriteError> {
        let (answer, sealed) = oneshot::channel();
        self.send(Request::SealAll(answer))?;
        let sealed = sealed.blocking_recv().map_err(|_| stopped("the historian is stopping"))??;
        self.reader.store.compact().map_err(|error| WriteError::Stopped(error.to_string()))?;
        Ok(sealed)
    }

    /// Takes no further writes, finishes and makes durable those that were taken, and ends the threads. Blocks.
    pub fn close(&self) {
        drop(self.requests.lock().take());
        if let Some(threads) = self.threads.lock().take() {
            for (name, thread) in [("committer", threads.committer), ("applier", threads.applier)] {
                if thread.join().is_err() {
                    tracing::error!("thread {name} panicked");
                }
            }
        }
    }

    fn send(&self, request: Request) -> Result<(), WriteError> {
        let sent = self.requests.lock().as_ref().map(|requests| requests.send(request));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(stopped("the historian is stopping")),
        }
    }

    /// Checks a batch against the catalog.
    fn validate(&self, batch: &SampleBatch) -> Result<(), WriteError> {
        let (found, limit) = (batch.len(), self.options.batch_samples_max);
        if found > limit {
            return Err(WriteError::TooLarge { found, limit });
        }
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

    /// Drops the samples whose tag and timestamp exist, and repeats within the batch.
    fn without_existing(&self, batch: SampleBatch) -> Result<SampleBatch, ReadError> {
        let mut seen: HashMap<TagId, HashSet<i64>> = HashMap::new();
        let mut kept = SampleBatch::default();
        for (id, run) in batch.runs {
            let Some(tag) = self.catalog.by_id(id) else { continue };
            let (Some(&first), Some(&last)) = (run.timestamps.iter().min(), run.timestamps.iter().max()) else { continue };
            let seen = seen.entry(id).or_default();
            let mut existing = Samples::new(run.value_type());
            let mut cursor = self.reader.cursor(&tag, TimeRange::new(Timestamp(first), Timestamp(last.saturating_add(1))))?;
            while cursor.next_into(&mut existing)? {
                seen.extend(existing.timestamps.drain(..));
                existing.clear();
            }
            let new: Vec<u32> = (0..run.len() as u32).filter(|&index| seen.insert(run.timestamps[index as usize])).collect();
            kept.runs.push((id, run.take(&new)));
        }
        Ok(kept)
    }

    async fn submit(&self, batch: SampleBatch, durability: Durability) -> Result<Acknowledgement, WriteError> {
        if batch.is_empty() {
            return Ok(Acknowledgement { watermark: self.counters.durable.load(Ordering::SeqCst), samples: 0 });
        }
        let mut record = Vec::with_capacity(batch.len() * SAMPLE_JOURNAL_BYTES as usize + 64);
        encode_record(batch.runs.iter().map(|(tag, run)| (tag.0, run)), &mut record)
            .map_err(|error| WriteError::Encode(error.to_string()))?;
        let permits = (record.len() / PERMIT_BYTES + 1).min((self.options.in_flight_bytes_max / PERMIT_BYTES).max(1));
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let permit = self.in_flight.clone().acquire_many_owned(permits).await.map_err(|_| stopped("the historian is stopping"))?;
        let (answer, acknowledged) = oneshot::channel();
        self.send(Request::Write(Submission { runs: batch.runs, record, durability, answer, permit }))?;
        acknowledged.await.map_err(|_| stopped("the historian is stopping"))?
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl SampleSink for Ingest {
    async fn write(&self, batch: SampleBatch, mode: WriteMode, durability: Durability) -> Result<Acknowledgement, WriteError> {
        self.counters.check()?;
        self.validate(&batch)?;
        match mode {
            WriteMode::Upsert => self.submit(batch, durability).await,
            WriteMode::Insert => {
                let _inserting = self.inserting.lock().await;
                let kept = tokio::task::block_in_place(|| self.without_existing(batch)).map_err(|error| stopped(&error.to_string()))?;
                self.submit(kept, durability).await
            }
        }
    }
}

fn stopped(reason: &str) -> WriteError {
    WriteError::Stopped(reason.to_owned())
}

/// Puts the samples of the journal that are not in chunks back into heads.
fn replay(store: &dyn Store, catalog: &Catalog, heads: &Heads) -> Result<Recovered, StoreError> {
    let mut sealed = HashMap::new();
    store.load_sealed(&mut |tag, sequence| {
        sealed.insert(tag, sequence);
    })?;
    let mut recovered = Recovered::default();
    store.replay_journal(&mut |sequence, bytes| {
        let record = decode_record(bytes).map_err(|error| StoreError::Corrupt {
            family: "journal",
            key: format!("write {sequence}"),
            message: error.to_string(),
        })?;
        for (tag, run) in record.runs {
            let tag = TagId(tag);
            let open = sealed.get(&tag).is_none_or(|&sealed| sealed < sequence);
            if open && catalog.by_id(tag).is_some_and(|known| known.value_type() == run.value_type()) {
                recovered.samples += run.len() as u64;
                heads.apply(tag, &run, sequence);
            }
        }
        recovered.records += 1;
        recovered.watermark = sequence;
        Ok(())
    })?;
    Ok(recovered)
}
