//! A statement on its way through Flight SQL: planned, its parameters bound, its answer fetched endpoint after endpoint.

use std::{collections::HashMap, sync::Arc};

use anyhow::Context;
use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array},
    datatypes::{DataType, Field, Schema},
};
use arrow_flight::{
    Action, FlightClient, FlightDescriptor, FlightInfo, IpcMessage,
    encode::FlightDataEncoderBuilder,
    error::FlightError,
    sql::{
        ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandPreparedStatementQuery,
        CommandStatementQuery, DoPutPreparedStatementResult, ProstMessageExt,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;

use super::statement::{Parameter, bound};
use crate::{
    client::{self, ServerArgs, ServerChannel},
    output::OutputArgs,
    query,
};

/// Asks one historian.
pub struct SqlClient {
    server: ServerArgs,
    flight: FlightClient<ServerChannel>,
}

impl SqlClient {
    /// # Errors
    /// Nobody answers, or the zone is no word for a header.
    pub async fn connect(server: &ServerArgs, zone: Option<&str>) -> anyhow::Result<SqlClient> {
        let mut flight = server.flight().await?;
        if let Some(zone) = zone {
            flight.add_header("historian-zone", zone).context("--zone")?;
        }
        Ok(SqlClient { server: server.clone(), flight })
    }

    /// Writes the answer of a statement; says how many rows it has.
    ///
    /// # Errors
    /// The refusal of the historian.
    pub async fn answer(&mut self, statement: &str, parameters: &[Parameter], output: &OutputArgs) -> anyhow::Result<usize> {
        let (statement, values) = bound(statement, parameters)?;
        let info = if values.is_empty() {
            let command = CommandStatementQuery { query: statement, transaction_id: None };
            self.info(&command).await?
        } else {
            self.prepared(statement, &values).await?
        };
        let schema = Arc::new(info.clone().try_decode_schema()?);
        let tickets: Vec<_> = info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket).collect();
        let mut batches = vec![stream::iter([Ok(RecordBatch::new_empty(schema.clone()))]).boxed()];
        for ticket in tickets {
            let answer = self.flight.do_get(ticket).await.map_err(client::flight_refusal)?;
            batches.push(answer.map(|batch| batch.map_err(client::flight_refusal)).boxed());
        }
        // Samples have units and types of their own; what is computed of them has none.
        let has = |name: &str| schema.column_with_name(name).is_some();
        let is_sample = ["tag", "timestamp", "value", "quality"].into_iter().all(has);
        let server = self.server.clone();
        let notes = async move |_: &Schema| {
            if is_sample { query::catalog_notes(&server, &[]).await } else { Ok(HashMap::new()) }
        };
        query::write_answer(stream::iter(batches).flatten().boxed(), output, notes).await
    }

    async fn info(&mut self, command: &impl ProstMessageExt) -> anyhow::Result<FlightInfo> {
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        self.flight.get_flight_info(descriptor).await.map_err(client::flight_refusal)
    }

    /// A statement with its parameters bound.
    async fn prepared(&mut self, statement: String, values: &[String]) -> anyhow::Result<FlightInfo> {
        let request = ActionCreatePreparedStatementRequest { query: statement, transaction_id: None };
        let action = Action { r#type: "CreatePreparedStatement".to_owned(), body: request.as_any().encode_to_vec().into() };
        let answer = self.flight.do_action(action).await.map_err(client::flight_refusal)?;
        let answers: Vec<_> = answer.try_collect().await.map_err(client::flight_refusal)?;
        let unreadable = "what the historian answers to a prepared statement cannot be read; is it of another version?";
        let any = Any::decode(answers.first().context(unreadable)?.clone()).context(unreadable)?;
        let made: ActionCreatePreparedStatementResult = any.unpack().ok().flatten().context(unreadable)?;
        let declared = if made.parameter_schema.is_empty() {
            Schema::empty()
        } else {
            Schema::try_from(IpcMessage(made.parameter_schema)).context(unreadable)?
        };
        let command = CommandPreparedStatementQuery { prepared_statement_handle: made.prepared_statement_handle };
        let row = row(values, &declared)?;
        let encoded = FlightDataEncoderBuilder::new()
            .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command.as_any().encode_to_vec())))
            .build(stream::iter([Ok::<_, FlightError>(row)]));
        let bound = self.flight.do_put(encoded).await.map_err(client::flight_refusal)?;
        let bound: Vec<_> = bound.try_collect().await.map_err(client::flight_refusal)?;
        let handle = bound
            .first()
            .and_then(|result| DoPutPreparedStatementResult::decode(result.app_metadata.clone()).ok()?.prepared_statement_handle);
        let handle = handle.unwrap_or(command.prepared_statement_handle);
        self.info(&CommandPreparedStatementQuery { prepared_statement_handle: handle }).await
    }
}

/// The values as a row: where the statement wants a text, as such, else as numbers and truth values where they are some. What no number holds exactly
/// stays a text.
fn row(values: &[String], declared: &Schema) -> anyhow::Result<RecordBatch> {
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for (index, text) in values.iter().enumerate() {
        let wanted = declared.fields().get(index).map(|field| field.data_type());
        let is_text = wanted.is_some_and(|wanted| matches!(wanted, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View));
        let is_whole = text.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit());
        let array: ArrayRef = if is_text {
            Arc::new(StringArray::from(vec![text.as_str()]))
        } else if let Ok(integer) = text.parse::<i64>() {
            Arc::new(Int64Array::from(vec![integer]))
        } else if let Ok(integer) = text.parse::<u64>() {
            Arc::new(UInt64Array::from(vec![integer]))
        } else if let Some(number) = text.parse::<f64>().ok().filter(|_| !is_whole) {
            Arc::new(Float64Array::from(vec![number]))
        } else if let Ok(truth) = text.parse::<bool>() {
            Arc::new(BooleanArray::from(vec![truth]))
        } else {
            Arc::new(StringArray::from(vec![text.as_str()]))
        };
        columns.push((Field::new(format!("${}", index + 1), array.data_type().clone(), true), array));
    }
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_bound_as_what_holds_it_exactly() {
        let typed = |text: &str| row(&[text.to_owned()], &Schema::empty()).unwrap().column(0).data_type().clone();
        for (text, wanted) in [
            ("7", DataType::Int64),
            ("-9223372036854775808", DataType::Int64),
            ("18446744073709551615", DataType::UInt64),
            ("18446744073709551616", DataType::Utf8),
            ("1.5", DataType::Float64),
            ("1e30", DataType::Float64),
            ("true", DataType::Boolean),
            ("area1/boiler", DataType::Utf8),
            ("", DataType::Utf8),
        ] {
            assert_eq!(typed(text), wanted, "{text}");
        }
        let text = Schema::new(vec![Field::new("$1", DataType::Utf8, true)]);
        assert_eq!(row(&["7".to_owned()], &text).unwrap().column(0).data_type(), &DataType::Utf8);
    }
}
