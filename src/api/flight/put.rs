//! `DoPut`: record batches into the sample sink, one durable acknowledgement per batch, in order.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::{FlightData, PutResult, flight_descriptor::DescriptorType};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tonic::{Status, Streaming};

use super::{decode::Decoder, group};
use crate::{
    Api, Services, blocking,
    command::{Command, Form},
    status,
    write::{
        Options, acknowledge,
        answers::{Answers, answers},
        draft::{PreparedWrite, WriteDraft, WriteOutcome},
        started,
    },
};

/// Starts a write stream; the stream that comes back is that of its acknowledgements.
///
/// # Errors
/// When the stream ends before its first message, or the command in it is no write.
pub async fn start(api: Arc<Api>, mut messages: Streaming<FlightData>) -> Result<super::Answer<PutResult>, Status> {
    let Some(first) = messages.message().await? else {
        return Err(status::invalid("", "the stream is empty; its first message carries the descriptor and the schema"));
    };
    if let Some(descriptor) = &first.flight_descriptor
        && let Some(command) = super::sql::command(&descriptor.cmd, api.limits())?
    {
        return super::sql::bind(api, command, first, messages).await;
    }
    let (options, form) = command(&first, &api)?;
    let (acknowledgements, stream) = answers(api.limits().acknowledgements_unread_max, api.limits().stalled_reader_timeout);
    let writer = Writer { decoder: Decoder::new(api.limits().message_bytes_max), options, form, api };
    tokio::spawn(writer.run(first, messages, acknowledgements));
    Ok(Box::pin(stream))
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

struct Writer {
    api: Arc<Api>,
    decoder: Decoder,
    options: Options,
    form: Form,
}

/// One batch on its way: its size, and the acknowledgement when it is durable.
type Writing = BoxFuture<'static, (usize, Result<PutResult, Status>)>;

impl Writer {
    /// Reads, decodes and hands over batch after batch while earlier ones wait for the journal. The first error ends the stream, after the
    /// acknowledgements of what came before it.
    async fn run(mut self, first: FlightData, mut messages: Streaming<FlightData>, answers: Answers<PutResult>) {
        let limits = self.api.limits().clone();
        let api = self.api.clone();
        let mut waiting: FuturesOrdered<Writing> = FuturesOrdered::new();
        let mut bytes_waiting = 0;
        let mut reading = true;
        let mut next = Some(first);
        loop {
            if let Some(message) = next.take() {
                let bytes = message.data_body.len();
                let (writer, writing) = self.take(message).await;
                self = writer;
                if let Some(writing) = writing {
                    bytes_waiting += bytes;
                    reading = writing.is_ok();
                    let writing = writing.unwrap_or_else(|error| async { Err(error) }.boxed());
                    waiting.push_back(writing.map(move |answer| (bytes, answer)).boxed());
                }
            }
            let room = reading && waiting.len() < limits.write_batches_in_flight && bytes_waiting < limits.write_bytes_in_flight;
            tokio::select! {
                biased;
                Some((bytes, answer)) = waiting.next(), if !waiting.is_empty() => {
                    bytes_waiting -= bytes;
                    if !answers.send(answer).await {
                        return;
                    }
                }
                () = api.draining.cancelled(), if reading => {
                    reading = false;
                    waiting.push_back(async { (0, Err(status::stopping())) }.boxed());
                }
                message = messages.next(), if room => match message {
                    None => reading = false,
                    Some(Ok(message)) => next = Some(message),
                    Some(Err(error)) => {
                        reading = false;
                        waiting.push_back(async { (0, Err(error)) }.boxed());
                    }
                },
                else => return,
            }
        }
    }

    /// Decodes one message on a blocking thread and starts its write. `None`: it was no batch.
    async fn take(mut self, message: FlightData) -> (Writer, Option<Result<BoxFuture<'static, Result<PutResult, Status>>, Status>>) {
        let services = self.api.services.clone();
        let options = self.options;
        // A panic would take the decoder with it; the stream ends with an error then, and needs none.
        let spare = Writer { api: self.api.clone(), decoder: Decoder::new(0), options, form: self.form };
        let decoded = blocking(move || {
            let grouped = match self.decoder.message(&message) {
                Ok(None) => None,
                Ok(Some(batch)) => Some(prepare(&services, &batch, options)),
                Err(error) => Some(Err(error)),
            };
            Ok((self, grouped))
        });
        match decoded.await {
            Err(error) => (spare, Some(Err(error))),
            Ok((writer, None)) => (writer, None),
            Ok((writer, Some(Err(error)))) => (writer, Some(Err(error))),
            Ok((writer, Some(Ok(prepared)))) => {
                let form = writer.form;
                let writing = prepared.write(writer.api.services.clone()).map(move |written| written.map(|written| answer(written, form)));
                let writing = started(writing.boxed()).await;
                (writer, Some(Ok(writing)))
            }
        }
    }
}

fn answer(written: WriteOutcome, form: Form) -> PutResult {
    PutResult { app_metadata: acknowledge::encoded(written.acknowledgement, form).into() }
}

/// The samples of a batch, which is taken whole or not at all. Blocks on the catalog.
fn prepare(services: &Services, batch: &RecordBatch, options: Options) -> Result<PreparedWrite, Status> {
    let mut draft = WriteDraft::new(services, options);
    let grouped = group::group(batch, &mut |names, value_type| draft.tags(names, value_type))?;
    draft.add_fitted(grouped);
    draft.prepare()
}
