//! Executions of statements: their tickets, and their answers as Flight messages.

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use arrow_flight::FlightData;
use prost::{Message, bytes::Bytes};
use tonic::Status;

use super::Sql;
use crate::{
    api::{flight::encode::Encoder, status, stream::Emitter},
    model::Timestamp,
    query::{
        QueryLimits,
        sql::{Reply, ScalarValue, Statement},
    },
};

/// What a ticket of a statement holds.
#[derive(Clone, PartialEq, Message)]
pub struct StatementTicket {
    #[prost(string, tag = "1")]
    pub text: String,
    /// The present time of the statement, in nanoseconds since 1970.
    #[prost(sfixed64, tag = "2")]
    pub now: i64,
    /// Tells executions of the same text apart, so that cancelling one leaves the others alone.
    #[prost(fixed64, tag = "3")]
    pub execution: u64,
}

impl StatementTicket {
    pub fn new(text: String, now: Timestamp) -> (StatementTicket, Bytes) {
        let ticket = StatementTicket { text, now: now.0, execution: rand::random() };
        let bytes = ticket.encode_to_vec().into();
        (ticket, bytes)
    }

    pub fn read(bytes: &[u8]) -> Result<StatementTicket, Status> {
        StatementTicket::decode(bytes).map_err(|_| status::invalid("statement_handle", "is none that this historian gave"))
    }
}

/// One statement to be executed, once or for each row of its parameters.
pub struct Executions {
    statements: Vec<Statement>,
}

impl Executions {
    pub fn of_ticket(ticket: &StatementTicket) -> Executions {
        let statement = Statement { text: ticket.text.clone(), now: Timestamp(ticket.now), parameters: Vec::new() };
        Executions { statements: vec![statement] }
    }

    /// # Errors
    /// `NOT_FOUND` when the prepared statement is gone.
    pub fn of_prepared(sql: &Sql, handle: &[u8]) -> Result<Executions, Status> {
        let (now, entry) = sql.prepared.get(handle)?;
        let statement = |parameters: &Vec<ScalarValue>| Statement { text: entry.text.clone(), now, parameters: parameters.clone() };
        let statements = if entry.rows.is_empty() { vec![statement(&Vec::new())] } else { entry.rows.iter().map(statement).collect() };
        Ok(Executions { statements })
    }

    /// Schema of the answer. Blocks on planning.
    pub fn schema(&self, sql: &Sql, limits: &QueryLimits) -> Result<SchemaRef, Status> {
        let description = sql.engine.describe(&self.statements[0], limits).map_err(|error| status::from_sql(&error))?;
        if !description.parameters.fields().is_empty() && self.statements[0].parameters.is_empty() {
            let names: Vec<_> = description.parameters.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(status::invalid(
                "parameters",
                format!("the statement has the parameters {}; prepare it and bind them", names.join(", ")),
            ));
        }
        Ok(description.schema)
    }

    /// Runs all executions one after the other as one answer. Blocks.
    pub fn run(&self, sql: &Sql, limits: &QueryLimits, emitter: &Emitter<FlightData>) -> Result<(), Status> {
        let mut begun: Option<(Encoder, SchemaRef)> = None;
        let mut failed = None;
        let mut reading = true;
        for statement in &self.statements {
            let ended = sql.engine.run(statement, limits, &mut |reply| {
                match reply {
                    Reply::Schema(schema) => match &begun {
                        None => {
                            let (encoder, message) = Encoder::new(&schema);
                            begun = Some((encoder, schema));
                            reading = emitter.emit(message);
                        }
                        Some((_, first)) if *first == schema => {}
                        Some(_) => {
                            failed = Some(status::invalid("parameters", "rows of parameters of different types give different columns"));
                        }
                    },
                    Reply::Batch(batch) => {
                        let Some((encoder, _)) = &mut begun else { return false };
                        match encoder.batch(&batch, &mut |message| emitter.emit(message)) {
                            Ok(read) => reading = read,
                            Err(error) => failed = Some(status::internal(error.to_string())),
                        }
                    }
                }
                reading && failed.is_none()
            });
            match failed {
                Some(error) => return Err(error),
                None if !reading => return Ok(()), // the stream has its own end
                None => ended.map_err(|error| status::from_sql(&error))?,
            }
        }
        Ok(())
    }
}

/// A whole answer of one batch.
pub fn emit_whole(batch: &RecordBatch, emitter: &Emitter<FlightData>) -> Result<(), Status> {
    let (mut encoder, message) = Encoder::new(&batch.schema());
    if emitter.emit(message) {
        encoder.batch(batch, &mut |message| emitter.emit(message)).map_err(|error| status::internal(error.to_string()))?;
    }
    Ok(())
}

/// A schema as Flight SQL carries it inside of messages: one IPC message with its length before it.
///
/// # Errors
/// When it cannot be encoded.
pub fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    use arrow_flight::{IpcMessage, SchemaAsIpc};
    let options = arrow::ipc::writer::IpcWriteOptions::default();
    let message: Result<IpcMessage, arrow::error::ArrowError> = SchemaAsIpc::new(schema, &options).try_into();
    message.map(|IpcMessage(bytes)| bytes).map_err(|error| status::internal(error.to_string()))
}
