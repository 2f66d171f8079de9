//! `anomalies`: what a detector finds.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use historian_proto::{
    types::value::Kind,
    v1::{self, TagFailure, anomalies_request},
};
use tonic::Status;

use super::{
    asker::Asker,
    contract::{Door, Emit, Endpoints, QueryKind, Resolved, UnknownNames, boxed},
    tag_by_tag::TagByTag,
};
use crate::{
    Services, request,
    resolve::{Bounds, SelectedTags, texts},
    status,
};
use historian_model::Tag;
use historian_operators::anomaly::{AnomalyOutput, DETECTORS, DetectorPlan, Finding, ParameterValue, Parameters};
use historian_query::{AnomalyQuery, AnomalyRows, Operator, QueryEngine, QueryError, QueryLimits, Slice};

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

    fn resolve(asker: &Asker<'_>, request: v1::AnomaliesRequest) -> Result<(AnomaliesKind, UnknownNames), Status> {
        let (query, missing) = query(asker, &request)?;
        let (start, end) = texts(query.range);
        Ok((AnomaliesKind { query, request: v1::AnomaliesRequest { start, end, ..request } }, missing))
    }

    fn plan(asker: &Asker<'_>, request: v1::AnomaliesRequest) -> Result<(Box<dyn Resolved>, UnknownNames), Status> {
        AnomaliesKind::resolve(asker, request).map(boxed)
    }
}

impl Resolved for AnomaliesKind {
    fn schema(&self, _engine: &QueryEngine) -> Result<SchemaRef, Status> {
        Ok(self.query.schema())
    }

    fn endpoints(&self, _services: &Services, _limits: &QueryLimits) -> Result<Endpoints, Status> {
        let rows = (self.query.output == AnomalyOutput::Counts).then_some(self.query.tags.len() as u64);
        Ok(Endpoints { rows, ..Endpoints::whole(Some(self.query.range), request::any(&self.request)) })
    }

    fn batches(&self, engine: &QueryEngine, limits: &QueryLimits, emit: Emit<'_>) -> Result<(), QueryError> {
        engine.operate(&self.query, limits, emit)
    }
}

impl TagByTag for AnomaliesKind {
    type Portion = Slice<AnomalyRows>;
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

    fn run(
        &self,
        engine: &QueryEngine,
        tag: &Arc<Tag>,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(Slice<AnomalyRows>) -> bool,
    ) -> Result<(), QueryError> {
        engine.rows(&self.query.of_tag(tag), limits, emit)
    }

    fn messages(&self, tag: &Tag, portion: &Slice<AnomalyRows>) -> Result<Vec<v1::AnomaliesResponse>, String> {
        let name = || tag.name().to_string();
        let (rows, range) = (portion.all(), portion.range());
        let mut answer = v1::AnomaliesResponse::default();
        match self.query.output {
            AnomalyOutput::Findings => {
                let finding = |finding: &Finding| v1::Finding {
                    tag: name(),
                    start: finding.start.0,
                    end: finding.end.0,
                    peak: finding.peak.0,
                    detector: self.query.plan.detector().to_owned(),
                    score: finding.score,
                    expected: finding.expected_text(),
                    observed: finding.observed_text(),
                    explanation: finding.explanation.clone(),
                };
                answer.findings = rows.findings[range].iter().map(finding).collect();
            }
            AnomalyOutput::Scores => {
                let scores = &rows.scores;
                let score = |row: usize| v1::anomalies_response::Score {
                    tag: name(),
                    timestamp: scores.timestamps[row],
                    value: scores.values[row],
                    score: scores.scores[row],
                };
                answer.scores = range.map(score).collect();
            }
            AnomalyOutput::Counts => {
                let count = |count: &i64| v1::anomalies_response::Count { tag: name(), count: *count };
                answer.counts = rows.counts[range].iter().map(count).collect();
            }
        }
        Ok(vec![answer])
    }
}

/// The query of a request.
fn query(asker: &Asker<'_>, request: &v1::AnomaliesRequest) -> Result<(AnomalyQuery, UnknownNames), Status> {
    let now = asker.now;
    let mut range = Bounds::new(&request.start, &request.end, &request.zone).forward(now)?;
    // Nothing is expected of the future.
    range.end = range.end.min(now.max(range.start));
    let output = match request.output.try_into() {
        Ok(anomalies_request::Output::Unspecified | anomalies_request::Output::Findings) => AnomalyOutput::Findings,
        Ok(anomalies_request::Output::Scores) => AnomalyOutput::Scores,
        Ok(anomalies_request::Output::Counts) => AnomalyOutput::Counts,
        Err(_) => return Err(status::invalid("output", format!("{} is none of FINDINGS, SCORES, COUNTS", request.output))),
    };
    let mut parameters = Parameters::new();
    for (name, value) in request.parameters.iter().flat_map(|parameters| &parameters.fields) {
        let parameter = match &value.kind {
            Some(Kind::NumberValue(number)) => ParameterValue::Number(*number),
            Some(Kind::StringValue(text)) => ParameterValue::Text(text.clone()),
            Some(Kind::BoolValue(flag)) => ParameterValue::Bool(*flag),
            _ => return Err(status::invalid(&format!("parameters.{name}"), "must be a number, a text, true or false")),
        };
        parameters.insert(name.clone(), parameter);
    }
    let plan = DetectorPlan::new(&request.detector, &parameters).map_err(|error| status::invalid("detector", error.to_string()))?;
    let SelectedTags { mut tags, missing } = asker.tags(&request.tags)?;
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
