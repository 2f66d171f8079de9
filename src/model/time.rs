//! Timestamps, the forms in which people write them, and the one clock of the process.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
};

use jiff::{Span, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z, UTC without leap seconds. Every i64 is a valid timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// Reads a time as a request writes it, in the zone in which calendar units and bare dates are meant.
    ///
    /// Forms: RFC 3339 (`2026-01-01T06:00:00Z`, any offset, up to 9 decimals); a civil date or date-time in the zone (`2026-01-01`,
    /// `2026-01-01T06:00`); integer nanoseconds since 1970; or a base and any number of steps: `*` now, `t` today 00:00, `y` yesterday
    /// 00:00, then `+` or `-`, a whole number and one of `y mo w d h m s ms us ns` (`*-8h`, `t+6h`, `y+1d-30m`). Days and longer follow
    /// the calendar of the zone: a day across a daylight-saving change has 23 or 25 hours.
    ///
    /// # Errors
    /// Says what could not be read. Times outside the i64 range of nanoseconds (years 1678 to 2262) are errors, never wrapped.
    pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, InvalidTime> {
        parse::parse(text.trim(), now, zone).map_err(|reason| InvalidTime { text: text.chars().take(60).collect(), reason })
    }
}

/// How a length of time is written.
pub const LENGTH_FORMS: &str = "5s, 1m, 1h30m, 1d, 250ms, or integer nanoseconds";

/// Reads a length of time: a whole number and one of `d h m s ms us ns` (`5s`, `1m`, `1d` of 24 hours), several of them (`1h30m`), or integer
/// nanoseconds, 0 or more. Empty is 0.
pub fn length_of_time(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(nanoseconds) = text.parse::<i64>() {
        return (nanoseconds >= 0).then_some(nanoseconds);
    }
    let (mut rest, mut total) = (text, 0_i64);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()).len();
        let unit = match &rest[..letters] {
            "d" => 86_400_000_000_000,
            "h" => 3_600_000_000_000,
            "m" | "min" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        rest = &rest[letters..];
        total = count.checked_mul(unit).and_then(|part| total.checked_add(part))?;
    }
    Some(total)
}

/// A text that is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "time {text:?} is not valid: {reason}; write RFC 3339 (2026-01-01T00:00:00Z), integer nanoseconds, or a relative time (*, *-8h, t, y+6h)"
)]
pub struct InvalidTime {
    pub text: String,
    pub reason: String,
}

/// RFC 3339 in UTC with as many decimals as are needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

mod parse {
    use super::{Span, TimeZone, Timestamp};

    pub(super) fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
        if text.is_empty() {
            return Err("it is empty".into());
        }
        if let Ok(nanoseconds) = text.parse::<i64>() {
            return Ok(Timestamp(nanoseconds));
        }
        if text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("the number of nanoseconds is outside the range of i64".into());
        }
        match text.as_bytes()[0] {
            b'*' => steps(zoned(now, zone)?, &text[1..]),
            b't' => steps(zoned(now, zone)?.start_of_day().map_err(reason)?, &text[1..]),
            b'y' => {
                let yesterday = zoned(now, zone)?.yesterday().map_err(reason)?;
                steps(yesterday.start_of_day().map_err(reason)?, &text[1..])
            }
            _ => absolute(text, zone),
        }
    }

    fn absolute(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return timestamp(time);
        }
        let civil = text.parse::<jiff::civil::DateTime>().or_else(|_| text.parse::<jiff::civil::Date>().map(|date| date.at(0, 0, 0, 0)));
        let civil = civil.map_err(|_| "it is in none of the known forms".to_owned())?;
        timestamp(civil.to_zoned(zone.clone()).map_err(reason)?.timestamp())
    }

    /// Applies `±<n><unit>` steps from left to right.
    fn steps(mut at: jiff::Zoned, mut rest: &str) -> Result<Timestamp, String> {
        while !rest.is_empty() {
            let negative = match rest.as_bytes()[0] {
                b'+' => false,
                b'-' => true,
                _ => return Err(format!("expected + or - before {rest:?}")),
            };
            rest = &rest[1..];
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let count: i64 = rest[..digits].parse().map_err(|_| format!("expected a whole number before {:?}", &rest[digits..]))?;
            rest = &rest[digits..];
            let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let span = step(if negative { -count } else { count }, &rest[..letters])?;
            rest = &rest[letters..];
            at = at.checked_add(span).map_err(reason)?;
        }
        timestamp(at.timestamp())
    }

    fn step(count: i64, unit: &str) -> Result<Span, String> {
        let span = Span::new();
        match unit {
            "y" => span.try_years(count),
            "mo" => span.try_months(count),
            "w" => span.try_weeks(count),
            "d" => span.try_days(count),
            "h" => span.try_hours(count),
            "m" => span.try_minutes(count),
            "s" => span.try_seconds(count),
            "ms" => span.try_milliseconds(count),
            "us" => span.try_microseconds(count),
            "ns" => span.try_nanoseconds(count),
            _ => return Err(format!("unknown unit {unit:?}, known are y mo w d h m s ms us ns")),
        }
        .map_err(reason)
    }

    fn zoned(now: Timestamp, zone: &TimeZone) -> Result<jiff::Zoned, String> {
        Ok(jiff::Timestamp::from_nanosecond(i128::from(now.0)).map_err(reason)?.to_zoned(zone.clone()))
    }

    fn timestamp(time: jiff::Timestamp) -> Result<Timestamp, String> {
        i64::try_from(time.as_nanosecond())
            .map(Timestamp)
            .map_err(|_| "it is outside the years 1678 to 2262, the range of i64 nanoseconds".into())
    }

    #[expect(clippy::needless_pass_by_value, reason = "shape of map_err")]
    fn reason(error: jiff::Error) -> String {
        error.to_string()
    }
}

/// Source of the present time. Everything that needs the time of day takes one, so that tests can replace it.
pub trait Clock: Send + Sync + 'static {
    /// Present time by the machine's clock. It may jump in either direction.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let now = std::time::SystemTime::now();
        let nanoseconds = match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanoseconds| -nanoseconds),
        };
        Timestamp(nanoseconds)
    }
}

/// A clock that stands where a test puts it.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn at(now: Timestamp) -> ManualClock {
        ManualClock(AtomicI64::new(now.0))
    }

    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_774_785_600_000_000_000); // 2026-03-29T12:00:00Z, the day summer time began in Berlin

    fn parse(text: &str, zone: &str) -> Result<String, InvalidTime> {
        Timestamp::parse(text, NOW, &TimeZone::get(zone).unwrap()).map(|time| time.to_string())
    }

    #[test]
    fn lengths_of_time_are_read_and_others_refused() {
        for (text, expected) in [
            ("", 0),
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1d", 86_400_000_000_000),
            ("250ms", 250_000_000),
            ("17", 17),
        ] {
            assert_eq!(length_of_time(text), Some(expected), "{text}");
        }
        for text in ["-5", "h", "5 parsecs", "1.5s", "1s-", "9999999999d", "s5"] {
            assert_eq!(length_of_time(text), None, "{text}");
        }
    }

    #[test]
    fn all_documented_forms_are_read() {
        for (text, zone, expected) in [
            ("2026-01-01T00:00:00Z", "UTC", "2026-01-01T00:00:00Z"),
            ("2026-01-01T00:00:00.123456789+01:00", "UTC", "2025-12-31T23:00:00.123456789Z"),
            ("2026-01-01", "Europe/Berlin", "2025-12-31T23:00:00Z"),
            ("2026-01-01T06:00", "Europe/Berlin", "2026-01-01T05:00:00Z"),
            ("1774785600000000001", "UTC", "2026-03-29T12:00:00.000000001Z"),
            ("0", "UTC", "1970-01-01T00:00:00Z"),
            ("*", "UTC", "2026-03-29T12:00:00Z"),
            ("*-8h", "UTC", "2026-03-29T04:00:00Z"),
            ("t", "UTC", "2026-03-29T00:00:00Z"),
            ("t", "Europe/Berlin", "2026-03-28T23:00:00Z"),
            ("y+6h", "UTC", "2026-03-28T06:00:00Z"),
            ("t+1d", "Europe/Berlin", "2026-03-29T22:00:00Z"), // a day of 23 hours
            ("*-1mo-1d+30m", "UTC", "2026-02-27T12:30:00Z"),
            ("*-250ms", "UTC", "2026-03-29T11:59:59.75Z"),
        ] {
            assert_eq!(parse(text, zone).as_deref(), Ok(expected), "{text} in {zone}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_a_reason() {
        for text in [
            "",
            "yesterday",
            "*-8",
            "*8h",
            "*-8q",
            "t+",
            "2026-13-01",
            "9999-01-01T00:00:00Z",
            "99999999999999999999",
            "1.5",
            "*-99999999999y",
        ] {
            let message = parse(text, "UTC").unwrap_err().to_string();
            assert!(message.contains("RFC 3339"), "{text}: {message}");
        }
    }
}
