//! `WriteService`: samples as columns per tag, in single calls and in streams. A tag that cannot be written is a row of the answer, not the
//! end of the call. Bulk ingest goes through Flight `DoPut`.

use std::{pin::Pin, sync::Arc};

use futures::{FutureExt, StreamExt, stream::FuturesOrdered};
use historian_proto::v1::{
    self, WriteSamplesRequest, WriteSamplesResponse, WriteSamplesStreamRequest, WriteSamplesStreamResponse,
    write_service_server::WriteService,
};
use prost::Message;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Api, Services, answer, blocking, status,
    write::{
        Options, acknowledge,
        answers::{Answers, answers},
        correct,
        draft::{PreparedWrite, WriteDraft, WriteOutcome},
        sample, started,
    },
};

pub struct Writes(pub Arc<Api>);

#[tonic::async_trait]
impl WriteService for Writes {
    async fn write_samples(&self, request: Request<WriteSamplesRequest>) -> Result<Response<WriteSamplesResponse>, Status> {
        let services = self.0.services.clone();
        let prepared = blocking(move || prepare(&services, request.into_inner())).await?;
        prepared.write(self.0.services.clone()).await.map(response).map(Response::new)
    }

    type WriteSamplesStreamStream = Pin<Box<dyn Stream<Item = Result<WriteSamplesStreamResponse, Status>> + Send>>;

    async fn write_samples_stream(
        &self,
        request: Request<Streaming<WriteSamplesStreamRequest>>,
    ) -> Result<Response<Self::WriteSamplesStreamStream>, Status> {
        let (answers, stream) = answers(self.0.limits().acknowledgements_unread_max, self.0.limits().stalled_reader_timeout);
        tokio::spawn(run_stream(self.0.clone(), request.into_inner(), answers));
        Ok(Response::new(Box::pin(stream)))
    }

    async fn delete_range(&self, request: Request<v1::DeleteRangeRequest>) -> Result<Response<v1::DeleteRangeResponse>, Status> {
        correct::delete_range(self.0.services.clone(), request.into_inner()).await.map(Response::new)
    }

    async fn replace_range(&self, request: Request<v1::ReplaceRangeRequest>) -> Result<Response<v1::ReplaceRangeResponse>, Status> {
        correct::replace_range(self.0.services.clone(), request.into_inner()).await.map(Response::new)
    }
}

/// The samples that fit their tags; the others are rows of the answer. Blocks on the catalog.
fn prepare(services: &Services, request: WriteSamplesRequest) -> Result<PreparedWrite, Status> {
    let mut draft = WriteDraft::new(services, Options::from_proto(&request.options.unwrap_or_default())?);
    for mut message in request.samples {
        let tag = std::mem::take(&mut message.tag);
        let added = sample::from_proto(message).and_then(|samples| draft.add(&tag, samples));
        if let Err(refusal) = added {
            draft.leave_out(tag, refusal);
        }
    }
    draft.prepare()
}

fn response(written: WriteOutcome) -> WriteSamplesResponse {
    let v1::WriteAcknowledgement { watermark, samples, rejected, rejections } = acknowledge::message(written.acknowledgement);
    let failures = written.refused.into_iter().map(|refused| refused.refusal.failure(refused.tag)).collect();
    WriteSamplesResponse { watermark, samples, failures: answer::failures(failures), rejected, rejections }
}

/// Answers a stream in order, with several requests waiting for the journal at the same time so that one fsync serves them all.
async fn run_stream(api: Arc<Api>, mut requests: Streaming<WriteSamplesStreamRequest>, answers: Answers<WriteSamplesStreamResponse>) {
    let limits = api.limits().clone();
    let mut waiting = FuturesOrdered::new();
    let mut bytes_waiting = 0;
    let mut reading = true;
    loop {
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
            request = requests.next(), if room => match request {
                None => reading = false,
                Some(Err(error)) => {
                    reading = false;
                    waiting.push_back(async { (0, Err(error)) }.boxed());
                }
                Some(Ok(request)) => {
                    let bytes = request.encoded_len();
                    bytes_waiting += bytes;
                    // PreparedWrite one after the other and handed to the sink in order; only the wait for the journal overlaps.
                    let WriteSamplesStreamRequest { options, samples } = request;
                    let services = api.services.clone();
                    let writing = match blocking(move || prepare(&services, WriteSamplesRequest { options, samples })).await {
                        Ok(prepared) => started(prepared.write(api.services.clone()).map(|written| written.map(streamed)).boxed()).await,
                        Err(error) => { reading = false; async { Err(error) }.boxed() }
                    };
                    waiting.push_back(writing.map(move |answer| (bytes, answer)).boxed());
                }
            },
            else => return,
        }
    }
}

/// An answer as the stream has it.
fn streamed(written: WriteOutcome) -> WriteSamplesStreamResponse {
    let WriteSamplesResponse { watermark, samples, failures, rejected, rejections } = response(written);
    WriteSamplesStreamResponse { watermark, samples, failures, rejected, rejections }
}
