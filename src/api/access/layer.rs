//! The layer in front of all services of the gRPC port: each request passes it, and carries its [`Principal`] afterwards.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::Either;
use historian_access::Principal;
use historian_model::Clock;
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
};
use tower_layer::{Layer, layer_fn};

use super::{
    known::Access,
    method::{self, MethodNeed},
    right::require,
};
use crate::{call::CallRecord, caller::client_of, connection::RareLog, status};

/// Puts [`Authenticated`] around all services of a port.
pub fn authenticated<S>(access: Access, clock: Arc<dyn Clock>) -> impl Layer<S, Service = Authenticated<S>> + Clone {
    let refusals = Arc::new(Refusals::default());
    layer_fn(move |inner| Authenticated { inner, access: access.clone(), clock: clock.clone(), refusals: refusals.clone() })
}

/// Requests that were refused: some are told in the log. The layer around all calls counts them.
#[derive(Default)]
struct Refusals {
    log: RareLog,
}

impl Refusals {
    fn add(&self, request: &http::Request<Body>, refused: &Status) {
        let path = request.uri().path();
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
    fn admit(&self, request: &http::Request<Body>) -> Result<Principal, Status> {
        let Some(need) = method::need(request.uri().path()) else {
            // Services answer for methods that they have not; somebody who is not known hears no more than of others.
            return self.access.principal(request.headers(), &*self.clock).map(|_| Principal::nobody());
        };
        if need == MethodNeed::Nothing {
            return Ok(self.access.principal(request.headers(), &*self.clock).unwrap_or_else(|_| Principal::nobody()));
        }
        let principal = self.access.principal(request.headers(), &*self.clock)?;
        if let MethodNeed::Has(right) = need {
            require(&principal, right)?;
        }
        Ok(principal)
    }
}

impl<S> Service<http::Request<Body>> for Authenticated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<http::Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        match self.admit(&request) {
            Ok(principal) => {
                if let Some(call) = request.extensions().get::<Arc<CallRecord>>() {
                    call.comes_from(principal.name());
                }
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
