//! `QueryService`: the kinds of query, their answers as messages.

use std::sync::Arc;

use historian_proto::v1::{self, query_service_server::QueryService};
use tonic::{Request, Response, Status};

use crate::{
    Api, Caller,
    kind::{
        self, AggregateKind, AnomaliesKind, AsOfKind, Asker, DownsampleKind, MeasureKind, PageOfCurrent, QueryKind, RangeKind,
        SubscribeKind, SupersededKind, TagByTag,
    },
    status,
    stream::ResponseStream,
};
use historian_query::QueryLimits;

pub struct Queries(pub Arc<Api>);

impl Queries {
    /// Answers a request of a kind tag by tag.
    async fn tag_by_tag<K: TagByTag>(&self, request: Request<K::Request>) -> Result<Response<ResponseStream<K::Message>>, Status> {
        let (caller, request) = Caller::take(request);
        let services = self.0.services.clone();
        let stream = self.0.stream(&caller, move |limits, emitter| {
            let (query, missing) = K::resolve_for_tags(&Asker::new(&services, limits), request)?;
            kind::answer(&query, missing, &services.query, limits, emitter)
        });
        Ok(Response::new(Box::pin(stream.await?)))
    }
}

#[tonic::async_trait]
impl QueryService for Queries {
    async fn current_values(&self, request: Request<v1::CurrentValuesRequest>) -> Result<Response<v1::CurrentValuesResponse>, Status> {
        let (caller, request) = Caller::take(request);
        let services = self.0.services.clone();
        let answer =
            move |limits: &QueryLimits| PageOfCurrent::resolve(&Asker::new(&services, limits), request)?.answer(&services.query, limits);
        let answer = self.0.bounded(&caller, answer).await?;
        caller.call.add_rows(answer.samples.len() as u64);
        Ok(Response::new(answer))
    }

    type RangeStream = ResponseStream<v1::RangeResponse>;

    async fn range(&self, request: Request<v1::RangeRequest>) -> Result<Response<Self::RangeStream>, Status> {
        self.tag_by_tag::<RangeKind>(request).await
    }

    type SupersededStream = ResponseStream<v1::SupersededResponse>;

    async fn superseded(&self, request: Request<v1::SupersededRequest>) -> Result<Response<Self::SupersededStream>, Status> {
        self.tag_by_tag::<SupersededKind>(request).await
    }

    type AggregateStream = ResponseStream<v1::AggregateResponse>;

    async fn aggregate(&self, request: Request<v1::AggregateRequest>) -> Result<Response<Self::AggregateStream>, Status> {
        self.tag_by_tag::<AggregateKind>(request).await
    }

    type DownsampleStream = ResponseStream<v1::DownsampleResponse>;

    async fn downsample(&self, request: Request<v1::DownsampleRequest>) -> Result<Response<Self::DownsampleStream>, Status> {
        self.tag_by_tag::<DownsampleKind>(request).await
    }

    type AnomaliesStream = ResponseStream<v1::AnomaliesResponse>;

    async fn anomalies(&self, request: Request<v1::AnomaliesRequest>) -> Result<Response<Self::AnomaliesStream>, Status> {
        self.tag_by_tag::<AnomaliesKind>(request).await
    }

    type MeasureStream = ResponseStream<v1::MeasureResponse>;

    async fn measure(&self, request: Request<v1::MeasureRequest>) -> Result<Response<Self::MeasureStream>, Status> {
        self.tag_by_tag::<MeasureKind>(request).await
    }

    async fn as_of(&self, request: Request<v1::AsOfRequest>) -> Result<Response<v1::AsOfResponse>, Status> {
        let (caller, request) = Caller::take(request);
        let services = self.0.services.clone();
        // One message of a stream, so that it is counted, bounded and cancelled as every query is.
        let stream = self.0.stream(&caller, move |limits, emitter| {
            let (query, missing) = AsOfKind::resolve(&Asker::new(&services, limits), request)?;
            emitter.emit(query.answer(missing, &services.query, limits)?);
            Ok(())
        });
        let mut stream = stream.await?;
        let answer = tokio_stream::StreamExt::next(&mut stream).await;
        answer.unwrap_or_else(|| Err(status::internal("the join ended without an answer"))).map(Response::new)
    }

    type SubscribeStream = ResponseStream<v1::SubscribeResponse>;

    async fn subscribe(&self, request: Request<v1::SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let (caller, request) = Caller::take(request);
        kind::follow(&self.0, &caller, request, |delivery| Ok(SubscribeKind::messages(&delivery))).await.map(Response::new)
    }

    async fn list_detectors(&self, _request: Request<v1::ListDetectorsRequest>) -> Result<Response<v1::ListDetectorsResponse>, Status> {
        Ok(Response::new(kind::detectors()))
    }
}
