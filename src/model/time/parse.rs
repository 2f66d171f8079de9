//! The forms of a time, and what a number without a unit probably means.

use jiff::{
    Span,
    civil::{Date, DateTime},
    tz::TimeZone,
};

use super::{InvalidTime, NumericTimeUnit, ParsedTime, Timestamp};

/// The smallest integer that is taken for nanoseconds where no unit is said: 1973-03-03. As milliseconds it is the year 5138, so whatever is
/// counted in seconds, milliseconds or microseconds, or written as the digits of a date, lies below.
const NANOSECONDS_LEAST: u64 = 100_000_000_000_000_000;
/// 1990 and 2100 in seconds since 1970: between them a number counts as a plausible time.
const PLAUSIBLE_S: std::ops::Range<i64> = 631_152_000..4_102_444_800;
/// Days of a spreadsheet from 1954 to 2119.
const PLAUSIBLE_DAYS: std::ops::Range<i64> = 20_000..80_000;

impl Timestamp {
    /// Reads a time that is stored or written, in the zone in which calendar units and bare dates are meant.
    ///
    /// Forms: RFC 3339 (`2026-01-01T06:00:00Z`, any offset, up to 9 decimals); a civil date or date-time in the zone (`2026-01-01`,
    /// `2026-01-01T06:00`); a number since 1970 with its unit (`1767225600s`, `1767225600000ms`, also with a fraction); integer nanoseconds
    /// since 1970, see [`Timestamp::from_nanoseconds`]; or a base and any number of steps: `*` now, `t` today 00:00, `y` yesterday
    /// 00:00, then `+` or `-`, a whole number and one of `y mo w d h m s ms us ns` (`*-8h`, `t+6h`, `y+1d-30m`). Days and longer follow
    /// the calendar of the zone: a day across a daylight-saving change has 23 or 25 hours.
    ///
    /// # Errors
    /// Says what could not be read. Times outside the i64 range of nanoseconds (years 1678 to 2262) are errors, never wrapped.
    pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, InvalidTime> {
        parse(text.trim(), now, zone).map_err(|reason| InvalidTime::of(text, reason))
    }

    /// As [`Timestamp::parse`], for whoever must know whether a civil time is meant: some occur twice in a zone, and some never.
    ///
    /// # Errors
    /// Says what could not be read.
    pub fn read(text: &str, now: Timestamp, zone: &TimeZone) -> Result<ParsedTime, InvalidTime> {
        read(text.trim(), now, zone).map_err(|reason| InvalidTime::of(text, reason))
    }

    /// Reads a bound of a range, as [`Timestamp::parse`]; a date outside the i64 range leaves that side open: `9999-12-31` is the end of all
    /// that can be stored, `0001-01-01` its beginning.
    ///
    /// # Errors
    /// Says what could not be read.
    pub fn parse_bound(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, InvalidTime> {
        Timestamp::parse(text, now, zone).or_else(|error| open_bound(text.trim()).ok_or(error))
    }

    /// Integer nanoseconds whose unit nobody said. Those within three years of 1970 are refused: they are seconds, milliseconds or the
    /// digits of a date far more often than they are meant. 0, the beginning, is taken.
    ///
    /// # Errors
    /// Says what the number probably means, and how that is written.
    pub fn from_nanoseconds(number: i64) -> Result<Timestamp, InvalidTime> {
        nanoseconds(number).map_err(|reason| InvalidTime::of(&number.to_string(), reason))
    }

    /// A number since 1970 in a unit, with or without a fraction. `None`: it is no such number.
    ///
    /// # Errors
    /// When it lies outside the range of i64 nanoseconds.
    pub fn parse_number(text: &str, unit: NumericTimeUnit) -> Option<Result<Timestamp, InvalidTime>> {
        let read = number(text.trim(), unit)?;
        Some(read.map_err(|reason| InvalidTime::of(text, reason)))
    }
}

fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    match read(text, now, zone)? {
        ParsedTime::Instant(at) => Ok(at),
        ParsedTime::Civil(civil) => timestamp(civil.to_zoned(zone.clone()).map_err(reason)?.timestamp()),
    }
}

/// As [`parse`], but leaves a civil time as it is.
fn read(text: &str, now: Timestamp, zone: &TimeZone) -> Result<ParsedTime, String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if let Ok(number) = text.parse::<i64>() {
        return nanoseconds(number).map(ParsedTime::Instant);
    }
    if text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the number of nanoseconds is outside the range of i64".into());
    }
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '.')).len();
    if digits > 0
        && let Some(unit) = NumericTimeUnit::named(&text[digits..])
        && let Some(time) = number(&text[..digits], unit)
    {
        return time.map(ParsedTime::Instant);
    }
    let relative = match text.as_bytes()[0] {
        b'*' => steps(zoned(now, zone)?, &text[1..]),
        b't' => steps(zoned(now, zone)?.start_of_day().map_err(reason)?, &text[1..]),
        b'y' => {
            let yesterday = zoned(now, zone)?.yesterday().map_err(reason)?;
            steps(yesterday.start_of_day().map_err(reason)?, &text[1..])
        }
        _ => return absolute(text),
    };
    relative.map(ParsedTime::Instant)
}

/// Integer nanoseconds, where they are not likely to be something else.
fn nanoseconds(number: i64) -> Result<Timestamp, String> {
    if number == 0 || number.unsigned_abs() >= NANOSECONDS_LEAST {
        return Ok(Timestamp(number));
    }
    let meant = meant(number, None).unwrap_or_else(|| format!("as nanoseconds it is {}, written {number}ns", Timestamp(number)));
    Err(format!("it is a number without a unit; {meant}"))
}

/// A number of `unit`, exactly. `None`: it is none.
fn number(text: &str, unit: NumericTimeUnit) -> Option<Result<Timestamp, String>> {
    const OUTSIDE: &str = "it is outside the years 1678 to 2262, the range of i64 nanoseconds";
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || digits.ends_with('.') {
        return None;
    }
    // What is finer than a nanosecond would have to be rounded.
    let places = usize::try_from(unit.nanoseconds().ilog10()).unwrap_or(0);
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return None;
    }
    let below: i128 = format!("{fraction:0<places$}").parse().unwrap_or(0);
    let time = whole.parse::<i128>().ok().and_then(|whole| {
        let time = whole.checked_mul(i128::from(unit.nanoseconds()))?.checked_add(below)?;
        i64::try_from(sign * time).ok()
    });
    Some(time.map(Timestamp).ok_or_else(|| OUTSIDE.to_owned()))
}

/// A bound that a date outside the i64 range leaves open.
fn open_bound(text: &str) -> Option<Timestamp> {
    // An offset moves a bound by a day at most, which matters to nothing that lies outside the range. Its syntax is checked with a time inside.
    let with_offset = || {
        let at = text.get(10..)?.find(['Z', 'z', '+', '-'])? + 10;
        format!("2000-01-01T00:00:00{}", &text[at..]).parse::<jiff::Timestamp>().ok()?;
        civil(&text[..at])
    };
    let civil = civil(text).or_else(with_offset)?;
    match civil.year() {
        2262.. => Some(Timestamp::MAX),
        ..=1677 => Some(Timestamp::MIN),
        _ => None,
    }
}

fn civil(text: &str) -> Option<DateTime> {
    // Without a zone: a text with an offset is no civil time.
    text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0))).ok()
}

/// What a number without a unit would be as something else. `fraction` is what stands behind its point.
fn meant(number: i64, fraction: Option<&str>) -> Option<String> {
    let shown = fraction.map_or_else(|| number.to_string(), |fraction| format!("{number}.{fraction}"));
    if fraction.is_none() {
        let digits = number.to_string();
        let date = |digits: &str| -> Option<Date> {
            let (year, month, day) = (digits[..4].parse().ok()?, digits[4..6].parse().ok()?, digits[6..8].parse().ok()?);
            Date::new(year, month, day).ok().filter(|date| (1900..2200).contains(&date.year()))
        };
        match digits.len() {
            4 if (1900..2200).contains(&number) => return Some(format!("as a year it is {number}-01-01, written so")),
            8 => {
                if let Some(date) = date(&digits) {
                    return Some(format!("as a date it is {date}, written so"));
                }
            }
            14 => {
                let part = |at: usize| digits[at..at + 2].parse::<i8>().ok();
                if let (Some(date), Some(hour), Some(minute), Some(second)) = (date(&digits), part(8), part(10), part(12))
                    && let Ok(time) = jiff::civil::Time::new(hour, minute, second, 0)
                {
                    return Some(format!("as a date and time it is {}, written so", date.to_datetime(time)));
                }
            }
            _ => {}
        }
    }
    for (unit, name) in [
        (NumericTimeUnit::Seconds, "seconds"),
        (NumericTimeUnit::Milliseconds, "milliseconds"),
        (NumericTimeUnit::Microseconds, "microseconds"),
    ] {
        if PLAUSIBLE_S.contains(&(number / (1_000_000_000 / unit.nanoseconds()))) {
            let time = self::number(&shown, unit)?.ok()?;
            return Some(format!("as {name} it is {time}, written {shown}{}", unit.name()));
        }
    }
    if PLAUSIBLE_DAYS.contains(&number) {
        let part: f64 = fraction.and_then(|fraction| format!("0.{fraction}").parse().ok()).unwrap_or(0.0);
        let day = Date::constant(1899, 12, 30).at(0, 0, 0, 0);
        let time = day.checked_add(Span::new().days(number).seconds((part * 86_400.0).round() as i64)).ok()?;
        let time = if fraction.is_none() { time.date().to_string() } else { time.to_string() };
        return Some(format!("as a day of a spreadsheet it is {time}, written so"));
    }
    None
}

fn absolute(text: &str) -> Result<ParsedTime, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return timestamp(time).map(ParsedTime::Instant);
    }
    // A civil time with its own zone; as a civil time alone it would be meant in another.
    if text.contains('[') {
        return timestamp(text.parse::<jiff::Zoned>().map_err(reason)?.timestamp()).map(ParsedTime::Instant);
    }
    let Some(civil) = civil(text) else {
        let number = text.split_once('.').and_then(|(whole, fraction)| Some((whole.parse::<i64>().ok()?, fraction)));
        let number = number.filter(|(_, fraction)| fraction.bytes().all(|byte| byte.is_ascii_digit()));
        return Err(match number.map(|(whole, fraction)| meant(whole, Some(fraction))) {
            Some(Some(meant)) => format!("it is a number without a unit; {meant}"),
            Some(None) => "it is a number without a unit".into(),
            None => "it is in none of the known forms".into(),
        });
    };
    Ok(ParsedTime::Civil(civil))
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
