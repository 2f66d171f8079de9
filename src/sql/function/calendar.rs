//! Intervals of local time: days, weeks, months, quarters and years as a calendar of the zone has them, and shorter ones within them.

use std::num::NonZeroI64;

use jiff::{
    Span, Timestamp,
    civil::{DateTime, date},
    tz::{Offset, TimeZone},
};

const HOUR_NS: i64 = 3_600_000_000_000;

/// Length of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarStep {
    Months(NonZeroI64),
    Days(NonZeroI64),
    Nanoseconds(NonZeroI64),
}

const fn nonzero(number: i64) -> NonZeroI64 {
    match NonZeroI64::new(number) {
        Some(number) => number,
        None => NonZeroI64::MAX,
    }
}

/// How an interval is written in a configuration.
pub const STEP_FORMS: &str = "a whole number and one of s, m, h, d (local days), w (weeks from Monday), mo, y: 15m, 1h, 1d, 1mo";

impl CalendarStep {
    /// A local hour.
    pub const HOUR: CalendarStep = CalendarStep::Nanoseconds(nonzero(HOUR_NS));
    /// A local day.
    pub const DAY: CalendarStep = CalendarStep::Days(nonzero(1));

    /// Reads `15m`, `1h`, `1d`, `2w`, `1mo`, `1y`.
    pub fn parse(text: &str) -> Option<CalendarStep> {
        let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let number: i64 = text[..digits].parse().ok()?;
        let length = |of: i64| NonZeroI64::new(number.checked_mul(of)?).filter(|length| length.get() > 0);
        match &text[digits..] {
            "s" => length(1_000_000_000).map(CalendarStep::Nanoseconds),
            "m" => length(60_000_000_000).map(CalendarStep::Nanoseconds),
            "h" => length(HOUR_NS).map(CalendarStep::Nanoseconds),
            "d" => length(1).map(CalendarStep::Days),
            "w" => length(7).map(CalendarStep::Days),
            "mo" => length(1).map(CalendarStep::Months),
            "y" => length(12).map(CalendarStep::Months),
            _ => None,
        }
    }

    /// Nanoseconds that no interval of this length exceeds, wherever clocks are changed.
    pub fn longest_ns(self) -> i64 {
        let days = |days: i64| days.saturating_mul(24 * HOUR_NS).saturating_add(26 * HOUR_NS);
        match self {
            CalendarStep::Months(months) => days(months.get().saturating_mul(31)),
            CalendarStep::Days(number) => days(number.get()),
            CalendarStep::Nanoseconds(length) => length.get().saturating_add(26 * HOUR_NS),
        }
    }

    /// About how long an interval is, ns.
    pub fn about_ns(self) -> i64 {
        match self {
            CalendarStep::Months(months) => months.get().saturating_mul(30 * 24 * HOUR_NS),
            CalendarStep::Days(days) => days.get().saturating_mul(24 * HOUR_NS),
            CalendarStep::Nanoseconds(length) => length.get(),
        }
    }
}

/// Intervals one after another in local time.
pub struct CalendarIntervals {
    zone: TimeZone,
    step: CalendarStep,
    /// The local time at which one of them begins.
    origin: DateTime,
    /// The interval that was asked for last: the next time often lies in it as well.
    last: (i64, i64),
    /// The offset of the zone, and from when until when it holds.
    offset: (Offset, i64, i64),
}

impl CalendarIntervals {
    pub fn new(zone: TimeZone, step: CalendarStep, origin: DateTime) -> CalendarIntervals {
        CalendarIntervals { zone, step, origin, last: (0, 0), offset: (Offset::UTC, 0, 0) }
    }

    /// The start of the interval that a time in nanoseconds lies in; `None` beyond the times that there are.
    pub fn start(&mut self, at: i64) -> Option<i64> {
        if (self.last.0..self.last.1).contains(&at) {
            return Some(self.last.0);
        }
        match self.step {
            // The hour that occurs twice has each of its parts twice.
            CalendarStep::Nanoseconds(length) if length.get() <= HOUR_NS => self.short(at, length.get()),
            _ => {
                self.last = self.long(at)?;
                Some(self.last.0)
            }
        }
    }

    /// As [`CalendarIntervals::new`], counted from Monday, 2000-01-03, months from 2000-01-01.
    pub fn counted(zone: TimeZone, step: CalendarStep) -> CalendarIntervals {
        let first = if matches!(step, CalendarStep::Months(_)) { date(2000, 1, 1) } else { date(2000, 1, 3) };
        CalendarIntervals::new(zone, step, first.at(0, 0, 0, 0))
    }

    /// The start of the interval after the one that starts at `start`. Where clocks change by a part of an hour, an interval is longer or shorter
    /// by it.
    pub fn next_start(&mut self, start: i64) -> Option<i64> {
        let length = match self.step {
            CalendarStep::Nanoseconds(length) if length.get() <= HOUR_NS => length.get(),
            _ => return self.long(start).map(|(_, end)| end),
        };
        self.short(start, length)?;
        let end = start.checked_add(length)?;
        let change = if (self.offset.1..self.offset.2).contains(&start) { self.offset.2 } else { self.change_after(start) };
        if end < change {
            return Some(end);
        }
        match self.short(change, length)? {
            at if at == change => Some(change),
            before => before.checked_add(length),
        }
    }

    /// When the clock changes for the next time.
    fn change_after(&self, at: i64) -> i64 {
        let ns = |time: Timestamp| i64::try_from(time.as_nanosecond()).ok();
        let changes = instant(at).into_iter().flat_map(|time| self.zone.following(time));
        changes.filter_map(|change| ns(change.timestamp())).find(|change| *change > at).unwrap_or(i64::MAX)
    }

    fn short(&mut self, at: i64, length: i64) -> Option<i64> {
        if !(self.offset.1..self.offset.2).contains(&at) {
            let time = instant(at)?;
            let ns = |time: Timestamp| i64::try_from(time.as_nanosecond());
            // The transition before one is the last one before it or at it.
            let from = self.zone.preceding(time).next().and_then(|change| ns(change.timestamp()).ok()).unwrap_or(i64::MIN);
            let until = self.zone.following(time).next().and_then(|change| ns(change.timestamp()).ok()).unwrap_or(i64::MAX);
            self.offset = (self.zone.to_offset(time), from.saturating_add(1), until);
            if until == at {
                self.offset.2 = at;
            }
        }
        let origin = i64::try_from(Offset::UTC.to_timestamp(self.origin).ok()?.as_nanosecond()).ok()?;
        let local = i128::from(at) + i128::from(self.offset.0.seconds()) * 1_000_000_000;
        let into = (local - i128::from(origin)).rem_euclid(i128::from(length));
        i64::try_from(i128::from(at) - into).ok()
    }

    fn long(&self, at: i64) -> Option<(i64, i64)> {
        let local = self.zone.to_datetime(instant(at)?);
        let mut number = self.number(local)?;
        // Around a change of the clock the local time of an edge may come late or twice.
        while self.edge(number)? > at {
            number -= 1;
        }
        while self.edge(number + 1)? <= at {
            number += 1;
        }
        Some((self.edge(number)?, self.edge(number + 1)?))
    }

    /// About which interval a local time lies in.
    fn number(&self, local: DateTime) -> Option<i64> {
        Some(match self.step {
            CalendarStep::Months(length) => {
                let months = |time: DateTime| i64::from(time.year()) * 12 + i64::from(time.month()) - 1;
                (months(local) - months(self.origin)).div_euclid(length.get())
            }
            CalendarStep::Days(length) => {
                let days = self.origin.date().until((jiff::Unit::Day, local.date())).ok()?.get_days();
                i64::from(days).div_euclid(length.get())
            }
            CalendarStep::Nanoseconds(length) => {
                let ns = self.origin.duration_until(local).as_nanos();
                i64::try_from(ns.div_euclid(i128::from(length.get()))).ok()?
            }
        })
    }

    /// When an interval begins: the first moment of its local time, or the first one after a gap in which that lies.
    fn edge(&self, number: i64) -> Option<i64> {
        let local = match self.step {
            CalendarStep::Months(length) => {
                self.origin.checked_add(Span::new().try_months(number.checked_mul(length.get())?).ok()?).ok()?
            }
            CalendarStep::Days(length) => self.origin.checked_add(Span::new().try_days(number.checked_mul(length.get())?).ok()?).ok()?,
            CalendarStep::Nanoseconds(length) => {
                self.origin.checked_add(Span::new().try_nanoseconds(number.checked_mul(length.get())?).ok()?).ok()?
            }
        };
        let begun = self.zone.to_ambiguous_timestamp(local).compatible().ok()?;
        // Beyond the times there are, the first and the last interval are as long as those.
        Some(i64::try_from(begun.as_nanosecond()).unwrap_or(if begun.as_nanosecond() < 0 { i64::MIN } else { i64::MAX }))
    }
}

fn instant(at: i64) -> Option<Timestamp> {
    Timestamp::from_nanosecond(at.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(zone: &str, step: CalendarStep, times: &[&str]) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let mut calendar = CalendarIntervals::new(zone.clone(), step, jiff::civil::date(2000, 1, 3).at(0, 0, 0, 0));
        let start = |text: &&str| {
            let at: Timestamp = text.parse().unwrap();
            let start = calendar.start(i64::try_from(at.as_nanosecond()).unwrap()).unwrap();
            instant(start).unwrap().to_string()
        };
        times.iter().map(start).collect()
    }

    fn days(number: i64) -> CalendarStep {
        CalendarStep::Days(NonZeroI64::new(number).unwrap())
    }

    fn nanoseconds(number: i64) -> CalendarStep {
        CalendarStep::Nanoseconds(NonZeroI64::new(number).unwrap())
    }

    #[test]
    fn days_and_weeks_begin_at_local_midnight_across_a_change_of_the_clock() {
        let times = [
            "2026-03-28T23:00:00Z",
            "2026-03-29T21:59:59Z",
            "2026-03-29T22:00:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T22:59:59Z",
            "2026-10-25T23:00:00Z",
        ];
        let found = starts("Europe/Berlin", days(1), &times);
        let expected = [
            "2026-03-28T23:00:00Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
        ];
        assert_eq!(found, expected);
        assert_eq!(
            starts("Europe/Berlin", days(7), &["2026-03-29T21:59:59Z", "2026-03-29T22:00:00Z"]),
            ["2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"]
        );
        // No midnight on that day.
        assert_eq!(
            starts("America/Sao_Paulo", days(1), &["2018-11-04T02:59:59Z", "2018-11-04T03:00:00Z"]),
            ["2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"]
        );
        let months = CalendarStep::Months(NonZeroI64::new(1).unwrap());
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let mut calendar = CalendarIntervals::new(zone, months, jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0));
        let at = |text: &str| i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap();
        assert_eq!(calendar.start(at("2026-03-31T21:59:59Z")), Some(at("2026-02-28T23:00:00Z")));
        assert_eq!(calendar.start(at("2026-03-31T22:00:00Z")), Some(at("2026-03-31T22:00:00Z")));
        assert_eq!(calendar.start(at("1999-12-31T22:00:00Z")), Some(at("1999-11-30T23:00:00Z")));
    }

    #[test]
    fn the_hour_that_occurs_twice_is_two_hours() {
        let times = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"];
        let hours = starts("Europe/Berlin", nanoseconds(HOUR_NS), &times);
        assert_eq!(hours, ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]);
        // Whole hours of local time are half hours of UTC in India.
        assert_eq!(
            starts("Asia/Kolkata", nanoseconds(HOUR_NS), &["2026-01-01T00:29:00Z", "2026-01-01T00:30:00Z"]),
            ["2025-12-31T23:30:00Z", "2026-01-01T00:30:00Z"]
        );
        let shifts =
            starts("Europe/Berlin", nanoseconds(8 * HOUR_NS), &["2026-03-29T05:59:59Z", "2026-03-29T06:00:00Z", "2026-10-25T06:59:00Z"]);
        assert_eq!(shifts, ["2026-03-28T23:00:00Z", "2026-03-29T06:00:00Z", "2026-10-24T22:00:00Z"]);
    }

    #[test]
    fn intervals_follow_one_another_without_a_space_and_agree_with_the_starts_of_their_times() {
        for zone in ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"] {
            for step in [
                CalendarStep::parse("1mo"),
                CalendarStep::parse("1w"),
                CalendarStep::parse("1d"),
                CalendarStep::parse("6h"),
                CalendarStep::parse("1h"),
                CalendarStep::parse("15m"),
            ] {
                let step = step.unwrap();
                let zone = TimeZone::get(zone).unwrap();
                let mut calendar = CalendarIntervals::counted(zone.clone(), step);
                let mut start = calendar.start(1_514_764_800_000_000_000).unwrap();
                let about = step.about_ns();
                while start < 1_546_300_800_000_000_000 {
                    let end = calendar.next_start(start).unwrap();
                    assert!(
                        end > start && end - start <= step.longest_ns() && (end - start) * 3 >= about,
                        "{zone:?} {step:?} {start} {end}"
                    );
                    // Local midnights and full hours, but where there is none.
                    let local = zone.to_datetime(instant(start).unwrap());
                    if about >= 24 * HOUR_NS && zone.iana_name() != Some("America/Sao_Paulo") {
                        assert_eq!(local.time(), jiff::civil::Time::midnight(), "{zone:?} {step:?} {local}");
                    }
                    if about == HOUR_NS {
                        assert_eq!((local.minute(), local.second()), (0, 0), "{zone:?} {local}");
                    }
                    // Lord Howe changes its clocks by half an hour: there an hour is longer than its own start says.
                    if zone.iana_name() != Some("Australia/Lord_Howe") {
                        for at in [start, start + (end - start) / 2, end - 1] {
                            assert_eq!(CalendarIntervals::counted(zone.clone(), step).start(at), Some(start), "{zone:?} {step:?} {at}");
                        }
                    }
                    start = end;
                }
            }
        }
        for wrong in ["", "h", "0h", "-1h", "1 h", "1q", "1.5h", "99999999999999999999d", "9999999999999h"] {
            assert_eq!(CalendarStep::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_time_lies_in_its_interval() {
        for zone in ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"] {
            for step in [days(1), days(7), nanoseconds(6 * HOUR_NS), nanoseconds(HOUR_NS), nanoseconds(900_000_000_000)] {
                let zone = TimeZone::get(zone).unwrap();
                let mut calendar = CalendarIntervals::new(zone.clone(), step, jiff::civil::date(2000, 1, 3).at(0, 0, 0, 0));
                let mut before = i64::MIN;
                let mut at = 1_514_764_800_000_000_000;
                while at < 1_577_836_800_000_000_000 {
                    let mut alone = CalendarIntervals::new(zone.clone(), step, calendar.origin);
                    let start = calendar.start(at).unwrap();
                    assert_eq!(alone.start(at), Some(start), "{at}");
                    assert!(start <= at && start >= before, "{at}: {start}");
                    before = start;
                    at += 1_700_000_000_000;
                }
            }
        }
    }
}
