//! `DoExchange`: the client sends rows with times (batches, orders, laboratory samples), and gets them back with what each tag was then.

use std::{sync::Arc, time::Instant};

use arrow::datatypes::SchemaRef;
use arrow_flight::{FlightData, flight_descriptor::DescriptorType};
use historian_proto::v1;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{decode::FlightDecoder, encode::Encoder};
use crate::{
    Api, Caller, Services,
    command::Command,
    kind::{AsOfKind, Asker, QueryKind, check_schema},
    status,
    stream::{Emitter, ResponseStream},
};
use historian_query::{QueryError, QueryLimits};

/// Rows joined at once; fewer where there are many tags.
const ROWS_MAX: usize = 65_536;
/// Samples of one such part.
const CELLS_MAX: usize = 1 << 20;

const EXPECTED: &str = "DoExchange takes the command {\"asof\": {\"tags\": [\"area1/**\"], \"tolerance\": \"1h\"}}";

/// Starts an exchange; the stream that comes back is that of its answers.
///
/// # Errors
/// When the stream ends before its first message, or the command in it is no join.
pub async fn start(api: &Arc<Api>, caller: &Caller, mut messages: Streaming<FlightData>) -> Result<ResponseStream<FlightData>, Status> {
    let Some(first) = messages.message().await? else {
        return Err(status::invalid("", "the stream is empty; its first message carries the descriptor and the schema"));
    };
    let request = command(&first, api)?;
    let services = api.services.clone();
    let query = api.bounded(caller, move |limits| match AsOfKind::resolve(&Asker::new(&services, limits), request)? {
        (query, missing) if missing.is_empty() => Ok(query),
        (_, missing) => Err(status::tags_not_found(&missing)),
    });
    let query = query.await?;
    let (services, draining, runtime) = (api.services.clone(), api.draining.clone(), Handle::current());
    caller.call.is_of(AsOfKind::NAME);
    let stream = api.start(caller, move |limits, emitter| {
        let decoder = FlightDecoder::checked(services.limits.decode_allowance(), check_schema);
        let mut join = Join { services: &services, query, decoder, encoder: None, rows: 0 };
        let mut source = MessageSource { messages, runtime, draining };
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
    });
    let stream = stream.await?;
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
struct MessageSource {
    messages: Streaming<FlightData>,
    runtime: Handle,
    draining: CancellationToken,
}

impl MessageSource {
    /// The next message; `None` when the client has sent all.
    fn next(&mut self, services: &Services, limits: &QueryLimits) -> Result<Option<FlightData>, Status> {
        let idle = services.limits.stalled_reader_timeout;
        let wait = idle.min(limits.deadline.saturating_duration_since(Instant::now()));
        let (messages, draining) = (&mut self.messages, &self.draining);
        #[expect(clippy::disallowed_methods, reason = "runs on a blocking thread, never inside a task")]
        limits.away(|| {
            self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = draining.cancelled() => Err(status::stopping()),
                    () = limits.cancel.cancelled() => Err(status::from_query(&QueryError::Cancelled)),
                    message = tokio::time::timeout(wait, messages.message()) => message.unwrap_or_else(|_| {
                        let seconds = wait.as_secs();
                        Err(status::deadline(format!("the client sent nothing for {seconds} s; open an exchange when there are rows to join")))
                    }),
                }
            })
        })
    }
}

/// One exchange.
struct Join<'a> {
    services: &'a Services,
    query: AsOfKind,
    decoder: FlightDecoder,
    /// And the schema of the answer, once the client's has come.
    encoder: Option<(Encoder, SchemaRef)>,
    rows: u64,
}

impl Join<'_> {
    /// Answers one message; false when nobody reads.
    fn take(&mut self, message: &FlightData, limits: &QueryLimits, emitter: &Emitter<FlightData>) -> Result<bool, Status> {
        let batch = self.decoder.message(message)?;
        if let (None, Some(schema)) = (&self.encoder, self.decoder.schema()) {
            let schema = self.query.schema(schema)?;
            let (encoder, message) = Encoder::new(&schema);
            self.encoder = Some((encoder, schema));
            if !emitter.emit(message) {
                return Ok(false);
            }
        }
        let (Some(batch), Some((encoder, schema))) = (batch, &mut self.encoder) else { return Ok(true) };
        self.rows += batch.num_rows() as u64;
        emitter.count_rows(batch.num_rows());
        if self.rows > limits.rows_max {
            return Err(status::from_query(&QueryError::TooManyRows(limits.rows_max)));
        }
        let rows = (CELLS_MAX / self.query.tags().max(1)).clamp(1, ROWS_MAX);
        for from in (0..batch.num_rows()).step_by(rows) {
            let part = batch.slice(from, rows.min(batch.num_rows() - from));
            let joined = self.query.join(&self.services.query, &part, schema, limits)?;
            let sent = encoder.batch(&joined, &mut |message| emitter.emit(message));
            if !sent.map_err(|error| status::internal(error.to_string()))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
