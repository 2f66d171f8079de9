//! The way of a write: encoded by its caller, appended to the journal and fsynced in a group by the committer, put into heads and
//! acknowledged by the applier, which also seals full heads and retires the journal.
//!
//! Two threads, each a stage: the committer alone gives sequence numbers, the applier alone changes heads, both in that order. A group is
//! whatever arrived while the fsync before was under way; nobody waits for company unless configured.
//!
//! After a failed append or fsync nothing is acknowledged any more and nothing is retried: what the disk did with the bytes is unknown, and
//! a second fsync may succeed without having written them.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use historian_format::journal::{Deletion, JOURNAL_RECORD_SAMPLES_MAX, JournalRecord, decode_record, encode_record};
use parking_lot::RwLockWriteGuard;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    counters::Counters,
    delete::Deleter,
    head::{Heads, Sealing},
    seal::Sealer,
};
use historian_maintenance::{PendingMaintenance, rewrite::SealError};
use historian_model::sink::{Acknowledgement, Actor, Durability, RefusedWrite, Rejected, WriteError};
use historian_model::{Clock, SampleBatch, Samples, TagId, TimeBounds};
use historian_read::{ReadError, feed::FeedWriter, merge::TagReader};
use historian_store::{AuditEntry, Catalog, Change, Retire, Store, StoreError};

/// Journal bytes of one group at most.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// What a sample takes in the journal, about.
pub(super) const SAMPLE_JOURNAL_BYTES: u64 = 18;
/// Groups between committer and applier.
const GROUPS_BETWEEN: usize = 4;
/// Chunk bytes written to the store at once.
const SEAL_BYTES_MAX: usize = 8 << 20;

/// How long the applier waits before it tries again to write what the journal already promises, while the disk is full.
const FULL_RETRY: Duration = Duration::from_millis(200);

pub(super) const DELETE_RANGE: &str = "delete_range";
pub(super) const REPLACE_RANGE: &str = "replace_range";

/// What a write deletes before its runs apply, and who does it why.
#[derive(Clone, Debug, Default)]
pub(super) struct Deletions {
    pub ranges: Vec<Deletion>,
    /// What the audit log calls it.
    pub action: &'static str,
    pub actor: Actor,
    pub reason: String,
    /// Done before, perhaps: from the journal after a restart.
    pub again: bool,
}

/// A write on its way.
pub(super) struct Submission {
    pub deletions: Option<Deletions>,
    pub runs: Vec<(TagId, Samples)>,
    pub rejected: Rejected,
    pub record: Vec<u8>,
    pub durability: Durability,
    pub answer: oneshot::Sender<Result<Acknowledgement, Box<RefusedWrite>>>,
    /// Bytes in flight are bounded; given back when the write is answered.
    pub permit: OwnedSemaphorePermit,
}

impl Submission {
    /// Answers that nothing was taken, and hands the runs back.
    pub fn refuse(self, error: WriteError) {
        let Submission { runs, rejected, answer, .. } = self;
        let _ = answer.send(Err(Box::new(RefusedWrite { error, batch: SampleBatch { runs }, rejected })));
    }
}

/// What the committer is asked to do.
#[expect(clippy::large_enum_variant, reason = "nearly all are writes")]
pub(super) enum CommitRequest {
    Write(Submission),
    /// Seal all heads and retire the journal; the number of chunks sealed is answered.
    SealAll(oneshot::Sender<Result<u64, WriteError>>),
}

pub(super) enum CommitStep {
    Group { written: Vec<(u64, Submission)>, durable: u64 },
    SealAll(oneshot::Sender<Result<u64, WriteError>>),
}

/// What recovery found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub records: u64,
    /// Samples put back into heads.
    pub samples: u64,
    /// Number of the first record; 0 when there was none.
    pub first: u64,
    pub watermark: u64,
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
    pub heads: Arc<Heads>,
    pub feed: FeedWriter,
    /// Samples in all heads above which nothing is taken: sealing does not keep up, or cannot write.
    pub head_samples_limit: usize,
}

impl Committer {
    /// Runs until all senders are gone, then makes durable what is not.
    pub(super) fn run(mut self, requests: &Receiver<CommitRequest>, applier: &Sender<CommitStep>) {
        let mut unsynced_since: Option<Instant> = None;
        loop {
            let request = match unsynced_since {
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(since) => requests.recv_timeout(self.interval.saturating_sub(since.elapsed())),
            };
            match request {
                Ok(CommitRequest::SealAll(answer)) => {
                    let _ = applier.send(CommitStep::SealAll(answer));
                }
                Ok(CommitRequest::Write(first)) => {
                    let mut group = vec![first];
                    let sealing = self.gather(&mut group, requests);
                    let sync = group.iter().any(|write| write.durability == Durability::Sync);
                    self.commit(group, sync, applier);
                    unsynced_since = if sync { None } else { unsynced_since.or_else(|| Some(Instant::now())) };
                    if let Some(answer) = sealing {
                        let _ = applier.send(CommitStep::SealAll(answer));
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
    fn gather(&self, group: &mut Vec<Submission>, requests: &Receiver<CommitRequest>) -> Option<oneshot::Sender<Result<u64, WriteError>>> {
        let until = Instant::now() + self.gather;
        let mut bytes = group.iter().map(|write| write.record.len()).sum::<usize>();
        while bytes < GROUP_BYTES_MAX {
            let request = if self.gather.is_zero() { requests.try_recv().ok() } else { requests.recv_deadline(until).ok() };
            match request {
                Some(CommitRequest::Write(write)) => {
                    bytes += write.record.len();
                    group.push(write);
                }
                Some(CommitRequest::SealAll(answer)) => return Some(answer),
                None => break,
            }
        }
        None
    }

    fn commit(&mut self, mut group: Vec<Submission>, sync: bool, applier: &Sender<CommitStep>) {
        let first = self.sequence + 1;
        let records: Vec<(u64, Vec<u8>)> = (first..).zip(group.iter_mut().map(|write| std::mem::take(&mut write.record))).collect();
        let began = Instant::now();
        let appended = self.counters.check().and_then(|()| self.room()).and_then(|()| {
            self.store.append_journal(&records, sync).map_err(|error| match error {
                StoreError::Full(reason) => {
                    self.counters.room(Some(&reason));
                    WriteError::Full(reason)
                }
                error => {
                    self.counters.stop(&error.to_string());
                    WriteError::Stopped(error.to_string())
                }
            })
        });
        if let Err(error) = appended {
            for write in group {
                write.refuse(error.clone());
            }
            return;
        }
        if sync {
            self.counters.synced(began.elapsed());
        }
        self.counters.room(None);
        self.sequence += records.len() as u64;
        self.feed.appended(records);
        if sync {
            self.durable();
        }
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        let step = CommitStep::Group { written: (first..).zip(group).collect(), durable: self.counters.durable.load(Ordering::SeqCst) };
        let _ = applier.send(step);
    }

    /// Refuses while heads hold more than they may.
    fn room(&self) -> Result<(), WriteError> {
        let held = self.heads.samples();
        if held <= self.head_samples_limit {
            return Ok(());
        }
        let reason = self.counters.full.lock().clone();
        Err(WriteError::Full(reason.unwrap_or_else(|| format!("heads hold {held} samples and sealing does not keep up"))))
    }

    fn sync(&self) {
        if self.counters.check().is_err() {
            return;
        }
        let began = Instant::now();
        match self.store.sync() {
            Ok(()) => {
                self.counters.synced(began.elapsed());
                self.durable();
            }
            Err(error) => self.counters.stop(&error.to_string()),
        }
    }

    /// Everything appended is durable.
    fn durable(&self) {
        self.counters.durable.store(self.sequence, Ordering::SeqCst);
        self.feed.is_durable(self.sequence);
    }
}

pub(super) struct Applier {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<Catalog>,
    pub heads: Arc<Heads>,
    pub counters: Arc<Counters>,
    pub sealer: Sealer,
    pub deleter: Deleter,
    pub pending: Arc<PendingMaintenance>,
    pub feed: FeedWriter,
    pub clock: Arc<dyn Clock>,
    /// Samples of a head at which it is sealed.
    pub head_samples_max: usize,
    /// Samples of all heads at which the largest are sealed.
    pub heads_samples_max: usize,
    /// Journal bytes at which the journal is retired.
    pub journal_bytes_max: u64,
    pub journal_bytes: u64,
    /// Last sequence number applied.
    pub applied: u64,
}

impl Applier {
    /// Puts what the journal holds and chunks do not back into heads, and does again what it says to delete.
    pub(super) fn replay(&mut self) -> Result<Recovered, SealError> {
        let mut sealed = HashMap::new();
        self.store.load_sealed(&mut |tag, sequence| {
            sealed.insert(tag, sequence);
        })?;
        let mut recovered = Recovered::default();
        let store = self.store.clone();
        let mut failed = None;
        store
            .replay_journal(&mut |sequence, bytes| {
                let JournalRecord { deletions, runs } = decode_record(bytes).map_err(|error| StoreError::Corrupt {
                    family: "journal",
                    key: format!("write {sequence}"),
                    message: error.to_string(),
                })?;
                let open = |tag: TagId| sealed.get(&tag).is_none_or(|&sealed| sealed < sequence);
                let ranges: Vec<Deletion> = deletions.into_iter().filter(|deletion| open(TagId(deletion.tag_id))).collect();
                if !ranges.is_empty() {
                    let reason = format!("write {sequence}, done again from the journal after a restart");
                    let action = if runs.is_empty() { DELETE_RANGE } else { REPLACE_RANGE };
                    let deletions = Deletions { ranges, action, actor: Actor::default(), reason, again: true };
                    if let Err(error) = self.delete(sequence, &deletions) {
                        let message = error.to_string();
                        failed = Some(error);
                        return Err(StoreError::Io(message));
                    }
                }
                for (tag, run) in runs {
                    let tag = TagId(tag);
                    if open(tag) && self.catalog.by_id(tag).is_some_and(|known| known.value_type() == run.value_type()) {
                        recovered.samples += run.len() as u64;
                        self.heads.apply(tag, &run, sequence);
                    }
                }
                if recovered.records == 0 {
                    recovered.first = sequence;
                }
                recovered.records += 1;
                recovered.watermark = sequence;
                self.applied = sequence;
                Ok(())
            })
            .map_err(|error| failed.take().unwrap_or(SealError::Store(error)))?;
        self.journal_bytes = SAMPLE_JOURNAL_BYTES * recovered.samples;
        self.counters.journal_bytes.store(self.journal_bytes, Ordering::Relaxed);
        Ok(recovered)
    }

    /// Runs until the committer is gone.
    pub(super) fn run(mut self, steps: &Receiver<CommitStep>) {
        for step in steps {
            match step {
                CommitStep::Group { written, durable } => self.apply(written, durable),
                CommitStep::SealAll(answer) => {
                    let sealed = self.seal_all();
                    let _ = answer.send(sealed);
                }
            }
        }
    }

    fn apply(&mut self, written: Vec<(u64, Submission)>, durable: u64) {
        let mut full = Vec::new();
        let heads = self.heads.clone();
        for (sequence, write) in written {
            let mut applying = heads.applying();
            let mut deleted = 0;
            if let Some(deletions) = &write.deletions {
                match self.correct(sequence, deletions, &mut applying) {
                    Ok(count) => deleted = count,
                    Err(error) => {
                        self.counters.stop(&error.to_string());
                        write.refuse(WriteError::Stopped(error.to_string()));
                        continue;
                    }
                }
            }
            let mut samples = 0;
            for (tag, run) in &write.runs {
                samples += run.len() as u64;
                self.journal_bytes += SAMPLE_JOURNAL_BYTES * run.len() as u64;
                if self.heads.apply(*tag, run, sequence) >= self.head_samples_max {
                    full.push(*tag);
                }
            }
            drop(applying);
            self.applied = sequence;
            self.counters.samples.fetch_add(samples, Ordering::Relaxed);
            drop(write.permit);
            let watermark = if write.durability == Durability::Sync { sequence } else { durable };
            let _ = write.answer.send(Ok(Acknowledgement { watermark, samples, deleted, rejected: write.rejected }));
        }
        full.sort_unstable();
        full.dedup();
        let sealed = self
            .seal(&full, None)
            .and_then(|_| if self.heads.samples() > self.heads_samples_max { self.spill() } else { Ok(()) })
            .and_then(|()| if self.journal_bytes > self.journal_bytes_max { self.retire() } else { Ok(()) });
        self.counters.journal_bytes.store(self.journal_bytes, Ordering::Relaxed);
        match sealed {
            Ok(()) => {}
            // The samples are safe in the journal and back in their heads; the next group tries again.
            Err(SealError::Store(StoreError::Full(reason))) => self.counters.room(Some(&reason)),
            // The samples are safe in the journal, but it can no longer be shortened.
            Err(error) => self.counters.stop(&error.to_string()),
        }
    }

    /// Seals the largest heads until a quarter of the room for heads is free.
    fn spill(&mut self) -> Result<(), SealError> {
        let mut filled = self.heads.filled();
        filled.sort_by_key(|&(_, samples)| std::cmp::Reverse(samples));
        let mut over = self.heads.samples().saturating_sub(self.heads_samples_max / 4 * 3);
        let mut tags: Vec<TagId> = Vec::new();
        for (tag, samples) in filled {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(samples);
            tags.push(tag);
        }
        // In the order of their keys, which is the order the store likes.
        tags.sort_unstable();
        self.seal(&tags, None).map(drop)
    }

    /// Deletes, waiting for room where there is none: the journal has promised it, and later writes must not overtake it. Reading goes on
    /// meanwhile, and may see a part of the deletion then.
    fn correct(&mut self, sequence: u64, deletions: &Deletions, applying: &mut RwLockWriteGuard<'_, ()>) -> Result<u64, SealError> {
        loop {
            match self.delete(sequence, deletions) {
                Err(SealError::Store(StoreError::Full(reason))) if !self.counters.closing.load(Ordering::SeqCst) => {
                    self.counters.room(Some(&reason));
                    RwLockWriteGuard::unlocked(applying, || std::thread::sleep(FULL_RETRY));
                }
                // Who and why stand in the audit log only: it must be as durable as the journal before anybody is told.
                Ok(removed) => return self.store.sync().map(|()| removed).map_err(SealError::Store),
                failed @ Err(_) => return failed,
            }
        }
    }

    fn delete(&mut self, sequence: u64, deletions: &Deletions) -> Result<u64, SealError> {
        let mut removed = 0;
        for deletion in &deletions.ranges {
            let tag = TagId(deletion.tag_id);
            let bounds = TimeBounds { first: deletion.from, last: deletion.to };
            // The deleted range lies in chunks then, and in nothing else.
            self.seal(&[tag], None)?;
            let Some(known) = self.catalog.by_id(tag) else { continue };
            let time = self.clock.now();
            // After a crash the deletion is done again, which changes nothing.
            let visible = || {
                let reader = TagReader::new(self.store.clone(), self.heads.clone(), self.feed.feed());
                let counted = reader.count(&known, bounds);
                counted.map_err(|error| match error {
                    ReadError::Store(error) => SealError::Store(error),
                    error => SealError::Copy(error.to_string()),
                })
            };
            let count = self.deleter.delete(tag, bounds, sequence, visible, |samples| {
                (samples > 0 || !deletions.again).then(|| AuditEntry {
                    time,
                    action: deletions.action.into(),
                    principal: deletions.actor.principal.clone(),
                    client: deletions.actor.client.clone(),
                    tags: vec![known.name().to_string()],
                    start: Some(bounds.first),
                    end: Some(bounds.last.saturating_add(1)),
                    samples,
                    detail: deletions.reason.clone(),
                })
            })?;
            removed += count;
            self.sealer.forget(tag);
            self.heads.corrected(tag);
        }
        Ok(removed)
    }

    /// Seals the heads of these tags and answers how many chunks were made. After an error the samples are back in their heads.
    pub(super) fn seal(&mut self, tags: &[TagId], retire: Option<Retire>) -> Result<u64, SealError> {
        let mut sealing = Vec::new();
        let sealed = self.seal_into(tags, retire, &mut sealing);
        if sealed.is_err() {
            for one in sealing {
                self.sealer.forget(one.tag);
                self.heads.unseal(&one);
            }
        }
        sealed
    }

    fn seal_into(&mut self, tags: &[TagId], retire: Option<Retire>, sealing: &mut Vec<Sealing>) -> Result<u64, SealError> {
        let mut chunks = 0;
        let mut change = Change::default();
        let mut bytes = 0;
        for &tag in tags {
            if self.catalog.by_id(tag).is_none() {
                self.heads.forget(tag);
                self.sealer.forget(tag);
                continue;
            }
            let Some(one) = self.heads.start_sealing(tag) else { continue };
            let first = change.chunks.len();
            sealing.push(one);
            if let Some(one) = sealing.last() {
                self.sealer.add(one, &mut change)?;
            }
            bytes += change.chunks[first..].iter().map(|(_, chunk)| chunk.bytes.len()).sum::<usize>();
            if bytes >= SEAL_BYTES_MAX {
                chunks += self.write_seal(&std::mem::take(&mut change), sealing)?;
                bytes = 0;
            }
        }
        change.retire = retire;
        chunks += self.write_seal(&change, sealing)?;
        Ok(chunks)
    }

    fn write_seal(&self, change: &Change, sealing: &mut Vec<Sealing>) -> Result<u64, SealError> {
        if change.is_empty() {
            return Ok(0);
        }
        self.store.apply(change)?;
        sealing.drain(..).for_each(|one| self.heads.sealed(one.tag));
        self.pending.sealed(&change.chunks);
        self.counters.chunks_sealed.fetch_add(change.chunks.len() as u64, Ordering::Relaxed);
        Ok(change.chunks.len() as u64)
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
        self.counters.journal_bytes.store(self.journal_bytes, Ordering::Relaxed);
        self.feed.retires(self.applied);
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
        sealed.map_err(|error| match error {
            SealError::Store(StoreError::Full(reason)) => WriteError::Full(reason),
            error => {
                self.counters.stop(&error.to_string());
                WriteError::Stopped(error.to_string())
            }
        })
    }
}

/// Ends of the two channels. Requests are bounded by the bytes in flight, see [`Submission::permit`].
pub(super) struct Channels {
    pub requests: Sender<CommitRequest>,
    pub committer: Receiver<CommitRequest>,
    pub steps: Sender<CommitStep>,
    pub applier: Receiver<CommitStep>,
}

impl Channels {
    pub fn new() -> Channels {
        let (requests, committer) = crossbeam_channel::unbounded();
        let (steps, applier) = crossbeam_channel::bounded(GROUPS_BETWEEN);
        Channels { requests, committer, steps, applier }
    }
}
