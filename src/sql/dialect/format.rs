//! Patterns of dates as Oracle, `PostgreSQL`, `MySQL` and .NET write them, in the words of `strftime`, which `DataFusion` knows. A pattern of theirs
//! would be handed back as a text otherwise.

use datafusion::sql::sqlparser::ast::{DataType, TimezoneInfo};
use jiff::civil::Time;

/// A pattern of one kind: what stands for what, the longest first.
type FormatWords = &'static [(&'static str, &'static str)];

/// Oracle's and `PostgreSQL`'s, in any case.
const ORACLE: FormatWords = &[
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("MONTH", "%B"),
    ("YYYY", "%Y"),
    ("IYYY", "%G"),
    ("RRRR", "%Y"),
    ("DDD", "%j"),
    ("DAY", "%A"),
    ("MON", "%b"),
    ("FF3", "%3f"),
    ("FF6", "%6f"),
    ("FF9", "%9f"),
    ("FF", "%9f"),
    ("HH", "%I"),
    ("MI", "%M"),
    ("MM", "%m"),
    ("MS", "%3f"),
    ("SS", "%S"),
    ("US", "%6f"),
    ("YY", "%y"),
    ("DD", "%d"),
    ("DY", "%a"),
    ("IW", "%V"),
    ("AM", "%p"),
    ("PM", "%p"),
    ("FM", ""),
];

/// Of .NET, in this case.
const DOTNET: FormatWords = &[
    ("yyyy", "%Y"),
    ("MMMM", "%B"),
    ("dddd", "%A"),
    ("ffffff", "%6f"),
    ("MMM", "%b"),
    ("ddd", "%a"),
    ("fff", "%3f"),
    ("yy", "%y"),
    ("MM", "%m"),
    ("dd", "%d"),
    ("HH", "%H"),
    ("hh", "%I"),
    ("mm", "%M"),
    ("ss", "%S"),
    ("tt", "%p"),
    ("M", "%-m"),
    ("d", "%-d"),
    ("H", "%-H"),
    ("h", "%-I"),
];

/// `MySQL`'s, where they are others than those of `strftime`.
const MYSQL: FormatWords = &[
    ("%i", "%M"),
    ("%s", "%S"),
    ("%h", "%I"),
    ("%k", "%-H"),
    ("%l", "%-I"),
    ("%M", "%B"),
    ("%W", "%A"),
    ("%c", "%-m"),
    ("%e", "%-d"),
    ("%f", "%6f"),
    ("%r", "%I:%M:%S %p"),
    ("%v", "%V"),
    ("%x", "%G"),
];

/// The letters of `strftime` that mean the same to `MySQL`.
const SHARED: &str = "YymdHISTpjabw%";

/// Numbers of SQL Server's `CONVERT`.
const STYLES: [(u32, &str); 16] = [
    (20, "%Y-%m-%d %H:%M:%S"),
    (21, "%Y-%m-%d %H:%M:%S%.3f"),
    (23, "%Y-%m-%d"),
    (101, "%m/%d/%Y"),
    (102, "%Y.%m.%d"),
    (103, "%d/%m/%Y"),
    (104, "%d.%m.%Y"),
    (105, "%d-%m-%Y"),
    (108, "%H:%M:%S"),
    (110, "%m-%d-%Y"),
    (111, "%Y/%m/%d"),
    (112, "%Y%m%d"),
    (120, "%Y-%m-%d %H:%M:%S"),
    (121, "%Y-%m-%d %H:%M:%S%.3f"),
    (126, "%Y-%m-%dT%H:%M:%S%.3f"),
    (127, "%Y-%m-%dT%H:%M:%S%.3fZ"),
];

pub fn of_style(number: u32) -> Option<&'static str> {
    STYLES.iter().find(|(known, _)| *known == number).map(|(_, pattern)| *pattern)
}

pub fn styles() -> String {
    STYLES.map(|(number, _)| number.to_string()).join(", ")
}

/// True for patterns that say more than the day.
pub fn has_time(strftime: &str) -> bool {
    ["%H", "%I", "%M", "%S", "%T", "%3f", "%6f", "%9f", "%p"].iter().any(|part| strftime.contains(part))
}

/// What a text says in a pattern, as SQL writes it, and the type of that.
pub fn read(text: &str, strftime: &str, day: bool) -> Option<(String, DataType)> {
    let parts = jiff::fmt::strtime::parse(strftime, text).ok()?;
    if day {
        return Some((parts.to_date().ok()?.to_string(), DataType::Date));
    }
    let time = if has_time(strftime) { parts.to_time().ok()? } else { Time::midnight() };
    Some((parts.to_date().ok()?.to_datetime(time).to_string(), DataType::Timestamp(None, TimezoneInfo::None)))
}

pub fn of_oracle(pattern: &str) -> Result<String, String> {
    if pattern.contains('%') {
        return Ok(pattern.to_owned());
    }
    translated(pattern, ORACLE, '"', false)
}

pub fn of_dotnet(pattern: &str) -> Result<String, String> {
    if pattern.contains('%') {
        return Ok(pattern.to_owned());
    }
    translated(pattern, DOTNET, '\'', true)
}

pub fn of_mysql(pattern: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some((word, own)) = MYSQL.iter().find(|(word, _)| rest.starts_with(word)) {
            out.push_str(own);
            rest = &rest[word.len()..];
            continue;
        }
        let mut length = first.len_utf8();
        if first == '%' {
            let Some(letter) = rest[1..].chars().next().filter(|letter| SHARED.contains(*letter)) else {
                return Err(unknown(pattern, rest));
            };
            length += letter.len_utf8();
        }
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Ok(out)
}

fn translated(pattern: &str, words: FormatWords, quote: char, in_this_case: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == quote {
            let Some((literal, behind)) = rest[1..].split_once(quote) else { return Err(unknown(pattern, rest)) };
            out.push_str(&literal.replace('%', "%%"));
            rest = behind;
            continue;
        }
        let begins = |word: &str| {
            rest.get(..word.len()).is_some_and(|start| if in_this_case { start == word } else { start.eq_ignore_ascii_case(word) })
        };
        if let Some((word, own)) = words.iter().find(|(word, _)| begins(word)) {
            out.push_str(own);
            rest = &rest[word.len()..];
            continue;
        }
        // The T between a date and a time stands for itself.
        if first.is_alphanumeric() && !matches!(first, 'T' | 'Z') {
            return Err(unknown(pattern, rest));
        }
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    Ok(out)
}

fn unknown(pattern: &str, rest: &str) -> String {
    format!("the pattern {pattern:?} is not understood from {rest:?} on; write one of strftime, such as '%Y-%m-%d %H:%M:%S'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_far_as_years_go() {
        let of = |text, pattern, day| read(text, pattern, day).map(|(text, _)| text);
        assert_eq!(of("31.12.9999", "%d.%m.%Y", true).as_deref(), Some("9999-12-31"));
        assert_eq!(of("01.01.0001", "%d.%m.%Y", false).as_deref(), Some("0001-01-01T00:00:00"));
        assert_eq!(of("2026-03-29 07:08:09.000125", "%Y-%m-%d %H:%M:%S.%6f", false).as_deref(), Some("2026-03-29T07:08:09.000125"));
        assert_eq!(of("yesterday", "%Y", true), None);
    }

    #[test]
    fn patterns_are_those_of_strftime() {
        for (pattern, expected) in [
            ("YYYY-MM-DD HH24:MI:SS", "%Y-%m-%d %H:%M:%S"),
            ("yyyy-mm-dd\"T\"hh24:mi:ss.ff3", "%Y-%m-%dT%H:%M:%S.%3f"),
            ("DD.MM.YYYY", "%d.%m.%Y"),
            ("YYYY-MM-DD HH24:MI:SS.US", "%Y-%m-%d %H:%M:%S.%6f"),
            ("%Y", "%Y"),
            ("DD-MON-YY", "%d-%b-%y"),
        ] {
            assert_eq!(of_oracle(pattern).unwrap(), expected, "{pattern}");
        }
        assert_eq!(of_dotnet("yyyy-MM-dd HH:mm:ss.fff").unwrap(), "%Y-%m-%d %H:%M:%S.%3f");
        assert_eq!(of_dotnet("d.M.yy 'um' H:mm").unwrap(), "%-d.%-m.%y um %-H:%M");
        assert_eq!(of_mysql("%Y-%m-%d %H:%i:%s 100%%").unwrap(), "%Y-%m-%d %H:%M:%S 100%%");
        for wrong in [of_oracle("999.99"), of_oracle("YYYY \"open"), of_dotnet("N2"), of_mysql("%D"), of_mysql("%"), of_oracle("Q")] {
            wrong.unwrap_err();
        }
    }
}
