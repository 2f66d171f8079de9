//! The door: writes, corrections and losses enter here, as the sinks of the model.

use std::{collections::HashMap, sync::atomic::Ordering};

use async_trait::async_trait;
use historian_format::journal::{Deletion, JOURNAL_RECORD_DELETIONS_MAX, encode_record_with};
use tokio::sync::oneshot;

use super::{
    ingest::{Ingest, PERMIT_BYTES, STOPPING, stopped},
    journal::{CommitRequest, DELETE_RANGE, Deletions, REPLACE_RANGE, SAMPLE_JOURNAL_BYTES, Submission},
};
use historian_model::sink::{
    Acknowledgement, Correction, CorrectionSink, Durability, Loss, LossReason, RefusedWrite, Rejected, Rejection, SampleSink, WriteError,
    WriteMode,
};
use historian_model::{SampleBatch, TagId, TagName, TimeBounds};
use historian_store::{Gap, GapReason, StoreError};

impl Ingest {
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
        if let Err(refused) = self.send(CommitRequest::Write(submission))
            && let CommitRequest::Write(write) = *refused
        {
            write.refuse(stopped(STOPPING));
        }
        acknowledged.await.unwrap_or_else(|_| Err(RefusedWrite::whole(stopped(STOPPING), SampleBatch::default())))
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
                LossReason::DataLoss => GapReason::DataLoss,
                LossReason::Rejected => GapReason::Rejected,
                LossReason::DeviceDown => GapReason::DeviceDown,
                LossReason::Refused => GapReason::Refused,
                LossReason::CollectorDown => GapReason::CollectorDown,
                LossReason::Backfilled => GapReason::Backfilled,
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
        let Correction { deletions, mut batch, actor, reason } = correction;
        self.counters.check()?;
        self.validate(&batch)?;
        if deletions.len() > JOURNAL_RECORD_DELETIONS_MAX {
            return Err(WriteError::TooLarge { found: deletions.len(), limit: JOURNAL_RECORD_DELETIONS_MAX });
        }
        let mut ranges = Vec::with_capacity(deletions.len());
        for (tag, range) in deletions {
            self.catalog.by_id(tag).ok_or(WriteError::UnknownTag(tag.0))?;
            // A record has the first and the last timestamp; what empties nothing has no place in it.
            ranges.extend(range.bounds().map(|TimeBounds { first, last }| Deletion { tag_id: tag.0, from: first, to: last }));
        }
        let rejected = self.without_future(&mut batch);
        if let Some(Rejection { tag, timestamp, reason }) = rejected.shown.first().cloned() {
            return Err(WriteError::Rejected { count: rejected.count, tag, timestamp, reason });
        }
        let action = if batch.runs.is_empty() { DELETE_RANGE } else { REPLACE_RANGE };
        let deletions = (!ranges.is_empty()).then_some(Deletions { ranges, action, actor, reason, again: false });
        self.submit(batch, deletions, rejected, Durability::Sync).await.map_err(|refused| refused.error)
    }
}
