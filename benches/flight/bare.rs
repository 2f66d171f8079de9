//! A Flight server that answers `DoGet` with messages it holds in memory: the yardstick of `flight/do_get`.

use std::sync::Arc;

use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo,
    PutResult, SchemaResult, Ticket, flight_service_server::FlightService,
};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use tonic::{Request, Response, Status, Streaming};

pub struct Bare {
    answers: Arc<Vec<Vec<FlightData>>>,
}

impl Bare {
    pub fn new(answers: Vec<Vec<FlightData>>) -> Bare {
        Bare { answers: Arc::new(answers) }
    }

    /// Ticket of the answer at an index.
    pub fn ticket(index: usize) -> Ticket {
        Ticket::new(vec![index as u8])
    }
}

type Answer<T> = BoxStream<'static, Result<T, Status>>;

fn none<T>() -> Result<T, Status> {
    Err(Status::unimplemented("this server answers DoGet only"))
}

#[tonic::async_trait]
impl FlightService for Bare {
    type HandshakeStream = Answer<HandshakeResponse>;
    type ListFlightsStream = Answer<FlightInfo>;
    type DoGetStream = Answer<FlightData>;
    type DoPutStream = Answer<PutResult>;
    type DoExchangeStream = Answer<FlightData>;
    type DoActionStream = Answer<arrow_flight::Result>;
    type ListActionsStream = Answer<ActionType>;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let index = request.get_ref().ticket.first().copied().unwrap_or_default();
        // The clones share the bytes.
        let messages = self.answers.get(usize::from(index)).cloned().ok_or_else(|| Status::not_found("there is no such answer"))?;
        Ok(Response::new(stream::iter(messages.into_iter().map(Ok)).boxed()))
    }

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Result<Response<Self::HandshakeStream>, Status> {
        none()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        none()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        none()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        none()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        none()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        none()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        none()
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        none()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        none()
    }
}
