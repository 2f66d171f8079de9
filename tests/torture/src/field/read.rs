//! What the historian has of the tags of a field.

use std::collections::BTreeMap;

use historian_proto::v1::{RangeRequest, query_service_client::QueryServiceClient};
use tonic::transport::Channel;

use crate::oracle::{Cell, cells};

/// Samples in `[start, end)` of the tags that match, by their names.
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
