//! `measure`: the exact primitives of key figures in intervals.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use historian_proto::v1::{self, TagFailure, measure_request};
use tonic::Status;

use super::{
    asker::Asker,
    calendar::{self, refused},
    contract::{Door, Emit, Endpoints, QueryKind, Resolved, UnknownNames, boxed},
    tag_by_tag::TagByTag,
};
use crate::{
    Services, request,
    resolve::{Bounds, SelectedTags, duration, texts, zone},
    status,
};
use historian_model::Tag;
use historian_operators::kpi::{self, CounterRules, KpiError, ResetPolicy, STATES_MAX, TimeUnit, Window, steps};
use historian_query::{Measure, MeasureQuery, MeasureRows, Operator, QueryEngine, QueryError, QueryLimits, Slice};

/// A resolved query of measures.
pub struct MeasureKind {
    query: MeasureQuery,
    /// The request it came of, but exact: the ticket of its answer.
    request: v1::MeasureRequest,
}

impl QueryKind for MeasureKind {
    const NAME: &'static str = "measure";
    const METHOD: &'static str = "Measure";
    const DOOR: Door = Door::Get;
    const SQL: Option<&'static str> = None;
    type Request = v1::MeasureRequest;

    fn resolve(asker: &Asker<'_>, request: v1::MeasureRequest) -> Result<(MeasureKind, UnknownNames), Status> {
        let (query, missing) = query(asker, &request)?;
        let (start, end) = texts(query.range());
        Ok((MeasureKind { query, request: v1::MeasureRequest { start, end, ..request } }, missing))
    }

    fn plan(asker: &Asker<'_>, request: v1::MeasureRequest) -> Result<(Box<dyn Resolved>, UnknownNames), Status> {
        MeasureKind::resolve(asker, request).map(boxed)
    }
}

impl Resolved for MeasureKind {
    fn schema(&self, _engine: &QueryEngine) -> Result<SchemaRef, Status> {
        Ok(self.query.schema())
    }

    fn endpoints(&self, _services: &Services, _limits: &QueryLimits) -> Result<Endpoints, Status> {
        let rows = self.query.rows().map(|rows| rows as u64).filter(|rows| i64::try_from(*rows).is_ok());
        Ok(Endpoints { rows, ..Endpoints::whole(Some(self.query.range()), request::any(&self.request)) })
    }

    fn batches(&self, engine: &QueryEngine, limits: &QueryLimits, emit: Emit<'_>) -> Result<(), QueryError> {
        engine.operate(&self.query, limits, emit)
    }
}

impl TagByTag for MeasureKind {
    type Portion = Slice<MeasureRows>;
    type Message = v1::MeasureResponse;

    fn tags(&self) -> &[Arc<Tag>] {
        &self.query.tags
    }

    fn first(&self) -> v1::MeasureResponse {
        let range = self.query.range();
        let (start, end) = (range.start, range.end);
        v1::MeasureResponse { start: start.0, end: end.0, ..v1::MeasureResponse::default() }
    }

    fn failed(failure: TagFailure) -> v1::MeasureResponse {
        v1::MeasureResponse { failure: Some(failure), ..v1::MeasureResponse::default() }
    }

    fn run(
        &self,
        engine: &QueryEngine,
        tag: &Arc<Tag>,
        limits: &QueryLimits,
        emit: &mut dyn FnMut(Slice<MeasureRows>) -> bool,
    ) -> Result<(), QueryError> {
        engine.rows(&self.query.of_tag(tag), limits, emit)
    }

    fn messages(&self, tag: &Tag, portion: &Slice<MeasureRows>) -> Result<Vec<v1::MeasureResponse>, String> {
        let rows = portion.all();
        let row = |row: usize| {
            let (interval, figure) = (&self.query.intervals[rows.intervals[row]], &rows.figures[row]);
            v1::MeasureRow {
                tag: tag.name().to_string(),
                start: interval.window.start(),
                end: interval.window.end(),
                label: interval.label.clone(),
                item: figure.item.to_string(),
                value: figure.value,
                numerator: figure.numerator,
                denominator: figure.denominator,
                percent_good: figure.percent_good,
                bad_seconds: figure.bad_seconds,
            }
        };
        // Some 150 bytes each: a message stays below what clients take.
        let rows: Vec<v1::MeasureRow> = portion.range().map(row).collect();
        Ok(rows.chunks(8_192).map(|rows| v1::MeasureResponse { rows: rows.to_vec(), ..v1::MeasureResponse::default() }).collect())
    }
}

/// The query of a request.
fn query(asker: &Asker<'_>, request: &v1::MeasureRequest) -> Result<(MeasureQuery, UnknownNames), Status> {
    let now = asker.now;
    let range = Bounds::new(&request.start, &request.end, &request.zone).forward(now)?;
    let zone = zone(&request.zone)?;
    let window = Window::new(range.start.0, range.end.0).map_err(|error| refused(&error))?;
    let intervals = match calendar::calendar_unit(request.calendar, &request.interval, &request.shift_starts)? {
        Some(unit) => kpi::calendar(window, &unit, &zone),
        None => steps(window, duration("interval", &request.interval)?.unsigned_abs(), &zone),
    };
    let intervals = intervals.map_err(|error| refused(&error))?;
    let measure = what(request)?;
    let SelectedTags { mut tags, missing } = asker.tags(&request.tags)?;
    // A glob takes the tags that can be measured so; a tag that is named and cannot be is a mistake.
    let named = |tag: &Tag| request.tags.iter().any(|pattern| pattern == tag.name().as_str());
    let unfit =
        |tag: &Tag| status::invalid("tags", format!("{} is of type {}, of which this cannot be measured", tag.name(), tag.value_type()));
    let selected = tags.clone();
    if let Some(tag) = tags.iter().find(|tag| !measure.takes(tag.value_type()) && named(tag)) {
        return Err(unfit(tag));
    }
    tags.retain(|tag| measure.takes(tag.value_type()));
    if let (true, Some(tag)) = (tags.is_empty(), selected.first()) {
        return Err(unfit(tag));
    }
    let query = MeasureQuery { tags, intervals, measure, uncertain_as_bad: request.treat_uncertain_as_bad, known_until: now };
    query.check().map_err(|error| match error {
        QueryError::Invalid(message) => status::invalid("measure", message),
        error => status::from_query(&error),
    })?;
    Ok((query, missing))
}

/// The measure with its parameters; one that belongs to another measure is a mistake.
fn what(request: &v1::MeasureRequest) -> Result<Measure, Status> {
    use measure_request::Measure as Asked;
    let asked = Asked::try_from(request.measure).unwrap_or(Asked::Unspecified);
    let given = [
        ("states", Asked::TimeInState, !request.states.is_empty()),
        ("from_state", Asked::Transitions, request.from_state.is_some()),
        ("to_state", Asked::Transitions, request.to_state.is_some()),
        ("dwell_min", Asked::Transitions, !request.dwell_min.is_empty()),
        ("rollover", Asked::CounterDelta, request.rollover.is_some()),
        ("reset", Asked::CounterDelta, !matches!(request.reset(), measure_request::Reset::Unspecified | measure_request::Reset::FromZero)),
        ("max_step", Asked::CounterDelta, request.max_step.is_some()),
        ("max_rate", Asked::CounterDelta, request.max_rate.is_some()),
        ("dead_band", Asked::CounterDelta, request.dead_band.is_some()),
        // With max_rate it is the time unit of that.
        ("per", Asked::Integral, !request.per.is_empty() && request.max_rate.is_none()),
        ("rescale", Asked::Integral, request.rescale),
    ];
    if asked != Asked::Unspecified
        && let Some((field, owner, _)) = given.iter().find(|(_, owner, given)| *given && *owner != asked)
    {
        return Err(status::invalid(field, format!("belongs to the measure {}", owner.as_str_name().trim_start_matches("MEASURE_"))));
    }
    Ok(match asked {
        Asked::Unspecified => {
            let message = "must be one of TIME_IN_STATE, TRANSITIONS, COUNTER_DELTA, INTEGRAL, PERCENT_GOOD";
            return Err(status::invalid("measure", message));
        }
        Asked::TimeInState => {
            if request.states.len() > STATES_MAX {
                return Err(status::invalid("states", format!("names {}, at most {STATES_MAX} are taken", request.states.len())));
            }
            Measure::TimeInState { states: request.states.clone() }
        }
        Asked::Transitions => Measure::Transitions {
            from: request.from_state.clone(),
            to: request.to_state.clone(),
            dwell_ns: duration("dwell_min", &request.dwell_min)?.unsigned_abs(),
        },
        Asked::CounterDelta => {
            let reset = match request.reset.try_into() {
                Ok(measure_request::Reset::Unspecified | measure_request::Reset::FromZero) => ResetPolicy::FromZero,
                Ok(measure_request::Reset::Skip) => ResetPolicy::Skip,
                Ok(measure_request::Reset::Always) => ResetPolicy::Always,
                Err(_) => return Err(status::invalid("reset", format!("{} is none of FROM_ZERO, SKIP, ALWAYS", request.reset))),
            };
            let per = if request.per.is_empty() { TimeUnit::Second } else { time_unit(&request.per)? };
            let per_s = |rate: f64| rate / (per.duration_ns() as f64 / 1e9);
            let rules = CounterRules {
                rollover: request.rollover,
                reset,
                max_step: request.max_step,
                max_rate_per_s: request.max_rate.map(per_s),
                dead_band: request.dead_band.unwrap_or(0.0),
            };
            rules.check().map_err(|error| {
                let field = match error {
                    KpiError::CounterRule { parameter, .. } => parameter,
                    _ => "rollover",
                };
                status::invalid(field, error.to_string().trim_start_matches(field).trim_start())
            })?;
            Measure::CounterDelta(rules)
        }
        Asked::Integral => {
            let unit = time_unit(&request.per)?;
            Measure::Integral { unit, rescale: request.rescale }
        }
        Asked::PercentGood => Measure::PercentGood,
    })
}

/// The time unit of a rate.
fn time_unit(per: &str) -> Result<TimeUnit, Status> {
    Ok(match per {
        "s" => TimeUnit::Second,
        "min" => TimeUnit::Minute,
        "h" => TimeUnit::Hour,
        "d" => TimeUnit::Day,
        other => {
            let shown: String = other.chars().take(40).collect();
            let message = format!("is {shown:?}; an INTEGRAL needs the time unit of the rate: \"s\", \"min\", \"h\" or \"d\"");
            return Err(status::invalid("per", message));
        }
    })
}
