//! `WriteService`: samples as columns per tag, in single calls and in streams. A tag that cannot be written is a row of the answer, not the
//! end of the call. Bulk ingest goes through Flight `DoPut`.

use std::{pin::Pin, sync::Arc};

use futures::{FutureExt, StreamExt, stream::FuturesOrdered};
use historian_proto::v1::{
    self, TagFailure, WriteSamplesRequest, WriteSamplesResponse, WriteSamplesStreamRequest, WriteSamplesStreamResponse,
    write_service_server::WriteService,
};
use prost::Message;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::apart::unknown;
use crate::{
    Api, Services, answer, blocking, status,
    write::{
        acknowledge,
        answers::{Answers, answers},
        correct,
        new_tag::NewTags,
        options::{Options, options},
        sample::{self, fit},
        started,
    },
};
use historian_model::{
    SampleBatch,
    sink::{Acknowledgement, Rejected},
};

pub struct Writes(pub Arc<Api>);

#[tonic::async_trait]
impl WriteService for Writes {
    async fn write_samples(&self, request: Request<WriteSamplesRequest>) -> Result<Response<WriteSamplesResponse>, Status> {
        let prepared = prepare(self.0.services.clone(), request.into_inner()).await?;
        write(self.0.services.clone(), prepared).await.map(Response::new)
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

/// A request whose tags are known and whose columns fit them.
struct Prepared {
    batch: SampleBatch,
    options: Options,
    failures: Vec<TagFailure>,
    /// Samples of tags that were not made for them.
    rejected: Rejected,
}

async fn prepare(services: Services, request: WriteSamplesRequest) -> Result<Prepared, Status> {
    blocking(move || {
        let options = options(&request.options.unwrap_or_default())?;
        let mut prepared = Prepared { batch: SampleBatch::default(), options, failures: Vec::new(), rejected: Rejected::default() };
        let mut new = NewTags::default();
        for message in request.samples {
            let name = message.tag.clone();
            let mut samples = match sample::from_proto(message) {
                Ok(samples) => samples,
                Err(reason) => {
                    prepared.failures.push(refused(name, reason));
                    continue;
                }
            };
            let tag = match services.catalog.get(&name) {
                Some(tag) => Ok(tag),
                None if options.create_tags => {
                    new.tag(&name, samples.value_type()).map_err(|error| refused(name.clone(), error.to_string()))
                }
                None => Err(unknown(name.clone())),
            };
            let fitted = tag.and_then(|tag| fit(&tag, &mut samples).map(|()| tag).map_err(|reason| refused(name, reason)));
            match fitted {
                Ok(tag) => prepared.batch.runs.push((tag.id, samples)),
                Err(failure) => prepared.failures.push(failure),
            }
        }
        prepared.rejected = new.make(&services, &mut prepared.batch)?;
        Ok(prepared)
    })
    .await
}

fn refused(tag: String, message: String) -> TagFailure {
    TagFailure { tag, code: Code::InvalidArgument.into(), message }
}

async fn write(services: Services, prepared: Prepared) -> Result<WriteSamplesResponse, Status> {
    let Prepared { batch, options, failures, rejected: not_made } = prepared;
    let mut written = if batch.is_empty() {
        Acknowledgement { watermark: services.admin.status().watermark, ..Acknowledgement::default() }
    } else {
        services.sink.write(batch, options.mode, options.durability).await.map_err(|refused| status::from_write(&refused.error))?
    };
    written.rejected.extend(not_made);
    let v1::WriteAcknowledgement { watermark, samples, rejected, rejections } = acknowledge::message(written);
    let failures = answer::failures(failures);
    Ok(WriteSamplesResponse { watermark, samples, failures, rejected, rejections })
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
                    // Prepared one after the other and handed to the sink in order; only the wait for the journal overlaps.
                    let WriteSamplesStreamRequest { options, samples } = request;
                    let writing = match prepare(api.services.clone(), WriteSamplesRequest { options, samples }).await {
                        Ok(prepared) => started(write(api.services.clone(), prepared).map(streamed).boxed()).await,
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
fn streamed(answer: Result<WriteSamplesResponse, Status>) -> Result<WriteSamplesStreamResponse, Status> {
    let WriteSamplesResponse { watermark, samples, failures, rejected, rejections } = answer?;
    Ok(WriteSamplesStreamResponse { watermark, samples, failures, rejected, rejections })
}
