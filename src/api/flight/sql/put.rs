//! `DoPut` of Flight SQL: values for the parameters of a prepared statement. Everything else that is put would change something, and is refused.

use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Schema},
};
use arrow_flight::{
    FlightData, PutResult,
    sql::{Command, DoPutPreparedStatementResult},
};
use futures::StreamExt;
use prost::{Message, bytes::Bytes};
use tonic::{Status, Streaming};

use super::prepared::{BYTES_MAX, HEADERS_BYTES_MAX, ROWS_MAX, values_allowance};
use historian_access::{Principal, Right};

use crate::{Api, DecodeAllowance, access, blocking, flight::decode::FlightDecoder, status, stream::ResponseStream};
use historian_sql::ScalarValue;

/// Answers a `DoPut` whose first message has a command of Flight SQL.
///
/// # Errors
/// Why the values cannot be bound, or that nothing can be written by SQL.
pub async fn bind(
    api: Arc<Api>,
    principal: &Principal,
    command: Command,
    first: FlightData,
    mut messages: Streaming<FlightData>,
) -> Result<ResponseStream<PutResult>, Status> {
    access::require(principal, Right::Read)?;
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
    let statement = api.sql.prepared.get(&query.prepared_statement_handle, principal)?;

    let mut room = Room::default();
    let mut kept = vec![room.values_of(&first)?];
    drop(first);
    while let Some(message) = messages.next().await {
        kept.push(room.values_of(&message?)?);
    }
    let handle = blocking(move || {
        rows(&kept)?; // what cannot be read is refused now, and not when the statement runs
        Ok(api.sql.prepared.bind(statement, kept))
    })
    .await?;
    let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) };
    Ok(Box::pin(futures::stream::iter([Ok(PutResult { app_metadata: result.encode_to_vec().into() })])))
}

/// How much is bound already.
#[derive(Clone, Copy, Default)]
struct Room {
    messages: usize,
    header_bytes: usize,
    body_bytes: usize,
}

impl Room {
    /// A message without what is not of its batch. Its bytes are a copy: slices of what came would keep all of it, metadata too.
    fn values_of(&mut self, message: &FlightData) -> Result<FlightData, Status> {
        self.messages += 1;
        self.header_bytes += message.data_header.len();
        self.body_bytes += message.data_body.len();
        // The first message is the schema.
        if self.body_bytes > BYTES_MAX || self.header_bytes > HEADERS_BYTES_MAX || self.messages > ROWS_MAX + 1 {
            return Err(status::too_much(
                "parameters",
                format!("the parameters have more than {BYTES_MAX} bytes, {HEADERS_BYTES_MAX} bytes of headers, or {ROWS_MAX} messages"),
            ));
        }
        let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        Ok(FlightData { data_header: copy(&message.data_header), data_body: copy(&message.data_body), ..FlightData::default() })
    }
}

/// One list of values for each row of all batches.
///
/// # Errors
/// When they cannot be read, are too many or are not plain values.
pub fn rows(messages: &[FlightData]) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let mut decoder = FlightDecoder::checked(DecodeAllowance::new("parameters", BYTES_MAX), check).with_nulls(ROWS_MAX);
    // A value takes its place in each row, whether it is null or a text that stands once in a dictionary.
    let mut values = values_allowance();
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
            values.take(batch.num_columns() * size_of::<ScalarValue>(), VALUES)?;
            let row = batch.columns().iter().map(|column| value(column, row, &mut values));
            rows.push(row.collect::<Result<Vec<_>, _>>()?);
        }
    }
    Ok(rows)
}

const VALUES: &str = "the values of all rows of parameters";

/// One value. What it takes beside its place is counted as soon as it is there; a value is no longer than all bytes that may be bound.
fn value(column: &ArrayRef, row: usize, allowance: &mut DecodeAllowance) -> Result<ScalarValue, Status> {
    let value = ScalarValue::try_from_array(column, row).map_err(|error| status::invalid("parameters", error.strip_backtrace()))?;
    allowance.take(value.size() - size_of::<ScalarValue>(), VALUES)?;
    Ok(value)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{DictionaryArray, Float64Array, Int32Array, NullArray, RecordBatch, StringArray},
        datatypes::Field,
    };
    use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
    use futures::{TryStreamExt, executor::block_on};
    use tonic::Code;

    use super::*;

    fn bound(columns: Vec<ArrayRef>) -> Vec<FlightData> {
        let field = |(number, column): (usize, &ArrayRef)| Field::new(format!("${number}"), column.data_type().clone(), true);
        let schema = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema, columns).unwrap();
        let encoder = FlightDataEncoderBuilder::new()
            .with_dictionary_handling(DictionaryHandling::Resend)
            .with_max_flight_data_size(usize::MAX)
            .build(futures::stream::iter([Ok(batch)]));
        block_on(encoder.try_collect()).unwrap()
    }

    fn texts(bytes: usize, rows: usize) -> ArrayRef {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(bytes)]));
        Arc::new(DictionaryArray::new(Int32Array::from(vec![0; rows]), text))
    }

    #[test]
    fn a_value_is_counted_in_each_row_however_short_it_came() {
        let nulls = |columns: usize| vec![Arc::new(NullArray::new(ROWS_MAX)) as ArrayRef; columns];
        assert_eq!(rows(&bound(nulls(10))).unwrap(), vec![vec![ScalarValue::Null; 10]; ROWS_MAX]);
        assert_eq!(rows(&bound(vec![texts(1_000, ROWS_MAX)])).unwrap().len(), ROWS_MAX);
        for many in [nulls(1_000), vec![texts(100_000, ROWS_MAX)]] {
            let refused = rows(&bound(many)).unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted);
            assert!(refused.message().contains("more than 16777216 bytes"), "{}", refused.message());
        }
    }

    #[test]
    fn what_is_kept_is_not_a_part_of_what_came() {
        let sent = bound(vec![Arc::new(Float64Array::from(vec![1.5]))]);
        for message in sent {
            let message = FlightData { app_metadata: vec![0; 1 << 20].into(), ..message };
            let kept = Room::default().values_of(&message).unwrap();
            assert_eq!((&kept.data_header, &kept.data_body), (&message.data_header, &message.data_body));
            assert!(kept.app_metadata.is_empty());
            assert!(!message.data_header.as_ptr_range().contains(&kept.data_header.as_ptr()));
        }
        let of = |header: usize, body: usize| FlightData {
            data_header: vec![0; header].into(),
            data_body: vec![0; body].into(),
            ..FlightData::default()
        };
        let mut room = Room::default();
        room.values_of(&of(HEADERS_BYTES_MAX - 1, 0)).unwrap();
        room.values_of(&of(1, BYTES_MAX)).unwrap();
        for more in [of(1, 0), of(0, 1)] {
            let mut room = room;
            assert_eq!(room.values_of(&more).unwrap_err().code(), Code::ResourceExhausted);
        }
        let mut room = Room::default();
        assert!((0..=ROWS_MAX).all(|_| room.values_of(&of(0, 0)).is_ok()) && room.values_of(&of(0, 0)).is_err());
    }
}
