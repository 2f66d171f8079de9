//! Corrections: deleting and replacing ranges of stored samples.

use historian_proto::v1::{DeleteRangeRequest, DeleteRangeResponse, ReplaceRangeRequest, ReplaceRangeResponse, TagSamples};
use tonic::Status;

use super::{incoming::IncomingSamples, refusal::TagRefusal, sample};
use crate::{Api, Caller, Services, blocking, reason, resolve, status};
use historian_access::Right;
use historian_model::{SampleBatch, Samples, Tag, TimeRange, Timestamp, sink::Correction};
use historian_query::QueryLimits;

pub async fn delete_range(api: &Api, caller: &Caller, request: DeleteRangeRequest) -> Result<DeleteRangeResponse, Status> {
    let services = api.services.clone();
    let asking = caller.clone();
    let (range, correction) = api.bounded(caller, move |limits| deletion(&services, &asking, &request, limits)).await?;
    let done = api.services.corrections.correct(correction).await.map_err(|error| status::from_write(&error))?;
    Ok(DeleteRangeResponse { watermark: done.watermark, deleted: done.deleted, start_time: range.start.0, end_time: range.end.0 })
}

/// What a request deletes. Blocks on the catalog.
fn deletion(
    services: &Services,
    caller: &Caller,
    request: &DeleteRangeRequest,
    limits: &QueryLimits,
) -> Result<(TimeRange, Correction), Status> {
    let limits = &QueryLimits { scope: caller.principal.scope(Right::Correct).clone(), ..limits.clone() };
    let range = range(services, &request.start, &request.end, &request.zone)?;
    let selected = resolve::tags(services, &request.tags, limits)?;
    if !selected.missing.is_empty() {
        return Err(status::tags_not_found(&selected.missing));
    }
    if selected.tags.is_empty() {
        return Err(status::invalid("tags", "no tag matches; nothing was deleted"));
    }
    let deletions = selected.tags.iter().map(|tag| (tag.id, range)).collect();
    let reason = reason::needed(&request.reason)?;
    Ok((range, Correction { deletions, batch: SampleBatch::default(), actor: caller.actor(), reason }))
}

pub async fn replace_range(services: Services, caller: Caller, request: ReplaceRangeRequest) -> Result<ReplaceRangeResponse, Status> {
    let corrections = services.corrections.clone();
    let (range, correction) = blocking(move || {
        let range = range(&services, &request.start, &request.end, &request.zone)?;
        let reason = reason::needed(&request.reason)?;
        if request.samples.is_empty() {
            return Err(status::invalid("samples", "name at least one tag; to empty a range use DeleteRange"));
        }
        let mut correction = Correction { actor: caller.actor(), reason, ..Correction::default() };
        let mut missing = Vec::new();
        for mut message in request.samples {
            let name = std::mem::take(&mut message.tag);
            let Some(tag) = services.catalog.within(caller.principal.scope(Right::Correct)).get(&name) else {
                missing.push(name);
                continue;
            };
            // A replacement is one whole: unlike a write it is not taken in part.
            let samples = replacement(message, &tag).map_err(|refusal| status::invalid("samples", format!("{name}: {refusal}")))?;
            if let Some(outside) = samples.timestamps.iter().find(|at| !range.contains(Timestamp(**at))) {
                let message = format!("{name}: the sample at {} lies outside the range that is replaced", Timestamp(*outside));
                return Err(status::invalid("samples", message));
            }
            correction.deletions.push((tag.id, range));
            correction.batch.runs.push((tag.id, samples));
        }
        if missing.is_empty() { Ok((range, correction)) } else { Err(status::tags_not_found(&missing)) }
    })
    .await?;
    let done = corrections.correct(correction).await.map_err(|error| status::from_write(&error))?;
    Ok(ReplaceRangeResponse {
        watermark: done.watermark,
        deleted: done.deleted,
        samples: done.samples,
        start_time: range.start.0,
        end_time: range.end.0,
    })
}

/// Samples of one tag in its type. None at all empties the range, and needs no column of values.
fn replacement(message: TagSamples, tag: &Tag) -> Result<Samples, TagRefusal> {
    let samples = if message.timestamps.is_empty() && message.values.is_none() {
        IncomingSamples::new(Samples::new(tag.value_type()))?
    } else {
        sample::from_proto(message)?
    };
    Ok(samples.fit(tag)?)
}

fn range(services: &Services, start: &str, end: &str, zone: &str) -> Result<TimeRange, Status> {
    if end.is_empty() {
        return Err(status::invalid("end", "the end of the range is missing; a correction has no default"));
    }
    let range = resolve::Bounds::new(start, end, zone).resolve(services.clock.now())?;
    if range.reverse || range.is_empty() {
        return Err(status::invalid("end", format!("{} is not after the start {}", range.start, range.end)));
    }
    Ok(range)
}
