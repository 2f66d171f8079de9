//! Recorded gaps over gRPC, a page at a time.

use std::sync::Arc;

use historian_proto::v1;
use tonic::Status;

use super::backup::maintenance;
use crate::{Api, answer, blocking, status};
use historian_access::{Principal, Right};
use historian_store::Gap;

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;

pub async fn list(api: &Arc<Api>, principal: &Principal, request: &v1::ListGapsRequest) -> Result<v1::ListGapsResponse, Status> {
    let limit = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_DEFAULT,
        Ok(size) => size.min(PAGE_MAX),
        Err(_) => return Err(status::invalid("page_size", "must not be negative")),
    };
    let (maintenance, from) = (maintenance(api)?, request.from);
    // One more than asked for tells whether there is a next page.
    let gaps = blocking(move || maintenance.gaps(from, limit + 1).map_err(|error| status::from_store(&error))).await?;
    let mut told: Vec<v1::Gap> = Vec::new();
    let scope = principal.scope(Right::Read);
    // Those of tags that the caller does not see take no room; a page may be shorter than it was asked for.
    let kept = answer::fitting(gaps.iter().take(limit).map(|(number, gap)| {
        if !gap.is_within(scope) {
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
