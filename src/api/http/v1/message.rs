//! Calls of one answer: the request of its JSON, the answer as JSON.

use futures::future::{BoxFuture, FutureExt as _};
use historian_proto::{json::with_defaults, v1};
use prost::Name;
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
pub const TAG_STATUS: MessageCall = method!(ListTagStatusRequest, collector_service_client::CollectorServiceClient, list_tag_status);
pub const GAPS: MessageCall = method!(ListGapsRequest, admin_service_client::AdminServiceClient, list_gaps);
pub const STATUS: MessageCall = method!(GetServerStatusRequest, admin_service_client::AdminServiceClient, get_server_status);
pub const BACKUPS: MessageCall = method!(ListBackupsRequest, admin_service_client::AdminServiceClient, list_backups);
pub const AUDIT: MessageCall = method!(ListAuditEntriesRequest, admin_service_client::AdminServiceClient, list_audit_entries);
pub const WHO_AM_I: MessageCall = method!(WhoAmIRequest, access_service_client::AccessServiceClient, who_am_i);
pub const ANNOTATIONS: MessageCall = method!(ListAnnotationsRequest, annotation_service_client::AnnotationServiceClient, list_annotations);
pub const CREATE_ANNOTATION: MessageCall =
    method!(CreateAnnotationRequest, annotation_service_client::AnnotationServiceClient, create_annotation);
pub const UPDATE_ANNOTATION: MessageCall =
    method!(UpdateAnnotationRequest, annotation_service_client::AnnotationServiceClient, update_annotation);
pub const DELETE_ANNOTATION: MessageCall =
    method!(DeleteAnnotationRequest, annotation_service_client::AnnotationServiceClient, delete_annotation);
pub const VIEWS: MessageCall = method!(ListViewsRequest, view_service_client::ViewServiceClient, list_views);
pub const SAVE_VIEW: MessageCall = method!(SaveViewRequest, view_service_client::ViewServiceClient, save_view);
pub const DELETE_VIEW: MessageCall = method!(DeleteViewRequest, view_service_client::ViewServiceClient, delete_view);
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
    json(&answer.tag.unwrap_or_default())
}

/// A message with all of its fields, so that nobody has to know what the absence of one means.
fn json<M: Serialize + Name>(message: &M) -> Result<Vec<u8>, Problem> {
    let failed = |error: serde_json::Error| Problem::from(status::internal(error.to_string()));
    let mut value = serde_json::to_value(message).map_err(failed)?;
    with_defaults(&M::full_name(), &mut value);
    let mut out = serde_json::to_vec(&value).map_err(failed)?;
    out.push(b'\n');
    Ok(out)
}
