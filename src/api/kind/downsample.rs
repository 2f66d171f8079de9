//! `downsample`: ranges reduced for a plot.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use historian_proto::v1::{self, TagFailure, downsample_request};
use tonic::Status;

use super::{
    asker::Asker,
    contract::{Door, Emit, Endpoints, QueryKind, Resolved, UnknownNames, boxed},
    tag_by_tag::TagByTag,
};
use crate::{
    Services, request,
    resolve::{Bounds, SelectedTags, texts},
    sample, status,
};
use historian_model::Tag;
use historian_operators::downsample::{self, Method};
use historian_query::{DownsampleQuery, DownsampleRows, Operator, QueryEngine, QueryError, QueryLimits, Slice};

/// A resolved query of ranges reduced for a plot.
pub struct DownsampleKind {
    query: DownsampleQuery,
    /// The request it came of, but exact: the ticket of its answer.
    request: v1::DownsampleRequest,
}

impl QueryKind for DownsampleKind {
    const NAME: &'static str = "downsample";
    const METHOD: &'static str = "Downsample";
    const DOOR: Door = Door::Get;
    const SQL: Option<&'static str> = Some("downsample");
    type Request = v1::DownsampleRequest;

    fn resolve(asker: &Asker<'_>, request: v1::DownsampleRequest) -> Result<(DownsampleKind, UnknownNames), Status> {
        let (query, missing) = query(asker, &request)?;
        let (start, end) = texts(query.range);
        Ok((DownsampleKind { query, request: v1::DownsampleRequest { start, end, ..request } }, missing))
    }

    fn plan(asker: &Asker<'_>, request: v1::DownsampleRequest) -> Result<(Box<dyn Resolved>, UnknownNames), Status> {
        DownsampleKind::resolve(asker, request).map(boxed)
    }
}

impl Resolved for DownsampleKind {
    fn schema(&self, _engine: &QueryEngine) -> Result<SchemaRef, Status> {
        Ok(self.query.schema())
    }

    fn endpoints(&self, _services: &Services, _limits: &QueryLimits) -> Result<Endpoints, Status> {
        Ok(Endpoints::whole(Some(self.query.range), request::any(&self.request)))
    }

    fn batches(&self, engine: &QueryEngine, limits: &QueryLimits, emit: Emit<'_>) -> Result<(), QueryError> {
        engine.operate(&self.query, limits, emit)
    }
}

impl TagByTag for DownsampleKind {
    type Portion = Slice<DownsampleRows>;
    type Message = v1::DownsampleResponse;

    fn tags(&self) -> &[Arc<Tag>] {
        &self.query.tags
    }

    fn first(&self) -> v1::DownsampleResponse {
        let (start, end) = (self.query.range.start, self.query.range.end);
        v1::DownsampleResponse { start: start.0, end: end.0, ..v1::DownsampleResponse::default() }
    }

    fn failed(failure: TagFailure) -> v1::DownsampleResponse {
        v1::DownsampleResponse { failure: Some(failure), ..v1::DownsampleResponse::default() }
    }

    fn run(
        &self,
        engine: &QueryEngine,
        tag: &Arc<Tag>,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(Slice<DownsampleRows>) -> bool,
    ) -> Result<(), QueryError> {
        engine.rows(&self.query.of_tag(tag), limits, emit)
    }

    fn messages(&self, tag: &Tag, portion: &Slice<DownsampleRows>) -> Result<Vec<v1::DownsampleResponse>, String> {
        let Some((_, samples)) = portion.all().tags.first() else { return Ok(Vec::new()) };
        let samples = sample::of_rows(tag.name().as_str(), samples, portion.range());
        Ok(vec![v1::DownsampleResponse { samples: Some(samples), ..v1::DownsampleResponse::default() }])
    }
}

/// The query of a request.
fn query(asker: &Asker<'_>, request: &v1::DownsampleRequest) -> Result<(DownsampleQuery, UnknownNames), Status> {
    let range = Bounds::new(&request.start, &request.end, &request.zone).forward(asker.now)?;
    let method = match request.method.try_into() {
        Ok(downsample_request::Method::Unspecified | downsample_request::Method::Plot) => Method::Plot,
        Ok(downsample_request::Method::M4) => Method::M4,
        Ok(downsample_request::Method::Minmax) => Method::MinMax,
        Ok(downsample_request::Method::Lttb) => Method::Lttb,
        Ok(downsample_request::Method::Minmaxlttb) => Method::MinMaxLttb,
        Err(_) => return Err(status::invalid("method", format!("{} is none of PLOT, M4, MINMAX, LTTB, MINMAXLTTB", request.method))),
    };
    let points = if request.points == 0 { 1_000 } else { request.points };
    let points = usize::try_from(points).map_err(|_| status::invalid("points", format!("{points} is negative")))?;
    downsample::DownsampleRange::new(range.start.0, range.end.0, points, method)
        .map_err(|error| status::invalid("points", error.to_string()))?;
    let SelectedTags { tags, missing } = asker.tags(&request.tags)?;
    Ok((DownsampleQuery { tags, range, points, method, types: request.types, use_rollups: true }, missing))
}
