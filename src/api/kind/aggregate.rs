//! `aggregate`: aggregates of OPC UA Part 13 in intervals.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use historian_proto::v1::{self, TagFailure};
use tonic::Status;

use super::{
    asker::Asker,
    calendar,
    contract::{Door, Emit, Endpoints, QueryKind, Resolved, UnknownNames, boxed},
    tag_by_tag::TagByTag,
};
use crate::{
    Services, request,
    resolve::{Bounds, SelectedTags, bounds_as_asked, duration, texts, zone},
    status,
};
use historian_model::{Tag, TimeRange};
use historian_operators::aggregate::{AggregateConfiguration, AggregateFunction, Intervals, InvalidIntervals, UnknownFunction};
use historian_query::{AggregateQuery, AggregateRows, Operator, QueryEngine, QueryError, QueryLimits, Slice};

/// A resolved query of aggregates.
pub struct AggregateKind {
    query: AggregateQuery,
    /// The request it came of, but exact: the ticket of its answer.
    request: v1::AggregateRequest,
}

impl QueryKind for AggregateKind {
    const NAME: &'static str = "aggregate";
    const METHOD: &'static str = "Aggregate";
    const DOOR: Door = Door::Get;
    const SQL: Option<&'static str> = Some("aggregate");
    type Request = v1::AggregateRequest;

    fn resolve(asker: &Asker<'_>, request: v1::AggregateRequest) -> Result<(AggregateKind, UnknownNames), Status> {
        let (query, missing) = query(asker, &request)?;
        let (start, end) = texts(query.range());
        Ok((AggregateKind { query, request: v1::AggregateRequest { start, end, ..request } }, missing))
    }

    fn plan(asker: &Asker<'_>, request: v1::AggregateRequest) -> Result<(Box<dyn Resolved>, UnknownNames), Status> {
        AggregateKind::resolve(asker, request).map(boxed)
    }
}

impl Resolved for AggregateKind {
    fn schema(&self, _engine: &QueryEngine) -> Result<SchemaRef, Status> {
        Ok(self.query.schema())
    }

    fn endpoints(&self, _services: &Services, _limits: &QueryLimits) -> Result<Endpoints, Status> {
        let query = &self.query;
        let rows = query.intervals.len().saturating_mul(query.functions.len()).saturating_mul(query.tags.len());
        Ok(Endpoints { rows: Some(rows as u64), ..Endpoints::whole(Some(query.range()), request::any(&self.request)) })
    }

    fn batches(&self, engine: &QueryEngine, limits: &QueryLimits, emit: Emit<'_>) -> Result<(), QueryError> {
        engine.operate(&self.query, limits, emit)
    }
}

impl TagByTag for AggregateKind {
    type Portion = Slice<AggregateRows>;
    type Message = v1::AggregateResponse;

    fn tags(&self) -> &[Arc<Tag>] {
        &self.query.tags
    }

    fn first(&self) -> v1::AggregateResponse {
        let (start, end) = bounds_as_asked(self.query.range());
        v1::AggregateResponse { start: start.0, end: end.0, ..v1::AggregateResponse::default() }
    }

    fn failed(failure: TagFailure) -> v1::AggregateResponse {
        v1::AggregateResponse { failure: Some(failure), ..v1::AggregateResponse::default() }
    }

    fn run(
        &self,
        engine: &QueryEngine,
        tag: &Arc<Tag>,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(Slice<AggregateRows>) -> bool,
    ) -> Result<(), QueryError> {
        engine.rows(&self.query.of_tag(tag), limits, emit)
    }

    fn messages(&self, tag: &Tag, portion: &Slice<AggregateRows>) -> Result<Vec<v1::AggregateResponse>, String> {
        let message = |function: &AggregateFunction| v1::AggregateResponse {
            tag: tag.name().to_string(),
            function: function.name().to_owned(),
            ..v1::AggregateResponse::default()
        };
        let mut messages: Vec<v1::AggregateResponse> = self.query.functions.iter().map(message).collect();
        let rows = portion.all();
        for row in portion.range() {
            let message = &mut messages[rows.functions[row] as usize];
            if rows.values[row].is_none() {
                message.nulls.push(message.timestamps.len() as u32);
            }
            message.timestamps.push(rows.timestamps[row]);
            message.values.push(rows.values[row].unwrap_or(0.0));
            message.qualities.push(rows.qualities[row]);
        }
        messages.retain(|message| !message.timestamps.is_empty());
        Ok(messages)
    }
}

/// The query of a request.
fn query(asker: &Asker<'_>, request: &v1::AggregateRequest) -> Result<(AggregateQuery, UnknownNames), Status> {
    let range = Bounds::new(&request.start, &request.end, &request.zone).resolve(asker.now)?;
    let mut functions = Vec::with_capacity(request.functions.len());
    for name in &request.functions {
        let function: AggregateFunction = name.parse().map_err(|error: UnknownFunction| status::invalid("functions", error.to_string()))?;
        if functions.contains(&function) {
            return Err(status::invalid("functions", format!("{name:?} is asked for twice")));
        }
        functions.push(function);
    }
    if functions.is_empty() {
        return Err(status::invalid("functions", "names no aggregate function; for example \"average\""));
    }
    let asked = request.configuration.unwrap_or_default();
    let default = AggregateConfiguration::default();
    let percent = |field: &str, asked: Option<i32>, default: u8| match asked {
        None => Ok(default),
        Some(percent) => u8::try_from(percent).map_err(|_| status::invalid(field, format!("{percent} is not 0 to 100"))),
    };
    let configuration = AggregateConfiguration {
        treat_uncertain_as_bad: asked.treat_uncertain_as_bad.unwrap_or(default.treat_uncertain_as_bad),
        percent_data_bad: percent("configuration.percent_data_bad", asked.percent_data_bad, default.percent_data_bad)?,
        percent_data_good: percent("configuration.percent_data_good", asked.percent_data_good, default.percent_data_good)?,
        use_sloped_extrapolation: asked.use_sloped_extrapolation.unwrap_or(default.use_sloped_extrapolation),
        use_uncertain_values: asked.use_uncertain_values.unwrap_or(default.use_uncertain_values),
        stepped: false,
    };
    configuration.check().map_err(|error| status::invalid("configuration", error.to_string()))?;
    let intervals = match calendar::calendar_unit(request.calendar, &request.interval, &request.shift_starts)? {
        Some(unit) => calendar::calendar_intervals(range, &unit, &zone(&request.zone)?)?,
        None => intervals(range, &request.interval)?,
    };
    let SelectedTags { tags, missing } = asker.tags(&request.tags)?;
    Ok((AggregateQuery { tags, intervals, functions, configuration, stepped: asked.stepped, use_rollups: true }, missing))
}

fn intervals(range: TimeRange, interval: &str) -> Result<Intervals, Status> {
    let (start, end) = bounds_as_asked(range);
    Intervals::new(start.0, end.0, duration("interval", interval)?).map_err(|error| match error {
        InvalidIntervals::Empty => status::invalid("end", error.to_string()),
        error => status::invalid("interval", error.to_string()),
    })
}
