//! `CollectorService`: delivery truth per device and per tag.

use std::sync::Arc;

use historian_access::Right;
use historian_proto::v1::{self, collector_service_server::CollectorService};
use tonic::{Request, Response, Status};

use super::{device_status, tag_status};
use crate::{Api, Caller, access::require};

pub struct CollectorRpc(pub Arc<Api>);

#[tonic::async_trait]
impl CollectorService for CollectorRpc {
    async fn get_status(&self, request: Request<v1::GetStatusRequest>) -> Result<Response<v1::GetStatusResponse>, Status> {
        let caller = Caller::of(&request);
        if caller.principal.may(Right::Administer) {
            return Ok(Response::new(device_status::all(&self.0.services)));
        }
        require(&caller.principal, Right::Read)?;
        let services = self.0.services.clone();
        self.0.bounded(&caller, move |limits| device_status::of_seen_tags(&services, limits)).await.map(Response::new)
    }

    async fn list_tag_status(&self, request: Request<v1::ListTagStatusRequest>) -> Result<Response<v1::ListTagStatusResponse>, Status> {
        let (caller, request) = Caller::take(request);
        tag_status::list(&self.0, &caller, request).await.map(Response::new)
    }
}
