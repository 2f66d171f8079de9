//! Numbers and durations as people read and write them in requests, tables and explanations.

/// Units of a duration, longest last.
pub const DURATION_UNITS: &str = "ns, us, ms, s, m, h, d, w";

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9), ("d", 86_400e9), ("w", 604_800e9)];

/// Reads one number and one unit (`250ms`, `1.5h`); `None` for everything else.
pub fn parse_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let letters = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(letters);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    nanoseconds(number.parse().ok()?, *factor)
}

/// `number` units of `factor` ns, when that is a duration an i64 can hold.
pub fn nanoseconds(number: f64, factor: f64) -> Option<i64> {
    let nanoseconds = (number * factor).round();
    (nanoseconds >= 0.0 && nanoseconds < i64::MAX as f64).then_some(nanoseconds as i64)
}

/// A duration of ns with at most two units, rounded to the smaller: `2 h 5 min`, `1.5 s`, `250 ms`.
pub fn duration(nanoseconds: i64) -> String {
    const LARGE: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let magnitude = nanoseconds.unsigned_abs();
    if magnitude < 60_000_000_000 {
        let (unit, factor) = match magnitude {
            0 | 1_000_000_000.. => ("s", 1e9),
            1_000_000.. => ("ms", 1e6),
            1_000.. => ("us", 1e3),
            _ => ("ns", 1.0),
        };
        return format!("{sign}{} {unit}", number(magnitude as f64 / factor));
    }
    // Rounded to the smaller of the two units first, so that no 60 s and no 24 h appears.
    let seconds = magnitude.saturating_add(500_000_000) / 1_000_000_000;
    let first = LARGE.iter().position(|(_, length)| seconds >= *length).unwrap_or(3);
    let Some((small, length)) = LARGE.get(first + 1) else {
        return format!("{sign}{seconds} s");
    };
    let count = (seconds + length / 2) / length;
    let ratio = LARGE[first].1 / length;
    match (count / ratio, count % ratio) {
        (large, 0) => format!("{sign}{large} {}", LARGE[first].0),
        (large, rest) => format!("{sign}{large} {} {rest} {small}", LARGE[first].0),
    }
}

/// Up to six significant digits without trailing zeros; an exponent only for very large and very small numbers.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN".into()
        } else if value > 0.0 {
            "infinity".into()
        } else {
            "-infinity".into()
        };
    }
    if !(1e-4..1e9).contains(&magnitude) {
        let text = format!("{value:.5e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", trimmed(digits));
    }
    let before_point = magnitude.log10().floor() as i32 + 1;
    let decimals = usize::try_from(6 - before_point).unwrap_or(0);
    trimmed(&format!("{value:.decimals$}")).to_owned()
}

fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// Number and unit; the number alone when the unit is empty.
pub fn with_unit(value: f64, unit: &str) -> String {
    if unit.is_empty() { number(value) } else { format!("{} {unit}", number(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, expected) in [
            ("0s", Some(0)),
            ("250ms", Some(250_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            (" 1w ", Some(604_800_000_000_000)),
            ("7", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1e3s", None),
            ("1h30m", None),
            ("1 h", None),
            ("999999999w", None),
            ("1ns", Some(1)),
            ("1.5us", Some(1_500)),
            ("2m", Some(120_000_000_000)),
            ("1d", Some(86_400_000_000_000)),
            ("1.5.5s", None),
            // As far as nanoseconds go.
            ("9223372036s", Some(9_223_372_036_000_000_000)),
            ("9223372037s", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations_are_written() {
        for (nanoseconds, expected) in [
            (0, "0 s"),
            (17, "17 ns"),
            (999, "999 ns"),
            (1_000, "1 us"),
            (1_500, "1.5 us"),
            (999_999, "999.999 us"),
            (1_000_000, "1 ms"),
            (1_000_000_000, "1 s"),
            (250_000_000, "250 ms"),
            (59_999_000_000, "59.999 s"),
            (60_000_000_000, "1 min"),
            (90_000_000_000, "1 min 30 s"),
            (3_599_499_999_999, "59 min 59 s"),
            (3_599_500_000_000, "1 h"),
            (3_629_000_000_000, "1 h"),
            (5_430_000_000_000, "1 h 31 min"),
            (131_400_000_000_000, "1 d 13 h"),
            (119_999_000_000, "2 min"),
            (7_500_000_000_000, "2 h 5 min"),
            (86_399_000_000_000, "24 h"),
            (86_400_000_000_000, "1 d"),
            (100_000_000_000_000, "1 d 4 h"),
            (-90_000_000_000, "-1 min 30 s"),
            (i64::MAX, "106752 d"),
        ] {
            assert_eq!(duration(nanoseconds), expected);
        }
        assert_eq!(duration(i64::MIN), "-106752 d");
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (80.0, "80"),
            (93.123_456_7, "93.1235"),
            (-0.001_234_567, "-0.00123457"),
            (123_456_789.0, "123456789"),
            (999_999_999.0, "999999999"),
            (1e9, "1e9"),
            (1_234_567.8, "1234568"),
            (9.999_999_9, "10"),
            (1e-4, "0.0001"),
            (9.9e-5, "9.9e-5"),
            (f64::NEG_INFINITY, "-infinity"),
            (f64::NAN, "NaN"),
            (1.5e12, "1.5e12"),
            (2e-9, "2e-9"),
            (f64::INFINITY, "infinity"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!(with_unit(20.5, "°C"), "20.5 °C");
        assert_eq!(with_unit(20.5, ""), "20.5");
    }
}
