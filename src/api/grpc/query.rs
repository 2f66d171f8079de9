//! `QueryService`: current values and ranges as columns per tag.

use std::{pin::Pin, sync::Arc};

use arrow::{array::AsArray, datatypes::UInt64Type, record_batch::RecordBatch};
use historian_proto::v1::{self, query_service_server::QueryService};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{
    apart::{Apart, Take, damaged, unknown},
    current, operator,
};
use crate::{Api, answer, blocking, measure, page::Page, resolve, sample, status, subscribe};
use historian_model::{Tag, TimeRange};
use historian_query::{AggregateQuery, AnomalyQuery, DownsampleQuery, Layout, MeasureQuery, QueryEngine, RangeQuery, SupersededQuery};

/// Samples of one answer to `AsOf` at most; how many of them fit into it depends on their type.
const AS_OF_CELLS_MAX: usize = 1 << 20;
const NOT_AS_OF: &str = "ask in parts, or use DoExchange, which takes any number of rows";

type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub struct Queries(pub Arc<Api>);

#[tonic::async_trait]
impl QueryService for Queries {
    async fn current_values(&self, request: Request<v1::CurrentValuesRequest>) -> Result<Response<v1::CurrentValuesResponse>, Status> {
        let services = self.0.services.clone();
        let limits = self.0.query_limits(request.metadata());
        let request = request.into_inner();
        blocking(move || current::answer(&services, &request, &limits)).await.map(Response::new)
    }

    type RangeStream = Answer<v1::RangeResponse>;

    async fn range(&self, request: Request<v1::RangeRequest>) -> Result<Response<Self::RangeStream>, Status> {
        let (headers, _, request) = request.into_parts();
        let services = self.0.services.clone();
        let (query, page, missing) = blocking(move || {
            let (mut query, missing) = resolve::range(&services, &request)?;
            if query.layout == Layout::Wide {
                return Err(status::invalid("layout", "WIDE is a form of Arrow Flight; gRPC answers LONG, tag after tag"));
            }
            let page = Page::of(&request, &mut query)?;
            // What is missing is told once.
            Ok((query, page, if request.page_token.is_empty() { missing } else { Vec::new() }))
        })
        .await?;
        let engine = self.0.services.query.clone();
        let stream = self.0.stream(&headers, move |limits, emitter| {
            if let Some(page) = page {
                return ranged(&query.tags, missing, query.range).stream_with(
                    emitter,
                    |take| page.run_tags(&engine, &query, limits, take),
                    samples,
                    Some(|next| v1::RangeResponse { next_page_token: next, ..v1::RangeResponse::default() }),
                );
            }
            let run = |engine: &QueryEngine, tag: &Arc<Tag>, take: Take<'_>| {
                engine.range(&RangeQuery { tags: vec![tag.clone()], ..query.clone() }, limits, take)
            };
            ranged(&query.tags, missing, query.range).stream(&engine, limits, emitter, run, samples)
        })?;
        Ok(Response::new(Box::pin(stream)))
    }

    type SupersededStream = Answer<v1::SupersededResponse>;

    async fn superseded(&self, request: Request<v1::SupersededRequest>) -> Result<Response<Self::SupersededStream>, Status> {
        let (headers, _, request) = request.into_parts();
        let services = self.0.services.clone();
        let (query, missing) = blocking(move || resolve::superseded(&services, &request)).await?;
        let engine = self.0.services.query.clone();
        let stream = self.0.stream(&headers, move |limits, emitter| {
            let first = v1::SupersededResponse { start: query.range.start.0, end: query.range.end.0, ..v1::SupersededResponse::default() };
            let failed = |failure| v1::SupersededResponse { failure: Some(failure), ..v1::SupersededResponse::default() };
            let run = |engine: &QueryEngine, tag: &Arc<Tag>, take: Take<'_>| {
                engine.superseded(&SupersededQuery { tags: vec![tag.clone()], ..query.clone() }, limits, take)
            };
            Apart { first, tags: &query.tags, missing, failed }.stream(&engine, limits, emitter, run, versions)
        })?;
        Ok(Response::new(Box::pin(stream)))
    }

    type AggregateStream = Answer<v1::AggregateResponse>;

    async fn aggregate(&self, request: Request<v1::AggregateRequest>) -> Result<Response<Self::AggregateStream>, Status> {
        let (headers, _, request) = request.into_parts();
        let services = self.0.services.clone();
        let (query, missing) = blocking(move || resolve::aggregate(&services, &request)).await?;
        let engine = self.0.services.query.clone();
        let stream = self.0.stream(&headers, move |limits, emitter| {
            let (start, end) = resolve::bounds_as_asked(query.range());
            let first = v1::AggregateResponse { start: start.0, end: end.0, ..v1::AggregateResponse::default() };
            let failed = |failure| v1::AggregateResponse { failure: Some(failure), ..v1::AggregateResponse::default() };
            let run = |engine: &QueryEngine, tag: &Arc<Tag>, take: Take<'_>| {
                engine.aggregate(&AggregateQuery { tags: vec![tag.clone()], ..query.clone() }, limits, take)
            };
            Apart { first, tags: &query.tags, missing, failed }.stream(&engine, limits, emitter, run, operator::aggregates)
        })?;
        Ok(Response::new(Box::pin(stream)))
    }

    type DownsampleStream = Answer<v1::DownsampleResponse>;

    async fn downsample(&self, request: Request<v1::DownsampleRequest>) -> Result<Response<Self::DownsampleStream>, Status> {
        let (headers, _, request) = request.into_parts();
        let services = self.0.services.clone();
        let (query, missing) = blocking(move || resolve::downsample(&services, &request)).await?;
        let engine = self.0.services.query.clone();
        let stream = self.0.stream(&headers, move |limits, emitter| {
            let run = |engine: &QueryEngine, tag: &Arc<Tag>, take: Take<'_>| {
                engine.downsample(&DownsampleQuery { tags: vec![tag.clone()], types: false, ..query.clone() }, limits, take)
            };
            let first = v1::DownsampleResponse { start: query.range.start.0, end: query.range.end.0, ..v1::DownsampleResponse::default() };
            let failed = |failure| v1::DownsampleResponse { failure: Some(failure), ..v1::DownsampleResponse::default() };
            Apart { first, tags: &query.tags, missing, failed }.stream(&engine, limits, emitter, run, reduced)
        })?;
        Ok(Response::new(Box::pin(stream)))
    }

    type AnomaliesStream = Answer<v1::AnomaliesResponse>;

    async fn anomalies(&self, request: Request<v1::AnomaliesRequest>) -> Result<Response<Self::AnomaliesStream>, Status> {
        let (headers, _, request) = request.into_parts();
        let services = self.0.services.clone();
        let (query, missing) = blocking(move || resolve::anomalies(&services, &request)).await?;
        let engine = self.0.services.query.clone();
        let stream = self.0.stream(&headers, move |limits, emitter| {
            let first = v1::AnomaliesResponse { start: query.range.start.0, end: query.range.end.0, ..v1::AnomaliesResponse::default() };
            let failed = |failure| v1::AnomaliesResponse { failure: Some(failure), ..v1::AnomaliesResponse::default() };
            let run = |engine: &QueryEngine, tag: &Arc<Tag>, take: Take<'_>| {
                engine.anomalies(&AnomalyQuery { tags: vec![tag.clone()], ..query.clone() }, limits, take)
            };
            let message = |tag: &Tag, batch: &RecordBatch| operator::anomalies(tag, query.output, batch);
            Apart { first, tags: &query.tags, missing, failed }.stream(&engine, limits, emitter, run, message)
        })?;
        Ok(Response::new(Box::pin(stream)))
    }

    type MeasureStream = Answer<v1::MeasureResponse>;

    async fn measure(&self, request: Request<v1::MeasureRequest>) -> Result<Response<Self::MeasureStream>, Status> {
        let (headers, _, request) = request.into_parts();
        let services = self.0.services.clone();
        let (query, missing) = blocking(move || measure::measure(&services, &request)).await?;
        let engine = self.0.services.query.clone();
        let stream = self.0.stream(&headers, move |limits, emitter| {
            let range = query.range();
            let first = v1::MeasureResponse { start: range.start.0, end: range.end.0, ..v1::MeasureResponse::default() };
            let failed = |failure| v1::MeasureResponse { failure: Some(failure), ..v1::MeasureResponse::default() };
            let run = |engine: &QueryEngine, tag: &Arc<Tag>, take: Take<'_>| {
                engine.measure(&MeasureQuery { tags: vec![tag.clone()], ..query.clone() }, limits, take)
            };
            Apart { first, tags: &query.tags, missing, failed }.stream(&engine, limits, emitter, run, operator::measures)
        })?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn as_of(&self, request: Request<v1::AsOfRequest>) -> Result<Response<v1::AsOfResponse>, Status> {
        let (headers, _, request) = request.into_parts();
        let services = self.0.services.clone();
        // One message of a stream, so that it is counted, bounded and cancelled as every query is.
        let mut stream = self.0.stream(&headers, move |limits, emitter| {
            let (query, missing) = measure::as_of(&services, &request)?;
            let cells = query.times.len().saturating_mul(query.tags.len());
            if cells > AS_OF_CELLS_MAX {
                let message = format!(
                    "{} times for {} tags are {cells} samples, at most {AS_OF_CELLS_MAX} are answered at once; {NOT_AS_OF}",
                    query.times.len(),
                    query.tags.len()
                );
                return Err(status::too_much("as_of_cells_max", message));
            }
            let answers = services.query.as_of(&query, limits).map_err(|error| status::from_query(&error))?;
            let mut response =
                v1::AsOfResponse { samples: Vec::with_capacity(answers.len()), failures: missing.into_iter().map(unknown).collect() };
            for (tag, answer) in query.tags.iter().zip(answers) {
                match answer {
                    Ok(held) => response.samples.push(sample::of_columns(tag.name().as_str(), &held.samples)),
                    Err(error) => response.failures.push(damaged(tag, &error)),
                }
            }
            response.failures = answer::failures(response.failures);
            emitter.emit(answer::whole(response, NOT_AS_OF)?);
            Ok(())
        })?;
        let answer = tokio_stream::StreamExt::next(&mut stream).await;
        answer.unwrap_or_else(|| Err(status::internal("the join ended without an answer"))).map(Response::new)
    }

    type SubscribeStream = Answer<v1::SubscribeResponse>;

    async fn subscribe(&self, request: Request<v1::SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        subscribe::start(&self.0, request.into_inner(), |delivery| Ok(subscribe::messages(&delivery))).map(Response::new)
    }

    async fn list_detectors(&self, _request: Request<v1::ListDetectorsRequest>) -> Result<Response<v1::ListDetectorsResponse>, Status> {
        Ok(Response::new(operator::detectors()))
    }
}

/// Answers that are samples in a range.
fn ranged(tags: &[Arc<Tag>], missing: Vec<String>, range: TimeRange) -> Apart<'_, v1::RangeResponse> {
    let (start, end) = resolve::bounds_as_asked(range);
    let first = v1::RangeResponse { start: start.0, end: end.0, ..v1::RangeResponse::default() };
    let failed = |failure| v1::RangeResponse { failure: Some(failure), ..v1::RangeResponse::default() };
    Apart { first, tags, missing, failed }
}

fn samples(tag: &Tag, batch: &RecordBatch) -> Result<Vec<v1::RangeResponse>, String> {
    let samples = sample::to_proto(tag.name().as_str(), tag.value_type(), batch)?;
    Ok(vec![v1::RangeResponse { samples: Some(samples), ..v1::RangeResponse::default() }])
}

/// One batch of samples that are left for a plot, in wire form.
fn reduced(tag: &Tag, batch: &RecordBatch) -> Result<Vec<v1::DownsampleResponse>, String> {
    let samples = sample::to_proto(tag.name().as_str(), tag.value_type(), batch)?;
    Ok(vec![v1::DownsampleResponse { samples: Some(samples), ..v1::DownsampleResponse::default() }])
}

/// One batch of versions in wire form.
fn versions(tag: &Tag, batch: &RecordBatch) -> Result<Vec<v1::SupersededResponse>, String> {
    let samples = sample::to_proto(tag.name().as_str(), tag.value_type(), batch)?;
    let replaced_by = batch.column_by_name("replaced_by").and_then(|column| column.as_primitive_opt::<UInt64Type>());
    let replaced_by = replaced_by.ok_or("the answer has no column replaced_by of the documented type")?.values().to_vec();
    Ok(vec![v1::SupersededResponse { samples: Some(samples), replaced_by, ..v1::SupersededResponse::default() }])
}
