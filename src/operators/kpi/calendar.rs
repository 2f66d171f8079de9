//! Intervals of a civil calendar in a time zone: hours, days, weeks, months, years and shifts, as long as they really were. And intervals of
//! equal length, in the same form.

use jiff::{
    RoundMode, Timestamp, ToSpan, Unit, Zoned, ZonedRound,
    civil::{Date, Time},
    tz::TimeZone,
};

use super::{CALENDAR_INTERVALS_MAX, KpiError, SHIFTS_MAX, Window};

/// A shift: it lasts until the next one starts, the last of a day until the first of the next day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Name in labels.
    pub name: String,
    /// Time of day by the clock on the wall.
    pub start: Time,
}

/// How long the intervals of a calendar are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalendarUnit {
    /// From full hour to full hour.
    Hour,
    /// From midnight, or the first moment of a day that has none, to the next.
    Day,
    /// From Monday to Sunday (ISO 8601).
    Week,
    /// Months.
    Month,
    /// Years.
    Year,
    /// Shifts, the same every day.
    Shift(Vec<Shift>),
}

impl CalendarUnit {
    /// The unit with this name; `shifts` belong to `shift` only.
    ///
    /// # Errors
    /// For unknown names, shifts without the unit and the unit without shifts.
    pub fn parse(name: &str, shifts: Vec<Shift>) -> Result<CalendarUnit, KpiError> {
        match name {
            "shift" => Ok(CalendarUnit::Shift(shifts)),
            _ if !shifts.is_empty() => Err(KpiError::CalendarUnit(format!("{} with shifts", name.chars().take(40).collect::<String>()))),
            "hour" => Ok(CalendarUnit::Hour),
            "day" => Ok(CalendarUnit::Day),
            "week" => Ok(CalendarUnit::Week),
            "month" => Ok(CalendarUnit::Month),
            "year" => Ok(CalendarUnit::Year),
            _ => Err(KpiError::CalendarUnit(name.chars().take(40).collect())),
        }
    }
}

/// One interval of a calendar, cut at the edges of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarInterval {
    /// What of it lies in the window.
    pub window: Window,
    /// `2026-03-29T01:00+01:00`, `2026-03-29`, `2026-W13`, `2026-03`, `2026`, or date and name of a shift.
    pub label: String,
    /// False when an edge of the window cuts it.
    pub whole: bool,
}

/// The intervals of a calendar that touch a window, ascending and without a space between them.
///
/// A day on which summer time begins or ends has 23 or 25 hours, and a shift across it one hour less or more. A shift whose start is skipped
/// by the change starts as much later; one whose start occurs twice starts at the first. When two starts fall together, the later shift of
/// the list's order stands.
///
/// # Errors
/// [`KpiError::Intervals`], and [`KpiError::Shifts`] for a list that is empty, too long, or has two of one start or name.
pub fn calendar(window: Window, unit: &CalendarUnit, zone: &TimeZone) -> Result<Vec<CalendarInterval>, KpiError> {
    let mut starts = Starts::new(window, unit, zone)?;
    let mut out = Vec::new();
    let (window_start, window_end) = (i128::from(window.start()), i128::from(window.end()));
    let mut present = starts.next()?;
    loop {
        let (start, label) = present;
        present = starts.next()?;
        // Starts that a change of the clock skips may come to lie after later ones.
        let end = present.0.max(start);
        present.0 = end;
        let (from, to) = (start.max(window_start), end.min(window_end));
        if from < to {
            if out.len() >= CALENDAR_INTERVALS_MAX {
                return Err(KpiError::Intervals);
            }
            let ns = |at| i64::try_from(at).map_err(|_| KpiError::Intervals);
            out.push(CalendarInterval { window: Window::new(ns(from)?, ns(to)?)?, label, whole: from == start && to == end });
        }
        if end >= window_end {
            return Ok(out);
        }
    }
}

/// Intervals of `step` ns from the start of a window on, with their start in the zone as label; 0 makes one of the whole window. The end of the
/// window cuts the last one.
///
/// # Errors
/// [`KpiError::Intervals`] when there are too many.
pub fn steps(window: Window, step: u64, zone: &TimeZone) -> Result<Vec<CalendarInterval>, KpiError> {
    let step = if step == 0 { window.duration_ns() } else { step };
    let count = window.duration_ns().div_ceil(step);
    if count > CALENDAR_INTERVALS_MAX as u64 {
        return Err(KpiError::Intervals);
    }
    let interval = |number: u64| {
        // Below the length of the window, so both edges fit.
        let start = window.start().saturating_add_unsigned(number * step);
        let end = start.saturating_add_unsigned(step).min(window.end());
        let moment = Timestamp::from_nanosecond(i128::from(start)).map_err(told)?.to_zoned(zone.clone());
        let label = moment.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string();
        Ok(CalendarInterval { window: Window::new(start, end)?, label, whole: end.abs_diff(start) == step })
    };
    (0..count).map(interval).collect()
}

/// Starts of intervals with their labels, ascending, from one at or before the window.
struct Starts<'a> {
    unit: &'a CalendarUnit,
    zone: &'a TimeZone,
    at: Zoned,
    /// Shifts of a day by their start, and the next of them.
    shifts: Vec<Shift>,
    shift: usize,
}

impl<'a> Starts<'a> {
    fn new(window: Window, unit: &'a CalendarUnit, zone: &'a TimeZone) -> Result<Starts<'a>, KpiError> {
        let moment = Timestamp::from_nanosecond(i128::from(window.start())).map_err(told)?.to_zoned(zone.clone());
        let date = moment.date();
        let mut shifts = Vec::new();
        let first = match unit {
            CalendarUnit::Hour => return Ok(Starts { at: hour_of(&moment)?, unit, zone, shifts, shift: 0 }),
            CalendarUnit::Day => date,
            CalendarUnit::Week => {
                let since_monday = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(since_monday.days()).map_err(told)?
            }
            CalendarUnit::Month => date.first_of_month(),
            CalendarUnit::Year => date.first_of_year(),
            CalendarUnit::Shift(list) => {
                shifts.clone_from(list);
                shifts.sort_by_key(|shift| shift.start);
                let mut names: Vec<&str> = shifts.iter().map(|shift| shift.name.as_str()).collect();
                names.sort_unstable();
                let twice = shifts.windows(2).any(|pair| pair[0].start == pair[1].start) || names.windows(2).any(|pair| pair[0] == pair[1]);
                if shifts.is_empty() || shifts.len() > SHIFTS_MAX || twice || names.iter().any(|name| name.trim().is_empty()) {
                    return Err(KpiError::Shifts(list.len()));
                }
                // The night shift of the day before may reach into the window.
                date.yesterday().map_err(told)?
            }
        };
        Ok(Starts { at: midnight(first, zone)?, unit, zone, shifts, shift: 0 })
    }

    /// The next start, ns since 1970, and the label of what starts.
    fn next(&mut self) -> Result<(i128, String), KpiError> {
        let date = self.at.date();
        let (label, next) = match self.unit {
            CalendarUnit::Hour => (self.at.strftime("%Y-%m-%dT%H:%M%:z").to_string(), next_hour(&self.at)?),
            CalendarUnit::Day => (date.to_string(), self.after(date, 1.day())?),
            CalendarUnit::Week => {
                let week = date.iso_week_date();
                (format!("{}-W{:02}", week.year(), week.week()), self.after(date, 1.week())?)
            }
            CalendarUnit::Month => (date.strftime("%Y-%m").to_string(), self.after(date, 1.month())?),
            CalendarUnit::Year => (date.strftime("%Y").to_string(), self.after(date, 1.year())?),
            CalendarUnit::Shift(_) => {
                let shift = &self.shifts[self.shift];
                let start = date.to_datetime(shift.start).to_zoned(self.zone.clone()).map_err(told)?;
                let label = format!("{date} {}", shift.name);
                self.shift += 1;
                if self.shift == self.shifts.len() {
                    self.shift = 0;
                    self.at = self.after(date, 1.day())?;
                }
                return Ok((start.timestamp().as_nanosecond(), label));
            }
        };
        let start = std::mem::replace(&mut self.at, next);
        Ok((start.timestamp().as_nanosecond(), label))
    }

    fn after(&self, date: Date, span: jiff::Span) -> Result<Zoned, KpiError> {
        midnight(date.checked_add(span).map_err(told)?, self.zone)
    }
}

/// The first moment of a day.
fn midnight(date: Date, zone: &TimeZone) -> Result<Zoned, KpiError> {
    date.to_zoned(zone.clone()).map_err(told)?.start_of_day().map_err(told)
}

/// The full hour at or before a moment.
fn hour_of(moment: &Zoned) -> Result<Zoned, KpiError> {
    moment.round(ZonedRound::new().smallest(Unit::Hour).mode(RoundMode::Trunc)).map_err(told)
}

/// The next full hour. Where clocks go back by less than an hour, one hour is longer.
fn next_hour(at: &Zoned) -> Result<Zoned, KpiError> {
    let mut moment = at.clone();
    loop {
        moment = moment.checked_add(1.hour()).map_err(told)?;
        let hour = hour_of(&moment)?;
        if hour > *at {
            return Ok(hour);
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "shape of map_err")]
fn told(error: jiff::Error) -> KpiError {
    KpiError::Calendar(error.to_string())
}
