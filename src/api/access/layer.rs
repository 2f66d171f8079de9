//! The layer in front of all services of the gRPC port: each request passes it, and carries its [`Principal`] afterwards.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures::{FutureExt as _, future::BoxFuture};
use historian_access::Principal;
use historian_model::Clock;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Service, http},
};
use tower_layer::Layer;

use super::{
    known::{Access, Unknown},
    method::{self, MethodNeed},
    rate::RequestRates,
    right::require,
};
use crate::{
    AuditTrail,
    call::CallRecord,
    caller::{address_of, client_of, client_of_principal},
    connection::{Peer, RareLog},
    status,
};

/// Puts [`Authenticated`] around all services. What stands behind clones of it, at several ports, counts requests together.
#[derive(Clone)]
pub struct AuthenticatedLayer {
    access: Access,
    clock: Arc<dyn Clock>,
    refusals: Arc<Refusals>,
}

impl AuthenticatedLayer {
    pub fn new(access: Access, clock: Arc<dyn Clock>, audit: AuditTrail, requests_per_s_max: u32) -> AuthenticatedLayer {
        let refusals = Arc::new(Refusals { log: RareLog::default(), audit, rates: RequestRates::new(requests_per_s_max) });
        AuthenticatedLayer { access, clock, refusals }
    }
}

impl<S> Layer<S> for AuthenticatedLayer {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, access: self.access.clone(), clock: self.clock.clone(), refusals: self.refusals.clone() }
    }
}

/// Requests that were refused: all are recorded, and some told in the log. The layer around all calls counts them.
struct Refusals {
    log: RareLog,
    audit: AuditTrail,
    rates: RequestRates,
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
        let method = status::shortened(path);
        let client = address_of(request.extensions()).map_or_else(String::new, |address| address.to_string());
        self.log.tell(|others| tracing::warn!(method, client, others, "{}", status::in_words(refused)));
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

/// Why a request is not let in.
enum NotAdmitted {
    /// Who sends it, as far as that is known.
    Refused(Principal, Status),
    /// Keys of the identity provider are being fetched; it can be asked again then.
    KeysComing,
}

impl<S> Authenticated<S> {
    /// Who sends a request, if it may.
    fn admit(&self, request: &http::Request<Body>) -> Result<Principal, NotAdmitted> {
        let known = || {
            self.access.known(request.headers(), request.extensions().get::<Peer>(), &*self.clock).map_err(|unknown| match unknown {
                Unknown::Refused(refused) => NotAdmitted::Refused(Principal::nobody(), refused),
                Unknown::KeysComing => NotAdmitted::KeysComing,
            })
        };
        let Some(need) = method::need(request.uri().path()) else {
            // Services answer for methods that they have not; somebody who is not known hears no more than of others.
            return known().map(|_| Principal::nobody());
        };
        if need == MethodNeed::Nothing {
            return Ok(known().unwrap_or_else(|_| Principal::nobody()));
        }
        let principal = known()?;
        let client = client_of_principal(&principal, request.extensions());
        self.refusals.rates.admit(client, Instant::now()).map_err(|busy| NotAdmitted::Refused(principal.clone(), busy))?;
        if let MethodNeed::Has(right) = need {
            require(&principal, right).map_err(|refused| NotAdmitted::Refused(principal.clone(), refused))?;
        }
        Ok(principal)
    }

    /// Hands a request on with its principal.
    fn hand_on(&mut self, mut request: http::Request<Body>, principal: Principal) -> BoxFuture<'static, HttpAnswer>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
        S::Future: Send + 'static,
    {
        let (refusals, told) = (self.refusals.clone(), Refused::of(&request));
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

    /// Answers why a request is not let in.
    fn refuse(&self, request: &http::Request<Body>, principal: Principal, refused: Status) -> BoxFuture<'static, HttpAnswer> {
        self.refusals.add(request, &refused);
        let (refusals, told) = (self.refusals.clone(), Refused::of(request));
        let delay = match refused.code() {
            Code::Unauthenticated => refusals.rates.failed(client_of(request.extensions()), Instant::now()),
            _ => None,
        };
        async move {
            // Who only asks too often is denied nothing.
            if refused.code() != Code::ResourceExhausted {
                refusals.record(&principal, &told, &refused).await;
            }
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            Ok(refused.into_http())
        }
        .boxed()
    }
}

type HttpAnswer = Result<http::Response<Body>, Infallible>;

impl<S> Service<http::Request<Body>> for Authenticated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, HttpAnswer>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.admit(&request) {
            Ok(principal) => self.hand_on(request, principal),
            Err(NotAdmitted::Refused(principal, refused)) => self.refuse(&request, principal, refused),
            Err(NotAdmitted::KeysComing) => {
                // What was made ready serves this request; a copy stands in its place.
                let copy = self.clone();
                let mut ready = std::mem::replace(self, copy);
                async move {
                    ready.access.keys_come().await;
                    match ready.admit(&request) {
                        Ok(principal) => ready.hand_on(request, principal),
                        Err(NotAdmitted::Refused(principal, refused)) => ready.refuse(&request, principal, refused),
                        Err(NotAdmitted::KeysComing) => ready.refuse(&request, Principal::nobody(), Unknown::KeysComing.into_status()),
                    }
                    .await
                }
                .boxed()
            }
        }
    }
}
