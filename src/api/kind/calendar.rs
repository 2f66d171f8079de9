//! Calendar intervals, which aggregates and measures have.

use historian_proto::v1;
use jiff::{civil::Time, tz::TimeZone};
use tonic::Status;

use crate::{resolve::duration, status};
use historian_model::TimeRange;
use historian_operators::{
    aggregate::Intervals,
    kpi::{CalendarInterval, CalendarUnit, KpiError, Shift, Window, calendar},
};

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

/// The field that an error of the calendar is about.
pub fn refused(error: &KpiError) -> Status {
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
    let cut = |part: Option<&CalendarInterval>| part.is_some_and(|part| !part.whole);
    let (earliest, latest) = (cut(parts.first()), cut(parts.last()));
    let edges = parts.iter().map(|part| part.window.start()).chain(parts.last().map(|part| part.window.end())).collect();
    let intervals = Intervals::between(edges, range.reverse).map_err(|error| status::invalid("calendar", error.to_string()))?;
    Ok(intervals.cut_at(earliest, latest))
}
