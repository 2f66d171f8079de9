//! What becomes of samples that the store does not take for what they are: found by halving, counted, named in the status, and left out.

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::Ordering,
};

use super::{
    Spool, lost,
    segment::{Ends, SpooledBatch, SpooledKind},
};
use historian_model::{
    Quality, SampleBatch, TagId, Timestamp,
    sink::{Rejected, RejectedTag, WriteError},
};

impl Spool {
    /// Halves a batch that was refused for what is in it; a single sample is rejected.
    pub(super) fn split(&self, part: SpooledBatch, error: &WriteError, parts: &mut Vec<SpooledBatch>) {
        let SpooledBatch { mut batch, since, kind } = part;
        batch.runs.retain(|(_, run)| !run.is_empty());
        // An end of the whole tag: no later sample of it will be taken either.
        let of_tag = matches!(error, WriteError::UnknownTag(_) | WriteError::WrongType { .. });
        match batch.runs.as_mut_slice() {
            [] => {}
            // There is no better one, and the gap tells.
            [(tag, run)] if kind == SpooledKind::Mark && (of_tag || run.len() == 1) => {
                tracing::error!(device = self.shared.status.device, tag = tag.0, %error, "the sample that marks a loss is not taken");
            }
            [(tag, run)] if of_tag || run.len() == 1 => {
                self.shared.status.samples_rejected.fetch_add(run.len() as u64, Ordering::Relaxed);
                let reason = match error {
                    WriteError::UnknownTag(_) => {
                        "the tag was deleted while it was collected; it is collected again after a restart".to_owned()
                    }
                    error => error.to_string(),
                };
                if of_tag {
                    self.refuse(*tag, &reason);
                } else {
                    let (device, name) = (&self.shared.status.device, self.shared.status.tag_name(*tag));
                    tracing::warn!(device, tag = name, "a sample is not taken: {reason}");
                    self.shared.status.record_refused(&name, &reason);
                    if let Some(&at) = run.timestamps.first() {
                        let value_type = run.value_type();
                        let newest = Some(Timestamp(at.saturating_sub(1)));
                        let rejected = RejectedTag { tag: *tag, value_type, reason, newest, last: true };
                        let rejected = Rejected { count: 0, shown: Vec::new(), tags: vec![rejected] };
                        parts.extend(self.mark_rejected(kind, &[], &rejected, Timestamp(at)));
                    }
                }
            }
            [(tag, run)] => {
                let rows: Vec<u32> = (0..run.len() as u32).collect();
                let (first, second) = rows.split_at(rows.len() / 2);
                for half in [second, first] {
                    parts.push(SpooledBatch { batch: SampleBatch { runs: vec![(*tag, run.take(half))] }, since, kind });
                }
            }
            runs => {
                let later = runs.len() / 2;
                let second = batch.runs.split_off(later);
                parts.push(SpooledBatch { batch: SampleBatch { runs: second }, since, kind });
                parts.push(SpooledBatch { batch, since, kind });
            }
        }
    }

    /// Takes out the tags whose samples are not taken.
    pub(super) fn without_refused(&self, mut batch: SampleBatch) -> SampleBatch {
        let refused = self.shared.refused.lock();
        if !refused.is_empty() {
            let before = batch.len();
            batch.runs.retain(|(tag, _)| !refused.contains(tag));
            self.shared.status.samples_rejected.fetch_add((before - batch.len()) as u64, Ordering::Relaxed);
        }
        batch
    }

    /// How the runs of a batch begin and end: of those that end Bad, and while some tag does not deliver, of all.
    pub(super) fn ends(&self, batch: &SampleBatch) -> Vec<Ends> {
        let all = self.shared.status.has_troubles() || self.shared.ledger.lock().is_rejecting();
        let ends = batch.runs.iter().filter_map(|(tag, run)| {
            let (&first, &last) = run.timestamps.first().zip(run.timestamps.last())?;
            let quality = Quality(*run.qualities.last()?);
            (all || quality.is_bad()).then_some(Ends { tag: *tag, quality, first: Timestamp(first), last: Timestamp(last) })
        });
        ends.collect()
    }

    /// Brings the status up to date after a write. What is rejected is logged by who rejects it.
    pub(super) fn tell(&self, ends: &[Ends], rejected: &Rejected) {
        let status = &self.shared.status;
        let refused: HashSet<TagId> = rejected.tags.iter().filter(|tag| tag.last).map(|tag| tag.tag).collect();
        for end in ends {
            if end.quality.is_bad() || !refused.contains(&end.tag) {
                status.record_quality(end.tag, end.quality, end.last);
            }
        }
        status.samples_rejected.fetch_add(rejected.count, Ordering::Relaxed);
        let shown: BTreeMap<&str, _> = rejected.shown.iter().map(|rejection| (&*rejection.tag, rejection)).collect();
        for tag in &rejected.tags {
            let name = status.tag_name(tag.tag);
            let told = match shown.get(&*name) {
                Some(rejection) => format!("the sample of {} {}", rejection.timestamp, rejection.reason),
                None => format!("its sample {}", tag.reason),
            };
            if tag.last {
                status.record_refused(&name, &told);
            } else {
                status.record_error(status.now(), format!("tag {name}: {told}"));
            }
        }
    }

    /// After a write: ends the last values of tags whose samples were not taken, and notes which are taken again. A sample of its history ends
    /// no value of now.
    pub(super) fn mark_rejected(&self, kind: SpooledKind, ends: &[Ends], rejected: &Rejected, since: Timestamp) -> Option<SpooledBatch> {
        let mut ledger = self.shared.ledger.lock();
        if kind == SpooledKind::Historical || (rejected.tags.is_empty() && !ledger.is_rejecting()) {
            return None;
        }
        let now = self.shared.status.now();
        let mut runs = Vec::new();
        for tag in &rejected.tags {
            if let Some(at) = ledger.rejected(tag, since, now) {
                runs.extend(lost::bad(tag.tag, tag.value_type, at.0).map(|run| (tag.tag, run)));
            }
        }
        let refused: HashSet<TagId> = rejected.tags.iter().map(|tag| tag.tag).collect();
        for end in ends.iter().filter(|end| !refused.contains(&end.tag)) {
            ledger.taken(end.tag, end.first, now);
        }
        (!runs.is_empty()).then_some(SpooledBatch { batch: SampleBatch { runs }, since, kind: SpooledKind::Mark })
    }
}
