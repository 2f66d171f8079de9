//! Requests of key figures into queries: measures, as-of joins, and the calendar intervals that aggregates have as well.

use historian_proto::v1::{self, measure_request};
use jiff::{civil::Time, tz::TimeZone};
use tonic::Status;

use super::{
    Services, resolve,
    resolve::{Bounds, Selected, duration},
    status,
};
use historian_model::{Tag, TimeRange};
use historian_operators::{
    aggregate::Intervals,
    kpi::{CalendarUnit, CounterRules, Eligible, KpiError, ResetPolicy, STATES_MAX, Shift, TimeUnit, Window, calendar, steps},
};
use historian_query::{AS_OF_TAGS_MAX, AsOfQuery, Measure, MeasureQuery, QueryError};

/// The calendar a request asks for, which excludes an interval; `None` when it asks for none.
pub fn calendar_unit(asked: i32, interval: &str, shift_starts: &[String]) -> Result<Option<CalendarUnit>, Status> {
    let unit = match asked.try_into() {
        Ok(v1::Calendar::Unspecified) => None,
        Ok(v1::Calendar::Hour) => Some(CalendarUnit::Hour),
        Ok(v1::Calendar::Day) => Some(CalendarUnit::Day),
        Ok(v1::Calendar::Week) => Some(CalendarUnit::Week),
        Ok(v1::Calendar::Month) => Some(CalendarUnit::Month),
        Ok(v1::Calendar::Year) => Some(CalendarUnit::Year),
        Ok(v1::Calendar::Shift) => Some(CalendarUnit::Shift(shifts(shift_starts)?)),
        Err(_) => {
            let message = format!("{asked} is none of CALENDAR_HOUR, _DAY, _WEEK, _MONTH, _YEAR, _SHIFT");
            return Err(status::invalid("calendar", message));
        }
    };
    if unit.is_some() && duration("interval", interval)? > 0 {
        return Err(status::invalid("interval", "and calendar exclude each other; give one of them"));
    }
    if !shift_starts.is_empty() && !matches!(unit, Some(CalendarUnit::Shift(_))) {
        return Err(status::invalid("shift_starts", "belongs to the calendar CALENDAR_SHIFT"));
    }
    Ok(unit)
}

/// Shifts that are named by their start.
fn shifts(starts: &[String]) -> Result<Vec<Shift>, Status> {
    if starts.is_empty() {
        return Err(status::invalid(
            "shift_starts",
            "the calendar CALENDAR_SHIFT needs the times at which shifts begin, such as \"06:00\"",
        ));
    }
    let shift = |text: &String| {
        let start: Time = text.trim().parse().map_err(|_| {
            let shown: String = text.chars().take(40).collect();
            status::invalid("shift_starts", format!("{shown:?} is no time of day; write \"06:00\""))
        })?;
        Ok(Shift { name: text.trim().to_owned(), start })
    };
    starts.iter().map(shift).collect()
}

fn refused(error: &KpiError) -> Status {
    let field = match error {
        KpiError::Window { .. } => "end",
        KpiError::Shifts(_) => "shift_starts",
        KpiError::Intervals => "interval",
        _ => "calendar",
    };
    status::invalid(field, error.to_string())
}

/// The intervals of a calendar as an aggregate has them, backwards for a range that is.
pub fn calendar_intervals(range: TimeRange, unit: &CalendarUnit, zone: &TimeZone) -> Result<Intervals, Status> {
    let window = Window::new(range.start.0, range.end.0).map_err(|error| refused(&error))?;
    let parts = calendar(window, unit, zone).map_err(|error| refused(&error))?;
    let cut = |part: Option<&historian_operators::kpi::CalendarInterval>| part.is_some_and(|part| !part.whole);
    let (earliest, latest) = (cut(parts.first()), cut(parts.last()));
    let edges = parts.iter().map(|part| part.window.start()).chain(parts.last().map(|part| part.window.end())).collect();
    let intervals = Intervals::between(edges, range.reverse).map_err(|error| status::invalid("calendar", error.to_string()))?;
    Ok(intervals.cut_at(earliest, latest))
}

/// A measure request against the catalog and the clock. Blocks on the catalog.
pub fn measure(services: &Services, request: &v1::MeasureRequest) -> Result<(MeasureQuery, Vec<String>), Status> {
    let now = services.clock.now();
    let range = Bounds::new(&request.start, &request.end, &request.zone).forward(now)?;
    let zone = resolve::zone(&request.zone)?;
    let window = Window::new(range.start.0, range.end.0).map_err(|error| refused(&error))?;
    let intervals = match calendar_unit(request.calendar, &request.interval, &request.shift_starts)? {
        Some(unit) => calendar(window, &unit, &zone),
        None => steps(window, duration("interval", &request.interval)?.unsigned_abs(), &zone),
    };
    let intervals = intervals.map_err(|error| refused(&error))?;
    let measure = what(request)?;
    let Selected { mut tags, missing } = resolve::tags(services, &request.tags)?;
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

/// A join against the catalog, its times those of the request. Blocks on the catalog.
pub fn as_of(services: &Services, request: &v1::AsOfRequest) -> Result<(AsOfQuery, Vec<String>), Status> {
    let eligible = match v1::QualityFilter::try_from(request.quality) {
        Ok(v1::QualityFilter::Unspecified | v1::QualityFilter::NotBad) => Eligible::NotBad,
        Ok(v1::QualityFilter::Any) => Eligible::Any,
        Ok(v1::QualityFilter::Good) => Eligible::Good,
        Err(_) => return Err(status::invalid("quality", "is none of ANY, NOT_BAD, GOOD")),
    };
    let tolerance = duration("tolerance", &request.tolerance)?.unsigned_abs();
    let tolerance_ns = (!request.tolerance.trim().is_empty()).then_some(tolerance);
    let Selected { tags, missing } = resolve::tags(services, &request.tags)?;
    if tags.len() > AS_OF_TAGS_MAX {
        let message = format!("{} tags are joined, at most {AS_OF_TAGS_MAX} are at once; use a narrower glob", tags.len());
        return Err(status::too_much("as_of_tags_max", message));
    }
    Ok((AsOfQuery { tags, times: request.timestamps.clone(), tolerance_ns, eligible }, missing))
}
