//! The audit log over gRPC: a page at a time, as an export that can be checked, and its signed head.

use std::sync::Arc;

use historian_audit::{SignedHead, entry_line, head_line};
use historian_proto::v1;
use tonic::Status;

use crate::{
    Api, Caller, answer, blocking, status,
    stream::{Emitter, ResponseStream},
};
use historian_store::{AuditEntry, AuditHead, AuditLog, ChainedEntry, StoreError};

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;
/// Of an export: an entry that names many tags is longer than a message may be, so the text goes out in parts.
const PART_BYTES: usize = 256 << 10;

pub async fn list(api: &Arc<Api>, request: &v1::ListAuditEntriesRequest) -> Result<v1::ListAuditEntriesResponse, Status> {
    let limit = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_DEFAULT,
        Ok(size) => size.min(PAGE_MAX),
        Err(_) => return Err(status::invalid("page_size", "must not be negative")),
    };
    let (log, from, newest) = (api.services.audit.log().clone(), request.from, u64::from(request.last));
    let limit = if newest > 0 { usize::try_from(newest).unwrap_or(PAGE_MAX).min(PAGE_MAX) } else { limit };
    let (entries, last) = blocking(move || {
        let head = log.head().map_err(|error| status::from_store(&error))?.number;
        let from = if newest > 0 { (head + 1).saturating_sub(limit as u64) } else { from };
        let page = log.entries(from, limit).and_then(|page| Ok((page, log.head()?.number)));
        page.map_err(|error| status::from_store(&error))
    })
    .await?;
    let mut told: Vec<v1::AuditEntry> = Vec::new();
    for entry in &entries {
        told.push(message(entry)?);
    }
    let kept = answer::fitting(told.iter().map(answer::bytes_within));
    told.truncate(kept);
    let next = told.last().map(|entry| entry.number + 1).filter(|next| *next <= last).unwrap_or(0);
    Ok(v1::ListAuditEntriesResponse { entries: told, next })
}

fn message(entry: &ChainedEntry) -> Result<v1::AuditEntry, Status> {
    let unreadable = |error| status::from_store(&StoreError::from(error));
    let AuditEntry { time, action, principal, client, tags, start, end, samples, mut detail } = entry.entry().map_err(unreadable)?;
    // An entry may name every tag of a plant.
    let named = answer::fitting(tags.iter().map(|tag| tag.len() + 8));
    if named < tags.len() {
        detail += &format!(" (and {} tags more)", tags.len() - named);
    }
    Ok(v1::AuditEntry {
        number: entry.number,
        time: time.0,
        action,
        principal,
        tags: tags[..named].to_vec(),
        start,
        end,
        samples,
        detail,
        client,
        hash: entry.hash.to_string(),
    })
}

pub async fn head(api: &Arc<Api>) -> Result<v1::GetAuditHeadResponse, Status> {
    let log = api.services.audit.log().clone();
    let head = blocking(move || log.head().map(|head| log.signed(head)).map_err(|error| status::from_store(&error))).await?;
    let SignedHead { number, hash, time, public_key, signature } = head;
    Ok(v1::GetAuditHeadResponse { head: Some(v1::AuditHead { number, hash: hash.to_string(), time, public_key, signature }) })
}

pub async fn export(
    api: &Arc<Api>,
    caller: &Caller,
    request: v1::ExportAuditLogRequest,
) -> Result<ResponseStream<v1::ExportAuditLogResponse>, Status> {
    let (log, from) = (api.services.audit.log().clone(), request.from.max(1));
    let stream = api.stream(caller, move |limits, emitter| exported(&log, from, emitter, &|| limits.cancel.is_cancelled()));
    Ok(Box::pin(stream.await?))
}

/// Entries from the number `from` on as they are when the export reaches them, then the head of the last one.
fn exported(log: &AuditLog, from: u64, emitter: &Emitter<v1::ExportAuditLogResponse>, cancelled: &dyn Fn() -> bool) -> Result<(), Status> {
    let failed = |error| status::from_store(&error);
    let end = log.head().map_err(failed)?.number;
    let before = from - 1;
    let Some(mut previous) = log.hash_of(before).map_err(failed)? else {
        return Err(status::invalid("from", format!("the audit log ends with entry {end}")));
    };
    let mut last = before;
    let mut text = String::new();
    while last < end && !cancelled() {
        let page = log.entries(last + 1, PAGE_DEFAULT).map_err(failed)?;
        for entry in page.iter().filter(|entry| entry.number <= end) {
            text += &entry_line(&previous, entry);
            (last, previous) = (entry.number, entry.hash);
            if text.len() >= PART_BYTES && !sent(emitter, &std::mem::take(&mut text)) {
                return Ok(());
            }
        }
        if page.is_empty() {
            break;
        }
    }
    let head = log.signed(AuditHead { number: last, hash: previous });
    text += &head_line(&head).map_err(|error| status::internal(error.to_string()))?;
    sent(emitter, &text);
    Ok(())
}

/// Sends a text in parts; false when nobody takes it any more.
fn sent(emitter: &Emitter<v1::ExportAuditLogResponse>, mut text: &str) -> bool {
    while !text.is_empty() {
        let (part, rest) = text.split_at(text.floor_char_boundary(PART_BYTES));
        if !emitter.emit(v1::ExportAuditLogResponse { text: part.to_owned() }) {
            return false;
        }
        text = rest;
    }
    true
}
