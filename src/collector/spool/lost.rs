//! What a spool could not keep, so that it is told: the time of samples that are lost is Bad in the data and a gap on record.
//!
//! A full spool drops its oldest samples. Of each tag the newest dropped one is kept: it is what the tag holds until the next sample, and that
//! may be hours away where samples come with changes only. Before it goes one Bad sample in the place of the first that is lost. A sample that
//! is never taken, because its time lies in the future, leaves a Bad sample where it came, and the gap lasts until the tag delivers again.
//! What never came is told by its collector (`outage.rs`), and goes on record with the rest. Everything here is bounded by the number of tags.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::outage::{Outages, SETTLED_NS};
use historian_model::{
    Quality, SampleBatch, Samples, TagId, Timestamp, ValueType,
    sink::{Loss, LossReason, RejectedTag},
};

/// Samples that a full spool dropped and that the sink has not been told of.
#[derive(Default)]
pub(super) struct Overflow {
    tags: BTreeMap<TagId, Dropped>,
    /// When the oldest of them came.
    pub(super) since: Option<Timestamp>,
}

/// What was dropped of a tag.
struct Dropped {
    first: i64,
    /// The newest dropped sample; it is written after all.
    newest: Samples,
    lost: u64,
}

impl Overflow {
    /// Takes runs that are dropped; answers how many samples are lost with them.
    pub(super) fn drop_runs(&mut self, runs: &[(TagId, Samples)], since: Timestamp) -> u64 {
        self.since = self.since.or(Some(since));
        let mut all = 0;
        for (tag, run) in runs {
            let times = || run.timestamps.iter().copied();
            let Some((first, (index, last))) = times().min().zip((0..).zip(times()).max_by_key(|(_, at)| *at)) else { continue };
            let mut lost = run.len() as u64;
            if let Some(before) = self.tags.get_mut(tag) {
                before.first = before.first.min(first);
                if before.newest.timestamps.first().is_none_or(|&at| at <= last) {
                    before.newest = run.take(&[index]);
                }
                before.lost += lost;
            } else {
                lost -= 1;
                self.tags.insert(*tag, Dropped { first, newest: run.take(&[index]), lost });
            }
            all += lost;
        }
        all
    }

    /// What is written in the place of the samples that were dropped, and what of them is lost.
    pub(super) fn take(&mut self) -> (SampleBatch, Vec<Loss>) {
        let mut batch = SampleBatch::default();
        let mut losses = Vec::new();
        self.since = None;
        for (tag, Dropped { first, newest, lost }) in std::mem::take(&mut self.tags) {
            let end = newest.timestamps.first().copied().unwrap_or(first);
            if lost > 0 && first < end {
                batch.runs.extend(bad(tag, newest.value_type(), first).map(|run| (tag, run)));
                let detail = format!("{lost} samples went, because the spool of the device was full");
                losses.push(Loss { tag, start: Timestamp(first), end: Some(Timestamp(end)), reason: LossReason::SpoolOverflow, detail });
            }
            batch.runs.push((tag, newest));
        }
        (batch, losses)
    }
}

/// One Bad sample without a value, for data that is lost.
pub(super) fn bad(tag: TagId, value_type: ValueType, at: i64) -> Option<Samples> {
    let mut run = Samples::new(value_type);
    match run.push(at, None, Quality::BAD_DATA_LOST.0) {
        Ok(()) => Some(run),
        Err(error) => {
            tracing::error!(tag = tag.0, %error, "the sample that marks a loss cannot be made; this is a bug");
            None
        }
    }
}

/// What is to be put on record, and the tags whose samples are not taken now.
#[derive(Default)]
pub(super) struct Ledger {
    losses: Vec<Loss>,
    /// Places in `losses` of overflows, one per tag: those of one backlog become one.
    overflows: HashMap<TagId, usize>,
    rejecting: BTreeMap<TagId, Rejecting>,
    /// Tags whose samples do not come.
    pub(super) outages: Outages,
    /// Not before then, where it failed.
    retry_at: Option<Instant>,
}

/// A tag whose samples are not taken.
struct Rejecting {
    start: Timestamp,
    reason: String,
    /// The first sample that was taken again, and when.
    again: Option<(Timestamp, Timestamp)>,
}

impl Ledger {
    /// Samples that a full spool dropped.
    pub(super) fn overflowed(&mut self, losses: Vec<Loss>) {
        for loss in losses {
            if let Some(known) = self.overflows.get(&loss.tag).and_then(|&place| self.losses.get_mut(place)) {
                known.start = known.start.min(loss.start);
                known.end = known.end.max(loss.end);
                "samples went more than once, because the spool of the device was full".clone_into(&mut known.detail);
            } else {
                self.overflows.insert(loss.tag, self.losses.len());
                self.losses.push(loss);
            }
        }
    }

    /// Samples that were damaged while they waited.
    pub(super) fn damaged(&mut self, losses: impl IntoIterator<Item = Loss>) {
        self.losses.extend(losses);
    }

    /// A tag of which samples were rejected that came from `since` on. Answers where a Bad sample ends its last value, where none does yet.
    pub(super) fn rejected(&mut self, tag: &RejectedTag, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let behind = tag.newest.map_or(i64::MIN, |newest| newest.0.saturating_add(1));
        let start = Timestamp(since.0.max(behind));
        // Taken again where samples of the same write that came later were.
        let again = (!tag.last).then_some((now, now));
        if let Some(known) = self.rejecting.get_mut(&tag.tag) {
            let ended = known.again.is_none();
            known.again = again;
            return (tag.last && !ended).then_some(start);
        }
        let (reason, detail) = (tag.reason.clone(), tag.reason.clone());
        self.losses.push(Loss { tag: tag.tag, start, end: None, reason: LossReason::Rejected, detail });
        self.rejecting.insert(tag.tag, Rejecting { start, reason, again });
        tag.last.then_some(start)
    }

    /// Whether samples of some tag are not taken now.
    pub(super) fn is_rejecting(&self) -> bool {
        !self.rejecting.is_empty()
    }

    /// A sample of a tag was taken.
    pub(super) fn taken(&mut self, tag: TagId, at: Timestamp, now: Timestamp) {
        if let Some(known) = self.rejecting.get_mut(&tag) {
            known.again = known.again.or(Some((at, now)));
        }
    }

    /// What is to be put on record now. At the `end` of all nothing waits any longer.
    pub(super) fn due(&mut self, now: Timestamp, end: bool) -> Vec<Loss> {
        if !end && self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Vec::new();
        }
        let losses = &mut self.losses;
        self.rejecting.retain(|&tag, known| {
            let Some((at, since)) = known.again else { return true };
            let over = end || now.0.saturating_sub(since.0) >= SETTLED_NS;
            if over {
                let detail = format!("samples are taken again; {}", known.reason);
                let (start, end) = (known.start, Some(at.max(known.start)));
                losses.push(Loss { tag, start, end, reason: LossReason::Rejected, detail });
            }
            !over
        });
        losses.extend(self.outages.due(now, end));
        self.overflows.clear();
        std::mem::take(losses)
    }

    /// What could not be put on record yet, and how long to wait before it is tried again.
    pub(super) fn again(&mut self, mut losses: Vec<Loss>, wait: Duration) {
        self.retry_at = Some(Instant::now() + wait);
        losses.append(&mut self.losses);
        let more = losses.len().saturating_sub(LOSSES_MAX);
        if more > 0 {
            tracing::error!(gaps = more, "gaps cannot be recorded, and are too many to be kept");
            losses.truncate(LOSSES_MAX);
        }
        self.losses = losses;
    }

    /// Whether something waits to be put on record.
    pub(super) fn waits(&self) -> bool {
        !self.losses.is_empty() || self.rejecting.values().any(|known| known.again.is_some())
    }
}

/// Losses that wait to be put on record, at most.
const LOSSES_MAX: usize = 100_000;
