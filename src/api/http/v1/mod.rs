//! The HTTP API: the same queries as JSON, NDJSON, CSV, Arrow and Parquet, for whoever has no Arrow or gRPC at hand; `docs/http.md` is its contract.
//!
//! A request becomes a call of the services within the process, behind the same layers as any other: who may read what, how much at the same time
//! and what is recorded of it are not asked here again. Nothing is computed here but the form of an answer.

mod answer;
mod asked;
mod cell;
mod events;
mod inside;
mod message;
mod offered;
mod openapi;
mod options;
mod parquet;
mod path;
mod plot;
mod problem;
mod rows;
mod search;
mod sql;

use axum::{
    Extension, Router,
    extract::{Path, Request, State},
    http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use serde_json::Value;

use self::{
    asked::{HttpAsked, PathFields},
    inside::InsideCalls,
    offered::OfferedForms,
    path::{Answers, ApiPath, paths},
    problem::Problem,
};
use super::state::{HealthState, STARTING};
use crate::{ApiRoutes, connection::Peer, kind};

/// The routes of the API.
pub fn routes(state: HealthState) -> Router {
    let mut router = Router::new();
    for path in paths() {
        let answer = async move |State(state): State<HealthState>, Extension(peer): Extension<Peer>, request: Request| -> Response {
            answered(&state, path, peer, request).await.unwrap_or_else(Problem::into_response)
        };
        router = router.route(&format!("/api/v1/{}", path.name), any(answer));
    }
    let tag = async |State(state): State<HealthState>, Extension(peer): Extension<Peer>, Path(name): Path<String>, request: Request| {
        tag(&state, peer, name, request).await.unwrap_or_else(Problem::into_response)
    };
    let description = async || ([(CONTENT_TYPE, "application/json"), (X_CONTENT_TYPE_OPTIONS, "nosniff")], openapi::text());
    let none = async || Problem::no_such_path().into_response();
    router
        .route("/api/v1/tags/{*name}", any(tag))
        .route("/api/v1/openapi.json", get(description))
        .route("/api/", any(none))
        .route("/api/{*path}", any(none))
        .with_state(state)
}

/// Paths of the list.
pub fn listed_paths() -> impl Iterator<Item = String> {
    paths().iter().map(|path| format!("/api/v1/{}", path.name))
}

/// The services, once they are there and as long as they take requests.
fn serving(state: &HealthState) -> Result<&ApiRoutes, Problem> {
    let routes = state.routes().ok_or_else(|| Problem::unavailable(STARTING))?;
    if state.stopping.is_cancelled() {
        return Err(Problem::unavailable("the historian is stopping; connect again when it is back"));
    }
    Ok(routes)
}

async fn answered(state: &HealthState, path: &'static ApiPath, peer: Peer, request: Request) -> Result<Response, Problem> {
    let routes = serving(state)?;
    let services = &routes.api.services;
    let message = (path.message)();
    let mut asked = HttpAsked::read(request, &path.fields(&message), services.limits.first_request_timeout).await?;
    let calls = InsideCalls::new(routes.in_process(), asked.headers.clone(), peer, asked.options.timeout);
    match path.answers {
        Answers::Rows(kind) => {
            let ticket = command(kind, &asked);
            answer::of_ticket(&calls, ticket, &asked.options, services).await
        }
        Answers::Plot => {
            plot::with_points(&mut asked, services)?;
            answer::of_ticket(&calls, command("downsample", &asked), &asked.options, services).await
        }
        Answers::Sql => {
            let query = asked.take_text(sql::QUERY)?.ok_or_else(|| Problem::invalid(sql::QUERY, "is missing: the SQL statement"))?;
            if let Some((other, _)) = asked.fields.iter().next() {
                return Err(Problem::invalid(other, "is not known here; there is query"));
            }
            let ticket = sql::ticket(&calls, query).await?;
            answer::of_ticket(&calls, ticket, &asked.options, services).await
        }
        Answers::Events => {
            events::resume(&mut asked)?;
            events::of_ticket(&calls, command(kind::WITHOUT_END, &asked), asked.options.cells).await
        }
        Answers::Tags => {
            search::into_filter(&mut asked)?;
            answer::of_json(message::tags(&calls, asked.fields).await?, &asked.options)
        }
        Answers::Message(call, _) => answer::of_json(call(calls, Value::Object(asked.fields)).await?, &asked.options),
    }
}

/// One tag by its name, which has slashes as the path does.
async fn tag(state: &HealthState, peer: Peer, name: String, request: Request) -> Result<Response, Problem> {
    let routes = serving(state)?;
    let message = "historian.v1.GetTagRequest";
    let path = PathFields { message, beside: &[], has_bounds: false, offered: OfferedForms::Message, allow: "GET" };
    let asked = HttpAsked::read(request, &path, routes.api.services.limits.first_request_timeout).await?;
    if let Some((other, _)) = asked.fields.iter().next() {
        return Err(Problem::invalid(other, "is not known here; the name of the tag stands in the path"));
    }
    let calls = InsideCalls::new(routes.in_process(), asked.headers.clone(), peer, asked.options.timeout);
    answer::of_json(message::tag(&calls, name).await?, &asked.options)
}

/// The command of a kind in its JSON form.
fn command(kind: &str, asked: &HttpAsked) -> Vec<u8> {
    let fields = Value::Object(asked.fields.clone());
    Value::from(serde_json::Map::from_iter([(kind.to_owned(), fields)])).to_string().into_bytes()
}
