//! Recorded gaps over gRPC, a page at a time.

use std::sync::Arc;

use historian_proto::v1;
use tonic::Status;

use super::backup::maintenance;
use crate::{
    api::{Api, blocking, status},
    store::Gap,
};

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;
const PAGE_BYTES_MAX: usize = 2 << 20;

pub async fn list(api: &Arc<Api>, request: &v1::ListGapsRequest) -> Result<v1::ListGapsResponse, Status> {
    let limit = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_DEFAULT,
        Ok(size) => size.min(PAGE_MAX),
        Err(_) => return Err(status::invalid("page_size", "must not be negative")),
    };
    let (maintenance, from) = (maintenance(api)?, request.from);
    // One more than asked for tells whether there is a next page.
    let mut gaps = blocking(move || maintenance.gaps(from, limit + 1).map_err(|error| status::from_store(&error))).await?;
    // A page ends before it grows past what a client takes, but for its first gap.
    let mut bytes = 0;
    let within = gaps.iter().take_while(|(_, gap)| {
        let before = bytes;
        bytes += gap.tag.as_ref().map_or(0, String::len) + gap.detail.len() + 64;
        before == 0 || bytes <= PAGE_BYTES_MAX
    });
    let kept = within.count().min(limit);
    let next = gaps.get(kept).map_or(0, |(number, _)| *number);
    gaps.truncate(kept);
    Ok(v1::ListGapsResponse { gaps: gaps.into_iter().map(message).collect(), next })
}

fn message((number, gap): (u64, Gap)) -> v1::Gap {
    v1::Gap {
        number,
        time: gap.time.0,
        tag: gap.tag.unwrap_or_default(),
        start: gap.start,
        end: gap.end,
        reason: gap.reason.as_str().to_owned(),
        detail: gap.detail,
    }
}
