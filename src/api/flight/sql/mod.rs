//! Flight SQL on the same service as Flight: which of its messages means what. Statements are answered by `historian_sql`, catalog calls by
//! [`metadata`]; nothing can be written through it.
//!
//! A ticket of a statement is the statement itself with the values of its parameters, the form of its answer and the moment of its
//! `GetFlightInfo`, so that any `DoGet` gives the same answer. Prepared statements are the one thing that is kept ([`prepared`]).

mod action;
mod answer;
pub mod fuzz;
mod info;
mod kept;
mod metadata;
mod prepared;
mod put;
mod running;
mod statement;
mod tables;
mod wire;

pub use action::{act, actions};
pub use kept::Sql;
pub use put::bind;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow_flight::{
    FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket,
    sql::{Any, Command, ProstMessageExt, TicketStatementQuery},
};
use prost::Message;
use tonic::Status;

use self::statement::{Executions, StatementTicket};
use super::{encode, info as flight};
use crate::{Api, ApiLimits, Caller, kind::SQL, request::AnyMessage, status, stream::ResponseStream};
use historian_access::Right;
use historian_query::QueryLimits;

const PREFIX: &str = "arrow.flight.protocol.sql.";

/// What is around a statement and each message of its parameters in a command or ticket, in bytes.
const AROUND_BYTES_MAX: usize = 512 << 10;

/// Longest command or ticket: a statement and the values of its parameters, as many as can be bound, each with the little that is around it.
fn command_bytes_max(limits: &ApiLimits) -> usize {
    limits.sql_text_bytes_max + prepared::BYTES_MAX + prepared::HEADERS_BYTES_MAX + AROUND_BYTES_MAX
}

/// The command of Flight SQL in the bytes of a descriptor or ticket; `None` when they are something else.
///
/// # Errors
/// `INVALID_ARGUMENT` for a message that cannot be read, UNIMPLEMENTED for one that is not known.
pub fn command(bytes: &[u8], limits: &ApiLimits) -> Result<Option<Command>, Status> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') || bytes.len() > command_bytes_max(limits) {
        return Ok(None); // JSON, or refused for its length where all commands are
    }
    let Ok(any) = AnyMessage::decode(bytes) else { return Ok(None) };
    let Some(name) = any.type_url.rsplit('/').next().filter(|name| name.starts_with(PREFIX)) else { return Ok(None) };
    let known = Any { type_url: format!("type.googleapis.com/{name}"), value: any.value.into() };
    match Command::try_from(known).map_err(|error| status::invalid(&name[PREFIX.len()..], error.to_string()))? {
        Command::Unknown(any) => {
            let shown: String = any.type_url.chars().take(120).collect();
            Err(status::unimplemented(format!("the Flight SQL message {shown} is not in this version")))
        }
        command => Ok(Some(command)),
    }
}

/// The answer to `GetFlightInfo`.
///
/// # Errors
/// What is wrong with the statement, or that the command is not one that answers with data.
pub async fn flight_info(api: Arc<Api>, caller: &Caller, command: Command, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
    caller.call.is_of(SQL);
    let options = api.sql.answer_options(&caller.headers)?;
    let (owner, principal) = (api.clone(), caller.principal.clone());
    let planned = move |limits: &QueryLimits| {
        let api = owner;
        let now = api.services.clock.now();
        let (schema, ticket) = match command {
            Command::CommandStatementQuery(query) => {
                refuse_transaction(query.transaction_id.as_ref())?;
                statement(&api.sql, StatementTicket::new(query.query, now, options), limits)?
            }
            Command::CommandPreparedStatementQuery(query) => {
                let bound = api.sql.prepared.get(&query.prepared_statement_handle, &principal)?;
                statement(&api.sql, StatementTicket::of_prepared(bound, now, options), limits)?
            }
            command => (metadata::schema(&command, &api.sql.engine, &limits.scope, api.limits())?, command.into_any()),
        };
        let ticket = Ticket::new(ticket.encode_to_vec());
        let mut info = flight::described(&schema, descriptor)?;
        info.endpoint.push(FlightEndpoint { ticket: Some(ticket), ..FlightEndpoint::default() });
        Ok(info)
    };
    api.bounded(caller, planned).await
}

/// Schema and ticket of the answer to a statement. Blocks on planning.
fn statement(sql: &Sql, ticket: StatementTicket, limits: &QueryLimits) -> Result<(SchemaRef, Any), Status> {
    let handle = ticket.encode_to_vec().into();
    let schema = Executions::of(ticket)?.schema(sql, limits)?;
    Ok((schema, TicketStatementQuery { statement_handle: handle }.as_any()))
}

/// The answer to `GetSchema`.
///
/// # Errors
/// As [`flight_info`].
pub async fn schema(api: Arc<Api>, caller: &Caller, command: Command) -> Result<arrow_flight::SchemaResult, Status> {
    let info = flight_info(api, caller, command, FlightDescriptor::default()).await?;
    Ok(arrow_flight::SchemaResult { schema: info.schema })
}

/// The answer to `DoGet`.
///
/// # Errors
/// When the ticket is none, or its prepared statement is gone.
pub async fn get(api: &Arc<Api>, caller: &Caller, ticket: &[u8], command: Command) -> Result<ResponseStream<FlightData>, Status> {
    let compression = encode::compression(&caller.headers)?;
    caller.call.is_of(SQL);
    let asked = || Ok::<_, Status>((api.services.clock.now(), api.sql.answer_options(&caller.headers)?));
    let statement = match command {
        Command::TicketStatementQuery(query) => StatementTicket::read(&query.statement_handle)?,
        // The command itself as ticket, in one call.
        Command::CommandStatementQuery(query) => {
            refuse_transaction(query.transaction_id.as_ref())?;
            let (now, options) = asked()?;
            StatementTicket::new(query.query, now, options)
        }
        Command::CommandPreparedStatementQuery(query) => {
            let (now, options) = asked()?;
            StatementTicket::of_prepared(api.sql.prepared.get(&query.prepared_statement_handle, &caller.principal)?, now, options)
        }
        command => {
            let batch = metadata::batch(command, &api.sql.engine, caller.principal.scope(Right::Read), api.limits())?;
            let stream = api.stream(caller, move |_, emitter| statement::emit_whole(&batch, compression, emitter)).await?;
            return Ok(Box::pin(stream));
        }
    };
    let executions = Executions::of(statement)?;
    let place = api.statements.enter(caller.client, api.query_limits(caller).deadline).await?;
    let (owner, ticket, principal) = (api.clone(), ticket.to_vec(), caller.principal.clone());
    let stream = api.stream(caller, move |limits, emitter| {
        let _place = place;
        let _listed = owner.sql.running.enter(ticket, &principal, limits.cancel.clone());
        executions.run(&owner.sql, compression, limits, emitter)
    });
    let stream = stream.await?;
    Ok(Box::pin(stream))
}

fn refuse_transaction(id: Option<&prost::bytes::Bytes>) -> Result<(), Status> {
    match id {
        Some(id) if !id.is_empty() => Err(status::unimplemented("there are no transactions: SQL reads only, and each statement by itself")),
        _ => Ok(()),
    }
}
