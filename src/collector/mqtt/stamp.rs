//! Times and qualities that messages carry, in the forms in which makers write them.

use serde_json::Value as Json;

use historian_model::Quality;

/// How a message writes its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StampFormat {
    #[default]
    Rfc3339,
    UnixSeconds,
    UnixMilliseconds,
    UnixMicroseconds,
    UnixNanoseconds,
}

const TIME_FORMATS: [(&str, StampFormat); 5] = [
    ("rfc3339", StampFormat::Rfc3339),
    ("unix_s", StampFormat::UnixSeconds),
    ("unix_ms", StampFormat::UnixMilliseconds),
    ("unix_us", StampFormat::UnixMicroseconds),
    ("unix_ns", StampFormat::UnixNanoseconds),
];

impl StampFormat {
    /// # Errors
    /// The names that are known.
    pub fn named(name: &str) -> Result<StampFormat, String> {
        let known = TIME_FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format);
        known.ok_or_else(|| format!("unknown format {name:?}; known are rfc3339, unix_s, unix_ms, unix_us, unix_ns"))
    }

    /// Digits behind the point of a second.
    fn scale(self) -> u32 {
        match self {
            StampFormat::Rfc3339 | StampFormat::UnixSeconds => 9,
            StampFormat::UnixMilliseconds => 6,
            StampFormat::UnixMicroseconds => 3,
            StampFormat::UnixNanoseconds => 0,
        }
    }

    /// Nanoseconds since 1970 of a member of a message.
    ///
    /// # Errors
    /// Why it is no time in this format, or not one from 1678 to 2262.
    pub fn read(self, member: &Json) -> Result<i64, String> {
        let text = match member {
            Json::String(text) => text.trim().to_owned(),
            Json::Number(number) if self != StampFormat::Rfc3339 => number.to_string(),
            Json::Number(number) => return Err(format!("the time {number} is a number; say `time_format`, for example \"unix_ms\"")),
            other => return Err(format!("{other} is no time")),
        };
        let shown: String = text.chars().take(60).collect();
        if self == StampFormat::Rfc3339 {
            let time: jiff::Timestamp =
                text.parse().map_err(|_| format!("{shown:?} is no time of RFC 3339 with a zone, such as 2026-01-31T08:00:00Z"))?;
            return i64::try_from(time.as_nanosecond()).map_err(|_| format!("the time {shown} is not from 1678 to 2262"));
        }
        let nanoseconds = scaled(&text, self.scale())
            .ok_or_else(|| format!("{shown:?} is no number of a time from 1678 to 2262; is `time_format` right?"))?;
        i64::try_from(nanoseconds).map_err(|_| format!("the time {shown} is not from 1678 to 2262; is `time_format` right?"))
    }
}

/// A decimal number times a power of ten, rounded down to a whole one; `None` where it is no number, or far too long.
fn scaled(text: &str, scale: u32) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || whole.len() + fraction.len() > 36 || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i128 = format!("{whole}{fraction}").parse().ok()?;
    let power = i64::from(exponent) + i64::from(scale) - fraction.len() as i64;
    let number = if negative { -number } else { number };
    match u32::try_from(power.unsigned_abs()).ok().filter(|power| *power <= 37) {
        Some(power_of) if power >= 0 => number.checked_mul(10_i128.pow(power_of)),
        Some(power_of) => Some(number.div_euclid(10_i128.pow(power_of))),
        None => None,
    }
}

/// What numbers of qualities mean; `true` and `false`, and names, mean the same in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QualityFormat {
    /// Of classic OPC: 192 is good, 64 uncertain, 0 bad.
    #[default]
    Classic,
    /// Status codes of OPC UA: 0 is Good.
    Status,
}

impl QualityFormat {
    /// # Errors
    /// The names that are known.
    pub fn named(name: &str) -> Result<QualityFormat, String> {
        match name {
            "classic" => Ok(QualityFormat::Classic),
            "status" => Ok(QualityFormat::Status),
            _ => Err(format!("unknown format {name:?}; known are classic, status")),
        }
    }

    /// # Errors
    /// Why the member is no quality.
    pub fn read(self, member: &Json) -> Result<Quality, String> {
        let unknown = || format!("{member} is no quality");
        match member {
            Json::Bool(good) => Ok(if *good { Quality::GOOD } else { Quality::BAD }),
            Json::String(name) => Quality::named(name.trim()).ok_or_else(unknown),
            Json::Number(number) => {
                let code = number.as_u64().ok_or_else(unknown)?;
                match self {
                    QualityFormat::Status => u32::try_from(code).map(Quality).map_err(|_| unknown()),
                    QualityFormat::Classic => classic(code)
                        .ok_or_else(|| format!("{code} is no quality of classic OPC; for status codes say `quality_format = \"status\"`")),
                }
            }
            _ => Err(unknown()),
        }
    }
}

/// A quality of classic OPC: severity in bits 6 and 7, its reason in bits 2 to 5.
fn classic(code: u64) -> Option<Quality> {
    Some(match code {
        192..=255 => Quality::GOOD,
        64..=127 => Quality::UNCERTAIN,
        4..=7 => Quality::BAD_CONFIGURATION_ERROR,
        8..=11 => Quality::BAD_NOT_CONNECTED,
        12..=15 => Quality::BAD_DEVICE_FAILURE,
        16..=19 => Quality::BAD_SENSOR_FAILURE,
        20..=27 => Quality::BAD_NO_COMMUNICATION,
        28..=31 => Quality::BAD_OUT_OF_SERVICE,
        0..=63 => Quality::BAD,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_exact_in_every_format() {
        for (name, member, expected) in [
            ("rfc3339", json!("2026-01-31T08:00:00.123456789+02:00"), Some(1_769_839_200_123_456_789)),
            ("unix_s", json!(1_700_000_000), Some(1_700_000_000_000_000_000)),
            ("unix_s", json!(1_700_000_000.123_456), Some(1_700_000_000_123_456_000)),
            ("unix_s", json!("1700000000.123456789"), Some(1_700_000_000_123_456_789)),
            ("unix_ms", json!(1_700_000_000_123_i64), Some(1_700_000_000_123_000_000)),
            ("unix_us", json!(-1), Some(-1_000)),
            ("unix_ns", json!(1_700_000_000_123_456_789_i64), Some(1_700_000_000_123_456_789)),
            ("unix_s", json!("1.7e9"), Some(1_700_000_000_000_000_000)),
            ("unix_s", json!(1_700_000_000_123_i64), None),
            ("unix_ms", json!(1e300), None),
            ("unix_ms", json!("soon"), None),
            ("unix_ms", json!(null), None),
            ("rfc3339", json!(1_700_000_000), None),
            ("rfc3339", json!("2026-01-31T08:00:00"), None),
        ] {
            assert_eq!(StampFormat::named(name).unwrap().read(&member).ok(), expected, "{name} {member}");
        }
        assert!(StampFormat::named("iso").unwrap_err().contains("unix_ms"));
    }

    #[test]
    fn qualities_of_three_worlds_are_read() {
        for (member, classic, status) in [
            (json!(true), Some(Quality::GOOD), Some(Quality::GOOD)),
            (json!(false), Some(Quality::BAD), Some(Quality::BAD)),
            (json!("good"), Some(Quality::GOOD), Some(Quality::GOOD)),
            (json!("BadSensorFailure"), Some(Quality::BAD_SENSOR_FAILURE), Some(Quality::BAD_SENSOR_FAILURE)),
            (json!(192), Some(Quality::GOOD), Some(Quality(192))),
            (json!(0), Some(Quality::BAD), Some(Quality::GOOD)),
            (json!(64), Some(Quality::UNCERTAIN), Some(Quality(64))),
            (json!(24), Some(Quality::BAD_NO_COMMUNICATION), Some(Quality(24))),
            (json!(0x8031_0000_u32), None, Some(Quality::BAD_NO_COMMUNICATION)),
            (json!(-1), None, None),
            (json!("fine"), None, None),
            (json!(null), None, None),
        ] {
            assert_eq!(QualityFormat::Classic.read(&member).ok(), classic, "{member}");
            assert_eq!(QualityFormat::Status.read(&member).ok(), status, "{member}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[-0-9.eE+]{0,60}", number in any::<i64>()) {
            let _ = StampFormat::UnixMilliseconds.read(&Json::String(text));
            prop_assert_eq!(StampFormat::UnixNanoseconds.read(&json!(number)), Ok(number));
        }
    }
}
