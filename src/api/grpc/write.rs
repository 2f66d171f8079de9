//! `WriteService`: samples as columns per tag, in single calls and in streams. A tag that cannot be written is a row of the answer, not the
//! end of the call. Bulk ingest goes through Flight `DoPut`.

use std::{pin::Pin, sync::Arc};

use historian_proto::v1::{
    self, WriteSamplesRequest, WriteSamplesResponse, WriteSamplesStreamRequest, WriteSamplesStreamResponse,
    write_service_server::WriteService,
};
use prost::Message;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Api, Caller, Services, answer, blocking,
    write::{
        Options, acknowledge, correct,
        draft::{PreparedWrite, RefusedTags, WriteDraft, WriteOutcome},
        sample,
        stream::{self, WriteReader},
    },
};

pub struct Writes(pub Arc<Api>);

#[tonic::async_trait]
impl WriteService for Writes {
    async fn write_samples(&self, request: Request<WriteSamplesRequest>) -> Result<Response<WriteSamplesResponse>, Status> {
        let (caller, request) = Caller::take(request);
        let (services, call) = (self.0.services.clone(), caller.call.clone());
        let prepared = blocking(move || prepare(&services, &caller, request)).await?;
        let written = prepared.write(self.0.services.clone()).await?;
        call.add_rows(written.acknowledgement.samples);
        Ok(Response::new(response(written)))
    }

    type WriteSamplesStreamStream = Pin<Box<dyn Stream<Item = Result<WriteSamplesStreamResponse, Status>> + Send>>;

    async fn write_samples_stream(
        &self,
        request: Request<Streaming<WriteSamplesStreamRequest>>,
    ) -> Result<Response<Self::WriteSamplesStreamStream>, Status> {
        let (caller, messages) = Caller::take(request);
        let (api, client, call) = (self.0.clone(), caller.client, caller.call.clone());
        Ok(Response::new(Box::pin(stream::start(api, client, call, StreamReader(caller), messages, streamed))))
    }

    async fn delete_range(&self, request: Request<v1::DeleteRangeRequest>) -> Result<Response<v1::DeleteRangeResponse>, Status> {
        let (caller, request) = Caller::take(request);
        correct::delete_range(&self.0, &caller, request).await.map(Response::new)
    }

    async fn replace_range(&self, request: Request<v1::ReplaceRangeRequest>) -> Result<Response<v1::ReplaceRangeResponse>, Status> {
        let (caller, request) = Caller::take(request);
        correct::replace_range(self.0.services.clone(), caller, request).await.map(Response::new)
    }
}

/// The samples that fit their tags; the others are rows of the answer. Blocks on the catalog.
fn prepare(services: &Services, caller: &Caller, request: WriteSamplesRequest) -> Result<PreparedWrite, Status> {
    let mut draft = WriteDraft::new(services, caller, Options::from_proto(&request.options.unwrap_or_default())?);
    for mut message in request.samples {
        let tag = std::mem::take(&mut message.tag);
        let added = sample::from_proto(message).and_then(|samples| draft.add(&tag, samples));
        if let Err(refusal) = added {
            draft.leave_out(&tag, refusal);
        }
    }
    draft.prepare()
}

fn response(written: WriteOutcome) -> WriteSamplesResponse {
    let v1::WriteAcknowledgement { watermark, samples, rejected, rejections } = acknowledge::message(written.acknowledgement);
    let RefusedTags { shown, more } = written.refused;
    let failures = shown.into_iter().map(|refused| refused.refusal.failure(refused.tag)).collect();
    WriteSamplesResponse { watermark, samples, failures: answer::failures(failures, more), rejected, rejections }
}

/// Reads the messages of a stream of somebody.
struct StreamReader(Caller);

impl WriteReader for StreamReader {
    type Message = WriteSamplesStreamRequest;

    fn bytes(message: &WriteSamplesStreamRequest) -> usize {
        message.encoded_len()
    }

    fn read(&mut self, services: &Services, message: WriteSamplesStreamRequest) -> Result<Option<PreparedWrite>, Status> {
        services.access.still(&self.0.principal, &*services.clock)?;
        let WriteSamplesStreamRequest { options, samples } = message;
        prepare(services, &self.0, WriteSamplesRequest { options, samples }).map(Some)
    }
}

/// An answer as the stream has it.
fn streamed(written: WriteOutcome) -> WriteSamplesStreamResponse {
    let WriteSamplesResponse { watermark, samples, failures, rejected, rejections } = response(written);
    WriteSamplesStreamResponse { watermark, samples, failures, rejected, rejections }
}
