//! The audit log over gRPC, a page at a time.

use std::sync::Arc;

use historian_proto::v1;
use tonic::Status;

use super::backup::maintenance;
use crate::{Api, answer, blocking, status};
use historian_store::AuditEntry;

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;

pub async fn list(api: &Arc<Api>, request: &v1::ListAuditEntriesRequest) -> Result<v1::ListAuditEntriesResponse, Status> {
    let limit = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_DEFAULT,
        Ok(size) => size.min(PAGE_MAX),
        Err(_) => return Err(status::invalid("page_size", "must not be negative")),
    };
    let (maintenance, from) = (maintenance(api)?, request.from);
    // One more than asked for tells whether there is a next page.
    let entries = blocking(move || maintenance.audit(from, limit + 1).map_err(|error| status::from_store(&error))).await?;
    let mut told: Vec<v1::AuditEntry> = Vec::new();
    let kept = answer::fitting(entries.iter().take(limit).map(|(number, entry)| {
        told.push(message(*number, entry));
        told.last().map_or(0, answer::bytes_within)
    }));
    told.truncate(kept);
    let next = entries.get(kept).map_or(0, |(number, _)| *number);
    Ok(v1::ListAuditEntriesResponse { entries: told, next })
}

fn message(number: u64, entry: &AuditEntry) -> v1::AuditEntry {
    let AuditEntry { time, action, principal, tags, start, end, samples, detail } = entry;
    // An entry may name every tag of a plant.
    let named = answer::fitting(tags.iter().map(|tag| tag.len() + 8));
    let mut detail = detail.clone();
    if named < tags.len() {
        detail += &format!(" (and {} tags more)", tags.len() - named);
    }
    v1::AuditEntry {
        number,
        time: time.0,
        action: action.clone(),
        principal: principal.clone(),
        tags: tags[..named].to_vec(),
        start: *start,
        end: *end,
        samples: *samples,
        detail,
    }
}
