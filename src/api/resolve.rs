//! Requests into queries: patterns into tags of the catalog, texts into times, with every limit checked on the way.

use std::sync::Arc;

use historian_proto::{
    types::value::Kind,
    v1::{self, anomalies_request, downsample_request, range_request},
};
use jiff::tz::TimeZone;
use tonic::Status;

use super::{ApiLimits, Services, convert, status};
use historian_model::{
    Tag, TagSelection, TimeRange, Timestamp, ValueType,
    time::{LENGTH_FORMS, length_of_time},
};
use historian_operators::{
    aggregate::{Configuration, Function, Intervals, InvalidIntervals, UnknownFunction},
    anomaly::{Output, Parameter, Parameters, Plan},
    downsample::Method,
};
use historian_query::{AggregateQuery, AnomalyQuery, Boundary, DownsampleQuery, Fill, Layout, QualityFilter, RangeQuery, SupersededQuery};

/// Tags that a request selects, and the exact names in it that no tag has.
pub struct Selected {
    pub tags: Vec<Arc<Tag>>,
    pub missing: Vec<String>,
}

/// Patterns of a request; `field` is where they stand in it.
pub fn selection(patterns: &[String], limits: &ApiLimits) -> Result<TagSelection, Status> {
    if patterns.len() > limits.patterns_max {
        let message = format!("{} names and globs, at most {} are taken; use a glob such as area1/**", patterns.len(), limits.patterns_max);
        return Err(status::invalid("tags", message));
    }
    TagSelection::parse(patterns).map_err(|error| status::from_pattern(&error))
}

/// Tags of a query. Blocks on the catalog.
pub fn tags(services: &Services, patterns: &[String]) -> Result<Selected, Status> {
    if patterns.is_empty() {
        return Err(status::invalid("tags", "name at least one tag or glob; \"**\" selects all"));
    }
    let (tags, missing) = services.catalog.select(&selection(patterns, &services.limits)?);
    let limit = services.limits.query_tags_max;
    if tags.len() > limit {
        let message = format!("the query selects {} tags, at most {limit} are served at once; use a narrower glob", tags.len());
        return Err(status::too_much("query_tags_max", message));
    }
    Ok(Selected { tags, missing })
}

/// A range request against the catalog and the clock. Blocks on the catalog.
pub fn range(services: &Services, request: &v1::RangeRequest) -> Result<(RangeQuery, Vec<String>), Status> {
    let range = Bounds::new(&request.start, &request.end, &request.zone).resolve(services.clock.now())?;
    let boundary = match request.boundary.try_into() {
        Ok(range_request::Boundary::Unspecified | range_request::Boundary::Inside) => Boundary::Inside,
        Ok(range_request::Boundary::Outside) => Boundary::Outside,
        Ok(range_request::Boundary::Interpolated) => Boundary::Interpolated,
        Err(_) => return Err(status::invalid("boundary", format!("{} is none of INSIDE, OUTSIDE, INTERPOLATED", request.boundary))),
    };
    let layout = match request.layout.try_into() {
        Ok(range_request::Layout::Unspecified | range_request::Layout::Long) => Layout::Long,
        Ok(range_request::Layout::Wide) => Layout::Wide,
        Err(_) => return Err(status::invalid("layout", format!("{} is none of LONG, WIDE", request.layout))),
    };
    let limit =
        u64::try_from(request.limit).map_err(|_| status::invalid("limit", format!("{} is negative; 0 means no limit", request.limit)))?;
    let quality = quality(request.quality)?;
    let fill = match request.fill.try_into() {
        Ok(range_request::Fill::Unspecified | range_request::Fill::None) => Fill::None,
        Ok(range_request::Fill::AsOf) => Fill::AsOf,
        Ok(range_request::Fill::Linear) => Fill::Linear,
        Err(_) => return Err(status::invalid("fill", format!("{} is none of NONE, AS_OF, LINEAR", request.fill))),
    };
    let step = duration("step", &request.step)?;
    if fill != Fill::None && (layout != Layout::Wide || range.reverse || boundary != Boundary::Inside) {
        return Err(status::invalid("fill", "is for the WIDE layout, forwards and INSIDE the range"));
    }
    if step > 0 && fill == Fill::None {
        return Err(status::invalid("step", "needs a fill, AS_OF or LINEAR"));
    }
    if layout != Layout::Long && (request.types || !request.among.is_empty()) {
        return Err(status::invalid(
            if request.types { "types" } else { "among" },
            "is for the LONG layout; in WIDE each tag has its own type",
        ));
    }
    let Selected { tags, missing } = tags(services, &request.tags)?;
    let limit = (limit > 0).then_some(limit);
    let step = (step > 0).then_some(step);
    let (types, among) = (request.types, among(&request.among)?);
    Ok((RangeQuery { tags, range, boundary, limit, layout, quality, fill, step, resume: None, types, among }, missing))
}

/// The value types that count as selected.
fn among(asked: &[i32]) -> Result<Vec<ValueType>, Status> {
    let refused = |number: i32| status::invalid("among", format!("{number} is no value type such as F64 or STRING"));
    let known = |number: &i32| convert::type_from_wire(*number).ok_or_else(|| refused(*number));
    let mut types = asked.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    types.sort_unstable_by_key(|value_type| *value_type as u8);
    types.dedup();
    Ok(types)
}

/// A filter by quality as a request has it.
pub fn quality(asked: i32) -> Result<QualityFilter, Status> {
    match asked.try_into() {
        Ok(v1::QualityFilter::Unspecified | v1::QualityFilter::Any) => Ok(QualityFilter::Any),
        Ok(v1::QualityFilter::NotBad) => Ok(QualityFilter::NotBad),
        Ok(v1::QualityFilter::Good) => Ok(QualityFilter::Good),
        Err(_) => Err(status::invalid("quality", format!("{asked} is none of ANY, NOT_BAD, GOOD"))),
    }
}

/// A request for superseded versions against the catalog and the clock. Blocks on the catalog.
pub fn superseded(services: &Services, request: &v1::SupersededRequest) -> Result<(SupersededQuery, Vec<String>), Status> {
    let v1::SupersededRequest { tags: patterns, start, end, zone, limit } = request;
    let range = Bounds::new(start, end, zone).resolve(services.clock.now())?;
    if range.reverse {
        return Err(status::invalid("end", format!("{} lies before the start; versions are told in the order of time", range.start)));
    }
    let limit = u64::try_from(*limit).map_err(|_| status::invalid("limit", format!("{limit} is negative; 0 means no limit")))?;
    let Selected { tags, missing } = tags(services, patterns)?;
    Ok((SupersededQuery { tags, range, limit: (limit > 0).then_some(limit) }, missing))
}

/// A length of time in ns, see [`length_of_time`].
pub fn duration(field: &str, text: &str) -> Result<i64, Status> {
    length_of_time(text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        status::invalid(field, format!("{shown:?} is no length of time; write {LENGTH_FORMS}"))
    })
}

/// An aggregate request against the catalog and the clock. Blocks on the catalog.
pub fn aggregate(services: &Services, request: &v1::AggregateRequest) -> Result<(AggregateQuery, Vec<String>), Status> {
    let range = Bounds::new(&request.start, &request.end, &request.zone).resolve(services.clock.now())?;
    let mut functions = Vec::with_capacity(request.functions.len());
    for name in &request.functions {
        let function: Function = name.parse().map_err(|error: UnknownFunction| status::invalid("functions", error.to_string()))?;
        if functions.contains(&function) {
            return Err(status::invalid("functions", format!("{name:?} is asked for twice")));
        }
        functions.push(function);
    }
    if functions.is_empty() {
        return Err(status::invalid("functions", "names no aggregate function; for example \"average\""));
    }
    let asked = request.configuration.unwrap_or_default();
    let default = Configuration::default();
    let percent = |field: &str, asked: Option<i32>, default: u8| match asked {
        None => Ok(default),
        Some(percent) => u8::try_from(percent).map_err(|_| status::invalid(field, format!("{percent} is not 0 to 100"))),
    };
    let configuration = Configuration {
        treat_uncertain_as_bad: asked.treat_uncertain_as_bad.unwrap_or(default.treat_uncertain_as_bad),
        percent_data_bad: percent("configuration.percent_data_bad", asked.percent_data_bad, default.percent_data_bad)?,
        percent_data_good: percent("configuration.percent_data_good", asked.percent_data_good, default.percent_data_good)?,
        use_sloped_extrapolation: asked.use_sloped_extrapolation.unwrap_or(default.use_sloped_extrapolation),
        use_uncertain_values: asked.use_uncertain_values.unwrap_or(default.use_uncertain_values),
        stepped: false,
    };
    configuration.check().map_err(|error| status::invalid("configuration", error.to_string()))?;
    let intervals = match super::measure::calendar_unit(request.calendar, &request.interval, &request.shift_starts)? {
        Some(unit) => super::measure::calendar_intervals(range, &unit, &zone(&request.zone)?)?,
        None => intervals(range, &request.interval)?,
    };
    let Selected { tags, missing } = tags(services, &request.tags)?;
    Ok((AggregateQuery { tags, intervals, functions, configuration, stepped: asked.stepped, use_rollups: true }, missing))
}

fn intervals(range: TimeRange, interval: &str) -> Result<Intervals, Status> {
    let (start, end) = bounds_as_asked(range);
    Intervals::new(start.0, end.0, duration("interval", interval)?).map_err(|error| match error {
        InvalidIntervals::Empty => status::invalid("end", error.to_string()),
        error => status::invalid("interval", error.to_string()),
    })
}

/// A downsample request against the catalog and the clock. Blocks on the catalog.
pub fn downsample(services: &Services, request: &v1::DownsampleRequest) -> Result<(DownsampleQuery, Vec<String>), Status> {
    let range = Bounds::new(&request.start, &request.end, &request.zone).forward(services.clock.now())?;
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
    historian_operators::downsample::Request::new(range.start.0, range.end.0, points, method)
        .map_err(|error| status::invalid("points", error.to_string()))?;
    let Selected { tags, missing } = tags(services, &request.tags)?;
    Ok((DownsampleQuery { tags, range, points, method, types: request.types, use_rollups: true }, missing))
}

/// A request for anomalies against the catalog and the clock. Blocks on the catalog.
pub fn anomalies(services: &Services, request: &v1::AnomaliesRequest) -> Result<(AnomalyQuery, Vec<String>), Status> {
    let now = services.clock.now();
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
    let Selected { mut tags, missing } = tags(services, &request.tags)?;
    // A glob takes the tags that can be scored; a tag that is named and cannot be is a mistake.
    let named = |tag: &Tag| request.tags.iter().any(|pattern| pattern == tag.name().as_str());
    if let Some(tag) = tags.iter().find(|tag| !plan.takes(tag.value_type()) && named(tag)) {
        let message = format!("{} is of type {}, which the detector {} does not take", tag.name(), tag.value_type(), plan.detector());
        return Err(status::invalid("tags", message));
    }
    tags.retain(|tag| plan.takes(tag.value_type()));
    Ok((AnomalyQuery { tags, range, plan, output }, missing))
}

/// The resolved query as a request of its own, of absolute times, for names and globs.
pub fn to_superseded_request(tags: Vec<String>, query: &SupersededQuery) -> v1::SupersededRequest {
    v1::SupersededRequest {
        tags,
        start: query.range.start.to_string(),
        end: query.range.end.to_string(),
        zone: String::new(),
        limit: query.limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(0),
    }
}

/// A zone by its name; empty is UTC.
pub fn zone(name: &str) -> Result<TimeZone, Status> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        let shown: String = name.chars().take(60).collect();
        status::invalid("zone", format!("{shown:?} is no IANA time zone such as Europe/Berlin"))
    })
}

/// The bounds of a request, as it has them.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    pub start: &'a str,
    /// Empty is now.
    pub end: &'a str,
    /// Of times without an offset and of calendar steps; empty is UTC.
    pub zone: &'a str,
}

impl<'a> Bounds<'a> {
    pub fn new(start: &'a str, end: &'a str, zone: &'a str) -> Bounds<'a> {
        Bounds { start, end, zone }
    }

    /// Both bounds, resolved at one moment.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the field that cannot be read.
    pub fn resolve(self, now: Timestamp) -> Result<TimeRange, Status> {
        let zone = zone(self.zone)?;
        if self.start.is_empty() {
            return Err(status::invalid(
                "start",
                "the start of the range is missing; write RFC 3339, a number with its unit (1767225600s) or a relative time such as *-8h",
            ));
        }
        let start = Timestamp::parse_bound(self.start, now, &zone).map_err(|error| status::from_time("start", &error))?;
        let end = if self.end.is_empty() { "*" } else { self.end };
        let end = Timestamp::parse_bound(end, now, &zone).map_err(|error| status::from_time("end", &error))?;
        Ok(TimeRange::new(start, end))
    }

    /// As [`Bounds::resolve`], of a query that goes forward only.
    ///
    /// # Errors
    /// Also when the end is not after the start.
    pub fn forward(self, now: Timestamp) -> Result<TimeRange, Status> {
        let range = self.resolve(now)?;
        if range.reverse || range.is_empty() {
            let message = format!("{} is not after the start, {}", bounds_as_asked(range).1, bounds_as_asked(range).0);
            return Err(status::invalid("end", message));
        }
        Ok(range)
    }
}

/// The resolved query as a request of its own, of absolute times, for names and globs.
pub fn to_request(tags: Vec<String>, query: &RangeQuery) -> v1::RangeRequest {
    let (start, end) = bounds_as_asked(query.range);
    v1::RangeRequest {
        tags,
        start: start.to_string(),
        end: end.to_string(),
        boundary: match query.boundary {
            Boundary::Inside => range_request::Boundary::Inside,
            Boundary::Outside => range_request::Boundary::Outside,
            Boundary::Interpolated => range_request::Boundary::Interpolated,
        }
        .into(),
        limit: query.limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(0),
        layout: match query.layout {
            Layout::Long => range_request::Layout::Long,
            Layout::Wide => range_request::Layout::Wide,
        }
        .into(),
        quality: match query.quality {
            QualityFilter::Any => v1::QualityFilter::Any,
            QualityFilter::NotBad => v1::QualityFilter::NotBad,
            QualityFilter::Good => v1::QualityFilter::Good,
        }
        .into(),
        fill: match query.fill {
            Fill::None => range_request::Fill::None,
            Fill::AsOf => range_request::Fill::AsOf,
            Fill::Linear => range_request::Fill::Linear,
        }
        .into(),
        step: query.step.map(|step| step.to_string()).unwrap_or_default(),
        types: query.types,
        among: query.among.iter().map(|value_type| convert::type_to_wire(*value_type).into()).collect(),
        ..v1::RangeRequest::default()
    }
}

/// Start and end in the order of the request: of a reverse range the start is the later one.
pub fn bounds_as_asked(range: TimeRange) -> (Timestamp, Timestamp) {
    if range.reverse { (range.end, range.start) } else { (range.start, range.end) }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn times(start: &str, end: &str, zone: &str, now: Timestamp) -> Result<TimeRange, Status> {
        Bounds::new(start, end, zone).resolve(now)
    }

    #[test]
    fn the_end_defaults_to_now_and_the_start_is_asked_for() {
        let now = Timestamp(1_000_000_000_000);
        assert_eq!(times("5ns", "", "", now).unwrap(), TimeRange { start: Timestamp(5), end: now, reverse: false });
        assert!(times("*", "5ns", "", now).unwrap().reverse);
        for (start, end, zone, field) in [
            ("", "*", "", "start"),
            ("soon", "", "", "start"),
            ("1767225600", "", "", "start"),
            ("0", "late", "", "end"),
            ("0", "1767225600000", "", "end"),
            ("0", "", "Mars/Olympus", "zone"),
        ] {
            let error = times(start, end, zone, now).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().starts_with(field), "{}", error.message());
        }
    }

    #[test]
    fn dates_outside_the_range_leave_a_bound_open_and_resolved_bounds_say_what_they_are() {
        let range = times("0001-01-01", "9999-12-31", "", Timestamp(0)).unwrap();
        assert_eq!(range, TimeRange { start: Timestamp::MIN, end: Timestamp::MAX, reverse: false });
        // A resolved range is asked again, in a ticket: whatever its bounds are, they mean the same then.
        for (start, end) in [(i64::MIN, i64::MAX), (0, 1), (-7, 1_000_000_000), (5, 3)] {
            let query = RangeQuery::new(Vec::new(), TimeRange::new(Timestamp(start), Timestamp(end)));
            let again = to_request(Vec::new(), &query);
            let again = times(&again.start, &again.end, &again.zone, Timestamp(0)).unwrap();
            assert_eq!(again, query.range);
        }
    }

    #[test]
    fn absurd_selections_are_refused() {
        let limits = ApiLimits::default();
        assert_eq!(selection(&vec!["a".to_owned(); 1_000_000], &limits).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(selection(&["a/[".to_owned()], &limits).unwrap_err().code(), Code::InvalidArgument);
    }
}
