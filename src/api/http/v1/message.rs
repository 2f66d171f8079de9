//! Calls of one answer: the request of its JSON, the answer as JSON.

use futures::future::{BoxFuture, FutureExt as _};
use historian_proto::v1;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{inside::InsideCalls, problem::Problem};
use crate::{request, status};

/// Answers a call with a body of JSON.
pub type MessageCall = fn(InsideCalls, Value) -> BoxFuture<'static, Result<Vec<u8>, Problem>>;

/// The call of a method by its client.
macro_rules! method {
    ($request:ident, $client:ident :: $type:ident, $method:ident) => {
        |calls, fields| {
            async move {
                let asked: v1::$request = request::from_json("", fields)?;
                let mut client = v1::$client::$type::new(calls.services.clone()).max_decoding_message_size(usize::MAX);
                json(&client.$method(calls.request(asked)).await?.into_inner())
            }
            .boxed()
        }
    };
}

pub const AS_OF: MessageCall = method!(AsOfRequest, query_service_client::QueryServiceClient, as_of);
pub const DETECTORS: MessageCall = method!(ListDetectorsRequest, query_service_client::QueryServiceClient, list_detectors);
pub const COLLECTORS: MessageCall = method!(GetStatusRequest, collector_service_client::CollectorServiceClient, get_status);
pub const GAPS: MessageCall = method!(ListGapsRequest, admin_service_client::AdminServiceClient, list_gaps);
pub const STATUS: MessageCall = method!(GetServerStatusRequest, admin_service_client::AdminServiceClient, get_server_status);
pub const BACKUPS: MessageCall = method!(ListBackupsRequest, admin_service_client::AdminServiceClient, list_backups);
pub const AUDIT: MessageCall = method!(ListAuditEntriesRequest, admin_service_client::AdminServiceClient, list_audit_entries);
pub const WHO_AM_I: MessageCall = method!(WhoAmIRequest, access_service_client::AccessServiceClient, who_am_i);
const TAGS: MessageCall = method!(ListTagsRequest, tag_service_client::TagServiceClient, list_tags);

/// A page of the list of tags.
///
/// # Errors
/// Of the request.
pub async fn tags(calls: &InsideCalls, fields: Map<String, Value>) -> Result<Vec<u8>, Problem> {
    TAGS(calls.clone(), fields.into()).await
}

/// One tag.
///
/// # Errors
/// When there is none of this name.
pub async fn tag(calls: &InsideCalls, name: String) -> Result<Vec<u8>, Problem> {
    let mut client = v1::tag_service_client::TagServiceClient::new(calls.services.clone());
    let answer = client.get_tag(calls.request(v1::GetTagRequest { name })).await?.into_inner();
    json(&answer.tag)
}

fn json(message: &impl Serialize) -> Result<Vec<u8>, Problem> {
    let mut out = serde_json::to_vec(message).map_err(|error| Problem::from(status::internal(error.to_string())))?;
    out.push(b'\n');
    Ok(out)
}
