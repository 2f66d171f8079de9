//! Parts of requests: patterns into tags of the catalog, texts into times, with every limit checked on the way.
//!
//! Globs are read and tags selected on blocking threads only: either may take long, and asks the limits of the call whether to go on.

use std::sync::Arc;

use jiff::tz::TimeZone;
use tonic::Status;

use super::{ApiLimits, Services, status};
use historian_model::{
    Tag, TagSelection, TimeRange, Timestamp,
    selection::InvalidSelection,
    time::{LENGTH_FORMS, length_of_time},
};
use historian_query::{QueryError, QueryLimits};

/// Tags that a request selects, and the exact names in it that no tag has.
pub struct SelectedTags {
    pub tags: Vec<Arc<Tag>>,
    pub missing: Vec<String>,
}

/// Patterns of a request. Blocks while they are read.
pub fn selection(patterns: &[String], bounds: &ApiLimits, limits: &QueryLimits) -> Result<TagSelection, Status> {
    if patterns.len() > bounds.patterns_max {
        let message = format!("{} names and globs, at most {} are taken; use a glob such as area1/**", patterns.len(), bounds.patterns_max);
        return Err(status::invalid("tags", message));
    }
    TagSelection::parse_while(patterns, &|| limits.check(0).is_ok()).map_err(|error| match error {
        InvalidSelection::Stopped => go_on(limits).err().unwrap_or_else(|| status::from_query(&QueryError::Cancelled)),
        error => status::from_selection(&error),
    })
}

/// Patterns of a request in which none mean all tags. Blocks while they are read.
pub fn selection_or_all(patterns: &[String], bounds: &ApiLimits, limits: &QueryLimits) -> Result<TagSelection, Status> {
    if patterns.is_empty() { Ok(TagSelection::all()) } else { selection(patterns, bounds, limits) }
}

/// Patterns of a request that has to have some: a forgotten field is not taken for a wish for everything. Blocks while they are read.
pub fn selection_of_some(patterns: &[String], bounds: &ApiLimits, limits: &QueryLimits) -> Result<TagSelection, Status> {
    if patterns.is_empty() {
        return Err(status::invalid("tags", "name at least one tag or glob; \"**\" selects all"));
    }
    selection(patterns, bounds, limits)
}

/// Tags of a query. Blocks on the catalog.
pub fn tags(services: &Services, patterns: &[String], limits: &QueryLimits) -> Result<SelectedTags, Status> {
    selected(services, &selection_of_some(patterns, &services.limits, limits)?, limits)
}

/// Tags of a request in which no patterns mean all. Blocks on the catalog.
pub fn tags_or_all(services: &Services, patterns: &[String], limits: &QueryLimits) -> Result<SelectedTags, Status> {
    selected(services, &selection_or_all(patterns, &services.limits, limits)?, limits)
}

fn selected(services: &Services, selection: &TagSelection, limits: &QueryLimits) -> Result<SelectedTags, Status> {
    let (tags, missing) = services.catalog.within(&limits.scope).select_while(selection, &|| go_on(limits))?;
    let limit = services.limits.query_tags_max;
    if tags.len() > limit {
        let message = format!("the query selects {} tags, at most {limit} are served at once; use a narrower glob", tags.len());
        return Err(status::too_much("query_tags_max", message));
    }
    Ok(SelectedTags { tags, missing })
}

/// Whether a call still has time, and somebody who waits for its answer.
///
/// # Errors
/// `DEADLINE_EXCEEDED` or `CANCELLED`.
pub fn go_on(limits: &QueryLimits) -> Result<(), Status> {
    limits.check(0).map_err(|error| status::from_query(&error))
}

/// A length of time in ns, see [`length_of_time`].
pub fn duration(field: &str, text: &str) -> Result<i64, Status> {
    length_of_time(text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        status::invalid(field, format!("{shown:?} is no length of time; write {LENGTH_FORMS}"))
    })
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

impl Bounds<'_> {
    /// As [`Bounds::forward`], of a list that may be asked for as a whole: a bound that is missing is open.
    ///
    /// # Errors
    /// As there.
    pub fn open(self, now: Timestamp) -> Result<TimeRange, Status> {
        let zone = zone(self.zone)?;
        let bound = |field: &str, text: &str, open: Timestamp| {
            if text.is_empty() {
                return Ok(open);
            }
            Timestamp::parse_bound(text, now, &zone).map_err(|error| status::from_time(field, &error))
        };
        let (start, end) = (bound("start", self.start, Timestamp::MIN)?, bound("end", self.end, Timestamp::MAX)?);
        if end <= start {
            return Err(status::invalid("end", format!("{end} is not after the start, {start}")));
        }
        Ok(TimeRange { start, end, reverse: false })
    }
}

/// The bounds as a request has them.
pub fn texts(range: TimeRange) -> (String, String) {
    let (start, end) = bounds_as_asked(range);
    (start.to_string(), end.to_string())
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
    fn dates_outside_the_range_leave_a_bound_open() {
        let range = times("0001-01-01", "9999-12-31", "", Timestamp(0)).unwrap();
        assert_eq!(range, TimeRange { start: Timestamp::MIN, end: Timestamp::MAX, reverse: false });
    }

    #[test]
    fn absurd_selections_are_refused() {
        let limits = ApiLimits::default();
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
        let query = QueryLimits::new(deadline, u64::MAX, tokio_util::sync::CancellationToken::new());
        assert_eq!(selection(&vec!["a".to_owned(); 1_000_000], &limits, &query).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(selection(&["a/[".to_owned()], &limits, &query).unwrap_err().code(), Code::InvalidArgument);
        query.cancel.cancel();
        assert_eq!(selection(&["a/*".to_owned()], &limits, &query).unwrap_err().code(), Code::Cancelled);
    }
}
