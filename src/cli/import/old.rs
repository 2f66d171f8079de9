//! Samples that retention removes as soon as they are in: a person who imports an archive wants to know before it is gone.

use std::collections::HashMap;

use historian_format::keys::{week_bounds, week_of};
use historian_proto::v1::{
    CurrentValuesRequest, GetServerStatusRequest, RetentionGroup, admin_service_client::AdminServiceClient,
    query_service_client::QueryServiceClient,
};

use super::tally::SentTimestamps;
use crate::client::{self, ServerChannel};
use historian_model::{Clock, SystemClock, TagSelection};

/// Tags that are asked for at once.
const ASKED_AT_ONCE: usize = 1_000;

/// Counts samples that are so old, against the newest of their tag, that the next run of retention removes them.
///
/// # Errors
/// When the historian does not answer.
pub async fn expiring(seen: &SentTimestamps, channel: ServerChannel) -> anyhow::Result<u64> {
    let status = AdminServiceClient::new(channel.clone()).get_server_status(GetServerStatusRequest {}).await;
    let groups = status.map_err(|status| client::refusal(&status))?.into_inner().retention;
    let groups: Vec<(TagSelection, i64)> = groups
        .into_iter()
        .map(|RetentionGroup { tags, age_s }| {
            let age = i64::try_from(age_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
            TagSelection::parse(&tags).map(|selection| (selection, age))
        })
        .collect::<Result<_, _>>()?;
    let age_of = |tag: &str| groups.iter().find(|(selection, _)| selection.matches(tag)).map(|(_, age)| *age).filter(|age| *age > 0);
    let aged: Vec<(String, i64)> = seen.tags().filter_map(|tag| Some((tag.to_owned(), age_of(tag)?))).collect();
    let mut newest: HashMap<String, i64> = HashMap::new();
    for some in aged.chunks(ASKED_AT_ONCE) {
        // In pages: values may be long texts.
        let tags = some.iter().map(|(tag, _)| tag.clone()).collect();
        let mut request = CurrentValuesRequest { tags, page_size: ASKED_AT_ONCE as i32, ..CurrentValuesRequest::default() };
        loop {
            let current = QueryServiceClient::new(channel.clone()).current_values(request.clone()).await;
            let current = current.map_err(|status| client::refusal(&status))?.into_inner();
            newest.extend(current.samples.into_iter().filter_map(|samples| Some((samples.tag, *samples.timestamps.last()?))));
            request.page_token = current.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
    }
    let now = SystemClock.now().0;
    let count = aged.iter().filter_map(|(tag, age)| {
        let cut = week_bounds(week_of(newest.get(tag)?.min(&now).saturating_sub(*age))).0;
        Some(seen.count_before(tag, cut))
    });
    Ok(count.sum())
}
