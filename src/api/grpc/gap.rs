//! Recorded gaps over gRPC, a page at a time.

use std::sync::Arc;

use historian_proto::v1;
use tonic::Status;

use super::backup::maintenance;
use crate::{Api, Caller, Services, answer, resolve, status};
use historian_model::TimeRange;
use historian_query::QueryLimits;
use historian_store::{Gap, Maintenance};

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;

pub async fn list(api: &Arc<Api>, caller: &Caller, request: v1::ListGapsRequest) -> Result<v1::ListGapsResponse, Status> {
    let (maintenance, services) = (maintenance(api)?, api.services.clone());
    api.bounded(caller, move |limits| page(&maintenance, &services, &request, limits)).await
}

/// A page of the gaps that are asked for. Blocks on the store.
fn page(
    maintenance: &Maintenance,
    services: &Services,
    request: &v1::ListGapsRequest,
    limits: &QueryLimits,
) -> Result<v1::ListGapsResponse, Status> {
    let limit = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_DEFAULT,
        Ok(size) => size.min(PAGE_MAX),
        Err(_) => return Err(status::invalid("page_size", "must not be negative")),
    };
    let v1::ListGapsRequest { from, tags, start, end, zone, .. } = request;
    let range = resolve::Bounds::new(start, end, zone).open(services.clock.now())?;
    let selection = resolve::selection_or_all(tags, &services.limits, limits)?;
    // One more than asked for tells whether there is a next page.
    let gaps = maintenance.gaps(*from, limit + 1).map_err(|error| status::from_store(&error))?;
    // What is asked for a range gets no gap that goes on for ever although it is on record once more, with its end.
    let is_bounded = !start.is_empty() || !end.is_empty();
    let superseded = if is_bounded { maintenance.are_superseded(&gaps).map_err(|error| status::from_store(&error))? } else { Vec::new() };
    let is_over = |place: usize| superseded.get(place).copied().unwrap_or(false);
    let mut told: Vec<v1::Gap> = Vec::new();
    let scope = &limits.scope;
    // Those of tags that the caller does not see take no room; a page may be shorter than it was asked for.
    let kept = answer::fitting(gaps.iter().enumerate().take(limit).map(|(place, (number, gap))| {
        let is_asked_for = gap.tag.as_deref().is_none_or(|tag| selection.matches(tag));
        if !gap.is_within(scope) || !is_asked_for || !shares_time(gap, range) || is_over(place) {
            return 0;
        }
        told.push(message(*number, gap));
        told.last().map_or(0, answer::bytes_within)
    }));
    let next = gaps.get(kept).map_or(0, |(number, _)| *number);
    if next > 0 {
        told.truncate(told.partition_point(|gap| gap.number < next));
    }
    Ok(v1::ListGapsResponse { gaps: told, next })
}

/// Whether a gap and a range have a moment in common; a bound that is not known may lie anywhere.
fn shares_time(gap: &Gap, range: TimeRange) -> bool {
    gap.start.is_none_or(|start| start < range.end.0) && gap.end.is_none_or(|end| end > range.start.0)
}

fn message(number: u64, gap: &Gap) -> v1::Gap {
    v1::Gap {
        number,
        time: gap.time.0,
        tag: gap.tag.clone().unwrap_or_default(),
        start: gap.start,
        end: gap.end,
        reason: gap.reason.as_str().to_owned(),
        detail: gap.detail.clone(),
    }
}
