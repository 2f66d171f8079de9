//! `QueryService`: current values and ranges as columns per tag.

use std::{pin::Pin, sync::Arc};

use arrow::{
    array::AsArray,
    datatypes::{Int32Type, UInt64Type},
    record_batch::RecordBatch,
};
use historian_proto::v1::{self, TagFailure, TagSamples, query_service_server::QueryService};
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};

use crate::{
    api::{Api, blocking, resolve, sample, status},
    model::{Tag, ValueType},
    query::{Layout, QueryEngine, QueryError, RangeQuery, SupersededQuery},
};

pub struct Queries(pub Arc<Api>);

#[tonic::async_trait]
impl QueryService for Queries {
    async fn current_values(&self, request: Request<v1::CurrentRequest>) -> Result<Response<v1::CurrentResponse>, Status> {
        let services = self.0.services.clone();
        let patterns = request.into_inner().tags;
        let response = blocking(move || {
            let resolve::Selected { tags, missing } = resolve::tags(&services, &patterns)?;
            Ok(v1::CurrentResponse { samples: current(&services.query, &tags)?, failures: missing.into_iter().map(unknown).collect() })
        });
        response.await.map(Response::new)
    }

    type RangeStream = Pin<Box<dyn Stream<Item = Result<v1::RangeResponse, Status>> + Send>>;

    async fn range(&self, request: Request<v1::RangeRequest>) -> Result<Response<Self::RangeStream>, Status> {
        let (headers, _, request) = request.into_parts();
        let services = self.0.services.clone();
        let (query, missing) = blocking(move || {
            let resolved = resolve::range(&services, &request)?;
            if resolved.0.layout == Layout::Wide {
                return Err(status::invalid("layout", "WIDE is a form of Arrow Flight; gRPC answers LONG, tag after tag"));
            }
            Ok(resolved)
        })
        .await?;
        let engine = self.0.services.query.clone();
        let stream = self.0.stream(&headers, move |limits, emitter| {
            let (start, end) = resolve::bounds_as_asked(query.range);
            let bounds = v1::RangeResponse { start: start.0, end: end.0, ..v1::RangeResponse::default() };
            if !emitter.emit(bounds) || !missing.into_iter().all(|name| emitter.emit(failure(unknown(name)))) {
                return Ok(());
            }
            let rows_max = limits.rows_max;
            let mut rows_left = rows_max;
            // Tag by tag, so that every tag keeps its own value type.
            for tag in &query.tags {
                let one = RangeQuery { tags: vec![tag.clone()], ..query.clone() };
                let mut limits = limits.clone();
                limits.rows_max = rows_left;
                let mut failed = None;
                let mut reading = true;
                let ended = engine.range(&one, &limits, &mut |batch| {
                    rows_left = rows_left.saturating_sub(batch.num_rows() as u64);
                    match sample::to_proto(tag.name().as_str(), tag.value_type(), &batch) {
                        Ok(samples) => reading = emitter.emit(v1::RangeResponse { samples: Some(samples), ..v1::RangeResponse::default() }),
                        Err(error) => failed = Some(status::internal(error)),
                    }
                    reading && failed.is_none()
                });
                if let Some(error) = failed {
                    return Err(error);
                }
                match ended {
                    _ if !reading => return Ok(()),
                    Ok(()) => {}
                    // One damaged tag must not take the others from the answer.
                    Err(error @ QueryError::DataLoss { .. }) => {
                        let row = TagFailure { tag: tag.name().to_string(), code: Code::DataLoss.into(), message: error.to_string() };
                        if !emitter.emit(failure(row)) {
                            return Ok(());
                        }
                    }
                    Err(QueryError::TooManyRows(_)) => {
                        return Err(status::from_query(&QueryError::TooManyRows(rows_max)));
                    }
                    Err(error) => return Err(status::from_query(&error)),
                }
            }
            Ok(())
        })?;
        Ok(Response::new(Box::pin(stream)))
    }

    type SupersededStream = Pin<Box<dyn Stream<Item = Result<v1::SupersededResponse, Status>> + Send>>;

    async fn superseded(&self, request: Request<v1::SupersededRequest>) -> Result<Response<Self::SupersededStream>, Status> {
        let (headers, _, request) = request.into_parts();
        let services = self.0.services.clone();
        let (query, missing) = blocking(move || resolve::superseded(&services, &request)).await?;
        let engine = self.0.services.query.clone();
        let stream = self.0.stream(&headers, move |limits, emitter| {
            let bounds = v1::SupersededResponse { start: query.range.start.0, end: query.range.end.0, ..v1::SupersededResponse::default() };
            let failed = |failure: TagFailure| v1::SupersededResponse { failure: Some(failure), ..v1::SupersededResponse::default() };
            if !emitter.emit(bounds) || !missing.into_iter().all(|name| emitter.emit(failed(unknown(name)))) {
                return Ok(());
            }
            let rows_max = limits.rows_max;
            let mut rows_left = rows_max;
            for tag in &query.tags {
                let one = SupersededQuery { tags: vec![tag.clone()], ..query.clone() };
                let mut limits = limits.clone();
                limits.rows_max = rows_left;
                let (mut broken, mut reading) = (None, true);
                let ended = engine.superseded(&one, &limits, &mut |batch| {
                    rows_left = rows_left.saturating_sub(batch.num_rows() as u64);
                    match versions(tag, &batch) {
                        Ok(versions) => reading = emitter.emit(versions),
                        Err(error) => broken = Some(status::internal(error)),
                    }
                    reading && broken.is_none()
                });
                match (broken, ended) {
                    (Some(error), _) => return Err(error),
                    _ if !reading => return Ok(()),
                    (None, Ok(())) => {}
                    (None, Err(error @ QueryError::DataLoss { .. })) => {
                        let row = TagFailure { tag: tag.name().to_string(), code: Code::DataLoss.into(), message: error.to_string() };
                        if !emitter.emit(failed(row)) {
                            return Ok(());
                        }
                    }
                    (None, Err(QueryError::TooManyRows(_))) => return Err(status::from_query(&QueryError::TooManyRows(rows_max))),
                    (None, Err(error)) => return Err(status::from_query(&error)),
                }
            }
            Ok(())
        })?;
        Ok(Response::new(Box::pin(stream)))
    }
}

/// One batch of versions in wire form.
fn versions(tag: &Tag, batch: &RecordBatch) -> Result<v1::SupersededResponse, String> {
    let samples = sample::to_proto(tag.name().as_str(), tag.value_type(), batch)?;
    let replaced_by = batch.column_by_name("replaced_by").and_then(|column| column.as_primitive_opt::<UInt64Type>());
    let replaced_by = replaced_by.ok_or("the answer has no column replaced_by of the documented type")?.values().to_vec();
    Ok(v1::SupersededResponse { samples: Some(samples), replaced_by, ..v1::SupersededResponse::default() })
}

fn failure(failure: TagFailure) -> v1::RangeResponse {
    v1::RangeResponse { failure: Some(failure), ..v1::RangeResponse::default() }
}

/// A row for an exact name that no tag has.
pub fn unknown(tag: String) -> TagFailure {
    TagFailure { tag, code: Code::NotFound.into(), message: "there is no tag of this name".into() }
}

/// Current values of the tags that have one, in the order of the tags; one query per value type, so that each keeps its own.
fn current(engine: &QueryEngine, tags: &[Arc<Tag>]) -> Result<Vec<TagSamples>, Status> {
    let mut found = Vec::with_capacity(tags.len());
    for value_type in ValueType::ALL {
        let of_type: Vec<Arc<Tag>> = tags.iter().filter(|tag| tag.value_type() == value_type).cloned().collect();
        if of_type.is_empty() {
            continue;
        }
        let batch = engine.current(&of_type).map_err(|error| status::from_query(&error))?;
        let wrong = || status::internal("the answer has no column tag of the documented type");
        let keys = batch.column_by_name("tag").and_then(|column| column.as_dictionary_opt::<Int32Type>()).ok_or_else(wrong)?;
        let names = keys.values().as_string_opt::<i32>().ok_or_else(wrong)?;
        for row in 0..batch.num_rows() {
            let name = names.value(keys.keys().value(row) as usize);
            found.push(sample::to_proto(name, value_type, &batch.slice(row, 1)).map_err(status::internal)?);
        }
    }
    found.sort_by(|a, b| a.tag.cmp(&b.tag));
    Ok(found)
}
