//! Messages of clients before they are decoded: a service around each service looks at the bytes of its requests as they come.
//!
//! The decoders of gRPC and protobuf allocate by what a message says, and answer what they cannot read with INTERNAL, as if it were the server's
//! fault. Here a message whose parts would take more memory than is allowed is refused while it comes, and what cannot be read is
//! `INVALID_ARGUMENT`.

mod answer;
pub mod fuzz;
mod incoming;
mod request;
mod shapes;

pub use shapes::check;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{
    body::Body,
    codegen::{Service, http},
    server::NamedService,
};

use self::{answer::Answer, incoming::IncomingMemory, request::RequestBody};
use super::{ClientMemory, DecodeAllowance, caller::client_of};

/// A gRPC service of whose requests no message takes more than is allowed.
#[derive(Clone)]
pub struct CheckedService<S> {
    inner: S,
    allowance: DecodeAllowance,
    memory: ClientMemory,
}

impl<S> CheckedService<S> {
    /// `allowance` is for each message; what of them has come counts in `memory`.
    pub fn new(inner: S, allowance: DecodeAllowance, memory: ClientMemory) -> CheckedService<S> {
        CheckedService { inner, allowance, memory }
    }
}

impl<S: NamedService> NamedService for CheckedService<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for CheckedService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shape = shapes::input(request.uri().path());
        let gzip = request.headers().get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
        let allowance = self.allowance.clone();
        let memory = IncomingMemory::of(&self.memory.for_messages(client_of(request.extensions())));
        let body_memory = memory.clone();
        let answer = self.inner.call(request.map(|body| Body::new(RequestBody::new(body, shape, gzip, allowance, body_memory))));
        Box::pin(async move {
            let mut response = answer.await?;
            // The one message of a call is worked on until its answer begins.
            drop(memory);
            answer::reword(response.headers_mut());
            Ok(response.map(|body| Body::new(Answer(body))))
        })
    }
}
