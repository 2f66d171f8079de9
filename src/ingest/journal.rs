//! The way of a write: encoded by its caller, appended to the journal and fsynced in a group by the committer, put into heads and
//! acknowledged by the applier, which also seals full heads and retires the journal.
//!
//! Two threads, each a stage: the committer alone gives sequence numbers, the applier alone changes heads, both in that order. A group is
//! whatever arrived while the fsync before was under way; nobody waits for company unless configured.
//!
//! After a failed append or fsync nothing is acknowledged any more and nothing is retried: what the disk did with the bytes is unknown, and
//! a second fsync may succeed without having written them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use historian_format::journal::{JOURNAL_RECORD_SAMPLES_MAX, encode_record};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    head::Heads,
    seal::{SealError, Sealer},
    sink::{Acknowledgement, Durability, WriteError},
};
use crate::{
    model::{Samples, TagId},
    store::{Catalog, Change, Retire, Store},
};

/// Journal bytes of one group at most.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// What a sample takes in the journal, about.
pub(super) const SAMPLE_JOURNAL_BYTES: u64 = 18;
/// Groups between committer and applier.
const GROUPS_BETWEEN: usize = 4;
/// Chunk bytes written to the store at once.
const SEAL_BYTES_MAX: usize = 8 << 20;

/// A write on its way.
pub(super) struct Submission {
    pub runs: Vec<(TagId, Samples)>,
    pub record: Vec<u8>,
    pub durability: Durability,
    pub answer: oneshot::Sender<Result<Acknowledgement, WriteError>>,
    /// Bytes in flight are bounded; given back when the write is answered.
    pub permit: OwnedSemaphorePermit,
}

/// What the committer is asked to do.
pub(super) enum Request {
    Write(Submission),
    /// Seal all heads and retire the journal; the number of chunks sealed is answered.
    SealAll(oneshot::Sender<Result<u64, WriteError>>),
}

pub(super) enum Step {
    Group { written: Vec<(u64, Submission)>, durable: u64 },
    SealAll(oneshot::Sender<Result<u64, WriteError>>),
}

/// Figures shared with status and metrics.
#[derive(Default)]
pub(super) struct Counters {
    pub durable: AtomicU64,
    pub samples: AtomicU64,
    pub chunks_sealed: AtomicU64,
    pub groups: AtomicU64,
    /// Why nothing is acknowledged any more.
    pub stopped: Mutex<Option<String>>,
}

impl Counters {
    pub fn stop(&self, reason: &str) {
        let mut stopped = self.stopped.lock();
        if stopped.is_none() {
            tracing::error!(reason, "no further write is acknowledged; the historian must be restarted");
            *stopped = Some(reason.to_owned());
        }
    }

    pub fn check(&self) -> Result<(), WriteError> {
        match &*self.stopped.lock() {
            Some(reason) => Err(WriteError::Stopped(reason.clone())),
            None => Ok(()),
        }
    }
}

pub(super) struct Committer {
    pub store: Arc<dyn Store>,
    pub counters: Arc<Counters>,
    /// Last sequence number given.
    pub sequence: u64,
    /// How long a group is gathered beyond what has arrived; zero by default.
    pub gather: Duration,
    /// How often writes of [`Durability::Interval`] are fsynced.
    pub interval: Duration,
}

impl Committer {
    /// Runs until all senders are gone, then makes durable what is not.
    pub(super) fn run(mut self, requests: &Receiver<Request>, applier: &Sender<Step>) {
        let mut unsynced_since: Option<Instant> = None;
        loop {
            let request = match unsynced_since {
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(since) => requests.recv_timeout(self.interval.saturating_sub(since.elapsed())),
            };
            match request {
                Ok(Request::SealAll(answer)) => {
                    let _ = applier.send(Step::SealAll(answer));
                }
                Ok(Request::Write(first)) => {
                    let mut group = vec![first];
                    let sealing = self.gather(&mut group, requests);
                    let sync = group.iter().any(|write| write.durability == Durability::Sync);
                    self.commit(group, sync, applier);
                    unsynced_since = if sync { None } else { unsynced_since.or_else(|| Some(Instant::now())) };
                    if let Some(answer) = sealing {
                        let _ = applier.send(Step::SealAll(answer));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.sync();
                    unsynced_since = None;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.sync();
                    return;
                }
            }
            if unsynced_since.is_some_and(|since| since.elapsed() >= self.interval) {
                self.sync();
                unsynced_since = None;
            }
        }
    }

    /// Adds what has arrived, and what arrives within the gathering time, up to a group's size.
    fn gather(&self, group: &mut Vec<Submission>, requests: &Receiver<Request>) -> Option<oneshot::Sender<Result<u64, WriteError>>> {
        let until = Instant::now() + self.gather;
        let mut bytes = group.iter().map(|write| write.record.len()).sum::<usize>();
        while bytes < GROUP_BYTES_MAX {
            let request = if self.gather.is_zero() { requests.try_recv().ok() } else { requests.recv_deadline(until).ok() };
            match request {
                Some(Request::Write(write)) => {
                    bytes += write.record.len();
                    group.push(write);
                }
                Some(Request::SealAll(answer)) => return Some(answer),
                None => break,
            }
        }
        None
    }

    fn commit(&mut self, mut group: Vec<Submission>, sync: bool, applier: &Sender<Step>) {
        let first = self.sequence + 1;
        let records: Vec<(u64, Vec<u8>)> = (first..).zip(group.iter_mut().map(|write| std::mem::take(&mut write.record))).collect();
        let appended = self.counters.check().and_then(|()| {
            self.store.append_journal(&records, sync).map_err(|error| {
                self.counters.stop(&error.to_string());
                WriteError::Stopped(error.to_string())
            })
        });
        if let Err(error) = appended {
            for write in group {
                let _ = write.answer.send(Err(error.clone()));
            }
            return;
        }
        self.sequence += records.len() as u64;
        if sync {
            self.counters.durable.store(self.sequence, Ordering::SeqCst);
        }
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        let step = Step::Group { written: (first..).zip(group).collect(), durable: self.counters.durable.load(Ordering::SeqCst) };
        let _ = applier.send(step);
    }

    fn sync(&self) {
        if self.counters.check().is_err() {
            return;
        }
        match self.store.sync() {
            Ok(()) => self.counters.durable.store(self.sequence, Ordering::SeqCst),
            Err(error) => self.counters.stop(&error.to_string()),
        }
    }
}

pub(super) struct Applier {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<Catalog>,
    pub heads: Arc<Heads>,
    pub counters: Arc<Counters>,
    pub sealer: Sealer,
    /// Samples of a head at which it is sealed.
    pub head_samples_max: usize,
    /// Journal bytes at which the journal is retired.
    pub journal_bytes_max: u64,
    pub journal_bytes: u64,
    /// Last sequence number applied.
    pub applied: u64,
}

impl Applier {
    /// Runs until the committer is gone.
    pub(super) fn run(mut self, steps: &Receiver<Step>) {
        for step in steps {
            match step {
                Step::Group { written, durable } => self.apply(written, durable),
                Step::SealAll(answer) => {
                    let sealed = self.seal_all();
                    let _ = answer.send(sealed);
                }
            }
        }
    }

    fn apply(&mut self, written: Vec<(u64, Submission)>, durable: u64) {
        let mut full = Vec::new();
        for (sequence, write) in written {
            let mut samples = 0;
            for (tag, run) in &write.runs {
                samples += run.len() as u64;
                self.journal_bytes += SAMPLE_JOURNAL_BYTES * run.len() as u64;
                if self.heads.apply(*tag, run, sequence) >= self.head_samples_max {
                    full.push(*tag);
                }
            }
            self.applied = sequence;
            self.counters.samples.fetch_add(samples, Ordering::Relaxed);
            drop(write.permit);
            let watermark = if write.durability == Durability::Sync { sequence } else { durable };
            let _ = write.answer.send(Ok(Acknowledgement { watermark, samples }));
        }
        full.sort_unstable();
        full.dedup();
        let sealed = self.seal(&full, None).and_then(|_| if self.journal_bytes > self.journal_bytes_max { self.retire() } else { Ok(()) });
        if let Err(error) = sealed {
            // The samples are safe in the journal, but it can no longer be shortened.
            self.counters.stop(&error.to_string());
        }
    }

    /// Seals the heads of these tags and answers how many chunks were made.
    pub(super) fn seal(&mut self, tags: &[TagId], retire: Option<Retire>) -> Result<u64, SealError> {
        let mut chunks = 0;
        let mut seal = Change::default();
        let mut bytes = 0;
        let mut sealing_tags = Vec::new();
        for &tag in tags {
            if self.catalog.by_id(tag).is_none() {
                self.heads.forget(tag);
                self.sealer.forget(tag);
                continue;
            }
            let Some(sealing) = self.heads.start_sealing(tag) else { continue };
            let first = seal.chunks.len();
            self.sealer.add(&sealing, &mut seal)?;
            bytes += seal.chunks[first..].iter().map(|(_, chunk)| chunk.bytes.len()).sum::<usize>();
            sealing_tags.push(tag);
            if bytes >= SEAL_BYTES_MAX {
                chunks += self.write_seal(&std::mem::take(&mut seal), &mut sealing_tags)?;
                bytes = 0;
            }
        }
        seal.retire = retire;
        chunks += self.write_seal(&seal, &mut sealing_tags)?;
        Ok(chunks)
    }

    fn write_seal(&self, seal: &Change, tags: &mut Vec<TagId>) -> Result<u64, SealError> {
        if seal.chunks.is_empty() && seal.retire.is_none() {
            return Ok(0);
        }
        self.store.apply(seal)?;
        tags.drain(..).for_each(|tag| self.heads.sealed(tag));
        self.counters.chunks_sealed.fetch_add(seal.chunks.len() as u64, Ordering::Relaxed);
        Ok(seal.chunks.len() as u64)
    }

    /// Shortens the journal to one record that holds what is still in heads. The largest heads are sealed first, until what is carried over
    /// is small against the journal's bound.
    fn retire(&mut self) -> Result<(), SealError> {
        let mut filled = self.heads.filled();
        filled.sort_by_key(|&(_, samples)| samples);
        let carry_samples_max = ((self.journal_bytes_max / 4 / SAMPLE_JOURNAL_BYTES) as usize).min(JOURNAL_RECORD_SAMPLES_MAX);
        let mut carried = 0;
        let keep = filled.iter().take_while(|&&(_, samples)| {
            carried += samples;
            carried <= carry_samples_max
        });
        let keep = keep.count();
        let seal: Vec<TagId> = filled[keep..].iter().map(|&(tag, _)| tag).collect();
        self.seal(&seal, None)?;
        self.retire_to_carried(&filled[..keep].iter().map(|&(tag, _)| tag).collect::<Vec<_>>())
    }

    fn retire_to_carried(&mut self, tags: &[TagId]) -> Result<(), SealError> {
        let known = tags.iter().filter(|tag| self.catalog.by_id(**tag).is_some());
        let carried: Vec<(u32, Samples)> = known.filter_map(|&tag| Some((tag.0, self.heads.copy(tag)?))).collect();
        let mut record = Vec::new();
        encode_record(carried.iter().map(|(tag, samples)| (*tag, samples)), &mut record)
            .map_err(|error| SealError::Encode { tag: 0, error })?;
        self.journal_bytes = record.len() as u64;
        self.seal(&[], Some(Retire { sequence: self.applied, record }))?;
        Ok(())
    }

    /// Seals every head and shortens the journal to an empty record.
    pub(super) fn seal_all(&mut self) -> Result<u64, WriteError> {
        self.counters.check()?;
        let tags: Vec<TagId> = self.heads.filled().into_iter().map(|(tag, _)| tag).collect();
        let sealed = self.seal(&tags, None).and_then(|chunks| {
            if self.applied > 0 {
                self.retire_to_carried(&[])?;
            }
            Ok(chunks)
        });
        sealed.map_err(|error| {
            self.counters.stop(&error.to_string());
            WriteError::Stopped(error.to_string())
        })
    }
}

/// Ends of the two channels. Requests are bounded by the bytes in flight, see [`Submission::permit`].
pub(super) struct Channels {
    pub requests: Sender<Request>,
    pub committer: Receiver<Request>,
    pub steps: Sender<Step>,
    pub applier: Receiver<Step>,
}

impl Channels {
    pub fn new() -> Channels {
        let (requests, committer) = crossbeam_channel::unbounded();
        let (steps, applier) = crossbeam_channel::bounded(GROUPS_BETWEEN);
        Channels { requests, committer, steps, applier }
    }
}
