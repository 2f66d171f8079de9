//! `DoExchange`: the client sends rows with times (batches, orders, laboratory samples), and gets them back with what each tag was then.

use std::{sync::Arc, time::Instant};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array},
    datatypes::{
        DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
        TimestampSecondType,
    },
};
use arrow_flight::{FlightData, flight_descriptor::DescriptorType};
use historian_proto::v1;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming, metadata::MetadataMap};

use super::{
    decode::{Decoder, nanoseconds_per, shown, type_name},
    encode::Encoder,
};
use crate::{
    Api, Services, blocking,
    command::Command,
    kind::{AsOfKind, Asker, QueryKind},
    status,
    stream::Emitter,
};
use historian_query::{AsOfQuery, QueryError, QueryLimits, as_of_fields, check_names, tells_states};

/// Rows joined at once; fewer where there are many tags.
const ROWS_MAX: usize = 65_536;
/// Samples of one such part.
const CELLS_MAX: usize = 1 << 20;

const EXPECTED: &str = "DoExchange takes the command {\"asof\": {\"tags\": [\"area1/**\"], \"tolerance\": \"1h\"}}";

/// Starts an exchange; the stream that comes back is that of its answers.
///
/// # Errors
/// When the stream ends before its first message, or the command in it is no join.
pub async fn start(
    api: &Arc<Api>,
    headers: &MetadataMap,
    mut messages: Streaming<FlightData>,
) -> Result<super::Answer<FlightData>, Status> {
    let Some(first) = messages.message().await? else {
        return Err(status::invalid("", "the stream is empty; its first message carries the descriptor and the schema"));
    };
    let request = command(&first, api)?;
    let services = api.services.clone();
    let query = blocking(move || match AsOfKind::resolve(&Asker::new(&services), request)? {
        (AsOfKind { query }, missing) if missing.is_empty() => Ok(query),
        (_, missing) => Err(status::tags_not_found(&missing)),
    })
    .await?;
    let (services, draining, runtime) = (api.services.clone(), api.draining.clone(), Handle::current());
    let stream = api.stream(headers, move |limits, emitter| {
        let decoder = Decoder::checked(services.limits.message_bytes_max, check_schema);
        let mut join = Join { services: &services, query, decoder, encoder: None, rows: 0 };
        let mut source = Source { messages, runtime, draining };
        let mut next = Some(first);
        while let Some(message) = next {
            if !join.take(&message, limits, emitter)? {
                return Ok(());
            }
            next = source.next(&services, limits)?;
        }
        match join.encoder {
            Some(_) => Ok(()),
            None => Err(status::invalid("schema", "the stream ended without a schema")),
        }
    })?;
    Ok(Box::pin(stream))
}

fn command(first: &FlightData, api: &Api) -> Result<v1::AsOfRequest, Status> {
    let descriptor =
        first.flight_descriptor.as_ref().ok_or_else(|| status::invalid("descriptor", format!("the first message has none; {EXPECTED}")))?;
    if descriptor.r#type() != DescriptorType::Cmd {
        return Err(status::invalid("descriptor", format!("is a path; {EXPECTED}")));
    }
    match Command::parse(&descriptor.cmd, api.limits())?.0.request::<v1::AsOfRequest>() {
        Some(request) if request.timestamps.is_empty() => Ok(request.clone()),
        Some(_) => Err(status::invalid("timestamps", "come in the column timestamp of the rows, not in the command")),
        None => Err(status::invalid("descriptor", format!("is another command; {EXPECTED}"))),
    }
}

/// The client's messages, awaited on a blocking thread.
struct Source {
    messages: Streaming<FlightData>,
    runtime: Handle,
    draining: CancellationToken,
}

impl Source {
    /// The next message; `None` when the client has sent all.
    fn next(&mut self, services: &Services, limits: &QueryLimits) -> Result<Option<FlightData>, Status> {
        let idle = services.limits.stalled_reader_timeout;
        let wait = idle.min(limits.deadline.saturating_duration_since(Instant::now()));
        let (messages, draining) = (&mut self.messages, &self.draining);
        #[expect(clippy::disallowed_methods, reason = "runs on a blocking thread, never inside a task")]
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = draining.cancelled() => Err(status::stopping()),
                () = limits.cancel.cancelled() => Err(status::from_query(&QueryError::Cancelled)),
                message = tokio::time::timeout(wait, messages.message()) => message.unwrap_or_else(|_| {
                    Err(status::deadline(format!("the client sent nothing for {} s; open an exchange when there are rows to join", wait.as_secs())))
                }),
            }
        })
    }
}

/// One exchange.
struct Join<'a> {
    services: &'a Services,
    query: AsOfQuery,
    decoder: Decoder,
    /// And the schema of the answer, once the client's has come.
    encoder: Option<(Encoder, SchemaRef)>,
    rows: u64,
}

impl Join<'_> {
    /// Answers one message; false when nobody reads.
    fn take(&mut self, message: &FlightData, limits: &QueryLimits, emitter: &Emitter<FlightData>) -> Result<bool, Status> {
        let batch = self.decoder.message(message)?;
        if let (None, Some(schema)) = (&self.encoder, self.decoder.schema()) {
            let schema = answer_schema(schema, &self.query)?;
            let (encoder, message) = Encoder::new(&schema);
            self.encoder = Some((encoder, schema));
            if !emitter.emit(message) {
                return Ok(false);
            }
        }
        let (Some(batch), Some((encoder, schema))) = (batch, &mut self.encoder) else { return Ok(true) };
        self.rows += batch.num_rows() as u64;
        if self.rows > limits.rows_max {
            return Err(status::from_query(&QueryError::TooManyRows(limits.rows_max)));
        }
        let rows = (CELLS_MAX / self.query.tags.len().max(1)).clamp(1, ROWS_MAX);
        for from in (0..batch.num_rows()).step_by(rows) {
            let part = batch.slice(from, rows.min(batch.num_rows() - from));
            let joined = join(self.services, &self.query, &part, schema, limits)?;
            let sent = encoder.batch(&joined, &mut |message| emitter.emit(message));
            if !sent.map_err(|error| status::internal(error.to_string()))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The rows with the columns of the tags. A row without a time gets nulls.
fn join(
    services: &Services,
    query: &AsOfQuery,
    rows: &RecordBatch,
    schema: &SchemaRef,
    limits: &QueryLimits,
) -> Result<RecordBatch, Status> {
    let failed = |error: arrow::error::ArrowError| status::internal(format!("the joined rows could not be formed: {error}"));
    let times = nanoseconds(rows)?;
    let known: Vec<i64> = times.iter().copied().flatten().collect();
    // Which of the joined samples each row gets.
    let mut next = 0..;
    let places: Option<UInt32Array> =
        (known.len() < times.len()).then(|| times.iter().map(|time| time.and_then(|_| next.next())).collect());
    let query = AsOfQuery { times: known, ..query.clone() };
    let answers = services.query.as_of(&query, limits).map_err(|error| status::from_query(&error))?;
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    for answer in answers {
        let arrays = answer.and_then(historian_query::Held::into_arrays).map_err(|error| status::from_query(&error))?;
        for array in arrays {
            columns.push(match &places {
                None => array,
                Some(_) if array.is_empty() => new_null_array(array.data_type(), rows.num_rows()),
                Some(places) => arrow::compute::take(array.as_ref(), places, None).map_err(failed)?,
            });
        }
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(failed)
}

/// The client's columns and three for each tag.
fn answer_schema(rows: &Schema, query: &AsOfQuery) -> Result<SchemaRef, Status> {
    let mut fields: Vec<Field> = rows.fields().iter().map(|field| field.as_ref().clone()).collect();
    let states = tells_states(&query.tags);
    let added: Vec<Field> = query.tags.iter().flat_map(|tag| as_of_fields(tag, states)).collect();
    if let Some(field) = fields.iter().find(|field| added.iter().any(|added| added.name() == field.name())) {
        let message = format!("the column {} has the name of one that is to be added for a tag; rename it", shown(field));
        return Err(status::invalid("schema", message));
    }
    check_names(&added).map_err(|error| status::from_query(&error))?;
    fields.extend(added);
    Ok(Arc::new(Schema::new(fields).with_metadata(rows.metadata().clone())))
}

/// Takes any columns that can be passed on, and asks for the times.
fn check_schema(schema: &Schema) -> Result<(), Status> {
    const WANTED: &str = "rows to join have a column timestamp of type Timestamp and any others";
    let Ok(field) = schema.field_with_name("timestamp") else {
        let found: Vec<String> = schema.fields().iter().take(20).map(|field| shown(field)).collect();
        return Err(status::invalid("schema", format!("the column timestamp is missing, found {}; {WANTED}", found.join(", "))));
    };
    if !matches!(field.data_type(), DataType::Timestamp(..)) {
        return Err(status::invalid("schema", format!("the column timestamp has the type {}; {WANTED}", type_name(field.data_type()))));
    }
    for (index, field) in schema.fields().iter().enumerate() {
        if schema.fields().iter().take(index).any(|before| before.name() == field.name()) {
            return Err(status::invalid("schema", format!("the column {} occurs twice", shown(field))));
        }
        if !passes(field.data_type()) {
            let message =
                format!("the column {} has the type {}, which is not passed on; leave it out", shown(field), type_name(field.data_type()));
            return Err(status::invalid("schema", message));
        }
    }
    Ok(())
}

fn passes(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(key, value) => key.is_dictionary_key_type() && !value.is_nested() && passes(value),
        DataType::List(item) | DataType::LargeList(item) => passes(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| passes(field.data_type())),
        other => !other.is_nested() && !matches!(other, DataType::RunEndEncoded(..)),
    }
}

/// The times of rows; `None` where a row has none. A zone changes only how a time is written.
fn nanoseconds(rows: &RecordBatch) -> Result<Vec<Option<i64>>, Status> {
    let column = rows.column_by_name("timestamp").ok_or_else(|| status::internal("the rows have no column timestamp"))?;
    let DataType::Timestamp(unit, _) = column.data_type() else {
        return Err(status::internal("the column timestamp has no times"));
    };
    let ticks: &[i64] = match unit {
        TimeUnit::Second => column.as_primitive::<TimestampSecondType>().values(),
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().values(),
        TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().values(),
        TimeUnit::Nanosecond => column.as_primitive::<TimestampNanosecondType>().values(),
    };
    let scale = nanoseconds_per(*unit);
    let time = |(row, tick): (usize, &i64)| {
        if column.is_null(row) {
            return Ok(None);
        }
        tick.checked_mul(scale).map(Some).ok_or_else(|| {
            let message = format!("row {row}: {tick} is outside the years 1678 to 2262, the range of nanoseconds in 64 bits");
            status::invalid("timestamp", message)
        })
    };
    ticks.iter().enumerate().map(time).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{TimestampMillisecondArray, TimestampNanosecondArray};
    use tonic::Code;

    use super::*;

    #[test]
    fn any_columns_are_passed_on_but_those_that_cannot_be() {
        let with = |field: Field| {
            let time = Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("Europe/Berlin".into())), true);
            check_schema(&Schema::new(vec![time, field]))
        };
        let text = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let list = DataType::List(Arc::new(Field::new("item", DataType::Float32, true)));
        for data_type in [DataType::Utf8, text, list, DataType::Null, DataType::Decimal128(10, 2), DataType::Date32] {
            assert!(with(Field::new("x", data_type.clone(), true)).is_ok(), "{data_type}");
        }
        let runs = Arc::new(Field::new("run_ends", DataType::Int32, false));
        let values = Arc::new(Field::new("values", DataType::Utf8, true));
        for (field, fragment) in [
            (Field::new("timestamp", DataType::Int64, true), "twice"),
            (Field::new("x", DataType::RunEndEncoded(runs, values), true), "leave it out"),
        ] {
            let error = with(field).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().contains(fragment), "{}", error.message());
        }
        let error = check_schema(&Schema::new(vec![Field::new("time", DataType::Int64, true)])).unwrap_err();
        assert!(error.message().contains("timestamp is missing, found \"time\""), "{}", error.message());
        let error = check_schema(&Schema::new(vec![Field::new("timestamp", DataType::Int64, true)])).unwrap_err();
        assert!(error.message().contains("Int64"), "{}", error.message());
    }

    #[test]
    fn times_of_any_unit_are_exact_or_refused() {
        let of = |times: ArrayRef| {
            let schema = Schema::new(vec![Field::new("timestamp", times.data_type().clone(), true)]);
            nanoseconds(&RecordBatch::try_new(Arc::new(schema), vec![times]).unwrap())
        };
        assert_eq!(of(Arc::new(TimestampMillisecondArray::from(vec![Some(-3), None]))).unwrap(), [Some(-3_000_000), None]);
        assert_eq!(of(Arc::new(TimestampNanosecondArray::from(vec![i64::MIN]))).unwrap(), [Some(i64::MIN)]);
        let error = of(Arc::new(TimestampMillisecondArray::from(vec![0, i64::MAX]))).unwrap_err();
        assert!(error.message().contains("row 1"), "{}", error.message());
    }
}
