//! Timestamps, the forms in which people write them, and the one clock of the process.

mod parse;

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
};

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z, UTC without leap seconds. Every i64 is a valid timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    pub const MAX: Timestamp = Timestamp(i64::MAX);
}

/// A time as it was read: an instant, or a civil time that only a zone makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParsedTime {
    Instant(Timestamp),
    Civil(jiff::civil::DateTime),
}

/// Unit of a number that is a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumericTimeUnit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl NumericTimeUnit {
    pub const ALL: [NumericTimeUnit; 4] =
        [NumericTimeUnit::Seconds, NumericTimeUnit::Milliseconds, NumericTimeUnit::Microseconds, NumericTimeUnit::Nanoseconds];

    /// As it stands behind a number.
    pub fn name(self) -> &'static str {
        match self {
            NumericTimeUnit::Seconds => "s",
            NumericTimeUnit::Milliseconds => "ms",
            NumericTimeUnit::Microseconds => "us",
            NumericTimeUnit::Nanoseconds => "ns",
        }
    }

    /// The unit of that name.
    pub fn named(name: &str) -> Option<NumericTimeUnit> {
        NumericTimeUnit::ALL.into_iter().find(|unit| unit.name() == name)
    }

    pub fn nanoseconds(self) -> i64 {
        match self {
            NumericTimeUnit::Seconds => 1_000_000_000,
            NumericTimeUnit::Milliseconds => 1_000_000,
            NumericTimeUnit::Microseconds => 1_000,
            NumericTimeUnit::Nanoseconds => 1,
        }
    }
}

/// How a length of time is written.
pub const LENGTH_FORMS: &str = "5s, 1.5s, 1m, 1h30m, 1d, 250ms, or integer nanoseconds";

/// Reads a length of time: a number and one of `d h m s ms us ns` (`5s`, `1m`, `1d` of 24 hours), several of them (`1h30m`), or integer
/// nanoseconds, 0 or more. A number may have a fraction (`1.5s`) that comes to whole nanoseconds. Empty is 0.
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
        let fraction = match rest.strip_prefix('.') {
            None => "",
            Some(behind) => {
                let digits = behind.len() - behind.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
                rest = &behind[digits..];
                if digits == 0 {
                    return None;
                }
                behind[..digits].trim_end_matches('0')
            }
        };
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
        let part = count.checked_mul(unit).and_then(|whole| whole.checked_add(part_of(unit, fraction)?))?;
        total = total.checked_add(part)?;
    }
    Some(total)
}

/// The digits behind a decimal point in a unit; `None` where that is no whole number.
fn part_of(unit: i64, digits: &str) -> Option<i64> {
    if digits.is_empty() {
        return Some(0);
    }
    let scale = 10_i128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let part = digits.parse::<i128>().ok()?.checked_mul(unit.into())?;
    (part % scale == 0).then(|| i64::try_from(part / scale).ok())?
}

/// A text that is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "time {text:?} is not valid: {reason}; write RFC 3339 (2026-01-01T00:00:00Z), a number with its unit (1767225600s, 1767225600000ms), or a \
     relative time (*, *-8h, t, y+6h)"
)]
pub struct InvalidTime {
    pub text: String,
    pub reason: String,
}

impl InvalidTime {
    fn of(text: &str, reason: String) -> InvalidTime {
        InvalidTime { text: text.chars().take(60).collect(), reason }
    }
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
    use jiff::tz::TimeZone;

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
            ("1.5s", 1_500_000_000),
            ("0.000000001s", 1),
            ("1.50h2.5ms", 5_400_002_500_000),
            ("0.00000000005m", 3),
            ("9223372036.854775807s", i64::MAX),
            ("17", 17),
        ] {
            assert_eq!(length_of_time(text), Some(expected), "{text}");
        }
        for text in [
            "-5",
            "h",
            "5 parsecs",
            "1.5",
            "1.s",
            ".5s",
            "1.5ns",
            "0.0000000001s",
            "9223372036.854775808s",
            "1.1111111111111111111111111111111111111111s",
            "1s-",
            "9999999999d",
            "s5",
        ] {
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
            ("2026-01-01T06:00[Europe/Berlin]", "UTC", "2026-01-01T05:00:00Z"),
            ("1767225600s", "UTC", "2026-01-01T00:00:00Z"),
            ("1767225600.25s", "UTC", "2026-01-01T00:00:00.25Z"),
            ("1767225600000ms", "Europe/Berlin", "2026-01-01T00:00:00Z"),
            ("-1us", "UTC", "1969-12-31T23:59:59.999999Z"),
            ("5ns", "UTC", "1970-01-01T00:00:00.000000005Z"),
            ("-100000000000000000", "UTC", "1966-10-31T14:13:20Z"),
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
            "1.5ns",
            "10000000000s",
            "5 s",
            "*-99999999999y",
        ] {
            let message = parse(text, "UTC").unwrap_err().to_string();
            assert!(message.contains("RFC 3339"), "{text}: {message}");
        }
    }

    /// Dates of a calendar, days of a spreadsheet (45958 is shown as 2025-10-28) and epochs (`date -u -d @1767225600`).
    #[test]
    fn a_number_whose_unit_nobody_said_is_refused_with_what_it_probably_means() {
        for (text, told) in [
            ("1767225600", "as seconds it is 2026-01-01T00:00:00Z, written 1767225600s"),
            ("1767225600000", "as milliseconds it is 2026-01-01T00:00:00Z, written 1767225600000ms"),
            ("1767225600000000", "as microseconds it is 2026-01-01T00:00:00Z, written 1767225600000000us"),
            ("20260101", "as a date it is 2026-01-01"),
            ("20260101123000", "as a date and time it is 2026-01-01T12:30:00"),
            ("2026", "as a year it is 2026-01-01"),
            ("45958", "as a day of a spreadsheet it is 2025-10-28"),
            ("45958.25", "as a day of a spreadsheet it is 2025-10-28T06:00:00"),
            ("1767225600.5", "as seconds it is 2026-01-01T00:00:00.5Z"),
            ("5", "written 5ns"),
            ("-5", "written -5ns"),
            ("99999999999999999", "ns"),
            ("-99999999999999999", "ns"),
        ] {
            let message = parse(text, "UTC").unwrap_err().reason;
            assert!(message.contains(told), "{text}: {message}");
        }
        assert_eq!(Timestamp::from_nanoseconds(100_000_000_000_000_000), Ok(Timestamp(100_000_000_000_000_000)));
        assert_eq!(Timestamp::from_nanoseconds(i64::MIN), Ok(Timestamp::MIN));
        assert_eq!(Timestamp::from_nanoseconds(0), Ok(Timestamp(0)));
        assert!(Timestamp::from_nanoseconds(1_767_225_600_000).is_err());
    }

    #[test]
    fn a_date_outside_the_range_is_an_open_bound_and_no_time_of_a_sample() {
        let bound = |text: &str| Timestamp::parse_bound(text, NOW, &TimeZone::UTC);
        for text in ["9999-12-31", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59", "9999-12-31T00:00:00+14:00", "2262-04-12"] {
            assert_eq!(bound(text), Ok(Timestamp::MAX), "{text}");
            assert!(Timestamp::parse(text, NOW, &TimeZone::UTC).is_err(), "{text}");
        }
        for text in ["0001-01-01", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00-12:00", "1677-09-21", "1600-01-01 00:00:00"] {
            assert_eq!(bound(text), Ok(Timestamp::MIN), "{text}");
            assert!(Timestamp::parse(text, NOW, &TimeZone::UTC).is_err(), "{text}");
        }
        assert_eq!(bound("2026-01-01"), Ok(Timestamp(1_767_225_600_000_000_000)));
        for text in ["9999-13-31", "9999-12-31X", "soon", "99999-01-01"] {
            assert!(bound(text).is_err(), "{text}");
        }
    }
}
