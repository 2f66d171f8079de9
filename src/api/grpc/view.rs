//! `ViewService`: views of trends that people keep by a name.

use std::sync::Arc;

use historian_proto::v1::{self, view_service_server::ViewService};
use tonic::{Request, Response, Status};

use crate::{
    Api, Caller, answer, blocking,
    page_token::{self, request_sum},
    status,
};
use historian_access::Right;
use historian_store::{SavedView, ViewDraft};

pub struct ViewRpc(pub Arc<Api>);

#[tonic::async_trait]
impl ViewService for ViewRpc {
    async fn save_view(&self, request: Request<v1::SaveViewRequest>) -> Result<Response<v1::SaveViewResponse>, Status> {
        let (caller, v1::SaveViewRequest { id, version, name, shared, content }) = Caller::take(request);
        let views = self.0.services.views.clone();
        let (known, seen) = ((id > 0).then_some(id), (version > 0).then_some(version));
        let draft = ViewDraft { name, shared, content };
        let saved = blocking(move || views.save(&caller.actor(), known, seen, draft).map_err(|error| status::from_note(&error))).await?;
        Ok(Response::new(v1::SaveViewResponse { view: Some(message(saved)) }))
    }

    async fn delete_view(&self, request: Request<v1::DeleteViewRequest>) -> Result<Response<v1::DeleteViewResponse>, Status> {
        let (caller, v1::DeleteViewRequest { id }) = Caller::take(request);
        let views = self.0.services.views.clone();
        let of_anybody = caller.principal.may(Right::Administer);
        blocking(move || views.remove(&caller.actor(), id, of_anybody).map_err(|error| status::from_note(&error))).await?;
        Ok(Response::new(v1::DeleteViewResponse {}))
    }

    async fn list_views(&self, request: Request<v1::ListViewsRequest>) -> Result<Response<v1::ListViewsResponse>, Status> {
        let (caller, mut request) = Caller::take(request);
        let page_size = page_token::page_size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let sum = request_sum(&request);
        let after = page_token::start_of_list(sum, &token)?.map(|text| read_place(&text)).transpose()?;
        let saved = self.0.services.views.clone();
        let owner = caller.actor().principal;
        let found = self.0.bounded(&caller, move |_| {
            // One more than the page, to know whether there is another.
            let mut places = saved.seen_by(&owner, after.as_ref(), page_size + 1).into_iter().peekable();
            let mut views: Vec<v1::SavedView> = Vec::new();
            let mut last = None;
            let mut bytes = 0;
            while let Some(place) = places.next_if(|_| views.len() < page_size && bytes < answer::PAGE_BYTES) {
                // One that was removed meanwhile is left out.
                if let Some(view) = saved.get(place.1).map_err(|error| status::from_store(&error))? {
                    let view = message(view);
                    bytes += answer::bytes_within(&view);
                    views.push(view);
                }
                last = Some(place);
            }
            let next_page_token = match (places.peek(), last) {
                (Some(_), Some((name, id))) => page_token::behind_tag(sum, &format!("{id} {name}")),
                _ => String::new(),
            };
            Ok(v1::ListViewsResponse { views, next_page_token })
        });
        found.await.map(Response::new)
    }
}

/// Name and id behind which a page begins.
fn read_place(text: &str) -> Result<(String, u64), Status> {
    let place = text.split_once(' ').and_then(|(id, name)| Some((name.to_owned(), id.parse().ok()?)));
    place.ok_or_else(|| status::invalid("page_token", "not a token of this list"))
}

fn message(view: SavedView) -> v1::SavedView {
    let SavedView { id, version, name, owner, shared, content, time } = view;
    v1::SavedView { id, version, name, owner, shared, content, time: time.0 }
}
