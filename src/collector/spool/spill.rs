//! The way of samples through the disk: from memory, where they have waited for too long, and back to the writer, oldest first.
//!
//! Nothing on disk is newer than anything in memory: whoever moves samples or takes the next ones has the disk, one at a time, and what the
//! writer has in hand goes before all that came later. Pushing takes no part in it and never waits.
//!
//! What moves is synced at once, so a kill takes what came within about a second, and the time of that is on record at the next start.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    NONE_HELD, SEGMENT_SAMPLES_MAX, Spool,
    backing::{HeldBatch, HeldPlace, SpoolBacking},
    disk::{DiskBatch, DiskPlace, EncodedFrame, Losing, SpoolDisk},
    segment::{SpoolSegment, SpooledBatch, SpooledKind},
};
use crate::status::DeviceBacklog;
use historian_model::{
    SampleBatch, Samples, TagId, Timestamp,
    sink::{Loss, LossReason},
};

/// What waits for longer goes to disk.
const SPILL_AFTER: Duration = Duration::from_secs(1);
/// How often that is looked at.
const SPILL_LOOK: Duration = Duration::from_millis(250);
/// How often the bounds of the disk are looked at.
const BOUNDS_LOOK: Duration = Duration::from_secs(1);
/// How long a stopping spool tries to put everything on disk.
const SPILL_AT_STOP: Duration = Duration::from_secs(5);

/// Samples on their way from memory to disk.
struct Moving {
    held: Option<(Arc<SampleBatch>, Timestamp)>,
    segments: Vec<SpoolSegment>,
    /// The place up to which nothing is in memory after that.
    through: u64,
}

impl Moving {
    /// Answers the end of the first frame, and how many samples cannot be written at all.
    fn append(&self, disk: &mut SpoolDisk, routes: &HashMap<TagId, TagId>, losing: Losing<'_>) -> io::Result<(Option<DiskPlace>, u64)> {
        let held = self.held.iter().map(|(batch, since)| (*since, &batch.runs));
        let segments = self.segments.iter().filter(|segment| segment.samples > 0).map(|segment| (segment.since, &segment.runs));
        let (mut frames, mut unwritable) = (Vec::new(), 0);
        for (since, runs) in held.chain(segments) {
            // As the catalog has them: what the collector calls them is known to this run only.
            let runs = runs.iter().map(|(tag, run): &(TagId, Samples)| (routes.get(tag).copied().unwrap_or(*tag), run));
            let (frame, left_out) = EncodedFrame::of(since, runs);
            frames.push(frame);
            unwritable += left_out;
        }
        Ok((disk.append(&frames, losing)?.first().copied(), unwritable))
    }
}

impl Spool {
    /// What is to be written next: what went on disk, what is on disk, then what is in memory, and behind all that
    /// what came from a history. Empty when nothing waits.
    pub(super) async fn next_part(&self) -> SpooledBatch {
        let Some(backing) = &self.shared.backing else { return self.take_part().0 };
        loop {
            let mut disk = backing.disk.clone().lock_owned().await;
            let given_up = {
                let mut overflow = backing.overflow.lock();
                overflow.since.map(|since| (since, overflow.take()))
            };
            if let Some((since, (batch, losses))) = given_up.filter(|(_, (batch, _))| !batch.is_empty()) {
                self.shared.ledger.lock().overflowed(losses);
                self.shared.held_since.store(since.0, Ordering::Relaxed);
                return SpooledBatch { batch, since, kind: SpooledKind::Live };
            }
            if disk.is_empty() {
                let (part, came) = self.take_part();
                if let Some(came) = came {
                    let batch = Arc::new(part.batch.clone());
                    *backing.held.lock() = Some(HeldBatch { batch, since: part.since, came, place: HeldPlace::Memory });
                }
                return part;
            }
            let read = tokio::task::spawn_blocking(move || {
                let read = disk.read(SEGMENT_SAMPLES_MAX);
                // The disk is had until what was read is in hand.
                (disk, read)
            });
            match read.await {
                Ok((mut disk, Some(read))) => {
                    self.tell_damaged(&read);
                    if read.frames.iter().any(|(_, batch)| !batch.is_empty()) {
                        return self.in_hand(backing, read);
                    }
                    disk.drained(read.place);
                }
                Ok((_disk, None)) => {}
                Err(error) => {
                    tracing::error!(device = self.shared.status.device, %error, "the spool on disk cannot be read");
                    tokio::time::sleep(SPILL_AFTER).await;
                }
            }
        }
    }

    fn in_hand(&self, backing: &SpoolBacking, read: DiskBatch) -> SpooledBatch {
        let DiskBatch { frames, since, place, .. } = read;
        let mut joined = SpoolSegment::beginning(since);
        for (tag, run) in frames.into_iter().flat_map(|(_, batch)| batch.runs) {
            joined.push(tag, run);
        }
        // It is on disk until it is stored.
        let held = HeldBatch { batch: Arc::default(), since, came: Instant::now(), place: HeldPlace::Disk(place) };
        *backing.held.lock() = Some(held);
        self.shared.held_since.store(NONE_HELD, Ordering::Relaxed);
        let mut batch = SampleBatch { runs: joined.runs };
        self.inward(&mut batch, &mut historian_model::sink::Rejected::default());
        SpooledBatch { batch, since, kind: SpooledKind::Live }
    }

    /// What the writer had in hand is stored, or told to be lost.
    pub(super) async fn part_is_done(&self) {
        let Some(backing) = &self.shared.backing else { return };
        let mut disk = backing.disk.clone().lock_owned().await;
        let held = backing.held.lock().take();
        if let Some(HeldPlace::Disk(place) | HeldPlace::Spilled(place)) = held.map(|held| held.place) {
            let done = tokio::task::spawn_blocking(move || disk.drained(place));
            if let Err(error) = done.await {
                tracing::error!(device = self.shared.status.device, %error, "what is stored stays on disk as well");
            }
        }
    }

    /// The store lost what it was given, or is gone: the writer takes it from disk again. Answers whether it is there, or told to be lost.
    pub(super) async fn take_again(&self) -> bool {
        self.spill().await;
        // What the disk gave up meanwhile is told to be lost there.
        let held = self.shared.backing.as_ref().and_then(|backing| backing.held.lock().take());
        held.is_some_and(|held| held.place != HeldPlace::Memory)
    }

    /// Moves what waits for too long to disk, and keeps the bounds of that, until it is told to end.
    pub(super) async fn spill_until(self, ended: CancellationToken) {
        let Some(backing) = &self.shared.backing else { return };
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(SPILL_LOOK) => {}
                () = backing.pressed.notified() => {}
                () = ended.cancelled() => return,
            }
            if !backing.rests() && self.is_due(backing) {
                self.spill().await;
            } else if backing.rests() {
                // Memory is full all the while: no reason to look more often.
                tokio::time::sleep(SPILL_LOOK).await;
            }
            if looked.elapsed() >= BOUNDS_LOOK && !backing.figures.is_empty() {
                looked = Instant::now();
                self.keep_bounds(backing).await;
            }
        }
    }

    /// Whether something has waited in memory for too long, or half of that is full.
    fn is_due(&self, backing: &SpoolBacking) -> bool {
        let (oldest, is_pressed) = {
            let queue = self.shared.queue.lock();
            (queue.segments.front().map(|segment| segment.came), queue.samples > self.shared.samples_max / 2)
        };
        let held = backing.held.lock().as_ref().filter(|held| held.place == HeldPlace::Memory).map(|held| held.came);
        is_pressed || [oldest, held].into_iter().flatten().any(|came| came.elapsed() >= SPILL_AFTER)
    }

    /// Moves everything that is in memory to disk; where that fails it stays.
    pub(super) async fn spill(&self) {
        let Some(backing) = &self.shared.backing else { return };
        let mut disk = backing.disk.clone().lock_owned().await;
        loop {
            let Some(moving) = self.take_for_disk(backing) else { return };
            let moving = Arc::new(moving);
            let routes = self.shared.routes.lock().clone();
            let (spool, appended) = (self.clone(), moving.clone());
            let appending = tokio::task::spawn_blocking(move || {
                let outcome = appended.append(&mut disk, &routes, &mut |runs, since| spool.given_up(runs, since));
                if let (Ok((Some(place), _)), Some((held, _))) = (&outcome, &appended.held) {
                    disk.hold(*place, held.len() as u64);
                }
                (disk, outcome)
            });
            let outcome = match appending.await {
                Ok((back, outcome)) => {
                    disk = back;
                    self.note_given_up(backing, &disk);
                    outcome
                }
                Err(error) => {
                    disk = backing.disk.clone().lock_owned().await;
                    Err(io::Error::other(error))
                }
            };
            match outcome {
                Ok((place, unwritable)) => self.is_moved(backing, &moving, place, unwritable),
                Err(error) => {
                    self.stays(backing, moving, &error);
                    return;
                }
            }
        }
    }

    /// The oldest of what is in memory alone.
    fn take_for_disk(&self, backing: &SpoolBacking) -> Option<Moving> {
        let held = self.first_held();
        let mut queue = self.shared.queue.lock();
        // One that is full, or some that are not: appended and synced at once.
        let (mut segments, mut samples) = (Vec::new(), 0);
        while samples < SEGMENT_SAMPLES_MAX
            && let Some(segment) = queue.segments.pop_front()
        {
            samples += segment.samples;
            segments.push(segment);
        }
        if held.is_none() && segments.is_empty() {
            return None;
        }
        queue.samples -= samples;
        let through = queue.begun - queue.segments.len() as u64;
        // Under the lock: whoever asks since when samples wait sees them here or there.
        let since = segments.first().map_or(NONE_HELD, |segment| segment.since.0);
        self.shared.moving_since.store(since, Ordering::Relaxed);
        drop(queue);
        debug_assert!(held.is_none() || !backing.has_held());
        for segment in &mut segments {
            segment.runs = self.without_refused(SampleBatch { runs: std::mem::take(&mut segment.runs) }).runs;
            segment.samples = segment.runs.iter().map(|(_, run)| run.len()).sum();
            segment.places.clear();
        }
        Some(Moving { held, segments, through })
    }

    /// What the writer has in hand and nobody else has.
    fn first_held(&self) -> Option<(Arc<SampleBatch>, Timestamp)> {
        let held = self.shared.backing.as_ref()?.held.lock();
        held.as_ref().filter(|held| held.place == HeldPlace::Memory).map(|held| (held.batch.clone(), held.since))
    }

    fn is_moved(&self, backing: &SpoolBacking, moving: &Moving, place: Option<DiskPlace>, unwritable: u64) {
        if let (Some((batch, _)), Some(place)) = (&moving.held, place)
            && let Some(held) = backing.held.lock().as_mut().filter(|held| Arc::ptr_eq(&held.batch, batch))
        {
            held.place = HeldPlace::Spilled(place);
            self.shared.held_since.store(NONE_HELD, Ordering::Relaxed);
        }
        self.shared.written.fetch_max(moving.through, Ordering::Release);
        self.shared.moving_since.store(NONE_HELD, Ordering::Relaxed);
        let status = &self.shared.status;
        status.samples_rejected.fetch_add(unwritable, Ordering::Relaxed);
        if backing.note(false) {
            tracing::info!(device = status.device, "the spool is on disk again");
        }
        self.shared.filled.notify_one();
    }

    /// Puts back what found no place on disk. Memory keeps its bound with the next push.
    fn stays(&self, backing: &SpoolBacking, moving: Arc<Moving>, error: &io::Error) {
        let status = &self.shared.status;
        if let Some(moving) = Arc::into_inner(moving) {
            let mut queue = self.shared.queue.lock();
            for segment in moving.segments.into_iter().rev() {
                queue.samples += segment.samples;
                queue.segments.push_front(segment);
            }
            self.shared.moving_since.store(NONE_HELD, Ordering::Relaxed);
        }
        if backing.note(true) {
            tracing::error!(device = status.device, %error, "samples cannot wait on disk, and wait in memory");
        }
        status.record_error(status.now(), format!("samples cannot wait on the disk of the spool, and wait in memory: {error}"));
    }

    async fn keep_bounds(&self, backing: &SpoolBacking) {
        let mut disk = backing.disk.clone().lock_owned().await;
        let (spool, now) = (self.clone(), self.shared.status.now());
        let kept = tokio::task::spawn_blocking(move || {
            disk.keep_bounds(now, &mut |runs, since| spool.given_up(runs, since));
            disk
        });
        match kept.await {
            Ok(disk) => self.note_given_up(backing, &disk),
            Err(error) => tracing::error!(device = self.shared.status.device, %error, "the bounds of the spool on disk cannot be kept"),
        }
    }

    /// Runs on disk that had to go.
    fn given_up(&self, runs: &[(TagId, Samples)], since: Timestamp) {
        let Some(backing) = &self.shared.backing else { return };
        let lost = backing.overflow.lock().drop_runs(runs, since);
        self.shared.status.samples_dropped.fetch_add(lost, Ordering::Relaxed);
    }

    /// What the writer has in hand may have gone from the disk.
    fn note_given_up(&self, backing: &SpoolBacking, disk: &SpoolDisk) {
        if let Some(held) = backing.held.lock().as_mut()
            && let HeldPlace::Disk(place) | HeldPlace::Spilled(place) = held.place
            && disk.has_left(place)
        {
            held.place = HeldPlace::GivenUp;
            self.shared.held_since.store(held.since.0, Ordering::Relaxed);
        }
    }

    /// What is damaged on disk is missing, of which tags nobody knows: it is told of all that the device has.
    fn tell_damaged(&self, read: &DiskBatch) {
        let detail = "a part of the spool on disk was damaged; some samples of the device are missing";
        for (start, end) in &read.damaged {
            let losses = self.shared.status.tag_ids().into_iter().map(|tag| {
                let end = Some((*end).max(*start));
                Loss { tag, start: *start, end, reason: LossReason::DataLoss, detail: detail.to_owned() }
            });
            self.shared.ledger.lock().damaged(losses);
        }
    }

    /// Samples that wait, wherever they do.
    pub(super) fn backlog(&self) -> DeviceBacklog {
        let held = self.shared.held.load(Ordering::Relaxed);
        let since = self.unwritten_since();
        let Some(backing) = &self.shared.backing else {
            return DeviceBacklog { samples: (self.depth() + held) as u64, since, ..DeviceBacklog::default() };
        };
        let figures = &backing.figures;
        let in_memory = self.depth() + if backing.has_held() { 0 } else { held };
        let disk_samples = figures.samples.load(Ordering::Relaxed);
        let since = [since, figures.since()].into_iter().flatten().min();
        DeviceBacklog {
            samples: in_memory as u64 + disk_samples,
            since,
            disk_samples,
            disk_bytes: figures.bytes.load(Ordering::Relaxed),
            disk_segments: figures.segments.load(Ordering::Relaxed),
            disk_failing: backing.is_failing(),
        }
    }

    /// The time to write what is left is over: it stays on disk for the next start, or is lost.
    pub(super) async fn give_up(&self) {
        let status = &self.shared.status;
        let held = self.shared.held.load(Ordering::Relaxed);
        let mut samples = self.depth() + held;
        if let Some(backing) = &self.shared.backing {
            let _ = tokio::time::timeout(SPILL_AT_STOP, self.spill()).await;
            samples = self.depth() + if backing.has_held() { 0 } else { held };
            let on_disk = backing.figures.samples.load(Ordering::Relaxed);
            if on_disk > 0 {
                tracing::warn!(device = status.device, samples = on_disk, "stopped with samples on disk; the next start writes them");
            }
            if samples == 0 {
                return;
            }
        }
        tracing::error!(device = status.device, samples, "stopped with samples unwritten");
        status.samples_dropped.fetch_add(samples as u64, Ordering::Relaxed);
    }
}
