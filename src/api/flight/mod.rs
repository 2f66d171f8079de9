//! Arrow Flight: queries by `DoGet`, their shape by `GetFlightInfo` and `GetSchema`, the catalog by `ListFlights`, bulk ingest by `DoPut`,
//! joins of the client's rows by `DoExchange`; and Flight SQL on the same calls.

pub mod catalog;
pub mod decode;
pub mod encode;
mod exchange;
pub mod fuzz;
pub mod get;
pub mod group;
mod handshake;
pub mod info;
mod lz4;
pub mod put;
mod session;
pub mod sql;
mod verify;

use std::sync::Arc;

use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo,
    PutResult, SchemaResult, Ticket, flight_descriptor::DescriptorType, flight_service_server::FlightService,
};
use historian_proto::v1;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Api, Caller, Services,
    command::Command,
    connection::Peer,
    kind::{self, Resolved, SubscribeKind},
    status,
    stream::ResponseStream,
};
use historian_query::QueryLimits;

/// The Flight service of the historian.
pub struct Flight(pub Arc<Api>);

impl Flight {
    /// Answers a subscription: the schema, then messages of deliveries.
    async fn subscribe(&self, caller: &Caller, request: v1::SubscribeRequest) -> Result<Response<ResponseStream<FlightData>>, Status> {
        let (encoder, first) = encode::Encoder::new(&SubscribeKind::schema());
        // The position in its last row says that a client has all rows before it.
        let mut encoder = encoder.uncut();
        let messages = kind::follow(&self.0, caller, request, move |delivery| {
            let mut messages = Vec::new();
            for batch in SubscribeKind::batches(&delivery)? {
                let encoded = encoder.batch(&batch, &mut |message| {
                    messages.push(message);
                    true
                });
                encoded.map_err(|error| status::internal(error.to_string()))?;
            }
            Ok(messages)
        });
        let messages = messages.await?;
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(first)).chain(messages))))
    }

    /// Resolves a descriptor and computes something from it, on a blocking thread.
    async fn of_descriptor<T: Send + 'static>(
        &self,
        request: Request<FlightDescriptor>,
        work: impl FnOnce(&Services, &dyn Resolved, FlightDescriptor, &QueryLimits) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let (caller, descriptor) = Caller::take(request);
        let (services, call) = (self.0.services.clone(), caller.call.clone());
        let resolved = move |limits: &QueryLimits| {
            let query = match descriptor.r#type() {
                DescriptorType::Cmd => {
                    let (command, _) = Command::parse(&descriptor.cmd, &services.limits)?;
                    call.is_of(command.kind());
                    info::resolve(&services, command, None, limits)?
                }
                DescriptorType::Path => info::resolve_path(&services, &descriptor.path, limits)?,
                DescriptorType::Unknown => {
                    return Err(status::invalid("descriptor", "has no type; send a command or a path"));
                }
            };
            work(&services, query.as_ref(), descriptor, limits)
        };
        self.0.bounded(&caller, resolved).await
    }
}

#[tonic::async_trait]
impl FlightService for Flight {
    type HandshakeStream = ResponseStream<HandshakeResponse>;
    type ListFlightsStream = ResponseStream<FlightInfo>;
    type DoGetStream = ResponseStream<FlightData>;
    type DoPutStream = ResponseStream<PutResult>;
    type DoExchangeStream = ResponseStream<FlightData>;
    type DoActionStream = ResponseStream<arrow_flight::Result>;
    type ListActionsStream = ResponseStream<ActionType>;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let (caller, ticket) = Caller::take(request);
        if let Some(command) = sql::command(&ticket.ticket, self.0.limits())? {
            return sql::get(&self.0, &caller, &ticket.ticket, command).await.map(Response::new);
        }
        let (command, part) = Command::parse_ticket(&ticket.ticket, self.0.limits())?;
        caller.call.is_of(command.kind());
        let compression = encode::compression(&caller.headers)?;
        if let Some(request) = command.request::<v1::SubscribeRequest>() {
            return self.subscribe(&caller, request.clone()).await;
        }
        let services = self.0.services.clone();
        let stream = self.0.stream(&caller, move |limits, emitter| {
            let query = info::resolve(&services, command, part.as_ref(), limits)?;
            get::run(&services.query, query.as_ref(), compression, limits, emitter)
        });
        Ok(Response::new(Box::pin(stream.await?)))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        if let Some(command) = sql::command(&request.get_ref().cmd, self.0.limits())? {
            let (caller, descriptor) = Caller::take(request);
            return sql::flight_info(self.0.clone(), &caller, command, descriptor).await.map(Response::new);
        }
        self.of_descriptor(request, info::flight_info).await.map(Response::new)
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        if let Some(command) = sql::command(&request.get_ref().cmd, self.0.limits())? {
            return sql::schema(self.0.clone(), &Caller::of(&request), command).await.map(Response::new);
        }
        let schema =
            |services: &Services, query: &dyn Resolved, _, _: &QueryLimits| info::schema_result(query.schema(&services.query)?.as_ref());
        self.of_descriptor(request, schema).await.map(Response::new)
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let (caller, criteria) = Caller::take(request);
        let services = self.0.services.clone();
        let stream = self.0.stream(&caller, move |limits, emitter| {
            let selection = catalog::selection(&criteria, &services, limits)?;
            catalog::list(&services, &selection, limits, emitter)
        });
        Ok(Response::new(Box::pin(stream.await?)))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let (caller, messages) = Caller::take(request);
        put::start(self.0.clone(), caller, messages).await.map(Response::new)
    }

    async fn list_actions(&self, _request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let actions: Vec<_> = sql::actions().into_iter().chain(session::actions()).map(Ok).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(actions))))
    }

    async fn handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Result<Response<Self::HandshakeStream>, Status> {
        let services = self.0.services.clone();
        let header = handshake::header(&services, request.metadata(), request.extensions().get::<Peer>()).await?;
        let address = Caller::of(&request).address;
        let mut response: Response<Self::HandshakeStream> =
            Response::new(Box::pin(handshake::answers(services, address, request.into_inner())));
        if let Some((name, value)) = header {
            response.metadata_mut().insert(name, value);
        }
        Ok(response)
    }

    /// Complete at once: what runs long is the answer of `DoGet`, which comes as it is made.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let info = self.get_flight_info(request).await?.into_inner();
        Ok(Response::new(PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None }))
    }

    async fn do_exchange(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        let (caller, messages) = Caller::take(request);
        exchange::start(&self.0, &caller, messages).await.map(Response::new)
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let (caller, action) = Caller::take(request);
        if let Some(response) = session::act(&caller.headers, &action)? {
            return Ok(response.map(|result| -> Self::DoActionStream { Box::pin(tokio_stream::once(Ok(result))) }));
        }
        let results = sql::act(self.0.clone(), &caller, action).await?;
        Ok(Response::new(Box::pin(tokio_stream::iter(results.into_iter().map(Ok)))))
    }
}
