//! Current values over gRPC: all in one answer where a client takes it, else a page at a time.

use historian_proto::v1::{CurrentValuesRequest, CurrentValuesResponse, TagSamples};
use tonic::Status;

use super::apart::unknown;
use crate::{Services, answer, filter, resolve, sample, status};
use historian_query::QueryLimits;

/// Tags of one page at most.
const PAGE_MAX: i32 = 100_000;
const INSTEAD: &str = "name fewer tags, ask in pages (page_size, then page_token), or use the command `current` of Arrow Flight";

/// Answers one request. Blocks on the catalog and the store.
///
/// # Errors
/// `INVALID_ARGUMENT` for patterns, size or token; `RESOURCE_EXHAUSTED` where all values together are more than a client takes.
pub fn answer(services: &Services, request: &CurrentValuesRequest, limits: &QueryLimits) -> Result<CurrentValuesResponse, Status> {
    let size = request.page_size;
    if !(0..=PAGE_MAX).contains(&size) {
        return Err(status::invalid("page_size", format!("{size} is not within 0 (all at once) to {PAGE_MAX}")));
    }
    if size == 0 && !request.page_token.is_empty() {
        return Err(status::invalid("page_token", "comes with a page_size"));
    }
    let after = filter::page_start(&request.tags, "", &request.page_token)?;
    let resolve::Selected { mut tags, missing } = resolve::tags(services, &request.tags)?;
    // What is missing is told once.
    let failures = if after.is_none() { answer::failures(missing.into_iter().map(unknown).collect()) } else { Vec::new() };
    if let Some(after) = after {
        tags.drain(..tags.partition_point(|tag| tag.name().as_str() <= after));
    }
    let mut more = size > 0 && tags.len() > size as usize;
    if more {
        tags.truncate(size as usize);
    }
    let found = services.query.current_samples(&tags, limits).map_err(|error| status::from_query(&error))?;
    let mut samples: Vec<TagSamples> = found.iter().map(|(tag, run)| sample::of_columns(tag.name().as_str(), run)).collect();
    samples.sort_by(|a, b| a.tag.cmp(&b.tag));
    if size == 0 {
        return answer::whole(CurrentValuesResponse { samples, failures, next_page_token: String::new() }, INSTEAD);
    }
    let mut last = tags.last().map(|tag| tag.name().to_string());
    // Failures and values share the page; the first value is always on it.
    let told: usize = failures.iter().map(answer::bytes_within).sum();
    let first = samples.first().map_or(0, answer::bytes_within);
    let fitting = answer::fitting([told + first].into_iter().chain(samples.iter().skip(1).map(answer::bytes_within)));
    if fitting < samples.len() {
        samples.truncate(fitting);
        last = samples.last().map(|samples| samples.tag.clone());
        more = true;
    }
    let next_page_token = last.filter(|_| more).map_or_else(String::new, |last| filter::page_token(&request.tags, "", &last));
    Ok(CurrentValuesResponse { samples, failures, next_page_token })
}
