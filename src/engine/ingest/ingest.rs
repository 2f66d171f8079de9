//! Ingest as a whole: it replays the journal, starts the threads, and takes them down in order.

use std::{
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::{
    counters::Counters,
    delete::Deleter,
    head::Heads,
    journal::{Applier, Channels, CommitRequest, Committer, Recovered},
    options::{IngestOptions, IngestStatus, SAMPLE_HEAD_BYTES},
    seal::Sealer,
};
use historian_maintenance::{Keeper, PendingMaintenance, TagLocks, rewrite::SealError};
use historian_model::{Clock, RetentionGroup, sink::WriteError};
use historian_read::{feed::FeedWriter, merge::TagReader};
use historian_store::{Catalog, Store, StoreError};

pub struct Ingest {
    pub(crate) clock: Arc<dyn Clock>,
    keeper: Arc<Keeper>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) store: Arc<dyn Store>,
    heads: Arc<Heads>,
    pub(crate) reader: TagReader,
    pub(crate) options: IngestOptions,
    pub(crate) counters: Arc<Counters>,
    pub(crate) in_flight: Arc<Semaphore>,
    /// `Insert` writes go one after another, so that two of them cannot both find a timestamp free.
    pub(crate) inserting: tokio::sync::Mutex<()>,
    threads: Mutex<Option<Threads>>,
    requests: Mutex<Option<Sender<CommitRequest>>>,
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
pub(crate) const PERMIT_BYTES: usize = 1 << 10;

impl Ingest {
    /// Replays the journal of a store into heads and starts the threads.
    ///
    /// # Errors
    /// When the journal cannot be read whole, or a thread cannot be started.
    pub fn open(store: Arc<dyn Store>, catalog: Arc<Catalog>, clock: Arc<dyn Clock>, options: IngestOptions) -> Result<Ingest, StoreError> {
        let heads = Arc::new(Heads::default());
        let counters = Arc::new(Counters::default());
        let pending = Arc::new(PendingMaintenance::default());
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
            journal_bytes: self.counters.journal_bytes.load(Ordering::Relaxed),
            journal_syncs: self.counters.syncs.load(Ordering::Relaxed),
            journal_sync_time: Duration::from_nanos(self.counters.sync_nanoseconds.load(Ordering::Relaxed)),
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
        self.send(CommitRequest::SealAll(answer)).map_err(|_| stopped(STOPPING))?;
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

    /// Keeps samples as these groups say, from the next time on that retention is applied.
    pub fn set_retention(&self, groups: Vec<RetentionGroup>) {
        self.keeper.set_retention(groups);
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
    pub(crate) fn send(&self, request: CommitRequest) -> Result<(), Box<CommitRequest>> {
        match &*self.requests.lock() {
            Some(requests) => requests.send(request).map_err(|refused| Box::new(refused.0)),
            None => Err(Box::new(request)),
        }
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) const STOPPING: &str = "the historian is stopping";

pub(crate) fn stopped(reason: &str) -> WriteError {
    WriteError::Stopped(reason.to_owned())
}
