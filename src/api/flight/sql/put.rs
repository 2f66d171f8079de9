//! `DoPut` of Flight SQL: values for the parameters of a prepared statement. Everything else that is put would change something, and is refused.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use arrow_flight::{
    FlightData, PutResult,
    sql::{Command, DoPutPreparedStatementResult},
};
use futures::StreamExt;
use prost::{Message, bytes::Bytes};
use tonic::{Status, Streaming};

use super::prepared::{BYTES_MAX, ROWS_MAX};
use crate::{Api, blocking, flight::decode::FlightDecoder, status, stream::ResponseStream};
use historian_sql::ScalarValue;

/// Answers a `DoPut` whose first message has a command of Flight SQL.
///
/// # Errors
/// Why the values cannot be bound, or that nothing can be written by SQL.
pub async fn bind(
    api: Arc<Api>,
    command: Command,
    first: FlightData,
    mut messages: Streaming<FlightData>,
) -> Result<ResponseStream<PutResult>, Status> {
    let query = match command {
        Command::CommandPreparedStatementQuery(query) => query,
        Command::CommandStatementUpdate(_) | Command::CommandPreparedStatementUpdate(_) | Command::CommandStatementIngest(_) => {
            return Err(status::invalid(
                "descriptor",
                "SQL reads only; write samples with DoPut and {\"write\": {…}} or WriteService, tags with TagService",
            ));
        }
        Command::CommandStatementSubstraitPlan(_) => {
            return Err(status::unimplemented("Substrait plans are not in this version; send SQL"));
        }
        _ => return Err(status::invalid("descriptor", "is a query; use GetFlightInfo and DoGet")),
    };
    // Known before its values are read.
    let statement = api.sql.prepared.get(&query.prepared_statement_handle)?;

    let mut received = vec![values_of(first)];
    let mut bytes = received[0].data_body.len();
    while let Some(message) = messages.next().await {
        let message = message?;
        bytes += message.data_body.len();
        if bytes > BYTES_MAX || received.len() > ROWS_MAX {
            return Err(status::too_much("parameters", format!("the parameters have more than {BYTES_MAX} bytes or {ROWS_MAX} messages")));
        }
        received.push(values_of(message));
    }
    let handle = blocking(move || {
        rows(&received)?; // what cannot be read is refused now, and not when the statement runs
        Ok(api.sql.prepared.bind(statement, received))
    })
    .await?;
    let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) };
    Ok(Box::pin(futures::stream::iter([Ok(PutResult { app_metadata: result.encode_to_vec().into() })])))
}

/// A message without what is not of its batch.
fn values_of(message: FlightData) -> FlightData {
    FlightData { flight_descriptor: None, app_metadata: Bytes::new(), ..message }
}

/// One list of values for each row of all batches.
///
/// # Errors
/// When they cannot be read, are too many or are not plain values.
pub fn rows(messages: &[FlightData]) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let mut decoder = FlightDecoder::checked(BYTES_MAX, check).with_nulls(ROWS_MAX);
    let mut rows = Vec::new();
    for message in messages {
        let Some(batch) = decoder.message(message)? else { continue };
        if rows.len() + batch.num_rows() > ROWS_MAX {
            return Err(status::too_much(
                "parameters",
                format!("more than {ROWS_MAX} rows of parameters; run the statement several times"),
            ));
        }
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, row));
            rows.push(values.collect::<Result<Vec<_>, _>>().map_err(|error| status::invalid("parameters", error.strip_backtrace()))?);
        }
    }
    Ok(rows)
}

/// Parameters are plain values: one column each, nothing nested.
fn check(schema: &Schema) -> Result<(), Status> {
    for field in schema.fields() {
        let plain = match field.data_type() {
            DataType::Dictionary(_, value) => !value.is_nested(),
            other => !other.is_nested(),
        };
        if !plain {
            let shown: String = field.data_type().to_string().chars().take(120).collect();
            return Err(status::invalid("parameters", format!("the type {shown} is not taken; bind plain values")));
        }
    }
    Ok(())
}
