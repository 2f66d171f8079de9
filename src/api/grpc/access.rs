//! `AccessService`: who calls, and what that may do.

use historian_proto::v1::{self, access_service_server::AccessService};
use tonic::{Request, Response, Status};

use crate::Caller;
use historian_access::{Principal, Right};

/// Names and globs of a right that are told.
const TAGS_MAX: usize = 1_000;

pub struct AccessRpc;

#[tonic::async_trait]
impl AccessService for AccessRpc {
    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let (caller, _) = Caller::take(request);
        let principal = &caller.principal;
        Ok(Response::new(v1::WhoAmIResponse {
            name: principal.name().to_owned(),
            known_by: principal.known_by().name().to_owned(),
            expires: principal.expires().map_or(0, |at| at.0),
            rights: Right::ALL.into_iter().filter(|right| principal.may(*right)).map(|right| granted(principal, right)).collect(),
        }))
    }
}

fn granted(principal: &Principal, right: Right) -> v1::GrantedRight {
    let scope = principal.scope(right);
    let mut tags: Vec<&str> = scope.patterns().collect();
    tags.sort_unstable();
    tags.dedup();
    let left_out = tags.len().saturating_sub(TAGS_MAX);
    tags.truncate(TAGS_MAX);
    v1::GrantedRight {
        right: right.name().to_owned(),
        everywhere: scope.is_everything(),
        tags: tags.into_iter().map(str::to_owned).collect(),
        tags_left_out: left_out as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_caller_is_told_its_name_and_its_rights() {
        let mut request = Request::new(v1::WhoAmIRequest {});
        request.extensions_mut().insert(Principal::local(7));
        let told = AccessRpc.who_am_i(request).await.unwrap().into_inner();
        assert_eq!((told.name.as_str(), told.known_by.as_str(), told.expires), ("local:7", "local_socket", 0));
        let rights: Vec<&str> = told.rights.iter().map(|right| right.right.as_str()).collect();
        assert_eq!(rights, ["read", "write", "configure", "correct", "audit", "administer"]);
        assert!(told.rights.iter().all(|right| right.everywhere && right.tags.is_empty() && right.tags_left_out == 0));
        let nobody = AccessRpc.who_am_i(Request::new(v1::WhoAmIRequest {})).await.unwrap().into_inner();
        assert_eq!((nobody.name.as_str(), nobody.rights.len()), ("nobody", 0));
    }
}
