//! `DoPut`: record batches into the sample sink, one durable acknowledgement per batch, in order.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::{FlightData, PutResult, flight_descriptor::DescriptorType};
use futures::StreamExt;
use tonic::{Status, Streaming};

use super::{decode::FlightDecoder, group};
use crate::{
    Api, Caller, Services, access,
    command::{Command, Form},
    status,
    stream::ResponseStream,
    write::{
        Options, acknowledge,
        draft::{PreparedWrite, WriteDraft, WriteOutcome},
        stream::{self, WriteReader},
    },
};
use historian_access::Right;
use historian_format::journal::JOURNAL_RECORD_SAMPLES_MAX;
use historian_model::sink::WriteError;

/// Starts a write stream; the stream that comes back is that of its acknowledgements.
///
/// # Errors
/// When the stream ends before its first message, or the command in it is no write.
pub async fn start(api: Arc<Api>, caller: Caller, mut messages: Streaming<FlightData>) -> Result<ResponseStream<PutResult>, Status> {
    let Some(first) = messages.message().await? else {
        return Err(status::invalid("", "the stream is empty; its first message carries the descriptor and the schema"));
    };
    if let Some(descriptor) = &first.flight_descriptor
        && let Some(command) = super::sql::command(&descriptor.cmd, api.limits())?
    {
        return super::sql::bind(api, &caller.principal, command, first, messages).await;
    }
    let (options, form) = command(&first, &api)?;
    access::require(&caller.principal, Right::Write)?;
    let (client, call) = (caller.client, caller.call.clone());
    let reader = BatchReader { decoder: FlightDecoder::new(api.limits().decode_allowance()), options, caller };
    let messages = futures::stream::iter([Ok(first)]).chain(messages);
    Ok(Box::pin(stream::start(api, client, call, reader, messages, move |written| answer(written, form))))
}

fn command(first: &FlightData, api: &Api) -> Result<(Options, Form), Status> {
    const EXPECTED: &str = "DoPut takes the command {\"write\": {\"mode\": \"UPSERT\", \"durability\": \"SYNC\", \"create_tags\": true}}";
    let descriptor =
        first.flight_descriptor.as_ref().ok_or_else(|| status::invalid("descriptor", format!("the first message has none; {EXPECTED}")))?;
    if descriptor.r#type() != DescriptorType::Cmd {
        return Err(status::invalid("descriptor", format!("is a path; {EXPECTED}")));
    }
    match Command::parse(&descriptor.cmd, api.limits())? {
        (Command::Write(request), form) => Ok((Options::from_proto(&request)?, form)),
        _ => Err(status::invalid("descriptor", format!("is a query; {EXPECTED}"))),
    }
}

/// Reads the messages of a stream.
struct BatchReader {
    decoder: FlightDecoder,
    options: Options,
    caller: Caller,
}

impl WriteReader for BatchReader {
    type Message = FlightData;

    fn bytes(message: &FlightData) -> usize {
        message.data_body.len()
    }

    fn read(&mut self, services: &Services, message: FlightData) -> Result<Option<PreparedWrite>, Status> {
        services.access.still(&self.caller.principal, &*services.clock)?;
        self.decoder.message(&message)?.map(|batch| prepare(services, &self.caller, &batch, self.options)).transpose()
    }
}

fn answer(written: WriteOutcome, form: Form) -> PutResult {
    PutResult { app_metadata: acknowledge::encoded(written.acknowledgement, form).into() }
}

/// The samples of a batch, which is taken whole or not at all. Blocks on the catalog.
fn prepare(services: &Services, caller: &Caller, batch: &RecordBatch, options: Options) -> Result<PreparedWrite, Status> {
    // What the sink would refuse, before it is copied.
    let (found, limit) = (batch.num_rows(), JOURNAL_RECORD_SAMPLES_MAX);
    if found > limit {
        return Err(status::from_write(&WriteError::TooLarge { found, limit }));
    }
    let mut draft = WriteDraft::new(services, caller, options);
    let grouped = group::group(batch, &mut |names, value_type| draft.tags(names, value_type))?;
    draft.add_fitted(grouped);
    draft.prepare()
}
