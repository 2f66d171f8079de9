//! What the historian has of the tags of a field.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use historian::model::{Clock, SystemClock};
use historian_proto::v1::{RangeRequest, query_service_client::QueryServiceClient};
use tonic::transport::Channel;

use crate::oracle::{Cell, cells};

const PATIENCE: Duration = Duration::from_secs(30);

/// Nanoseconds since 1970, by the clock of the historian and of all devices.
pub fn now() -> i64 {
    SystemClock.now().0
}

/// Waits until so many of the tags that match have a Good sample; from then on none may be silent. The time of it.
///
/// # Errors
/// They are fewer half a minute later.
pub async fn delivering(channel: &Channel, tags: &str, count: usize) -> anyhow::Result<i64> {
    let since = Instant::now();
    loop {
        let found = read(channel, tags, 0, i64::MAX).await?;
        let have = found.values().filter(|cells| cells.iter().any(Cell::is_good)).count();
        if have == count {
            return Ok(now());
        }
        anyhow::ensure!(since.elapsed() < PATIENCE, "{have} of {count} tags {tags} deliver");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Samples in `[start, end)` of the tags that match, by their names.
///
/// # Errors
/// The historian does not answer, or not for all of them.
pub async fn read(channel: &Channel, tags: &str, start: i64, end: i64) -> anyhow::Result<BTreeMap<String, Vec<Cell>>> {
    let mut client = QueryServiceClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    let request =
        RangeRequest { tags: vec![tags.to_owned()], start: format!("{start}ns"), end: format!("{end}ns"), ..RangeRequest::default() };
    let mut stream = client.range(request).await?.into_inner();
    let mut found = BTreeMap::<String, Vec<Cell>>::new();
    while let Some(part) = stream.message().await? {
        if let Some(samples) = part.samples {
            found.entry(samples.tag.clone()).or_default().extend(cells(&samples));
        }
        if let Some(failure) = part.failure {
            anyhow::bail!("{}: {}", failure.tag, failure.message);
        }
    }
    Ok(found)
}
