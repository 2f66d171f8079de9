//! The layer in front of all services of the gRPC port: each request passes it, and carries its [`Principal`] afterwards.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt as _, future::BoxFuture};
use historian_access::Principal;
use historian_model::Clock;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Service, http},
};
use tower_layer::{Layer, layer_fn};

use super::{
    known::Access,
    method::{self, MethodNeed},
    right::require,
};
use crate::{
    AuditTrail,
    call::CallRecord,
    caller::{address_of, client_of},
    connection::RareLog,
    status,
};

/// Puts [`Authenticated`] around all services of a port.
pub fn authenticated<S>(access: Access, clock: Arc<dyn Clock>, audit: AuditTrail) -> impl Layer<S, Service = Authenticated<S>> + Clone {
    let refusals = Arc::new(Refusals { log: RareLog::default(), audit });
    layer_fn(move |inner| Authenticated { inner, access: access.clone(), clock: clock.clone(), refusals: refusals.clone() })
}

/// Requests that were refused: all are recorded, and some told in the log. The layer around all calls counts them.
struct Refusals {
    log: RareLog,
    audit: AuditTrail,
}

/// A request as a refusal tells of it.
struct Refused {
    path: String,
    address: Option<IpAddr>,
}

impl Refused {
    fn of(request: &http::Request<Body>) -> Refused {
        Refused { path: request.uri().path().to_owned(), address: address_of(request.extensions()) }
    }
}

impl Refusals {
    fn add(&self, request: &http::Request<Body>, refused: &Status) {
        let path = request.uri().path();
        let (method, client) = (status::shortened(path), client_of(request.extensions()));
        self.log.tell(|others| tracing::warn!(method, %client, others, "{}", status::in_words(refused)));
    }

    async fn record(&self, principal: &Principal, request: &Refused, refused: &Status) {
        self.audit.denied(principal, request.address, &request.path, refused).await;
    }
}

/// The refusal in the headers of an answer, where a service asks for a right that the method alone does not tell.
fn refusal<T>(response: &http::Response<T>) -> Option<Status> {
    let status = Status::from_header_map(response.headers())?;
    matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated).then_some(status)
}

/// Services whose requests come from somebody who may send them.
#[derive(Clone)]
pub struct Authenticated<S> {
    inner: S,
    access: Access,
    clock: Arc<dyn Clock>,
    refusals: Arc<Refusals>,
}

impl<S> Authenticated<S> {
    /// Who sends a request, if it may; else who it is, as far as it is known, and the refusal.
    fn admit(&self, request: &http::Request<Body>) -> Result<Principal, (Principal, Status)> {
        let known = || self.access.principal(request.headers(), &*self.clock);
        let unknown = |refused| (Principal::nobody(), refused);
        let Some(need) = method::need(request.uri().path()) else {
            // Services answer for methods that they have not; somebody who is not known hears no more than of others.
            return known().map(|_| Principal::nobody()).map_err(unknown);
        };
        if need == MethodNeed::Nothing {
            return Ok(known().unwrap_or_else(|_| Principal::nobody()));
        }
        let principal = known().map_err(unknown)?;
        if let MethodNeed::Has(right) = need {
            require(&principal, right).map_err(|refused| (principal.clone(), refused))?;
        }
        Ok(principal)
    }
}

impl<S> Service<http::Request<Body>> for Authenticated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let (refusals, told) = (self.refusals.clone(), Refused::of(&request));
        match self.admit(&request) {
            Ok(principal) => {
                if let Some(call) = request.extensions().get::<Arc<CallRecord>>() {
                    call.comes_from(principal.name());
                }
                request.extensions_mut().insert(principal.clone());
                let answering = self.inner.call(request);
                async move {
                    let response = answering.await?;
                    if let Some(refused) = refusal(&response) {
                        refusals.record(&principal, &told, &refused).await;
                    }
                    Ok(response)
                }
                .boxed()
            }
            Err((principal, refused)) => {
                refusals.add(&request, &refused);
                async move {
                    refusals.record(&principal, &told, &refused).await;
                    Ok(refused.into_http())
                }
                .boxed()
            }
        }
    }
}
