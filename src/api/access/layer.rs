//! The layer in front of all services of the gRPC port: each request passes it, and carries its [`Principal`] afterwards.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{BoxFuture, Either};
use historian_access::Principal;
use historian_model::Clock;
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
};
use tower_layer::{Layer, layer_fn};

use super::{
    known::{Access, Unknown},
    method::{self, MethodNeed},
    right::require,
};
use crate::{
    Metrics,
    caller::client_of,
    connection::{Peer, RareLog},
    status,
};

/// Puts [`Authenticated`] around all services of a port.
pub fn authenticated<S>(access: Access, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> impl Layer<S, Service = Authenticated<S>> + Clone {
    let refusals = Arc::new(Refusals { metrics, log: RareLog::default() });
    layer_fn(move |inner| Authenticated { inner, access: access.clone(), clock: clock.clone(), refusals: refusals.clone() })
}

/// Requests that were refused: all are counted, and some told in the log.
struct Refusals {
    metrics: Arc<Metrics>,
    log: RareLog,
}

impl Refusals {
    fn add(&self, request: &http::Request<Body>, refused: &Status) {
        let path = request.uri().path();
        self.metrics.refused(path, refused.code());
        let (method, client) = (status::shortened(path), client_of(request.extensions()));
        self.log.tell(|others| tracing::warn!(method, %client, others, "{}", status::in_words(refused)));
    }
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
    /// Who sends a request, if it may.
    fn admit(&self, request: &http::Request<Body>) -> Result<Principal, Unknown> {
        let known = || self.access.known(request.headers(), request.extensions().get::<Peer>(), &*self.clock);
        let Some(need) = method::need(request.uri().path()) else {
            // Services answer for methods that they have not; somebody who is not known hears no more than of others.
            return known().map(|_| Principal::nobody());
        };
        if need == MethodNeed::Nothing {
            return Ok(known().unwrap_or_else(|_| Principal::nobody()));
        }
        let principal = known()?;
        if let MethodNeed::Has(right) = need {
            require(&principal, right)?;
        }
        Ok(principal)
    }

    /// Hands a request on with its principal, or answers why not.
    fn answer(&mut self, mut request: http::Request<Body>, admitted: Result<Principal, Status>) -> Answering<S::Future>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    {
        match admitted {
            Ok(principal) => {
                request.extensions_mut().insert(principal);
                Either::Left(self.inner.call(request))
            }
            Err(refused) => {
                self.refusals.add(&request, &refused);
                Either::Right(ready(Ok(refused.into_http())))
            }
        }
    }
}

type HttpAnswer = Result<http::Response<Body>, Infallible>;
type Answering<F> = Either<F, Ready<HttpAnswer>>;

impl<S> Service<http::Request<Body>> for Authenticated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Either<Answering<S::Future>, BoxFuture<'static, HttpAnswer>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.admit(&request) {
            Ok(principal) => Either::Left(self.answer(request, Ok(principal))),
            Err(Unknown::Refused(refused)) => Either::Left(self.answer(request, Err(refused))),
            Err(Unknown::KeysComing) => {
                // What was made ready serves this request; a copy stands in its place.
                let copy = self.clone();
                let mut ready = std::mem::replace(self, copy);
                Either::Right(Box::pin(async move {
                    ready.access.keys_come().await;
                    let admitted = ready.admit(&request).map_err(Unknown::into_status);
                    ready.answer(request, admitted).await
                }))
            }
        }
    }
}
