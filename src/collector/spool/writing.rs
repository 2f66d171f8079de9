//! The writer of a spool: takes what is next, writes it until it is taken or cannot be, and puts on record what was lost.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    NONE_HELD, Spool,
    segment::{SpooledBatch, SpooledKind},
};
use crate::supervise::Backoff;
use historian_model::{
    SampleBatch,
    sink::{Acknowledgement, Durability, RefusedWrite, SampleSink, WriteError, WriteMode},
};

/// How long a stopping drain may go on.
const DRAIN_AT_STOP: Duration = Duration::from_secs(5);
/// How often what waits to be put on record is tried, where no sample comes.
const TELL_INTERVAL: Duration = Duration::from_secs(5);
/// The same, while tags cease or begin to deliver.
const OUTAGE_INTERVAL: Duration = Duration::from_millis(500);
/// How long is written before what was lost is put on record.
const WRITE_FOR: Duration = Duration::from_secs(1);
/// Losses that are put on record in one write.
const TELL_AT_ONCE: usize = 8_192;

/// Whether something waits after a round of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteRound {
    Nothing,
    More,
    /// The store takes nothing before a restart, or nobody knows whether it took what it was given.
    StoreGone,
}

impl Spool {
    /// Writes what is queued to `sink` until `shutdown`, then what is left. What a repeat can mend is repeated, for as long as it takes: the
    /// queue then goes to disk, or fills up to its bound. What it cannot mend is counted as rejected and named in the status, and everything else
    /// is written.
    pub async fn drain(self, sink: Arc<dyn SampleSink>, shutdown: CancellationToken) {
        // Goes on to its end where the writer is cut short, and ends where this does.
        let ended = CancellationToken::new();
        let _ended = ended.clone().drop_guard();
        let spilling = self.shared.backing.is_some().then(|| tokio::spawn(self.clone().spill_until(ended.clone())));
        let left = self.write_until(&*sink, &shutdown).await;
        ended.cancel();
        if let Some(spilling) = spilling {
            // A disk that hangs does not hold up a stop.
            let _ = tokio::time::timeout(DRAIN_AT_STOP, spilling).await;
        }
        if left != WriteRound::Nothing {
            self.give_up().await;
        }
    }

    async fn write_until(&self, sink: &dyn SampleSink, shutdown: &CancellationToken) -> WriteRound {
        let late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_AT_STOP).await;
        };
        tokio::pin!(late);
        let mut waiting = WriteRound::Nothing;
        loop {
            if waiting == WriteRound::Nothing {
                let (waits, outages) = {
                    let ledger = self.shared.ledger.lock();
                    (ledger.waits(), ledger.outages.are_pending())
                };
                tokio::select! {
                    () = self.shared.filled.notified() => {}
                    () = shutdown.cancelled() => {}
                    () = tokio::time::sleep(if outages { OUTAGE_INTERVAL } else { TELL_INTERVAL }), if waits || outages => {}
                }
            }
            let last = shutdown.is_cancelled();
            waiting = tokio::select! {
                waiting = async {
                    let waiting = self.write_queued(sink, shutdown).await;
                    self.put_on_record(sink, last && waiting != WriteRound::More).await;
                    waiting
                } => waiting,
                // What waits for room may wait for ever, but a stop does not.
                () = &mut late => return WriteRound::More,
            };
            if waiting == WriteRound::StoreGone || (last && waiting == WriteRound::Nothing) {
                return waiting;
            }
        }
    }

    async fn write_queued(&self, sink: &dyn SampleSink, shutdown: &CancellationToken) -> WriteRound {
        let begun = Instant::now();
        loop {
            let SpooledBatch { batch, since, kind } = self.next_part().await;
            if batch.is_empty() {
                return WriteRound::Nothing;
            }
            let taken = batch.len();
            // It is on no disk, and whoever brought it waits for all of it.
            let history = (kind == SpooledKind::Historical).then(|| batch.clone());
            let mut parts = vec![SpooledBatch { batch: self.without_refused(batch), since, kind }];
            while let Some(part) = parts.pop() {
                if kind == SpooledKind::Live {
                    let waiting: usize = parts.iter().map(|part| part.batch.len()).sum();
                    self.shared.held.store(part.batch.len() + waiting, Ordering::Relaxed);
                }
                if self.write_part(part, sink, shutdown, &mut parts).await != WriteRound::StoreGone {
                    continue;
                }
                if let Some(history) = history {
                    self.shared.queue.lock().history.put_back(history);
                    return if shutdown.is_cancelled() { WriteRound::StoreGone } else { WriteRound::More };
                }
                if self.shared.backing.is_some() {
                    if shutdown.is_cancelled() {
                        return WriteRound::StoreGone;
                    }
                    let held = self.shared.held.swap(0, Ordering::Relaxed);
                    if !self.take_again().await {
                        self.shared.status.samples_dropped.fetch_add(held as u64, Ordering::Relaxed);
                    }
                    self.shared.held_since.store(NONE_HELD, Ordering::Relaxed);
                    return WriteRound::More;
                }
            }
            self.part_is_done().await;
            self.shared.held.store(0, Ordering::Relaxed);
            self.shared.held_since.store(NONE_HELD, Ordering::Relaxed);
            if kind == SpooledKind::Historical {
                self.shared.history_waiting.fetch_sub(taken, Ordering::AcqRel);
                self.shared.history_done.notify_waiters();
            }
            if begun.elapsed() >= WRITE_FOR {
                return WriteRound::More;
            }
        }
    }

    /// Puts on record what was lost. What finds no room is tried again.
    async fn put_on_record(&self, sink: &dyn SampleSink, last: bool) {
        let mut losses = self.shared.ledger.lock().due(self.shared.status.now(), last);
        if !losses.is_empty() {
            // Of a tag that is not collected at all, that is the reason.
            let refused = self.shared.refused.lock();
            losses.retain(|loss| !loss.reason.is_of_device() || !refused.contains(&loss.tag));
        }
        {
            let routes = self.shared.routes.lock();
            for loss in &mut losses {
                loss.tag = routes.get(&loss.tag).copied().unwrap_or(loss.tag);
            }
        }
        let mut left = losses.as_slice();
        while !left.is_empty() {
            let some = &left[..left.len().min(TELL_AT_ONCE)];
            if let Err(error) = sink.record_losses(some).await {
                tracing::error!(device = self.shared.status.device, %error, gaps = left.len(), "gaps cannot be recorded yet");
                self.shared.ledger.lock().again(left.to_vec(), TELL_INTERVAL);
                return;
            }
            left = &left[some.len()..];
        }
    }

    /// Writes one batch; what is refused for what is in it goes back to `parts` as two halves, the later one first, until it is one sample.
    async fn write_part(
        &self,
        part: SpooledBatch,
        sink: &dyn SampleSink,
        shutdown: &CancellationToken,
        parts: &mut Vec<SpooledBatch>,
    ) -> WriteRound {
        let status = &self.shared.status;
        let SpooledBatch { mut batch, since, kind } = part;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut waiting = false;
        while !batch.is_empty() {
            let samples = batch.len();
            let ends = if kind == SpooledKind::Live { self.ends(&batch) } else { Vec::new() };
            let refused = match sink.write(self.outward(batch), WriteMode::Upsert, Durability::Sync).await {
                Ok(Acknowledgement { samples, mut rejected, .. }) => {
                    self.inward(&mut SampleBatch::default(), &mut rejected);
                    match kind {
                        SpooledKind::Live => _ = status.samples.fetch_add(samples, Ordering::Relaxed),
                        SpooledKind::Historical => _ = status.samples_backfilled.fetch_add(samples, Ordering::Relaxed),
                        SpooledKind::Mark => {}
                    }
                    self.tell(&ends, &rejected);
                    parts.extend(self.mark_rejected(kind, &ends, &rejected, since));
                    break;
                }
                Err(refused) => *refused,
            };
            let RefusedWrite { error, batch: mut back, mut rejected } = refused;
            self.inward(&mut back, &mut rejected);
            self.tell(&[], &rejected);
            parts.extend(self.mark_rejected(kind, &[], &rejected, since));
            let lost = samples.saturating_sub(back.len()).saturating_sub(usize::try_from(rejected.count).unwrap_or(usize::MAX));
            if lost > 0 && (self.shared.backing.is_some() || kind == SpooledKind::Historical) {
                // Whether it is stored nobody knows; what is on disk still, or of a history, is written once more.
                tokio::time::sleep(backoff.next_delay()).await;
                return WriteRound::StoreGone;
            }
            status.samples_dropped.fetch_add(lost as u64, Ordering::Relaxed);
            batch = back;
            match error {
                WriteError::Full(_) | WriteError::Stopped(_) => {
                    if matches!(error, WriteError::Stopped(_)) && shutdown.is_cancelled() {
                        if kind == SpooledKind::Historical {
                            return WriteRound::StoreGone;
                        }
                        if self.shared.backing.is_some() {
                            self.shared
                                .held
                                .store(batch.len() + parts.iter().map(|part| part.batch.len()).sum::<usize>(), Ordering::Relaxed);
                            return WriteRound::StoreGone;
                        }
                        tracing::error!(device = status.device, %error, samples = batch.len(), "samples dropped");
                        status.samples_dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                        self.shared.gone_since.fetch_min(since.0, Ordering::Relaxed);
                        return WriteRound::StoreGone;
                    }
                    if !std::mem::replace(&mut waiting, true) {
                        tracing::error!(device = status.device, %error, "samples wait in the spool");
                        status.record_error(status.now(), format!("samples wait in the spool: {error}"));
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                error => {
                    self.split(SpooledBatch { batch, since, kind }, &error, parts);
                    return WriteRound::Nothing;
                }
            }
        }
        if waiting {
            tracing::info!(device = status.device, samples = self.depth(), "samples are taken again");
        }
        WriteRound::Nothing
    }
}
