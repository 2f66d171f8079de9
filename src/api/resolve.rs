//! Requests into queries: patterns into tags of the catalog, texts into times, with every limit checked on the way.

use std::sync::Arc;

use historian_proto::v1::{self, range_request};
use jiff::tz::TimeZone;
use tonic::Status;

use super::{ApiLimits, Services, status};
use crate::{
    model::{Tag, TagSelection, TimeRange, Timestamp},
    query::{Boundary, Layout, RangeQuery, SupersededQuery},
};

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
    let range = times(request, services.clock.now())?;
    let boundary = match request.boundary.try_into() {
        Ok(range_request::Boundary::Inside) => Boundary::Inside,
        Ok(range_request::Boundary::Outside) => Boundary::Outside,
        Ok(range_request::Boundary::Interpolated) => Boundary::Interpolated,
        Err(_) => return Err(status::invalid("boundary", format!("{} is none of INSIDE, OUTSIDE, INTERPOLATED", request.boundary))),
    };
    let layout = match request.layout.try_into() {
        Ok(range_request::Layout::Long) => Layout::Long,
        Ok(range_request::Layout::Wide) => Layout::Wide,
        Err(_) => return Err(status::invalid("layout", format!("{} is none of LONG, WIDE", request.layout))),
    };
    let limit =
        u64::try_from(request.limit).map_err(|_| status::invalid("limit", format!("{} is negative; 0 means no limit", request.limit)))?;
    let Selected { tags, missing } = tags(services, &request.tags)?;
    Ok((RangeQuery { tags, range, boundary, limit: (limit > 0).then_some(limit), layout }, missing))
}

/// A request for superseded versions against the catalog and the clock. Blocks on the catalog.
pub fn superseded(services: &Services, request: &v1::SupersededRequest) -> Result<(SupersededQuery, Vec<String>), Status> {
    let v1::SupersededRequest { tags: patterns, start, end, zone, limit } = request;
    let times_asked = v1::RangeRequest { start: start.clone(), end: end.clone(), zone: zone.clone(), ..v1::RangeRequest::default() };
    let range = times(&times_asked, services.clock.now())?;
    if range.reverse {
        return Err(status::invalid("end", format!("{} lies before the start; versions are told in the order of time", range.start)));
    }
    let limit = u64::try_from(*limit).map_err(|_| status::invalid("limit", format!("{limit} is negative; 0 means no limit")))?;
    let Selected { tags, missing } = tags(services, patterns)?;
    Ok((SupersededQuery { tags, range, limit: (limit > 0).then_some(limit) }, missing))
}

/// The resolved query as a request of its own: exact names and absolute times.
pub fn to_superseded_request(query: &SupersededQuery) -> v1::SupersededRequest {
    v1::SupersededRequest {
        tags: query.tags.iter().map(|tag| tag.name().as_str().to_owned()).collect(),
        start: query.range.start.0.to_string(),
        end: query.range.end.0.to_string(),
        zone: String::new(),
        limit: query.limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(0),
    }
}

/// Both bounds, resolved at one moment.
pub fn times(request: &v1::RangeRequest, now: Timestamp) -> Result<TimeRange, Status> {
    let zone = if request.zone.is_empty() {
        TimeZone::UTC
    } else {
        TimeZone::get(&request.zone).map_err(|_| {
            let shown: String = request.zone.chars().take(60).collect();
            status::invalid("zone", format!("{shown:?} is no IANA time zone such as Europe/Berlin"))
        })?
    };
    if request.start.is_empty() {
        return Err(status::invalid(
            "start",
            "the start of the range is missing; write RFC 3339, integer nanoseconds or a relative time such as *-8h",
        ));
    }
    let start = Timestamp::parse(&request.start, now, &zone).map_err(|error| status::from_time("start", &error))?;
    let end = if request.end.is_empty() { "*" } else { request.end.as_str() };
    let end = Timestamp::parse(end, now, &zone).map_err(|error| status::from_time("end", &error))?;
    Ok(TimeRange::new(start, end))
}

/// The resolved query as a request of its own: exact names and absolute times.
pub fn to_request(tags: &[Arc<Tag>], query: &RangeQuery) -> v1::RangeRequest {
    let (start, end) = bounds_as_asked(query.range);
    v1::RangeRequest {
        tags: tags.iter().map(|tag| tag.name().as_str().to_owned()).collect(),
        start: start.0.to_string(),
        end: end.0.to_string(),
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
        zone: String::new(),
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

    fn request(start: &str, end: &str, zone: &str) -> v1::RangeRequest {
        v1::RangeRequest { start: start.into(), end: end.into(), zone: zone.into(), ..v1::RangeRequest::default() }
    }

    #[test]
    fn the_end_defaults_to_now_and_the_start_is_asked_for() {
        let now = Timestamp(1_000_000_000_000);
        assert_eq!(times(&request("5", "", ""), now).unwrap(), TimeRange { start: Timestamp(5), end: now, reverse: false });
        assert!(times(&request("*", "5", ""), now).unwrap().reverse);
        for (start, end, zone, field) in
            [("", "*", "", "start"), ("soon", "", "", "start"), ("1", "late", "", "end"), ("1", "", "Mars/Olympus", "zone")]
        {
            let error = times(&request(start, end, zone), now).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().starts_with(field), "{}", error.message());
        }
    }

    #[test]
    fn absurd_selections_are_refused() {
        let limits = ApiLimits::default();
        assert_eq!(selection(&vec!["a".to_owned(); 1_000_000], &limits).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(selection(&["a/[".to_owned()], &limits).unwrap_err().code(), Code::InvalidArgument);
    }
}
