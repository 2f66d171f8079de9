//! `anomalies`: what a detector finds.

use std::sync::Arc;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int64Type, SchemaRef},
};
use historian_proto::{
    types::value::Kind,
    v1::{self, TagFailure, anomalies_request},
};
use tonic::Status;

use super::{
    asker::Asker,
    column::{WRONG, numbers, texts, times},
    contract::{Door, Emit, Endpoints, Missing, QueryKind, Resolved, boxed},
    tag_by_tag::TagByTag,
};
use crate::{
    Services, request,
    resolve::{self, Bounds, Selected},
    status,
};
use historian_model::Tag;
use historian_operators::anomaly::{DETECTORS, Output, Parameter, Parameters, Plan};
use historian_query::{AnomalyQuery, QueryEngine, QueryError, QueryLimits};

/// A resolved query for anomalies.
pub struct AnomaliesKind {
    query: AnomalyQuery,
    /// The request it came of, but exact: the ticket of its answer.
    request: v1::AnomaliesRequest,
}

impl QueryKind for AnomaliesKind {
    const NAME: &'static str = "anomalies";
    const METHOD: &'static str = "Anomalies";
    const DOOR: Door = Door::Get;
    const SQL: Option<&'static str> = Some("anomalies");
    type Request = v1::AnomaliesRequest;

    fn resolve(asker: &Asker<'_>, request: v1::AnomaliesRequest) -> Result<(AnomaliesKind, Missing), Status> {
        let (query, missing) = query(asker, &request)?;
        let (start, end) = resolve::texts(query.range);
        Ok((AnomaliesKind { query, request: v1::AnomaliesRequest { start, end, ..request } }, missing))
    }

    fn plan(asker: &Asker<'_>, request: v1::AnomaliesRequest) -> Result<(Box<dyn Resolved>, Missing), Status> {
        AnomaliesKind::resolve(asker, request).map(boxed)
    }
}

impl Resolved for AnomaliesKind {
    fn schema(&self, engine: &QueryEngine) -> Result<SchemaRef, Status> {
        Ok(engine.anomaly_schema(&self.query))
    }

    fn endpoints(&self, _services: &Services) -> Result<Endpoints, Status> {
        let rows = (self.query.output == Output::Counts).then_some(self.query.tags.len() as u64);
        Ok(Endpoints { rows, ..Endpoints::whole(Some(self.query.range), request::any(&self.request)) })
    }

    fn batches(&self, engine: &QueryEngine, limits: &QueryLimits, emit: Emit<'_>) -> Result<(), QueryError> {
        engine.anomalies(&self.query, limits, emit)
    }
}

impl TagByTag for AnomaliesKind {
    type Message = v1::AnomaliesResponse;

    fn tags(&self) -> &[Arc<Tag>] {
        &self.query.tags
    }

    fn first(&self) -> v1::AnomaliesResponse {
        let (start, end) = (self.query.range.start, self.query.range.end);
        v1::AnomaliesResponse { start: start.0, end: end.0, ..v1::AnomaliesResponse::default() }
    }

    fn failed(failure: TagFailure) -> v1::AnomaliesResponse {
        v1::AnomaliesResponse { failure: Some(failure), ..v1::AnomaliesResponse::default() }
    }

    fn run(&self, engine: &QueryEngine, tag: &Arc<Tag>, limits: &QueryLimits, emit: Emit<'_>) -> Result<(), QueryError> {
        engine.anomalies(&AnomalyQuery { tags: vec![tag.clone()], ..self.query.clone() }, limits, emit)
    }

    fn messages(&self, tag: &Tag, batch: &RecordBatch) -> Result<Vec<v1::AnomaliesResponse>, String> {
        let name = || tag.name().to_string();
        let mut answer = v1::AnomaliesResponse::default();
        match self.query.output {
            Output::Findings => {
                let (starts, ends, peaks) = (times(batch, "start")?, times(batch, "end")?, times(batch, "peak")?);
                let (detectors, scores) = (texts(batch, "detector")?, numbers(batch, "score")?);
                let (expected, observed) = (texts(batch, "expected")?, texts(batch, "observed")?);
                let explanations = texts(batch, "explanation")?;
                let texts = detectors.into_iter().zip(expected).zip(observed).zip(explanations);
                let rows = starts.into_iter().zip(ends).zip(peaks).zip(scores).zip(texts);
                answer.findings = rows
                    .map(|((((start, end), peak), score), (((detector, expected), observed), explanation))| v1::Finding {
                        tag: name(),
                        start,
                        end,
                        peak,
                        detector,
                        score,
                        expected,
                        observed,
                        explanation,
                    })
                    .collect();
            }
            Output::Scores => {
                let rows = times(batch, "timestamp")?.into_iter().zip(numbers(batch, "value")?).zip(numbers(batch, "score")?);
                answer.scores = rows
                    .map(|((timestamp, value), score)| v1::anomalies_response::Score { tag: name(), timestamp, value, score })
                    .collect();
            }
            Output::Counts => {
                let counts = batch.column_by_name("count").and_then(|column| column.as_primitive_opt::<Int64Type>()).ok_or(WRONG)?;
                answer.counts = counts.values().iter().map(|count| v1::anomalies_response::Count { tag: name(), count: *count }).collect();
            }
        }
        Ok(vec![answer])
    }
}

/// The query of a request.
fn query(asker: &Asker<'_>, request: &v1::AnomaliesRequest) -> Result<(AnomalyQuery, Missing), Status> {
    let now = asker.now;
    let mut range = Bounds::new(&request.start, &request.end, &request.zone).forward(now)?;
    // Nothing is expected of the future.
    range.end = range.end.min(now.max(range.start));
    let output = match request.output.try_into() {
        Ok(anomalies_request::Output::Unspecified | anomalies_request::Output::Findings) => Output::Findings,
        Ok(anomalies_request::Output::Scores) => Output::Scores,
        Ok(anomalies_request::Output::Counts) => Output::Counts,
        Err(_) => return Err(status::invalid("output", format!("{} is none of FINDINGS, SCORES, COUNTS", request.output))),
    };
    let mut parameters = Parameters::new();
    for (name, value) in request.parameters.iter().flat_map(|parameters| &parameters.fields) {
        let parameter = match &value.kind {
            Some(Kind::NumberValue(number)) => Parameter::Number(*number),
            Some(Kind::StringValue(text)) => Parameter::Text(text.clone()),
            Some(Kind::BoolValue(flag)) => Parameter::Bool(*flag),
            _ => return Err(status::invalid(&format!("parameters.{name}"), "must be a number, a text, true or false")),
        };
        parameters.insert(name.clone(), parameter);
    }
    let plan = Plan::new(&request.detector, &parameters).map_err(|error| status::invalid("detector", error.to_string()))?;
    let Selected { mut tags, missing } = asker.tags(&request.tags)?;
    // A glob takes the tags that can be scored; a tag that is named and cannot be is a mistake.
    let named = |tag: &Tag| request.tags.iter().any(|pattern| pattern == tag.name().as_str());
    if let Some(tag) = tags.iter().find(|tag| !plan.takes(tag.value_type()) && named(tag)) {
        let message = format!("{} is of type {}, which the detector {} does not take", tag.name(), tag.value_type(), plan.detector());
        return Err(status::invalid("tags", message));
    }
    tags.retain(|tag| plan.takes(tag.value_type()));
    Ok((AnomalyQuery { tags, range, plan, output }, missing))
}

/// Every detector and its parameters.
pub fn detectors() -> v1::ListDetectorsResponse {
    let parameter = |spec: &historian_operators::anomaly::ParameterSpec| v1::detector::Parameter {
        name: spec.name.to_owned(),
        description: spec.description.to_owned(),
        unit: spec.unit.to_owned(),
        default_value: spec.default_text(),
        allowed: spec.allowed(),
    };
    let detectors = DETECTORS.iter().map(|detector| v1::Detector {
        name: detector.name().to_owned(),
        description: detector.description().to_owned(),
        parameters: detector.parameters().iter().map(parameter).collect(),
    });
    v1::ListDetectorsResponse { detectors: detectors.collect() }
}
