//! Executions of statements: their tickets, and their answers as Flight messages.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
    ipc::CompressionType,
};
use arrow_flight::FlightData;
use prost::{Message, bytes::Bytes};
use tonic::Status;

use super::{
    Sql,
    answer::AnswerOptions,
    prepared::{BoundStatement, values_allowance},
    put, wire,
};
use crate::{flight::encode::Encoder, message, status, stream::Emitter};
use historian_model::Timestamp;
use historian_query::QueryLimits;
use historian_sql::{ScalarValue, Statement, StatementReply};

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
    /// How the client that asked wants the answer.
    #[prost(message, optional, tag = "4")]
    pub options: Option<AnswerOptions>,
    /// Values of the parameters, as [`BoundStatement`] has them.
    #[prost(message, repeated, tag = "5")]
    pub parameters: Vec<FlightData>,
}

impl StatementTicket {
    pub fn new(text: String, now: Timestamp, options: AnswerOptions) -> StatementTicket {
        StatementTicket { text, now: now.0, execution: rand::random(), options: Some(options), parameters: Vec::new() }
    }

    /// For a prepared statement with the values that are bound to it now.
    pub fn of_prepared(bound: BoundStatement, now: Timestamp, options: AnswerOptions) -> StatementTicket {
        StatementTicket { parameters: bound.parameters, ..StatementTicket::new(bound.text, now, options) }
    }

    pub fn read(bytes: &[u8]) -> Result<StatementTicket, Status> {
        message::check("StatementTicket", bytes, &values_allowance())?;
        StatementTicket::decode(bytes).map_err(|_| status::invalid("statement_handle", "is none that this historian gave"))
    }
}

/// One statement to be executed, once or for each row of its parameters.
pub struct Executions {
    text: String,
    now: Timestamp,
    /// Values of the parameters, for each execution; there is at least one.
    rows: Vec<Vec<ScalarValue>>,
    options: AnswerOptions,
}

impl Executions {
    /// # Errors
    /// When the parameters in the ticket cannot be read.
    pub fn of(ticket: StatementTicket) -> Result<Executions, Status> {
        let options = ticket.options.unwrap_or_default();
        let taken = |row: Vec<ScalarValue>| row.into_iter().map(|value| wire::parameter(value, &options)).collect();
        let mut rows: Vec<Vec<ScalarValue>> = put::rows(&ticket.parameters)?.into_iter().map(taken).collect::<Result<_, Status>>()?;
        if rows.is_empty() {
            rows.push(Vec::new());
        }
        Ok(Executions { text: ticket.text, now: Timestamp(ticket.now), rows, options })
    }

    /// The statement with the values of a row; one at a time, as each has the text.
    fn statement(&self, row: &[ScalarValue]) -> Statement {
        Statement { text: self.text.clone(), now: self.now, parameters: row.to_vec(), zone: self.options.zone.as_str().into() }
    }

    /// Schema of the answer. Blocks on planning.
    pub fn schema(&self, sql: &Sql, limits: &QueryLimits) -> Result<SchemaRef, Status> {
        let first = self.statement(&self.rows[0]);
        let description = sql.engine.describe(&first, limits).map_err(|error| status::from_sql(&error))?;
        if !description.parameters.fields().is_empty() && first.parameters.is_empty() {
            let names: Vec<_> = description.parameters.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(status::invalid(
                "parameters",
                format!("the statement has the parameters {}; prepare it and bind them", names.join(", ")),
            ));
        }
        Ok(self.wire_schema(&description.schema))
    }

    /// The schema told and sent for an answer of the engine. Several executions are one answer, and a column that is never null in one of them
    /// may be so in the next.
    fn wire_schema(&self, engine: &Schema) -> SchemaRef {
        let schema = wire::schema(engine, &self.options);
        if self.rows.len() == 1 {
            return schema;
        }
        let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        Arc::new(Schema::new(nullable.collect::<Vec<_>>()).with_metadata(schema.metadata().clone()))
    }

    /// Runs all executions one after the other as one answer. Blocks.
    pub fn run(
        &self,
        sql: &Sql,
        compression: Option<CompressionType>,
        limits: &QueryLimits,
        emitter: &Emitter<FlightData>,
    ) -> Result<(), Status> {
        let mut begun: Option<(Encoder, SchemaRef)> = None;
        let mut failed = None;
        let mut reading = true;
        for row in &self.rows {
            let ended = sql.engine.run(&self.statement(row), limits, &mut |reply| {
                match (reply, &mut begun) {
                    (StatementReply::Schema(engine), None) => {
                        let schema = self.wire_schema(&engine);
                        match Encoder::compressed(&schema, compression) {
                            Ok((encoder, message)) => {
                                begun = Some((encoder, schema));
                                reading = emitter.emit(message);
                            }
                            Err(error) => failed = Some(status::internal(error.to_string())),
                        }
                    }
                    (StatementReply::Schema(engine), Some((_, first))) => {
                        if *first != self.wire_schema(&engine) {
                            failed = Some(status::invalid("parameters", "rows of parameters of different types give different columns"));
                        }
                    }
                    (StatementReply::Batch(_), None) => return false,
                    (StatementReply::Batch(batch), Some((encoder, schema))) => {
                        emitter.count_rows(batch.num_rows());
                        let sent = send(&batch, schema, &self.options, encoder, emitter);
                        match sent {
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

/// Sends a batch of the engine in the types of the wire; false when nobody reads any more.
fn send(
    batch: &RecordBatch,
    wire: &SchemaRef,
    options: &AnswerOptions,
    encoder: &mut Encoder,
    emitter: &Emitter<FlightData>,
) -> Result<bool, ArrowError> {
    let mut failed = None;
    let whole = wire::batches(batch, wire, options, &mut |part| match encoder.batch(&part, &mut |message| emitter.emit(message)) {
        Ok(read) => read,
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    failed.map_or(whole, Err)
}

/// A whole answer of one batch.
pub fn emit_whole(batch: &RecordBatch, compression: Option<CompressionType>, emitter: &Emitter<FlightData>) -> Result<(), Status> {
    let failed = |error: ArrowError| status::internal(error.to_string());
    let (mut encoder, message) = Encoder::compressed(&batch.schema(), compression).map_err(failed)?;
    if emitter.emit(message) {
        encoder.batch(batch, &mut |message| emitter.emit(message)).map_err(failed)?;
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
