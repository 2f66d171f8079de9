//! Flight SQL on the same service as Flight: which of its messages means what. Statements are answered by `query::sql`, catalog calls by
//! [`metadata`]; nothing can be written through it.
//!
//! A ticket of a statement is the statement itself and the moment of its `GetFlightInfo`, so that any `DoGet` gives the same answer. Prepared
//! statements are the one thing that is kept ([`prepared`]).

mod action;
mod metadata;
mod prepared;
mod put;
mod running;
mod statement;

pub use action::{act, actions};
pub use put::bind;

use std::sync::Arc;

use arrow_flight::{
    FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket,
    sql::{Any, Command, CommandPreparedStatementQuery, ProstMessageExt, TicketStatementQuery},
};
use prost::Message;
use tonic::{Status, metadata::MetadataMap};

use self::statement::Executions;
use super::{Answer, info};
use crate::{
    api::{Api, ApiLimits, Services, blocking, command::AnyMessage, status},
    query::sql::{SqlEngine, SqlOptions},
};

/// What Flight SQL keeps.
pub struct Sql {
    engine: SqlEngine,
    prepared: prepared::Prepared,
    running: running::Running,
}

impl Sql {
    pub fn new(services: &Services) -> Sql {
        let limits = &services.limits;
        let cores = || std::thread::available_parallelism().map_or(2, usize::from);
        let options = SqlOptions {
            threads: if limits.sql_threads == 0 { cores() } else { limits.sql_threads },
            memory_bytes_max: limits.sql_memory_bytes_max,
            memory_total_bytes_max: limits.sql_memory_total_bytes_max,
            statements_max: limits.sql_statements_max,
            // A ticket carries the statement.
            text_bytes_max: limits.ticket_bytes_max.saturating_sub(1024),
            tags_max: limits.query_tags_max,
            ..SqlOptions::default()
        };
        Sql {
            engine: SqlEngine::new(services.query.clone(), services.catalog.clone(), options),
            prepared: prepared::Prepared::new(limits.prepared_statements_max, limits.prepared_statement_idle),
            running: running::Running::default(),
        }
    }
}

const PREFIX: &str = "arrow.flight.protocol.sql.";

/// The command of Flight SQL in the bytes of a descriptor or ticket; `None` when they are something else.
///
/// # Errors
/// `INVALID_ARGUMENT` for a message that cannot be read, UNIMPLEMENTED for one that is not known.
pub fn command(bytes: &[u8], limits: &ApiLimits) -> Result<Option<Command>, Status> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') || bytes.len() > limits.ticket_bytes_max {
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
pub async fn flight_info(
    api: Arc<Api>,
    headers: &MetadataMap,
    command: Command,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let limits = api.query_limits(headers);
    blocking(move || {
        let (schema, ticket) = match command {
            Command::CommandStatementQuery(query) => {
                refuse_transaction(query.transaction_id.as_ref())?;
                let (ticket, handle) = statement::StatementTicket::new(query.query, api.services.clock.now());
                let schema = Executions::of_ticket(&ticket).schema(&api.sql, &limits)?;
                (schema, TicketStatementQuery { statement_handle: handle }.as_any())
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = prepared::at(&query.prepared_statement_handle, api.services.clock.now())?;
                let schema = Executions::of_prepared(&api.sql, &handle)?.schema(&api.sql, &limits)?;
                (schema, CommandPreparedStatementQuery { prepared_statement_handle: handle }.as_any())
            }
            command => (metadata::schema(&command)?, command.into_any()),
        };
        let ticket = Ticket::new(ticket.encode_to_vec());
        let mut info = info::described(&schema, descriptor)?;
        info.endpoint.push(FlightEndpoint { ticket: Some(ticket), ..FlightEndpoint::default() });
        Ok(info)
    })
    .await
}

/// The answer to `GetSchema`.
///
/// # Errors
/// As [`flight_info`].
pub async fn schema(api: Arc<Api>, headers: &MetadataMap, command: Command) -> Result<arrow_flight::SchemaResult, Status> {
    let info = flight_info(api, headers, command, FlightDescriptor::default()).await?;
    Ok(arrow_flight::SchemaResult { schema: info.schema })
}

/// The answer to `DoGet`.
///
/// # Errors
/// When the ticket is none, or its prepared statement is gone.
pub fn get(api: &Arc<Api>, headers: &MetadataMap, ticket: &[u8], command: Command) -> Result<Answer<FlightData>, Status> {
    let executions = match command {
        Command::TicketStatementQuery(query) => Executions::of_ticket(&statement::StatementTicket::read(&query.statement_handle)?),
        // The command itself as ticket, in one call.
        Command::CommandStatementQuery(query) => {
            refuse_transaction(query.transaction_id.as_ref())?;
            Executions::of_ticket(&statement::StatementTicket::new(query.query, api.services.clock.now()).0)
        }
        Command::CommandPreparedStatementQuery(query) => {
            Executions::of_prepared(&api.sql, &prepared::at(&query.prepared_statement_handle, api.services.clock.now())?)?
        }
        command => {
            let batch = metadata::batch(command)?;
            let stream = api.stream(headers, move |_, emitter| statement::emit_whole(&batch, emitter))?;
            return Ok(Box::pin(stream));
        }
    };
    let (owner, ticket) = (api.clone(), ticket.to_vec());
    let stream = api.stream(headers, move |limits, emitter| {
        let _listed = owner.sql.running.enter(ticket, limits.cancel.clone());
        executions.run(&owner.sql, limits, emitter)
    })?;
    Ok(Box::pin(stream))
}

fn refuse_transaction(id: Option<&prost::bytes::Bytes>) -> Result<(), Status> {
    match id {
        Some(id) if !id.is_empty() => Err(status::unimplemented("there are no transactions: SQL reads only, and each statement by itself")),
        _ => Ok(()),
    }
}
