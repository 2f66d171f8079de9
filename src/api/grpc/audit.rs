//! The audit log over gRPC, a page at a time.

use std::sync::Arc;

use historian_proto::v1;
use tonic::Status;

use super::backup::maintenance;
use crate::{
    api::{Api, blocking, status},
    store::AuditEntry,
};

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;
const PAGE_BYTES_MAX: usize = 2 << 20;

pub async fn list(api: &Arc<Api>, request: &v1::ListAuditEntriesRequest) -> Result<v1::ListAuditEntriesResponse, Status> {
    let limit = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_DEFAULT,
        Ok(size) => size.min(PAGE_MAX),
        Err(_) => return Err(status::invalid("page_size", "must not be negative")),
    };
    let (maintenance, from) = (maintenance(api)?, request.from);
    // One more than asked for tells whether there is a next page.
    let mut entries = blocking(move || maintenance.audit(from, limit + 1).map_err(|error| status::from_store(&error))).await?;
    // An entry may name many tags: a page ends before it grows past what a client takes, but for its first entry.
    let mut bytes = 0;
    let within = entries.iter().take_while(|(_, entry)| {
        let before = bytes;
        bytes += entry.tags.iter().map(String::len).sum::<usize>() + entry.detail.len() + 64;
        before == 0 || bytes <= PAGE_BYTES_MAX
    });
    let kept = within.count().min(limit);
    let next = entries.get(kept).map_or(0, |(number, _)| *number);
    entries.truncate(kept);
    Ok(v1::ListAuditEntriesResponse { entries: entries.into_iter().map(message).collect(), next })
}

fn message((number, entry): (u64, AuditEntry)) -> v1::AuditEntry {
    v1::AuditEntry {
        number,
        time: entry.time.0,
        action: entry.action,
        principal: entry.principal,
        tags: entry.tags,
        start: entry.start,
        end: entry.end,
        samples: entry.samples,
        detail: entry.detail,
    }
}
